"""How far a tracker's subjects are from where they truly are, in metres: while seen, while hidden, and on return.

::

    truly seen   ######..........#####
                 seen  |  hidden ^
                                 return: the last hidden moment, when memory must say where to draw it

In a rollout there may be other cameras than the clip's, and more frames::

    clip       context ........|target ........|
    rollout    context used |step|step|step|step|step ...
                             known ........| not known      subjects go their way whoever looks

Where the cameras are the clip's, its annotation says who is seen; elsewhere whoever stands within the picture's width
does, since nobody rendered what would hide them there.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import linear_sum_assignment

from outofsight.errors import InputError
from outofsight.evaluation.birdseye import (
    Floats,
    TrackedSubjects,
    TrueSubjects,
    anchored_subjects,
    true_subjects,
)
from outofsight.evaluation.case import first_return
from outofsight.geometry.poses import relative_poses
from outofsight.types import Clip, SubjectTrack

FAR_M = 1e6
"""Whoever is held farther off than this counts as so far off when held subjects are matched to true ones."""


@dataclass(frozen=True, kw_only=True, eq=False)
class TrackedPositions:
    """Errors of n moments and q true subjects, NaN where no track is matched to the subject.

    ``numbers`` int [n, q]: the track matched to each (−1: none). ``error_m`` [n, q]: distance of positions;
    ``velocity_error_m`` [n, q]: of velocities, metres a video frame (NaN where the true one is unknown);
    ``deviations`` [n, q]: the same distance in standard deviations that the tracker claims (√3 were right on average).
    ``phases`` int8 [n, q]: ``SEEN``, ``HIDDEN``, or ``NEVER_SEEN`` before its first sighting.
    ``returns`` bool [n, q]: the last hidden moment of each absence that ends.
    """

    numbers: NDArray[np.int64]
    error_m: Floats
    velocity_error_m: Floats
    deviations: Floats
    phases: NDArray[np.int8]
    returns: NDArray[np.bool_]

    def mean_m(self, chosen: NDArray[np.bool_]) -> float | None:
        """Average the error over chosen moments and subjects; ``None`` where no track is matched in any."""
        known = self.error_m[chosen & ~np.isnan(self.error_m)]
        return float(known.mean()) if known.size else None

    def held_share(self, chosen: NDArray[np.bool_]) -> float | None:
        """Give the share of chosen moments and subjects that the tracker holds somebody for."""
        return float((self.numbers[chosen] >= 0).mean()) if chosen.any() else None


SEEN, HIDDEN, NEVER_SEEN = 0, 1, 2


@dataclass(frozen=True, kw_only=True, eq=False)
class Tracked:
    """What a tracker held at n moments of a clip, the first ``num_context`` of which are the context's.

    ``times`` [n]: rising, in video frames of context and target together. ``world_from_anchor`` [3, 4]: the frame of
    reference of ``held``.
    """

    times: Floats
    num_context: int
    held: TrackedSubjects
    world_from_anchor: Floats

    def __post_init__(self) -> None:
        n = len(self.times)
        if len(self.held.held) != n or not 0 < self.num_context <= n or (np.diff(self.times) <= 0).any():
            raise InputError(
                f"expected held subjects at each of {n} rising times, some of them of the context, got "
                f"{len(self.held.held)} and {self.num_context} of the context"
            )


@dataclass(frozen=True, kw_only=True, eq=False)
class PositionErrors:
    """Errors in metres, [q], at the return of the q subjects that come back in the target.

    ``tracked_m``: of the place that the tracker holds, NaN where no track is matched to it. ``static_m``: of who
    takes the subject to be where it was last truly seen; ``constant_velocity_m``: of who lets it go on from there as it
    truly moved then, NaN where velocities are not annotated.
    """

    tracked_m: Floats
    static_m: Floats
    constant_velocity_m: Floats

    @property
    def is_held(self) -> NDArray[np.bool_]:
        return np.asarray(~np.isnan(self.tracked_m))


def tracked_positions(held: TrackedSubjects, truth: TrueSubjects) -> TrackedPositions:
    """Measure a tracker against the truth at the same n moments.

    Held subjects are matched to the seen ones at every moment, one to one, with the least distance in sum (Hungarian
    method); a subject that is hidden stays matched to whom it was when last seen, so that a swap while hidden counts
    in full.
    """
    phases = phases_of_sight(truth.seen)
    numbers = _numbers(held, truth)
    shape = truth.seen.shape
    error, velocity, deviations = (np.full(shape, np.nan) for _ in range(3))
    for moment, subject in np.argwhere(numbers >= 0).tolist():
        slots = np.flatnonzero(held.held[moment] & (held.numbers[moment] == numbers[moment, subject]))
        if not len(slots):  # it died while hidden
            numbers[moment, subject] = -1
            continue
        slot = slots[0]
        error[moment, subject] = np.linalg.norm(
            held.position_m[moment, slot] - truth.position_m[moment, subject]
        )
        deviations[moment, subject] = error[moment, subject] / max(held.deviation_m[moment, slot], 1e-9)
        if truth.velocity_m is not None:
            velocity[moment, subject] = np.linalg.norm(
                held.velocity_m[moment, slot] - truth.velocity_m[moment, subject]
            )
    returns = np.zeros(shape, dtype=bool)
    returns[:-1] = (phases[:-1] == HIDDEN) & truth.seen[1:]
    return TrackedPositions(
        numbers=numbers, error_m=error, velocity_error_m=velocity, deviations=deviations, phases=phases,
        returns=returns,
    )  # fmt: skip


def context_positions(tracked: Tracked, truth: TrueSubjects) -> TrackedPositions:
    """Measure a tracker at its moments, identities matched in the context.

    There the tracker saw what was truly to be seen; later it sees a model's own frames, or nothing. So whoever is held
    for a subject when the context last shows it stands for it from then on. ``truth``: of the same moments.
    """
    shown = truth.seen & (np.arange(len(truth.seen)) < tracked.num_context)[:, None]
    return tracked_positions(tracked.held, replace(truth, seen=shown))


def errors_at_return(
    tracked: Tracked, subjects: Sequence[SubjectTrack], num_context_frames: int, fps: float
) -> PositionErrors | None:
    """Measure a tracker at the first re-entry of each subject that the context shows and that comes back in the target.

    ::

        truly seen    #######..........|.......#####
        moments       |   |   |   |   ||   |   |   |
        compared                           ^            the last moment before the re-entry

    Returns ``None`` where it is not annotated where subjects are.

    Raises ``InputError`` if a moment lies after the clip's end.
    """
    num_frames = min((len(subject.visibility) for subject in subjects), default=0)
    whole = anchored_subjects(subjects, np.arange(num_frames), tracked.world_from_anchor, fps)
    if whole is None:
        return None
    frames = tracked.times.round().astype(np.int64)
    if frames[-1] >= num_frames:
        raise InputError(
            f"what is held at frame {frames[-1]} cannot be judged by a clip of {num_frames} frames"
        )
    error_m = context_positions(tracked, whole[frames]).error_m
    errors = []
    for subject, seen in enumerate(whole.seen.T):
        entry = first_return(seen, num_context_frames)
        if entry is None or not seen[:num_context_frames].any():
            continue
        moment = int(np.searchsorted(tracked.times, entry)) - 1
        last = int(np.flatnonzero(seen[:entry])[-1])
        moved = whole.position_m[frames[moment], subject] - whole.position_m[last, subject]
        straight = np.full(3, np.nan)
        if whole.velocity_m is not None:
            straight = moved - (frames[moment] - last) * whole.velocity_m[last, subject]
        errors.append((error_m[moment, subject], np.linalg.norm(moved), np.linalg.norm(straight)))
    held, still, on = np.array(errors, dtype=np.float64).reshape(-1, 3).T
    return PositionErrors(tracked_m=held, static_m=still, constant_velocity_m=on)


def phases_of_sight(seen: NDArray[np.bool_]) -> NDArray[np.int8]:
    """Tell moments [n, q] apart: seen, hidden after a sighting, or never seen yet."""
    before = np.maximum.accumulate(seen, axis=0)
    return np.where(seen, SEEN, np.where(before, HIDDEN, NEVER_SEEN)).astype(np.int8)


def number_switches(places: TrackedPositions) -> int:
    """Count how often a subject is held under another number when seen than at the sighting before it."""
    switches = 0
    for subject in range(places.numbers.shape[1]):
        chosen = (places.phases[:, subject] == SEEN) & (places.numbers[:, subject] >= 0)
        switches += int((np.diff(places.numbers[chosen, subject]) != 0).sum())
    return switches


def _numbers(held: TrackedSubjects, truth: TrueSubjects) -> NDArray[np.int64]:
    """Say the track matched to each true subject at each moment; −1: none."""
    numbers = np.full(truth.seen.shape, -1, dtype=np.int64)
    for moment in range(len(numbers)):
        if moment:
            numbers[moment] = numbers[moment - 1]
        here = np.flatnonzero(truth.seen[moment])
        slots = np.flatnonzero(held.held[moment] & held.seen[moment])
        if not len(here):
            continue
        numbers[moment, here] = -1
        true_m, tracked_m = truth.position_m[moment][here], held.position_m[moment][slots]
        gaps = np.linalg.norm(true_m[:, None] - tracked_m[None], axis=-1)
        for row, column in zip(*linear_sum_assignment(np.minimum(gaps, FAR_M)), strict=True):
            numbers[moment, here[row]] = held.numbers[moment, slots[column]]
    return numbers


SAME_CAMERA = 1e-3
"""Cameras are the same whose poses differ by less in every entry (metres; directions of length 1)."""


def true_rollout(
    clip: Clip, num_context: int, times: Floats, cameras: Floats, world_from_anchor: Floats, fov_x_rad: float
) -> TrueSubjects | None:
    """Say where a clip's subjects are at n moments of a rollout; ``None``: that is not annotated.

    ``num_context``: frames of the clip's context, its last ones, that the rollout was shown. ``times`` [n]: in video
    frames, from the first of those. ``cameras`` [n, 3, 4]: ``anchor_from_camera``. Moments after the clip's end are
    not known.
    """
    frames = np.asarray(times).round().astype(np.int64) + clip.num_context_frames - num_context
    known: NDArray[np.bool_] = np.asarray(frames < len(clip.video))
    within = np.where(known, frames, 0)
    truth = true_subjects(clip, within, world_from_anchor)
    if truth is None:
        return None
    clips_own = relative_poses(clip.cameras.world_from_camera[within], world_from_anchor)
    same: NDArray[np.bool_] = np.asarray((np.abs(clips_own - cameras) < SAME_CAMERA).all(axis=(1, 2)))
    seen = np.where(same[:, None], truth.seen, in_view(truth.position_m, cameras, fov_x_rad)) & known[:, None]
    unknown = ~known[:, None, None]
    velocity = None if truth.velocity_m is None else np.where(unknown, np.nan, truth.velocity_m)
    return replace(
        truth, position_m=np.where(unknown, np.nan, truth.position_m), seen=seen, velocity_m=velocity
    )


def in_view(position_m: Floats, cameras: Floats, fov_x_rad: float) -> NDArray[np.bool_]:
    """Tell which places [n, q, 3] lie ahead of the camera [n, 3, 4] and within its picture's width."""
    seen_from = np.einsum("nqi,nij->nqj", position_m - cameras[:, None, :, 3], cameras[:, :, :3])
    across, ahead = np.abs(seen_from[..., 0]), seen_from[..., 2]
    return np.asarray((ahead > 0) & (across <= ahead * np.tan(fov_x_rad / 2)))


