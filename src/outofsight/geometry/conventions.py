"""The one place where axes are converted: Unreal, OpenGL, COLMAP ↔ ours.

Ours: world z up, right-handed, metres; camera OpenCV (x right, y down, z forward); ``world_from_camera``.
ViPE, DROID-SLAM and other camera-to-world poses with OpenCV axes are ours already, up to ``z_up_world``.

Unreal's *world* is left-handed (x forward, y right, z up), so the y axis of the world is mirrored as well as
the camera's axes renamed. The published loader leaves the world alone; its absolute matrices therefore have
determinant −1, but poses relative to one another come out the same, since the mirror cancels:
(M·A)⁻¹·(M·B) = A⁻¹·B.
"""

from typing import Literal, get_args

import numpy as np
from numpy.typing import ArrayLike, NDArray

from outofsight.errors import CameraError, InputError
from outofsight.geometry.poses import (
    Poses,
    checked_poses,
    compose,
    invert_rigid,
    pose,
    quaternion_from_rotation,
    rotation_about,
    rotation_from_quaternion,
)

Convention = Literal["opencv", "opengl", "colmap", "unreal"]
UpAxis = Literal["+x", "-x", "+y", "-y", "+z", "-z"]

CENTIMETRES_PER_METRE = 100.0
BOTTOM_ROW_TOLERANCE = 1e-6


def from_unreal(world_from_camera_cm: ArrayLike) -> Poses:
    """Convert Unreal camera-to-world matrices [n, 4, 4] (cm; x forward, y right, z up) to ours [n, 3, 4].

    Raises:
        CameraError: not [n, 4, 4], or a bottom row that is not 0 0 0 1, naming the frame.
    """
    matrices = check_homogeneous(world_from_camera_cm, "Unreal poses")
    mirrored = _mirror_y(matrices[..., :3, :])
    forward, right, up, translation_cm = np.moveaxis(mirrored, -1, 0)
    return np.stack([right, -up, forward, translation_cm / CENTIMETRES_PER_METRE], axis=-1)


def to_unreal(world_from_camera: ArrayLike) -> NDArray[np.float64]:
    """Convert our poses [n, 3, 4] to Unreal camera-to-world matrices [n, 4, 4] in centimetres."""
    right, down, forward, translation = np.moveaxis(checked_poses(world_from_camera), -1, 0)
    poses = np.stack([forward, right, -down, translation * CENTIMETRES_PER_METRE], axis=-1)
    bottom = np.broadcast_to([0.0, 0.0, 0.0, 1.0], (*poses.shape[:-2], 1, 4))
    return np.concatenate([_mirror_y(poses), bottom], axis=-2)


def from_opengl(world_from_camera: ArrayLike) -> Poses:
    """Convert OpenGL or Blender camera-to-world poses [n, 3, 4] (x right, y up, z backward) to ours.

    Only the camera's axes change; see ``z_up_world`` for a world whose y is up.
    """
    return checked_poses(world_from_camera) * np.array([1.0, -1.0, -1.0, 1.0])


def to_opengl(world_from_camera: ArrayLike) -> Poses:
    """Convert our poses to OpenGL camera-to-world poses; the conversion is its own inverse."""
    return from_opengl(world_from_camera)


def from_colmap(quaternions: ArrayLike, translations: ArrayLike) -> Poses:
    """Convert COLMAP's images (``camera_from_world``) to ours [n, 3, 4].

    ``quaternions`` [n, 4]: QW QX QY QZ; ``translations`` [n, 3]: TX TY TZ. The unit of length and the
    direction of "up" are the reconstruction's own.

    Raises:
        CameraError: a quaternion that is not of length 1.
    """
    return invert_rigid(pose(rotation_from_quaternion(quaternions), translations))


def to_colmap(world_from_camera: ArrayLike) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Convert our poses [n, 3, 4] to COLMAP's quaternions [n, 4] (w x y z) and translations [n, 3]."""
    camera_from_world = invert_rigid(world_from_camera)
    return quaternion_from_rotation(camera_from_world[..., :3]), camera_from_world[..., 3]


def z_up_world(world_from_camera: ArrayLike, up_axis: UpAxis) -> Poses:
    """Turn the world so that its axis ``up_axis`` becomes +z; relative poses stay as they are.

    Raises:
        InputError: an unknown axis.
    """
    turns = {
        "+z": np.eye(3),
        "-z": rotation_about([1.0, 0.0, 0.0], np.pi),
        "+y": rotation_about([1.0, 0.0, 0.0], np.pi / 2),
        "-y": rotation_about([1.0, 0.0, 0.0], -np.pi / 2),
        "+x": rotation_about([0.0, 1.0, 0.0], -np.pi / 2),
        "-x": rotation_about([0.0, 1.0, 0.0], np.pi / 2),
    }
    if up_axis not in turns:
        raise InputError(f"expected an up axis of {', '.join(get_args(UpAxis))}, got {up_axis!r}")
    quarter_turn = np.round(turns[up_axis])  # exact in whole numbers
    return compose(pose(quarter_turn, [0.0, 0.0, 0.0]), world_from_camera)


def check_homogeneous(matrices: ArrayLike, source: str) -> NDArray[np.float64]:
    """Check that matrices are [n, 4, 4] with the bottom row 0 0 0 1, and return them as float64.

    Raises:
        CameraError: naming ``source`` and the first frame that is not.
    """
    matrices = np.asarray(matrices, dtype=np.float64)
    if matrices.ndim < 2 or matrices.shape[-2:] != (4, 4):
        raise CameraError(f"{source}: expected 4×4 matrices, got shape {list(matrices.shape)}")
    # Written so that NaN is caught too.
    wrong = ~(np.abs(matrices[..., 3, :] - [0.0, 0.0, 0.0, 1.0]) <= BOTTOM_ROW_TOLERANCE).all(axis=-1)
    if wrong.any():
        frame = int(np.flatnonzero(wrong)[0])
        row = " ".join(f"{value:.6g}" for value in matrices.reshape(-1, 4, 4)[frame, 3])
        raise CameraError(
            f"{source}, frame {frame}: expected the bottom row 0 0 0 1, got {row}; are rows and columns "
            "swapped?"
        )
    return matrices


def _mirror_y(poses: NDArray[np.float64]) -> NDArray[np.float64]:
    """Mirror the world's y axis: left-handed ↔ right-handed."""
    return poses * np.array([1.0, -1.0, 1.0])[:, None]
