"""Dynamic subject consistency (DSC): is the subject that is generated the one that was seen, and truly came back?

For every frame: subject box → patch features of the picture → ROI-align 7×7 → mean of the 49 cells → length 1. Then the
cosine between all pairs of a generated and a true (or context) frame, averaged. Source: paper eq. 7.

HyDRA's own script (``dsc_official``) is another thing::

    picture 832×480       |<------------ 832 ------------>|      box: x / 832 · 14 patches
    shown to the network          |<--- 480 --->|                patches: 14 across these 480 only

It divides a box by the whole picture's size, but the network sees the centre crop: features are read beside the
subject unless it stands in the middle. ``registered`` maps the box through the crop instead.

Source: H-EmbodVis/HyDRA, eval_dsc.py; of its tracker only the name is published, so boxes come from our detector.
"""

from functools import partial

import numpy as np
from numpy.typing import NDArray

from outofsight.evaluation.case import Video
from outofsight.evaluation.consistency import unit_length
from outofsight.evaluation.evidence import (
    Detections,
    Evidence,
    FeatureNetwork,
    Measured,
    Metric,
    metric,
    undefined,
)
from outofsight.evaluation.tracking import expected
from outofsight.perception.seeing import centre_crop_of

CELLS, SAMPLES = 7, 2
"""Cells of ROI-align each way, and our samples each way in a cell."""


def roi_align(
    patches: NDArray[np.floating], box: NDArray[np.floating], samples: tuple[int, int] = (SAMPLES, SAMPLES)
) -> NDArray[np.float64]:
    """Sample features [rows, columns, d] within a box: [7, 7, d].

    ``box``: x0, y0, x1, y1 in patches; patch (row r, column c) spans [c, c + 1] × [r, r + 1], and its value stands at
    its centre. Each cell is the mean of ``samples`` (down, across), bilinear between centres, the border's value
    beyond them.

    Source: He et al. 2017 (Mask R-CNN), with pixel centres at .5.
    """
    down, right = samples
    y = box[1] + _middles(CELLS * down) * (box[3] - box[1]) - 0.5
    x = box[0] + _middles(CELLS * right) * (box[2] - box[0]) - 0.5
    rows = _between(np.asarray(patches, dtype=np.float64), y)
    read = _between(rows.swapaxes(0, 1), x).swapaxes(0, 1)
    return read.reshape(CELLS, down, CELLS, right, -1).mean(axis=(1, 3))


def _middles(count: int) -> NDArray[np.float64]:
    """Give the middles of ``count`` equal parts of [0, 1]."""
    return (np.arange(count) + 0.5) / count


def _between(values: NDArray[np.float64], places: NDArray[np.floating]) -> NDArray[np.float64]:
    """Interpolate along the first axis at places (0: the first value), held within the range."""
    held = np.clip(places, 0, len(values) - 1)
    low = np.minimum(np.floor(held).astype(int), max(len(values) - 2, 0))
    high = np.minimum(low + 1, len(values) - 1)
    share = (held - low)[:, None, None]
    return values[low] * (1 - share) + values[high] * share


def subject_vectors(
    patches: NDArray[np.floating], boxes_px: NDArray[np.floating], size: tuple[int, ...]
) -> NDArray[np.float64]:
    """Describe a subject in n frames by patches [n, rows, columns, d] and boxes [n, 4]: [n, d] of length 1.

    ``size``: height and width in px of the pictures that the patches cover. NaN where there is no box.
    """
    height, width = size
    rows, columns = patches.shape[1:3]
    scale = np.array([columns / width, rows / height] * 2)
    vectors = np.full((len(boxes_px), patches.shape[-1]), np.nan)
    for frame in np.flatnonzero(~np.isnan(boxes_px).any(axis=-1)):
        cells = roi_align(patches[frame], boxes_px[frame] * scale)
        vectors[frame] = unit_length(cells.mean(axis=(0, 1)))
    return vectors


def mean_cosine(a: NDArray[np.float64], b: NDArray[np.float64]) -> float:
    """Average the cosine over all pairs of unit vectors [n, d] and [m, d]; there must be some of each."""
    return float(a.mean(axis=0) @ b.mean(axis=0))


_of_subjects = partial(metric, needs={"features", "detector", "subjects"}, tier=1)


def dsc(name: str, what: str, *, to_context: bool, missing_count_0: bool) -> Metric:
    """Make the metric DSC_ctx or DSC_GT, a subject's mean over its frames, then the mean over subjects.

    ``missing_count_0``: over the target frames that truly show the subject, those in which it is not found counting 0;
    otherwise over the frames in which it is found, as published.
    """

    @_of_subjects(name, what, "HyDRA (arXiv 2603.25716) eq. 7; published with CLIP ViT-B/16")
    def compute(evidence: Evidence) -> Measured:
        network, (video, known) = evidence.networks.of("appearance"), _true_half(evidence, to_context)
        theirs = _all_vectors(network, evidence.generated, evidence.found)
        ours = _all_vectors(network, video, known)
        shown = expected(evidence, after_return=False)
        subjects = zip(theirs, ours, shown, strict=True)
        scores = [_score(their, our, seen if missing_count_0 else None) for their, our, seen in subjects]
        valid = [score for score in scores if score is not None]
        return Measured(float(np.mean(valid)) if valid else undefined(_reason(ours, theirs, to_context)))

    return compute


