"""The recogniser's samples: some frames of a clip, cut, pasted and augmented as generated video is, all by the sample's
position in the run.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn.functional import conv2d, interpolate, pad

from outofsight.errors import DatasetError, InputError
from outofsight.training.batches import Batch, ClipBatches, ClipStore
from outofsight.training.randomness import generator_for
from outofsight.training.tasks import Augmentation, RecogniserTask
from outofsight.types import Clip

Frame = NDArray[np.uint8]
Ids = NDArray[np.uint8]


def pasted(frame: Frame, ids: Ids, backdrop: Frame, backdrop_ids: Ids) -> tuple[Frame, Ids]:
    """Put the subjects of one frame before another clip's frame; whoever is there already stays, unnamed and behind.

    A pixel of the backdrop's own subjects gets the id 255: a subject, of which nothing more is known.
    """
    subjects = ids > 0
    picture = np.where(subjects[..., None], frame, backdrop)
    return picture, np.where(subjects, ids, np.where(backdrop_ids > 0, UNNAMED, 0)).astype(np.uint8)


UNNAMED = 255
"""Id of a subject that belongs to another clip."""


def moved_aside(
    frame: Frame, ids: Ids, settings: Augmentation, chance: np.random.Generator
) -> tuple[Frame, Ids]:
    """Mirror the frame, and enlarge a part of it, or neither."""
    flip, zoom = chance.random() < settings.flip_share, chance.random() < settings.zoom_share
    scale, across, down = chance.uniform(settings.zoom, 1), chance.random(), chance.random()
    if flip:
        frame, ids = frame[:, ::-1], ids[:, ::-1]
    if not zoom:
        return np.ascontiguousarray(frame), np.ascontiguousarray(ids)
    height, width = ids.shape
    rows, columns = max(1, round(scale * height)), max(1, round(scale * width))
    top, left = round(down * (height - rows)), round(across * (width - columns))
    part = (slice(top, top + rows), slice(left, left + columns))
    picture = _resized(_to_planes(frame[part].copy()), (height, width))
    nearest = interpolate(
        torch.from_numpy(ids[part].copy())[None, None].float(), (height, width), mode="nearest-exact"
    )
    return _to_frame(picture), nearest[0, 0].to(torch.uint8).numpy()


def augmented(frame: Frame, settings: Augmentation, chance: np.random.Generator) -> Frame:
    """Augment a frame so that it looks as generated video does. Every kind draws its numbers, done or not."""
    coarsen, blur, blotch, noise, light = chance.random(5) < (
        settings.coarsen_share, settings.blur_share, settings.blotch_share, settings.noise_share, settings.light_share
    )  # fmt: skip
    coarseness = chance.uniform(1, settings.coarsest)
    blur_px = chance.uniform(0.3, max(0.3, settings.most_blur_px))
    blotchiness, noisiness = chance.uniform(0, settings.most_blotch), chance.uniform(0, settings.most_noise)
    gain, shift = 1 + chance.uniform(-1, 1) * settings.most_light, chance.uniform(-1, 1) * settings.most_light
    planes = _to_planes(frame)
    height, width = planes.shape[-2:]
    if light:
        planes = planes * gain + shift * 255
    if coarsen:
        small = (max(1, round(height / coarseness)), max(1, round(width / coarseness)))
        planes = _resized(_resized(planes, small), (height, width))
    if blur:
        planes = blurred(planes, blur_px)
    if blotch:
        patches = chance.normal(size=(1, 3, -(-height // 8), -(-width // 8))).astype(np.float32)
        planes = planes + 255 * blotchiness * _resized(torch.from_numpy(patches), (height, width))
    if noise:
        grain = chance.normal(size=(1, 3, height, width)).astype(np.float32)
        planes = planes + 255 * noisiness * torch.from_numpy(grain)
    return _to_frame(planes)


def blurred(planes: Tensor, sigma_px: float) -> Tensor:
    """Blur pictures [1, 3, height, width] by a Gaussian of this deviation; beyond the edge, the edge goes on."""
    radius = max(1, int(np.ceil(2.5 * sigma_px)))
    weights = torch.exp(-(torch.arange(-radius, radius + 1) ** 2) / (2 * sigma_px**2)).float()
    weights = (weights / weights.sum()).expand(planes.shape[1], 1, 1, -1)
    planes = conv2d(pad(planes, (radius, radius, 0, 0), mode="replicate"), weights, groups=planes.shape[1])
    rows = weights.transpose(-1, -2)
    return conv2d(pad(planes, (0, 0, radius, radius), mode="replicate"), rows, groups=planes.shape[1])


def _resized(planes: Tensor, size: tuple[int, int]) -> Tensor:
    """Resize by lines, averaging where it shrinks."""
    return interpolate(planes, size, mode="bilinear", align_corners=False, antialias=True)


def _to_planes(frame: Frame) -> Tensor:
    return torch.from_numpy(frame).permute(2, 0, 1)[None].float()


def _to_frame(planes: Tensor) -> Frame:
    pixels: Frame = planes[0].round().clamp(0, 255).to(torch.uint8).permute(1, 2, 0).contiguous().numpy()
    return pixels


NO_KIND = -1
"""Stands in ``kinds`` where a clip has fewer subjects than there are places."""


class RecogniserBatches(ClipBatches):
    """Batches of b samples of v views: ``frames`` uint8 [b, v, h, w, 3]; ``ids`` uint8 [b, v, h, w]; ``kinds``
    int64 [b, s]; ``own_backdrop`` bool [b, v].

    In ``ids`` 0 is background, 1 ... s the clip's subjects in the order of their ``kinds``, 255 another clip's.
    ``own_backdrop`` is false where a view's background is another clip's.
    """

    def __init__(self, store: ClipStore, task: RecogniserTask, seed: int) -> None:
        super().__init__(store, seed)
        self.task = task
        self._annotations: dict[int, Annotation] = {}

    def make(self, step: int, positions: Sequence[int]) -> Batch:
        return self.stacked(list(map(self._sample, positions)), positions, "train on clips of one size")

    def _sample(self, position: int) -> Batch:
        index = self.index(position)
        chance = generator_for(self.seed, "views", position)
        views = [self._view(index, chance) for _ in range(self.task.num_views)]
        return {
            "frames": torch.from_numpy(np.stack([frame for frame, _, _ in views])),
            "ids": torch.from_numpy(np.stack([ids for _, ids, _ in views])),
            "kinds": torch.from_numpy(self._annotation(index).kinds.copy()),
            "own_backdrop": torch.tensor([own for _, _, own in views]),
        }

    def _annotation(self, index: int) -> "Annotation":
        """Read a clip's annotation once; threads that meet here read the same."""
        if index not in self._annotations:
            self._annotations[index] = annotation_of(self.store.clip(index), self.task)
        return self._annotations[index]

    def _view(self, index: int, chance: np.random.Generator) -> tuple[Frame, Ids, bool]:
        clip, annotation = self.store.clip(index), self._annotation(index)
        augmentation, shown = self.task.augmentation, annotation.shown
        among = shown if len(shown) and chance.random() < self.task.seen_share else np.arange(len(clip.video))
        place = int(chance.choice(among))
        frame, ids = clip.video[place], annotation.ids(clip, place)
        paste, other = chance.random() < augmentation.paste_share, int(chance.integers(len(self.samples)))
        donor = self.store.clip(other) if paste else clip
        if donor.video.shape[1:] != clip.video.shape[1:]:
            raise InputError(f"clips {clip.name} and {donor.name} differ in size; train on clips of one size")
        if paste:
            behind = int(chance.integers(len(donor.video)))
            donor_ids = self._annotation(other).ids(donor, behind)
            frame, ids = pasted(frame, ids, donor.video[behind], donor_ids)
        frame, ids = moved_aside(frame, ids, augmentation, chance)
        return augmented(frame, augmentation, chance), ids, not paste


