"""How far a tracker's subjects are from where they truly are, in metres: while seen, while hidden, and on return.

::

    truly seen   ######..........#####
                 seen  |  hidden ^
                                 return: the last hidden moment, when memory must say where to draw it
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import linear_sum_assignment

from outofsight.evaluation.birdseye import Floats, HeldSubjects, TrueSubjects

FAR_M = 1e6
"""Whoever is held farther off than this counts as so far off when held subjects are matched to true ones."""


@dataclass(frozen=True, kw_only=True, eq=False)
class HeldPlaces:
    """Errors of n moments and q true subjects, NaN where the tracker holds nobody for the subject.

    ``numbers`` int [n, q]: who is held for each (−1: nobody). ``error_m`` [n, q]: distance of positions;
    ``velocity_error_m`` [n, q]: of velocities, metres a video frame (NaN where the true one is unknown);
    ``deviations`` [n, q]: the same distance in standard deviations that the tracker claims (√3 were right on average).
    ``phases`` int8 [n, q]: ``SEEN``, ``HIDDEN``, or ``NEVER_SEEN`` before its first sighting.
    ``returns`` bool [n, q]: the last hidden moment of each absence that ends.
    """

    numbers: NDArray[np.int64]
    error_m: Floats
    velocity_error_m: Floats
    deviations: Floats
    phases: NDArray[np.int8]
    returns: NDArray[np.bool_]

    def mean_m(self, chosen: NDArray[np.bool_]) -> float | None:
        """Average the error over chosen moments and subjects; ``None`` where nobody is held in any."""
        known = self.error_m[chosen & ~np.isnan(self.error_m)]
        return float(known.mean()) if known.size else None

    def held_share(self, chosen: NDArray[np.bool_]) -> float | None:
        """Give the share of chosen moments and subjects that the tracker holds somebody for."""
        return float((self.numbers[chosen] >= 0).mean()) if chosen.any() else None


SEEN, HIDDEN, NEVER_SEEN = 0, 1, 2


def held_places(held: HeldSubjects, truth: TrueSubjects) -> HeldPlaces:
    """Measure a tracker against the truth at the same n moments.

    Held subjects are matched to the seen ones at every moment, one to one, with the least distance in sum (Hungarian
    method); a subject that is hidden stays matched to whom it was when last seen, so that a swap while hidden counts
    in full.
    """
    phases = phases_of_sight(truth.seen)
    numbers = _numbers(held, truth)
    shape = truth.seen.shape
    error, velocity, deviations = (np.full(shape, np.nan) for _ in range(3))
    for moment, subject in np.argwhere(numbers >= 0).tolist():
        slot = _slot(held, moment, int(numbers[moment, subject]))
        if slot is None:  # it died while hidden
            numbers[moment, subject] = -1
            continue
        error[moment, subject] = np.linalg.norm(
            held.position_m[moment, slot] - truth.position_m[moment, subject]
        )
        deviations[moment, subject] = error[moment, subject] / max(held.deviation_m[moment, slot], 1e-9)
        if truth.velocity_m is not None:
            velocity[moment, subject] = np.linalg.norm(
                held.velocity_m[moment, slot] - truth.velocity_m[moment, subject]
            )
    returns = np.zeros(shape, dtype=bool)
    returns[:-1] = (phases[:-1] == HIDDEN) & truth.seen[1:]
    return HeldPlaces(
        numbers=numbers, error_m=error, velocity_error_m=velocity, deviations=deviations, phases=phases,
        returns=returns,
    )  # fmt: skip


def phases_of_sight(seen: NDArray[np.bool_]) -> NDArray[np.int8]:
    """Tell moments [n, q] apart: seen, hidden after a sighting, or never seen yet."""
    before = np.maximum.accumulate(seen, axis=0)
    return np.where(seen, SEEN, np.where(before, HIDDEN, NEVER_SEEN)).astype(np.int8)


def number_switches(places: HeldPlaces) -> int:
    """Count how often a subject is held under another number when seen than at the sighting before it."""
    switches = 0
    for subject in range(places.numbers.shape[1]):
        chosen = (places.phases[:, subject] == SEEN) & (places.numbers[:, subject] >= 0)
        switches += int((np.diff(places.numbers[chosen, subject]) != 0).sum())
    return switches


def _numbers(held: HeldSubjects, truth: TrueSubjects) -> NDArray[np.int64]:
    """Say who is held for each true subject at each moment; −1: nobody."""
    moments, subjects = truth.seen.shape
    numbers = np.full((moments, subjects), -1, dtype=np.int64)
    for moment in range(moments):
        if moment:
            numbers[moment] = numbers[moment - 1]
        here = np.flatnonzero(truth.seen[moment])
        slots = np.flatnonzero(held.held[moment] & held.seen[moment])
        if not len(here):
            continue
        numbers[moment, here] = -1
        true_m, held_m = truth.position_m[moment][here], held.position_m[moment][slots]
        gaps = np.linalg.norm(true_m[:, None] - held_m[None], axis=-1)
        for row, column in zip(*linear_sum_assignment(np.minimum(gaps, FAR_M)), strict=True):
            numbers[moment, here[row]] = held.numbers[moment, slots[column]]
    return numbers


def _slot(held: HeldSubjects, moment: int, number: int) -> int | None:
    slots = np.flatnonzero(held.held[moment] & (held.numbers[moment] == number))
    return int(slots[0]) if len(slots) else None
