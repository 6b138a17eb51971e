"""What all records say together: summaries of every method by group, differences, cost; and their tables."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from functools import cached_property
from itertools import product
from typing import Any

import numpy as np
from rich.console import Console
from rich.table import Table

from outofsight.errors import InputError, OutputError
from outofsight.evaluation.clips import EvalClip, groups_of
from outofsight.evaluation.evidence import Metric
from outofsight.evaluation.methods import Method
from outofsight.evaluation.metrics import chosen_metrics
from outofsight.evaluation.records import FORMAT, Record, RecordStore
from outofsight.evaluation.run import Evaluation

NUM_RESAMPLES = 2000
CONFIDENCE = 0.95


@dataclass(frozen=True, kw_only=True)
class Summary:
    """A metric over clips. ``n``: clips measured; ``n_undefined``: clips on which it could not be measured.

    ``low``, ``high``: percentile bootstrap interval of the mean. ``None``: no clip was measured; for the interval,
    fewer than two were, which gives no spread. ``difference``: to the baseline on the same clips; ``None``
    for the baseline itself, or without one.
    """

    n: int
    n_undefined: int
    mean: float | None
    median: float | None
    low: float | None
    high: float | None
    difference: "Summary | None" = None

    @property
    def coverage(self) -> float | None:
        """Share of the clips on which the metric could be computed; ``None`` where there are no clips."""
        total = self.n + self.n_undefined
        return self.n / total if total else None


def summarise(
    values: Sequence[float | None], seed: int = 0, *, num_resamples: int = NUM_RESAMPLES
) -> Summary:
    """Summarise one metric over clips; ``None`` stands for a clip on which it could not be measured.

    The interval is the percentile bootstrap over clips: the same values in the same order and the same seed give the
    same interval.

    Raises ``InputError`` if a value is NaN or infinite.

    Source: Efron 1979, percentile interval.
    """
    known = np.array([value for value in values if value is not None], dtype=np.float64)
    if not np.isfinite(known).all():
        raise InputError("a metric is NaN or infinite; give None for a clip that could not be measured")
    n = len(known)
    low = high = None
    if n >= 2:
        generator = np.random.default_rng(seed)
        means = known[generator.integers(n, size=(num_resamples, n))].mean(axis=1)
        tail = 50 * (1 - CONFIDENCE)
        low, high = (float(edge) for edge in np.percentile(means, [tail, 100 - tail]))
    return Summary(
        n=n,
        n_undefined=len(values) - n,
        mean=float(known.mean()) if n else None,
        median=float(np.median(known)) if n else None,
        low=low,
        high=high,
    )


def paired_difference(
    values: Sequence[float | None], baseline: Sequence[float | None], seed: int = 0
) -> Summary:
    """Summarise values − baseline over the clips on which both were measured.

    Methods share clips, and most of the spread between clips is common to both: the difference has a narrower
    interval than either mean, and an interval without 0 is a difference.

    Raises ``InputError`` if the two are not of the same clips.
    """
    if len(values) != len(baseline):
        raise InputError(
            f"a paired difference needs both measured on the same clips, got {len(values)} and {len(baseline)}"
        )
    pairs = zip(values, baseline, strict=True)
    return summarise([None if a is None or b is None else a - b for a, b in pairs], seed)


ALL_CLIPS = "all clips"


@dataclass(frozen=True, kw_only=True)
class Cost:
    """What answers took, loading excluded. ``seconds``: the median over clips, by stage; ``per_video_second``:
    device-seconds for a second of video, all stages; ``peak_bytes``: the most of any clip."""

    seconds: Mapping[str, float]
    per_video_second: Summary
    peak_bytes: Mapping[str, int]


@dataclass(frozen=True, kw_only=True)
class Results:
    """All records of an evaluation. ``records``: by method, then by clip; ``store``: where their videos are."""

    store: RecordStore
    clips: tuple[EvalClip, ...]
    methods: tuple[Method, ...]
    metrics: tuple[Metric, ...]
    records: Mapping[str, Mapping[str, Record]]
    baseline: str | None

    @cached_property
    def groups(self) -> dict[str, list[str]]:
        """The names of the clips of each group; all of them together come first where there are several groups."""
        groups = groups_of(self.clips)
        return {ALL_CLIPS: [clip.name for clip in self.clips], **groups} if len(groups) > 1 else groups

    @cached_property
    def summaries(self) -> dict[str, dict[str, dict[str, Summary]]]:
        """By group, method and metric."""
        return {
            group: {
                method.name: {
                    metric.name: self._summary(method.name, metric.name, clips) for metric in self.metrics
                }
                for method in self.methods
            }
            for group, clips in self.groups.items()
        }

    def _summary(self, method: str, metric: str, clips: Sequence[str]) -> Summary:
        values = self.values(method, metric, clips)
        difference = None
        if self.baseline is not None and method != self.baseline:
            difference = paired_difference(values, self.values(self.baseline, metric, clips))
        return replace(summarise(values), difference=difference)

    def values(self, method: str, metric: str, clips: Sequence[str]) -> list[float | None]:
        """Give one metric on each of the clips; ``None`` where it could not be computed."""
        return [self.records[method][clip].value(metric) for clip in clips]

    def has_number(self, metric: Metric) -> bool:
        """Tell whether any answer to any clip could be measured by it."""
        return any(metric.name in record.values for rows in self.records.values() for record in rows.values())

    def cost(self, method: str) -> Cost | None:
        """Tell what a method's answers took; ``None`` where nothing was timed."""
        records = [record for record in self.records[method].values() if record.seconds]
        if not records:
            return None
        seconds: dict[str, list[float]] = {}
        peaks: dict[str, int] = {}
        for record in records:
            for stage, spent in record.seconds.items():
                seconds.setdefault(stage, []).append(spent)
            for kind, size in record.peak_bytes.items():
                peaks[kind] = max(size, peaks.get(kind, 0))
        return Cost(
            seconds={stage: float(np.median(spent)) for stage, spent in seconds.items()},
            per_video_second=summarise([sum(r.seconds.values()) / r.video_seconds for r in records]),
            peak_bytes=peaks,
        )

    def refusals(self, method: str) -> dict[str, str]:
        """Give the clips that a method did not answer, and why."""
        records = self.records[method].items()
        return {clip: record.refused for clip, record in records if record.refused is not None}


