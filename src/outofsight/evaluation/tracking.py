"""Metrics of subjects: do they come back, when, where, and as themselves; and where a tracker takes them to be.

::

    frame               0       c (first target frame)
    true area           ####....|......######
    generated area              |.........####
    re-entry                           ^ true
                                          ^ generated: 3 frames late

The metrics of a tracker look at what the model held, not at what it showed; rows without one have none of them.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from outofsight.evaluation.association import mean_identities
from outofsight.evaluation.case import MIN_HIDDEN_FRAMES, first_return
from outofsight.evaluation.evidence import (
    Compute,
    Detections,
    Evidence,
    Gallery,
    Measured,
    Metric,
    mean_or_undefined,
    undefined,
)


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
    truth, observed = evidence.true, evidence.found
    if (truth.masks is None) == (observed.masks is None):
        return truth.area_px, observed.area_px
    return _box_areas(truth), _box_areas(observed)


def _box_areas(observed: Detections) -> NDArray[np.float32]:
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
    return Measured(float(np.mean(came))) if came else undefined(NO_RETURN)


def reentry_time_error_s(evidence: Evidence) -> Measured:
    """Mean |t_generated − t_true| / fps of the first re-entry, over subjects that come back in both."""
    pairs = list(zip(true_returns(evidence), generated_returns(evidence), strict=True))
    if all(ours is None for ours, _ in pairs):
        return undefined(NO_RETURN)
    late = [abs(theirs - ours) for ours, theirs in pairs if ours is not None and theirs is not None]
    if not late:
        return undefined("no subject comes back in the generated video")
    return Measured(float(np.mean(late)) / evidence.case.fps)


def trajectory_error(evidence: Evidence) -> Measured:
    """Mean distance of generated and true centroid over the diagonal, on re-entry frames that show it in both."""
    shown = expected(evidence, after_return=True)
    if not shown.any():
        return undefined(NO_RETURN)
    apart = evidence.found.centroids_px - evidence.target_observed.centroids_px
    distance = np.linalg.norm(apart, axis=-1) / evidence.diagonal_px
    return mean_or_undefined(distance[shown], "no subject is found on the frames after its true return")


def detection_rate(*, after_return: bool) -> Compute:
    """Make the metric: the share of (subject, frame) truly seen in the target that is found in the generated video."""

    def compute(evidence: Evidence) -> Measured:
        shown = expected(evidence, after_return=after_return)
        if not shown.any():
            return undefined(NO_RETURN if after_return else "no subject is seen in the target")
        return Measured(float(evidence.found.detected[shown].mean()))

    return compute


def phantom_rate(evidence: Evidence) -> Measured:
    """Share of (subject, frame) truly hidden in the target in which the generated video shows the subject."""
    hidden = ~evidence.target_observed.detected
    if not hidden.any():
        return undefined("no subject is hidden in the target")
    _, area = comparable_areas(evidence)
    return Measured(float(large_enough(area, evidence.picture_px)[hidden].mean()))


NO_RETURN = "no subject comes back in the target"
_NEEDS = frozenset({"subjects", "detector"})
_RULE_TEXT = (
    f"own rule: hidden is an area of at most {RULE.area_share:.1%} of the picture for {RULE.min_hidden_frames} frames "
    f"or more, seen is more for {RULE.min_seen_frames} frames or more"
)

TRACKING_METRICS = (
    Metric(
        name="return_gate", tier=0, unit="", higher_is_better=True, needs=_NEEDS,
        what="share of the subjects that truly come back which come back in the generated video",
        source=_RULE_TEXT, compute=return_gate,
    ),
    Metric(
        name="reentry_time_error", tier=0, unit="s", higher_is_better=False, needs=_NEEDS,
        what="|generated − true time| of the first re-entry, of subjects that come back in both",
        source=_RULE_TEXT, compute=reentry_time_error_s,
    ),
    Metric(
        name="trajectory_error", tier=0, unit="diagonals", higher_is_better=False, needs=_NEEDS,
        what="distance of generated and true subject centroid on re-entry frames, over the picture's diagonal",
        source=_RULE_TEXT, compute=trajectory_error,
    ),
    Metric(
        name="detection_rate", tier=0, unit="", higher_is_better=True, needs=_NEEDS,
        what="share of the sightings in the true target that are found in the generated video",
        source=_RULE_TEXT, compute=detection_rate(after_return=False),
    ),
    Metric(
        name="detection_rate_reentered", tier=0, unit="", higher_is_better=True, needs=_NEEDS,
        what="the same on the frames from a subject's true return on",
        source=_RULE_TEXT, compute=detection_rate(after_return=True),
    ),
    Metric(
        name="phantom_rate", tier=0, unit="", higher_is_better=False, needs=_NEEDS,
        what="share of the frames that truly hide a subject in which the generated video shows it",
        source=_RULE_TEXT, compute=phantom_rate,
    ),
)  # fmt: skip


NO_KNOWN_RETURN = "no subject that the context shows comes back in the target"
NONE_TRACKED = "the tracker holds none of the subjects that come back"
NO_VELOCITY = "it is not annotated how fast subjects move"


def tracked_at_return(evidence: Evidence) -> Measured:
    """Share of the subjects that come back which the tracker still holds at that moment."""
    places = evidence.errors_at_return
    return Measured(float(np.mean(places.is_held))) if len(places.tracked_m) else undefined(NO_KNOWN_RETURN)


def position_error(who: str) -> Compute:
    """Make the metric: the mean error at the return, over the subjects that the tracker holds, of ``tracked_m``,
    ``static_m`` or ``constant_velocity_m``: so all three are of the same subjects."""

    def compute(evidence: Evidence) -> Measured:
        places = evidence.errors_at_return
        if not len(places.tracked_m):
            return undefined(NO_KNOWN_RETURN)
        if not places.is_held.any():
            return undefined(NONE_TRACKED)
        return mean_or_undefined(getattr(places, who)[places.is_held], NO_VELOCITY)

    return compute


_PLACE_NEEDS = frozenset({"places", "tracker"})
_PLACE_SOURCE = (
    "own: at the last latent frame before the first re-entry; who is held for a subject is settled in the context, by "
    "the least distance in sum"
)

TRACKER_METRICS = (
    Metric(
        name="tracked_at_return", tier=0, unit="", higher_is_better=True, needs=_PLACE_NEEDS,
        what="share of the subjects that come back which the tracker holds at that moment",
        source=_PLACE_SOURCE, compute=tracked_at_return,
    ),
    Metric(
        name="tracked_position_error", tier=0, unit="m", higher_is_better=False, needs=_PLACE_NEEDS,
        what="distance of a subject's held and true place at its return, of subjects that are held",
        source=_PLACE_SOURCE, compute=position_error("tracked_m"),
    ),
    Metric(
        name="static_position_error", tier=0, unit="m", higher_is_better=None, needs=_PLACE_NEEDS,
        what="the same of who takes these subjects to be where they were last truly seen",
        source=_PLACE_SOURCE, compute=position_error("static_m"),
    ),
    Metric(
        name="constant_velocity_position_error", tier=0, unit="m", higher_is_better=None, needs=_PLACE_NEEDS,
        what="the same of who lets them go straight on from there, as they truly moved when last seen",
        source=_PLACE_SOURCE, compute=position_error("constant_velocity_m"),
    ),
)  # fmt: skip


NOT_FOUND = "no subject is found on the frames after its true return"
UNKNOWN_IN_CONTEXT = "the detector does not find the subject in the context"


def recognised(
    identities: NDArray[np.floating], own: NDArray[np.floating], others: NDArray[np.floating]
) -> NDArray[np.bool_]:
    """Tell which identities [n, d] are nearer to their own [d] than to every other [m, d]; all of length 1."""
    return np.asarray(identities @ own > (identities @ others.T).max(axis=-1))


def identity_accuracy(evidence: Evidence) -> Measured:
    """Share of sightings after re-entry whose nearest individual of the gallery is the subject itself."""
    gallery = evidence.gallery
    assert gallery is not None
    found, own = _found_after_return(evidence), _own_identities(evidence)
    if isinstance(found, Measured):
        return found
    if own is None:
        return undefined(UNKNOWN_IN_CONTEXT)
    hits: list[NDArray[np.bool_]] = []
    for subject, seen in enumerate(found):
        others = _others(gallery, evidence.case.name, subject)
        if seen.any() and len(others) and not np.isnan(own[subject]).any():
            hits.append(recognised(_identities(evidence)[subject][seen], own[subject], others))
    if not hits:
        return undefined(
            "the gallery holds no other subject, or the detector does not know the subject from the context"
        )
    return Measured(float(np.concatenate(hits).mean()))


def identity_likeness(evidence: Evidence) -> Measured:
    """Mean cosine of the identities after re-entry to the subject's mean identity in the context."""
    found, own = _found_after_return(evidence), _own_identities(evidence)
    if isinstance(found, Measured):
        return found
    if own is None:
        return undefined(UNKNOWN_IN_CONTEXT)
    cosines = np.einsum("snd,sd->sn", _identities(evidence), own)
    return mean_or_undefined(cosines[found], UNKNOWN_IN_CONTEXT)


