"""The ten ways to walk: smooth, at the pace asked, and as long as they say."""

from math import pi

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from outofsight.errors import WorldError
from outofsight.worlds.paths import path_kind, subject_paths, trace_path
from outofsight.worlds.spec import PathSpec

TIME_S = np.arange(400) / 30
NAMES = list(subject_paths())


def a_path(name, **changes):
    fields = {
        "name": name,
        "start_m": (2.0, -1.0),
        "heading_rad": 0.4,
        "size_m": 4.0,
        "speed_m_s": 1.2,
        "seed": 5,
    }
    return PathSpec(**{**fields, **changes})


def test_there_are_ten():
    assert len(NAMES) == 10
    assert all(path_kind(name).name == name for name in NAMES)


def test_a_straight_walk_by_hand():
    """0.5 m/s along +y from (1, 2): after 2 s at (1, 3)."""
    path = PathSpec(name="straight", start_m=(1.0, 2.0), heading_rad=pi / 2, size_m=6.0, speed_m_s=0.5)
    motion = trace_path(path, np.array([0.0, 2.0]))
    assert motion.position_m == pytest.approx(np.array([[1.0, 2.0], [1.0, 3.0]]))
    assert motion.heading_rad == pytest.approx([pi / 2, pi / 2])
    assert motion.distance_m == pytest.approx([0.0, 1.0])


def test_a_circle_by_hand():
    """A circle of 4 m across turning left from the origin along +x has its middle at (0, 2); half of it is 2π m."""
    path = PathSpec(name="circle", start_m=(0.0, 0.0), heading_rad=0.0, size_m=4.0, speed_m_s=1.0)
    motion = trace_path(path, np.array([0.0, pi, 2 * pi, 4 * pi]))
    expected = [[0, 0], [2, 2], [0, 4], [0, 0]]
    assert motion.position_m == pytest.approx(np.array(expected, dtype=float), abs=1e-3)
    assert motion.heading_rad == pytest.approx([0, pi / 2, pi, 2 * pi], abs=0.01)


def test_open_paths_end_in_a_halt_at_their_length():
    motion = trace_path(a_path("straight", size_m=2.0, speed_m_s=1.0), np.array([0.0, 1.0, 1.5, 10.0]))
    assert motion.distance_m[:2] == pytest.approx([0.0, 1.0])
    assert motion.distance_m[-1] == pytest.approx(2.0, abs=1e-3)
    assert motion.speed_m_s[-1] < 1e-3


def test_stop_and_go_stands_still_now_and_then():
    speed = trace_path(a_path("stop_and_go", size_m=30.0), TIME_S).speed_m_s
    assert (speed < 0.01).mean() > 0.15
    assert (speed > 1.19).mean() > 0.3


@settings(max_examples=60, deadline=None)
@example("zigzag", 1.0, 2.0, 0.0, False, 0)  # turns by more than a radian within one frame
@given(
    st.sampled_from(NAMES), st.floats(1.0, 12.0), st.floats(0.1, 2.0), st.floats(-pi, pi), st.booleans(),
    st.integers(0, 2**31),
)  # fmt: skip
def test_every_path_is_a_walk(name, size, speed, heading, mirrored, seed):
    """Position follows heading and speed; nobody goes back, jumps, or turns on the spot."""
    path = a_path(name, size_m=size, speed_m_s=speed, heading_rad=heading, mirrored=mirrored, seed=seed)
    motion = trace_path(path, TIME_S)
    assert motion.position_m[0] == pytest.approx([2.0, -1.0])
    step = np.diff(motion.position_m, axis=0)
    walked = np.diff(motion.distance_m)
    assert (walked >= -1e-12).all()
    chord = walked * np.sinc(np.diff(motion.heading_rad) / (2 * pi))  # of an arc that turns so far
    assert np.hypot(step[:, 0], step[:, 1]) == pytest.approx(chord, abs=0.02 * speed / 30 + 1e-3 * size)
    assert walked == pytest.approx((motion.speed_m_s[1:] + motion.speed_m_s[:-1]) / 60, abs=speed * 0.004)
    turn_per_m = np.abs(np.diff(motion.heading_rad)) / np.maximum(walked, 1e-9)
    assert turn_per_m[walked > 1e-4].max() <= 1.35 / (path_kind(name).bend * size) + 0.1
    middle = (motion.heading_rad[1:] + motion.heading_rad[:-1]) / 2
    along = step[:, 0] * np.cos(middle) + step[:, 1] * np.sin(middle)
    assert along == pytest.approx(chord, abs=0.05 * speed / 30 + 1e-3 * size)


@pytest.mark.parametrize("name", NAMES)
def test_mirrored_paths_turn_the_other_way(name):
    left = trace_path(a_path(name, heading_rad=0.0, start_m=(0.0, 0.0)), TIME_S)
    right = trace_path(a_path(name, heading_rad=0.0, start_m=(0.0, 0.0), mirrored=True), TIME_S)
    assert right.position_m == pytest.approx(left.position_m * [1, -1])
    assert right.heading_rad == pytest.approx(-left.heading_rad)


def test_wandering_follows_its_seed():
    one, same, other = (trace_path(a_path("wander", seed=seed), TIME_S).position_m for seed in (1, 1, 2))
    assert (one == same).all()
    assert np.abs(one - other).max() > 0.3


def test_an_unknown_path_is_named_with_the_known_ones():
    with pytest.raises(WorldError, match="unknown subject path 'moonwalk'; known are straight"):
        trace_path(a_path("moonwalk"), TIME_S)
