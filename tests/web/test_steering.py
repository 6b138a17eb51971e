"""From keys to cameras."""

import numpy as np
import pytest

from outofsight.geometry.poses import level_pose, pose
from outofsight.types import CameraPath
from outofsight.web.protocol import Look
from outofsight.web.steering import (
    MOST_PITCH_DEG,
    MOST_TURN_DEG,
    MOVE_M_S,
    TURN_DEG_S,
    CameraMotion,
    go_on,
    heading_of,
)

START, FPS = level_pose([1.0, 2.0, 1.6], 0.3), 10.0


def walked(look, frames=40, start=START, motion=None):
    return go_on(start, look, motion or CameraMotion(), frames, FPS)


def look(**keys):
    return Look(kind="look", number=0, **keys)


def still(motion: CameraMotion) -> bool:
    return max(map(abs, (*motion.speed, *motion.to_turn_deg))) < 1e-3


def test_no_key_no_movement():
    path, motion = walked(look())
    assert np.allclose(path.world_from_camera, START)
    assert still(motion)


def test_full_speed_to_the_left():
    path, motion = walked(look(yaw=1.0))
    turned = np.degrees(heading_of(path.world_from_camera[-1])[0] - heading_of(path.world_from_camera[-2])[0])
    assert turned == pytest.approx(TURN_DEG_S / FPS, rel=1e-3)
    assert motion.speed[0] == pytest.approx(1.0, abs=1e-3)
    assert np.allclose(path.world_from_camera[:, :, 3], START[:, 3])


def test_walking_keeps_to_the_ground_whatever_the_pitch():
    start = level_pose([0, 0, 1.6], 0.0, -0.6)
    path, _ = walked(look(forward=1.0), start=start)
    assert np.allclose(path.world_from_camera[:, 2, 3], 1.6)
    step = path.world_from_camera[-1][:, 3] - path.world_from_camera[-2][:, 3]
    assert step[0] == pytest.approx(MOVE_M_S / FPS, rel=1e-3)
    path, _ = walked(look(right=1.0), start=start)
    assert path.world_from_camera[-1][1, 3] < -1  # to the right of +x is −y


def test_two_keys_are_no_faster_than_one():
    path, _ = walked(look(forward=1.0, right=1.0))
    steps = np.linalg.norm(np.diff(path.world_from_camera[:, :, 3], axis=0), axis=1)
    assert steps.max() <= MOVE_M_S / FPS * 1.001


def test_pitch_is_bounded():
    path, _ = walked(look(pitch=1.0), 400)
    pitches = np.degrees([heading_of(each)[1] for each in path.world_from_camera])
    assert pitches.max() <= MOST_PITCH_DEG + 1e-6
    assert pitches[-1] == pytest.approx(MOST_PITCH_DEG, abs=0.1)


def test_a_drag_is_turned_by_as_much_as_was_asked():
    motion = CameraMotion().dragged(look(yaw_deg=20.0))
    path, after = walked(look(), 60, motion=motion)
    assert np.degrees(heading_of(path.world_from_camera[-1])[0] - 0.3) == pytest.approx(20.0, abs=1e-6)
    assert still(after)
    headings = np.degrees([0.3, *(heading_of(each)[0] for each in path.world_from_camera)])
    assert np.abs(np.diff(headings[1:])).max() <= MOST_TURN_DEG + 1e-9


def test_halting_and_going_on_is_one_path():
    whole, _ = walked(look(yaw=0.5, forward=1.0), 16)
    first, motion = walked(look(yaw=0.5, forward=1.0), 8)
    second, _ = go_on(first.world_from_camera[-1], look(yaw=0.5, forward=1.0), motion, 8, FPS)
    joined = np.concatenate([first.world_from_camera, second.world_from_camera])
    assert np.allclose(joined, whole.world_from_camera)


def test_an_hour_of_turning_leaves_a_rotation():
    motion, start = CameraMotion(), START
    for _ in range(300):
        path, motion = go_on(start, look(yaw=1.0, pitch=0.3), motion, 8, FPS)
        start = path.world_from_camera[-1]
    assert np.abs(start[:, :3] @ start[:, :3].T - np.eye(3)).max() < 1e-9
    CameraPath(world_from_camera=start[None])


def test_a_camera_that_looks_straight_down_still_walks():
    down = pose(np.array([[0.0, 1, 0], [1, 0, 0], [0, 0, -1]]), [0, 0, 5.0])
    path, _ = walked(look(forward=1.0), start=down)
    assert np.isfinite(path.world_from_camera).all()
