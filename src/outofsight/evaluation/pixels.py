"""How near two videos are, pixel by pixel: PSNR and SSIM, over pictures and over regions."""

import numpy as np
from numpy.typing import NDArray

from outofsight.errors import InputError
from outofsight.evaluation.case import Masks, Video

MOST_DB = 100.0
"""PSNR is given as this where it would be more, identical pictures included, so that means stay finite."""

WINDOW_SIGMA_PX, WINDOW_RADIUS_PX = 1.5, 5
"""SSIM's Gaussian window: 11×11."""

STABILITY = (0.01**2, 0.03**2)
"""SSIM's (K₁ L)² and (K₂ L)² for values in [0, 1]."""

DILATION_PX_PER_HEIGHT = 1 / 48
"""Masks are widened by this share of the picture's height, so that a subject's outline counts as subject."""


def frame_psnr(generated: Video, truth: Video) -> NDArray[np.float64]:
    """Give each frame's PSNR in dB [n], values in [0, 1], all three colours together."""
    return psnr_of_error(_squared_difference(generated, truth).mean(axis=(1, 2, 3)))


def psnr_of_error(mean_squared_error: NDArray[np.float64]) -> NDArray[np.float64]:
    """Turn mean squared errors of values in [0, 1] into decibels, at most ``MOST_DB``."""
    with np.errstate(divide="ignore"):
        return np.minimum(-10 * np.log10(mean_squared_error), MOST_DB)


def region_psnr(generated: Video, truth: Video, region: Masks) -> float | None:
    """Give the PSNR in dB over all pixels of a region [n, h, w] of all frames together; ``None`` if it has none.

    Pixels, not frames, are averaged: a subject of three pixels at the picture's edge must not weigh as much as one
    that fills the frame.
    """
    num_pixels = int(region.sum())
    if num_pixels == 0:
        return None
    error = _squared_difference(generated, truth).mean(axis=-1)
    return float(psnr_of_error(np.asarray(error[region].mean())))


def _squared_difference(a: Video, b: Video) -> NDArray[np.float64]:
    return ((a.astype(np.float64) - b.astype(np.float64)) / 255) ** 2


def frame_ssim(generated: Video, truth: Video) -> NDArray[np.float64]:
    """Give each frame's SSIM [n]: the mean over places and colours, where the 11×11 window lies within the picture.

    Raises:
        InputError: the picture is smaller than the window.

    Source: Wang et al. 2004 (Gaussian window, σ = 1.5, K = 0.01, 0.03), each colour by itself as is usual for video.
    """
    smallest = 2 * WINDOW_RADIUS_PX + 1
    if min(truth.shape[1:3]) < smallest:
        raise InputError(
            f"SSIM's window needs pictures of at least {smallest}×{smallest}, got {truth.shape[1]}×{truth.shape[2]}"
        )
    return np.array([_picture_ssim(a / 255, b / 255) for a, b in zip(generated, truth, strict=True)])


def _picture_ssim(x: NDArray[np.float64], y: NDArray[np.float64]) -> float:
    mean_x, mean_y = _window_mean(x), _window_mean(y)
    variance_x = _window_mean(x * x) - mean_x**2
    variance_y = _window_mean(y * y) - mean_y**2
    covariance = _window_mean(x * y) - mean_x * mean_y
    c1, c2 = STABILITY
    likeness = (2 * mean_x * mean_y + c1) * (2 * covariance + c2)
    return float((likeness / ((mean_x**2 + mean_y**2 + c1) * (variance_x + variance_y + c2))).mean())


def _window_mean(picture: NDArray[np.float64]) -> NDArray[np.float64]:
    """Average [h, w, 3] under the Gaussian window, at the places where it lies within the picture."""
    offsets = np.arange(-WINDOW_RADIUS_PX, WINDOW_RADIUS_PX + 1)
    weights = np.exp(-(offsets**2) / (2 * WINDOW_SIGMA_PX**2))
    weights /= weights.sum()
    height, width = (size - 2 * WINDOW_RADIUS_PX for size in picture.shape[:2])
    rows = sum(weight * picture[start : start + height] for start, weight in enumerate(weights))
    return np.asarray(sum(weight * rows[:, start : start + width] for start, weight in enumerate(weights)))


def dilated(masks: Masks, radius_px: int) -> Masks:
    """Widen masks [..., h, w] by a square of 2 · radius + 1 pixels."""
    return _widened_along(_widened_along(masks, radius_px, -2), radius_px, -1)


def _widened_along(masks: Masks, radius_px: int, axis: int) -> Masks:
    """Mark where a window of 2 · radius + 1 places along an axis holds anything: by differences of running counts."""
    padding = [(0, 0)] * masks.ndim
    padding[axis] = (radius_px + 1, radius_px)
    counts = np.moveaxis(np.cumsum(np.pad(masks, padding), axis=axis, dtype=np.int32), axis, 0)
    return np.moveaxis(counts[2 * radius_px + 1 :] > counts[: -(2 * radius_px + 1)], 0, axis)


def dilation_radius_px(height_px: int) -> int:
    """Give the number of pixels by which masks of pictures of this height are widened: at least 1."""
    return max(1, round(height_px * DILATION_PX_PER_HEIGHT))
