"""Plots of an evaluation, as SVG files: means with intervals, curves over frames, quality against steps, retrieval."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from outofsight.data.files import explained, write_text
from outofsight.evaluation.evidence import Metric
from outofsight.evaluation.methods import ModelMethod
from outofsight.evaluation.records import Store
from outofsight.evaluation.results import Results, Summary, format_number, shown_metrics
from outofsight.evaluation.retrieval import (
    Frequencies,
    bubble_plot,
    frequencies,
    load_retrieval,
    mean_frequencies,
)
from outofsight.evaluation.svg import FAINT, Scale, Svg, colour, ticks

MOST_SHOWN_DB = 60.0
"""Decibels beyond this are drawn at the edge: identical pictures would squeeze all else together."""

ROW_PX, NAME_PX, PLOT_PX = 22, 190, 360
SWEEP_METRICS = ("psnr", "fg_psnr_reentered", "fg_psnr", "ssim")


def write_plots(folder: Path, results: Results, store: Store) -> list[Path]:
    """Write all plots that the results allow. Raises ``OutputError``."""
    with explained(folder):
        folder.mkdir(parents=True, exist_ok=True)
    pictures = {f"{metric.name}.svg": interval_plot(results, metric) for metric in shown_metrics(results)}
    pictures["psnr_by_frame.svg"] = frame_plot(results)
    for name, picture in sweeps(results).items():
        pictures[f"steps_{name}.svg"] = picture
    for method in results.methods:
        counts = retrieved_by(results, store, method.name)
        if counts is not None:
            pictures[f"retrieval_{method.name}.svg"] = bubble_plot(
                counts, f"{method.name}: how often target frames retrieved each slice"
            )
    paths = []
    for name, picture in pictures.items():
        write_text(folder / name, picture)
        paths.append(folder / name)
    return paths


def interval_plot(results: Results, metric: Metric) -> str:
    """Draw every method's mean and 95% interval, group by group. Gives SVG."""
    rows = [
        (group, method.name, results.summaries[group][method.name][metric.name])
        for group in results.groups
        for method in results.methods
    ]
    scale = _value_scale([summary for _, _, summary in rows], MOST_SHOWN_DB if metric.unit == "dB" else None)
    num_rows = len(rows) + len(results.groups)
    svg = Svg(NAME_PX + PLOT_PX + 90, 44 + ROW_PX * num_rows + 30)
    unit = f" ({metric.unit})" if metric.unit else ""
    better = {True: ", higher is better", False: ", lower is better", None: ""}[metric.higher_is_better]
    svg.text(8, 18, f"{metric.name}{unit}{better}", size=13)
    svg.text(8, 33, metric.what, size=10, fill="#666666")
    bottom = 44 + ROW_PX * num_rows
    for tick in ticks(scale.low, scale.high):
        svg.line(scale(tick), 44, scale(tick), bottom, FAINT)
        svg.text(scale(tick), bottom + 14, f"{tick:g}", size=10, anchor="middle")
    y, last = 44.0, None
    for group, name, summary in rows:
        if group != last:
            svg.text(
                8, y + ROW_PX - 7, f"{group} (n = {len(results.groups[group])})", size=11, fill="#666666"
            )
            y, last = y + ROW_PX, group
        _draw_summary(
            svg, scale, y + ROW_PX / 2, name, summary, [c.name for c in results.methods].index(name)
        )
        y += ROW_PX
    return svg.to_text()


def _draw_summary(svg: Svg, scale: Scale, y: float, name: str, summary: Summary, index: int) -> None:
    svg.text(NAME_PX - 8, y + 4, name, anchor="end")
    if summary.mean is None:
        svg.text(NAME_PX + 4, y + 4, "no clip could be measured", size=10, fill="#666666")
        return
    if summary.low is not None and summary.high is not None:
        svg.line(scale(summary.low), y, scale(summary.high), y, colour(index), 3)
    svg.circle(
        scale(summary.mean), y, 4.5, colour(index), f"{name}: {format_number(summary.mean)}, n = {summary.n}"
    )
    svg.text(NAME_PX + PLOT_PX + 12, y + 4, f"{format_number(summary.mean)}  n {summary.n}", size=10)


