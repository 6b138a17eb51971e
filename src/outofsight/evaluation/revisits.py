"""Loop closure: does a place look the same when the camera returns to it?

::

    camera      ──────►───────   ◄──────────   (pan right, pan back)
    frame       0   5   10  15   20  25  30
    pairs           5 ────────────── 25        same pose, and away in between
"""

import numpy as np
from numpy.typing import NDArray

from outofsight.evaluation.case import ClipCase, Masks, Video
from outofsight.evaluation.evidence import Evidence, Measure, Measured, gated
from outofsight.evaluation.observations import Observed
from outofsight.evaluation.pixels import dilated, dilation_radius_px, region_psnr
from outofsight.geometry.poses import rotation_angle
from outofsight.types import CameraPath

SAME_TURN_RAD = np.deg2rad(0.5)
SAME_PLACE_M = 0.05
"""Two frames see the same view if their cameras differ by less: half a pixel at 96 columns and 60°."""

AWAY_TURN_RAD = np.deg2rad(10.0)
AWAY_PLACE_M = 0.5
"""The camera has been away if between the two it differed from the first by this much, in turn or in place."""


def revisits(cameras: CameraPath) -> list[tuple[int, int]]:
    """Pair every frame of a camera path with the nearest pose of an earlier visit: (earlier, later) frames.

    A frame is paired at most once as the later one; with equal poses the earliest frame is taken.
    """
    turn, place = _differences(cameras)
    nearness = turn / SAME_TURN_RAD + place / SAME_PLACE_M
    away = (turn > AWAY_TURN_RAD) | (place > AWAY_PLACE_M)
    pairs = []
    for later in range(len(cameras)):
        left = np.array([away[earlier, earlier:later].any() for earlier in range(later)], dtype=bool)
        same = (turn[:later, later] < SAME_TURN_RAD) & (place[:later, later] < SAME_PLACE_M) & left
        if same.any():
            pairs.append((int(np.where(same, nearness[:later, later], np.inf).argmin()), later))
    return pairs


def _differences(cameras: CameraPath) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Give the turn in radians and the distance in metres between every two frames: two [n, n]."""
    poses = cameras.world_from_camera
    rotations, places = poses[:, :, :3], poses[:, :, 3]
    turn = rotation_angle(rotations[:, None].swapaxes(-1, -2) @ rotations[None])
    return turn, np.linalg.norm(places[:, None] - places[None], axis=-1)


def loop_closure(evidence: Evidence) -> Measured:
    """Compare the background of generated frames with that of generated frames of an earlier visit: PSNR in dB."""
    assert evidence.case.cameras is not None
    pairs = revisits(evidence.case.cameras[evidence.case.num_context_frames :])
    if not pairs:
        return gated("the camera does not come back to an earlier view within the target")
    earlier, later = np.array(pairs).T
    background = ~_subjects_anywhere(evidence)
    return _background_psnr(evidence.generated, background, earlier, evidence.generated, background, later)


def context_closure(evidence: Evidence) -> Measured:
    """Compare the background of generated frames with that of the context frames that saw the same view."""
    case = evidence.case
    pairs = context_revisits(case)
    if not pairs:
        return gated("the camera does not come back to a view of the context")
    earlier, later = np.array(pairs).T
    assert case.foreground is not None
    context = ~_widened(case.foreground[: case.num_context_frames])
    target = ~_subjects_anywhere(evidence)
    return _background_psnr(case.context, context, earlier, evidence.generated, target, later)


def context_revisits(case: ClipCase) -> list[tuple[int, int]]:
    """Pair target frames with context frames of the same view: (context frame, target frame), each from its 0."""
    assert case.cameras is not None
    split = case.num_context_frames
    pairs = revisits(case.cameras)
    return [(earlier, later - split) for earlier, later in pairs if earlier < split <= later]


def _background_psnr(
    video_a: Video,
    background_a: Masks,
    frames_a: NDArray[np.intp],
    video_b: Video,
    background_b: Masks,
    frames_b: NDArray[np.intp],
) -> Measured:
    common = background_a[frames_a] & background_b[frames_b]
    value = region_psnr(video_a[frames_a], video_b[frames_b], common)
    return gated("subjects cover all of the views that return") if value is None else Measured(value)


def _subjects_anywhere(evidence: Evidence) -> Masks:
    """Give where subjects truly are or are seen by the detector in the target frames [t, h, w], widened."""
    assert evidence.case.foreground is not None
    masks = evidence.case.foreground[evidence.case.num_context_frames :]
    found = _found(evidence.observed)
    return _widened(masks if found is None else masks | found)


def _found(observed: Observed | None) -> Masks | None:
    return None if observed is None or observed.masks is None else np.asarray(observed.masks.any(axis=0))


def _widened(masks: Masks) -> Masks:
    return dilated(masks, dilation_radius_px(masks.shape[-2]))


_NEEDS = frozenset({"masks", "cameras"})
_SOURCE = "own rule: views within 0.5° and 5 cm of each other, 10° or 0.5 m away in between"

REVISIT_MEASURES = (
    Measure(
        name="loop_closure",
        tier=0,
        unit="dB",
        higher_is_better=True,
        needs=_NEEDS,
        what="PSNR of the background between generated frames of the same view, the camera away in between",
        source=_SOURCE,
        compute=loop_closure,
    ),
    Measure(
        name="context_closure",
        tier=0,
        unit="dB",
        higher_is_better=True,
        needs=_NEEDS,
        what="PSNR of the background between generated frames and the context frames of the same view",
        source=_SOURCE,
        compute=context_closure,
    ),
)
