"""What is observed: masks read, detections given to subjects, identities remembered."""

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis.extra.numpy import arrays

from outofsight.errors import InputError
from outofsight.evaluation.association import (
    References,
    gallery_of,
    mean_identities,
    observe,
    observe_truth,
    references_of,
)
from outofsight.evaluation.evidence import Detections, observed_from_masks
from square_world import (
    AWAY_AND_BACK,
    BLUE,
    RED,
    ColourDetector,
    Sighting,
    directions,
    picture,
    seen_at,
    square_case,
)


def test_the_square_world_agrees_with_the_projection_of_the_package():
    azimuth, _ = directions(20.0)
    column = int(seen_at(10.0, 20.0))
    assert abs(azimuth[16, column] - 10.0) < 0.7  # half a pixel
    assert picture(20.0, 10.0, RED)[1][16, column]


def test_masks_give_boxes_centroids_and_areas():
    masks = np.zeros((1, 3, 6, 8), dtype=bool)
    masks[0, 0, 1:3, 2:6] = True
    masks[0, 2, 5, 7] = True
    seen = observed_from_masks(masks)
    assert seen.detected.tolist() == [[True, False, True]]
    assert seen.boxes_px[0, 0].tolist() == [2, 1, 6, 3]
    assert seen.centroids_px[0, 0].tolist() == [4, 2]
    assert seen.boxes_px[0, 2].tolist() == [7, 5, 8, 6]
    assert seen.area_px.tolist() == [[8, 0, 1]]
    assert np.isnan(seen.boxes_px[0, 1]).all()


@given(arrays(np.bool_, (2, 3, 5, 6)))
def test_masks_are_read_pixel_by_pixel(masks):
    seen = observed_from_masks(masks)
    for subject, frame in np.argwhere(masks.any(axis=(2, 3))):
        rows, columns = np.nonzero(masks[subject, frame])
        box = [columns.min(), rows.min(), columns.max() + 1, rows.max() + 1]
        assert seen.boxes_px[subject, frame].tolist() == box
        centre = [columns.mean() + 0.5, rows.mean() + 0.5]
        assert seen.centroids_px[subject, frame].tolist() == pytest.approx(centre, abs=1e-5)
    assert (seen.detected == masks.any(axis=(2, 3))).all()


def test_parts_of_other_shapes_are_refused():
    seen = observed_from_masks(np.ones((1, 3, 4, 4), dtype=bool))
    with pytest.raises(InputError, match="boxes_px"):
        replace(seen, boxes_px=seen.boxes_px[:, :2])


def test_a_stretch_of_frames_is_cut_from_every_part():
    truth = observe_truth(ColourDetector(), square_case())
    part = truth[4:9]
    assert part.detected.shape[1] == 5
    assert (part.masks == truth.masks[:, 4:9]).all()
    assert (part.kinds == truth.kinds[:, 4:9]).all()
    assert np.array_equal(part.identities, truth.identities[:, 4:9], equal_nan=True)


def test_the_truth_has_places_from_the_annotation_and_identities_from_the_detector():
    case = square_case()
    truth = observe_truth(ColourDetector(), case)
    assert (truth.masks[0] == case.subject_masks[0]).all()
    seen = truth.detected[0]
    assert set(truth.kinds[0, seen]) == {"red square"}
    assert np.isnan(truth.identities[0, ~seen]).all()
    assert references_of(case, truth).identities[0] @ truth.identities[0, 0] == pytest.approx(1, abs=1e-5)


def test_a_detection_elsewhere_is_not_the_annotated_subject():
    class Elsewhere(ColourDetector):
        def detect(self, frames):
            found = super().detect(frames)
            return [[replace(s, box_px=s.box_px + 9) for s in sightings] for sightings in found]

    assert observe_truth(Elsewhere(), square_case()).identities is None


def test_without_masks_the_truth_cannot_be_observed():
    with pytest.raises(InputError, match="expected subject masks"):
        observe_truth(ColourDetector(), replace(square_case(), subject_masks=None, foreground=None))


