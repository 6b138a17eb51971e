"""The recogniser's samples: some frames of a clip, spoiled, all by the sample's position in the run."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from outofsight.errors import DatasetError, InputError
from outofsight.training.batches import Batch, ClipStore
from outofsight.training.randomness import generator_for, sample_index
from outofsight.training.recogniser_task import RecogniserTask
from outofsight.training.recogniser_views import Frame, Ids, moved, pasted, spoiled
from outofsight.types import Clip

NO_KIND = -1
"""Stands in ``kinds`` where a clip has fewer subjects than there are places."""


class RecogniserBatches:
    """Batches of b samples of v views: ``frames`` uint8 [b, v, h, w, 3]; ``ids`` uint8 [b, v, h, w]; ``kinds``
    int64 [b, s]; ``own_backdrop`` bool [b, v].

    In ``ids`` 0 is background, 1 ... s the clip's subjects in the order of their ``kinds``, 255 another clip's.
    ``own_backdrop`` is false where a view's background is another clip's.
    """

    def __init__(self, store: ClipStore, task: RecogniserTask, seed: int) -> None:
        self.store, self.task, self.seed = store, task, seed
        self._annotations: dict[int, Annotation] = {}

    @property
    def identity(self) -> dict[str, Any]:
        return {"clips": [entry.name for entry in self.store.entries]}

    def names(self, positions: Sequence[int]) -> list[str]:
        return [self.store.entries[self._index(place)].name for place in positions]

    def make(self, step: int, positions: Sequence[int]) -> Batch:
        samples = [self._sample(position) for position in positions]
        if len({sample["frames"].shape for sample in samples}) > 1:
            raise InputError(
                f"samples {', '.join(self.names(positions))} differ in size; train on clips of one size"
            )
        return {name: torch.stack([sample[name] for sample in samples]) for name in samples[0]}

    def _index(self, position: int) -> int:
        return sample_index(self.seed, position, len(self.store.entries))

    def _sample(self, position: int) -> Batch:
        index = self._index(position)
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
        clip, annotation, spoiling = self.store.clip(index), self._annotation(index), self.task.spoiling
        shown = annotation.shown
        among = shown if len(shown) and chance.random() < self.task.seen_share else np.arange(len(clip.video))
        place = int(chance.choice(among))
        frame, ids = clip.video[place], annotation.ids(clip, place)
        paste, other = chance.random() < spoiling.paste_share, int(chance.integers(len(self.store.entries)))
        donor = self.store.clip(other) if paste else clip
        if donor.video.shape[1:] != clip.video.shape[1:]:
            raise InputError(f"clips {clip.name} and {donor.name} differ in size; train on clips of one size")
        if paste:
            behind = int(chance.integers(len(donor.video)))
            donor_ids = self._annotation(other).ids(donor, behind)
            frame, ids = pasted(frame, ids, donor.video[behind], donor_ids)
        frame, ids = moved(frame, ids, spoiling, chance)
        return spoiled(frame, spoiling, chance), ids, not paste


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
