"""A camera that also moves: poses, focal length and points of the scenery, by pycolmap's incremental mapping."""

from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from types import ModuleType
from typing import Any

import numpy as np
from numpy.typing import NDArray

from outofsight.camera_estimation.matches import Matches, colmap
from outofsight.geometry.poses import Poses, invert_rigid

LEAST_FIRST_ANGLE_DEG = 4.0
"""Between the rays of the first two frames: a video moves less than photographs do."""
WELL_SEEN = 3
"""Frames that must show a point that counts."""
LEAST_POINTS, MOST_MISS_PX = 20, 4.0
"""Points that place a frame, and how far off their pictures may be."""


@dataclass(frozen=True, kw_only=True, eq=False)
class Structure:
    """``poses`` [n, 3, 4], world from camera, of the ``frames`` [n] that were placed, in an arbitrary unit and world.

    ``points`` [m, 3]: scenery in the same world; ``error_px``: mean distance of a point's picture from where it was
    seen; ``angle_deg``: median of the widest angle between two rays to a point.
    """

    frames: NDArray[np.int64]
    poses: Poses
    focal_px: float
    points: NDArray[np.float64]
    error_px: float
    angle_deg: float


def estimate_structure(
    matches: Matches, *, free_focal: bool, start: int = 0, every: int = 4
) -> Structure | None:
    """Map every ``every``-th frame from ``start`` on, then place the others in that map; ``None``: nothing came of it.

    Fewer frames further apart are not only faster: of all frames, pycolmap begins with two that are too near.
    """
    library = colmap()
    with TemporaryDirectory() as scratch:
        found = library.incremental_mapping(
            matches.database, scratch, Path(scratch), _options(library, matches, free_focal, start, every)
        )
        if not found:
            return None
        best = max(found.values(), key=lambda one: one.num_reg_images())
        poses = {
            image.image_id - 1: image.cam_from_world() for image in best.images.values() if image.has_pose
        }
        poses |= _placed_between(library, matches, best, set(range(matches.num_frames)) - set(poses))
        return _read(best, poses)


def _options(library: ModuleType, matches: Matches, free_focal: bool, start: int, every: int) -> Any:
    options = library.IncrementalPipelineOptions(
        min_num_matches=15, extract_colors=False, num_threads=1, random_seed=start, ba_refine_focal_length=free_focal,
        ba_refine_principal_point=False, ba_refine_extra_params=False, max_num_models=3, init_num_trials=50,
        image_names=[f"{number:06d}" for number in range(start, matches.num_frames, every)],
    )  # fmt: skip
    options.mapper.init_min_tri_angle = LEAST_FIRST_ANGLE_DEG
    options.mapper.abs_pose_refine_focal_length = free_focal
    options.mapper.random_seed = options.triangulation.random_seed = start
    return options


def _placed_between(library: ModuleType, matches: Matches, found: Any, missing: set[int]) -> dict[int, Any]:
    """Place frames by the map's points that they show."""
    seen: dict[int, list[tuple[NDArray[np.int64], NDArray[np.float64]]]] = {number: [] for number in missing}
    placed = {}
    with library.Database.open(matches.database) as database:
        for number, geometry in zip(*database.read_two_view_geometries(), strict=True):
            one, other = library.pair_id_to_image_pair(number)
            pairs = np.asarray(geometry.inlier_matches, dtype=np.int64).reshape(-1, 2)
            for frame, mapped, columns in ((one, other, (0, 1)), (other, one, (1, 0))):
                if frame - 1 in missing and mapped in found.images and found.images[mapped].has_pose:
                    seen[frame - 1].append(_points_of(found, mapped, pairs[:, columns]))
        for frame, parts in seen.items():
            keys = np.concatenate([np.zeros(0, np.int64), *(key for key, _ in parts)])
            if len(keys) < LEAST_POINTS:
                continue
            pixels = np.asarray(database.read_keypoints(frame + 1))[keys, :2].astype(np.float64)
            points = np.concatenate([point for _, point in parts])
            registered = library.estimate_and_refine_absolute_pose(
                pixels,
                points,
                next(iter(found.cameras.values())),
                library.AbsolutePoseEstimationOptions(ransac={"max_error": MOST_MISS_PX, "random_seed": 0}),
            )
            if registered is not None and registered["num_inliers"] >= LEAST_POINTS:
                placed[frame] = registered["cam_from_world"]
    return placed


def _points_of(
    found: Any, image: int, pairs: NDArray[np.int64]
) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
    """Give a frame's keypoints, and the map's points that they show, by its matches with a mapped image."""
    places = found.images[image].points2D
    kept = [
        (own, found.points3D[places[theirs].point3D_id].xyz)
        for own, theirs in pairs
        if places[theirs].has_point3D()
    ]
    return np.array([own for own, _ in kept], np.int64), np.array([xyz for _, xyz in kept]).reshape(-1, 3)


def _read(found: Any, poses_by_frame: dict[int, Any]) -> Structure:
    frames = sorted(poses_by_frame)
    poses = invert_rigid(np.stack([poses_by_frame[frame].matrix() for frame in frames]))
    places = {frame + 1: pose[:, 3] for frame, pose in zip(frames, poses, strict=True)}
    points, angles = [], []
    for point in found.points3D.values():
        seen_from = [places[part.image_id] for part in point.track.elements if part.image_id in places]
        if len(seen_from) >= WELL_SEEN:
            points.append(np.asarray(point.xyz))
            angles.append(_widest_deg(np.stack(seen_from) - point.xyz))
    camera = next(iter(found.cameras.values()))
    return Structure(
        frames=np.array(frames),
        poses=poses,
        focal_px=float(camera.params[0]),
        points=np.stack(points) if points else np.zeros((0, 3)),
        error_px=float(found.compute_mean_reprojection_error()),
        angle_deg=float(np.median(angles)) if angles else 0.0,
    )


def _widest_deg(rays: NDArray[np.float64]) -> float:
    units = rays / np.linalg.norm(rays, axis=1, keepdims=True)
    return float(np.degrees(np.arccos(np.clip((units @ units.T).min(), -1, 1))))
