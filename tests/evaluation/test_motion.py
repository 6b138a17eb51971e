"""Relative motion: scenery shifts that are known, motion with the camera's taken out, and what stands still."""

from dataclasses import replace

import numpy as np
import pytest

from outofsight.evaluation.baselines import camera_warped, frozen, sampled, to_bytes
from outofsight.evaluation.evidence import Evidence, annotated, observed_from_masks
from outofsight.evaluation.motion import (
    SMOOTHED_FRAMES,
    camera_error,
    own_speeds,
    relative_motion,
    relative_motion_missing_0,
    scenery_shift,
    scenery_shifts,
    smoothed,
)
from square_world import GENTLE, LENS, square_case


def texture(height=40, width=60, seed=0):
    """Smooth random scenery, larger than a picture."""
    values = np.random.default_rng(seed).normal(size=(height, width))
    for axis in (0, 1):
        values = sum(np.roll(values, step, axis) for step in range(-2, 3))
    return 0.5 + 0.1 * values / values.std()


@pytest.mark.parametrize(("down", "right"), [(0, 0), (2, -3), (-3, 4), (0, 5)])
def test_a_whole_shift_is_found(down, right):
    big = texture()
    first = big[8:32, 12:48]
    second = big[8 - down : 32 - down, 12 - right : 48 - right]
    everywhere = np.ones(first.shape, dtype=bool)
    assert scenery_shift(first, everywhere, second, everywhere) == pytest.approx([right, down], abs=0.1)


def test_a_part_of_a_pixel_is_found():
    big = texture()
    first, everywhere = big[8:32, 12:48], np.ones((24, 36), dtype=bool)
    second = 0.7 * big[8:32, 11:47] + 0.3 * big[8:32, 10:46]  # 1.3 to the right
    assert scenery_shift(first, everywhere, second, everywhere) == pytest.approx([1.3, 0], abs=0.15)


def test_what_is_masked_does_not_count():
    big = texture()
    first, second = big[8:32, 12:48].copy(), big[8:32, 10:46].copy()
    mask_first, mask_second = np.ones((24, 36), dtype=bool), np.ones((24, 36), dtype=bool)
    for picture, mask, column in ((first, mask_first, 10), (second, mask_second, 4)):
        picture[4:20, column : column + 12] = 3.0  # a bright thing that goes the other way
        mask[4:20, column : column + 12] = False
    assert scenery_shift(first, mask_first, second, mask_second) == pytest.approx([2, 0], abs=0.2)
    everywhere = np.ones_like(mask_first)
    assert scenery_shift(first, everywhere, second, everywhere)[0] < 0


def test_a_blank_wall_has_no_shift():
    blank, everywhere = np.full((24, 36), 0.5), np.ones((24, 36), dtype=bool)
    assert scenery_shift(blank, everywhere, blank, everywhere) is None


def test_smoothing_cancels_jitter_and_keeps_walking():
    to_and_fro = np.zeros((12, 2))
    to_and_fro[:, 0] = np.tile([1.0, -1.0], 6)
    walking = np.tile([0.5, 0.0], (12, 1))
    lengths = np.linalg.norm(smoothed(to_and_fro), axis=-1)
    assert lengths == pytest.approx([1 / SMOOTHED_FRAMES] * 12)
    assert smoothed(walking) == pytest.approx(walking)


def test_runs_are_not_joined_over_gaps():
    motions = np.full((5, 2), np.nan)
    motions[0], motions[2], motions[3] = (4, 0), (1, 0), (3, 0)
    assert smoothed(motions)[:, 0] == pytest.approx([4, np.nan, 2, 2, np.nan], nan_ok=True)


def evidence_of(case, generated, masks=None) -> Evidence:
    target = case.subject_masks[:, case.num_context_frames :] if masks is None else masks
    return Evidence(
        case=case, generated=generated, observed=observed_from_masks(target), truth_observed=annotated(case)
    )


WALK = square_case(GENTLE, np.linspace(18, 0, 16))
"""The camera turns left by half a degree a frame while the square walks right by 1.2°."""


def test_the_speed_is_the_subjects_own():
    speeds = own_speeds(WALK.truth, observed_from_masks(WALK.subject_masks[:, 8:]))
    own_px = np.deg2rad(1.2) * 48 / (2 * np.tan(np.deg2rad(25)))  # at the picture's middle
    assert np.nanmean(speeds) == pytest.approx(own_px, rel=0.2)


def test_the_truth_is_as_lively_as_itself():
    assert relative_motion(evidence_of(WALK, WALK.truth)).value == pytest.approx(1)
    assert relative_motion_missing_0(evidence_of(WALK, WALK.truth)).value == pytest.approx(1)


def test_a_frozen_video_is_dead_although_its_camera_should_turn():
    last = np.repeat(WALK.subject_masks[:, 7:8], 8, axis=1)
    evidence = evidence_of(WALK, frozen(WALK), last)
    assert relative_motion(evidence).value == pytest.approx(0, abs=1e-9)
    assert relative_motion_missing_0(evidence).value == pytest.approx(0, abs=1e-9)


def test_a_subject_fixed_to_the_scenery_is_nearly_dead():
    fixed = square_case(GENTLE, np.full(16, 6.0))
    evidence = evidence_of(WALK, fixed.truth, fixed.subject_masks[:, 8:])
    assert relative_motion(evidence).value < 0.35


def test_one_that_is_never_found_does_not_move():
    evidence = evidence_of(WALK, WALK.truth, np.zeros_like(WALK.subject_masks[:, 8:]))
    assert relative_motion(evidence).value is None
    assert "found" in relative_motion(evidence).reason
    assert relative_motion_missing_0(evidence).value == 0


def test_a_true_subject_that_stands_still_tells_nothing():
    standing = square_case(np.zeros(16), np.zeros(16))
    assert "stand still" in relative_motion(evidence_of(standing, standing.truth)).reason
    gone = replace(WALK, subject_masks=np.zeros_like(WALK.subject_masks))
    assert "wholly" in relative_motion(evidence_of(gone, gone.truth)).reason


def test_tall_pictures_are_reduced_and_speeds_stay_in_pixels():
    masks = WALK.subject_masks[:, 8:]
    height, width = WALK.truth.shape[1:3]
    x, y = np.meshgrid((np.arange(8 * width) + 0.5) / 8, (np.arange(8 * height) + 0.5) / 8)
    places = np.stack([x, y], axis=-1)
    video = np.stack([to_bytes(sampled(frame, places)) for frame in WALK.truth])
    large = np.repeat(np.repeat(masks, 8, axis=2), 8, axis=3)
    slow = np.nanmean(own_speeds(WALK.truth, observed_from_masks(masks)))
    assert np.nanmean(own_speeds(video, observed_from_masks(large))) == pytest.approx(8 * slow, rel=0.1)


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
