"""The 28 trajectories: rotations, soft, within the speed asked, and back where they began."""

from math import degrees, pi, radians

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from outofsight.errors import WorldError
from outofsight.geometry.poses import look_at
from outofsight.types import check_rotations
from outofsight.worlds.cameras import (
    PEAK_SPEED_FACTOR,
    amounts_at,
    camera_kind,
    camera_poses,
    camera_starts,
    camera_trajectories,
    ease,
    trace_camera,
)
from outofsight.worlds.spec import CameraSpec

NAMES = list(camera_trajectories())
SWING = ((0.0, 0.0), (0.1, 0.0), (0.5, 1.0), (0.9, 0.0), (1.0, 0.0))


def a_camera(name, **changes):
    fields = {
        "trajectory": name, "start": "near", "position_m": (1.0, 2.0, 1.6), "yaw_rad": 0.3, "pitch_rad": -0.1,
        "fov_x_rad": 1.4, "keys": SWING,
    }  # fmt: skip
    return CameraSpec(**{**fields, **changes})


def traced(name, **changes):
    subject = np.stack([np.linspace(4, 5, 101), np.linspace(3, 5, 101)], axis=-1)
    return trace_camera(a_camera(name, **changes), 101, 15.0, subject)


def test_there_are_28_each_with_several_starts():
    assert len(NAMES) == 28
    assert len(camera_starts()) >= 4


def test_poses_agree_with_look_at():
    """Looking from (0, 0, 1) to (1, 1, 1): yaw 45°, no pitch."""
    poses = camera_poses(np.array([[0.0, 0.0, 1.0]]), np.array([pi / 4]), np.zeros(1), np.zeros(1))
    assert poses[0] == pytest.approx(look_at([0.0, 0.0, 1.0], [1.0, 1.0, 1.0]))
    tilted = camera_poses(np.array([[0.0, 0.0, 1.0]]), np.array([pi / 4]), np.array([0.5]), np.zeros(1))
    assert tilted[0] == pytest.approx(look_at([0, 0, 1], [1, 1, 1 + np.sqrt(2) * np.tan(0.5)]))


def test_a_pan_by_hand():
    """A pan of 92° to the left from yaw 0 looks along (cos 92°, sin 92°) at its height, halfway through the swing."""
    pose = traced("pan_left_right", yaw_rad=0.0, pitch_rad=0.0)[50]
    assert pose[:, 2] == pytest.approx([np.cos(radians(92)), np.sin(radians(92)), 0.0])
    assert pose[:, 3] == pytest.approx([1.0, 2.0, 1.6])


def test_an_orbit_keeps_its_distance_from_the_pivot():
    poses = traced("orbit_left_away", yaw_rad=0.0, pivot_m=4.0)
    assert np.hypot(*(poses[:, :2, 3] - [5.0, 2.0]).T) == pytest.approx(np.full(101, 4.0))
    assert poses[50, 1, 3] > 2.0  # looking along +x, left is +y


def test_a_truck_goes_sideways_and_a_crane_up():
    assert traced("truck_left_right", yaw_rad=0.0)[50, :, 3] == pytest.approx([1.0, 2.0 + 4.6, 1.6])
    assert traced("crane_up_turn", yaw_rad=0.0)[50, :, 3] == pytest.approx([1.0, 2.0, 3.6])
    assert traced("truck_left_right", yaw_rad=0.0, length_scale=0.1)[50, 1, 3] == pytest.approx(2.46)


@settings(max_examples=60, deadline=None)
@given(st.sampled_from(NAMES), st.floats(-pi, pi), st.floats(-0.4, 0.4), st.integers(0, 2**31))
def test_every_trajectory_is_made_of_rotations_and_begins_where_it_says(name, yaw, pitch, seed):
    poses = traced(name, yaw_rad=yaw, pitch_rad=pitch, seed=seed)
    check_rotations(poses[:, :, :3], poses[:, :, 3], name)
    begin = camera_poses(np.array([[1.0, 2.0, 1.6]]), np.array([yaw]), np.array([pitch]), np.zeros(1))[0]
    assert poses[0] == pytest.approx(begin)


@pytest.mark.parametrize("name", [name for name in NAMES if camera_kind(name).shake == 0])
def test_what_goes_there_comes_back(name):
    poses = traced(name, keys=((0.0, 0.0), (1.0, 1.0)) if "round" in name else SWING)
    assert poses[-1] == pytest.approx(poses[0], abs=1e-9)


@given(st.floats(0, 1), st.floats(0, 1))
def test_easing_rises_and_stays_below_its_peak_speed(a, b):
    low, high = sorted((a, b))
    step = float(ease(np.array(high)) - ease(np.array(low)))
    assert -1e-12 <= step <= PEAK_SPEED_FACTOR * (high - low) + 1e-9


def test_easing_by_hand():
    """A fifth of the time speeding up to 1.25: a tenth of that behind. Symmetric."""
    assert ease(np.array([0.0, 0.2, 0.5, 0.8, 1.0])) == pytest.approx([0.0, 0.125, 0.5, 0.875, 1.0])
    assert amounts_at(
        ((0.0, 0.0), (0.5, 2.0), (1.0, 0.0)), np.array([0.0, 0.25, 0.5, 0.75, 1.0])
    ) == pytest.approx([0.0, 1.0, 2.0, 1.0, 0.0])


def test_the_hand_trembles_a_little():
    poses = traced("handheld_hold")
    turn = degrees(np.arccos(np.clip(poses[:, :, 2] @ poses[0, :, 2], -1, 1)).max())
    assert 0.1 < turn < 4
    assert 0.001 < np.abs(poses[:, :, 3] - poses[0, :, 3]).max() < 0.1


def test_following_keeps_the_subject_in_the_middle_until_it_is_left():
    subject = np.stack([np.full(101, 6.0), np.linspace(2, 6, 101)], axis=-1)
    camera = a_camera(
        "follow_then_leave",
        position_m=(1.0, 2.0, 1.6),
        yaw_rad=0.0,
        keys=((0.0, 0.0), (0.3, 0.0), (0.6, 1.0), (1.0, 0.0)),
    )
    poses = trace_camera(camera, 101, 15.0, subject)
    bearing = np.arctan2(subject[:, 1] - 2, subject[:, 0] - 1)
    yaw = np.arctan2(poses[:, 1, 2], poses[:, 0, 2])
    assert np.abs(yaw - bearing)[13:22].max() < radians(4)
    assert yaw[60] - yaw[25] == pytest.approx(radians(86), abs=radians(4))


def test_following_nobody_is_refused():
    with pytest.raises(WorldError, match="follows a subject"):
        trace_camera(a_camera("follow_then_leave"), 10, 15.0)


def test_an_unknown_trajectory_is_named_with_the_known_ones():
    with pytest.raises(WorldError, match="unknown camera trajectory 'zoom'; known are pan_left_right"):
        trace_camera(a_camera("zoom"), 10, 15.0)
