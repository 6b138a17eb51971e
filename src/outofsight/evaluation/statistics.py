"""What many clips say together: mean, median, how many could be measured, and a bootstrap interval."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from outofsight.errors import InputError

NUM_RESAMPLES = 2000
COVERAGE = 0.95


@dataclass(frozen=True, kw_only=True)
class Summary:
    """A measure over clips. ``n``: clips measured; ``n_gated``: clips on which it could not be measured.

    ``low``, ``high``: percentile bootstrap interval of the mean. ``None``: no clip was measured; for the interval,
    fewer than two were, from which no spread can be told.
    """

    n: int
    n_gated: int
    mean: float | None
    median: float | None
    low: float | None
    high: float | None

    @property
    def gate_rate(self) -> float | None:
        """Share of the clips on which the measure could be computed; ``None`` where there are no clips."""
        total = self.n + self.n_gated
        return self.n / total if total else None


def summarise(
    values: Sequence[float | None],
    seed: int = 0,
    *,
    num_resamples: int = NUM_RESAMPLES,
    coverage: float = COVERAGE,
) -> Summary:
    """Summarise one measure over clips; ``None`` stands for a clip on which it could not be measured.

    The interval is the percentile bootstrap over clips: the same values in the same order and the same seed give the
    same interval.

    Raises:
        InputError: a value is NaN or infinite.

    Source: Efron 1979, percentile interval.
    """
    known = np.array([value for value in values if value is not None], dtype=np.float64)
    if not np.isfinite(known).all():
        raise InputError("a measure is NaN or infinite; give None for a clip that could not be measured")
    n = len(known)
    low = high = None
    if n >= 2:
        generator = np.random.default_rng(seed)
        means = known[generator.integers(n, size=(num_resamples, n))].mean(axis=1)
        tail = 50 * (1 - coverage)
        low, high = (float(edge) for edge in np.percentile(means, [tail, 100 - tail]))
    return Summary(
        n=n,
        n_gated=len(values) - n,
        mean=float(known.mean()) if n else None,
        median=float(np.median(known)) if n else None,
        low=low,
        high=high,
    )


def paired_difference(
    values: Sequence[float | None], baseline: Sequence[float | None], seed: int = 0
) -> Summary:
    """Summarise values − baseline over the clips on which both were measured.

    Contenders share clips, and most of the spread between clips is common to both: the difference has a narrower
    interval than either mean, and an interval without 0 is a difference.

    Raises:
        InputError: the two are not of the same clips.
    """
    if len(values) != len(baseline):
        raise InputError(
            f"a paired difference needs both measured on the same clips, got {len(values)} and {len(baseline)}"
        )
    pairs = zip(values, baseline, strict=True)
    return summarise([None if a is None or b is None else a - b for a, b in pairs], seed)