def test_subjects_whose_masks_are_not_told_apart_are_observed_as_one():
    case = replace(square_case(), subject_masks=None)
    truth = observe_truth(ColourDetector(), case)
    assert truth.num_subjects == 1
    assert truth.identities is None
    both = case.truth.copy()
    both[:, 2:6, 40:46] = BLUE
    seen = observe(ColourDetector(), both, references_of(case, truth))
    assert seen.num_subjects == 1
    assert seen.detected.all()
    assert seen.boxes_px[0, 0].tolist() == [40, 2, 46, 6]  # the red one is away
    last = truth.boxes_px[0, -1]
    assert seen.boxes_px[0, -1].tolist() == [last[0], 2, 46, last[3]]
    assert seen.masks[0, -1].sum() == truth.masks[0, -1].sum() + 24
    boxes_alone = observe(ColourDetector(with_masks=False), both, references_of(case, truth))
    assert boxes_alone.masks is None
    assert np.array_equal(boxes_alone.boxes_px, seen.boxes_px)


def test_observing_the_truth_as_if_generated_gives_the_truth_back():
    case, detector = square_case(), ColourDetector()
    truth = observe_truth(detector, case)
    seen = observe(detector, case.truth, references_of(case, truth))
    target = truth[case.num_context_frames :]
    large = target.area_px >= 4  # the detector's least
    assert (seen.detected == large).all()
    assert (seen.masks == target.masks & large[..., None, None]).all()
    assert np.array_equal(seen.boxes_px[large], target.boxes_px[large])


def test_a_detector_of_boxes_alone_gives_centres_and_areas_of_boxes():
    case, detector = square_case(), ColourDetector(with_masks=False, with_identity=False)
    seen = observe(detector, case.truth, references_of(case, observe_truth(detector, case)))
    assert seen.masks is None
    assert seen.identities is None
    frame = int(np.flatnonzero(seen.detected[0])[-1])
    x0, y0, x1, y1 = seen.boxes_px[0, frame]
    assert seen.centroids_px[0, frame].tolist() == [(x0 + x1) / 2, (y0 + y1) / 2]
    assert seen.area_px[0, frame] == (x1 - x0) * (y1 - y0)


def at(x: float, identity=None, kind=None) -> Sighting:
    return Sighting(np.array([x, 0, x + 4, 4], dtype=np.float32), 1.0, None, kind, identity)


class Script:
    """A detector that says what it was told to."""

    def __init__(self, *frames):
        self.frames = frames

    def detect(self, frames):
        return self.frames


NO_BOX = np.full((2, 4), np.nan, dtype=np.float32)
EAST, NORTH = np.array([1, 0], dtype=np.float32), np.array([0, 1], dtype=np.float32)
FRAMES = np.zeros((2, 8, 40, 3), dtype=np.uint8)


def test_likeness_tells_two_subjects_apart_wherever_they_are():
    references = References(identities=np.stack([EAST, NORTH]), kinds=(), boxes_px=NO_BOX)
    detector = Script([at(0, NORTH), at(20, EAST)], [at(0, EAST), at(20, NORTH)])
    seen = observe(detector, FRAMES, references)
    assert seen.boxes_px[:, :, 0].tolist() == [[20, 0], [0, 20]]


def test_kinds_tell_them_apart_where_no_identity_is_told():
    references = References(identities=None, kinds=("cow", "bus"), boxes_px=NO_BOX)
    seen = observe(Script([at(0, kind="bus"), at(20, kind="cow")], [at(9, kind="bus")]), FRAMES, references)
    assert seen.boxes_px[0, 0, 0] == 20
    assert seen.boxes_px[1, 0, 0] == 0
    assert seen.boxes_px[1, 1, 0] == 9
    assert not seen.detected[0, 1]


def test_where_it_was_just_before_decides_between_equals():
    boxes = np.array([[0, 0, 4, 4], [20, 0, 24, 4]], dtype=np.float32)
    references = References(identities=np.stack([EAST, EAST]), kinds=(), boxes_px=boxes)
    seen = observe(Script([at(21, EAST), at(1, EAST)], [at(2, EAST), at(22, EAST)]), FRAMES, references)
    assert seen.boxes_px[:, :, 0].tolist() == [[1, 2], [21, 22]]