@dataclass(frozen=True, kw_only=True, eq=False)
class Annotation:
    """A clip's subjects. ``kinds`` int64 [places]; ``shown``: frames in which enough of a subject is seen;
    ``numbers`` uint8 [256]: for each id in the clip's masks 0 or the subject's place, from 1."""

    kinds: NDArray[np.int64]
    shown: NDArray[np.int64]
    numbers: NDArray[np.uint8]

    def ids(self, clip: Clip, frame: int) -> Ids:
        """Give one frame's ids, 1 ... s in the order of ``kinds``."""
        assert clip.masks is not None
        return self.numbers[clip.masks[frame]]


def annotation_of(clip: Clip, task: RecogniserTask) -> Annotation:
    """Read what a clip's annotation says of its subjects.

    Raises:
        DatasetError: no instance masks, too many subjects, or a kind that is not among the task's.
    """
    if clip.masks is None or not clip.masks_are_instances:
        raise DatasetError(
            f"clip {clip.name!r} has no masks of single subjects, from which the recogniser learns"
        )
    if len(clip.subjects) > task.subjects_per_clip:
        raise DatasetError(
            f"clip {clip.name!r} has {len(clip.subjects)} subjects; set task.subjects_per_clip to as many"
        )
    kinds = np.full(task.subjects_per_clip, NO_KIND, dtype=np.int64)
    numbers = np.zeros(256, dtype=np.uint8)
    for place, subject in enumerate(clip.subjects):
        if subject.name not in task.kinds:
            raise DatasetError(
                f"clip {clip.name!r} shows a {subject.name!r}, not among the {len(task.kinds)} kinds to learn; set "
                "task.kinds"
            )
        kinds[place] = task.kinds.index(subject.name)
        numbers[subject.subject_id] = place + 1
    shown = np.flatnonzero((clip.masks > 0).sum(axis=(1, 2)) >= task.least_px)
    return Annotation(kinds=kinds, shown=shown, numbers=numbers)