def check_baseline(evaluation: Evaluation, baseline: str | None) -> None:
    """Raise ``InputError`` unless some method has the baseline's name."""
    names = [method.name for method in evaluation.methods]
    if baseline is not None and baseline not in names:
        raise InputError(f"--baseline: expected one of {', '.join(names)}, got {baseline!r}")


def gather(evaluation: Evaluation, baseline: str | None = None) -> Results:
    """Read all records of a finished evaluation.

    ``baseline``: the method that others are compared with; default: the baseline *frozen*, where it is there.

    Raises:
        InputError: no method has the baseline's name.
        OutputError: a record is missing, since the evaluation did not come to its end.
    """
    check_baseline(evaluation, baseline)
    store = evaluation.config.store
    names = [method.name for method in evaluation.methods]
    records: dict[str, dict[str, Record]] = {name: {} for name in names}
    for name, clip in product(names, (clip.name for clip in evaluation.clips)):
        record = store.read(name, clip)
        if record is None:
            raise OutputError(f"{store.folder(name)}: holds no record of {clip}; run the evaluation again")
        records[name][clip] = record
    return Results(
        store=store, clips=evaluation.clips, methods=evaluation.methods, records=records,
        metrics=tuple(chosen_metrics(evaluation.config.metrics)),
        baseline=baseline or ("frozen" if "frozen" in names else None),
    )  # fmt: skip


def results_as_json(results: Results, made: Mapping[str, Any]) -> dict[str, Any]:
    """Give everything as JSON holds it. ``made``: settings, versions and commit."""
    return {
        "format": FORMAT,
        **made,
        "clips": [{"name": clip.name, "group": clip.group} for clip in results.clips],
        "metrics": {
            m.name: {"tier": m.tier, "unit": m.unit, "higher_is_better": m.higher_is_better, "what": m.what,
                     "source": m.source}
            for m in results.metrics
        },
        "methods": [{"name": c.name, **c.settings} for c in results.methods],
        "baseline": results.baseline,
        "summaries": {
            group: {name: {m: _compared_as_json(s) for m, s in row.items()} for name, row in rows.items()}
            for group, rows in results.summaries.items()
        },
        "cost": {c.name: _cost_as_json(results.cost(c.name)) for c in results.methods},
        "records": {
            name: {clip: asdict(record) for clip, record in rows.items()}
            for name, rows in results.records.items()
        },
    }  # fmt: skip


def _summary_as_json(summary: Summary) -> dict[str, Any]:
    numbers = {name: value for name, value in asdict(summary).items() if name != "difference"}
    return {**numbers, "coverage": summary.coverage}


def _compared_as_json(summary: Summary) -> dict[str, Any]:
    compared = summary.difference and _summary_as_json(summary.difference)
    return {**_summary_as_json(summary), "difference": compared}


def _cost_as_json(cost: Cost | None) -> dict[str, Any] | None:
    if cost is None:
        return None
    return {
        "median_seconds": dict(cost.seconds),
        "seconds_per_video_second": _summary_as_json(cost.per_video_second),
        "peak_bytes": dict(cost.peak_bytes),
    }


def ranking_metric(results: Results) -> Metric | None:
    """Choose the metric that clips are ranked by: subjects' PSNR at re-entry where it can be had, else PSNR."""
    by_name = {metric.name: metric for metric in results.metrics}
    for name in ("fg_psnr_reentered", "psnr"):
        if name in by_name and results.has_number(by_name[name]):
            return by_name[name]
    return next((m for m in results.metrics if m.higher_is_better is not None), None)


