"""Tier 0 measures of subjects: do they come back, when, and where.

::

    frame               0       c (first target frame)
    true area           ####....|......######
    generated area              |.........####
    re-entry                           ^ true
                                          ^ generated: 3 frames late
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from outofsight.evaluation.evidence import Compute, Evidence, Measure, Measured, gated, mean_or_gate
from outofsight.evaluation.observations import Observed
from outofsight.evaluation.phases import MIN_HIDDEN_FRAMES, first_return


@dataclass(frozen=True, kw_only=True)
class ReturnRule:
    """When a subject has gone and come back: its area is at most a share of the picture, then more, for some frames.

    ``area_share``: the ε of the return gate; ``min_hidden_frames``: its m; a sighting of fewer than
    ``min_seen_frames`` frames is a detector's flicker and counts as none.
    """

    area_share: float = 0.001
    min_hidden_frames: int = MIN_HIDDEN_FRAMES
    min_seen_frames: int = 2


RULE = ReturnRule()


def large_enough(area_px: NDArray[np.float32], picture_px: int, rule: ReturnRule = RULE) -> NDArray[np.bool_]:
    """Tell where subjects [s, n] cover more than ε of the picture, for enough frames in a row."""
    seen: NDArray[np.bool_] = area_px > rule.area_share * picture_px
    return np.stack([_steady(row, rule.min_seen_frames) for row in seen]) if len(seen) else seen


def _steady(seen: NDArray[np.bool_], least: int) -> NDArray[np.bool_]:
    """Drop the sightings [n] of fewer than ``least`` frames in a row, but for one at the clip's very end or start."""
    edges = np.flatnonzero(np.diff(np.concatenate([[False], seen, [False]]).astype(np.int8)))
    kept = seen.copy()
    for start, stop in edges.reshape(-1, 2).tolist():
        if stop - start < least and start > 0 and stop < len(seen):
            kept[start:stop] = False
    return kept


def returns(area_px: NDArray[np.float32], num_context_frames: int, picture_px: int) -> list[int | None]:
    """Find each subject's first re-entry in the target from its area over context and target [s, n].

    Frames are counted over both; ``None``: it does not come back.
    """
    seen = large_enough(area_px, picture_px)
    return [first_return(row, num_context_frames, RULE.min_hidden_frames) for row in seen]


def true_returns(evidence: Evidence) -> list[int | None]:
    """Find when each subject truly comes back."""
    area, _ = comparable_areas(evidence)
    return returns(area, evidence.case.num_context_frames, evidence.picture_px)


def generated_returns(evidence: Evidence) -> list[int | None]:
    """Find when each subject comes back in the generated video, which follows the true context."""
    area, generated = comparable_areas(evidence)
    split = evidence.case.num_context_frames
    whole = np.concatenate([area[:, :split], generated], axis=1)
    return returns(whole, split, evidence.picture_px)


