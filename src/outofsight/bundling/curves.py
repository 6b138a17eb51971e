"""A run's learning curves, as an SVG picture and as lines of a table."""

from collections.abc import Mapping

from outofsight.bundling.finished_run import VALIDATION, Curve, FinishedRun, thinned
from outofsight.evaluation.svg import FAINT, Scale, Svg, colour, ticks

WIDTH, PANEL, EDGE_LEFT, EDGE_RIGHT, HEAD, FOOT = 720, 210, 56, 190, 28, 30
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
    svg = Svg(WIDTH, PANEL * len(panels))
    for place, (title, curves) in enumerate(panels.items()):
        _draw_panel(svg, place * PANEL, title, curves, run.num_steps)
    return svg.to_text()


def _draw_panel(svg: Svg, top: float, title: str, curves: Mapping[str, Curve], last: int) -> None:
    thin = {name: thinned(curve, MOST_POINTS) for name, curve in curves.items()}
    low, high = _range([curve for curve in thin.values()])
    across = Scale(low=0, high=last, start=EDGE_LEFT, end=WIDTH - EDGE_RIGHT)
    up = Scale(low=low, high=high, start=top + PANEL - FOOT, end=top + HEAD)
    svg.text(EDGE_LEFT, top + 18, title, size=13)
    for value in ticks(low, high, 5):
        svg.line(EDGE_LEFT, up(value), WIDTH - EDGE_RIGHT, up(value), stroke=FAINT)
        svg.text(EDGE_LEFT - 6, up(value) + 4, f"{value:g}", anchor="end")
    for step in ticks(0, last, 6):
        svg.text(across(step), top + PANEL - FOOT + 16, f"{step:,.0f}", anchor="middle")
    svg.text(WIDTH - EDGE_RIGHT + 12, top + PANEL - FOOT + 16, "steps; at the right: the last value")
    for index, (name, curve) in enumerate(thin.items()):
        points = [
            (across(step), min(max(up(value), top + HEAD), top + PANEL - FOOT)) for step, value in curve
        ]
        svg.polyline(points, stroke=colour(index))
        svg.line(WIDTH - EDGE_RIGHT + 12, top + HEAD + 16 * index, WIDTH - EDGE_RIGHT + 30, top + HEAD + 16 * index,
                 stroke=colour(index), width=2)  # fmt: skip
        svg.text(WIDTH - EDGE_RIGHT + 36, top + HEAD + 16 * index + 4, f"{name}: {curve[-1][1]:.3g}")


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
