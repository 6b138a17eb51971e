"""The ground that a body takes up: circles along its length, so that a bus is not as wide as it is long."""

from collections.abc import Sequence
from math import ceil

import numpy as np
from numpy.typing import NDArray

from outofsight.worlds.motion import clearance_m, within_area_m
from outofsight.worlds.paths import PathMotion
from outofsight.worlds.scenes import SceneLayout
from outofsight.worlds.subjects import SubjectKind

Points = NDArray[np.float64]
SLENDEREST = 0.42  # least half width, as a share of the radius of the circle that holds a body


def half_width_m(kind: SubjectKind) -> float:
    """Give half the width of a body from its length and the circle that holds it, natural size."""
    beside = float(np.sqrt(max(kind.radius_m**2 - kind.length_m**2 / 4, 0.0)))
    return max(beside, SLENDEREST * kind.radius_m)


def circle_offsets_m(kind: SubjectKind) -> tuple[float, ...]:
    """Give where along its length the circles of ``half_width_m`` stand that cover a body, natural size."""
    reach = max(kind.length_m / 2 - half_width_m(kind), 0.0)
    num_beside = ceil(reach / (1.2 * half_width_m(kind)))
    return tuple(np.linspace(-reach, reach, 2 * num_beside + 1).tolist())


def circle_middles_m(path: PathMotion, kind: SubjectKind, scale: float) -> Points:
    """Give the middles [n, k, 2] of a walking body's circles in every frame."""
    ahead = np.stack([np.cos(path.heading_rad), np.sin(path.heading_rad)], axis=-1)
    offsets = np.asarray(circle_offsets_m(kind)) * scale
    return path.position_m[:, None] + offsets[:, None] * ahead[:, None]


def room_m(points_m: Points, layout: SceneLayout) -> Points:
    """Give the distance of ground points [..., 2] to the nearest obstacle or the edge of the free area."""
    flat = points_m.reshape(-1, 2)
    room = np.minimum(clearance_m(flat, layout.obstacles), within_area_m(flat, layout.free_area))
    return room.reshape(points_m.shape[:-1])


def gap_m(middles_m: Points, others_m: Sequence[Points]) -> float:
    """Give the least distance between the middles of one body's circles [n, k, 2] and others', frame by frame."""
    gaps = [np.linalg.norm(middles_m[:, :, None] - other[:, None], axis=-1).min() for other in others_m]
    return float(min(gaps, default=np.inf))