def positions_of_rollout(tracked: Tracked, truth: TrueSubjects) -> dict[str, Any]:
    """Tell, as JSON can hold it, who was held for each subject at each latent frame of a rollout, and how far off.

    ``truth``: of all moments of ``tracked``. Metres; ``null`` where the truth is not known, or no track is matched.
    """
    places = context_positions(tracked, truth)
    rolled = slice(tracked.num_context, None)
    known: NDArray[np.bool_] = np.asarray(np.isfinite(truth.position_m[rolled]).all(axis=-1))
    seen = truth.seen[rolled]
    held, error_m = (places.numbers[rolled] >= 0) & known, places.error_m[rolled]
    return {
        "frames": tracked.times[rolled].round().astype(int).tolist(),
        "num_known": int(known.any(axis=1).sum()),
        "held_share": _mean(held[known].astype(float)),
        "seen_error_m": _mean(error_m[held & seen]),
        "hidden_error_m": _mean(error_m[held & ~seen]),
        "subjects": [
            {
                "name": name,
                "seen": [bool(s) if k else None for s, k in zip(seen[:, subject], known[:, subject], strict=True)],
                "number": _where(places.numbers[rolled][:, subject].tolist(), held[:, subject]),
                "error_m": _where(error_m[:, subject].round(4).tolist(), held[:, subject]),
            }
            for subject, name in enumerate(truth.names)
        ],
    }  # fmt: skip


def _mean(values: Floats) -> float | None:
    return round(float(values.mean()), 4) if values.size else None


def _where(values: list[Any], there: NDArray[np.bool_]) -> list[Any]:
    return [value if is_there else None for value, is_there in zip(values, there, strict=True)]
