"""Tier 1 measures of identity: is whoever comes back recognised as the one who left, among others?"""

import numpy as np
from numpy.typing import NDArray

from outofsight.evaluation.association import mean_identities
from outofsight.evaluation.evidence import Evidence, Gallery, Measure, Measured, gated, mean_or_gate
from outofsight.evaluation.observations import Observed
from outofsight.evaluation.tracking import NO_RETURN, expected

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
        return gated(UNKNOWN_IN_CONTEXT)
    hits: list[NDArray[np.bool_]] = []
    for subject, seen in enumerate(found):
        others = _others(gallery, evidence.case.name, subject)
        if seen.any() and len(others) and not np.isnan(own[subject]).any():
            hits.append(recognised(_identities(evidence)[subject][seen], own[subject], others))
    if not hits:
        return gated(
            "the gallery holds nobody else, or the detector does not know the subject from the context"
        )
    return Measured(float(np.concatenate(hits).mean()))


def identity_likeness(evidence: Evidence) -> Measured:
    """Mean cosine of the identities after re-entry to the subject's mean identity in the context."""
    found, own = _found_after_return(evidence), _own_identities(evidence)
    if isinstance(found, Measured):
        return found
    if own is None:
        return gated(UNKNOWN_IN_CONTEXT)
    cosines = np.einsum("snd,sd->sn", _identities(evidence), own)
    return mean_or_gate(cosines[found], UNKNOWN_IN_CONTEXT)


def kind_accuracy(evidence: Evidence) -> Measured:
    """Share of sightings after re-entry that the detector takes for the annotated kind."""
    found = _found_after_return(evidence)
    if isinstance(found, Measured):
        return found
    assert evidence.observed is not None
    assert evidence.observed.kinds is not None
    right = evidence.observed.kinds == np.array(evidence.case.subject_names)[:, None]
    return Measured(float(right[found].mean()))


def _found_after_return(evidence: Evidence) -> NDArray[np.bool_] | Measured:
    """Tell where [s, t] subjects are found on frames that truly show them again, or why there are none."""
    shown = expected(evidence, after_return=True)
    if not shown.any():
        return gated(NO_RETURN)
    assert evidence.observed is not None
    found = shown & evidence.observed.detected
    if evidence.observed.identities is not None:
        found &= ~np.isnan(evidence.observed.identities).any(axis=-1)
    return found if found.any() else gated(NOT_FOUND)


def _identities(evidence: Evidence) -> NDArray[np.float32]:
    assert evidence.observed is not None
    assert evidence.observed.identities is not None
    return evidence.observed.identities


def _own_identities(evidence: Evidence) -> NDArray[np.float32] | None:
    """Give each subject's mean identity in the context [s, d]; ``None``: none is told."""
    context: Observed = evidence.context_observed
    return None if context.identities is None else mean_identities(context.identities)


def _others(gallery: Gallery, clip: str, subject: int) -> NDArray[np.float32]:
    """Take all individuals of a gallery but one."""
    others: NDArray[np.float32] = gallery.identities[[owner != (clip, subject) for owner in gallery.owners]]
    return others


_SOURCE = "own network; the field's form is person re-identification at rank 1"

IDENTITY_MEASURES = (
    Measure(
        name="identity_accuracy", tier=1, unit="", higher_is_better=True,
        needs=frozenset({"detector", "subjects", "identities", "gallery"}),
        what="share of sightings after re-entry that are nearest to the subject itself among all clips' subjects",
        source=_SOURCE, compute=identity_accuracy,
    ),
    Measure(
        name="identity_likeness", tier=1, unit="", higher_is_better=True,
        needs=frozenset({"detector", "subjects", "identities"}),
        what="mean cosine of identities after re-entry to the subject's mean identity in the context",
        source=_SOURCE, compute=identity_likeness,
    ),
    Measure(
        name="kind_accuracy", tier=1, unit="", higher_is_better=True,
        needs=frozenset({"detector", "subjects", "kinds"}),
        what="share of sightings after re-entry that the detector takes for the annotated kind of subject",
        source=_SOURCE, compute=kind_accuracy,
    ),
)  # fmt: skip
