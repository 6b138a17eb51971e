"""DSC: ROI-align and cosines worked by hand, and what counts as missing."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from outofsight.evaluation.association import observe, observe_truth, references_of
from outofsight.evaluation.consistency import unit_length
from outofsight.evaluation.dsc import mean_cosine, roi_align, subject_vectors
from outofsight.evaluation.evidence import observed_from_masks
from outofsight.evaluation.metrics import measure_clip
from square_world import BLUE, BlockMeans, ColourDetector, square_case

RAMP = np.arange(8.0)[None, :, None] + 100 * np.arange(6.0)[:, None, None]
"""Patch (row, column) holds column + 100 · row, at its centre."""


def test_roi_align_reads_a_ramp_exactly():
    cells = roi_align(RAMP, np.array([1.0, 2.0, 4.5, 5.5]))  # cells half a patch wide
    centres = 1.0 + 0.5 * (np.arange(7) + 0.5) - 0.5
    assert cells.shape == (7, 7, 1)
    assert cells[0, :, 0] - cells[0, 0, 0] == pytest.approx(centres - centres[0])
    assert cells[0, 0, 0] == pytest.approx(centres[0] + 100 * (2.0 + 0.25 - 0.5))


def test_roi_align_within_one_patch_is_flat_only_at_its_centre():
    tiny = roi_align(RAMP, np.array([3.5, 2.5, 3.5, 2.5]))
    assert tiny == pytest.approx(np.full((7, 7, 1), 3 + 200))


def test_roi_align_repeats_the_border():
    corner = roi_align(RAMP, np.array([0.0, 0.0, 0.5, 0.5]))  # left of and above the first centre
    assert corner == pytest.approx(np.zeros((7, 7, 1)))
    beyond = roi_align(RAMP, np.array([7.5, 5.5, 8.0, 6.0]))
    assert beyond == pytest.approx(np.full((7, 7, 1), 7 + 500))


def test_roi_align_of_a_single_patch():
    assert roi_align(np.full((1, 1, 2), 3.0), np.array([0.0, 0, 1, 1])) == pytest.approx(
        np.full((7, 7, 2), 3.0)
    )


def slow_roi_mean(patches, box):
    """The mean of the 49 cells, sample by sample."""
    total = 0.0
    for i in range(14):
        for j in range(14):
            y = min(max(box[1] + (i + 0.5) / 14 * (box[3] - box[1]) - 0.5, 0), patches.shape[0] - 1)
            x = min(max(box[0] + (j + 0.5) / 14 * (box[2] - box[0]) - 0.5, 0), patches.shape[1] - 1)
            for row in range(patches.shape[0]):
                for column in range(patches.shape[1]):
                    weight = max(0, 1 - abs(y - row)) * max(0, 1 - abs(x - column))
                    total = total + weight * patches[row, column]
    return total / 196


def test_roi_align_is_bilinear():
    generator = np.random.default_rng(0)
    patches = generator.normal(size=(5, 6, 3))
    for box in ([0.3, 0.1, 5.9, 4.4], [2.0, 1.0, 3.0, 2.5], [0.0, 0.0, 6.0, 5.0]):
        assert roi_align(patches, np.array(box)).mean(axis=(0, 1)) == pytest.approx(
            slow_roi_mean(patches, box)
        )


def test_boxes_in_pixels_are_scaled_to_patches():
    patches = np.zeros((2, 2, 4, 2))
    patches[:, :, :2, 0] = 1  # the left half says "east"
    patches[:, :, 2:, 1] = 1  # the right half "north"
    boxes = np.array([[0, 0, 8, 20], [32, 0, 40, 20]], dtype=np.float32)  # of pictures 20×40
    vectors = subject_vectors(patches, boxes, (20, 40))
    assert vectors == pytest.approx(np.array([[1, 0], [0, 1]]))
    boxes[1] = np.nan
    assert np.isnan(subject_vectors(patches, boxes, (20, 40))[1]).all()


def test_all_pairs_by_hand():
    east, north = [1.0, 0.0], [0.0, 1.0]
    assert mean_cosine(np.array([east, north]), np.array([east, east, north])) == pytest.approx(3 / 6)


@given(st.integers(1, 5), st.integers(1, 5), st.integers(0, 1000))
def test_all_pairs_are_all_pairs(number_a, number_b, seed):
    generator = np.random.default_rng(seed)
    a, b = (unit_length(generator.normal(size=(number, 3))) for number in (number_a, number_b))
    assert mean_cosine(a, b) == pytest.approx(np.mean([x @ y for x in a for y in b]))


CASE = square_case()


def judged(video, observed=None, case=CASE):
    detector = ColourDetector()
    truth = observe_truth(detector, case)
    observed = observe(detector, video, references_of(case, truth)) if observed is None else observed
    return measure_clip(case, video, observed=observed, truth_observed=truth, features=BlockMeans())


def test_the_right_subject_is_like_itself_and_another_is_not():
    true = judged(CASE.truth)
    swapped = judged(square_case(colour=BLUE).truth)
    assert true["dsc_gt"].value > 0.8
    assert true["dsc_ctx"].value > 0.8
    assert swapped["dsc_gt"].value < 0.2
    assert swapped["dsc_ctx"].value < 0.2


def test_missing_frames_count_0_over_all_frames_that_show_the_subject():
    masks = CASE.subject_masks[:, CASE.num_context_frames :]
    shown = np.flatnonzero(observed_from_masks(masks).detected[0])
    half = masks.copy()
    half[0, shown[: len(shown) // 2]] = False
    whole, part = (judged(CASE.truth, observed_from_masks(m)) for m in (masks, half))
    found = len(shown) - len(shown) // 2
    assert part["detection_rate"].value == pytest.approx(found / len(shown))
    assert part["dsc_gt_missing_0"].value == pytest.approx(part["dsc_gt"].value * found / len(shown))
    assert whole["dsc_gt_missing_0"].value == pytest.approx(whole["dsc_gt"].value)


def test_one_that_is_never_found():
    nobody = judged(CASE.truth, observed_from_masks(np.zeros_like(CASE.subject_masks[:, 16:])))
    assert nobody["dsc_gt"].reason == "no subject is found in the generated video"
    assert nobody["dsc_gt_missing_0"].value == 0
    assert nobody["dsc_ctx_missing_0"].value == 0
    assert nobody["detection_rate"].value == 0


def test_a_subject_that_the_target_never_shows():
    leaves = square_case(np.concatenate([np.zeros(8), np.full(8, 60.0)]))
    judgement = judged(leaves.truth, case=leaves)
    assert judgement["dsc_gt"].reason == "no subject is seen in the target"
    assert judgement["dsc_gt_missing_0"].value is None
