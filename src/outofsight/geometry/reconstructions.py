"""Camera paths that other programs have estimated: COLMAP and nerfstudio folders, ViPE, VGGT and MapAnything files.

All come back in OpenCV axes, camera to world, in the program's own unit and with its own up: only poses relative to one
another mean something. A frame without a pose is an error; nothing is filled in.
"""

import re
import struct
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from outofsight.errors import CameraError, first_line
from outofsight.files import read_text
from outofsight.geometry.conventions import check_homogeneous, from_colmap, from_opengl
from outofsight.geometry.json_files import number_array, read_camera_json
from outofsight.geometry.poses import invert_rigid
from outofsight.types import CameraPath, Intrinsics

FORMS = (
    "a COLMAP folder (cameras and images, .bin or .txt), a nerfstudio transforms.json, or an .npz of ViPE, VGGT or "
    "MapAnything"
)
MODELS = {
    "SIMPLE_PINHOLE": (3, 3),
    "PINHOLE": (4, 4),
    "SIMPLE_RADIAL": (4, 3),
    "RADIAL": (5, 3),
    "OPENCV": (8, 4),
}
"""COLMAP's first camera models in the order of their numbers: how many parameters each has, and how many of these are a
pinhole's (f cx cy, or fx fy cx cy)."""
MOST_DISTORTION = 0.05


def read_reconstruction(path: str | Path) -> CameraPath:
    """Read the cameras of every frame, in the order of the frames' names.

    Raises:
        CameraError: there is none, it is truncated, frames are missing, or the lens is no pinhole.
    """
    path = Path(path)
    try:
        if path.is_dir():
            return _read_folder(path)
        if path.suffix.lower() == ".npz":
            return _read_npz(path)
        if path.suffix.lower() == ".json":
            return _read_nerfstudio(path)
    except CameraError as error:
        raise error if str(error).startswith(str(path)) else CameraError(f"{path}: {error}") from error
    except (OSError, ValueError, KeyError, IndexError, struct.error, zipfile.BadZipFile, EOFError) as error:
        raise CameraError(
            f"{path}: truncated or of another version ({first_line(error)}); export it again"
        ) from error
    raise CameraError(f"{path}: expected {FORMS}")


def _read_folder(folder: Path) -> CameraPath:
    for place in (folder, folder / "sparse" / "0", folder / "sparse", folder / "colmap" / "sparse" / "0"):
        for suffix, read in ((".bin", _read_binary), (".txt", _read_text)):
            if (place / f"images{suffix}").is_file() and (place / f"cameras{suffix}").is_file():
                return _from_colmap(place, *read(place))
    if (folder / "transforms.json").is_file():
        return _read_nerfstudio(folder / "transforms.json")
    raise CameraError(f"{folder}: expected {FORMS}")


Lens = tuple[str, int, int, NDArray[np.float64]]
Pose = tuple[str, int, NDArray[np.float64]]


def _read_text(folder: Path) -> tuple[dict[int, Lens], list[Pose]]:
    lenses = {}
    for line in _lines(folder / "cameras.txt"):
        number, model, width, height, *numbers = line.split()
        lenses[int(number)] = (model, int(width), int(height), np.array(numbers, dtype=np.float64))
    images = []
    for line in list(_lines(folder / "images.txt", keep_empty=True))[::2]:  # every other line holds points
        fields = line.split(maxsplit=9)
        images.append((fields[9], int(fields[8]), np.array(fields[1:8], dtype=np.float64)))
    return lenses, images


def _lines(path: Path, keep_empty: bool = False) -> Iterator[str]:
    for line in read_text(path).splitlines():
        if not line.startswith("#") and (keep_empty or line.strip()):
            yield line


def _read_binary(folder: Path) -> tuple[dict[int, Lens], list[Pose]]:
    lenses, images = {}, []
    with (folder / "cameras.bin").open("rb") as file:
        for _ in range(_unpack(file, "<Q")[0]):
            number, model, width, height = _unpack(file, "<iiQQ")
            if not 0 <= model < len(MODELS):
                raise CameraError(f"{folder}: camera model {model} is no pinhole; undistort the frames first")
            name = list(MODELS)[model]
            lenses[number] = (name, width, height, np.array(_unpack(file, f"<{MODELS[name][0]}d")))
    with (folder / "images.bin").open("rb") as file:
        for _ in range(_unpack(file, "<Q")[0]):
            _, *pose, lens = _unpack(file, "<i7di")
            name = b"".join(iter(lambda: _unpack(file, "<c")[0], b"\0")).decode(errors="surrogateescape")
            file.seek(24 * _unpack(file, "<Q")[0], 1)
            images.append((name, lens, np.array(pose)))
    return lenses, images


def _unpack(file: Any, form: str) -> tuple[Any, ...]:
    return struct.unpack(form, file.read(struct.calcsize(form)))


