"""DSC as HyDRA's own script computes it, and the same with the box where the subject is.

::

    picture 832×480       |<------------ 832 ------------>|      box: x / 832 · 14 patches
    shown to the network          |<--- 480 --->|                patches: 14 across these 480 only

The script divides a box by the whole picture's size, but the network sees the centre crop: features are read beside the
subject unless it stands in the middle. ``registered`` maps the box through the crop instead.

Source: H-EmbodVis/HyDRA, eval_dsc.py; of its tracker only the name is published, so boxes come from our detector.
"""

import numpy as np
from numpy.typing import NDArray

from outofsight.evaluation.case import Video
from outofsight.evaluation.consistency import unit_length
from outofsight.evaluation.dsc import CELLS, mean_cosine, roi_align
from outofsight.evaluation.evidence import Compute, Evidence, Measure, Measured, gated
from outofsight.evaluation.observations import FeatureNetwork, Observed
from outofsight.perception.centre_crop import centre_crop_of


def union_boxes(observed: Observed) -> NDArray[np.float64]:
    """Give the box around all subjects of each frame [n, 4], NaN where nobody is seen."""
    boxes = observed.boxes_px.astype(np.float64)
    known = ~np.isnan(boxes)
    low = np.where(known, boxes, np.inf)[..., :2].min(axis=0, initial=np.inf)
    high = np.where(known, boxes, -np.inf)[..., 2:].max(axis=0, initial=-np.inf)
    joined = np.concatenate([low, high], axis=-1)
    joined[~np.isfinite(joined).all(axis=-1)] = np.nan
    return joined


def adaptive_samples(box: NDArray[np.floating]) -> tuple[int, int]:
    """Samples in a cell down and across for a box in patches: as many as patches in a cell, one at least."""
    down, right = (int(np.ceil((box[axis + 2] - box[axis]) / CELLS)) for axis in (1, 0))
    return max(down, 1), max(right, 1)


def frame_vectors(
    network: FeatureNetwork, video: Video, boxes_px: NDArray[np.float64], *, registered: bool
) -> NDArray[np.float64]:
    """Describe what the boxes [n, 4] show, frames without one left out: [m, d] of length 1."""
    crop = centre_crop_of(network)
    height, width = video.shape[1:3]
    cropped = crop.frames(video)
    if registered:
        side = cropped.shape[1]
        shares = crop.boxes(boxes_px, height, width) / side
    else:
        shares = boxes_px / np.array([width, height] * 2)
    patches = network.features(cropped).patches
    rows, columns = patches.shape[1:3]
    vectors = []
    for frame in np.flatnonzero(~np.isnan(shares).any(axis=-1)):
        box = shares[frame] * np.array([columns, rows] * 2)
        vectors.append(unit_length(roi_align(patches[frame], box, adaptive_samples(box)).mean(axis=(0, 1))))
    return np.array(vectors).reshape(-1, patches.shape[-1])


def dsc_official(*, to_context: bool, registered: bool) -> Compute:
    """Make DSC_con or DSC_tgt of the published script."""

    def compute(evidence: Evidence) -> Measured:
        case, network = evidence.case, evidence.networks.appearance
        assert network is not None
        assert evidence.observed is not None
        video = case.context if to_context else case.truth
        known = evidence.context_observed if to_context else evidence.target_observed
        ours = frame_vectors(network, video, union_boxes(known), registered=registered)
        if not len(ours):
            where = "context" if to_context else "target"
            return gated(
                f"no subject is seen in the {where}" + (", within the centre crop" if registered else "")
            )
        theirs = frame_vectors(
            network, evidence.generated, union_boxes(evidence.observed), registered=registered
        )
        return (
            Measured(mean_cosine(theirs, ours))
            if len(theirs)
            else gated("no subject is found in the generated video")
        )

    return compute


def _measure(name: str, what: str, *, to_context: bool, registered: bool) -> Measure:
    return Measure(
        name=name,
        tier=1,
        unit="",
        higher_is_better=True,
        needs=frozenset({"features", "detector", "subjects"}),
        what=what,
        source="HyDRA's eval_dsc.py; published with CLIP ViT-B/16 and a tracker that is not",
        compute=dsc_official(to_context=to_context, registered=registered),
    )


DSC_OFFICIAL_MEASURES = (
    _measure(
        "dsc_official_gt",
        "DSC_tgt as published: one box around all subjects, read beside its place in the centre crop",
        to_context=False,
        registered=False,
    ),
    _measure(
        "dsc_official_ctx",
        "DSC_con as published: one box around all subjects, read beside its place in the centre crop",
        to_context=True,
        registered=False,
    ),
    _measure(
        "dsc_official_registered_gt",
        "dsc_official_gt with the box mapped through the crop",
        to_context=False,
        registered=True,
    ),
    _measure(
        "dsc_official_registered_ctx",
        "dsc_official_ctx with the box mapped through the crop",
        to_context=True,
        registered=True,
    ),
)
