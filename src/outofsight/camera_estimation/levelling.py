"""A world in our conventions for poses that came in any: z up, metres where a height is known, the first camera above
the origin and looking along +x."""

import numpy as np
from numpy.typing import NDArray

from outofsight.errors import CameraError
from outofsight.geometry.poses import Poses

SPREAD = 0.01
"""Share of the spread of the cameras' right axes across their main one, from which on they tell a horizontal plane."""
EYE_HEIGHT_M = 1.6
USUAL_DEPTH_M = 5.0
GROUND_TRIALS, GROUND_SHARE, LEAST_GROUND_POINTS = 500, 0.03, 25
MOST_SLOPE_DEG = 12.0


def upward(poses: Poses) -> NDArray[np.float64]:
    """Find the world's up [3] from how cameras are held: their right axes are level, on the whole they are upright."""
    right, up = poses[:, :, 0], -poses[:, :, 1].mean(axis=0)
    spreads, axes = np.linalg.eigh(right.T @ right / len(right))
    if spreads[1] > SPREAD:
        found = axes[:, 0]
        return np.asarray(found * (1.0 if found @ up > 0 else -1.0))
    level = right.mean(axis=0)
    level = level / np.linalg.norm(level)
    found = up - (up @ level) * level
    return np.asarray(found / np.linalg.norm(found))


def camera_height(poses: Poses, points: NDArray[np.float64], up: NDArray[np.float64]) -> float:
    """Find the first camera's height above the ground, in the poses' unit: the plane below that most points share.

    Raises:
        CameraError: no plane below the cameras has enough points.
    """
    eye = poses[0, :, 3]
    below = points[(points - eye) @ up < 0]
    depth = float(np.median(np.linalg.norm(points - eye, axis=1))) if len(points) else 1.0
    generator = np.random.default_rng(0)
    best, height = 0, 0.0
    for _ in range(GROUND_TRIALS if len(below) >= LEAST_GROUND_POINTS else 0):
        one, two, three = below[generator.choice(len(below), 3, replace=False)]
        normal = np.cross(two - one, three - one)
        normal = normal / max(float(np.linalg.norm(normal)), 1e-12)
        normal = normal if normal @ up > 0 else -normal
        if normal @ up < np.cos(np.radians(MOST_SLOPE_DEG)):
            continue
        count = int((np.abs((below - one) @ normal) < GROUND_SHARE * depth / 5).sum())
        if count > best:
            best, height = count, float((eye - one) @ normal)
    if best < LEAST_GROUND_POINTS:
        raise CameraError(
            "--height-m: the ground below the camera could not be found (too few points of it are seen); leave it out, "
            "and distances stay arbitrary"
        )
    return height


def levelled(poses: Poses, points: NDArray[np.float64], height_m: float | None) -> Poses:
    """Turn, shift and scale poses into our world.

    ``height_m``: of the first camera above the ground. Without it the scenery's median depth is taken for 5 m.

    Raises:
        CameraError: a height is given, and no ground is found.
    """
    up = upward(poses)
    ahead = poses[0, :, 2] - (poses[0, :, 2] @ up) * up
    if np.linalg.norm(ahead) < 1e-6:  # it looks straight up or down
        ahead = poses[0, :, 1] - (poses[0, :, 1] @ up) * up
    ahead = ahead / np.linalg.norm(ahead)
    turn = np.stack([ahead, np.cross(up, ahead), up])
    scale = 1.0
    if len(points):
        scale = USUAL_DEPTH_M / float(np.median(np.linalg.norm(points - poses[0, :, 3], axis=1)))
        if height_m is not None:
            scale = height_m / camera_height(poses, points, up)
    placed = np.einsum("ij,njk->nik", turn, poses)
    placed[:, :, 3] = scale * (placed[:, :, 3] - placed[0, :, 3])
    placed[:, 2, 3] += EYE_HEIGHT_M if height_m is None else height_m
    return placed