def _true_half(evidence: Evidence, to_context: bool) -> tuple[Video, Detections]:
    """Give the true frames that generated ones are compared with, and what is seen in them."""
    if to_context:
        return evidence.case.context, evidence.context_observed
    return evidence.case.truth, evidence.target_observed


def _score(
    theirs: NDArray[np.float64], ours: NDArray[np.float64], shown: NDArray[np.bool_] | None
) -> float | None:
    """Compare one subject's vectors, NaN where not found; ``shown``: the frames over which missing ones count 0."""
    ours = ours[~np.isnan(ours[:, 0])]
    if shown is not None:
        theirs = np.nan_to_num(theirs[shown])
    else:
        theirs = theirs[~np.isnan(theirs[:, 0])]
    return mean_cosine(theirs, ours) if len(theirs) and len(ours) else None


def _all_vectors(network: FeatureNetwork, video: Video, observed: Detections) -> list[NDArray[np.float64]]:
    patches = network.features(video).patches
    return [subject_vectors(patches, boxes, video.shape[1:3]) for boxes in observed.boxes_px]


def _reason(ours: list[NDArray[np.float64]], theirs: list[NDArray[np.float64]], to_context: bool) -> str:
    if all(np.isnan(vectors).all() for vectors in ours):
        return f"no subject is seen in the {'context' if to_context else 'target'}"
    if all(np.isnan(vectors).all() for vectors in theirs):
        return "no subject is found in the generated video"
    return "no subject is both found in the generated video and seen in the true one"


DSC_METRICS = (
    dsc("dsc_gt", "likeness of the subject where it is found to the true one",
        to_context=False, missing_count_0=False),
    dsc("dsc_ctx", "likeness of the subject where it is found to the context's",
        to_context=True, missing_count_0=False),
    dsc("dsc_gt_missing_0", "the same as dsc_gt over the frames that truly show it, 0 where it is not found",
        to_context=False, missing_count_0=True),
    dsc("dsc_ctx_missing_0", "the same as dsc_ctx over the frames that truly show it, 0 where it is not found",
        to_context=True, missing_count_0=True),
)  # fmt: skip


def union_boxes(observed: Detections) -> NDArray[np.float64]:
    """Give the box around all subjects of each frame [n, 4], NaN where none is seen."""
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
        shares = crop.boxes(boxes_px, height, width) / cropped.shape[1]
    else:
        shares = boxes_px / np.array([width, height] * 2)
    patches = network.features(cropped).patches
    rows, columns = patches.shape[1:3]
    vectors = []
    for frame in np.flatnonzero(~np.isnan(shares).any(axis=-1)):
        box = shares[frame] * np.array([columns, rows] * 2)
        vectors.append(unit_length(roi_align(patches[frame], box, adaptive_samples(box)).mean(axis=(0, 1))))
    return np.array(vectors).reshape(-1, patches.shape[-1])


def dsc_official(name: str, what: str, *, to_context: bool, registered: bool) -> Metric:
    """Make DSC_con or DSC_tgt of the published script."""

    @_of_subjects(name, what, "HyDRA's eval_dsc.py; published with CLIP ViT-B/16 and a tracker that is not")
    def compute(evidence: Evidence) -> Measured:
        network, (video, known) = evidence.networks.of("appearance"), _true_half(evidence, to_context)
        described = partial(frame_vectors, network, registered=registered)
        ours = described(video, union_boxes(known))
        if not len(ours):
            where = "context" if to_context else "target"
            undefined(f"no subject is seen in the {where}" + ", within the centre crop" * registered)
        theirs = described(evidence.generated, union_boxes(evidence.found))
        if not len(theirs):
            undefined("no subject is found in the generated video")
        return Measured(mean_cosine(theirs, ours))

    return compute


_READ_BESIDE = "as published: one box around all subjects, read beside its place in the centre crop"

DSC_OFFICIAL_METRICS = (
    dsc_official("dsc_official_gt", f"DSC_tgt {_READ_BESIDE}", to_context=False, registered=False),
    dsc_official("dsc_official_ctx", f"DSC_con {_READ_BESIDE}", to_context=True, registered=False),
    dsc_official("dsc_official_registered_gt", "dsc_official_gt with the box mapped through the crop",
                 to_context=False, registered=True),
    dsc_official("dsc_official_registered_ctx", "dsc_official_ctx with the box mapped through the crop",
                 to_context=True, registered=True),
)  # fmt: skip
