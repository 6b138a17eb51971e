"""How subjects and cameras move, from the pictures alone: relative motion, and the error of the camera's motion.

The camera's motion is taken from each video itself, as the shift of the scenery around the subject, not from the
given cameras: a video that stands still while its camera should turn would else seem to hold a running subject.
"""

import numpy as np
from numpy.typing import NDArray

from outofsight.evaluation.case import Masks, Video, runs
from outofsight.evaluation.evidence import (
    Detections,
    Evidence,
    Measured,
    metric,
    observed_from_masks,
    undefined,
    wholly_inside,
)
from outofsight.evaluation.image_metrics import dilated, dilation_radius_px

SURROUNDINGS_SHARE = 0.2
"""The scenery around a subject reaches this share of the picture's width and height beyond its box."""

LEAST_SPEED = 0.002
"""Diagonals a frame: a true subject slower than this stands still, and relative motion is not asked of it.

At 64×96 it is 0.23 px; the scenery's shift, known from geometry, was found to 0.1 px (median of 8 clips' means).
"""

SMOOTHED_FRAMES = 5
"""Motion is averaged over so many frames before its speed is taken."""


SOURCE = "own rule; scenery by masked normalised correlation (Padfield 2012)"


@metric(
    "relative_motion",
    "speed of subjects against the scenery around them where they are found, generated over true; frozen 0",
    SOURCE, {"subjects", "detector"}, higher_is_better=None,
)  # fmt: skip
def relative_motion(evidence: Evidence) -> Measured:
    truth, generated = _speeds(evidence)
    found = generated[~np.isnan(generated)]
    if not found.size:
        undefined("no subject is found wholly in the generated picture in two frames in a row")
    return Measured(float(found.mean() / np.nanmean(truth)))


@metric(
    "relative_motion_missing_0",
    "the same over the frames that truly show the whole subject, 0 where it is not found",
    SOURCE, {"subjects", "detector"}, higher_is_better=None,
)  # fmt: skip
def relative_motion_missing_0(evidence: Evidence) -> Measured:
    truth, generated = _speeds(evidence)
    shown = ~np.isnan(truth)
    return Measured(float(np.nan_to_num(generated[shown]).mean() / truth[shown].mean()))


RELATIVE_MOTION_METRICS = (relative_motion, relative_motion_missing_0)


