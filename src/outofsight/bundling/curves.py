"""A run's learning curves, as an SVG picture and as lines of a table."""

from collections.abc import Mapping
from functools import partial

from matplotlib.figure import Figure

from outofsight.bundling.finished_run import VALIDATION, Curve, FinishedRun, thinned
from outofsight.evaluation.drawing import colour, svg

WIDTH_PX, PANEL_PX = 720, 210
MOST_POINTS = 150
TABLE_LINES = 8
SPIKES = 0.02
"""Share of the training loss's largest values that may lie above the picture: the first steps would flatten it."""


def curve_panels(run: FinishedRun) -> dict[str, dict[str, Curve]]:
    """Group a run's curves by what they share an axis with: losses, decibels, each other measure by itself.

    The noise levels of a measure (``NAME@LEVEL``) are with it.
    """
    panels: dict[str, dict[str, Curve]] = {"loss": {"training": run.curve("loss")}}
    for name in run.validation_names():
        short = name.removeprefix(VALIDATION)
        if short.startswith("loss"):
            panel, label = "loss", f"validation {short.removeprefix('loss').removeprefix('@')}".strip()
        elif short.startswith("psnr"):
            panel, label = "psnr (dB)", short.replace("_", " ")
        else:
            measure, _, level = short.partition("@")
            panel, label = measure.replace("_", " "), f"validation {level}".strip()
        panels.setdefault(panel, {})[label] = run.curve(name)
    return {
        title: {n: c for n, c in curves.items() if c}
        for title, curves in panels.items()
        if any(curves.values())
    }


def draw_curves(run: FinishedRun) -> str:
    """Draw all of a run's curves, a panel below the other. Gives SVG."""
    panels = curve_panels(run)
    return svg(partial(draw_panels, panels=panels, last_step=run.num_steps), WIDTH_PX, PANEL_PX * len(panels))


def draw_panels(figure: Figure, panels: Mapping[str, Mapping[str, Curve]], last_step: int) -> None:
    every = figure.subplots(len(panels), squeeze=False)[:, 0]
    for axes, (title, curves) in zip(every, panels.items(), strict=True):
        thin = {name: thinned(curve, MOST_POINTS) for name, curve in curves.items()}
        for index, (name, curve) in enumerate(thin.items()):
            axes.plot(*zip(*curve, strict=True), color=colour(index), label=f"{name}: {curve[-1][1]:.3g}")
        axes.set_title(title)
        axes.set_xlim(0, last_step)
        axes.set_ylim(*_range(list(thin.values())))
        axes.grid(axis="y")
        axes.legend(loc="upper left", bbox_to_anchor=(1.01, 1), frameon=False)
    every[-1].set_xlabel("steps; at the right: the last value")


def _range(curves: list[Curve]) -> tuple[float, float]:
    """Span all curves but for a few of the largest values."""
    low = min(value for curve in curves for _, value in curve)
    high = max(
        sorted(value for _, value in curve)[max(int(len(curve) * (1 - SPIKES)) - 1, 0)] for curve in curves
    )
    margin = 0.05 * (high - low) or 0.5
    return low - margin, high + margin


def validation_lines(run: FinishedRun) -> tuple[list[str], list[list[str]]]:
    """Give heads and rows of a table of what validation measured, evenly thinned; the last line is always there.

    Of a measure at several noise levels (``NAME@LEVEL``) only their mean is given, where the run has it.
    """
    every = run.validation_names()
    names = [name for name in every if "@" not in name or name.partition("@")[0] not in every]
    lines = [line for line in run.log if any(name in line for name in names)]
    if len(lines) > TABLE_LINES:
        chosen = [round(place * (len(lines) - 1) / (TABLE_LINES - 1)) for place in range(TABLE_LINES)]
        lines = [lines[place] for place in chosen]
    heads = ["step", *(name.removeprefix(VALIDATION).replace("_", " ") for name in names)]
    rows = [[f"{line['step']:,}", *(_figure(line.get(name)) for name in names)] for line in lines]
    return heads, rows


def _figure(value: float | None) -> str:
    return "-" if value is None else f"{value:.4g}"
