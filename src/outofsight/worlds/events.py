"""When subjects leave the picture and come back: from geometry before rendering, from instance masks after.

seen    #########.............########      visibility VISIBLE or CUT
hidden           .............              OCCLUDED or OUT_OF_VIEW
exit frame ------^            ^------ entry frame (first frame of each)
"""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from outofsight.geometry.frustum import picture_of
from outofsight.types import Intrinsics, Visibility, is_seen
from outofsight.worlds.scenes import Obstacle

LEAST_DEPTH_M = 0.02
HIDDEN_SHARE = 0.9  # a body of which this share of sample points is blocked counts as occluded
INSIDE_SHARE = 0.98  # a body with fewer of its points inside the frame counts as cut
OUTSIDE_SHARE = 0.02  # a body with fewer of its points inside the frame counts as out of view
MASK_SHARE = 0.0002  # of the picture's pixels, at least: less of a subject than this is not seen

Points = NDArray[np.float64]
"""[n, p, 3]: points of a body in the world, in every frame, metres."""


@dataclass(frozen=True, kw_only=True)
class HiddenSpan:
    """One absence: hidden from ``exit_frame`` (first hidden) until ``entry_frame`` (first seen again)."""

    exit_frame: int
    entry_frame: int
    num_out_of_view: int

    @property
    def num_frames(self) -> int:
        return self.entry_frame - self.exit_frame


@dataclass(frozen=True, kw_only=True)
class ReentryRule:
    """What a clip must show: seen, then out of view, then seen again in the target half, each for so many frames."""

    num_context_frames: int
    min_hidden_frames: int = 8
    min_seen_frames: int = 6


def to_pixels(points: Points, world_from_camera: Points, intrinsics: Intrinsics) -> tuple[Points, Points]:
    """Project [n, p, 3] through cameras [n, 3, 4]: pixels [n, p, 2] and depth [n, p] (NaN pixels behind the camera)."""
    rotation, position = world_from_camera[:, :, :3], world_from_camera[:, None, :, 3]
    local = (points - position) @ rotation
    depth = local[..., 2]
    ahead = (depth > LEAST_DEPTH_M)[..., None]
    tangents = local[..., :2] / np.where(ahead, local[..., 2:], 1.0)
    return np.where(ahead, picture_of(tangents, intrinsics.lens_px), np.nan), depth


def inside_frame(pixels: Points, intrinsics: Intrinsics) -> NDArray[np.bool_]:
    """Tell which projected points [n, p, 2] lie in the picture."""
    size = np.array([intrinsics.width_px, intrinsics.height_px])
    with np.errstate(invalid="ignore"):
        inside: NDArray[np.bool_] = np.logical_and.reduce((pixels >= 0) & (pixels <= size), axis=-1)
    return inside


def picture_boxes(pixels: Points, intrinsics: Intrinsics) -> NDArray[np.float32]:
    """Give the box x0, y0, x1, y1 [n, 4] of each frame's points, clipped to the picture; NaN where it misses it.

    A body partly behind the camera has the box of its points in front of it.
    """
    size = np.array([intrinsics.width_px, intrinsics.height_px], dtype=np.float64)
    known = ~np.isnan(pixels[..., 0])
    low = np.where(known[..., None], pixels, np.inf).min(axis=1)
    high = np.where(known[..., None], pixels, -np.inf).max(axis=1)
    low, high = np.clip(low, 0, size), np.clip(high, 0, size)
    boxes = np.concatenate([low, high], axis=-1)
    boxes[(high <= low).any(axis=-1)] = np.nan
    return boxes.astype(np.float32)


def blocked(points: Points, eyes: Points, obstacles: Sequence[Obstacle]) -> NDArray[np.bool_]:
    """Tell which points [n, p, 3] something hides from eyes [n, 3]."""
    hidden = np.zeros(points.shape[:2], dtype=bool)
    for obstacle in obstacles:
        hidden |= _blocked_by(points, eyes[:, None, :], obstacle)
    return hidden


def _blocked_by(points: Points, eyes: Points, obstacle: Obstacle) -> NDArray[np.bool_]:
    """Cut each sight line with the obstacle's plan, and see whether it passes below its top there."""
    c, s = np.cos(obstacle.yaw_rad), np.sin(obstacle.yaw_rad)
    unturn = np.array([[c, -s], [s, c]])
    begin = (eyes[..., :2] - np.asarray(obstacle.centre_m)) @ unturn
    way = (points - eyes)[..., :2] @ unturn
    begin = np.broadcast_to(begin, way.shape)
    enter, leave = (
        _disc_cut(begin, way, obstacle.half_size_m[0])
        if obstacle.kind == "disc"
        else _box_cut(begin, way, np.asarray(obstacle.half_size_m))
    )
    enter, leave = np.clip(enter, 0, 1), np.clip(leave, 0, 0.999)
    rise = points[..., 2] - eyes[..., 2]
    lowest = eyes[..., 2] + np.minimum(enter * rise, leave * rise)
    return (leave > enter) & (lowest < obstacle.height_m)


