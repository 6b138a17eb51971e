"""Axes: hand-worked cameras of each convention, and round trips."""

import numpy as np
import pytest
from hypothesis import given
from numpy.testing import assert_allclose

from geometry_strategies import paths
from outofsight.errors import CameraError, InputError
from outofsight.geometry.conventions import (
    from_colmap,
    from_opengl,
    from_unreal,
    to_colmap,
    to_opengl,
    to_unreal,
    z_up_world,
)
from outofsight.geometry.poses import look_at, relative_poses


def unreal(rotation, translation_cm):
    matrix = np.eye(4)
    matrix[:3, :3], matrix[:3, 3] = rotation, translation_cm
    return matrix[None]


def test_an_unreal_camera_at_rest_looks_along_x():
    """Unreal's identity: x forward, y right, z up. Its right is our −y, since our world is right-handed."""
    camera = from_unreal(unreal(np.eye(3), [0, 0, 160]))[0]
    assert_allclose(camera, look_at([0, 0, 1.6], [5, 0, 1.6]), atol=1e-15)


def test_unreal_turns_right_where_we_turn_towards_minus_y():
    """A yaw of +90° in Unreal turns x into y, that is to the right; 200 cm to the right are −2 m along our y."""
    yaw = [[0, -1, 0], [1, 0, 0], [0, 0, 1]]
    camera = from_unreal(unreal(yaw, [0, 200, 0]))[0]
    assert_allclose(camera, look_at([0, -2, 0], [0, -9, 0]), atol=1e-15)


@given(paths())
def test_unreal_round_trip(path):
    assert_allclose(from_unreal(to_unreal(path)), path, atol=1e-9)
    assert_allclose(np.linalg.det(to_unreal(path)[:, :3, :3]), 1)


@given(paths(min_size=2))
def test_relative_poses_are_those_of_the_published_axes(path):
    """Columns to right, down, forward; centimetres to metres; the world's axes left alone; then A⁻¹·B."""
    published = to_unreal(path)[:, :, [1, 2, 0, 3]] * [1, -1, 1, 1]
    published[:, :3, 3] /= 100
    assert_allclose(np.linalg.det(published[:, :3, :3]), -1)  # mirrored: not a camera one could build
    relative = np.linalg.inv(published[0]) @ published
    assert_allclose(relative_poses(path, path[0]), relative[:, :3], atol=1e-7)


def test_an_opengl_camera_at_rest_looks_along_minus_z():
    camera = from_opengl(np.eye(3, 4)[None])[0]
    assert_allclose(camera[:, 2], [0, 0, -1])  # forward
    assert_allclose(camera[:, 1], [0, -1, 0])  # down


@given(paths())
def test_opengl_round_trip(path):
    assert np.array_equal(to_opengl(from_opengl(path)), path)
    assert_allclose(np.linalg.det(from_opengl(path)[:, :, :3]), 1)


def test_a_colmap_image_by_hand():
    """camera_from_world: the world's origin lies 3 ahead of a camera that is not turned, so it stands at z = −3."""
    camera = from_colmap([[1, 0, 0, 0]], [[0, 0, 3]])[0]
    assert_allclose(camera, np.c_[np.eye(3), [0, 0, -3]])


@given(paths())
def test_colmap_round_trip(path):
    quaternions, translations = to_colmap(path)
    assert quaternions.shape == (len(path), 4)
    assert_allclose(from_colmap(quaternions, translations), path, atol=1e-8)


@pytest.mark.parametrize(
    ("up_axis", "up"),
    [
        ("+x", [1, 0, 0]),
        ("-x", [-1, 0, 0]),
        ("+y", [0, 1, 0]),
        ("-y", [0, -1, 0]),
        ("+z", [0, 0, 1]),
        ("-z", [0, 0, -1]),
    ],
)
def test_the_up_axis_becomes_z(up_axis, up):
    raised = np.c_[np.eye(3), np.array(up, dtype=float)][None]  # a camera one metre up
    turned = z_up_world(raised, up_axis)[0]
    assert turned[:, 3].tolist() == [0, 0, 1]
    assert np.linalg.det(turned[:, :3]) == 1


@given(paths(min_size=2))
def test_turning_the_world_leaves_relative_poses_alone(path):
    turned = z_up_world(path, "-y")
    assert_allclose(relative_poses(turned, turned[0]), relative_poses(path, path[0]), atol=1e-9)


def test_wrong_input_is_refused():
    with pytest.raises(InputError, match="up axis"):
        z_up_world(np.eye(3, 4)[None], "up")
    with pytest.raises(CameraError, match="4×4"):
        from_unreal(np.eye(3, 4)[None])
    with pytest.raises(CameraError, match="3, 4"):
        to_unreal(np.eye(4)[None])
    swapped = unreal(np.eye(3), [100, 0, 0]).swapaxes(1, 2)
    with pytest.raises(CameraError, match=r"frame 1: .*bottom row 0 0 0 1, got 100 0 0 1"):
        from_unreal(np.concatenate([unreal(np.eye(3), [0, 0, 0]), swapped]))
