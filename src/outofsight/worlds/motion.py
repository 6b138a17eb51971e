"""Everything that moves in a world, in every frame, as arrays: the camera and the subjects' ways on the ground."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from outofsight.errors import WorldError
from outofsight.worlds.cameras import camera_kind, trace_camera
from outofsight.worlds.paths import PathMotion, trace_path
from outofsight.worlds.scenes import Obstacle
from outofsight.worlds.spec import WorldSpec

Points = NDArray[np.float64]


@dataclass(frozen=True, kw_only=True, eq=False)
class WorldMotion:
    """The motion of a whole clip. ``world_from_camera`` [n, 3, 4]; ``time_s`` [n]; ``paths``: one for each subject."""

    time_s: NDArray[np.float64]
    world_from_camera: NDArray[np.float64]
    paths: tuple[PathMotion, ...]


def move_world(spec: WorldSpec) -> WorldMotion:
    """Compute where the camera and every subject are in every frame. Raises ``WorldError`` for unknown names."""
    time_s = np.arange(spec.num_frames) / spec.fps
    paths = tuple(trace_path(subject.path, time_s) for subject in spec.subjects)
    followed = None
    if camera_kind(spec.camera.trajectory).follows:
        index = spec.camera.follows
        if index is None or not 0 <= index < len(paths):
            raise WorldError(
                f"camera {spec.camera.trajectory!r} follows a subject: expected 0 to {len(paths) - 1}, got {index}"
            )
        followed = paths[index].position_m
    camera = trace_camera(spec.camera, spec.num_frames, spec.fps, followed)
    return WorldMotion(time_s=time_s, world_from_camera=camera, paths=paths)


def ground_poses(path: PathMotion) -> Points:
    """Give ``world_from_subject`` [n, 3, 4] of a subject on the ground: x forward, z up."""
    c, s = np.cos(path.heading_rad), np.sin(path.heading_rad)
    poses = np.zeros((len(c), 3, 4))
    poses[:, 0, 0], poses[:, 0, 1] = c, -s
    poses[:, 1, 0], poses[:, 1, 1] = s, c
    poses[:, 2, 2] = 1.0
    poses[:, :2, 3] = path.position_m
    return poses


def ground_velocities(path: PathMotion) -> Points:
    """Give the velocity [n, 3] in metres a second, world axes."""
    direction = np.stack(
        [np.cos(path.heading_rad), np.sin(path.heading_rad), np.zeros_like(path.heading_rad)], axis=-1
    )
    return direction * path.speed_m_s[:, None]


def box_points(poses: Points, half_extents_m: Sequence[float]) -> Points:
    """Give sample points [n, p, 3] on the upright ellipsoid-like hull of a standing body.

    ``half_extents_m``: half its length (forward), half its width (left), half its height; it stands on the ground.
    Corners are drawn in by a fifth, as bodies have none.
    """
    steps = np.array([-1.0, 0.0, 1.0])
    grid = np.stack(np.meshgrid(steps, steps, steps, indexing="ij"), axis=-1).reshape(-1, 3)
    corner = (np.abs(grid).sum(axis=1) == 3)[:, None]
    grid = np.where(corner, grid * np.array([0.8, 0.8, 1.0]), grid)
    local = (grid + np.array([0.0, 0.0, 1.0])) * np.asarray(half_extents_m)
    return np.einsum("nij,pj->npi", poses[:, :, :3], local) + poses[:, None, :, 3]


def clearance_m(points_m: Points, obstacles: Sequence[Obstacle]) -> Points:
    """Give the distance [n] from ground points [n, 2] to the nearest obstacle's edge; below 0 inside, inf if none."""
    nearest = np.full(len(points_m), np.inf)
    for obstacle in obstacles:
        nearest = np.minimum(nearest, obstacle.distance_m(points_m))
    return nearest


def within_area_m(points_m: Points, area_m: tuple[float, float, float, float]) -> Points:
    """Give how far inside the rectangle x0, y0, x1, y1 each ground point [n, 2] lies; below 0 outside."""
    low, high = np.array(area_m[:2]), np.array(area_m[2:])
    return np.minimum(points_m - low, high - points_m).min(axis=1)
