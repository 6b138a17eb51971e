"""Do subjects come back, when, and where: by hand."""

from dataclasses import replace

import numpy as np
import pytest

from outofsight.evaluation.association import gallery_of, observe, observe_truth, references_of
from outofsight.evaluation.case import ClipCase
from outofsight.evaluation.evidence import Evidence, Gallery, observed_from_masks
from outofsight.evaluation.metrics import measure_clip
from outofsight.evaluation.tracking import (
    TRACKING_METRICS,
    large_enough,
    phantom_rate,
    recognised,
    reentry_time_error_s,
    return_gate,
    returns,
    trajectory_error,
)
from square_world import BLUE, ColourDetector, square_case

CONTEXT, SIZE = 8, (40, 30)  # a diagonal of 50 px


def masks_of(text: str, x: int = 0) -> np.ndarray:
    """One subject's masks: a block of 4×4 px at column x wherever the text has ``#``."""
    marks = text.replace("|", "")
    masks = np.zeros((1, len(marks), *SIZE), dtype=bool)
    for frame, mark in enumerate(marks):
        masks[0, frame, 8:12, x : x + 4] = mark == "#"
    return masks


def evidence_of(truth: str, generated: str, truth_x: int = 0, generated_x: int = 0) -> Evidence:
    """``truth``: context and target, ``|`` between; ``generated``: the target."""
    video = np.zeros((len(truth) - 1, *SIZE, 3), dtype=np.uint8)
    case = ClipCase(
        name="marks",
        context=video[:CONTEXT],
        truth=video[CONTEXT:],
        fps=10.0,
        subject_masks=masks_of(truth, truth_x),
    )
    return Evidence(
        case=case,
        generated=case.truth,
        observed=observed_from_masks(masks_of(generated, generated_x)),
        truth_observed=observed_from_masks(case.subject_masks),
    )


def two(first: Evidence, second: Evidence) -> Evidence:
    """Put two subjects into one clip."""
    truth, seen = (
        observed_from_masks(np.concatenate([getattr(e, part).masks for e in (first, second)]))
        for part in ("truth_observed", "observed")
    )
    case = replace(first.case, subject_masks=truth.masks)
    return replace(first, case=case, truth_observed=truth, observed=seen)


LATE = evidence_of("####....|..######", "...#####")
NEVER = evidence_of("####....|..######", "........")
STAYS = evidence_of("####....|........", "........")


def test_the_gate_asks_for_a_return_in_the_generated_video():
    assert return_gate(LATE).value == 1
    assert return_gate(NEVER).value == 0
    assert return_gate(two(LATE, NEVER)).value == 0.5
    assert return_gate(STAYS).value is None
    assert "comes back" in return_gate(STAYS).reason


def test_a_subject_that_never_leaves_does_not_return():
    """What a video repeats of a context that ends with the subject in view, and of one that ends just after."""
    assert return_gate(evidence_of("########|.....###", "########")).value == 0
    assert return_gate(evidence_of("####....|..######", "########")).value == 0  # hidden for 4 frames, not 5


def test_time_error_is_in_seconds():
    assert reentry_time_error_s(LATE).value == pytest.approx(0.1)
    assert reentry_time_error_s(evidence_of("####....|.#######", "....####")).value == pytest.approx(0.3)
    assert "generated" in reentry_time_error_s(NEVER).reason
    assert reentry_time_error_s(STAYS).reason == "no subject comes back in the target"


def test_trajectory_error_is_in_diagonals_on_frames_that_show_it_in_both():
    aside = evidence_of("####....|..######", "....####", truth_x=2, generated_x=7)
    assert trajectory_error(aside).value == pytest.approx(5 / 50)
    assert trajectory_error(NEVER).reason == "no subject is found on the frames after its true return"
    before_return = evidence_of("####....|.....###", "####....")
    assert trajectory_error(before_return).value is None


def test_detection_rates():
    everywhere, back = (one for one in TRACKING_METRICS if one.name.startswith("detection_rate"))
    assert back(LATE).value == pytest.approx(5 / 6)
    assert everywhere(NEVER).value == 0
    assert everywhere(STAYS).value is None
    mixed = evidence_of("########|##.....#", "##......")
    assert everywhere(mixed).value == pytest.approx(2 / 3)


