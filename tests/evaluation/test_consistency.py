"""Consistency over time, phases, revisits, decay: worked by hand on vectors of two numbers."""

import numpy as np
import pytest

from outofsight.evaluation.case import Phase, phases_of
from outofsight.evaluation.consistency import (
    cosine_at_distance,
    d2,
    frame_consistency,
    likeness_by_phase,
    memobench_drop,
    memobench_recovery,
    occlusion_drop,
    phase_bounds,
    phase_likeness,
    recovery,
    sampled_frames,
    six_frames,
    view_likeness,
)
from outofsight.evaluation.metrics import measure_clip
from outofsight.types import Visibility
from square_world import BlockMeans, square_case

EAST, NORTH, WEST = [1.0, 0.0], [0.0, 2.0], [-3.0, 0.0]
BETWEEN = [1.0, 1.0]  # 45°: cosine √½ to east and to north
HALF_ROOT = np.sqrt(0.5)


def test_vbench_consistency_by_hand():
    frames = np.array([EAST, BETWEEN, NORTH])
    # frame 1: previous √½, first √½; frame 2: previous √½, first 0
    assert frame_consistency(frames) == pytest.approx((HALF_ROOT + HALF_ROOT / 2) / 2)


def test_vbench_cuts_negative_cosines():
    assert frame_consistency(np.array([EAST, WEST, WEST])) == pytest.approx((0 + 0.5) / 2)
    assert frame_consistency(np.array([EAST, EAST])) == pytest.approx(1)


def test_decay_by_hand():
    frames = np.array([EAST, EAST, NORTH, WEST])
    assert cosine_at_distance(frames, 1) == pytest.approx((1 + 0 + 0) / 3)
    assert cosine_at_distance(frames, 2) == pytest.approx((0 - 1) / 2)


def test_recovery_by_hand():
    phases = np.array([Phase.VISIBLE, Phase.VISIBLE, Phase.HIDDEN, Phase.REENTERED], dtype=np.int8)
    likeness = phase_likeness(np.array([EAST, EAST, NORTH, BETWEEN]), phases)
    assert likeness == {Phase.VISIBLE: 1, Phase.HIDDEN: 0, Phase.REENTERED: pytest.approx(HALF_ROOT)}
    assert recovery(1.0, 0.0, HALF_ROOT) == pytest.approx(HALF_ROOT)
    assert recovery(0.9, 0.5, 0.7) == pytest.approx(0.5)
    assert (recovery(0.9, 0.5, 0.95), recovery(0.9, 0.5, 0.4)) == (1, 0)
    assert occlusion_drop(0.8, 0.6) == pytest.approx(0.25)


def test_a_phase_that_does_not_occur_has_no_likeness():
    phases = np.array([Phase.VISIBLE, Phase.HIDDEN], dtype=np.int8)
    likeness = phase_likeness(np.array([EAST, NORTH]), phases)
    assert likeness[Phase.VISIBLE] is None  # frame 0 is not compared with itself
    assert likeness[Phase.REENTERED] is None


def test_view_likeness_is_the_lower_of_whole_and_local():
    rows, columns = 5, 5
    first = np.zeros((rows, columns, 2))
    first[..., 0] = 1
    picture = np.array(EAST)
    assert view_likeness(picture, first, picture, first) == pytest.approx(1)
    assert view_likeness(picture, first, np.array(BETWEEN), first) == pytest.approx(HALF_ROOT)
    last = first.copy()
    last[:3] = [0, 1]  # rows 0 and 1 find no match within one patch: 10 of 25, more than a fifth
    assert view_likeness(picture, first, picture, last) == pytest.approx(0)
    last = first.copy()
    last[:1] = [0, 1]  # row 0 finds its match one patch below
    assert view_likeness(picture, first, picture, last) == pytest.approx(1)


def test_a_match_is_not_sought_beyond_the_picture():
    opposite = np.full((2, 2, 2), 0.0)
    opposite[..., 0] = 1
    assert view_likeness(np.array(EAST), opposite, np.array(EAST), -opposite) == pytest.approx(-1)


def test_measures_of_a_whole_clip():
    case = square_case()
    measured = measure_clip(case, case.truth, features=BlockMeans())
    frozen = np.repeat(case.context[-1:], 16, axis=0)
    still = measure_clip(case, frozen, features=BlockMeans())
    assert still["subject_consistency"].value == pytest.approx(1)
    assert measured["subject_consistency"].value < 1
    assert still["decay_5"].value == pytest.approx(1)
    assert measured["decay_20"].reason == "the video has no frames 20 frames apart"
    assert measured["revisit_likeness"].value > still["revisit_likeness"].value


def test_what_is_missing_is_said():
    case = square_case()
    measured = measure_clip(case, case.truth)
    for name in ("subject_consistency", "recovery", "revisit_likeness", "decay_2", "dsc_gt"):
        assert measured[name].value is None
    assert measured["subject_consistency"].reason == "no feature network is given"
    still = square_case(np.zeros(16))
    reported = measure_clip(still, still.truth, features=BlockMeans())
    assert reported["revisit_likeness"].reason == "the camera does not come back to a view of the context"
    assert "in one phase" in reported["recovery"].reason


ACROSS, ALONG = [1.0, 0.0], [0.0, 1.0]


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
    pictures = np.array([ACROSS, ACROSS])
    first = grid([ACROSS, ALONG, ALONG, ALONG, ALONG])
    moved = first[:, ::-1]
    assert d2(pictures, np.stack([first, moved])) == pytest.approx(1)  # our own rule allows one patch only
    assert d2(np.array([ACROSS, ALONG]), np.stack([first, moved])) == 0  # the last picture is another


def test_d2_takes_the_worse_fifth_both_ways():
    pictures = np.array([ACROSS, ACROSS])
    first, second = grid([ACROSS] * 4), grid([ACROSS, ACROSS, ACROSS, ALONG])
    # matches: 1 1 1 1 forth, 1 1 1 0 back; 20th percentile of eight with one 0: place 1.4, between 1 and 1
    assert d2(pictures, np.stack([first, second])) == pytest.approx(1)
    second = grid([ACROSS, ACROSS, ALONG, ALONG])
    # 1 1 1 1 forth, 1 1 0 0 back: place 1.4 lies between 0 and 1
    assert d2(pictures, np.stack([first, second])) == pytest.approx(0.4)


def test_d2_takes_the_worse_fifth_of_neighbours():
    east, north = grid([ACROSS] * 2), grid([ALONG] * 2)
    pictures = np.array([ACROSS] * 3)
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
    reported = measure_clip(still, still.truth, features=BlockMeans())
    assert reported["memobench_recovery"].reason == "no subject comes back in the target"
