"""Where a clip's subjects truly are while one walks on from it, and how far off the tracker takes them to be.

::

    clip    context ........|target ........|
    walk       context used |step|step|step|step|step ...
                             known ........| not known      subjects go their way whoever looks

The walk may have cameras of its own. Where they are the clip's, its annotation says who is seen; elsewhere whoever
stands within the picture's width does, since nobody rendered what would hide them there.
"""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from outofsight.evaluation.birdseye import Floats, TrueSubjects, true_subjects
from outofsight.evaluation.held_places import Tracked, context_places
from outofsight.geometry.poses import relative_poses
from outofsight.types import Clip

SAME_CAMERA = 1e-3
"""Cameras are the same whose poses differ by less in every entry (metres; directions of length 1)."""


def true_walk(
    clip: Clip,
    num_context: int,
    times: Floats,
    cameras: Floats,
    world_from_anchor: Floats,
    fov_x_rad: float,
) -> TrueSubjects | None:
    """Say where a clip's subjects are at n moments of a walk; ``None``: that is not annotated.

    ``num_context``: frames of the clip's context, its last ones, that the walk was shown. ``times`` [n]: in video
    frames, from the first of those. ``cameras`` [n, 3, 4]: ``anchor_from_camera``. Moments after the clip's end are
    not known.
    """
    frames = np.asarray(times).round().astype(np.int64) + clip.num_context_frames - num_context
    known: NDArray[np.bool_] = np.asarray(frames < len(clip.video))
    within = np.where(known, frames, 0)
    told = true_subjects(clip, within, world_from_anchor)
    if told is None:
        return None
    clips_own = relative_poses(clip.cameras.world_from_camera[within], world_from_anchor)
    same: NDArray[np.bool_] = np.asarray((np.abs(clips_own - cameras) < SAME_CAMERA).all(axis=(1, 2)))
    seen = np.where(same[:, None], told.seen, in_view(told.position_m, cameras, fov_x_rad)) & known[:, None]
    unknown = ~known[:, None, None]
    velocity = None if told.velocity_m is None else np.where(unknown, np.nan, told.velocity_m)
    return TrueSubjects(
        position_m=np.where(unknown, np.nan, told.position_m),
        seen=seen,
        names=told.names,
        velocity_m=velocity,
    )


def in_view(position_m: Floats, cameras: Floats, fov_x_rad: float) -> NDArray[np.bool_]:
    """Tell which places [n, q, 3] lie ahead of the camera [n, 3, 4] and within its picture's width."""
    seen_from = np.einsum("nqi,nij->nqj", position_m - cameras[:, None, :, 3], cameras[:, :, :3])
    across, ahead = np.abs(seen_from[..., 0]), seen_from[..., 2]
    return np.asarray((ahead > 0) & (across <= ahead * np.tan(fov_x_rad / 2)))


def places_of_walk(tracked: Tracked, truth: TrueSubjects) -> dict[str, Any]:
    """Tell, as JSON can hold it, who was held for each subject at each latent frame of a walk, and how far off.

    ``truth``: of all moments of ``tracked``. Metres; ``null`` where the truth is not known, or nobody is held.
    """
    places = context_places(tracked, truth)
    walk = slice(tracked.num_context, None)
    known: NDArray[np.bool_] = np.asarray(np.isfinite(truth.position_m[walk]).all(axis=-1))
    seen = truth.seen[walk]
    held, error_m = (places.numbers[walk] >= 0) & known, places.error_m[walk]
    return {
        "frames": tracked.times[walk].round().astype(int).tolist(),
        "num_known": int(known.any(axis=1).sum()),
        "held_share": _mean(held[known].astype(float)),
        "seen_error_m": _mean(error_m[held & seen]),
        "hidden_error_m": _mean(error_m[held & ~seen]),
        "subjects": [
            {
                "name": name,
                "seen": [bool(s) if k else None for s, k in zip(seen[:, subject], known[:, subject], strict=True)],
                "number": _where(places.numbers[walk][:, subject].tolist(), held[:, subject]),
                "error_m": _where(error_m[:, subject].round(4).tolist(), held[:, subject]),
            }
            for subject, name in enumerate(truth.names)
        ],
    }  # fmt: skip


def _mean(values: Floats) -> float | None:
    return round(float(values.mean()), 4) if values.size else None


def _where(values: list[Any], there: NDArray[np.bool_]) -> list[Any]:
    return [value if is_there else None for value, is_there in zip(values, there, strict=True)]