def test_phantoms_are_seen_where_nobody_is():
    assert phantom_rate(evidence_of("####....|....####", "..######")).value == pytest.approx(2 / 4)
    assert phantom_rate(LATE).value == 0
    assert phantom_rate(evidence_of("########|########", "########")).value is None


def test_a_flicker_is_no_sighting():
    area = np.array([[16, 16, 0, 0, 0, 0, 0, 16, 0, 0, 16, 16]], dtype=np.float32)
    assert large_enough(area, 1200).tolist()[0] == [True] * 2 + [False] * 8 + [True] * 2
    assert returns(area, 6, 1200) == [10]
    assert returns(area[:, :10], 6, 1200) == [None]


def test_an_area_at_the_threshold_is_hidden():
    area = np.array([[1.2, 1.2, 1.3, 1.3]], dtype=np.float32)  # 0.1% of 1200 px is 1.2
    assert large_enough(area, 1200).tolist() == [[False, False, True, True]]


def test_boxes_are_compared_with_boxes():
    boxes_alone = replace(
        LATE, observed=replace(LATE.observed, masks=None, area_px=LATE.observed.area_px * 3)
    )
    assert return_gate(boxes_alone).value == 1
    assert reentry_time_error_s(boxes_alone).value == pytest.approx(0.1)


def test_measures_say_what_they_miss():
    blind = replace(LATE, observed=None)
    unknown = replace(LATE, truth_observed=None)
    for metric in TRACKING_METRICS:
        assert metric(blind).reason == "no detector looked at the generated video"
        assert metric(unknown).reason == "no subject masks are annotated"


RED_CASE, BLUE_CASE = square_case(name="red"), square_case(name="blue", colour=BLUE, kind="blue square")
NAMES = ["identity_accuracy", "identity_likeness", "kind_accuracy"]


def test_nearest_by_hand():
    own, others = np.array([1.0, 0.0]), np.array([[0.0, 1.0], [-1.0, 0.0]])
    seen = np.array([[1.0, 0.0], [0.6, 0.8], [0.8, 0.6]])
    assert recognised(seen, own, others).tolist() == [True, False, True]


def judged(video, gallery=None, detector=None):
    detector = detector or ColourDetector()
    truth = observe_truth(detector, RED_CASE)
    observed = observe(detector, video, references_of(RED_CASE, truth))
    return measure_clip(
        RED_CASE, video, observed=observed, truth_observed=truth, gallery=gallery, names=NAMES
    )


def both() -> Gallery:
    contexts = {
        case.name: observe_truth(ColourDetector(), case)[: case.num_context_frames]
        for case in (RED_CASE, BLUE_CASE)
    }
    return gallery_of(contexts)


def test_the_true_subject_is_recognised():
    measured = judged(RED_CASE.truth, both())
    assert measured["identity_accuracy"].value == 1
    assert measured["identity_likeness"].value == pytest.approx(1, abs=1e-3)
    assert measured["kind_accuracy"].value == 1


def test_another_in_its_place_is_not():
    measured = judged(BLUE_CASE.truth, both())
    assert measured["identity_accuracy"].value == 0
    assert measured["identity_likeness"].value < 0.5
    assert measured["kind_accuracy"].value == 0


def test_alone_in_the_gallery_nobody_can_be_told_apart():
    alone = gallery_of({"red": observe_truth(ColourDetector(), RED_CASE)[:16]})
    assert "no other subject" in judged(RED_CASE.truth, alone)["identity_accuracy"].reason
    assert judged(RED_CASE.truth)["identity_accuracy"].reason == "no gallery of other subjects is given"


def test_a_detector_without_identities_says_so():
    plain = judged(RED_CASE.truth, both(), ColourDetector(with_identity=False))
    assert plain["identity_accuracy"].reason == "the detector tells no identities"
    assert plain["kind_accuracy"].value == 1


def test_one_that_never_comes_back_is_not_judged():
    empty = square_case(square_deg=np.full(32, 180.0)).truth
    assert judged(empty, both())["identity_likeness"].value is None
    assert judged(empty, both())["kind_accuracy"].value is None