def _value_scale(summaries: Sequence[Summary], most: float | None) -> Scale:
    values = [
        value
        for summary in summaries
        for value in (summary.low, summary.mean, summary.high)
        if value is not None and (most is None or value < most)
    ] or [0.0]
    margin = 0.04 * (max(values) - min(values)) or 0.5
    return Scale(
        low=min(values) - margin,
        high=max(values) + margin,
        start=float(NAME_PX),
        end=float(NAME_PX + PLOT_PX),
    )


def frame_plot(results: Results) -> str:
    """Draw each method's mean PSNR at every target frame, the truth itself left out. Gives SVG."""
    curves = {}
    for method in results.methods:
        rows = [
            record.psnr_by_frame for record in results.records[method.name].values() if record.psnr_by_frame
        ]
        shortest = min((len(row) for row in rows), default=0)
        if shortest and method.name != "truth":
            curves[method.name] = np.minimum(np.mean([row[:shortest] for row in rows], axis=0), MOST_SHOWN_DB)
    title = f"PSNR (dB) by target frame, mean over clips, drawn up to {MOST_SHOWN_DB:g}"
    return line_plot(
        {name: list(enumerate(map(float, curve))) for name, curve in curves.items()}, title, "frame"
    )


def line_plot(curves: dict[str, list[tuple[float, float]]], title: str, along: str) -> str:
    """Draw curves of (x, y) points with their names. Gives SVG."""
    svg = Svg(640, 360)
    svg.text(8, 18, title, size=13)
    points = [point for curve in curves.values() for point in curve]
    if not points:
        svg.text(8, 44, "nothing could be measured")
        return svg.to_text()
    xs, ys = [x for x, _ in points], [y for _, y in points]
    margin = 0.05 * (max(ys) - min(ys)) or 0.5
    across = Scale(low=min(xs), high=max(xs), start=50, end=450)
    up = Scale(low=min(ys) - margin, high=max(ys) + margin, start=316, end=34)
    for tick in ticks(up.low, up.high):
        svg.line(50, up(tick), 450, up(tick), FAINT)
        svg.text(44, up(tick) + 4, f"{tick:g}", size=10, anchor="end")
    for tick in ticks(across.low, across.high, most=9):
        svg.text(across(tick), 332, f"{tick:g}", size=10, anchor="middle")
    svg.text(450, 350, along, size=10, anchor="end")
    for index, (name, curve) in enumerate(curves.items()):
        placed = [(across(x), up(y)) for x, y in curve]
        svg.polyline(placed, colour(index))
        if len(placed) < 20:
            for x, y in placed:
                svg.circle(x, y, 3, colour(index))
        svg.rect(466, 38 + 18 * index, 12, 3, colour(index))
        svg.text(484, 44 + 18 * index, name)
    return svg.to_text()


def sweeps(results: Results) -> dict[str, str]:
    """Draw quality against the number of denoising steps, where one model is run with several. Gives SVG by metric."""
    by_model: dict[str, list[ModelMethod]] = {}
    for method in results.methods:
        if isinstance(method, ModelMethod):
            by_model.setdefault(f"{method.source.path} {method.digest}", []).append(method)
    swept = [rows for rows in by_model.values() if len({row.sampling.num_steps for row in rows}) > 1]
    pictures = {}
    first_group = next(iter(results.groups))
    for metric in results.metrics:
        curves = {}
        for rows in swept:
            summaries = [(row, results.summaries[first_group][row.name][metric.name].mean) for row in rows]
            points = sorted(
                (float(row.sampling.num_steps), mean) for row, mean in summaries if mean is not None
            )
            if points:
                curves[rows[0].source.path] = points
        if curves and metric.name in SWEEP_METRICS:
            pictures[metric.name] = line_plot(curves, f"{metric.name} against denoising steps", "steps")
    return pictures


def retrieved_by(results: Results, store: Store, method: str) -> Frequencies | None:
    """Average what a method retrieved over its clips; ``None`` where nothing was recorded, or lengths differ."""
    paths = [store.retrieval(method, clip.name) for clip in results.clips]
    counts = [frequencies(load_retrieval(path)) for path in paths if path.is_file()]
    if not counts or len({(c.by_layer.shape, c.by_frame.shape) for c in counts}) > 1:
        return None
    return mean_frequencies(counts)
