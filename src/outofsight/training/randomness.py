"""Chance as a pure function of (seed, purpose, place): nothing to save, nothing that depends on the world size.

What sample a run sees, and every random number it draws for it, follows from the run's seed and the position of
the sample in the run alone::

    position   0 1 2 3 | 4 5 6 7 | ...        step s of batch size b sees positions s·b ... s·b + b − 1
    epoch      └── 0 ──┴─┘└─ 1 ...            each epoch is one shuffled pass over the data

So a run that is stopped and goes on, or goes on with another number of processes, draws the same.
A sample's noise level is drawn here too.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from functools import lru_cache
from hashlib import blake2b

import numpy as np
import torch
from numpy.typing import NDArray
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
from outofsight.training.tasks import WorldTask

SEED_BYTES = 8


def derived_seed(*parts: int | str) -> int:
    """Mix names and numbers to a seed in [0, 2⁶³)."""
    digest = blake2b("/".join(map(str, parts)).encode(), digest_size=SEED_BYTES).digest()
    return int.from_bytes(digest, "little") >> 1


def generator_for(*parts: int | str) -> np.random.Generator:
    """A numpy generator of its own for one purpose and place."""
    return np.random.Generator(np.random.Philox(derived_seed(*parts)))


def normal(shape: tuple[int, ...], *parts: int | str) -> Tensor:
    """Draw float32 normal numbers on the CPU, so that a seed means the same on every device."""
    generator = torch.Generator().manual_seed(derived_seed(*parts))
    return torch.randn(shape, generator=generator)


@contextmanager
def first_weights(seed: int, part: str) -> Iterator[None]:
    """Within the block torch draws the first weights of a part of the model, and nothing else is drawn differently."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(derived_seed(seed, "weights", part))
        yield


def sample_index(seed: int, position: int, num_samples: int) -> int:
    """Tell which sample stands at a position of the run."""
    epoch, place = divmod(position, num_samples)
    return int(_order(seed, epoch, num_samples)[place])


@lru_cache(maxsize=4)
def _order(seed: int, epoch: int, num_samples: int) -> NDArray[np.int64]:
    return generator_for(seed, "order", epoch).permutation(num_samples)


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