def test_a_stranger_is_taken_for_the_subject_and_keeps_its_own_identity():
    references = References(identities=EAST[None], kinds=(), boxes_px=NO_BOX[:1])
    seen = observe(Script([at(5, NORTH)], []), FRAMES, references)
    assert seen.detected.tolist() == [[True, False]]
    assert seen.identities[0, 0].tolist() == [0, 1]


class Haunted(ColourDetector):
    """Takes a place of the scenery for a subject, in every frame."""

    ghost = at(0, np.array([0, 0, 1], dtype=np.float32), "blue square")

    def detect(self, frames):
        mask = np.zeros(frames.shape[1:3], dtype=bool)
        mask[:4, :4] = True
        return [[*found, replace(self.ghost, mask=mask)] for found in super().detect(frames)]


def test_scenery_that_was_mistaken_for_a_subject_in_the_context_is_left_out():
    case = square_case()
    truth = observe_truth(Haunted(), case)
    references = references_of(case, truth)
    assert truth.mistakes.shape == (32, 1, 3)
    assert len(references.mistakes) == case.num_context_frames
    seen = observe(Haunted(), case.truth, references)
    clean = observe(ColourDetector(), case.truth, references)
    assert (seen.detected == clean.detected).all()
    assert observe(Haunted(), case.truth, replace(references, mistakes=None)).detected.all()


def test_a_subject_that_looks_like_a_mistake_is_still_found():
    references = References(
        identities=EAST[None],
        kinds=(),
        boxes_px=NO_BOX[:1],
        mistakes=np.stack([np.array([0.8, 0.6], np.float32)]),
    )
    nearer_to_the_subject, nearer_to_the_mistake = (
        np.array([0.98, 0.199], np.float32),
        np.array([0.6, 0.8], np.float32),
    )
    unlike_both = np.array([-1, 0], dtype=np.float32)
    script = Script([at(1, nearer_to_the_subject)], [at(1, nearer_to_the_mistake)], [at(1, unlike_both)])
    assert observe(script, FRAMES, references).detected.tolist() == [[True, False, True]]


def test_a_second_part_of_a_subject_is_no_mistake():
    case = square_case()

    class Halves(ColourDetector):
        """Finds the square, and its upper half once more."""

        def detect(self, frames):
            found = super().detect(frames)
            return [
                [*sights, *(replace(s, box_px=s.box_px * [1, 1, 1, 0.7]) for s in sights)] for sights in found
            ]

    assert observe_truth(Halves(), case).mistakes is None


def test_nothing_found_is_nothing_detected():
    references = References(identities=EAST[None], kinds=(), boxes_px=NO_BOX[:1])
    seen = observe(Script([], []), FRAMES, references)
    assert not seen.detected.any()
    assert isinstance(seen, Detections)


def test_a_gallery_holds_every_subject_that_was_found():
    red, blue = square_case(name="a"), square_case(name="b", colour=BLUE, kind="blue square")
    contexts = {
        case.name: observe_truth(ColourDetector(), case)[: case.num_context_frames] for case in (red, blue)
    }
    gallery = gallery_of(contexts)
    assert gallery.owners == (("a", 0), ("b", 0))
    assert gallery.identities[0] @ gallery.identities[1] < 0.5
    plain = ColourDetector(with_identity=False)
    assert gallery_of({"a": observe_truth(plain, red)}) is None


def test_mean_identities_skip_what_was_not_found():
    nan = np.full(2, np.nan, dtype=np.float32)
    means = mean_identities(np.array([[EAST, nan, NORTH], [nan, nan, nan]]))
    assert means[0] == pytest.approx([np.sqrt(0.5)] * 2)
    assert np.isnan(means[1]).all()


def test_the_square_leaves_and_returns():
    """The premise of the tests that use it."""
    seen = square_case(AWAY_AND_BACK).subject_masks[0].any(axis=(1, 2))
    assert seen[0]
    assert not seen[11:21].any()
    assert seen[-1]
