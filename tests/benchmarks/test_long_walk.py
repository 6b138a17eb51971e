"""Ten minutes in one world: which laps are compared, and where scenery is."""

import numpy as np
import pytest

from long_walk import LEFTMOST, last_laps, scenery_psnr
from outofsight.geometry.poses import level_pose
from rolled_worlds import PERIOD_FRAMES, swinging


def test_the_last_whole_lap_before_each_minute_is_compared():
    assert PERIOD_FRAMES == 160
    assert last_laps(6000, 10.0, (1, 5, 10)) == {1: 320, 5: 2720, 10: 5760}
    assert last_laps(599, 10.0, (1,)) == {1: 320}  # a walk that ends a little early


def test_the_leftmost_pose_of_a_lap_is_the_farthest_turned():
    start, steps = level_pose([0.0, 0.0, 1.6]), swinging(level_pose([0.0, 0.0, 1.6]), 2)
    poses = np.concatenate([next(steps).world_from_camera for _ in range(30)])[:PERIOD_FRAMES]
    turn = np.arctan2(poses[:, 1, 2], poses[:, 0, 2]) - np.arctan2(start[1, 2], start[0, 2])
    assert turn.argmax() == LEFTMOST
    assert np.degrees(turn.max()) == pytest.approx(50, abs=0.1)


def test_scenery_is_what_shows_no_subject():
    truth, ids = np.zeros((2, 4, 4, 3), np.uint8), np.zeros((2, 4, 4), np.int32)
    frames = truth + np.uint8(10)
    frames[:, 0], ids[:, 0] = 255, 3
    assert scenery_psnr(frames, truth, ids) == pytest.approx(10 * np.log10(255**2 / 100))
