"""MemoBench's recovery and occlusion drop, as its ``revisit_metrics`` computes them.

::

    frame        0           h            r           n − 1
    phase        |-- seen ---|-- hidden --|-- back ---|        six frames of each, both ends included

Source: MemoBench (arXiv 2606.27537), metrics/clip_metrics.py. Its frames are first scaled to 640 px at most, its
numbers rounded to four digits; neither is done here.
"""

import numpy as np
from numpy.typing import NDArray

from outofsight.evaluation.consistency import unit_length
from outofsight.evaluation.evidence import Compute, Evidence, Measure, Measured, gated
from outofsight.evaluation.phases import Phase, Phases
from outofsight.perception.centre_crop import centre_crop_of

FRAMES_A_PHASE = 6
LEAST_DROP = 1e-4
AS_GOOD = 0.01
TINY = 1e-6


def phase_bounds(phases: Phases) -> tuple[int, int] | None:
    """Give h and r of the first subject that comes back in the target; ``None``: nobody does."""
    returns = phases.subjects == Phase.REENTERED
    if not returns.any():
        return None
    first = np.where(returns.any(axis=1), returns.argmax(axis=1), returns.shape[1])
    subject, back = int(first.argmin()), int(first.min())
    seen = np.flatnonzero(phases.subjects[subject, :back] != Phase.HIDDEN)
    return int(seen[-1]) + 1, back


def spread(start: int, end: int) -> list[int]:
    """Choose six frames from start to end, both included; fewer different ones where there are no six."""
    return [start + int(place * (end - start) / (FRAMES_A_PHASE - 1)) for place in range(FRAMES_A_PHASE)]


def likeness_by_phase(cosines: NDArray[np.floating], hidden: int, back: int) -> tuple[float, float, float]:
    """Average the cosines to frame 0 [n] over six frames of each phase: s_O, s_H, s_R."""
    last = len(cosines) - 1
    hidden = max(1, min(hidden, last - 1))
    back = max(hidden + 1, min(back, last))
    bounds = ((0, hidden), (hidden, back), (back, last))
    seen, away, returned = (float(np.mean(cosines[spread(*bound)])) for bound in bounds)
    return seen, away, returned


def recovery(seen: float, away: float, back: float) -> float:
    """Give clip((s_R − s_H) / (s_O − s_H), 0, 1).

    Without a drop: 1 if s_R ≥ s_O − 0.01, else s_R / s_O, as published.
    """
    drop = seen - away
    if drop < LEAST_DROP:
        return 1.0 if back >= seen - AS_GOOD else float(np.clip(back / (seen + TINY), 0, 1))
    return float(np.clip((back - away) / drop, 0, 1))


def occlusion_drop(seen: float, away: float) -> float:
    """Give clip((s_O − s_H) / s_O, 0, 1)."""
    return float(np.clip((seen - away) / (seen + TINY), 0, 1))


def memobench(*, drop: bool) -> Compute:
    """Make the measure of the drop, or of the recovery."""

    def compute(evidence: Evidence) -> Measured:
        network = evidence.networks.backgrounds
        assert network is not None
        bounds = phase_bounds(evidence.phases)
        if bounds is None:
            return gated("no subject comes back in the target")
        crop = centre_crop_of(network)
        halves = (evidence.case.context, evidence.generated)
        pictures = unit_length(
            np.concatenate([network.features(crop.frames(half)).pictures for half in halves])
        )
        seen, away, back = likeness_by_phase(pictures @ pictures[0], *bounds)
        return Measured(occlusion_drop(seen, away) if drop else recovery(seen, away, back))

    return compute


def _measure(name: str, higher: bool | None, what: str, *, drop: bool) -> Measure:
    return Measure(
        name=name,
        tier=1,
        unit="",
        higher_is_better=higher,
        needs=frozenset({"background_features", "visibility"}),
        what=what,
        source="MemoBench (arXiv 2606.27537); published with CLIP ViT-B/32",
        compute=memobench(drop=drop),
    )


MEMOBENCH_MEASURES = (
    _measure(
        "memobench_recovery",
        True,
        "share of the likeness to frame 0, lost while the subject is hidden, that is back after its return",
        drop=False,
    ),
    _measure(
        "memobench_occlusion_drop",
        None,
        "share of the likeness to frame 0 that is lost while the subject is hidden",
        drop=True,
    ),
)