def _from_colmap(place: Path, lenses: dict[int, Lens], images: list[Pose]) -> CameraPath:
    images = sorted(images, key=lambda image: _numbers(image[0]))
    _check_frames([name for name, _, _ in images], place)
    used = {lens for _, lens, _ in images}
    if len(used) != 1:
        raise CameraError(
            f"{place}: expected one lens for all frames, got {len(used)}; share the intrinsics and run again"
        )
    model, width, height, numbers = lenses[used.pop()]
    if model not in MODELS:
        raise CameraError(f"{place}: camera model {model} is no pinhole; undistort the frames first")
    own = MODELS[model][1]
    if np.abs(bent := numbers[own:]).max(initial=0) > MOST_DISTORTION:
        raise CameraError(f"{place}: the lens bends lines ({model} {bent}); undistort the frames first")
    fx, fy, cx, cy = numbers[[0, 0, 1, 2]] if own == 3 else numbers[:4]
    lens = Intrinsics(width_px=width, height_px=height, fx_px=fx, fy_px=fy, cx_px=cx, cy_px=cy)
    poses = np.stack([pose for _, _, pose in images])
    return CameraPath(world_from_camera=from_colmap(poses[:, :4], poses[:, 4:]), intrinsics=lens)


def _read_nerfstudio(path: Path) -> CameraPath:
    content = read_camera_json(path)
    if not isinstance(content, dict) or not isinstance(content.get("frames"), list) or not content["frames"]:
        raise CameraError(f"{path}: expected nerfstudio's object with frames")
    frames = sorted(content["frames"], key=lambda frame: _numbers(str(frame["file_path"])))
    _check_frames([str(frame["file_path"]) for frame in frames], path)
    matrices = np.stack(
        [number_array(one["transform_matrix"], (4, 4), f"{path}, {one['file_path']}") for one in frames]
    )
    poses = from_opengl(check_homogeneous(matrices, str(path))[:, :3])
    return CameraPath(world_from_camera=poses, intrinsics=_nerfstudio_lens({**frames[0], **content}, path))


def _nerfstudio_lens(told: dict[str, Any], path: Path) -> Intrinsics | None:
    bent = max(abs(float(told.get(key, 0))) for key in ("k1", "k2", "k3", "p1", "p2"))
    if bent > MOST_DISTORTION:
        raise CameraError(f"{path}: the lens bends lines (distortion {bent:g}); undistort the frames first")
    if not {"w", "h"} <= told.keys():
        return None
    width, height = int(told["w"]), int(told["h"])
    if "fl_x" in told:
        fx, fy = float(told["fl_x"]), float(told.get("fl_y", told["fl_x"]))
        cx, cy = float(told.get("cx", width / 2)), float(told.get("cy", height / 2))
        return Intrinsics(width_px=width, height_px=height, fx_px=fx, fy_px=fy, cx_px=cx, cy_px=cy)
    if "camera_angle_x" in told:
        return Intrinsics.from_fov(width_px=width, height_px=height, fov_x_rad=float(told["camera_angle_x"]))
    return None


def _read_npz(path: Path) -> CameraPath:
    """ViPE: data [n, 4, 4], inds; VGGT: extrinsic [n, 3, 4], world to camera; MapAnything: camera_poses [n, 4, 4]."""
    with path.open("rb") as file, np.load(file, allow_pickle=False) as stored:
        if {"data", "inds"} <= set(stored.files):
            _check_indices(stored["inds"], path)
            return CameraPath(world_from_camera=_three_rows(stored["data"]))
        if "extrinsic" in stored.files:
            poses = _three_rows(stored["extrinsic"])
            checked = CameraPath(world_from_camera=poses)  # inverting what is no rotation would hide it
            return CameraPath(world_from_camera=invert_rigid(checked.world_from_camera))
        if "camera_poses" in stored.files:
            return CameraPath(world_from_camera=_three_rows(stored["camera_poses"]))
        raise CameraError(
            f"{path}: expected data and inds (ViPE), extrinsic (VGGT) or camera_poses (MapAnything), got "
            f"{', '.join(stored.files) or 'nothing'}"
        )


def _three_rows(matrices: NDArray[Any]) -> NDArray[np.float64]:
    if matrices.ndim == 4 and len(matrices) == 1:
        matrices = matrices[0]  # VGGT's batch of one
    if matrices.ndim != 3 or matrices.shape[1:] not in ((3, 4), (4, 4)):
        raise CameraError(f"expected poses [n, 3, 4] or [n, 4, 4], got {list(matrices.shape)}")
    return matrices[:, :3].astype(np.float64)


def _numbers(name: str) -> tuple[int, ...]:
    return tuple(int(number) for number in re.findall(r"\d+", Path(name).stem)) or (0,)


def _check_frames(names: list[str], source: Path) -> None:
    """Refuse a path with holes: steps between the frames' last numbers must be equal."""
    if not names:
        raise CameraError(f"{source}: no frame has a pose; the reconstruction failed")
    _check_indices(np.array([_numbers(name)[-1] for name in names]), source)


def _check_indices(numbers: NDArray[Any], source: Path) -> None:
    steps = np.diff(numbers.astype(int))
    if len(steps) and (steps != max(int(steps.min()), 1)).any():
        whole = (int(numbers[-1]) - int(numbers[0])) // max(int(steps[steps > 0].min(initial=1)), 1) + 1
        raise CameraError(
            f"{source}: {len(numbers)} of about {whole} frames have a pose; a path with holes is not believed: "
            "estimate it again"
        )
