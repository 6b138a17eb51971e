"""Cameras of other programs: one path written in each form reads back the same; what is broken says so."""

import json
import struct

import numpy as np
import pytest

from geometry_strategies import as_homogeneous
from outofsight.errors import CameraError, InputError
from outofsight.geometry.conventions import to_colmap, to_opengl
from outofsight.geometry.path_expressions import make_path
from outofsight.geometry.poses import invert_rigid
from outofsight.geometry.reconstructions import read_reconstruction
from outofsight.types import Intrinsics

LENS = Intrinsics(width_px=64, height_px=48, fx_px=50, fy_px=51, cx_px=32, cy_px=24)
PATH = make_path("pan:left:30,truck:right:1", 7, intrinsics=LENS)
POSES = PATH.world_from_camera
NAMES = [f"frame_{number:05d}.png" for number in range(1, 8)]


def colmap_text(folder, names=NAMES, camera="1 PINHOLE 64 48 50 51 32 24"):
    folder.mkdir(parents=True, exist_ok=True)
    quaternions, places = to_colmap(POSES)
    rows = []
    for number, (name, q, t) in enumerate(zip(names, quaternions, places, strict=False), start=1):
        rows += [
            f"{number} {' '.join(map(repr, map(float, [*q, *t])))} 1 {name}",
            "1.0 2.0 -1" if number % 2 else "",
        ]
    (folder / "cameras.txt").write_text(f"# cameras\n{camera}\n")
    (folder / "images.txt").write_text("# images\n" + "\n".join(rows) + "\n")
    return folder


def colmap_binary(folder):
    folder.mkdir(parents=True)
    quaternions, places = to_colmap(POSES)
    (folder / "cameras.bin").write_bytes(struct.pack("<QiiQQ4d", 1, 1, 1, 64, 48, 50, 51, 32, 24))
    images = struct.pack("<Q", len(NAMES))
    for number, name in reversed(list(enumerate(NAMES))):  # COLMAP keeps no order
        images += struct.pack("<i7di", number, *quaternions[number], *places[number], 1)
        images += name.encode() + b"\0" + struct.pack("<Qddq", 1, 1.0, 2.0, -1)
    (folder / "images.bin").write_bytes(images)
    return folder


def nerfstudio(folder, **changes):
    frames = [
        {"file_path": f"images/{name}", "transform_matrix": as_homogeneous(pose).tolist()}
        for name, pose in zip(NAMES, to_opengl(POSES), strict=True)
    ]
    content = {
        "w": 64,
        "h": 48,
        "fl_x": 50,
        "fl_y": 51,
        "cx": 32,
        "cy": 24,
        "frames": frames[::-1],
        **changes,
    }
    (folder / "transforms.json").write_text(json.dumps(content))
    return folder


def test_colmap_text_and_binary(tmp_path):
    for folder in (colmap_text(tmp_path / "text"), colmap_binary(tmp_path / "project" / "sparse" / "0")):
        found = read_reconstruction(folder if folder.name == "text" else tmp_path / "project")
        assert found.world_from_camera == pytest.approx(POSES, abs=1e-9)
        assert found.intrinsics == LENS


def test_text_as_editors_of_other_systems_leave_it(tmp_path):
    """A byte-order mark, lines that end in CR LF, names in another language's letters."""
    folder = colmap_text(tmp_path, names=[f"Straße_{number}.png" for number in range(7)])
    for path in folder.iterdir():
        path.write_bytes(path.read_text().replace("\n", "\r\n").encode("utf-8-sig"))
    assert read_reconstruction(folder).world_from_camera == pytest.approx(POSES, abs=1e-9)
    for path in folder.iterdir():
        path.write_bytes(path.read_text("utf-8-sig").encode("latin-1"))
    with pytest.raises(InputError, match=r"images\.txt: expected text in UTF-8"):
        read_reconstruction(folder)


def test_nerfstudio(tmp_path):
    found = read_reconstruction(nerfstudio(tmp_path))
    assert found.world_from_camera == pytest.approx(POSES)
    assert found.intrinsics == LENS


@pytest.mark.parametrize(
    "arrays",
    [
        {"data": as_homogeneous(POSES), "inds": np.arange(7)},
        {"extrinsic": invert_rigid(POSES)},
        {"extrinsic": invert_rigid(POSES)[None], "intrinsic": np.zeros((1, 7, 3, 3))},
        {"camera_poses": as_homogeneous(POSES), "intrinsic": np.eye(3)},
    ],
)
def test_files_of_networks(arrays, tmp_path):
    np.savez(tmp_path / "poses.npz", **arrays)
    assert read_reconstruction(tmp_path / "poses.npz").world_from_camera == pytest.approx(POSES)


def test_what_is_broken_is_refused_in_one_line(tmp_path):
    holes = colmap_text(tmp_path / "holes", [*NAMES[:3], *[f"frame_{n:05d}.png" for n in (6, 7, 8, 9)]])
    bent = colmap_text(tmp_path / "bent", camera="1 SIMPLE_RADIAL 64 48 50 32 24 -0.2")
    fish = colmap_text(tmp_path / "fish", camera="1 OPENCV_FISHEYE 64 48 50 51 32 24 0 0 0 0")
    short = colmap_binary(tmp_path / "short")
    (short / "images.bin").write_bytes((short / "images.bin").read_bytes()[:200])
    nan = np.array(POSES)
    nan[3, 0, 0] = np.nan
    np.savez(tmp_path / "nan.npz", extrinsic=nan)
    np.savez(tmp_path / "other.npz", depth=nan)
    (tmp_path / "cut.npz").write_bytes((tmp_path / "nan.npz").read_bytes()[:100])
    (tmp_path / "empty").mkdir()
    for path, said in (
        (holes, "7 of about 9 frames have a pose"),
        (bent, "the lens bends lines"),
        (fish, "OPENCV_FISHEYE is no pinhole"),
        (short, "truncated"),
        (tmp_path / "nan.npz", "frame 3: the pose holds NaN"),
        (tmp_path / "other.npz", "got depth"),
        (tmp_path / "cut.npz", "truncated"),
        (tmp_path / "empty", "expected a COLMAP folder"),
        (tmp_path / "poses.txt", "expected a COLMAP folder"),
    ):
        with pytest.raises(CameraError, match=said) as caught:
            read_reconstruction(path)
        assert str(caught.value).startswith(str(path))


def test_nerfstudio_without_frames(tmp_path):
    with pytest.raises(CameraError, match="with frames"):
        read_reconstruction(nerfstudio(tmp_path, frames=[]))
