"""The bundled recogniser on a few frames of clips it never learned from."""

from pathlib import Path

import numpy as np
import pytest

from outofsight.perception.kinds import KINDS
from outofsight.perception.named import feature_network
from outofsight.perception.network import num_parameters
from outofsight.perception.recogniser import Recogniser, folder_of

FRAMES_FILE = Path(__file__).parents[1] / "fixtures" / "recogniser.npz"


@pytest.fixture(scope="module")
def recogniser():
    return Recogniser.from_pretrained("mini")


@pytest.fixture(scope="module")
def shown():
    """Six subjects, two frames each, before and after it was hidden: frames, masks, kinds, clips."""
    with np.load(FRAMES_FILE) as stored:
        masks = np.unpackbits(stored["masks"], axis=-1, count=stored["frames"].shape[2]).astype(bool)
        return stored["frames"], masks, stored["kinds"], stored["clips"]


def test_it_is_small(recogniser):
    assert sum(path.stat().st_size for path in folder_of("mini").iterdir()) < 2.5e6
    assert num_parameters(recogniser.network) < 1_000_000
    assert recogniser.kinds == KINDS


def test_subjects_are_seen(recogniser, shown):
    frames, masks, _, _ = shown
    seen = recogniser.probabilities(frames) >= 0.5
    overlaps = (seen & masks).sum(axis=(1, 2)) / (seen | masks).sum(axis=(1, 2))
    assert overlaps.mean() > 0.5
    assert len(recogniser.detect(frames)) == len(frames)


def test_who_comes_back_is_known_again(recogniser, shown):
    frames, masks, _, clips = shown
    identities, _ = recogniser.identities_under(frames, masks)
    likeness = identities @ identities.T
    np.fill_diagonal(likeness, -1)
    assert (clips[likeness.argmax(axis=1)] == clips).mean() > 0.8


def test_pictures_of_one_place_are_alike(recogniser, shown):
    frames, _, _, clips = shown
    pictures = feature_network("mini").features(frames).pictures
    likeness, same = pictures @ pictures.T, clips[:, None] == clips[None]
    assert likeness[same].mean() > likeness[~same].mean() + 0.2
