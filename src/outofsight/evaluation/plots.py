"""Plots of an evaluation, as SVG files: means with intervals, curves over frames, quality against steps, retrieval."""

from functools import partial
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from outofsight.evaluation.drawing import colour, svg
from outofsight.evaluation.evidence import Metric
from outofsight.evaluation.methods import ModelMethod
from outofsight.evaluation.results import Results, Summary, format_number, shown_metrics
from outofsight.evaluation.retrieval import (
    Frequencies,
    bubble_plot,
    frequencies,
    load_retrieval,
    mean_frequencies,
)
from outofsight.files import explained, write_text

MOST_SHOWN_DB = 60.0
"""Decibels beyond this are drawn at the edge: identical pictures would squeeze all else together."""

ROW_PX = 22
SWEEP_METRICS = ("psnr", "fg_psnr_reentered", "fg_psnr", "ssim")
FEW_POINTS = 20
"""Curves of fewer points have each of them marked."""

Curves = dict[str, list[tuple[float, float]]]
"""Points (x, y) by the curve's name."""


def write_plots(folder: Path, pictures: dict[str, str]) -> None:
    """Write plots as files. Raises ``OutputError``."""
    with explained(folder):
        folder.mkdir(parents=True, exist_ok=True)
    for name, picture in pictures.items():
        write_text(folder / f"{name}.svg", picture)


def all_plots(results: Results) -> dict[str, str]:
    """Draw all plots that the results allow. Gives SVG by name."""
    pictures = {"psnr_by_frame": frame_plot(results)}
    pictures |= {f"steps_{name}": line_plot(curves, f"{name} against denoising steps", "steps")
                 for name, curves in sweeps(results).items()}  # fmt: skip
    pictures |= {metric.name: interval_plot(results, metric) for metric in shown_metrics(results)}
    for method in results.methods:
        counts = retrieved_by(results, method.name)
        if counts is not None:
            title = f"{method.name}: how often target frames retrieved each slice"
            pictures[f"retrieval_{method.name}"] = bubble_plot(counts, title)
    return pictures


def interval_plot(results: Results, metric: Metric) -> str:
    """Draw every method's mean and 95% interval, group by group. Gives SVG."""
    num_rows = len(results.groups) * (len(results.methods) + 1)
    return svg(partial(draw_intervals, results=results, metric=metric), 640, 78 + ROW_PX * num_rows)


def draw_intervals(figure: Figure, results: Results, metric: Metric) -> None:
    axes = figure.subplots()
    unit = f" ({metric.unit})" if metric.unit else ""
    better = {True: ", higher is better", False: ", lower is better", None: ""}[metric.higher_is_better]
    axes.set_title(f"{metric.name}{unit}{better}\n{metric.what}", fontsize=8)
    most = MOST_SHOWN_DB if metric.unit == "dB" else np.inf
    labels: list[str] = []
    for group, clips in results.groups.items():
        labels.append(f"{group} (n = {len(clips)})")
        for index, method in enumerate(results.methods):
            summary = results.summaries[group][method.name][metric.name]
            _draw_summary(axes, len(labels), summary, colour(index), most)
            labels.append(method.name)
    axes.set_yticks(range(len(labels)), labels)
    axes.set_ylim(len(labels) - 0.5, -0.5)
    axes.tick_params(axis="y", length=0)
    axes.margins(x=0.04)
    axes.grid(axis="x")


def _draw_summary(axes: Axes, row: int, summary: Summary, shade: str, most: float) -> None:
    """Draw a mean and its interval in a row, and write both beside it; what exceeds ``most`` lies at the edge."""
    beside: Any = {"xycoords": ("axes fraction", "data"), "va": "center", "annotation_clip": False}
    if summary.mean is None:
        axes.annotate("no clip could be measured", (0.01, row), color="#666666", **beside)
        return
    if summary.low is not None and summary.high is not None:
        axes.plot(np.minimum([summary.low, summary.high], most), [row, row], color=shade, linewidth=2.5)
    axes.plot(min(summary.mean, most), row, "o", color=shade)
    axes.annotate(f"{format_number(summary.mean)}  n {summary.n}", (1.01, row), **beside)


def frame_plot(results: Results) -> str:
    """Draw each method's mean PSNR at every target frame, the truth itself left out. Gives SVG."""
    curves: Curves = {}
    for method in results.methods:
        rows = [r.psnr_by_frame for r in results.records[method.name].values() if r.psnr_by_frame]
        shortest = min((len(row) for row in rows), default=0)
        if shortest and method.name != "truth":
            mean = np.minimum(np.mean([row[:shortest] for row in rows], axis=0), MOST_SHOWN_DB)
            curves[method.name] = list(enumerate(map(float, mean)))
    title = f"PSNR (dB) by target frame, mean over clips, drawn up to {MOST_SHOWN_DB:g}"
    return line_plot(curves, title, "frame")


def line_plot(curves: Curves, title: str, along: str) -> str:
    """Draw curves with their names. Gives SVG."""
    return svg(partial(draw_lines, curves=curves, title=title, along=along), 640, 360)


def draw_lines(figure: Figure, curves: Curves, title: str, along: str) -> None:
    axes = figure.subplots()
    axes.set_title(title)
    axes.set_xlabel(along)
    axes.grid(axis="y")
    for index, (name, curve) in enumerate(curves.items()):
        marker = "o" if len(curve) < FEW_POINTS else None
        axes.plot(*zip(*curve, strict=True), color=colour(index), marker=marker, markersize=4, label=name)
    if curves:
        figure.legend(loc="outside right upper", frameon=False)
    else:
        axes.annotate("nothing could be measured", (0.5, 0.5), xycoords="axes fraction", ha="center")


def sweeps(results: Results) -> dict[str, Curves]:
    """Find quality against the number of denoising steps, where one model is run with several; by metric."""
    by_model: dict[str, list[ModelMethod]] = {}
    for method in results.methods:
        if isinstance(method, ModelMethod):
            by_model.setdefault(f"{method.source.path} {method.digest}", []).append(method)
    swept = [
        rows for rows in by_model.values() if len({row.sampling.num_inference_steps for row in rows}) > 1
    ]
    first = results.summaries[next(iter(results.groups))]
    found: dict[str, Curves] = {}
    for metric, rows in product((m.name for m in results.metrics if m.name in SWEEP_METRICS), swept):
        means = [(float(row.sampling.num_inference_steps), first[row.name][metric].mean) for row in rows]
        if points := sorted((steps, mean) for steps, mean in means if mean is not None):
            found.setdefault(metric, {})[rows[0].source.path] = points
    return found


def retrieved_by(results: Results, method: str) -> Frequencies | None:
    """Average what a method retrieved over its clips; ``None`` where nothing was recorded, or lengths differ."""
    paths = [results.store.retrieval(method, clip.name) for clip in results.clips]
    counts = [frequencies(load_retrieval(path)) for path in paths if path.is_file()]
    if not counts or len({(c.by_layer.shape, c.by_frame.shape) for c in counts}) > 1:
        return None
    return mean_frequencies(counts)
