"""WRBench's D2 and MemoBench's memobench_recovery, worked by hand."""

import numpy as np
import pytest

from outofsight.evaluation.case import phases_of
from outofsight.evaluation.consistency import (
    d2,
    likeness_by_phase,
    memobench_drop,
    memobench_recovery,
    phase_bounds,
    sampled_frames,
    six_frames,
)
from outofsight.evaluation.metrics import measure_clip
from outofsight.types import Visibility
from square_world import BlockMeans, square_case

EAST, NORTH = [1.0, 0.0], [0.0, 1.0]


def grid(*rows):
    return np.array(rows, dtype=float)


def test_frames_two_a_second_with_both_ends():
    assert sampled_frames(30, 15.0) == [0, 8, 15, 22, 29]  # 7.5 and 22.5 are rounded to even
    assert sampled_frames(3, 15.0) == [0, 1, 2]
    assert sampled_frames(8, 15.0) == [0, 2, 4, 7]  # 0 and 7 from the clock, four from the least number
    many = sampled_frames(300, 15.0)
    assert len(many) == 16
    assert (many[0], many[-1]) == (0, 299)


def test_d2_finds_a_patch_wherever_it_went():
    pictures = np.array([EAST, EAST])
    first = grid([EAST, NORTH, NORTH, NORTH, NORTH])
    moved = first[:, ::-1]
    assert d2(pictures, np.stack([first, moved])) == pytest.approx(1)  # our own rule allows one patch only
    assert d2(np.array([EAST, NORTH]), np.stack([first, moved])) == 0  # the last picture is another


def test_d2_takes_the_worse_fifth_both_ways():
    pictures = np.array([EAST, EAST])
    first, second = grid([EAST] * 4), grid([EAST, EAST, EAST, NORTH])
    # matches: 1 1 1 1 forth, 1 1 1 0 back; 20th percentile of eight with one 0: place 1.4, between 1 and 1
    assert d2(pictures, np.stack([first, second])) == pytest.approx(1)
    second = grid([EAST, EAST, NORTH, NORTH])
    # 1 1 1 1 forth, 1 1 0 0 back: place 1.4 lies between 0 and 1
    assert d2(pictures, np.stack([first, second])) == pytest.approx(0.4)


def test_d2_takes_the_worse_fifth_of_neighbours():
    east, north = grid([EAST] * 2), grid([NORTH] * 2)
    pictures = np.array([EAST] * 3)
    assert d2(pictures, np.stack([east, east, north])) == pytest.approx(0.2)  # lows 1 and 0
    assert d2(-np.array([[1.0, 0], [-1, 0]]), np.stack([east, east])) == 0  # below 0 counts 0


def test_six_frames_of_a_phase():
    assert six_frames(0, 10) == [0, 2, 4, 6, 8, 10]
    assert six_frames(0, 8) == [0, 1, 3, 4, 6, 8]
    assert six_frames(4, 4) == [4] * 6
    seen, away, back = likeness_by_phase(np.r_[np.ones(10), np.zeros(10), np.full(11, 0.5)], 10, 20)
    assert seen == pytest.approx(5 / 6)  # frames 0 2 4 6 8 10, the last of them hidden already: as published
    assert away == pytest.approx(0.5 / 6)  # 10 … 18, and 20 that is back
    assert back == pytest.approx(0.5)


def test_recovery_as_published():
    assert memobench_recovery(0.9, 0.5, 0.7) == pytest.approx(0.5)
    assert memobench_recovery(0.9, 0.5, 0.95) == 1
    assert memobench_recovery(0.8, 0.8, 0.795) == 1  # nothing was lost, and nothing is
    assert memobench_recovery(0.8, 0.8, 0.4) == pytest.approx(
        0.5, abs=1e-5
    )  # ours says that hiding changes nothing
    assert memobench_drop(0.8, 0.6) == pytest.approx(0.25, abs=1e-5)
    assert memobench_drop(0.6, 0.8) == 0


def test_the_phases_are_of_the_first_who_comes_back():
    seen = np.full((2, 40), Visibility.VISIBLE, dtype=np.int8)
    seen[0, 5:30] = Visibility.OUT_OF_VIEW
    seen[1, 8:25] = Visibility.OUT_OF_VIEW
    assert phase_bounds(phases_of(seen, 20)) == (8, 25)
    assert phase_bounds(phases_of(seen[:, :24], 20)) is None


def test_the_measures_of_a_clip():
    case = square_case()
    true = measure_clip(case, case.truth, features=BlockMeans())
    frozen = measure_clip(case, np.repeat(case.context[-1:], 16, axis=0), features=BlockMeans())
    assert true["memobench_recovery"].value > frozen["memobench_recovery"].value
    assert true["memobench_occlusion_drop"].value > 0.1
    assert true["wrbench_d2"].value > frozen["wrbench_d2"].value
    bare = measure_clip(case, case.truth)
    assert bare["wrbench_d2"].reason == "no feature network is given"
    still = square_case(np.zeros(16))
    told = measure_clip(still, still.truth, features=BlockMeans())
    assert told["memobench_recovery"].reason == "no subject comes back in the target"