def _speeds(evidence: Evidence) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Give true and generated speeds [s, t], px a frame."""
    truth = own_speeds(evidence.case.truth, evidence.target_observed)
    if np.isnan(truth).all():
        undefined("no true subject is wholly in the picture in two frames in a row")
    true_speed = float(np.nanmean(truth)) / evidence.diagonal_px
    if true_speed < LEAST_SPEED:
        undefined(f"the true subjects stand still ({true_speed:.4f} diagonals a frame)")
    return truth, own_speeds(evidence.generated, evidence.found)


def own_speeds(video: Video, observed: Detections) -> NDArray[np.float64]:
    """Give subjects' speeds against the scenery [s, n], px from a frame to the next; NaN where it cannot be measured.

    A subject at the picture's edge is left out: its centroid moves as more of it comes into view.
    """
    height, width = video.shape[1:3]
    grey, scenery, factor = grey_scenery(video, covered(observed, height, width))
    whole = observed.detected & wholly_inside(observed.boxes_px, height, width)
    motions = np.full((*observed.detected.shape, 2), np.nan)
    for subject, frame in np.argwhere(whole[:, :-1] & whole[:, 1:]).tolist():
        around = scenery[frame] & _surroundings(observed.boxes_px[subject, frame] / factor, scenery.shape[1:])
        shift = scenery_shift(grey[frame], around, grey[frame + 1], scenery[frame + 1])
        if shift is not None:
            moved = observed.centroids_px[subject, frame + 1] - observed.centroids_px[subject, frame]
            motions[subject, frame] = moved - factor * shift
    return np.stack([np.linalg.norm(smoothed(rows), axis=-1) for rows in motions])


def smoothed(motions: NDArray[np.float64]) -> NDArray[np.float64]:
    """Average motions [n, 2] (NaN: unknown) over ``SMOOTHED_FRAMES`` around each frame, or a shorter run's whole.

    What jitters to and fro by fractions of a pixel cancels, walking does not. Runs are not joined over gaps.
    """
    means = np.full_like(motions, np.nan)
    for start, stop in runs(~np.isnan(motions[:, 0])):
        span = min(SMOOTHED_FRAMES, stop - start)
        for frame in range(start, stop):
            begin = min(max(frame - span // 2, start), stop - span)
            means[frame] = motions[begin : begin + span].mean(axis=0)
    return means


def _surroundings(box: NDArray[np.float32], size: tuple[int, ...]) -> Masks:
    """Mark the box widened by ``SURROUNDINGS_SHARE`` of the picture each way [h, w]."""
    height, width = size
    margin_x, margin_y = SURROUNDINGS_SHARE * width, SURROUNDINGS_SHARE * height
    x, y = np.arange(width) + 0.5, np.arange(height)[:, None] + 0.5
    across = (x > box[0] - margin_x) & (x < box[2] + margin_x)
    return across & (y > box[1] - margin_y) & (y < box[3] + margin_y)


LEAST_SHIFT = 0.003
"""Diagonals a frame: a true camera that moves the scenery by less stands still, and following is not asked of it."""


@metric(
    "camera_error",
    "difference of generated and true shift of the scenery from frame to frame, over the true; frozen 1",
    SOURCE, {"truth"}, higher_is_better=False,
)  # fmt: skip
def camera_error(evidence: Evidence) -> Measured:
    """Mean |generated − true shift of the scenery| over the mean |true shift|: 0 follows exactly, 1 as good as frozen.

    Frames in which the generated video has no scenery that could be recognised count as standing still.
    """
    case, hidden = evidence.case, _hidden(evidence)
    truth = scenery_shifts(case.truth, hidden)
    known = ~np.isnan(truth[:, 0])
    if not known.any():
        undefined("the true scenery cannot be recognised from a frame to the next")
    size = float(np.linalg.norm(truth[known], axis=-1).mean())
    if size / evidence.diagonal_px < LEAST_SHIFT:
        undefined(f"the true camera hardly moves ({size:.2f} px a frame)")
    generated = np.nan_to_num(scenery_shifts(evidence.generated, hidden))
    return Measured(float(np.linalg.norm(generated[known] - truth[known], axis=-1).mean()) / size)


def scenery_shifts(video: Video, hidden: Masks) -> NDArray[np.float64]:
    """Give by how many px (x, y) all scenery moves to the next frame [n − 1, 2]; NaN where that cannot be measured."""
    grey, scenery, factor = grey_scenery(video, hidden)
    shifts = np.full((len(video) - 1, 2), np.nan)
    for frame in range(len(video) - 1):
        shift = scenery_shift(grey[frame], scenery[frame], grey[frame + 1], scenery[frame + 1])
        if shift is not None:
            shifts[frame] = factor * shift
    return shifts


def _hidden(evidence: Evidence) -> Masks:
    """Give where subjects truly are or are seen by the detector in the target frames [t, h, w], widened.

    Without masks all counts as scenery: the shift of most of the picture wins.
    """
    case = evidence.case
    height, width = case.truth.shape[1:3]
    hidden = np.zeros(case.truth.shape[:3], dtype=bool)
    truth = case.foreground
    known = None if truth is None else observed_from_masks(truth[None, case.num_context_frames :])
    for observed in (known, evidence.observed):
        if observed is not None:
            hidden |= covered(observed, height, width)
    return hidden


CAMERA_METRICS = (camera_error,)


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
    return _reduced(video.mean(axis=-1) / 255, factor), ~(_reduced(hidden, factor) > 0), factor


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
    """Give the normalised correlation at every shift sought [2 · reach_y + 1, 2 · reach_x + 1]; −1: undefined."""
    height, width = first.shape
    reach_y, reach_x = (max(1, int(SEARCH_SHARE * size)) for size in (height, width))
    mask_a, value_a, square_a = _spectra(first, first_mask)
    mask_b, value_b, square_b = _spectra(second, second_mask)
    number = _at_shifts(mask_a, mask_b, reach_y, reach_x)
    sum_a = _at_shifts(value_a, mask_b, reach_y, reach_x)
    sum_b = _at_shifts(mask_a, value_b, reach_y, reach_x)
    squares_a = _at_shifts(square_a, mask_b, reach_y, reach_x)
    squares_b = _at_shifts(mask_a, square_b, reach_y, reach_x)
    products = _at_shifts(value_a, value_b, reach_y, reach_x)
    count = np.maximum(number, 1)
    variance_a = squares_a / count - (sum_a / count) ** 2
    variance_b = squares_b / count - (sum_b / count) ** 2
    covariance = products / count - sum_a * sum_b / count**2
    known = (number > LEAST_SHARED_SHARE * first_mask.sum()) & (number > 1)
    known &= (variance_a > LEAST_CONTRAST) & (variance_b > LEAST_CONTRAST)
    spread = np.sqrt(np.where(known, variance_a * variance_b, 1.0))
    return np.where(known, covariance / spread, -1.0)


def _spectra(picture: NDArray[np.float64], held: Masks) -> list[NDArray[np.complex128]]:
    """Give the Fourier transforms of a mask, of the masked picture and of its square, padded so that no shift wraps."""
    height, width = picture.shape
    parts = (held.astype(np.float64), picture * held, picture**2 * held)
    return [np.fft.rfft2(part, s=(2 * height, 2 * width)) for part in parts]


def _at_shifts(
    a: NDArray[np.complex128], b: NDArray[np.complex128], reach_y: int, reach_x: int
) -> NDArray[np.float64]:
    """Correlate two spectra: Σ a(p) b(p + shift), at shifts of −reach to reach."""
    height, columns = a.shape
    whole = np.fft.irfft2(np.conj(a) * b, s=(height, 2 * (columns - 1)))
    rolled = np.roll(whole, (reach_y, reach_x), axis=(0, 1))
    return rolled[: 2 * reach_y + 1, : 2 * reach_x + 1]


def covered(observed: Detections, height: int, width: int) -> Masks:
    """Give where any subject is [n, h, w]: its widened mask, or its box."""
    if observed.masks is not None:
        return dilated(np.asarray(observed.masks.any(axis=0)), dilation_radius_px(height))
    x, y = np.arange(width) + 0.5, np.arange(height)[:, None] + 0.5
    box = observed.boxes_px[..., None, None, :]
    within = (x > box[..., 0]) & (x < box[..., 2]) & (y > box[..., 1]) & (y < box[..., 3])
    return np.asarray(within.any(axis=0))


def _reduced(pictures: NDArray[np.generic], factor: int) -> NDArray[np.float64]:
    """Average [n, h, w] over blocks; rows and columns beyond the last whole block are left out."""
    number, height, width = pictures.shape
    rows, columns = height // factor, width // factor
    blocks = pictures.astype(np.float64)[:, : rows * factor, : columns * factor]
    return blocks.reshape(number, rows, factor, columns, factor).mean(axis=(2, 4))
