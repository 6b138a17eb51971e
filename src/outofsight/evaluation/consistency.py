"""Tier 1 metrics over features of whole images: VBench's consistencies, recovery after occlusion, revisits, decay.

The formulas take feature vectors [n, d]; all vectors are brought to length 1 first. MemoBench's and WRBench's own forms
come last, as their scripts compute them.

::

    MemoBench   frame   0            h            r           n − 1
                phase   |-- seen ---|-- hidden --|-- back ---|        six frames of each, both ends included

Source: MemoBench (arXiv 2606.27537), metrics/clip_metrics.py; its frames are first scaled to 640 px at most, its
numbers rounded to four digits, neither of which is done here. WRBench (arXiv 2606.20545), eval/d2, field
``d2_selected_visual_integrity_score``; two frames a second, 4 to 16 of them, as its example configuration has it.
"""

from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from outofsight.evaluation.case import Phase, Phases, Video
from outofsight.evaluation.evidence import Evidence, FeatureNetwork, Measured, Metric, metric, undefined
from outofsight.evaluation.image_metrics import context_revisits
from outofsight.perception.seeing import centre_crop_of

Vectors = NDArray[np.floating]

DECAY_DISTANCES = (2, 5, 10, 20, 50)
"""Frames apart at which the decay curve is read."""

LOW_PERCENTILE = 20.0

NO_RETURN = "no subject comes back in the target"

LEAST_DROP = 1e-3
"""Hiding the subject must lower the likeness to frame 0 by this much for its recovery to mean anything."""


def unit_length(vectors: Vectors) -> NDArray[np.float64]:
    """Bring vectors [..., d] to length 1; a vector of zeros stays one, and is like nothing."""
    lengths = np.linalg.norm(vectors, axis=-1, keepdims=True)
    return np.asarray(vectors / np.where(lengths > 0, lengths, 1), dtype=np.float64)


def frame_consistency(pictures: Vectors) -> float:
    """Mean over frames from the second on of (cos to the previous + cos to the first) / 2, negative cosines 0.

    Source: Huang et al. 2024 (VBench), subject consistency with DINO, background consistency with CLIP.
    """
    unit = unit_length(pictures)
    previous = (unit[1:] * unit[:-1]).sum(axis=-1)
    first = unit[1:] @ unit[0]
    return float((np.maximum(previous, 0) + np.maximum(first, 0)).mean() / 2)


def cosine_at_distance(pictures: Vectors, distance: int) -> float:
    """Mean cosine of frames that lie ``distance`` frames apart; there must be such."""
    unit = unit_length(pictures)
    return float((unit[distance:] * unit[:-distance]).sum(axis=-1).mean())


def phase_likeness(pictures: Vectors, phases: NDArray[np.int8]) -> dict[Phase, float | None]:
    """Mean cosine to frame 0 of the frames of each phase [n] (s_V, s_D, s_R), frame 0 itself left out."""
    unit = unit_length(pictures)
    cosines, later = unit[1:] @ unit[0], phases[1:]
    return {
        phase: float(cosines[later == phase].mean()) if (later == phase).any() else None for phase in Phase
    }


def recovery(visible: float, hidden: float, reentered: float) -> float:
    """Share of what hiding took from the likeness that the return brings back: clip((s_R−s_D)/(s_V−s_D), 0, 1)."""
    return float(np.clip((reentered - hidden) / (visible - hidden), 0, 1))


def occlusion_drop(visible: float, hidden: float) -> float:
    """Give (s_V − s_D) / s_V."""
    return (visible - hidden) / visible


def view_likeness(
    first_picture: Vectors, first_patches: Vectors, last_picture: Vectors, last_patches: Vectors
) -> float:
    """Give the lower of the cosine of two frames and the 20th percentile of their local patch matches.

    Patches [rows, columns, d]: each patch of the first frame is matched with the best of the 3×3 around its place in
    the last, which forgives a shift of a patch and no more.
    """
    whole = float(unit_length(first_picture) @ unit_length(last_picture))
    first, last = unit_length(first_patches), unit_length(last_patches)
    rows, columns = first.shape[:2]
    padded = np.pad(last, ((1, 1), (1, 1), (0, 0)))
    inside = np.pad(np.ones((rows, columns), dtype=bool), 1)
    matches = np.full((rows, columns), -1.0)
    for down in range(3):
        for right in range(3):
            there = (slice(down, down + rows), slice(right, right + columns))
            cosine = np.where(inside[there], (first * padded[there]).sum(axis=-1), -1.0)
            matches = np.maximum(matches, cosine)
    return min(whole, float(np.percentile(matches, LOW_PERCENTILE)))


