"""Does the camera turn as it was told to: shifts that are known, and videos that do not follow."""

from dataclasses import replace

import numpy as np
import pytest

from outofsight.evaluation.baselines import camera_warped, frozen
from outofsight.evaluation.evidence import Evidence
from outofsight.evaluation.motion import camera_error, scenery_shifts
from square_world import GENTLE, LENS, square_case

TURN_DEG = 1.5
CASE = square_case(np.arange(24) * TURN_DEG, np.linspace(12, 20, 24))


def error(video) -> float | None:
    return camera_error(Evidence(case=CASE, generated=video)).value


def test_a_turning_camera_moves_the_scenery_by_focal_length_times_angle():
    hidden = CASE.foreground[12:]
    shifts = scenery_shifts(CASE.truth, hidden)
    least = LENS.fx_px * np.deg2rad(
        TURN_DEG
    )  # in the middle; towards the edges up to 1 + tan² 25° times as much
    assert np.median(shifts[:, 0]) == pytest.approx(1.08 * least, rel=0.12)
    assert abs(shifts[:, 1]).max() < 0.4


def test_the_truth_follows_and_a_frozen_video_does_not():
    assert error(CASE.truth) == pytest.approx(0, abs=1e-9)
    assert error(frozen(CASE)) == pytest.approx(1, abs=1e-9)


def test_the_other_way_and_half_as_fast():
    assert error(CASE.truth[::-1]) == pytest.approx(2, abs=0.2)
    slow = square_case(np.concatenate([np.arange(12), 12 + np.arange(12) / 2]) * TURN_DEG, np.full(24, 200.0))
    assert error(slow.truth) == pytest.approx(0.5, abs=0.15)


def test_a_warped_picture_follows_while_something_of_it_is_left():
    assert error(camera_warped(CASE)) < 0.8


def test_a_blank_video_stands_still():
    assert error(np.full_like(CASE.truth, 90)) == pytest.approx(1)


def test_a_true_camera_that_stands_still_or_sees_nothing_tells_nothing():
    still = square_case(GENTLE * 0)
    assert "hardly moves" in camera_error(Evidence(case=still, generated=still.truth)).reason
    blank = replace(still, truth=np.full_like(still.truth, 90))
    assert "recognised" in camera_error(Evidence(case=blank, generated=still.truth)).reason


def test_without_masks_the_shift_of_most_of_the_picture_counts():
    bare = replace(CASE, foreground=None, subject_masks=None)
    assert camera_error(Evidence(case=bare, generated=CASE.truth)).value == pytest.approx(0, abs=1e-9)
    assert camera_error(Evidence(case=bare, generated=frozen(CASE))).value == pytest.approx(1, abs=1e-9)
