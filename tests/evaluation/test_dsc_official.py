"""DSC as published: one box, read beside its place in the crop; worked by hand on four colours."""

import numpy as np
import pytest

from outofsight.evaluation.association import observe, observe_truth, references_of
from outofsight.evaluation.dsc import adaptive_samples, frame_vectors, roi_align, union_boxes
from outofsight.evaluation.evidence import observed_from_masks
from outofsight.evaluation.metrics import measure_clip
from square_world import BlockMeans, ColourDetector, square_case

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


def judged(case, video):
    detector = ColourDetector()
    truth = observe_truth(detector, case)
    observed = observe(detector, video, references_of(case, truth))
    return measure_clip(case, video, observed=observed, truth_observed=truth, features=BlockMeans())


def test_the_two_forms_agree_on_the_middle_and_differ_at_the_side():
    middle = square_case(np.zeros(16), np.zeros(16))
    measured = judged(middle, middle.truth)
    # The square covers 10 of 48 columns: published takes 10/48 of the 32 that are shown, so stays within it.
    assert measured["dsc_official_gt"].value == pytest.approx(1)
    assert measured["dsc_official_registered_gt"].value == pytest.approx(1)
    side_then_middle = np.where(np.arange(16) < 8, 17.0, 0.0)
    beside = square_case(np.zeros(16), side_then_middle)
    measured = judged(beside, beside.truth)
    # Beside the square there is scenery, so the published form is less like red.
    assert measured["dsc_official_ctx"].value < measured["dsc_official_registered_ctx"].value - 0.02


def test_no_box_is_said():
    leaves = square_case(np.concatenate([np.zeros(8), np.full(8, 60.0)]))
    measured = judged(leaves, leaves.truth)
    assert measured["dsc_official_gt"].reason == "no subject is seen in the target"
    assert (
        measured["dsc_official_registered_gt"].reason
        == "no subject is seen in the target, within the centre crop"
    )
    assert measured["dsc_official_ctx"].reason == "no subject is found in the generated video"
