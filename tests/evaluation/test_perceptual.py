"""LPIPS through a given network, and the Fréchet distance on Gaussians whose distance is known."""

import numpy as np
import pytest

from outofsight.errors import InputError
from outofsight.evaluation.evidence import Networks
from outofsight.evaluation.image_metrics import frechet_distance
from outofsight.evaluation.metrics import measure_clip
from square_world import square_case


def standardised(number, dimensions, seed):
    """Features whose sample mean is exactly 0 and whose sample covariance is exactly 1."""
    raw = np.random.default_rng(seed).normal(size=(number, dimensions))
    raw -= raw.mean(axis=0)
    return raw @ np.linalg.inv(np.linalg.cholesky(np.cov(raw, rowvar=False))).T


def test_the_distance_of_gaussians_with_equal_axes():
    a = standardised(60, 3, 0)
    shift, widths = np.array([1.0, -2.0, 0.5]), np.array([1.0, 2.0, 3.0])
    b = standardised(80, 3, 1) * widths + shift
    assert frechet_distance(a, b) == pytest.approx((shift**2).sum() + ((widths - 1) ** 2).sum())


def test_the_distance_does_not_depend_on_axes_or_order():
    a, b = standardised(50, 4, 2) * [1, 2, 3, 4], standardised(50, 4, 3) * [4, 1, 1, 2] + 1
    turn, _ = np.linalg.qr(np.random.default_rng(4).normal(size=(4, 4)))
    assert frechet_distance(a @ turn, b @ turn) == pytest.approx(frechet_distance(a, b))
    assert frechet_distance(b, a) == pytest.approx(frechet_distance(a, b))
    assert frechet_distance(a, a) == pytest.approx(0, abs=1e-9)


def test_fewer_clips_than_features_is_computed():
    few = np.random.default_rng(5).normal(size=(4, 10))
    assert frechet_distance(few, few + 1) == pytest.approx(10)


@pytest.mark.parametrize("other", [np.zeros((5, 4)), np.zeros((1, 3)), np.zeros(3)])
def test_features_that_cannot_be_compared_are_refused(other):
    with pytest.raises(InputError, match="one network"):
        frechet_distance(np.zeros((5, 3)), other)


def test_lpips_is_the_mean_over_frames():
    class Differences:
        """Tells pictures apart by their mean value."""

        def distances(self, a, b):
            return abs(a.mean(axis=(1, 2, 3)) - b.mean(axis=(1, 2, 3))) / 255

    case = square_case()
    brighter = case.truth.copy()
    brighter[: len(brighter) // 2] += 10
    networks = Networks(perceptual=Differences())
    measured = measure_clip(case, brighter, features=networks, names=["lpips"])["lpips"]
    assert measured.value == pytest.approx(5 / 255, rel=0.1)
    assert measure_clip(case, brighter, names=["lpips"])["lpips"].value is None
