"""When subjects are seen, hidden, and back again.

::

    frame       0         c (first target frame)
    seen        #######...|....#######..###
    phase       visible    hidden re-entered (hidden again while the short gap lasts, then re-entered again)

A subject is *re-entered* from the frame in which it is seen again after an absence of enough frames, if that frame is
one of the target's: its memory is then what the model's own frames are judged by. One that came back in the context
is plainly *visible* in the target, since the model was shown its return; so is one that comes for the first time.
"""

from dataclasses import dataclass
from enum import IntEnum

import numpy as np
from numpy.typing import NDArray

from outofsight.types import Visibility

MIN_HIDDEN_FRAMES = 5
"""Absences of fewer frames (a lamp post, a passer-by) are no re-entry."""


class Phase(IntEnum):
    """How a subject, or a whole frame, stands to the picture."""

    VISIBLE = 0
    HIDDEN = 1
    REENTERED = 2


@dataclass(frozen=True, kw_only=True, eq=False)
class Phases:
    """``subjects`` int8 [s, n] and ``frames`` int8 [n] of ``Phase``, over context and target.

    A frame is re-entered if any subject in it is, hidden if no subject is seen, and visible otherwise.
    """

    subjects: NDArray[np.int8]
    frames: NDArray[np.int8]
    num_context_frames: int

    @property
    def target_subjects(self) -> NDArray[np.int8]:
        return self.subjects[:, self.num_context_frames :]

    @property
    def target_frames(self) -> NDArray[np.int8]:
        return self.frames[self.num_context_frames :]


def is_seen(visibility: NDArray[np.int8]) -> NDArray[np.bool_]:
    """Tell where something of a subject is seen: wholly, or cut by the frame."""
    seen: NDArray[np.bool_] = (visibility == Visibility.VISIBLE) | (visibility == Visibility.CUT)
    return seen


def phases_of(
    visibility: NDArray[np.int8], num_context_frames: int, min_hidden_frames: int = MIN_HIDDEN_FRAMES
) -> Phases:
    """Find the phases of every subject and frame from visibility [s, n]."""
    seen = is_seen(visibility)
    returned = np.stack([_returned(row, num_context_frames, min_hidden_frames) for row in seen])
    subjects = np.where(seen, np.where(returned, Phase.REENTERED, Phase.VISIBLE), Phase.HIDDEN)
    frames = np.where(seen.any(axis=0), Phase.VISIBLE, Phase.HIDDEN)
    frames = np.where((subjects == Phase.REENTERED).any(axis=0), Phase.REENTERED, frames)
    return Phases(
        subjects=subjects.astype(np.int8),
        frames=frames.astype(np.int8),
        num_context_frames=num_context_frames,
    )


def _returned(seen: NDArray[np.bool_], num_context_frames: int, min_hidden_frames: int) -> NDArray[np.bool_]:
    """Mark, for one subject [n], the frames from its first return in the target on."""
    entry = first_return(seen, num_context_frames, min_hidden_frames)
    marked = np.zeros(len(seen), dtype=bool)
    if entry is not None:
        marked[entry:] = True
    return marked


def first_return(
    seen: NDArray[np.bool_], num_context_frames: int, min_hidden_frames: int = MIN_HIDDEN_FRAMES
) -> int | None:
    """Find the first target frame in which a subject [n], seen before, is seen after an absence; ``None``: none."""
    last_seen: int | None = None
    for frame in np.flatnonzero(seen).tolist():
        away = 0 if last_seen is None else frame - last_seen - 1
        if away >= min_hidden_frames and frame >= num_context_frames:
            return frame
        last_seen = frame
    return None