def comparable_areas(evidence: Evidence) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Give the areas in px² in the true clip [s, c + t] and in the generated video [s, t].

    Both are areas of masks, or both of boxes if the detector knows boxes alone.
    """
    truth, observed = evidence.truth_observed, evidence.observed
    assert truth is not None
    assert observed is not None
    if (truth.masks is None) == (observed.masks is None):
        return truth.area_px, observed.area_px
    return _box_areas(truth), _box_areas(observed)


def _box_areas(observed: Observed) -> NDArray[np.float32]:
    sides = observed.boxes_px[..., 2:] - observed.boxes_px[..., :2]
    return np.nan_to_num(np.prod(sides, axis=-1)).astype(np.float32)


def expected(evidence: Evidence, *, after_return: bool) -> NDArray[np.bool_]:
    """Tell in which target frames [s, t] each subject is truly seen, or only those from its re-entry on."""
    area, _ = comparable_areas(evidence)
    split = evidence.case.num_context_frames
    seen = large_enough(area, evidence.picture_px)[:, split:]
    if not after_return:
        return seen
    frames = np.arange(split, evidence.case.num_frames)
    back = [frames >= entry if entry is not None else frames < 0 for entry in true_returns(evidence)]
    return seen & np.stack(back)


def return_gate(evidence: Evidence) -> Measured:
    """Share of the subjects that truly come back which do so in the generated video."""
    truth, generated = true_returns(evidence), generated_returns(evidence)
    came = [theirs is not None for ours, theirs in zip(truth, generated, strict=True) if ours is not None]
    return Measured(float(np.mean(came))) if came else gated(NO_RETURN)


def reentry_time_error_s(evidence: Evidence) -> Measured:
    """Mean |t_generated − t_true| / fps of the first re-entry, over subjects that come back in both."""
    pairs = list(zip(true_returns(evidence), generated_returns(evidence), strict=True))
    if all(ours is None for ours, _ in pairs):
        return gated(NO_RETURN)
    late = [abs(theirs - ours) for ours, theirs in pairs if ours is not None and theirs is not None]
    if not late:
        return gated("no subject comes back in the generated video")
    return Measured(float(np.mean(late)) / evidence.case.fps)


def trajectory_error(evidence: Evidence) -> Measured:
    """Mean distance of generated and true centroid over the diagonal, on re-entry frames that show it in both."""
    shown = expected(evidence, after_return=True)
    if not shown.any():
        return gated(NO_RETURN)
    assert evidence.observed is not None
    apart = evidence.observed.centroids_px - evidence.target_observed.centroids_px
    distance = np.linalg.norm(apart, axis=-1) / evidence.diagonal_px
    return mean_or_gate(distance[shown], "no subject is found on the frames after its true return")


def detection_rate(*, after_return: bool) -> Compute:
    """Make the measure: the share of (subject, frame) truly seen in the target that is found in the generated video."""

    def compute(evidence: Evidence) -> Measured:
        shown = expected(evidence, after_return=after_return)
        if not shown.any():
            return gated(NO_RETURN if after_return else "no subject is seen in the target")
        assert evidence.observed is not None
        return Measured(float(evidence.observed.detected[shown].mean()))

    return compute


def phantom_rate(evidence: Evidence) -> Measured:
    """Share of (subject, frame) truly hidden in the target in which the generated video shows the subject."""
    hidden = ~evidence.target_observed.detected
    if not hidden.any():
        return gated("no subject is hidden in the target")
    _, area = comparable_areas(evidence)
    return Measured(float(large_enough(area, evidence.picture_px)[hidden].mean()))


NO_RETURN = "no subject comes back in the target"
_NEEDS = frozenset({"subjects", "detector"})
_RULE_TEXT = (
    f"own rule: hidden is an area of at most {RULE.area_share:.1%} of the picture for {RULE.min_hidden_frames} frames "
    f"or more, seen is more for {RULE.min_seen_frames} frames or more"
)

TRACKING_MEASURES = (
    Measure(
        name="return_gate", tier=0, unit="", higher_is_better=True, needs=_NEEDS,
        what="share of the subjects that truly come back which come back in the generated video",
        source=_RULE_TEXT, compute=return_gate,
    ),
    Measure(
        name="reentry_time_error", tier=0, unit="s", higher_is_better=False, needs=_NEEDS,
        what="|generated − true time| of the first re-entry, of subjects that come back in both",
        source=_RULE_TEXT, compute=reentry_time_error_s,
    ),
    Measure(
        name="trajectory_error", tier=0, unit="diagonals", higher_is_better=False, needs=_NEEDS,
        what="distance of generated and true subject centroid on re-entry frames, over the picture's diagonal",
        source=_RULE_TEXT, compute=trajectory_error,
    ),
    Measure(
        name="detection_rate", tier=0, unit="", higher_is_better=True, needs=_NEEDS,
        what="share of the sightings in the true target that are found in the generated video",
        source=_RULE_TEXT, compute=detection_rate(after_return=False),
    ),
    Measure(
        name="detection_rate_reentered", tier=0, unit="", higher_is_better=True, needs=_NEEDS,
        what="the same on the frames from a subject's true return on",
        source=_RULE_TEXT, compute=detection_rate(after_return=True),
    ),
    Measure(
        name="phantom_rate", tier=0, unit="", higher_is_better=False, needs=_NEEDS,
        what="share of the frames that truly hide a subject in which the generated video shows it",
        source=_RULE_TEXT, compute=phantom_rate,
    ),
)  # fmt: skip
