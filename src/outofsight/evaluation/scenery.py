"""How scenery moves from one frame to the next, told from the pictures alone: the camera's motion as one sees it."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from outofsight.evaluation.case import Masks, Video
from outofsight.evaluation.observations import Observed
from outofsight.evaluation.pixels import dilated, dilation_radius_px

MOST_ROWS = 128
"""Taller pictures are averaged down to about so many rows before shifts are sought: it costs 100 times less."""

SEARCH_SHARE = 0.15
"""Shifts are sought up to this share of the picture's width and height from one frame to the next."""

LEAST_SHARED_SHARE = 0.5
"""A shift must keep this share of the scenery within the picture."""

LEAST_CONTRAST = 1e-6
"""Variance of grey values in [0, 1] below which a place has nothing to be recognised by."""


def grey_scenery(video: Video, hidden: Masks) -> tuple[NDArray[np.float64], Masks, int]:
    """Prepare a video and the pixels [n, h, w] that are no scenery: grey values in [0, 1], where scenery is, factor.

    Tall pictures are reduced by the factor; shifts found in them are to be multiplied by it.
    """
    factor = max(1, round(video.shape[1] / MOST_ROWS))
    return _reduced(video.mean(axis=-1) / 255, factor), ~_reduced_mask(hidden, factor), factor


def scenery_shift(
    first: NDArray[np.float64], first_mask: Masks, second: NDArray[np.float64], second_mask: Masks
) -> NDArray[np.float64] | None:
    """Find by how many pixels (x, y) the masked part of one grey picture [h, w] has moved in the next.

    It is the whole shift of highest normalised correlation over pixels that both masks hold, refined to a fraction of
    a pixel by least squares on the grey values; ``None`` where nothing can be recognised.

    Source: masked normalised cross-correlation by FFT (Padfield 2012); one step of Lucas and Kanade 1981.
    """
    scores = _correlations(first, first_mask, second, second_mask)
    if not (scores > -1).any():
        return None
    row, column = np.unravel_index(int(scores.argmax()), scores.shape)
    down, right = int(row) - scores.shape[0] // 2, int(column) - scores.shape[1] // 2
    aligned = np.roll(second, (-down, -right), axis=(0, 1))
    common = (
        first_mask & np.roll(second_mask, (-down, -right), axis=(0, 1)) & _inner(first.shape, down, right)
    )
    return np.array([right, down], dtype=np.float64) + _remaining_shift(first, aligned, common)


def _inner(size: tuple[int, ...], down: int, right: int) -> Masks:
    """Mark the pixels whose shifted place, and its neighbours, lie within the picture: what did not wrap round."""
    rows, columns = np.indices(size)
    rows_there, columns_there = rows + down, columns + right
    inside = (
        (rows_there >= 1) & (rows_there < size[0] - 1) & (columns_there >= 1) & (columns_there < size[1] - 1)
    )
    return np.asarray(inside & (rows >= 1) & (rows < size[0] - 1) & (columns >= 1) & (columns < size[1] - 1))


def _remaining_shift(
    first: NDArray[np.float64], second: NDArray[np.float64], common: Masks
) -> NDArray[np.float64]:
    """Find the shift (x, y) of less than a pixel, and a change of brightness, that turn the first into the second."""
    middle: NDArray[np.float64] = (first + second) / 2
    slope_y, slope_x = np.gradient(middle, axis=0), np.gradient(middle, axis=1)
    columns = np.stack([-slope_x[common], -slope_y[common], np.ones(int(common.sum()))], axis=-1)
    solved = np.linalg.lstsq(columns, (second - first)[common], rcond=None)[0]
    return np.asarray(np.clip(solved[:2], -1, 1))


