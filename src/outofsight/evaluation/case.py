"""One clip as metrics see it: what was given, what truly follows, and when its subjects are seen, hidden, and back.

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

from outofsight.errors import InputError
from outofsight.perception.seeing import check_frames
from outofsight.types import CameraPath, Clip, SubjectTrack, is_seen

Video = NDArray[np.uint8]
"""[n, height, width, 3], RGB."""

Masks = NDArray[np.bool_]
"""[..., height, width]: true where the thing in question is seen."""

FOREGROUND_LEVEL = 127
"""Grey level above which a pixel of a foreground mask video is foreground: lossy coding blurs 0 and 255."""


@dataclass(frozen=True, kw_only=True, eq=False)
class ClipCase:
    """A clip to measure on. Frames are counted over context and target together, the c context frames first.

    ``context`` uint8 [c, h, w, 3]; ``truth`` uint8 [t, h, w, 3]; ``foreground`` bool [c + t, h, w]: where any subject
    is seen; ``subject_masks`` bool [s, c + t, h, w]: where each subject is seen; ``visibility`` int8 [s, c + t] of
    ``Visibility``; ``subject_names``: the kind of each; ``subjects``: all that is annotated of each, places in the
    world included. ``None``, or an empty tuple: the video has no such annotation. Without ``has_truth`` it is not known
    what follows; ``truth`` then holds the last frame given, repeated, and says of what shape an answer is.
    """

    name: str
    context: Video
    truth: Video
    fps: float
    foreground: Masks | None = None
    subject_masks: Masks | None = None
    visibility: NDArray[np.int8] | None = None
    cameras: CameraPath | None = None
    subject_names: tuple[str, ...] = ()
    subjects: tuple[SubjectTrack, ...] = ()
    has_truth: bool = True

    def __post_init__(self) -> None:
        for part in ("context", "truth"):
            check_frames(getattr(self, part), f"clip {self.name!r}, {part}")
        if self.context.shape[1:] != self.truth.shape[1:]:
            raise InputError(
                f"clip {self.name!r}: the context has pictures of {self.context.shape[1:3]}, the truth of "
                f"{self.truth.shape[1:3]}; they must agree"
            )
        if not self.fps > 0:
            raise InputError(f"clip {self.name!r}: expected frames per second above 0, got {self.fps}")
        pictures, subjects = (self.num_frames, *self.truth.shape[1:3]), self.num_subjects
        for part, expected in (
            ("foreground", pictures), ("subject_masks", (subjects, *pictures)),
            ("visibility", (subjects, self.num_frames)),
        ):  # fmt: skip
            value = getattr(self, part)
            if value is not None and value.shape != expected:
                raise InputError(f"clip {self.name!r}: expected {part} {expected}, got {value.shape}")
        for subject in self.subjects:
            if len(subject.visibility) != self.num_frames:
                raise InputError(
                    f"clip {self.name!r}: subject {subject.name!r} is annotated in {len(subject.visibility)} frames of "
                    f"{self.num_frames}; they must agree"
                )
        if self.cameras is not None and len(self.cameras) != self.num_frames:
            raise InputError(
                f"clip {self.name!r}: {len(self.cameras)} cameras for {self.num_frames} frames; they must agree"
            )

    @property
    def num_context_frames(self) -> int:
        return len(self.context)

    @property
    def num_target_frames(self) -> int:
        return len(self.truth)

    @property
    def num_frames(self) -> int:
        return len(self.context) + len(self.truth)

    @property
    def num_subjects(self) -> int:
        """Number of annotated subjects; 0 where none is annotated by itself."""
        for value in (self.subject_masks, self.visibility):
            if value is not None:
                return len(value)
        return 0


def case_from_clip(clip: Clip) -> ClipCase:
    """Make a case of a clip.

    Instance masks give one mask a subject. Foreground masks (the released HM-World) give the union of all subjects,
    and that is the subject's own mask only where there is but one.

    Raises ``InputError`` if the clip has no target frames.
    """
    if clip.num_target_frames < 1:
        raise InputError(f"clip {clip.name!r} has no target frames; nothing follows that could be measured")
    split = clip.num_context_frames
    foreground, subject_masks = _masks_of(clip)
    return ClipCase(
        name=clip.name,
        context=clip.video[:split],
        truth=clip.video[split:],
        fps=clip.fps,
        foreground=foreground,
        subject_masks=subject_masks,
        visibility=np.stack([subject.visibility for subject in clip.subjects]) if clip.subjects else None,
        cameras=clip.cameras,
        subject_names=tuple(subject.name for subject in clip.subjects),
        subjects=clip.subjects,
    )


def _masks_of(clip: Clip) -> tuple[Masks | None, Masks | None]:
    if clip.masks is None:
        return None, None
    if not clip.masks_are_instances:
        foreground: Masks = np.asarray(clip.masks > FOREGROUND_LEVEL)
        return foreground, foreground[None] if len(clip.subjects) == 1 else None
    if not clip.subjects:
        return np.asarray(clip.masks > 0), None
    subject_masks = np.stack([clip.masks == subject.subject_id for subject in clip.subjects])
    return np.asarray(subject_masks.any(axis=0)), subject_masks


def check_generated(case: ClipCase, generated: Video) -> None:
    """Raise ``InputError`` unless a generated video can stand beside the truth, frame for frame and pixel for pixel."""
    check_frames(generated, f"clip {case.name!r}, generated video")
    if generated.shape != case.truth.shape:
        expected, got = (f"{v.shape[0]} frames of {v.shape[1]}×{v.shape[2]}" for v in (case.truth, generated))
        raise InputError(
            f"clip {case.name!r}: expected a generated video of {expected}, as the truth is, got {got}; "
            "generate the same frames, or scale and cut the video to them"
        )


MIN_HIDDEN_FRAMES = 5
"""Absences of fewer frames (a lamp post, a passer-by) are no re-entry."""


class Phase(IntEnum):
    """How a subject, or a whole frame, stands to the picture."""

    VISIBLE = 0
    HIDDEN = 1
    REENTERED = 2


PHASE_WORDS = {Phase.VISIBLE: "visible", Phase.HIDDEN: "hidden", Phase.REENTERED: "re-entered"}


@dataclass(frozen=True, kw_only=True, eq=False)
class Phases:
    """``subjects`` int8 [s, n] and ``frames`` int8 [n] of ``Phase``, over context and target.

    A frame is re-entered if any subject in it is, hidden if no subject is seen, and visible otherwise.
    """

    subjects: NDArray[np.int8]
    frames: NDArray[np.int8]
    num_context_frames: int

    @property
    def target_frames(self) -> NDArray[np.int8]:
        return self.frames[self.num_context_frames :]


def phases_of(visibility: NDArray[np.int8], num_context_frames: int) -> Phases:
    """Find the phases of every subject and frame from visibility [s, n]."""
    seen, length = is_seen(visibility), visibility.shape[1]
    entries = [first_return(row, num_context_frames) for row in seen]
    returned = np.stack([np.arange(length) >= (length if entry is None else entry) for entry in entries])
    subjects = np.where(seen, np.where(returned, Phase.REENTERED, Phase.VISIBLE), Phase.HIDDEN)
    frames = np.where(seen.any(axis=0), Phase.VISIBLE, Phase.HIDDEN)
    frames = np.where((subjects == Phase.REENTERED).any(axis=0), Phase.REENTERED, frames)
    return Phases(
        subjects=subjects.astype(np.int8),
        frames=frames.astype(np.int8),
        num_context_frames=num_context_frames,
    )


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


def runs(marked: NDArray[np.bool_]) -> list[tuple[int, int]]:
    """Find where true values stand in a row in [n]: the first of each run, and the one after its last."""
    edges = np.flatnonzero(np.diff(np.concatenate([[False], marked, [False]]).astype(np.int8)))
    return [(start, stop) for start, stop in edges.reshape(-1, 2).tolist()]
