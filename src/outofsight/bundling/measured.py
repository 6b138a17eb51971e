"""What ``outofsight evaluate`` found, as parts of a model card."""

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

from outofsight.data.files import read_json
from outofsight.errors import InputError

SHOWN = (
    "psnr", "ssim", "fg_psnr", "fg_psnr_reentered", "bg_psnr", "return_gate", "detection_rate", "relative_motion",
    "identity_accuracy", "dsc_gt",
)  # fmt: skip
"""Metrics that a card shows, where any method has them; all others are in results.json."""


def table_of(heads: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """Write a markdown table."""
    lines = ["| " + " | ".join(heads) + " |", "|" + " --- |" * len(heads)]
    return "\n".join(lines + ["| " + " | ".join(row) + " |" for row in rows])


def read_results(path: Path) -> dict[str, Any]:
    """Read an evaluation's results.json.

    Raises:
        InputError: it is not one.
    """
    content = read_json(path)
    lacking = [key for key in ("clips", "metrics", "summaries", "cost") if key not in content]
    if lacking:
        raise InputError(
            f"{path}: expected the results.json of `outofsight evaluate`, it lacks {', '.join(lacking)}"
        )
    results: dict[str, Any] = content
    return results


def results_section(results: dict[str, Any]) -> str:
    """Write one table for each group of clips, and what the methods' stages took."""
    parts = [
        "Mean and, in brackets, its 95% bootstrap interval over clips; n where fewer clips than all could be measured. "
        "Higher is better. `docs/metrics.md` says what each metric is."
    ]
    sizes = {group: _num_clips(rows) for group, rows in results["summaries"].items()}
    for group, rows in results["summaries"].items():
        parts += [f"**{group}** (n = {sizes[group]})", _group_table(rows, results["metrics"])]
    costs = [(name, cost["median_seconds"]) for name, cost in results["cost"].items() if cost is not None]
    if costs:
        parts += ["Median seconds a clip, by stage:", _cost_table(costs)]
    return "\n\n".join(parts)


def _num_clips(rows: dict[str, Any]) -> int:
    return max(summary["n"] + summary["n_undefined"] for row in rows.values() for summary in row.values())


def _group_table(rows: dict[str, Any], metrics: dict[str, Any]) -> str:
    shown = [
        name for name in SHOWN if any(row.get(name, {}).get("mean") is not None for row in rows.values())
    ]
    heads = ["", *(_head(name, metrics[name]) for name in shown)]
    total = _num_clips(rows)
    return table_of(
        heads, [[name, *(_cell(row[metric], total) for metric in shown)] for name, row in rows.items()]
    )


def _head(name: str, metric: dict[str, Any]) -> str:
    return f"{name}, {metric['unit']}" if metric["unit"] else name


def _cell(summary: dict[str, Any], total: int) -> str:
    if summary["mean"] is None:
        return "-"
    spread = "" if summary["low"] is None else f" [{summary['low']:.4g}, {summary['high']:.4g}]"
    return f"{summary['mean']:.4g}{spread}" + ("" if summary["n"] == total else f" (n = {summary['n']})")


def _cost_table(costs: list[tuple[str, dict[str, float]]]) -> str:
    stages = list(dict.fromkeys(stage for _, seconds in costs for stage in seconds))
    rows = [
        [name, *(f"{seconds[stage]:.2f}" if stage in seconds else "-" for stage in stages),
         f"{sum(seconds.values()):.2f}"]
        for name, seconds in costs
    ]  # fmt: skip
    return table_of(["", *stages, "all"], rows)