def kind_accuracy(evidence: Evidence) -> Measured:
    """Share of sightings after re-entry that the detector takes for the annotated kind."""
    found = _found_after_return(evidence)
    if isinstance(found, Measured):
        return found
    assert evidence.found.kinds is not None
    right = evidence.found.kinds == np.array(evidence.case.subject_names)[:, None]
    return Measured(float(right[found].mean()))


def _found_after_return(evidence: Evidence) -> NDArray[np.bool_] | Measured:
    """Tell where [s, t] subjects are found on frames that truly show them again, or why there are none."""
    shown = expected(evidence, after_return=True)
    if not shown.any():
        return undefined(NO_RETURN)
    found = shown & evidence.found.detected
    if evidence.found.identities is not None:
        found &= ~np.isnan(evidence.found.identities).any(axis=-1)
    return found if found.any() else undefined(NOT_FOUND)


def _identities(evidence: Evidence) -> NDArray[np.float32]:
    assert evidence.found.identities is not None
    return evidence.found.identities


def _own_identities(evidence: Evidence) -> NDArray[np.float32] | None:
    """Give each subject's mean identity in the context [s, d]; ``None``: none is known."""
    context: Detections = evidence.context_observed
    return None if context.identities is None else mean_identities(context.identities)


def _others(gallery: Gallery, clip: str, subject: int) -> NDArray[np.float32]:
    """Take all individuals of a gallery but one."""
    others: NDArray[np.float32] = gallery.identities[[owner != (clip, subject) for owner in gallery.owners]]
    return others


_IDENTITY_SOURCE = "own network; the field's form is person re-identification at rank 1"

IDENTITY_METRICS = (
    Metric(
        name="identity_accuracy", tier=1, unit="", higher_is_better=True,
        needs=frozenset({"detector", "subjects", "identities", "gallery"}),
        what="share of sightings after re-entry that are nearest to the subject itself among all clips' subjects",
        source=_IDENTITY_SOURCE, compute=identity_accuracy,
    ),
    Metric(
        name="identity_likeness", tier=1, unit="", higher_is_better=True,
        needs=frozenset({"detector", "subjects", "identities"}),
        what="mean cosine of identities after re-entry to the subject's mean identity in the context",
        source=_IDENTITY_SOURCE, compute=identity_likeness,
    ),
    Metric(
        name="kind_accuracy", tier=1, unit="", higher_is_better=True,
        needs=frozenset({"detector", "subjects", "kinds"}),
        what="share of sightings after re-entry that the detector takes for the annotated kind of subject",
        source=_IDENTITY_SOURCE, compute=kind_accuracy,
    ),
)  # fmt: skip