def _disc_cut(begin: Points, way: Points, radius_m: float) -> tuple[Points, Points]:
    a = np.maximum((way**2).sum(-1), 1e-12)
    b = (begin * way).sum(-1)
    c = (begin**2).sum(-1) - radius_m**2
    root = np.sqrt(np.maximum(b**2 - a * c, 0.0))
    misses = b**2 < a * c
    return np.where(misses, 1.0, (-b - root) / a), np.where(misses, 0.0, (-b + root) / a)


def _box_cut(begin: Points, way: Points, half_size_m: NDArray[np.float64]) -> tuple[Points, Points]:
    safe = np.where(np.abs(way) < 1e-12, 1e-12, way)
    one, two = (-half_size_m - begin) / safe, (half_size_m - begin) / safe
    return np.minimum(one, two).max(axis=-1), np.maximum(one, two).min(axis=-1)


def visibility_from_points(
    inside: NDArray[np.bool_], hidden: NDArray[np.bool_] | None = None
) -> NDArray[np.int8]:
    """Judge each frame from which of a body's points [n, p] lie in the picture, and which of those are blocked."""
    share = inside.mean(axis=1)
    visibility = np.full(len(inside), Visibility.CUT, dtype=np.int8)
    visibility[share >= INSIDE_SHARE] = Visibility.VISIBLE
    if hidden is not None:
        hidden_share = (inside & hidden).sum(axis=1) / np.maximum(inside.sum(axis=1), 1)
        visibility[hidden_share >= HIDDEN_SHARE] = Visibility.OCCLUDED
    visibility[share <= OUTSIDE_SHARE] = Visibility.OUT_OF_VIEW
    return visibility


def least_pixels(height_px: int, width_px: int) -> int:
    """Give the number of mask pixels below which a subject does not count as seen."""
    return max(2, round(MASK_SHARE * height_px * width_px))


def visibility_from_masks(
    ids: NDArray[np.uint8], subject_id: int, inside: NDArray[np.bool_]
) -> NDArray[np.int8]:
    """Judge each frame from the rendered instance ids [n, h, w]; ``inside`` [n, p] tells hidden from out of view."""
    area = (ids == subject_id).sum(axis=(1, 2))
    share = inside.mean(axis=1)
    seen = area >= least_pixels(*ids.shape[1:])
    visibility = np.where(share >= INSIDE_SHARE, Visibility.VISIBLE, Visibility.CUT).astype(np.int8)
    visibility[~seen] = np.where(share[~seen] > OUTSIDE_SHARE, Visibility.OCCLUDED, Visibility.OUT_OF_VIEW)
    return visibility


def hidden_spans(visibility: NDArray[np.int8]) -> tuple[HiddenSpan, ...]:
    """List the absences that both begin and end within the clip."""
    seen = is_seen(visibility)
    changes = np.flatnonzero(seen[1:] != seen[:-1]) + 1
    spans = []
    for exit_frame, entry_frame in pairwise(changes.tolist()):
        if not seen[exit_frame]:
            away = int((visibility[exit_frame:entry_frame] == Visibility.OUT_OF_VIEW).sum())
            spans.append(HiddenSpan(exit_frame=exit_frame, entry_frame=entry_frame, num_out_of_view=away))
    return tuple(spans)


def reentries(visibility: NDArray[np.int8], rule: ReentryRule) -> tuple[HiddenSpan, ...]:
    """List the absences that make a clip worth keeping (see ``ReentryRule``)."""
    seen = is_seen(visibility)
    kept = []
    for span in hidden_spans(visibility):
        before = seen[: min(span.exit_frame, rule.num_context_frames)].sum()
        after = seen[span.entry_frame : span.entry_frame + rule.min_seen_frames]
        if (
            span.entry_frame >= rule.num_context_frames
            and span.num_out_of_view >= rule.min_hidden_frames
            and before >= rule.min_seen_frames
            and len(after) == rule.min_seen_frames
            and after.all()
        ):
            kept.append(span)
    return tuple(kept)
