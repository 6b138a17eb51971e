"""The repairs that the published loader makes, silently, in files of 149 string matrices.

Here they are permitted by name, and reported. ``identity_for_malformed`` and ``repeat_last`` act where a
file needs them; ``replace_first`` and ``pad_halves`` always act, since to the published loader they are
part of the form.
"""

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import Literal, get_args

import numpy as np
from numpy.typing import NDArray

from outofsight.errors import CameraError, InputError

Repair = Literal["identity_for_malformed", "replace_first", "repeat_last", "pad_halves"]
PUBLISHED_REPAIRS: tuple[Repair, ...] = get_args(Repair)

PUBLISHED_NUM_MATRICES = 149
PUBLISHED_HALF = 75  # frames of each half that have a matrix of their own

REPAIR_MEANINGS: Mapping[Repair, str] = {
    "identity_for_malformed": "a matrix that cannot be read becomes the identity",
    "replace_first": "frame 0 is taken from frame 1",
    "repeat_last": "a missing frame repeats the one before it",
    "pad_halves": "149 matrices and the last again are 75 + 75; each half repeats its first and last, to 77",
}


@dataclass(frozen=True, kw_only=True)
class AppliedRepair:
    """A repair that changed something, and the frames of the file that it touched."""

    name: Repair
    frames: tuple[int, ...]

    def __str__(self) -> str:
        frames = ", ".join(map(str, self.frames))
        noun = "frame" if len(self.frames) == 1 else "frames"
        return f"{self.name} ({REPAIR_MEANINGS[self.name]}): {noun} {frames}"


@dataclass(frozen=True, kw_only=True)
class Malformed:
    """A matrix that could not be read, and why."""

    reason: str


Matrix = NDArray[np.float64]


def check_repairs(repairs: Collection[str]) -> None:
    """Raise ``InputError`` for an unknown repair, listing the known ones."""
    for name in repairs:
        if name not in PUBLISHED_REPAIRS:
            raise InputError(f"unknown camera repair {name!r}; known are {', '.join(PUBLISHED_REPAIRS)}")


def repair_matrices(
    entries: Mapping[int, Matrix | Malformed], source: str, repairs: Collection[str] | None
) -> tuple[Matrix, tuple[AppliedRepair, ...]]:
    """Make one matrix for each frame from 0 on: [n, 4, 4], and what had to be repaired for it.

    ``repairs``: those permitted; ``None``: of a form that takes none.

    Raises:
        CameraError: a frame is missing or malformed and may not be repaired, naming ``source`` and the frame.
    """
    hint = "" if repairs is None else ", or permit the repair repeat_last"
    repairs = repairs or ()
    num_frames = PUBLISHED_NUM_MATRICES if "pad_halves" in repairs else max(entries, default=-1) + 1
    beyond = [frame for frame in entries if not 0 <= frame < num_frames]
    if beyond:
        raise CameraError(f"{source}, frame {beyond[0]}: expected frames 0 to {num_frames - 1} only")
    first = {0: entries[1]} if "replace_first" in repairs and 1 in entries else {}
    given = {**entries, **first}
    touched: dict[Repair, list[int]] = {"identity_for_malformed": [], "repeat_last": []}
    matrices: list[Matrix] = []
    for frame in range(num_frames):
        entry = given.get(frame)
        if isinstance(entry, Malformed):
            if "identity_for_malformed" not in repairs:
                raise CameraError(f"{source}, frame {frame}: {entry.reason}")
            touched["identity_for_malformed"].append(frame)
            entry = np.eye(4)
        elif entry is None:
            if "repeat_last" not in repairs or not matrices:
                raise CameraError(
                    f"{source}, frame {frame}: missing; give every frame from 0 to {num_frames - 1}"
                    + ("" if frame == 0 else hint)
                )
            touched["repeat_last"].append(frame)
            entry = matrices[-1]
        matrices.append(entry)
    applied = [AppliedRepair(name=name, frames=tuple(frames)) for name, frames in touched.items() if frames]
    if first:
        applied.append(AppliedRepair(name="replace_first", frames=(0,)))
    return np.array(matrices).reshape(-1, 4, 4), tuple(applied)


def pad_halves(num_frames: int, source: str) -> tuple[list[int], list[int], AppliedRepair]:
    """Tell which of 149 frames make up the context and the target of 77 frames each.

    ::

        file     0 1 2 ... 74 | 75 76 ... 148 (148)     149 matrices, the last once more: 75 + 75
        context  0 0 1 2 ... 73 74 74                   77: the first and the last once more
        target   75 75 76 ... 148 148 148               77: the same

    Raises:
        CameraError: not 149 frames.
    """
    if num_frames != PUBLISHED_NUM_MATRICES:
        raise CameraError(f"{source}: pad_halves needs {PUBLISHED_NUM_MATRICES} matrices, got {num_frames}")
    half = PUBLISHED_HALF
    frames = [*range(num_frames), num_frames - 1]
    context, target = ([part[0], *part, part[-1]] for part in (frames[:half], frames[half:]))
    repeated = (context[0], context[-1], target[0], target[-1])
    return context, target, AppliedRepair(name="pad_halves", frames=repeated)
