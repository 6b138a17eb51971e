"""DSC: ROI-align and cosines worked by hand, and what counts as missing."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from outofsight.evaluation.association import observe, observe_truth, references_of
from outofsight.evaluation.consistency import unit_length
from outofsight.evaluation.dsc import (
    adaptive_samples,
    frame_vectors,
    mean_cosine,
    roi_align,
    subject_vectors,
    union_boxes,
)
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


NAN = np.full(4, np.nan)


def test_one_box_around_all_that_is_seen():
    masks = np.zeros((2, 3, 8, 8), dtype=bool)
    masks[0, 0, 1:3, 1:2] = True
    masks[1, 0, 4:6, 5:8] = True
    masks[1, 1, 4:6, 5:8] = True
    expected = np.array([[1, 1, 8, 6], [5, 4, 8, 6], NAN])
    assert union_boxes(observed_from_masks(masks)) == pytest.approx(expected, nan_ok=True)


def test_a_cell_has_as_many_samples_as_patches():
    assert adaptive_samples(np.array([0.0, 0, 7, 3.5])) == (1, 1)
    assert adaptive_samples(np.array([0.0, 0, 7.1, 14])) == (2, 2)
    assert adaptive_samples(np.array([0.0, 0, 14, 3])) == (1, 2)
    assert adaptive_samples(np.array([2.0, 2, 2, 2])) == (1, 1)


def test_one_sample_reads_the_middle_of_a_cell():
    patches = np.zeros((8, 8, 1))
    patches[3, 3] = 1.0
    cells = roi_align(
        patches, np.array([0.0, 0, 7, 7]), (1, 1)
    )  # a cell a patch: its middle is the patch's centre
    assert cells[3, 3, 0] == 1
    assert cells.sum() == 1


class Columns:
    """A network whose patches tell their column: a picture is as many columns of 4 px."""

    def features(self, frames):
        height = frames.shape[1]
        columns = frames[:, 0, ::4, 0].astype(float)
        patches = np.eye(32)[columns.astype(int)]
        return type(
            "F", (), {"patches": np.repeat(patches[:, None], height // 4, axis=1), "pictures": columns}
        )


def test_the_published_box_is_read_beside_its_place():
    """Picture 16×32 of 8 columns; the crop shows columns 2 to 5. A box on column 5 is read at 5/8 of the crop.

    ::

        picture   0 1 [2 3 4 5] 6 7        box in the picture: x 20 to 24
        crop           0 1 2 3             published: 20/32·4 = 2.5 to 3, half of column 4; registered: 3 to 4, column 5
    """
    frames = (
        np.repeat(np.arange(8, dtype=np.uint8), 4)[None, None, :, None].repeat(16, axis=1).repeat(3, axis=3)
    )
    box = np.array([[20.0, 4, 24, 8]])
    published = frame_vectors(Columns(), frames, box, registered=False)
    registered = frame_vectors(Columns(), frames, box, registered=True)
    assert published[0].argmax() == 4
    assert registered[0].argmax() == 5
    outside = np.array([[0.0, 4, 4, 8]])
    assert frame_vectors(Columns(), frames, outside, registered=True).shape == (0, 32)
    assert frame_vectors(Columns(), frames, outside, registered=False)[0].argmax() == 2


def test_the_two_forms_agree_on_the_middle_and_differ_at_the_side():
    middle = square_case(np.zeros(16), np.zeros(16))
    measured = judged(middle.truth, case=middle)
    # The square covers 10 of 48 columns: published takes 10/48 of the 32 that are shown, so stays within it.
    assert measured["dsc_official_gt"].value == pytest.approx(1)
    assert measured["dsc_official_registered_gt"].value == pytest.approx(1)
    side_then_middle = np.where(np.arange(16) < 8, 17.0, 0.0)
    beside = square_case(np.zeros(16), side_then_middle)
    measured = judged(beside.truth, case=beside)
    # Beside the square there is scenery, so the published form is less like red.
    assert measured["dsc_official_ctx"].value < measured["dsc_official_registered_ctx"].value - 0.02


def test_no_box_is_said():
    leaves = square_case(np.concatenate([np.zeros(8), np.full(8, 60.0)]))
    measured = judged(leaves.truth, case=leaves)
    assert measured["dsc_official_gt"].reason == "no subject is seen in the target"
    assert (
        measured["dsc_official_registered_gt"].reason
        == "no subject is seen in the target, within the centre crop"
    )
    assert measured["dsc_official_ctx"].reason == "no subject is found in the generated video"
