"""PSNR and SSIM: by hand, against a slow reference, and against scikit-image."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from outofsight.errors import InputError
from outofsight.evaluation.image_metrics import (
    MOST_DB,
    dilated,
    dilation_radius_px,
    frame_psnr,
    frame_ssim,
    region_psnr,
)


def noisy_pair(height=24, width=30, seed=0):
    generator = np.random.default_rng(seed)
    truth = generator.integers(0, 256, (2, height, width, 3)).astype(np.uint8)
    truth[1] = np.linspace(0, 255, width).astype(np.uint8)[None, :, None]
    noise = generator.normal(0, 20, truth.shape)
    return np.clip(truth + noise, 0, 255).astype(np.uint8), truth


def test_psnr_by_hand():
    truth = np.zeros((3, 2, 2, 3), dtype=np.uint8)
    generated = truth.copy()
    generated[0] = 255  # error 1: 0 dB
    generated[1, 0, 0] = 51  # error 0.2² on a quarter of the pixels: 0.01, 20 dB
    assert frame_psnr(generated, truth) == pytest.approx([0.0, 20.0, MOST_DB])


def test_region_psnr_averages_pixels_not_frames():
    truth = np.zeros((2, 2, 2, 3), dtype=np.uint8)
    generated = truth.copy()
    generated[0, 0, 0] = 51  # 0.04 on one of the region's four pixels
    generated[0, 1, 1] = 255  # outside
    region = np.zeros((2, 2, 2), dtype=bool)
    region[0, 0, 0] = region[1, 0] = region[1, 1, 0] = True
    assert region_psnr(generated, truth, region) == pytest.approx(20.0)
    assert region_psnr(generated, truth, np.zeros_like(region)) is None


def slow_ssim(a, b):
    """The definition, window by window, with two-dimensional weights."""
    offsets = np.arange(-5, 6)
    weights = np.exp(-(offsets[:, None] ** 2 + offsets[None] ** 2) / (2 * 1.5**2))
    weights = (weights / weights.sum())[..., None]
    values = []
    for row in range(5, a.shape[0] - 5):
        for column in range(5, a.shape[1] - 5):
            x, y = (v[row - 5 : row + 6, column - 5 : column + 6].astype(float) / 255 for v in (a, b))
            mean_x, mean_y = ((weights * v).sum(axis=(0, 1)) for v in (x, y))
            var_x = (weights * (x - mean_x) ** 2).sum(axis=(0, 1))
            var_y = (weights * (y - mean_y) ** 2).sum(axis=(0, 1))
            covariance = (weights * (x - mean_x) * (y - mean_y)).sum(axis=(0, 1))
            values.append(
                (2 * mean_x * mean_y + 1e-4) * (2 * covariance + 9e-4)
                / ((mean_x**2 + mean_y**2 + 1e-4) * (var_x + var_y + 9e-4))
            )  # fmt: skip
    return float(np.mean(values))


def test_ssim_is_the_definition():
    generated, truth = noisy_pair(16, 18)
    expected = [slow_ssim(a, b) for a, b in zip(generated, truth, strict=True)]
    assert frame_ssim(generated, truth) == pytest.approx(expected, abs=1e-10)


def test_ssim_of_known_pairs():
    grey = np.full((1, 11, 11, 3), 128, dtype=np.uint8)
    black = np.zeros_like(grey)
    assert frame_ssim(grey, grey) == pytest.approx([1.0])
    assert frame_ssim(black, grey) == pytest.approx(
        [1e-4 / ((128 / 255) ** 2 + 1e-4)]
    )  # no variance: means alone


def test_ssim_of_a_picture_smaller_than_its_window_is_refused():
    with pytest.raises(InputError, match="11×11, got 10×20"):
        frame_ssim(np.zeros((1, 10, 20, 3), np.uint8), np.zeros((1, 10, 20, 3), np.uint8))


def test_dilation_widens_by_a_square_and_stops_at_the_edge():
    mask = np.zeros((1, 5, 6), dtype=bool)
    mask[0, 0, 2] = True
    wide = dilated(mask, 1)
    assert np.argwhere(wide[0]).tolist() == [[r, c] for r in (0, 1) for c in (1, 2, 3)]
    assert (dilated(mask, 2)[0, :3, :5]).all()
    assert not dilated(np.zeros_like(mask), 3).any()


@pytest.mark.parametrize(("height", "radius"), [(16, 1), (64, 1), (96, 2), (480, 10)])
def test_dilation_grows_with_the_picture(height, radius):
    assert dilation_radius_px(height) == radius


@given(arrays(np.bool_, (1, 6, 7), elements=st.booleans()), st.integers(0, 3))
def test_dilation_marks_what_lies_within_the_square(mask, radius):
    wide = dilated(mask, radius)
    for row in range(6):
        for column in range(7):
            near = mask[
                0, max(row - radius, 0) : row + radius + 1, max(column - radius, 0) : column + radius + 1
            ]
            assert wide[0, row, column] == near.any()
