"""The recogniser's samples: some frames of a clip, spoiled, all by the sample's position in the run."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch

from outofsight.errors import DatasetError, InputError
from outofsight.training.batches import Batch, ClipStore
from outofsight.training.randomness import generator_for, sample_index
from outofsight.training.recogniser_task import RecogniserTask
from outofsight.training.recogniser_views import UNNAMED, Frame, Ids, moved, pasted, spoiled
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
        clip = self.store.clip(self._index(position))
        ids, kinds = annotation_of(clip, self.task)
        chance = generator_for(self.seed, "views", position)
        views = [self._view(clip, ids, chance) for _ in range(self.task.num_views)]
        return {
            "frames": torch.from_numpy(np.stack([frame for frame, _, _ in views])),
            "ids": torch.from_numpy(np.stack([ids for _, ids, _ in views])),
            "kinds": torch.from_numpy(kinds),
            "own_backdrop": torch.tensor([own for _, _, own in views]),
        }

    def _view(self, clip: Clip, ids: Ids, chance: np.random.Generator) -> tuple[Frame, Ids, bool]:
        task = self.task
        shown = np.flatnonzero((ids > 0).sum(axis=(1, 2)) >= task.least_px)
        frames = shown if len(shown) and chance.random() < task.seen_share else np.arange(len(ids))
        place = int(chance.choice(frames))
        frame, own_ids = clip.video[place], ids[place]
        paste, other = (
            chance.random() < task.spoiling.paste_share,
            int(chance.integers(len(self.store.entries))),
        )
        if paste:
            donor = self.store.clip(other)
            behind = int(chance.integers(len(donor.video)))
            if donor.video.shape[1:] == clip.video.shape[1:]:
                donor_ids, _ = annotation_of(donor, task)
                frame, own_ids = pasted(frame, own_ids, donor.video[behind], donor_ids[behind])
            else:
                paste = False
        frame, own_ids = moved(frame, own_ids, task.spoiling, chance)
        return spoiled(frame, task.spoiling, chance), own_ids, not paste


def annotation_of(clip: Clip, task: RecogniserTask) -> tuple[Ids, np.ndarray]:
    """Read ids uint8 [n, height, width], numbered 1 ... s, and the number of each subject's kind, int64 [places].

    Raises:
        DatasetError: no instance masks, too many subjects, or a kind that is not among the task's.
    """
    if clip.masks is None or not clip.masks_are_instances:
        raise DatasetError(
            f"clip {clip.name!r} has no masks of single subjects, from which the recogniser learns"
        )
    if len(clip.subjects) > min(task.subjects_per_clip, UNNAMED - 1):
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
    return numbers[clip.masks], kinds