@metric(
    "subject_consistency", "likeness of generated frames to the one before and to the first",
    "VBench, DINO features", {"subject_features"}, tier=1,
)  # fmt: skip
def subject_consistency(evidence: Evidence) -> Measured:
    return _consistency(evidence.networks.of("subjects"), evidence.generated)


@metric(
    "background_consistency", "the same formula over another network",
    "VBench, CLIP features", {"background_features"}, tier=1,
)  # fmt: skip
def background_consistency(evidence: Evidence) -> Measured:
    return _consistency(evidence.networks.of("backgrounds"), evidence.generated)


def _consistency(network: FeatureNetwork, video: Video) -> Measured:
    if len(video) < 2:
        undefined("consistency over time needs two frames or more")
    return Measured(frame_consistency(network.features(video).pictures))


def decay(distance: int) -> Metric:
    """Make the metric of likeness at one distance in time."""

    @metric(
        f"decay_{distance}", f"mean cosine of generated frames {distance} frames apart",
        "decay curve", {"subject_features"}, tier=1, higher_is_better=None,
    )  # fmt: skip
    def compute(evidence: Evidence) -> Measured:
        if len(evidence.generated) <= distance:
            undefined(f"the video has no frames {distance} frames apart")
        pictures = evidence.networks.of("subjects").features(evidence.generated).pictures
        return Measured(cosine_at_distance(pictures, distance))

    return compute


def _likeness(evidence: Evidence) -> tuple[float, float, float | None]:
    """Give s_V, s_D, s_R of context and generated frames together."""
    network = evidence.networks.of("subjects")
    halves = (evidence.case.context, evidence.generated)
    pictures = np.concatenate([network.features(half).pictures for half in halves])
    likeness = phase_likeness(pictures, evidence.phases.frames)
    visible, hidden = likeness[Phase.VISIBLE], likeness[Phase.HIDDEN]
    if visible is None or hidden is None:
        undefined("the clip does not show its subjects in one phase and hide them all in another")
    if visible - hidden < LEAST_DROP:
        undefined(f"hiding the subject changes nothing (likeness {visible:.3f} seen, {hidden:.3f} hidden)")
    return visible, hidden, likeness[Phase.REENTERED]


@metric(
    "recovery", "share of the likeness to frame 0, lost while subjects are hidden, that is back after re-entry",
    "own rule, after MemoBench", {"subject_features", "visibility"}, tier=1,
)  # fmt: skip
def recovery_of(evidence: Evidence) -> Measured:
    visible, hidden, reentered = _likeness(evidence)
    if reentered is None:
        undefined(NO_RETURN)
    return Measured(recovery(visible, hidden, reentered))


@metric(
    "occlusion_drop", "share of the likeness to frame 0 that is lost while subjects are hidden",
    "own rule, after MemoBench", {"subject_features", "visibility"}, tier=1, higher_is_better=None,
)  # fmt: skip
def occlusion_drop_of(evidence: Evidence) -> Measured:
    return Measured(occlusion_drop(*_likeness(evidence)[:2]))


@metric(
    "revisit_likeness",
    "likeness of a context frame to the last generated frame of the same view, whole and in its worse patches",
    "own rule, after WRBench's D2", {"features", "cameras"}, tier=1,
)  # fmt: skip
def revisit_likeness_of(evidence: Evidence) -> Measured:
    pairs = context_revisits(evidence.case)
    if not pairs:
        undefined("the camera does not come back to a view of the context")
    earlier, later = pairs[-1]
    network = evidence.networks.of("appearance")
    first, last = (network.features(half) for half in (evidence.case.context, evidence.generated))
    return Measured(
        view_likeness(
            first.pictures[earlier], first.patches[earlier], last.pictures[later], last.patches[later]
        )
    )


CONSISTENCY_METRICS = (
    subject_consistency,
    background_consistency,
    recovery_of,
    occlusion_drop_of,
    revisit_likeness_of,
    *map(decay, DECAY_DISTANCES),
)


FRAMES_A_PHASE = 6
LEAST_MEMOBENCH_DROP = 1e-4
AS_GOOD = 0.01
EPSILON = 1e-6


