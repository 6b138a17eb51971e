"""Cameras of a video, estimated and judged: a turning camera's by rotations alone, a moving one's by structure."""

from dataclasses import dataclass, replace
from math import degrees, radians
from pathlib import Path

import numpy as np

from outofsight.camera_estimation.levelling import levelled
from outofsight.camera_estimation.matches import Masks, Matches, Progress, Video, matched
from outofsight.camera_estimation.structure import Structure, estimate_structure
from outofsight.camera_estimation.turning import FITS_PX, Turning, estimate_turning, strictness
from outofsight.camera_estimation.verdict import Verdict, disagreement
from outofsight.data.video import video_facts
from outofsight.errors import CameraError
from outofsight.geometry.poses import pose
from outofsight.types import CameraPath, Intrinsics

LEAST_FRAMES, LONG_FRAMES, LEAST_SIDE_PX = 8, 32, 128
FIRST_FOV_DEG = 65.0
TURNS_SHARE, TURNS_PX = 0.85, 0.6
"""A camera turns in place if so many matches agree with rotations alone, with such a median error."""
NEARLY_SHARE = 0.7
"""Where structure fails, a camera is taken to turn if so many matches agree, and half of them in 95% of the pairs."""
CORRELATED = 10.0
"""Matches err together (movers, lenses, rolling shutters): their spread alone makes the lens look too sure."""


@dataclass(frozen=True, kw_only=True, eq=False)
class Estimate:
    """``cameras`` in our conventions, with their lens where the video tells it; ``verdict`` on them.

    ``scale_is_known``: lengths are metres; otherwise the scenery's median depth was taken for 5 m, or nothing moves.
    """

    cameras: CameraPath
    verdict: Verdict
    scale_is_known: bool


