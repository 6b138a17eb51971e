"""WRBench's D2: how whole a video stays from its first frame to its last, and in its worse patches.

Source: WRBench (arXiv 2606.20545), eval/d2, field ``d2_selected_visual_integrity_score``; two frames a second, 4 to 16
of them, as its example configuration has it.
"""

from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from outofsight.evaluation.consistency import unit_length
from outofsight.evaluation.evidence import Evidence, Measure, Measured, gated
from outofsight.perception.centre_crop import centre_crop_of

SAMPLE_FPS, MIN_FRAMES, MAX_FRAMES = 2.0, 4, 16
LOW_PERCENTILE = 20.0


def sampled_frames(num_frames: int, fps: float) -> list[int]:
    """Choose the frames that are looked at: the first, the last, and two a second between."""
    least = min(MIN_FRAMES, num_frames)
    steps = np.arange(0, num_frames, max(fps / SAMPLE_FPS, 1.0)).round().astype(int)
    chosen = {0, num_frames - 1, *(int(step) for step in steps if step < num_frames)}
    if len(chosen) < least:
        chosen |= set(np.linspace(0, num_frames - 1, least, dtype=np.int64).tolist())
    frames = sorted(chosen)
    if len(frames) > MAX_FRAMES:
        places = np.linspace(0, len(frames) - 1, MAX_FRAMES, dtype=np.int64)
        frames = sorted({frames[place] for place in places.tolist()})
    return frames


def d2(pictures: NDArray[np.floating], patches: NDArray[np.floating]) -> float:
    """Score frames in order, pictures [n, d] and patches [n, rows, columns, p]; n is 2 or more.

    The lower of the cosine of first and last picture, and the 20th percentile over neighbouring frames of the 20th
    percentile of their patches' best matches anywhere in the other frame, both ways. Cosines below 0 count 0.
    """
    ends = unit_length(pictures[[0, -1]])
    whole = float(np.clip(ends[0] @ ends[1], 0, 1))
    tokens = unit_length(patches.reshape(len(patches), -1, patches.shape[-1]))
    lows = [_low_match(first, second) for first, second in pairwise(tokens)]
    return min(whole, float(np.percentile(lows, LOW_PERCENTILE)))


def _low_match(first: NDArray[np.float64], second: NDArray[np.float64]) -> float:
    cosines = np.clip(first @ second.T, 0, 1)
    return float(np.percentile(np.concatenate([cosines.max(axis=1), cosines.max(axis=0)]), LOW_PERCENTILE))


def d2_of(evidence: Evidence) -> Measured:
    """Score context and generated frames as one video, as WRBench does for models that continue a video."""
    network = evidence.networks.subjects
    assert network is not None
    video = np.concatenate([evidence.case.context, evidence.generated])
    frames = sampled_frames(len(video), evidence.case.fps)
    if len(frames) < 2:
        return gated("WRBench's D2 needs two frames or more")
    features = network.features(centre_crop_of(network).frames(video[frames]))
    return Measured(d2(features.pictures, features.patches))


WRBENCH_D2_MEASURES = (
    Measure(
        name="wrbench_d2",
        tier=1,
        unit="",
        higher_is_better=True,
        needs=frozenset({"subject_features"}),
        what="the lower of first-to-last likeness and the worse patches' best matches between neighbouring frames",
        source="WRBench (arXiv 2606.20545); published with DINOv2",
        compute=d2_of,
    ),
)