def phase_bounds(phases: Phases) -> tuple[int, int] | None:
    """Give h and r of the first subject that comes back in the target; ``None``: none does."""
    returns = phases.subjects == Phase.REENTERED
    if not returns.any():
        return None
    first = np.where(returns.any(axis=1), returns.argmax(axis=1), returns.shape[1])
    subject, back = int(first.argmin()), int(first.min())
    seen = np.flatnonzero(phases.subjects[subject, :back] != Phase.HIDDEN)
    return int(seen[-1]) + 1, back


def six_frames(start: int, end: int) -> list[int]:
    """Choose six frames from start to end, both included; fewer different ones where there are no six."""
    return [start + int(place * (end - start) / (FRAMES_A_PHASE - 1)) for place in range(FRAMES_A_PHASE)]


def likeness_by_phase(cosines: NDArray[np.floating], hidden: int, back: int) -> tuple[float, float, float]:
    """Average the cosines to frame 0 [n] over six frames of each phase: s_O, s_H, s_R."""
    last = len(cosines) - 1
    hidden = max(1, min(hidden, last - 1))
    back = max(hidden + 1, min(back, last))
    bounds = ((0, hidden), (hidden, back), (back, last))
    seen, away, returned = (float(np.mean(cosines[six_frames(*bound)])) for bound in bounds)
    return seen, away, returned


def memobench_recovery(seen: float, away: float, back: float) -> float:
    """Give clip((s_R − s_H) / (s_O − s_H), 0, 1).

    Without a drop: 1 if s_R ≥ s_O − 0.01, else s_R / s_O, as published.
    """
    drop = seen - away
    if drop < LEAST_MEMOBENCH_DROP:
        return 1.0 if back >= seen - AS_GOOD else float(np.clip(back / (seen + EPSILON), 0, 1))
    return float(np.clip((back - away) / drop, 0, 1))


def memobench_drop(seen: float, away: float) -> float:
    """Give clip((s_O − s_H) / s_O, 0, 1)."""
    return float(np.clip((seen - away) / (seen + EPSILON), 0, 1))


def _phases_of_memobench(evidence: Evidence) -> tuple[float, float, float]:
    """Give s_O, s_H, s_R."""
    network = evidence.networks.of("backgrounds")
    bounds = phase_bounds(evidence.phases)
    if bounds is None:
        undefined(NO_RETURN)
    crop = centre_crop_of(network)
    halves = (evidence.case.context, evidence.generated)
    pictures = unit_length(np.concatenate([network.features(crop.frames(half)).pictures for half in halves]))
    return likeness_by_phase(pictures @ pictures[0], *bounds)


MEMOBENCH = "MemoBench (arXiv 2606.27537); published with CLIP ViT-B/32"


@metric(
    "memobench_recovery",
    "share of the likeness to frame 0, lost while the subject is hidden, that is back after its return",
    MEMOBENCH, {"background_features", "visibility"}, tier=1,
)  # fmt: skip
def memobench_recovery_of(evidence: Evidence) -> Measured:
    return Measured(memobench_recovery(*_phases_of_memobench(evidence)))


@metric(
    "memobench_occlusion_drop", "share of the likeness to frame 0 that is lost while the subject is hidden",
    MEMOBENCH, {"background_features", "visibility"}, tier=1, higher_is_better=None,
)  # fmt: skip
def memobench_drop_of(evidence: Evidence) -> Measured:
    return Measured(memobench_drop(*_phases_of_memobench(evidence)[:2]))


MEMOBENCH_METRICS = (memobench_recovery_of, memobench_drop_of)


SAMPLE_FPS, MIN_FRAMES, MAX_FRAMES = 2.0, 4, 16


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


@metric(
    "wrbench_d2",
    "the lower of first-to-last likeness and the worse patches' best matches between neighbouring frames",
    "WRBench (arXiv 2606.20545); published with DINOv2", {"subject_features"}, tier=1,
)  # fmt: skip
def d2_of(evidence: Evidence) -> Measured:
    """Score context and generated frames as one video, as WRBench does for models that continue a video."""
    network = evidence.networks.of("subjects")
    video = np.concatenate([evidence.case.context, evidence.generated])
    frames = sampled_frames(len(video), evidence.case.fps)
    if len(frames) < 2:
        undefined("WRBench's D2 needs two frames or more")
    features = network.features(centre_crop_of(network).frames(video[frames]))
    return Measured(d2(features.pictures, features.patches))


WRBENCH_D2_METRICS = (d2_of,)
