"""What a study says of many scenes or rounds: means and medians with intervals, and tables in Markdown."""

from collections.abc import Sequence
from typing import Any

import numpy as np

from outofsight.evaluation.results import CONFIDENCE, NUM_RESAMPLES, summarise

Row = dict[str, Any]


def figures_of(values: Sequence[float | None]) -> Row:
    """Give mean, median, their 95% intervals (percentile bootstrap) and n of one measure.

    ``None`` stands for a scene in which it could not be measured; they are counted in ``n_undefined``.
    """
    reported = summarise(values)
    low, high = median_interval([value for value in values if value is not None])
    named = (("mean", reported.mean), ("low", reported.low), ("high", reported.high), ("median", reported.median),
             ("median_low", low), ("median_high", high))  # fmt: skip
    return {
        **{name: rounded(value) for name, value in named},
        "n": reported.n,
        "n_undefined": reported.n_undefined,
    }


def median_interval(values: Sequence[float], seed: int = 0) -> tuple[float | None, float | None]:
    """Give the percentile bootstrap interval of a median; ``None`` of fewer than two values, as for a mean."""
    if len(values) < 2:
        return None, None
    drawn = np.random.default_rng(seed).integers(len(values), size=(NUM_RESAMPLES, len(values)))
    tail = 50 * (1 - CONFIDENCE)
    low, high = np.percentile(np.median(np.asarray(values)[drawn], axis=1), [tail, 100 - tail])
    return float(low), float(high)


def rounded(value: float | None) -> float | None:
    """Keep five digits, so that small lengths and large times both tell what was measured."""
    return None if value is None else float(f"{value:.5g}")


def summarised(measured: Sequence[Row]) -> list[Row]:
    """Replace every list of a row by its figures."""
    return [
        {key: figures_of(value) if isinstance(value, list) else value for key, value in row.items()}
        for row in measured
    ]


def shown(reported: Row, *, as_median: bool = False) -> str:
    """Write one measure for people: mean or median, and its interval."""
    names = ("median", "median_low", "median_high") if as_median else ("mean", "low", "high")
    middle, low, high = (reported[name] for name in names)
    if middle is None:
        return "–"
    return f"{middle:.3g}" + ("" if low is None else f" ({low:.3g} to {high:.3g})")


def table(rows: Sequence[Row], columns: Sequence[str], medians: Sequence[str] = ()) -> None:
    """Print rows as a table in Markdown; ``medians``: the columns to show by their medians, not their means."""
    print("| " + " | ".join(columns) + " |")
    print("|" + "---|" * len(columns))
    for row in rows:
        cells = [
            shown(row[name], as_median=name in medians) if isinstance(row[name], dict) else f"{row[name]}"
            for name in columns
        ]
        print("| " + " | ".join(cells) + " |")
