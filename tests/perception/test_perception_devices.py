"""Networks that judge, on a device: they say there what they say on the CPU."""

import numpy as np
import pytest
from test_named_networks import frames, saved, tiny_yolos, tower

from outofsight.perception.named import feature_network, subject_detector
from outofsight.perception.recogniser import Recogniser
from pretended_device import pretended


def test_the_recogniser():
    video, masks = frames(3, 96, 160), np.zeros((3, 96, 160), bool)
    masks[:2, 20:60, 30:80] = True

    def reported(recogniser):
        recogniser.rule = type(recogniser.rule)(least_probability=0.02)  # noise shows nobody
        found = [(one.box_px, one.score, one.identity) for here in recogniser.detect(video) for one in here]
        seen = recogniser.features(video)
        return found, recogniser.identities_under(video, masks), (seen.patches, seen.pictures)

    here = reported(Recogniser.from_pretrained("mini"))
    with pretended() as device:
        there = reported(Recogniser.from_pretrained("mini", device))
    assert len(here[0]) == len(there[0]) > 0
    for one, other in zip(flat(here), flat(there), strict=True):
        np.testing.assert_allclose(one, other, atol=1e-4)


def flat(nest):
    return [part for one in nest for part in flat(one)] if isinstance(nest, (list, tuple)) else [nest]


@pytest.mark.parametrize("name", ["clip", "dinov2"])
def test_features(name, tmp_path):
    saved(tower(name), tmp_path)
    here = feature_network(tmp_path).features(frames())
    with pretended() as device:
        there = feature_network(tmp_path, device).features(frames())
    np.testing.assert_allclose(here.patches, there.patches, atol=1e-5)
    np.testing.assert_allclose(here.pictures, there.pictures, atol=1e-5)


def test_a_detector(tmp_path):
    tiny_yolos(tmp_path)

    def reported(detector):
        detector.least_score = 0.0
        return [
            (one.kind, one.score, *one.box_px)
            for found in detector.detect(frames(2, 64, 96))
            for one in found
        ]

    here = reported(subject_detector(tmp_path))
    with pretended() as device:
        there = reported(subject_detector(tmp_path, device))
    assert [one[0] for one in here] == [one[0] for one in there] != []
    np.testing.assert_allclose([one[1:] for one in here], [one[1:] for one in there], atol=1e-3)
