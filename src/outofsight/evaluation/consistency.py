"""Tier 1 measures over features of whole pictures: VBench's consistencies, likeness by phase, revisits, decay.

The formulas take feature vectors [n, d]; all vectors are brought to length 1 first.
"""

import numpy as np
from numpy.typing import NDArray

from outofsight.evaluation.case import Video
from outofsight.evaluation.evidence import Compute, Evidence, Measure, Measured, gated
from outofsight.evaluation.observations import FeatureNetwork
from outofsight.evaluation.phases import Phase
from outofsight.evaluation.revisits import context_revisits

Vectors = NDArray[np.floating]

DECAY_DISTANCES = (2, 5, 10, 20, 50)
"""Frames apart at which the decay curve is read."""

WORSE_PATCHES_PERCENTILE = 20.0

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
    return min(whole, float(np.percentile(matches, WORSE_PATCHES_PERCENTILE)))


def subject_consistency(evidence: Evidence) -> Measured:
    assert evidence.networks.subjects is not None
    return _consistency(evidence.networks.subjects, evidence.generated)


def background_consistency(evidence: Evidence) -> Measured:
    assert evidence.networks.backgrounds is not None
    return _consistency(evidence.networks.backgrounds, evidence.generated)


def _consistency(network: FeatureNetwork, video: Video) -> Measured:
    if len(video) < 2:
        return gated("consistency over time needs two frames or more")
    return Measured(frame_consistency(network.features(video).pictures))


def decay(distance: int) -> Compute:
    """Make the measure of likeness at one distance in time."""

    def compute(evidence: Evidence) -> Measured:
        if len(evidence.generated) <= distance:
            return gated(f"the video has no frames {distance} frames apart")
        assert evidence.networks.subjects is not None
        pictures = evidence.networks.subjects.features(evidence.generated).pictures
        return Measured(cosine_at_distance(pictures, distance))

    return compute


def _pictures(evidence: Evidence) -> Vectors:
    """Describe the context and the generated frames that follow it [c + t, d]."""
    network = evidence.networks.subjects
    assert network is not None
    halves = (evidence.case.context, evidence.generated)
    return np.concatenate([network.features(half).pictures for half in halves])


def _likeness(evidence: Evidence) -> tuple[float, float, float | None] | Measured:
    """Give s_V, s_D, s_R of context and generated frames together, or why they do not tell anything."""
    likeness = phase_likeness(_pictures(evidence), evidence.phases.frames)
    visible, hidden = likeness[Phase.VISIBLE], likeness[Phase.HIDDEN]
    if visible is None or hidden is None:
        return gated("the clip does not show its subjects in one phase and hide them all in another")
    if visible - hidden < LEAST_DROP:
        return gated(f"hiding the subject changes nothing (likeness {visible:.3f} seen, {hidden:.3f} hidden)")
    return visible, hidden, likeness[Phase.REENTERED]


def recovery_of(evidence: Evidence) -> Measured:
    likeness = _likeness(evidence)
    if isinstance(likeness, Measured):
        return likeness
    visible, hidden, reentered = likeness
    if reentered is None:
        return gated("no subject comes back in the target")
    return Measured(recovery(visible, hidden, reentered))


def occlusion_drop_of(evidence: Evidence) -> Measured:
    likeness = _likeness(evidence)
    return likeness if isinstance(likeness, Measured) else Measured(occlusion_drop(*likeness[:2]))


def revisit_likeness_of(evidence: Evidence) -> Measured:
    """Compare the last generated frame that sees a view of the context with the context frame of that view."""
    pairs = context_revisits(evidence.case)
    if not pairs:
        return gated("the camera does not come back to a view of the context")
    earlier, later = pairs[-1]
    network = evidence.networks.appearance
    assert network is not None
    first, last = (network.features(half) for half in (evidence.case.context, evidence.generated))
    score = view_likeness(
        first.pictures[earlier], first.patches[earlier], last.pictures[later], last.patches[later]
    )
    return Measured(score)


def _measure(
    name: str, needs: set[str], higher: bool | None, what: str, source: str, compute: Compute
) -> Measure:
    return Measure(
        name=name, tier=1, unit="", higher_is_better=higher, needs=frozenset(needs), what=what, source=source,
        compute=compute,
    )  # fmt: skip


CONSISTENCY_MEASURES = (
    _measure(
        "subject_consistency", {"subject_features"}, True,
        "likeness of generated frames to the one before and to the first", "VBench, DINO features", subject_consistency,
    ),
    _measure(
        "background_consistency", {"background_features"}, True,
        "the same formula over another network", "VBench, CLIP features", background_consistency,
    ),
    _measure(
        "recovery", {"subject_features", "visibility"}, True,
        "share of the likeness to frame 0, lost while subjects are hidden, that is back after re-entry",
        "own rule, after MemoBench", recovery_of,
    ),
    _measure(
        "occlusion_drop", {"subject_features", "visibility"}, None,
        "share of the likeness to frame 0 that is lost while subjects are hidden",
        "own rule, after MemoBench", occlusion_drop_of,
    ),
    _measure(
        "revisit_likeness", {"features", "cameras"}, True,
        "likeness of a context frame to the last generated frame of the same view, whole and in its worse patches",
        "own rule, after WRBench's D2", revisit_likeness_of,
    ),
    *(
        _measure(
            f"decay_{distance}", {"subject_features"}, None,
            f"mean cosine of generated frames {distance} frames apart", "decay curve", decay(distance),
        )
        for distance in DECAY_DISTANCES
    ),
)  # fmt: skip
