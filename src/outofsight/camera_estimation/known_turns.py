"""The lens of a set whose poses are known and whose intrinsics are not, from clips in which the camera only turns.

Between frames of one place, pixels move by K R K⁻¹ with a known R: the focal length is the one with which most of the
matches land where they are seen. A clip counts if its camera turns enough and hardly moves; the set's lens is the
median over clips, and their spread tells whether it is one.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from math import radians, tan

import numpy as np
from numpy.typing import NDArray

from outofsight.camera_estimation.matches import Video, matched
from outofsight.errors import CameraError
from outofsight.types import CameraPath, Intrinsics

LEAST_TURN_DEG, MOST_WAY_M, MOST_FRAMES = 8.0, 0.02, 13
FOVS_DEG = (25.0, 130.0)
CAP_PX = 3.0
LEAST_MATCHES = 150


@dataclass(frozen=True, kw_only=True)
class SetLens:
    """``fov_x_deg``: median over ``clips``; ``spread_deg``: half the range of the middle half of them."""

    fov_x_deg: float
    clips: int
    spread_deg: float


def turning_stretch(cameras: CameraPath) -> slice | None:
    """Find the longest stretch in which the camera stays in its place and turns enough; ``None``: there is none."""
    places = cameras.world_from_camera[:, :, 3]
    best = slice(0, 0)
    begin = 0
    for end in range(1, len(places) + 1):
        while np.linalg.norm(places[begin:end] - places[begin], axis=1).max() > MOST_WAY_M:
            begin += 1
        if end - begin > best.stop - best.start:
            best = slice(begin, end)
    ahead = cameras.world_from_camera[best, :, 2]
    turned = np.degrees(np.arccos(np.clip((ahead @ ahead.T).min(), -1, 1)))
    return best if turned >= LEAST_TURN_DEG else None


def clip_fov(video: Video, cameras: CameraPath) -> float | None:
    """Estimate one clip's horizontal field of view in degrees; ``None``: it does not turn in its place, or shows too
    little."""
    stretch = turning_stretch(cameras)
    if stretch is None:
        return None
    frames = np.unique(np.linspace(stretch.start, stretch.stop - 1, MOST_FRAMES).astype(int))
    turns, pictures = cameras.world_from_camera[frames, :, :3], video[frames]
    height, width = video.shape[1:3]
    lens = Intrinsics.from_fov(width_px=width, height_px=height, fov_x_rad=radians(65))
    with matched(pictures, None, lens, lambda stage, done, total: None) as found:
        middle = np.array([width / 2, height / 2])
        between = [
            (turns[pair.second].T @ turns[pair.first], pair.first_px - middle, pair.second_px - middle)
            for pair in found.pairs
        ]
    if sum(len(one) for _, one, _ in between) < LEAST_MATCHES:
        return None
    coarse = np.arange(*FOVS_DEG, 2.0)
    start = float(coarse[int(np.argmin([_cost(between, float(fov), width) for fov in coarse]))])
    fine = np.arange(start - 2, start + 2, 0.05)
    return float(fine[int(np.argmin([_cost(between, float(fov), width) for fov in fine]))])


Between = list[tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.float64]]]


def _cost(between: Between, fov_deg: float, width: int) -> float:
    """Average how far matches land from where they are seen, at most ``CAP_PX`` each."""
    focal = width / (2 * tan(radians(fov_deg) / 2))
    missed = []
    for turn, one, other in between:
        seen = np.column_stack([one / focal, np.ones(len(one))]) @ turn.T
        landed = focal * seen[:, :2] / np.maximum(seen[:, 2:], 0.05)
        missed.append(np.minimum(np.linalg.norm(landed - other, axis=1), CAP_PX))
    return float(np.concatenate(missed).mean())


def set_lens(clips: Iterable[tuple[Video, CameraPath]], enough: int = 20) -> SetLens:
    """Estimate a set's lens from the first clips that tell it.

    Raises:
        CameraError: no clip does.
    """
    fovs: list[float] = []
    for video, cameras in clips:
        fov = clip_fov(video, cameras)
        if fov is not None:
            fovs.append(fov)
        if len(fovs) >= enough:
            break
    if not fovs:
        raise CameraError(
            f"the lens cannot be estimated: no clip turns by {LEAST_TURN_DEG:g}° within {MOST_WAY_M:g} m; say it "
            "with --fov"
        )
    quarter = np.percentile(fovs, [25, 75])
    return SetLens(
        fov_x_deg=float(np.median(fovs)), clips=len(fovs), spread_deg=float(quarter[1] - quarter[0]) / 2
    )
