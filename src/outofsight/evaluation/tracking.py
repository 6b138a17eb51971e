"""Metrics of subjects: do they come back, when, where, and as themselves; and where a tracker takes them to be.

::

    frame               0       c (first target frame)
    true area           ####....|......######
    generated area              |.........####
    re-entry                           ^ true
                                          ^ generated: 3 frames late

The metrics of a tracker look at what the model held, not at what it showed; rows without one have none of them.
"""

from functools import partial

import numpy as np
from numpy.typing import NDArray

from outofsight.evaluation.association import mean_identities
from outofsight.evaluation.case import MIN_HIDDEN_FRAMES, first_return, runs
from outofsight.evaluation.evidence import (
    Evidence,
    Measured,
    Metric,
    box_areas,
    mean_or_undefined,
    metric,
    undefined,
)

LEAST_AREA_SHARE, MIN_SEEN_FRAMES = 0.001, 2
"""A subject is seen where it covers more than this share of the picture (the ε of the return gate), for so many frames
in a row: fewer are a detector's flicker. It has gone after ``MIN_HIDDEN_FRAMES`` without."""


def large_enough(area_px: NDArray[np.float32], picture_px: int) -> NDArray[np.bool_]:
    """Tell where subjects [s, n] cover more than ε of the picture, for enough frames in a row."""
    seen: NDArray[np.bool_] = area_px > LEAST_AREA_SHARE * picture_px
    return np.stack([_steady(row) for row in seen]) if len(seen) else seen


