"""Tier 0 measures of a tracker: how far off it takes subjects to be when they come back, in metres.

They look at what the model held, not at what it showed; rows without a tracker have none of them.
"""

import numpy as np

from outofsight.evaluation.evidence import Compute, Evidence, Measure, Measured, gated, mean_or_gate

NO_RETURN = "no subject that the context shows comes back in the target"
NOBODY_HELD = "the tracker holds none of the subjects that come back"
NO_VELOCITY = "it is not annotated how fast subjects move"


def held_at_return(evidence: Evidence) -> Measured:
    """Share of the subjects that come back which the tracker still holds at that moment."""
    places = evidence.places_at_return
    return Measured(float(np.mean(places.is_held))) if len(places.held_m) else gated(NO_RETURN)


def place_error(who: str) -> Compute:
    """Make the measure: the mean error at the return, over the subjects that the tracker holds, of ``held_m``,
    ``still_m`` or ``straight_m``: so all three are told of the same subjects."""

    def compute(evidence: Evidence) -> Measured:
        places = evidence.places_at_return
        if not len(places.held_m):
            return gated(NO_RETURN)
        if not places.is_held.any():
            return gated(NOBODY_HELD)
        return mean_or_gate(getattr(places, who)[places.is_held], NO_VELOCITY)

    return compute


_NEEDS = frozenset({"places", "tracker"})
_SOURCE = (
    "own: at the last latent frame before the first re-entry; who is held for a subject is settled in the context, by "
    "the least distance in sum"
)

PLACE_MEASURES = (
    Measure(
        name="held_at_return", tier=0, unit="", higher_is_better=True, needs=_NEEDS,
        what="share of the subjects that come back which the tracker holds at that moment",
        source=_SOURCE, compute=held_at_return,
    ),
    Measure(
        name="held_place_error", tier=0, unit="m", higher_is_better=False, needs=_NEEDS,
        what="distance of a subject's held and true place at its return, of subjects that are held",
        source=_SOURCE, compute=place_error("held_m"),
    ),
    Measure(
        name="still_place_error", tier=0, unit="m", higher_is_better=None, needs=_NEEDS,
        what="the same of who takes these subjects to be where they were last truly seen",
        source=_SOURCE, compute=place_error("still_m"),
    ),
    Measure(
        name="straight_place_error", tier=0, unit="m", higher_is_better=None, needs=_NEEDS,
        what="the same of who lets them go straight on from there, as they truly moved when last seen",
        source=_SOURCE, compute=place_error("straight_m"),
    ),
)  # fmt: skip