def ranked_clips(results: Results, method: str, metric: Metric | None) -> list[str]:
    """Order the clips by how well a method did, the worst first; those without a number come last."""
    if metric is None:
        return [clip.name for clip in results.clips]
    sign = -1.0 if metric.higher_is_better is False else 1.0

    def key(clip: EvalClip) -> tuple[bool, float]:
        value = results.records[method][clip.name].value(metric.name)
        return value is None, 0.0 if value is None else sign * value

    return [clip.name for clip in sorted(results.clips, key=key)]


def leading_method(results: Results) -> str:
    """Name the method whose worst clips are shown first: the first model, else the first other videos, else any."""
    for kind in ("model", "videos"):
        for method in results.methods:
            if method.kind == kind:
                return method.name
    return results.methods[0].name


COLUMNS = (
    "psnr", "ssim", "lpips", "fg_psnr", "fg_psnr_reentered", "return_gate", "detection_rate", "relative_motion",
    "identity_accuracy", "dsc_gt",
)  # fmt: skip
"""The metrics that are printed, where any clip has them; all others are in the report and in results.json."""


TRACKER_COLUMNS = (
    "tracked_at_return", "tracked_position_error", "static_position_error", "constant_velocity_position_error",
)  # fmt: skip
"""The metrics of trackers, in a table of their own."""


def print_tables(results: Results, console: Console) -> None:
    """Print one table a group: means with their 95% intervals, and on how many clips."""
    for group in results.groups:
        console.print(group_table(results, group))
        places = tracker_table(results, group)
        if places is not None:
            console.print(places)
    console.print(
        "mean, 95% bootstrap interval over clips below it; (n) where fewer clips than all could be measured",
        style="dim",
    )


def group_table(results: Results, group: str) -> Table:
    """Make the table of one group."""
    clips = results.groups[group]
    table = Table(title=f"{group} (n = {len(clips)})", title_justify="left")
    table.add_column("method", no_wrap=True)
    shown = shown_metrics(results)
    for metric in shown:
        table.add_column(_head(metric), justify="right", overflow="fold")
    costs = {method.name: results.cost(method.name) for method in results.methods}
    if any(costs.values()):
        table.add_column("s per s", justify="right")
    for name, row in results.summaries[group].items():
        cells = [_cell(row[metric.name], len(clips)) for metric in shown]
        if any(costs.values()):
            cost = costs[name]
            cells.append("" if cost is None else format_number(cost.per_video_second.mean))
        refused = sum(clip in results.refusals(name) for clip in clips)
        table.add_row(f"{name}\n({refused} not answered)" if refused else name, *cells)
    return table


def tracker_table(results: Results, group: str) -> Table | None:
    """Make the table of where trackers take subjects to be at their return; ``None`` where no row has a tracker."""
    clips = results.groups[group]
    table = Table(title=f"{group}: where trackers take subjects to be at their return", title_justify="left")
    table.add_column("method", no_wrap=True)
    heads = "tracked ↑", "error, m ↓", "static, m", "constant velocity, m", "Δ static", "Δ constant velocity"
    for head in heads:
        table.add_column(head, justify="right")
    for method, row in results.summaries[group].items():
        if not all(name in row for name in TRACKER_COLUMNS) or row["tracked_at_return"].n == 0:
            continue
        _, error, *others = (results.values(method, name, clips) for name in TRACKER_COLUMNS)
        shown = [row[name] for name in TRACKER_COLUMNS] + [
            paired_difference(error, other) for other in others
        ]
        table.add_row(method, *(_cell(summary, len(clips)) for summary in shown))
    return table if table.row_count else None


def shown_metrics(results: Results, names: Sequence[str] = COLUMNS) -> list[Metric]:
    """Choose the metrics that have a number anywhere; without any of those named, all that have one."""
    with_numbers = [metric for metric in results.metrics if results.has_number(metric)]
    return [metric for metric in with_numbers if metric.name in names] or with_numbers


def format_number(value: float | None) -> str:
    """Write a number with as many digits as it deserves; a dash where there is none."""
    if value is None:
        return "–"
    size = abs(value)
    return f"{value:.0f}" if size >= 100 else f"{value:.2f}" if size >= 10 else f"{value:.3f}"


def interval(summary: Summary) -> str:
    """Write an interval, or nothing where there is none."""
    return "" if summary.low is None else f"{format_number(summary.low)}…{format_number(summary.high)}"


def _head(metric: Metric) -> str:
    arrow = {True: " ↑", False: " ↓", None: ""}[metric.higher_is_better]
    unit = f", {metric.unit}" if metric.unit else ""
    return f"{metric.name}{unit}{arrow}".replace("_", "\n", 1)


def _cell(summary: Summary, num_clips: int) -> str:
    if summary.n == 0:
        return "–"
    some = f" ({summary.n})" if summary.n < num_clips else ""
    return f"{format_number(summary.mean)}{some}\n[dim]{interval(summary)}[/dim]"
