"""What the loop asks of a task: an objective, batches, and what to look at on the way."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import torch
from accelerate import Accelerator
from jaxtyping import Float, UInt8
from numpy.typing import NDArray
from torch import Tensor, nn

from outofsight.data.dataset import SPLITS, Dataset, open_dataset, whole_entries
from outofsight.data.latent_cache import LatentCache
from outofsight.errors import DatasetError, InputError
from outofsight.training.batches import Batch, Batches
from outofsight.training.config import TrainConfig


@dataclass(frozen=True)
class SampleVideo:
    """A sample video: uint8 [n, height, width, 3]."""

    name: str
    frames: NDArray[np.uint8]
    fps: float


class ValidationLook(Protocol):
    """What is looked at on the way: figures and sample videos, by every process, with the prepared model."""

    def measure(self, model: nn.Module, accelerator: Accelerator) -> dict[str, float]: ...

    def show(self, model: nn.Module, accelerator: Accelerator) -> Iterable[SampleVideo]: ...


@dataclass(frozen=True, kw_only=True)
class Task:
    """One task, ready to be trained.

    ``objective``: its forward takes a batch and gives every sample's ``loss``. ``trainable``: the parameters that
    learn, by name. ``leaves_unused``: some steps give some of them no gradient. ``look``: ``None`` without validation
    data. ``export``: make a folder of the weights given by name (those that learn), by one process. ``broken``: samples
    that were left out.
    """

    objective: nn.Module
    trainable: dict[str, nn.Parameter]
    batches: Batches
    leaves_unused: bool
    look: ValidationLook | None
    export: Callable[[Mapping[str, Tensor], Path, torch.device], None]
    sources: dict[str, Any] = field(default_factory=dict)  # digests of what is read and does not learn
    broken: tuple[str, ...] = ()


def rank_slice(count: int, accelerator: Accelerator) -> list[tuple[int, bool]]:
    """Give this process its share of ``count`` places, as many as every other; false marks repetitions to discount."""
    processes, rank = accelerator.num_processes, accelerator.process_index
    rounds = -(-count // processes)
    places = [turn * processes + rank for turn in range(rounds)]
    return [(min(place, count - 1), place < count) for place in places]


def mean_over_processes(
    values: Mapping[str, Sequence[float]], accelerator: Accelerator
) -> dict[str, tuple[float, int]]:
    """Give the mean of every process's values, and their number; those that are NaN are left out."""
    columns = [torch.tensor(list(own), dtype=torch.float64) for own in values.values()]
    known = [own[~own.isnan()] for own in columns]
    table = torch.tensor([[float(own.sum()), len(own)] for own in known], dtype=torch.float64)
    dtype = torch.float32 if accelerator.device.type == "mps" else torch.float64  # which MPS does not know
    sums = accelerator.reduce(table.to(accelerator.device, dtype), "sum").cpu()
    return {
        name: (float(total / number) if number else float("nan"), int(number))
        for name, (total, number) in zip(values, sums, strict=True)
    }


def to_device(batch: Batch, device: torch.device) -> Batch:
    return {name: value.to(device, non_blocking=True) for name, value in batch.items()}


def to_signal(video: UInt8[Tensor, "b t h w 3"]) -> Float[Tensor, "b 3 t h w"]:
    """Turn pixels 0..255 into [−1, 1], in the VAE's order of axes."""
    return video.permute(0, 4, 1, 2, 3).float() / 127.5 - 1


def to_frames(video: Tensor) -> NDArray[np.uint8]:
    """Turn a video [3, t, height, width] in [−1, 1] into pixels [t, height, width, 3]."""
    scaled = (video.float().clamp(-1, 1) + 1) * 127.5
    return scaled.round().to(torch.uint8).permute(1, 2, 3, 0).cpu().numpy()


def side_by_side(*videos: NDArray[np.uint8]) -> NDArray[np.uint8]:
    return np.concatenate(videos, axis=2)


def wants_validation(config: TrainConfig) -> bool:
    return config.validation.every_steps > 0 or config.validation.videos_every_steps > 0


def open_clips(config: TrainConfig, data: Path) -> tuple[Dataset, Dataset | None, tuple[str, ...]]:
    """Open a data set; a folder without parts is all for training.

    Returns what to train on, what to validate on (``None``: it is not wanted), and what is wrong with clips that were
    left out.

    Raises:
        DatasetError: there is no data, or no validation part.
    """
    in_parts = any((data / split).is_dir() for split in SPLITS)
    clips = open_dataset(data, "train" if in_parts else None)
    broken: tuple[str, ...] = ()
    if config.batch.skip_broken:
        entries, broken = whole_entries(clips.entries)
        clips = Dataset(clips.folder, entries)
    if not wants_validation(config):
        return clips, None, broken
    if not in_parts:
        raise DatasetError(
            f"{data}: has no validation part; set validation.every_steps=0 and validation.videos_every_steps=0 to "
            "train without"
        )
    return clips, open_dataset(data, "validation"), broken


def whole_cache(cache: LatentCache, *, skip_broken: bool) -> tuple[LatentCache, tuple[str, ...]]:
    """Give the samples of a cache that can be read, and what is wrong with the others, if they are to be skipped.

    Raises:
        DatasetError: none can be read.
    """
    if not skip_broken:
        return cache, ()
    places, broken = [], []
    for index, place in enumerate(cache.places):
        try:
            cache[index]
            places.append(place)
        except InputError as error:
            broken.append(" ".join(str(error).split()))
    if not places:
        raise DatasetError(f"{cache.folder}: no sample can be read; the first: {broken[0]}")
    return LatentCache(cache.folder, cache.identity, places), tuple(broken)