def _steady(seen: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """Drop the sightings [n] of too few frames in a row, but for one at the clip's very end or start."""
    kept = seen.copy()
    for start, stop in runs(seen):
        if stop - start < MIN_SEEN_FRAMES and start > 0 and stop < len(seen):
            kept[start:stop] = False
    return kept


def returns(area_px: NDArray[np.float32], num_context_frames: int, picture_px: int) -> list[int | None]:
    """Find each subject's first re-entry in the target from its area over context and target [s, n].

    Frames are counted over both; ``None``: it does not come back.
    """
    seen = large_enough(area_px, picture_px)
    return [first_return(row, num_context_frames) for row in seen]


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
    return box_areas(truth.boxes_px), box_areas(observed.boxes_px)


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


_tracking = partial(
    metric,
    source=f"own rule: hidden is an area of at most {LEAST_AREA_SHARE:.1%} of the picture for {MIN_HIDDEN_FRAMES} "
    f"frames or more, seen is more for {MIN_SEEN_FRAMES} frames or more",
    needs={"subjects", "detector"},
)

NO_RETURN = "no subject comes back in the target"
NOT_FOUND = "no subject is found on the frames after its true return"


@_tracking("return_gate", "share of the subjects that truly come back which come back in the generated video")
def return_gate(evidence: Evidence) -> Measured:
    truth, generated = true_returns(evidence), generated_returns(evidence)
    came = [theirs is not None for ours, theirs in zip(truth, generated, strict=True) if ours is not None]
    return Measured(float(np.mean(came)) if came else undefined(NO_RETURN))


@_tracking(
    "reentry_time_error", "|generated − true time| of the first re-entry, of subjects that come back in both",
    unit="s", higher_is_better=False,
)  # fmt: skip
def reentry_time_error_s(evidence: Evidence) -> Measured:
    pairs = list(zip(true_returns(evidence), generated_returns(evidence), strict=True))
    if all(ours is None for ours, _ in pairs):
        undefined(NO_RETURN)
    late = [abs(theirs - ours) for ours, theirs in pairs if ours is not None and theirs is not None]
    if not late:
        undefined("no subject comes back in the generated video")
    return Measured(float(np.mean(late)) / evidence.case.fps)


@_tracking(
    "trajectory_error",
    "distance of generated and true subject centroid on re-entry frames, over the picture's diagonal",
    unit="diagonals", higher_is_better=False,
)  # fmt: skip
def trajectory_error(evidence: Evidence) -> Measured:
    shown = expected(evidence, after_return=True)
    if not shown.any():
        undefined(NO_RETURN)
    apart = evidence.found.centroids_px - evidence.target_observed.centroids_px
    distance = np.linalg.norm(apart, axis=-1) / evidence.diagonal_px
    return mean_or_undefined(distance[shown], NOT_FOUND)


def detection_rate(name: str, what: str, *, after_return: bool) -> Metric:
    """Make the metric: the share of (subject, frame) truly seen in the target that is found in the generated video."""

    @_tracking(name, what)
    def compute(evidence: Evidence) -> Measured:
        shown = expected(evidence, after_return=after_return)
        if not shown.any():
            undefined(NO_RETURN if after_return else "no subject is seen in the target")
        return Measured(float(evidence.found.detected[shown].mean()))

    return compute


@_tracking(
    "phantom_rate", "share of the frames that truly hide a subject in which the generated video shows it",
    higher_is_better=False,
)  # fmt: skip
def phantom_rate(evidence: Evidence) -> Measured:
    hidden = ~evidence.target_observed.detected
    if not hidden.any():
        undefined("no subject is hidden in the target")
    _, area = comparable_areas(evidence)
    return Measured(float(large_enough(area, evidence.picture_px)[hidden].mean()))


TRACKING_METRICS = (
    return_gate,
    reentry_time_error_s,
    trajectory_error,
    detection_rate(
        "detection_rate", "share of the sightings in the true target that are found in the generated video",
        after_return=False,
    ),
    detection_rate(
        "detection_rate_reentered", "the same on the frames from a subject's true return on", after_return=True
    ),
    phantom_rate,
)  # fmt: skip


NO_KNOWN_RETURN = "no subject that the context shows comes back in the target"
NONE_TRACKED = "the tracker holds none of the subjects that come back"
NO_VELOCITY = "it is not annotated how fast subjects move"


_of_tracker = partial(
    metric,
    source="own: at the last latent frame before the first re-entry; who is held for a subject is settled in the "
    "context, by the least distance in sum",
    needs={"places", "tracker"},
)


@_of_tracker(
    "tracked_at_return", "share of the subjects that come back which the tracker holds at that moment"
)
def tracked_at_return(evidence: Evidence) -> Measured:
    places = evidence.errors_at_return
    if not len(places.tracked_m):
        undefined(NO_KNOWN_RETURN)
    return Measured(float(np.mean(places.is_held)))


def position_error(name: str, who: str, what: str, *, higher_is_better: bool | None) -> Metric:
    """Make the metric: the mean error at the return, over the subjects that the tracker holds, of ``tracked_m``,
    ``static_m`` or ``constant_velocity_m``: so all three are of the same subjects."""

    @_of_tracker(name, what, unit="m", higher_is_better=higher_is_better)
    def compute(evidence: Evidence) -> Measured:
        places = evidence.errors_at_return
        if not len(places.tracked_m):
            undefined(NO_KNOWN_RETURN)
        if not places.is_held.any():
            undefined(NONE_TRACKED)
        return mean_or_undefined(getattr(places, who)[places.is_held], NO_VELOCITY)

    return compute


TRACKER_METRICS = (
    tracked_at_return,
    position_error(
        "tracked_position_error", "tracked_m",
        "distance of a subject's held and true place at its return, of subjects that are held", higher_is_better=False,
    ),
    position_error(
        "static_position_error", "static_m",
        "the same of who takes these subjects to be where they were last truly seen", higher_is_better=None,
    ),
    position_error(
        "constant_velocity_position_error", "constant_velocity_m",
        "the same of who lets them go straight on from there, as they truly moved when last seen",
        higher_is_better=None,
    ),
)  # fmt: skip


UNKNOWN_IN_CONTEXT = "the detector does not find the subject in the context"


def recognised(
    identities: NDArray[np.floating], own: NDArray[np.floating], others: NDArray[np.floating]
) -> NDArray[np.bool_]:
    """Tell which identities [n, d] are nearer to their own [d] than to every other [m, d]; all of length 1."""
    return np.asarray(identities @ own > (identities @ others.T).max(axis=-1))


_identity = partial(
    metric, source="own network; the field's form is person re-identification at rank 1", tier=1
)


@_identity(
    "identity_accuracy",
    "share of sightings after re-entry that are nearest to the subject itself among all clips' subjects",
    needs={"detector", "subjects", "identities", "gallery"},
)
def identity_accuracy(evidence: Evidence) -> Measured:
    gallery = evidence.gallery
    assert gallery is not None
    found, own = _found_after_return(evidence), _own_identities(evidence)
    hits: list[NDArray[np.bool_]] = []
    for subject, seen in enumerate(found):
        others = gallery.identities[[owner != (evidence.case.name, subject) for owner in gallery.owners]]
        if seen.any() and len(others) and not np.isnan(own[subject]).any():
            hits.append(recognised(_identities(evidence)[subject][seen], own[subject], others))
    if not hits:
        undefined(
            "the gallery holds no other subject, or the detector does not know the subject from the context"
        )
    return Measured(float(np.concatenate(hits).mean()))


@_identity(
    "identity_likeness",
    "mean cosine of identities after re-entry to the subject's mean identity in the context",
    needs={"detector", "subjects", "identities"},
)
def identity_likeness(evidence: Evidence) -> Measured:
    found, own = _found_after_return(evidence), _own_identities(evidence)
    cosines = np.einsum("snd,sd->sn", _identities(evidence), own)
    return mean_or_undefined(cosines[found], UNKNOWN_IN_CONTEXT)


@_identity(
    "kind_accuracy",
    "share of sightings after re-entry that the detector takes for the annotated kind of subject",
    needs={"detector", "subjects", "kinds"},
)
def kind_accuracy(evidence: Evidence) -> Measured:
    found = _found_after_return(evidence)
    assert evidence.found.kinds is not None
    right = evidence.found.kinds == np.array(evidence.case.subject_names)[:, None]
    return Measured(float(right[found].mean()))


IDENTITY_METRICS = (identity_accuracy, identity_likeness, kind_accuracy)


def _found_after_return(evidence: Evidence) -> NDArray[np.bool_]:
    """Tell where [s, t] subjects are found on frames that truly show them again."""
    shown = expected(evidence, after_return=True)
    if not shown.any():
        undefined(NO_RETURN)
    found = shown & evidence.found.detected
    if evidence.found.identities is not None:
        found &= ~np.isnan(evidence.found.identities).any(axis=-1)
    return found if found.any() else undefined(NOT_FOUND)


def _identities(evidence: Evidence) -> NDArray[np.float32]:
    assert evidence.found.identities is not None
    return evidence.found.identities


def _own_identities(evidence: Evidence) -> NDArray[np.float32]:
    """Give each subject's mean identity in the context [s, d]."""
    known = evidence.context_observed.identities
    return undefined(UNKNOWN_IN_CONTEXT) if known is None else mean_identities(known)
