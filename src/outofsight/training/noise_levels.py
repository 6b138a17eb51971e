"""Which noise level a training sample gets, and what its loss counts."""

import torch
from torch import Tensor

from outofsight.flow.matching import (
    NUM_TRAIN_TIMESTEPS,
    nearest_timestep,
    round_to_bf16,
    sampling_sigmas,
    shift_sigmas,
    timesteps,
    training_weights,
)
from outofsight.training.config import WorldTask
from outofsight.training.randomness import generator_for


class NoiseLevels:
    """Draw time steps as the task says. ``round_to_bf16``: the model rounds them, so sigma and weight follow.

    Source: the published training script: uniform over the 1000 shifted time steps, weighted by a Gaussian bump.
    """

    def __init__(self, task: WorldTask, shift: float, *, round_to_bf16: bool) -> None:
        self.task, self.shift, self.rounds = task, shift, round_to_bf16
        self.table = timesteps(sampling_sigmas(NUM_TRAIN_TIMESTEPS, shift)[:-1])
        self.table_weights = training_weights(self.table)

    def draw(self, seed: int, position: int, frame: int | None = None, chunk: int = 0) -> Tensor:
        """Draw the level of a sample, of a frame, or of a later chunk: float32 [3] = time step, sigma, weight."""
        own = () if frame is None else ("frame", frame)
        own = (*own, "chunk", chunk) if chunk else own
        generator = generator_for(seed, "timestep", position, *own)
        if self.task.timesteps == "uniform_shifted":
            timestep = self.table[int(generator.integers(len(self.table)))]
        else:
            sigma = torch.sigmoid(torch.tensor(generator.standard_normal(), dtype=torch.float32))
            timestep = timesteps(shift_sigmas(sigma, self.shift))
        return self.at(timestep)

    def at(self, timestep: Tensor) -> Tensor:
        """Give time step, sigma and weight of a time step, rounded if the model rounds."""
        if self.rounds:
            timestep = round_to_bf16(timestep)
        nearest = nearest_timestep(self.table, timestep.reshape(1))[0]
        exact = self.table[nearest] if self.rounds else timestep
        weight = self.table_weights[nearest] if self.task.weighting == "gaussian" else torch.tensor(1.0)
        return torch.stack((timestep, exact / NUM_TRAIN_TIMESTEPS, weight))
