"""Rigid poses as matrices [..., 3, 4]: invert, compose, express relative to another, look at a point.

Conventions: metres, radians; world z up, right-handed; camera axes OpenCV (x right, y down, z forward).
"""

import numpy as np
from numpy.typing import ArrayLike, NDArray

from outofsight.errors import CameraError, InputError

Poses = NDArray[np.float64]
"""float64 [..., 3, 4]: a rotation and, in the last column, a translation in metres."""

MIN_DISTANCE_M = 1e-9
MIN_SINE_TO_VERTICAL = 1e-6
"""A line of sight nearer to the vertical than this leaves the camera's roll undefined."""


def pose(rotation: ArrayLike, translation_m: ArrayLike) -> Poses:
    """Join rotations [..., 3, 3] and translations [..., 3]; leading dimensions are broadcast."""
    rotation = np.asarray(rotation, dtype=np.float64)
    translation = np.asarray(translation_m, dtype=np.float64)
    batch = np.broadcast_shapes(rotation.shape[:-2], translation.shape[:-1])
    rotation = np.broadcast_to(rotation, (*batch, 3, 3))
    return np.concatenate([rotation, np.broadcast_to(translation, (*batch, 3))[..., None]], axis=-1)


def invert_rigid(poses: ArrayLike) -> Poses:
    """Turn ``a_from_b`` into ``b_from_a``; the 3×3 part is taken for a rotation, so it is transposed."""
    poses = checked_poses(poses)
    inverse = poses[..., :3].swapaxes(-1, -2)
    return np.concatenate([inverse, -inverse @ poses[..., 3:]], axis=-1)


def compose(a_from_b: ArrayLike, b_from_c: ArrayLike) -> Poses:
    """Give ``a_from_c``; leading dimensions are broadcast."""
    first, second = checked_poses(a_from_b), checked_poses(b_from_c)
    rotation = first[..., :3] @ second[..., :3]
    translation = first[..., :3] @ second[..., 3:] + first[..., 3:]
    return np.concatenate([rotation, translation], axis=-1)


def relative_poses(world_from_camera: ArrayLike, world_from_reference: ArrayLike) -> Poses:
    """Express cameras [n, 3, 4] in a reference camera's frame [3, 4]: ``reference_from_camera`` [n, 3, 4].

    The translations are subtracted before they are rotated, so that a world whose origin is kilometres away
    costs no precision.
    """
    cameras, reference = checked_poses(world_from_camera), checked_poses(world_from_reference)
    from_world = reference[..., :3].swapaxes(-1, -2)
    translation = from_world @ (cameras[..., 3:] - reference[..., 3:])
    return np.concatenate([from_world @ cameras[..., :3], translation], axis=-1)


def transform_points(a_from_b: ArrayLike, points_m: ArrayLike) -> NDArray[np.float64]:
    """Map points [..., p, 3] from b to a by poses [..., 3, 4]; leading dimensions are broadcast."""
    poses, points = checked_poses(a_from_b), np.asarray(points_m, dtype=np.float64)
    return points @ poses[..., :3].swapaxes(-1, -2) + poses[..., None, :, 3]


def look_at(position_m: ArrayLike, target_m: ArrayLike) -> Poses:
    """Place an upright camera at a position, looking at a target: ``world_from_camera`` [..., 3, 4].

    Raises:
        CameraError: the two points coincide, or one is straight above the other.
    """
    position, target = (np.asarray(point, dtype=np.float64) for point in (position_m, target_m))
    sight = target - position
    distance = np.linalg.norm(sight, axis=-1, keepdims=True)
    if not np.isfinite(distance).all() or (distance < MIN_DISTANCE_M).any():
        raise CameraError(f"look_at needs two different finite points, got {position} and {target}")
    forward = sight / distance
    right = np.cross(forward, [0.0, 0.0, 1.0])
    level = np.linalg.norm(right, axis=-1, keepdims=True)
    if (level < MIN_SINE_TO_VERTICAL).any():
        raise CameraError(
            f"look_at from {position} to {target} looks straight up or down, where roll is undefined; "
            "move one of the points sideways, or make the pose with level_pose"
        )
    right = right / level
    down = np.cross(forward, right)
    return np.stack([right, down, forward, np.broadcast_to(position, forward.shape)], axis=-1)


