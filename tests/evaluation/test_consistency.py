"""Consistency over time, phases, revisits, decay: worked by hand on vectors of two numbers."""

import numpy as np
import pytest

from outofsight.evaluation.case import Phase
from outofsight.evaluation.consistency import (
    cosine_at_distance,
    frame_consistency,
    occlusion_drop,
    phase_likeness,
    recovery,
    view_likeness,
)
from outofsight.evaluation.metrics import measure_clip
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
    told = measure_clip(still, still.truth, features=BlockMeans())
    assert told["revisit_likeness"].reason == "the camera does not come back to a view of the context"
    assert "in one phase" in told["recovery"].reason
