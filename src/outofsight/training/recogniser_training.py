"""Training the recogniser: data, validation, what it sees, export."""

from collections.abc import Iterator, Mapping
from pathlib import Path

import numpy as np
import torch
from accelerate import Accelerator
from numpy.typing import NDArray
from torch import Tensor, nn

from outofsight.data.dataset import Dataset
from outofsight.data.files import replaced_folder
from outofsight.errors import CheckpointError, InputError
from outofsight.perception.network import RecogniserNetwork, RecogniserSize
from outofsight.perception.recogniser import Recogniser, load_network, save_network
from outofsight.training.batches import ClipStore
from outofsight.training.config import TrainConfig
from outofsight.training.models import choose_trainable, load_weights
from outofsight.training.problem import Picture, Problem, side_by_side
from outofsight.training.randomness import derived_seed, generator_for
from outofsight.training.recogniser_batches import RecogniserBatches
from outofsight.training.recogniser_measures import figures_of, look_at
from outofsight.training.recogniser_objective import RecogniserObjective
from outofsight.training.recogniser_task import RecogniserTask, Spoiling
from outofsight.training.recogniser_views import spoiled
from outofsight.training.vae_training import DTYPES, open_part, wants_validation
from outofsight.training.whole_samples import whole_dataset

TINT = np.array([255, 60, 60], dtype=np.float32)


def recogniser_problem(config: TrainConfig, data: Path) -> Problem:
    """Put the recogniser's training together."""
    task = config.task
    assert isinstance(task, RecogniserTask)
    if config.batch.gradient_checkpointing:
        raise InputError(
            "the recogniser has no gradient checkpointing; set batch.gradient_checkpointing=false"
        )
    train, broken = whole_dataset(open_part(data, "train"), skip_broken=config.batch.skip_broken)
    validation = open_part(data, "validation") if wants_validation(config) else None
    objective = RecogniserObjective(make_network(task, config.seed), task)
    look = RecogniserValidation(config, validation) if validation is not None else None
    return Problem(
        objective=objective,
        trainable=choose_trainable(objective, ("*",)),
        batches=RecogniserBatches(ClipStore(train.entries, task.clips_in_memory), task, config.seed),
        leaves_unused=False,
        measure=look.measure if look else None,
        show=look.show if look else None,
        export=lambda weights, folder, device: export_recogniser(config, weights, folder),
        sources={},
        broken=broken,
    )


def make_network(task: RecogniserTask, seed: int) -> RecogniserNetwork:
    """Load the network to go on from, or make one with random weights.

    Raises:
        CheckpointError: the one to go on from is missing, damaged, or knows other kinds.
    """
    if task.initial is not None:
        network = load_network(Path(task.initial))
        if network.size.kinds != task.kinds:
            raise CheckpointError(
                f"{task.initial}: knows {len(network.size.kinds)} kinds, task.kinds are {len(task.kinds)} others; give "
                "the same"
            )
        return network
    size = RecogniserSize(
        kinds=task.kinds, widths=task.widths, num_blocks=task.num_blocks, identity_dim=task.identity_dim,
        picture_dim=task.picture_dim,
    )  # fmt: skip
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(derived_seed(seed, "weights", "recogniser"))
        return RecogniserNetwork(size)


class RecogniserValidation:
    """Look at the first validation clips, as they are and spoiled; every process looks at all of them."""

    def __init__(self, config: TrainConfig, clips: Dataset) -> None:
        assert isinstance(config.task, RecogniserTask)
        self.config, self.task, self.clips = config, config.task, clips

    def measure(self, model: nn.Module, accelerator: Accelerator) -> dict[str, float]:
        """Return the figures of ``recogniser_measures``, and ``spoiled_...`` of the same frames, spoiled."""
        recogniser = recogniser_of(model, accelerator)
        clips = self.clips[: self.config.validation.num_samples]
        plain, worse = [], []
        for clip in clips:
            plain.append(look_at(recogniser, clip, self.task))
            worse.append(
                look_at(recogniser, clip, self.task, spoiled_video(clip.video, clip.name, self.task.spoiling))
            )
        return figures_of(plain) | {
            f"spoiled_{name}": value
            for name, value in figures_of(worse).items()
            if not name.startswith("num_")
        }

    def show(self, model: nn.Module, accelerator: Accelerator) -> Iterator[Picture]:
        """Give the frames, and beside them the same with what is seen as a subject tinted."""
        recogniser = recogniser_of(model, accelerator)
        for clip in self.clips[: self.config.validation.num_videos]:
            seen = tinted(clip.video, recogniser.probabilities(clip.video))
            yield Picture(clip.name, side_by_side(clip.video, seen), clip.fps)


def recogniser_of(model: nn.Module, accelerator: Accelerator) -> Recogniser:
    objective = accelerator.unwrap_model(model)
    return Recogniser(objective.network)


def spoiled_video(video: NDArray[np.uint8], name: str, settings: Spoiling) -> NDArray[np.uint8]:
    """Spoil every frame of a video by itself, always the same way for a name."""
    return np.stack(
        [spoiled(frame, settings, generator_for("spoil", name, n)) for n, frame in enumerate(video)]
    )


def tinted(video: NDArray[np.uint8], shares: NDArray[np.floating]) -> NDArray[np.uint8]:
    """Colour pixels red, by half at a share of 1."""
    weight = 0.5 * shares[..., None]
    return np.round(video * (1 - weight) + TINT * weight).astype(np.uint8)


def export_recogniser(config: TrainConfig, weights: Mapping[str, Tensor], folder: Path) -> None:
    """Write the recogniser's folder."""
    task = config.task
    assert isinstance(task, RecogniserTask)
    network = make_network(task, config.seed)
    load_weights(RecogniserObjective(network, task), weights)
    with replaced_folder(folder) as temporary:
        save_network(network, temporary, DTYPES[config.state.export_dtype])
