"""Pose files: the same camera in each convention, and what can be wrong with a file."""

import json

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from numpy.testing import assert_allclose

from geometry_strategies import as_homogeneous, paths
from outofsight.errors import CameraError, InputError
from outofsight.geometry.camera_files import read_cameras
from outofsight.geometry.conventions import to_colmap, to_opengl, to_unreal
from outofsight.geometry.pose_files import read_poses, write_poses
from outofsight.geometry.poses import level_pose
from outofsight.types import CameraPath, Intrinsics

PATH = np.stack([level_pose([0.5 * frame, 1, 1.6], 0.2 * frame, -0.1 * frame) for frame in range(6)])


def in_colmap():
    quaternions, translations = to_colmap(PATH)
    return {"convention": "colmap", "camera_from_world": np.c_[quaternions, translations].tolist()}


def in_opencv(**others):
    return {"convention": "opencv", "world_from_camera": PATH.tolist(), **others}


def written(tmp_path, content):
    path = tmp_path / "poses.json"
    path.write_text(json.dumps(content))
    return path


@pytest.mark.parametrize(
    "content",
    [
        in_opencv(),
        {"convention": "opencv", "world_from_camera": as_homogeneous(PATH).tolist()},
        {"convention": "opengl", "world_from_camera": to_opengl(PATH).tolist()},
        {"convention": "unreal", "world_from_camera": to_unreal(PATH).tolist()},
        in_colmap(),
    ],
    ids=["opencv 3×4", "opencv 4×4", "opengl", "unreal", "colmap"],
)
def test_the_same_path_in_each_convention(tmp_path, content):
    assert_allclose(read_poses(written(tmp_path, content)).world_from_camera, PATH, atol=1e-12)


def test_units_and_the_world_s_up_axis(tmp_path):
    """A phone's world in feet, y up: 10 feet along its x, 5 up; looking along −z, as OpenGL cameras do at rest."""
    camera = np.c_[np.eye(3), [10, 5, 0]]
    content = {
        "convention": "opengl",
        "world_from_camera": [camera.tolist()],
        "metres_per_unit": 0.3048,
        "up_axis": "+y",
    }
    expected = level_pose([3.048, 0, 1.524], np.pi / 2)  # −z of a y-up world is +y of a z-up one
    assert_allclose(read_poses(written(tmp_path, content)).world_from_camera[0], expected, atol=1e-12)


def test_unreal_units_may_be_given(tmp_path):
    content = {"convention": "unreal", "world_from_camera": to_unreal(PATH).tolist(), "metres_per_unit": 1.0}
    assert_allclose(read_poses(written(tmp_path, content)).world_from_camera[:, :, 3], 100 * PATH[:, :, 3])


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=20)
@given(paths(min_size=2))
def test_what_is_written_is_read_back_to_the_last_bit(tmp_path, path):
    intrinsics = Intrinsics.from_fov(width_px=832, height_px=480, fov_x_rad=1.2)
    write_poses(
        tmp_path / "p.json", CameraPath(world_from_camera=path, intrinsics=intrinsics), num_context_frames=1
    )
    again = read_poses(tmp_path / "p.json")
    assert np.array_equal(again.world_from_camera, path)
    assert again.intrinsics == intrinsics
    cameras = read_cameras(tmp_path / "p.json")
    assert (cameras.form, len(cameras.context), len(cameras.target)) == ("neutral", 1, len(path) - 1)
    assert cameras.target.intrinsics == intrinsics


def test_where_the_target_begins(tmp_path):
    path = written(tmp_path, in_opencv())
    assert len(read_cameras(path, num_context_frames=5).target) == 1
    with pytest.raises(CameraError, match="does not say where the target begins; give num_context_frames"):
        read_cameras(path)
    path = written(tmp_path, in_opencv(num_context_frames=5))
    with pytest.raises(CameraError, match="expected 1 context frames, the file has 5"):
        read_cameras(path, num_context_frames=1)
    with pytest.raises(InputError, match="expected 1 to 5 context frames"):
        write_poses(tmp_path / "p.json", CameraPath(world_from_camera=PATH), num_context_frames=6)


@pytest.mark.parametrize(
    ("content", "complaint"),
    [
        ([], "expected an object with a convention"),
        ({"world_from_camera": []}, "expected an object with a convention"),
        (
            {"convention": "blender", "world_from_camera": []},
            "unknown convention 'blender'; known are opencv",
        ),
        (in_opencv(fps=3), "unknown key 'fps'"),
        ({"convention": "opencv"}, "needs world_from_camera"),
        (
            {"convention": "colmap", "world_from_camera": PATH.tolist()},
            "needs camera_from_world, and not world_from_camera",
        ),
        ({"convention": "opencv", "world_from_camera": []}, "expected a list with a pose for each frame"),
        ({"convention": "opencv", "world_from_camera": [[[1, 0], [0, 1]]]}, "frame 0: expected 4×4 numbers"),
        (
            {"convention": "opencv", "world_from_camera": [PATH[0].tolist(), (2 * PATH[1]).tolist()]},
            "frame 1: .*rotation",
        ),
        ({"convention": "colmap", "camera_from_world": [[1, 0, 0, 0, 1, 2]]}, "frame 0: expected 7 numbers"),
        (
            {"convention": "colmap", "camera_from_world": [[1, 0, 0, 0, 1, 2, 3], [3, 0, 0, 0, 1, 2, 3]]},
            "frame 1: .*length 3",
        ),
        (in_opencv(metres_per_unit=0), "metres_per_unit must be above 0"),
        (in_opencv(metres_per_unit="1"), "metres_per_unit: expected"),
        (in_opencv(up_axis="z"), "up_axis"),
        (in_opencv(num_context_frames=2.5), "num_context_frames: expected a whole number"),
        (in_opencv(num_context_frames=True), "num_context_frames: expected a whole number"),
        (in_opencv(intrinsics={"fx_px": 600}), "intrinsics: expected exactly cx_px, cy_px, fx_px"),
        (
            in_opencv(
                intrinsics={"width_px": 8.5, "height_px": 4, "fx_px": 6, "fy_px": 6, "cx_px": 4, "cy_px": 2}
            ),
            r"whole numbers ≥ 1 of pixels|sizes must be whole",
        ),
        (
            in_opencv(
                intrinsics={"width_px": 8, "height_px": 4, "fx_px": 0, "fy_px": 6, "cx_px": 4, "cy_px": 2}
            ),
            "focal lengths above 0",
        ),
    ],
)
def test_files_that_are_no_pose_files(tmp_path, content, complaint):
    path = written(tmp_path, content)
    with pytest.raises(CameraError, match=complaint) as caught:
        read_poses(path)
    assert str(path) in str(caught.value)
