"""Liveness: how much a subject moves of its own, against the scenery around it, in the generated and in the true video.

The camera's motion is taken from each video itself, as the shift of the scenery around the subject, not from the
given cameras: a video that stands still while its camera should turn would else seem to hold a running subject.
"""

import numpy as np
from numpy.typing import NDArray

from outofsight.evaluation.case import Masks, Video
from outofsight.evaluation.evidence import Evidence, Measure, Measured, gated
from outofsight.evaluation.observations import Observed
from outofsight.evaluation.scenery import covered, grey_scenery, scenery_shift

SURROUNDINGS_SHARE = 0.2
"""The scenery around a subject reaches this share of the picture's width and height beyond its box."""

LEAST_SPEED = 0.002
"""Diagonals a frame: a true subject slower than this stands still, and liveness is not asked of it.

At 64×96 it is 0.23 px; the scenery's shift, known from geometry, was found to 0.1 px (median of 8 clips' means).
"""

SMOOTHED_FRAMES = 5
"""Motion is averaged over so many frames before its speed is taken."""


def liveness(evidence: Evidence) -> Measured:
    """Mean speed of subjects against their surroundings where they are found, generated over true."""
    truth, generated = _speeds(evidence)
    if isinstance(truth, Measured):
        return truth
    found = generated[~np.isnan(generated)]
    if not found.size:
        return gated("no subject is found wholly in the generated picture in two frames in a row")
    return Measured(float(found.mean() / np.nanmean(truth)))


def liveness_missing_0(evidence: Evidence) -> Measured:
    """The same over the frames that truly show the whole subject; where it is not found, it does not move."""
    truth, generated = _speeds(evidence)
    if isinstance(truth, Measured):
        return truth
    shown = ~np.isnan(truth)
    return Measured(float(np.nan_to_num(generated[shown]).mean() / truth[shown].mean()))


def _speeds(evidence: Evidence) -> tuple[NDArray[np.float64] | Measured, NDArray[np.float64]]:
    """Give true and generated speeds [s, t], px a frame; instead of the true ones why they tell nothing."""
    assert evidence.observed is not None
    truth = own_speeds(evidence.case.truth, evidence.target_observed)
    if np.isnan(truth).all():
        return gated("no true subject is wholly in the picture in two frames in a row"), truth
    true_speed = float(np.nanmean(truth)) / evidence.diagonal_px
    if true_speed < LEAST_SPEED:
        return gated(f"the true subjects stand still ({true_speed:.4f} diagonals a frame)"), truth
    return truth, own_speeds(evidence.generated, evidence.observed)


def own_speeds(video: Video, observed: Observed) -> NDArray[np.float64]:
    """Give subjects' speeds against the scenery [s, n], px from a frame to the next; NaN where not to be told.

    A subject at the picture's edge is left out: its centroid moves as more of it comes into view.
    """
    height, width = video.shape[1:3]
    grey, scenery, factor = grey_scenery(video, covered(observed, height, width))
    whole = observed.detected & _inside(observed.boxes_px, height, width)
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
    known = ~np.isnan(motions[:, 0])
    edges = np.flatnonzero(np.diff(np.concatenate([[False], known, [False]]).astype(np.int8)))
    means = np.full_like(motions, np.nan)
    for start, stop in edges.reshape(-1, 2).tolist():
        span = min(SMOOTHED_FRAMES, stop - start)
        for frame in range(start, stop):
            begin = min(max(frame - span // 2, start), stop - span)
            means[frame] = motions[begin : begin + span].mean(axis=0)
    return means


def _inside(boxes: NDArray[np.float32], height: int, width: int) -> NDArray[np.bool_]:
    """Tell which boxes [..., 4] keep a pixel's distance from the picture's edge."""
    with np.errstate(invalid="ignore"):
        return np.asarray(
            (boxes[..., :2] >= 1).all(axis=-1) & (boxes[..., 2] <= width - 1) & (boxes[..., 3] <= height - 1)
        )


def _surroundings(box: NDArray[np.float32], size: tuple[int, ...]) -> Masks:
    """Mark the box widened by ``SURROUNDINGS_SHARE`` of the picture each way [h, w]."""
    height, width = size
    margin_x, margin_y = SURROUNDINGS_SHARE * width, SURROUNDINGS_SHARE * height
    x, y = np.arange(width) + 0.5, np.arange(height)[:, None] + 0.5
    across = (x > box[0] - margin_x) & (x < box[2] + margin_x)
    return across & (y > box[1] - margin_y) & (y < box[3] + margin_y)


_SOURCE = "own rule; scenery by masked normalised correlation (Padfield 2012)"

LIVENESS_MEASURES = (
    Measure(
        name="liveness", tier=0, unit="", higher_is_better=None, needs=frozenset({"subjects", "detector"}),
        what="speed of subjects against the scenery around them where they are found, generated over true; frozen 0",
        source=_SOURCE, compute=liveness,
    ),
    Measure(
        name="liveness_missing_0", tier=0, unit="", higher_is_better=None, needs=frozenset({"subjects", "detector"}),
        what="the same over the frames that truly show the whole subject, 0 where it is not found",
        source=_SOURCE, compute=liveness_missing_0,
    ),
)  # fmt: skip