def _correlations(
    first: NDArray[np.float64], first_mask: Masks, second: NDArray[np.float64], second_mask: Masks
) -> NDArray[np.float64]:
    """Give the normalised correlation at every shift sought [2 · reach_y + 1, 2 · reach_x + 1]; −1: not to be told."""
    height, width = first.shape
    reach_y, reach_x = (max(1, int(SEARCH_SHARE * size)) for size in (height, width))
    spectra = _Spectra(first, first_mask), _Spectra(second, second_mask)
    number = _at_shifts(spectra[0].mask, spectra[1].mask, reach_y, reach_x)
    sum_a = _at_shifts(spectra[0].value, spectra[1].mask, reach_y, reach_x)
    sum_b = _at_shifts(spectra[0].mask, spectra[1].value, reach_y, reach_x)
    squares_a = _at_shifts(spectra[0].square, spectra[1].mask, reach_y, reach_x)
    squares_b = _at_shifts(spectra[0].mask, spectra[1].square, reach_y, reach_x)
    products = _at_shifts(spectra[0].value, spectra[1].value, reach_y, reach_x)
    count = np.maximum(number, 1)
    variance_a = squares_a / count - (sum_a / count) ** 2
    variance_b = squares_b / count - (sum_b / count) ** 2
    covariance = products / count - sum_a * sum_b / count**2
    told = (number > LEAST_SHARED_SHARE * first_mask.sum()) & (number > 1)
    told &= (variance_a > LEAST_CONTRAST) & (variance_b > LEAST_CONTRAST)
    spread = np.sqrt(np.where(told, variance_a * variance_b, 1.0))
    return np.where(told, covariance / spread, -1.0)


@dataclass(frozen=True, eq=False)
class _Spectra:
    """Fourier transforms of a masked picture, padded so that no shift wraps round."""

    picture: NDArray[np.float64]
    held: Masks

    def _of(self, values: NDArray[np.float64]) -> NDArray[np.complex128]:
        height, width = values.shape
        return np.fft.rfft2(values, s=(2 * height, 2 * width))

    @property
    def mask(self) -> NDArray[np.complex128]:
        return self._of(self.held.astype(np.float64))

    @property
    def value(self) -> NDArray[np.complex128]:
        return self._of(self.picture * self.held)

    @property
    def square(self) -> NDArray[np.complex128]:
        return self._of(self.picture**2 * self.held)


def _at_shifts(
    a: NDArray[np.complex128], b: NDArray[np.complex128], reach_y: int, reach_x: int
) -> NDArray[np.float64]:
    """Correlate two spectra: Σ a(p) b(p + shift), at shifts of −reach to reach."""
    height, columns = a.shape
    whole = np.fft.irfft2(np.conj(a) * b, s=(height, 2 * (columns - 1)))
    rolled = np.roll(whole, (reach_y, reach_x), axis=(0, 1))
    return rolled[: 2 * reach_y + 1, : 2 * reach_x + 1]


def covered(observed: Observed, height: int, width: int) -> Masks:
    """Give where any subject is [n, h, w]: its widened mask, or its box."""
    if observed.masks is not None:
        return dilated(np.asarray(observed.masks.any(axis=0)), dilation_radius_px(height))
    x, y = np.arange(width) + 0.5, np.arange(height)[:, None] + 0.5
    box = observed.boxes_px[..., None, None, :]
    within = (x > box[..., 0]) & (x < box[..., 2]) & (y > box[..., 1]) & (y < box[..., 3])
    return np.asarray(within.any(axis=0))


def _reduced(pictures: NDArray[np.float64], factor: int) -> NDArray[np.float64]:
    """Average [n, h, w] over blocks; rows and columns beyond the last whole block are left out."""
    number, height, width = pictures.shape
    rows, columns = height // factor, width // factor
    blocks = pictures[:, : rows * factor, : columns * factor]
    return blocks.reshape(number, rows, factor, columns, factor).mean(axis=(2, 4))


def _reduced_mask(masks: Masks, factor: int) -> Masks:
    return _reduced(masks.astype(np.float64), factor) > 0
