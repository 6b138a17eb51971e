"""Does the generated camera turn as it was told to? Told by how scenery moves, frame by frame, in both videos."""

import numpy as np
from numpy.typing import NDArray

from outofsight.evaluation.case import Masks, Video
from outofsight.evaluation.evidence import Evidence, Measure, Measured, gated
from outofsight.evaluation.observations import observed_from_masks
from outofsight.evaluation.scenery import covered, grey_scenery, scenery_shift

LEAST_SHIFT = 0.003
"""Diagonals a frame: a true camera that moves the scenery by less stands still, and following is not asked of it."""


def camera_error(evidence: Evidence) -> Measured:
    """Mean |generated − true shift of the scenery| over the mean |true shift|: 0 follows exactly, 1 as good as frozen.

    Frames in which the generated video has no scenery that could be recognised count as standing still.
    """
    case, hidden = evidence.case, _hidden(evidence)
    truth = scenery_shifts(case.truth, hidden)
    told = ~np.isnan(truth[:, 0])
    if not told.any():
        return gated("the true scenery cannot be recognised from a frame to the next")
    size = float(np.linalg.norm(truth[told], axis=-1).mean())
    if size / evidence.diagonal_px < LEAST_SHIFT:
        return gated(f"the true camera hardly moves ({size:.2f} px a frame)")
    generated = np.nan_to_num(scenery_shifts(evidence.generated, hidden))
    return Measured(float(np.linalg.norm(generated[told] - truth[told], axis=-1).mean()) / size)


def scenery_shifts(video: Video, hidden: Masks) -> NDArray[np.float64]:
    """Give by how many px (x, y) all scenery moves to the next frame [n − 1, 2]; NaN where that cannot be told."""
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
    if case.foreground is not None:
        target = case.foreground[None, case.num_context_frames :]
        hidden = hidden | covered(observed_from_masks(target), height, width)
    return hidden if evidence.observed is None else hidden | covered(evidence.observed, height, width)


CAMERA_MEASURES = (
    Measure(
        name="camera_error",
        tier=0,
        unit="",
        higher_is_better=False,
        needs=frozenset(),
        what="difference of generated and true shift of the scenery from frame to frame, over the true; frozen 1",
        source="own rule; scenery by masked normalised correlation (Padfield 2012)",
        compute=camera_error,
    ),
)