def estimate_cameras(
    video: Video,
    *,
    fov_x_deg: float | None = None,
    masks: Masks | None = None,
    height_m: float | None = None,
    progress: Progress = lambda stage, done, total: None,
) -> Estimate:
    """Estimate every frame's camera of a video [n, height, width, 3]. Whether to believe it is in the verdict.

    ``fov_x_deg``: the lens, if it is known; ``masks``: bool [n, height, width], what moves by itself; ``height_m``: of
    the first camera above the ground.

    Raises:
        CameraError: nothing can be matched or placed, or the ground is not found for a height.
        InputError: pycolmap is not installed.
    """
    height, width = video.shape[1:3]
    if len(video) < LEAST_FRAMES or min(height, width) < LEAST_SIDE_PX:
        raise CameraError(
            f"cameras are estimated from {LEAST_FRAMES} frames or more of at least {LEAST_SIDE_PX} pixels a side, got "
            f"{len(video)} of {height}×{width}"
        )
    guess = Intrinsics.from_fov(
        width_px=width, height_px=height, fov_x_rad=radians(FIRST_FOV_DEG if fov_x_deg is None else fov_x_deg)
    )
    known = None if fov_x_deg is None else guess
    with matched(video, masks, guess, progress) as matches:
        if not matches.pairs:
            raise CameraError(
                "its cameras cannot be estimated: no two frames show the same points; film a place with more to see, "
                "slower"
            )
        progress("turning", 0, 1)
        turning = estimate_turning(matches, known)
        progress("turning", 1, 1)
        if turning.fitting_share >= TURNS_SHARE and turning.median_px <= TURNS_PX * strictness(width):
            return _of_turning(matches, turning, known, guess, height_m)
        progress("placing", 0, 2)
        every = 4 if len(video) >= LONG_FRAMES else 2
        first = estimate_structure(matches, free_focal=known is None, every=every)
        progress("placing", 1, 2)
        nearly = turning.fitting_share >= NEARLY_SHARE and turning.worst_px <= FITS_PX * strictness(width)
        if first is None and nearly:
            return _of_turning(matches, turning, known, guess, height_m, motion="nearly turns")
        if first is None:
            raise CameraError(
                f"its cameras cannot be estimated: the camera moves ({100 * turning.fitting_share:.0f}% of matches "
                "agree with turning alone), and no two frames are far enough apart for it; film longer or move more"
            )
        second = estimate_structure(matches, free_focal=known is None, start=every // 2, every=every)
        progress("placing", 2, 2)
        found = _of_structure(first, second, len(video), known, guess, height_m)
        if nearly and found.verdict.problems():
            turned = _of_turning(matches, turning, known, guess, height_m, motion="nearly turns")
            return min((turned, found), key=lambda one: len(one.verdict.problems()))
        return found


def _of_turning(
    matches: Matches,
    turning: Turning,
    known: Intrinsics | None,
    guess: Intrinsics,
    height_m: float | None,
    motion: str = "turns",
) -> Estimate:
    one, other = (estimate_turning(matches, known, part=part) for part in (0, 1))
    poses, *halves = (pose(found.rotations, np.zeros(3)) for found in (turning, one, other))
    unsure = max(_fov_difference(one, other, guess), CORRELATED * turning.fov_deviation_deg)
    lens = replace(guess, fx_px=turning.focal_px, fy_px=turning.focal_px)
    verdict = Verdict(
        motion=motion, frames=matches.num_frames, placed=turning.joined, error_px=turning.median_px,
        turn_deg=disagreement(*halves)[0], shift_share=0.0, fov_deg=unsure, fov_x_deg=degrees(lens.fov_x_rad),
        lens_is_known=known is not None,
    )  # fmt: skip
    placed = CameraPath(world_from_camera=levelled(poses, np.zeros((0, 3)), height_m), intrinsics=lens)
    return Estimate(cameras=placed, verdict=verdict, scale_is_known=True)


def _of_structure(
    first: Structure, second: Structure | None, frames: int, known: Intrinsics | None, guess: Intrinsics,
    height_m: float | None,
) -> Estimate:  # fmt: skip
    lens = replace(guess, fx_px=first.focal_px, fy_px=first.focal_px)
    turned, shifted, wider = _second_opinion(first, second, guess)
    verdict = Verdict(
        motion="moves", frames=frames, placed=len(first.frames), error_px=first.error_px, turn_deg=turned,
        shift_share=shifted, fov_deg=wider, fov_x_deg=degrees(lens.fov_x_rad), lens_is_known=known is not None,
    )  # fmt: skip
    placed = CameraPath(world_from_camera=levelled(first.poses, first.points, height_m), intrinsics=lens)
    return Estimate(cameras=placed, verdict=verdict, scale_is_known=height_m is not None)


def _second_opinion(
    first: Structure, second: Structure | None, guess: Intrinsics
) -> tuple[float, float, float]:
    """Compare with a second estimate on the frames of both; infinitely far off where there is none."""
    if second is None or np.isin(first.frames, second.frames).sum() < 2:
        return float("inf"), float("inf"), float("inf")
    ours, theirs = np.isin(first.frames, second.frames), np.isin(second.frames, first.frames)
    turned, shifted = disagreement(first.poses[ours], second.poses[theirs])
    return turned, shifted, _fov_difference(first, second, guess)


def _fov_difference(one: Turning | Structure, other: Turning | Structure, guess: Intrinsics) -> float:
    fovs = [degrees(replace(guess, fx_px=found.focal_px).fov_x_rad) for found in (one, other)]
    return abs(fovs[0] - fovs[1])


HDR_CURVES = {16: "PQ", 18: "HLG"}
"""FFmpeg's numbers of transfer curves that screens without HDR show too pale."""


def notes_on_file(path: Path) -> list[str]:
    """Say what is unusual about a video: turned, of varying rate, HDR, odd in size. Raises ``VideoError``."""
    facts = video_facts(path)
    notes = []
    if facts.rotation_deg:
        notes.append(f"is filmed turned by {abs(facts.rotation_deg)}°, and read upright")
    if facts.varies:
        notes.append(f"shows frames of varying length (mean {facts.fps:.4g} a second); each gets one camera")
    if curve := HDR_CURVES.get(facts.curve):
        notes.append(
            f"is HDR ({curve}): its colours are read as they are, too pale; convert it to SDR for a model"
        )
    if facts.height % 2 or facts.width % 2:
        notes.append(f"has an odd size ({facts.height}×{facts.width}); --size of generate crops it")
    return [f"{path.name} {note}" for note in notes]
