"""Identity: recognised among others, or not."""

import numpy as np
import pytest

from outofsight.evaluation.association import gallery_of, observe, observe_truth, references_of
from outofsight.evaluation.evidence import Gallery
from outofsight.evaluation.metrics import measure_clip
from outofsight.evaluation.tracking import recognised
from square_world import BLUE, ColourDetector, square_case

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
    assert "nobody else" in judged(RED_CASE.truth, alone)["identity_accuracy"].reason
    assert judged(RED_CASE.truth)["identity_accuracy"].reason == "no gallery of other subjects is given"


def test_a_detector_without_identities_says_so():
    plain = judged(RED_CASE.truth, both(), ColourDetector(with_identity=False))
    assert plain["identity_accuracy"].reason == "the detector tells no identities"
    assert plain["kind_accuracy"].value == 1


def test_one_that_never_comes_back_is_not_judged():
    empty = square_case(square_deg=np.full(32, 180.0)).truth
    assert judged(empty, both())["identity_likeness"].value is None
    assert judged(empty, both())["kind_accuracy"].value is None