def level_pose(position_m: ArrayLike, yaw_rad: float = 0.0, pitch_rad: float = 0.0) -> Poses:
    """Place a camera without roll: ``world_from_camera`` [3, 4].

    Yaw 0 looks along +x and is positive to the left; pitch is positive upwards.
    """
    along_x = np.array([[0.0, 0.0, 1.0], [-1.0, 0.0, 0.0], [0.0, -1.0, 0.0]])  # right −y, down −z, forward +x
    yaw, pitch = rotation_about([0.0, 0.0, 1.0], yaw_rad), rotation_about([1.0, 0.0, 0.0], pitch_rad)
    return pose(yaw @ along_x @ pitch, position_m)


def rotation_about(axis: ArrayLike, angle_rad: ArrayLike) -> NDArray[np.float64]:
    """Give the right-handed rotation [..., 3, 3] about one axis [3] by angles [...].

    Raises:
        InputError: the axis has no length.

    Source: Rodrigues' formula.
    """
    axis = np.asarray(axis, dtype=np.float64)
    length = float(np.linalg.norm(axis))
    if not length > 0 or not np.isfinite(length):
        raise InputError(f"a rotation axis needs a finite length above 0, got {axis}")
    x, y, z = axis / length
    cross = np.array([[0.0, -z, y], [z, 0.0, -x], [-y, x, 0.0]])
    angle = np.asarray(angle_rad, dtype=np.float64)[..., None, None]
    return np.eye(3) + np.sin(angle) * cross + (1 - np.cos(angle)) * (cross @ cross)


def rotation_from_quaternion(quaternion: ArrayLike) -> NDArray[np.float64]:
    """Turn quaternions [..., 4] in the order w, x, y, z into rotations [..., 3, 3].

    Raises:
        CameraError: a quaternion's length is not 1 within 1e-3 (COLMAP prints them with many decimals).
    """
    quaternion = np.asarray(quaternion, dtype=np.float64)
    length = np.linalg.norm(quaternion, axis=-1, keepdims=True)
    if not (np.abs(length - 1) < 1e-3).all():
        worst = float(length.flat[np.argmax(np.nan_to_num(np.abs(length - 1), nan=np.inf))])
        raise CameraError(f"expected quaternions w x y z of length 1, got one of length {worst:.6g}")
    from scipy.spatial.transform import Rotation  # noqa: PLC0415  (slow to import, and seldom needed)

    flat = quaternion.reshape(-1, 4)
    return Rotation.from_quat(flat, scalar_first=True).as_matrix().reshape(*quaternion.shape[:-1], 3, 3)


def quaternion_from_rotation(rotation: ArrayLike) -> NDArray[np.float64]:
    """Turn rotations [..., 3, 3] into unit quaternions [..., 4] in the order w, x, y, z, with w ≥ 0."""
    from scipy.spatial.transform import Rotation  # noqa: PLC0415

    r = np.asarray(rotation, dtype=np.float64)
    quaternion = Rotation.from_matrix(r.reshape(-1, 3, 3)).as_quat(canonical=True, scalar_first=True)
    return quaternion.reshape(*r.shape[:-2], 4)


def rotation_angle(rotation: ArrayLike) -> NDArray[np.float64]:
    """Give the angle in radians, in [0, π], by which rotations [..., 3, 3] turn."""
    r = np.asarray(rotation, dtype=np.float64)
    # The part of a rotation that is skew is 2 sin(angle) · axis.
    skew = (r[..., 2, 1] - r[..., 1, 2], r[..., 0, 2] - r[..., 2, 0], r[..., 1, 0] - r[..., 0, 1])
    twice_sine = np.linalg.norm(np.stack(skew, axis=-1), axis=-1)
    return np.arctan2(twice_sine, np.trace(r, axis1=-2, axis2=-1) - 1)  # twice the cosine


def checked_poses(poses: ArrayLike) -> Poses:
    """Bring poses to float64 and check their shape; that they are rotations is checked where they come in."""
    poses = np.asarray(poses, dtype=np.float64)
    if poses.shape[-2:] != (3, 4):
        raise CameraError(f"expected poses of shape [..., 3, 4], got {list(poses.shape)}")
    return poses
