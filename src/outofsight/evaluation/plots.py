"""Plots of an evaluation, as SVG files: means with intervals, curves over frames, quality against steps, retrieval."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from outofsight.data.files import explained, write_text
from outofsight.evaluation.evidence import Measure
from outofsight.evaluation.methods import ModelContender
from outofsight.evaluation.records import Store
from outofsight.evaluation.results import Results, Standing, figure, shown_measures
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
SWEEP_MEASURES = ("psnr", "fg_psnr_reentered", "fg_psnr", "ssim")


def write_plots(folder: Path, results: Results, store: Store) -> list[Path]:
    """Write all plots that the results allow. Raises ``OutputError``."""
    with explained(folder):
        folder.mkdir(parents=True, exist_ok=True)
    pictures = {f"{measure.name}.svg": interval_plot(results, measure) for measure in shown_measures(results)}
    pictures["psnr_by_frame.svg"] = frame_plot(results)
    for name, picture in sweeps(results).items():
        pictures[f"steps_{name}.svg"] = picture
    for contender in results.contenders:
        counts = retrieved_by(results, store, contender.name)
        if counts is not None:
            pictures[f"retrieval_{contender.name}.svg"] = bubble_plot(
                counts, f"{contender.name}: how often target frames retrieved each slice"
            )
    paths = []
    for name, picture in pictures.items():
        write_text(folder / name, picture)
        paths.append(folder / name)
    return paths


def interval_plot(results: Results, measure: Measure) -> str:
    """Draw every contender's mean and 95% interval, group by group. Gives SVG."""
    rows = [
        (group, contender.name, results.standings[group][contender.name][measure.name])
        for group in results.groups
        for contender in results.contenders
    ]
    scale = _value_scale(
        [standing for _, _, standing in rows], MOST_SHOWN_DB if measure.unit == "dB" else None
    )
    num_rows = len(rows) + len(results.groups)
    svg = Svg(NAME_PX + PLOT_PX + 90, 44 + ROW_PX * num_rows + 30)
    unit = f" ({measure.unit})" if measure.unit else ""
    better = {True: ", higher is better", False: ", lower is better", None: ""}[measure.higher_is_better]
    svg.text(8, 18, f"{measure.name}{unit}{better}", size=13)
    svg.text(8, 33, measure.what, size=10, fill="#666666")
    bottom = 44 + ROW_PX * num_rows
    for tick in ticks(scale.low, scale.high):
        svg.line(scale(tick), 44, scale(tick), bottom, FAINT)
        svg.text(scale(tick), bottom + 14, f"{tick:g}", size=10, anchor="middle")
    y, last = 44.0, None
    for group, name, standing in rows:
        if group != last:
            svg.text(
                8, y + ROW_PX - 7, f"{group} (n = {len(results.groups[group])})", size=11, fill="#666666"
            )
            y, last = y + ROW_PX, group
        _draw_standing(
            svg, scale, y + ROW_PX / 2, name, standing, [c.name for c in results.contenders].index(name)
        )
        y += ROW_PX
    return svg.to_text()


def _draw_standing(svg: Svg, scale: Scale, y: float, name: str, standing: Standing, index: int) -> None:
    summary = standing.summary
    svg.text(NAME_PX - 8, y + 4, name, anchor="end")
    if summary.mean is None:
        svg.text(NAME_PX + 4, y + 4, "no clip could be measured", size=10, fill="#666666")
        return
    if summary.low is not None and summary.high is not None:
        svg.line(scale(summary.low), y, scale(summary.high), y, colour(index), 3)
    svg.circle(scale(summary.mean), y, 4.5, colour(index), f"{name}: {figure(summary.mean)}, n = {summary.n}")
    svg.text(NAME_PX + PLOT_PX + 12, y + 4, f"{figure(summary.mean)}  n {summary.n}", size=10)


def _value_scale(standings: Sequence[Standing], most: float | None) -> Scale:
    values = [
        value
        for standing in standings
        for value in (standing.summary.low, standing.summary.mean, standing.summary.high)
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
    """Draw each contender's mean PSNR at every target frame, the truth itself left out. Gives SVG."""
    curves = {}
    for contender in results.contenders:
        rows = [
            record.psnr_by_frame
            for record in results.records[contender.name].values()
            if record.psnr_by_frame
        ]
        shortest = min((len(row) for row in rows), default=0)
        if shortest and contender.name != "truth":
            curves[contender.name] = np.minimum(
                np.mean([row[:shortest] for row in rows], axis=0), MOST_SHOWN_DB
            )
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
    """Draw quality against the number of denoising steps, where one model is run with several. Gives SVG by measure."""
    by_model: dict[str, list[ModelContender]] = {}
    for contender in results.contenders:
        if isinstance(contender, ModelContender):
            by_model.setdefault(f"{contender.source.path} {contender.digest}", []).append(contender)
    swept = [rows for rows in by_model.values() if len({row.sampling.num_steps for row in rows}) > 1]
    pictures = {}
    first_group = next(iter(results.groups))
    for measure in results.measures:
        curves = {}
        for rows in swept:
            standings = [
                (row, results.standings[first_group][row.name][measure.name].summary.mean) for row in rows
            ]
            points = sorted(
                (float(row.sampling.num_steps), mean) for row, mean in standings if mean is not None
            )
            if points:
                curves[rows[0].source.path] = points
        if curves and measure.name in SWEEP_MEASURES:
            pictures[measure.name] = line_plot(curves, f"{measure.name} against denoising steps", "steps")
    return pictures


def retrieved_by(results: Results, store: Store, contender: str) -> Frequencies | None:
    """Average what a contender retrieved over its clips; ``None`` where nothing was recorded, or lengths differ."""
    paths = [store.retrieval(contender, clip.name) for clip in results.clips]
    counts = [frequencies(load_retrieval(path)) for path in paths if path.is_file()]
    if not counts or len({(c.by_layer.shape, c.by_frame.shape) for c in counts}) > 1:
        return None
    return mean_frequencies(counts)
