"""A plain pose file for cameras from elsewhere: COLMAP, ViPE, Blender, a game engine.

::

    {"convention": "opencv",                  or "opengl", "unreal"; camera axes, camera to world
     "world_from_camera": [[[...4], [...4], [...4]], ...],     [n] matrices of 3×4 or 4×4 numbers
     "num_context_frames": 77,                optional: where the target begins
     "up_axis": "+z",                         optional: which axis of the world is up
     "metres_per_unit": 1.0,                  optional; Unreal's default is 0.01
     "intrinsics": {"width_px": 832, "height_px": 480,         optional
                    "fx_px": 600, "fy_px": 600, "cx_px": 416, "cy_px": 240}}

    {"convention": "colmap", "camera_from_world": [[qw, qx, qy, qz, tx, ty, tz], ...], ...}
"""

from dataclasses import asdict, fields
from pathlib import Path
from typing import Any, get_args

import numpy as np

from outofsight.errors import CameraError, InputError
from outofsight.files import write_json
from outofsight.geometry.conventions import (
    CENTIMETRES_PER_METRE,
    Convention,
    UpAxis,
    check_homogeneous,
    from_colmap,
    from_opengl,
    from_unreal,
    z_up_world,
)
from outofsight.geometry.json_files import number_array, read_camera_json
from outofsight.geometry.poses import Poses
from outofsight.types import CameraPath, Intrinsics, check_rotations

_KNOWN_KEYS = (
    "convention", "world_from_camera", "camera_from_world", "num_context_frames", "up_axis", "metres_per_unit",
    "intrinsics",
)  # fmt: skip


def read_poses(path: str | Path) -> CameraPath:
    """Read a pose file as one camera path, in our conventions.

    Raises:
        CameraError: naming the file, and the frame where one is to blame.
    """
    content = read_camera_json(Path(path))
    if not isinstance(content, dict) or "convention" not in content:
        raise CameraError(f"{path}: expected an object with a convention and poses")
    return poses_from_json(content, Path(path))[0]


def write_poses(path: str | Path, cameras: CameraPath, *, num_context_frames: int | None = None) -> None:
    """Write a pose file in our own conventions (``opencv``), exact to the last bit; whole or not at all.

    Raises:
        OutputError: the file cannot be written.
        InputError: a number of context frames that leaves no context or no target.
    """
    content: dict[str, Any] = {"convention": "opencv", "up_axis": "+z", "metres_per_unit": 1.0}
    if num_context_frames is not None:
        if not 0 < num_context_frames < len(cameras):
            raise InputError(f"expected 1 to {len(cameras) - 1} context frames, got {num_context_frames}")
        content["num_context_frames"] = num_context_frames
    if cameras.intrinsics is not None:
        content["intrinsics"] = asdict(cameras.intrinsics)
    content["world_from_camera"] = cameras.world_from_camera.tolist()
    write_json(Path(path), content, indent=1)


def poses_from_json(content: dict[str, Any], path: Path) -> tuple[CameraPath, int | None]:
    """Make a camera path of a pose file's content; and its number of context frames, if it says.

    Raises:
        CameraError: naming the file, and the frame where one is to blame.
    """
    convention = content["convention"]
    if convention not in get_args(Convention):
        known = ", ".join(get_args(Convention))
        raise CameraError(f"{path}: unknown convention {convention!r}; known are {known}")
    unknown = [key for key in content if key not in _KNOWN_KEYS]
    if unknown:
        raise CameraError(f"{path}: unknown key {unknown[0]!r}; known are {', '.join(_KNOWN_KEYS)}")
    poses = _in_our_axes(content, convention, path)
    default_scale = 1 / CENTIMETRES_PER_METRE if convention == "unreal" else 1.0
    scale = float(number_array(content.get("metres_per_unit", default_scale), (), f"{path}: metres_per_unit"))
    if scale <= 0:
        raise CameraError(f"{path}: metres_per_unit must be above 0, got {scale}")
    poses[..., 3] *= scale / default_scale
    up_axis = content.get("up_axis", "+z")
    if up_axis not in get_args(UpAxis):
        raise CameraError(f"{path}: expected an up_axis of {', '.join(get_args(UpAxis))}, got {up_axis!r}")
    check_rotations(poses[..., :3], poses[..., 3], str(path))
    cameras = CameraPath(world_from_camera=z_up_world(poses, up_axis), intrinsics=_intrinsics(content, path))
    return cameras, _num_context_frames(content, path)


def _in_our_axes(content: dict[str, Any], convention: Convention, path: Path) -> Poses:
    """Convert the axes; lengths stay in the file's unit, but Unreal's are taken for centimetres."""
    name, other = "world_from_camera", "camera_from_world"
    if convention == "colmap":
        name, other = other, name
    if name not in content or other in content:
        raise CameraError(f"{path}: the convention {convention} needs {name}, and not {other}")
    values = content[name]
    if not isinstance(values, list) or not values:
        raise CameraError(f"{path}: {name}: expected a list with a pose for each frame")
    if convention == "colmap":
        return np.stack([_colmap_pose(row, f"{path}: {name}, frame {i}") for i, row in enumerate(values)])
    matrices = np.stack([_matrix(value, f"{path}: {name}, frame {i}") for i, value in enumerate(values)])
    check_homogeneous(matrices, f"{path}: {name}")
    if convention == "unreal":
        return from_unreal(matrices)
    return from_opengl(matrices[:, :3]) if convention == "opengl" else matrices[:, :3].copy()


def _colmap_pose(value: Any, source: str) -> Poses:
    """Read qw, qx, qy, qz, tx, ty, tz as one pose [3, 4]."""
    row = number_array(value, (7,), source)
    try:
        return from_colmap(row[:4], row[4:])
    except CameraError as error:
        raise CameraError(f"{source}: {error}") from error


def _matrix(value: Any, source: str) -> np.ndarray:
    """Read a 3×4 or 4×4 matrix as 4×4."""
    if isinstance(value, list) and len(value) == 3:
        return np.concatenate([number_array(value, (3, 4), source), [[0.0, 0.0, 0.0, 1.0]]])
    return number_array(value, (4, 4), source)


def _num_context_frames(content: dict[str, Any], path: Path) -> int | None:
    number = content.get("num_context_frames")
    if number is not None and (isinstance(number, bool) or not isinstance(number, int) or number < 1):
        raise CameraError(f"{path}: num_context_frames: expected a whole number ≥ 1, got {number!r}")
    return number


def _intrinsics(content: dict[str, Any], path: Path) -> Intrinsics | None:
    given = content.get("intrinsics")
    if given is None:
        return None
    names = {field.name for field in fields(Intrinsics)}
    if not isinstance(given, dict) or set(given) != names:
        raise CameraError(f"{path}: intrinsics: expected exactly {', '.join(sorted(names))}")
    source = f"{path}: intrinsics"
    numbers = {name: float(number_array(value, (), f"{source}, {name}")) for name, value in given.items()}
    width, height = numbers.pop("width_px"), numbers.pop("height_px")
    if not (width >= 1 and height >= 1 and width.is_integer() and height.is_integer()):
        raise CameraError(f"{source}: expected whole numbers ≥ 1 of pixels, got {width:g}×{height:g}")
    if min(numbers["fx_px"], numbers["fy_px"]) <= 0:
        raise CameraError(f"{source}: expected focal lengths above 0")
    return Intrinsics(width_px=int(width), height_px=int(height), **numbers)
