"""Rigid poses: the axioms of a group, and cameras whose axes a reader can check by hand."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from numpy.testing import assert_allclose

from geometry_strategies import as_homogeneous
from outofsight.errors import CameraError, InputError
from outofsight.geometry.poses import (
    compose,
    invert_rigid,
    level_pose,
    look_at,
    pose,
    quaternion_from_rotation,
    relative_poses,
    rotation_about,
    rotation_angle,
    rotation_from_quaternion,
    transform_points,
)

IDENTITY = np.eye(3, 4)
POSITIVE_X = np.array([[0, 0, 1], [-1, 0, 0], [0, -1, 0]])  # right −y, down −z, forward +x

numbers = st.floats(-1, 1, allow_subnormal=False)
quaternions = arrays(np.float64, 4, elements=numbers).filter(lambda q: np.linalg.norm(q) > 0.1)
rotations = quaternions.map(lambda q: rotation_from_quaternion(q / np.linalg.norm(q)))
translations = arrays(np.float64, 3, elements=st.floats(-1e3, 1e3, allow_subnormal=False))
poses = st.builds(pose, rotations, translations)


@given(poses)
def test_an_inverse_undoes_from_both_sides(a):
    assert_allclose(compose(a, invert_rigid(a)), IDENTITY, atol=1e-9)
    assert_allclose(compose(invert_rigid(a), a), IDENTITY, atol=1e-9)
    assert_allclose(invert_rigid(invert_rigid(a)), a, atol=1e-9)


@given(poses, poses, poses)
def test_composition_is_associative_and_is_the_product_of_the_4x4_matrices(a, b, c):
    assert_allclose(compose(compose(a, b), c), compose(a, compose(b, c)), atol=1e-9)
    assert_allclose(as_homogeneous(compose(a, b)), as_homogeneous(a) @ as_homogeneous(b), atol=1e-9)


@given(poses, poses, poses)
def test_relative_poses_do_not_depend_on_where_the_world_begins(a, b, moved):
    relative = relative_poses(a[None], b)
    assert_allclose(relative[0], compose(invert_rigid(b), a), atol=1e-9)
    assert_allclose(relative_poses(compose(moved, a)[None], compose(moved, b)), relative, atol=1e-9)


def test_a_camera_relative_to_itself_is_the_identity_even_kilometres_away():
    camera = pose(rotation_about([1, 2, 3], 0.7), [3e6, -2e6, 150.0])
    assert_allclose(relative_poses(camera[None], camera)[0], IDENTITY, atol=1e-15)


@given(poses, poses, arrays(np.float64, (5, 3), elements=numbers))
def test_points_are_mapped_one_pose_after_the_other(a, b, points):
    assert_allclose(
        transform_points(compose(a, b), points), transform_points(a, transform_points(b, points)), atol=1e-9
    )


def test_leading_dimensions_are_broadcast():
    many = np.stack([level_pose([x, 0, 0], yaw) for x, yaw in ((0, 0), (1, 0.5), (2, 1.0))])
    assert compose(many[:, None], many[None]).shape == (3, 3, 3, 4)
    assert_allclose(compose(many[:, None], many[None])[1, 2], compose(many[1], many[2]))
    assert as_homogeneous(many).shape == (3, 4, 4)


@given(rotations)
def test_a_rotation_survives_its_quaternion(rotation):
    quaternion = quaternion_from_rotation(rotation)
    assert quaternion[0] >= 0
    assert_allclose(np.linalg.norm(quaternion), 1)
    assert_allclose(rotation_from_quaternion(quaternion), rotation, atol=1e-9)


@pytest.mark.parametrize("axis", [[1, 0, 0], [0, 1, 0], [0, 0, 1], [1, 1, 0]])
def test_half_turns_survive_their_quaternion(axis):
    half_turn = rotation_about(axis, np.pi)
    assert_allclose(rotation_from_quaternion(quaternion_from_rotation(half_turn)), half_turn, atol=1e-12)


def test_quaternions_worked_by_hand():
    assert_allclose(rotation_from_quaternion([1, 0, 0, 0]), np.eye(3))
    half = np.sqrt(0.5)
    assert_allclose(rotation_from_quaternion([half, 0, 0, half]) @ [1, 0, 0], [0, 1, 0], atol=1e-12)


@pytest.mark.parametrize("quaternion", [[2, 0, 0, 0], [0, 0, 0, 0], [np.nan, 0, 0, 1]])
def test_a_quaternion_of_another_length_is_refused(quaternion):
    with pytest.raises(CameraError, match="length"):
        rotation_from_quaternion(quaternion)


@given(quaternions.map(lambda q: q[1:]).filter(lambda axis: np.linalg.norm(axis) > 0.01), st.floats(-3, 3))
def test_a_turn_has_its_angle_and_leaves_its_axis(axis, angle):
    turn = rotation_about(axis, angle)
    assert_allclose(turn @ turn.T, np.eye(3), atol=1e-12)
    assert_allclose(turn @ axis, axis, atol=1e-9)
    assert_allclose(rotation_angle(turn), abs(angle), atol=1e-9)


def test_turns_are_right_handed_and_angles_are_broadcast():
    turns = rotation_about([0, 0, 1], np.array([0, np.pi / 2]))
    assert turns.shape == (2, 3, 3)
    assert_allclose(turns[1] @ [1, 0, 0], [0, 1, 0], atol=1e-15)


def test_an_axis_without_length_is_refused():
    with pytest.raises(InputError, match="axis"):
        rotation_about([0, 0, 0], 1.0)


def test_looking_along_x_by_hand():
    camera = look_at([0, 0, 0], [5, 0, 0])
    assert_allclose(camera[:, :3], POSITIVE_X, atol=1e-15)
    assert_allclose(level_pose([0, 0, 0]), camera, atol=1e-15)


def test_looking_along_y_from_above_by_hand():
    camera = look_at([1, 2, 3], [1, 6, 0])  # 4 ahead along +y, 3 down: a 3-4-5 triangle
    assert_allclose(camera[:, 0], [1, 0, 0], atol=1e-15)
    assert_allclose(camera[:, 1], [0, -0.6, -0.8], atol=1e-15)
    assert_allclose(camera[:, 2], [0, 0.8, -0.6], atol=1e-15)
    assert_allclose(camera[:, 3], [1, 2, 3])


@given(translations, st.floats(-3, 3), st.floats(-1.5, 1.5))
def test_a_level_camera_sees_its_line_of_sight_and_its_horizon(position, yaw, pitch):
    camera = level_pose(position, yaw, pitch)
    forward = [np.cos(pitch) * np.cos(yaw), np.cos(pitch) * np.sin(yaw), np.sin(pitch)]
    assert_allclose(camera[:, 2], forward, atol=1e-12)
    assert_allclose(camera[2, 0], 0, atol=1e-12)  # the picture's horizontal is level
    assert_allclose(look_at(position, position + 2 * np.array(forward)), camera, atol=1e-6)


def test_looking_at_many_targets_at_once():
    cameras = look_at(np.zeros((4, 3)), [[1, 0, 0], [0, 1, 0], [-1, 0, 0], [0, -1, 0.5]])
    assert cameras.shape == (4, 3, 4)
    assert_allclose(cameras[0], look_at([0, 0, 0], [1, 0, 0]))


@pytest.mark.parametrize("target", [[1, 2, 3], [1, 2, 9], [1, 2, -9], [np.nan, 0, 0]])
def test_no_way_to_look_at_oneself_or_straight_up_or_nowhere(target):
    with pytest.raises(CameraError, match="look_at"):
        look_at([1, 2, 3], target)


def test_another_shape_is_refused():
    with pytest.raises(CameraError, match=r"\[\.\.\., 3, 4\], got \[4, 4\]"):
        invert_rigid(np.eye(4))
