"""What a training run leaves that its model's card tells: settings, changes, versions, curves, samples and hours."""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path, PurePath
from typing import Any

from matplotlib.figure import Figure

from outofsight.errors import CheckpointError
from outofsight.evaluation.drawing import colour, svg
from outofsight.training.run_folder import CONFIG, EXPORT, LOG, read_log, read_run

Curve = list[tuple[int, float]]
"""Values by step."""

VALIDATION = "validation/"


@dataclass(frozen=True, kw_only=True)
class FinishedRun:
    """One run: ``content`` of its config.json, free of the training machine's paths, and the lines of its log."""

    folder: Path
    content: dict[str, Any]
    log: tuple[dict[str, Any], ...]

    @property
    def config(self) -> dict[str, Any]:
        config: dict[str, Any] = self.content["config"]
        return config

    @property
    def export(self) -> Path:
        return self.folder / EXPORT

    @property
    def num_steps(self) -> int:
        """The last step that was logged."""
        return int(self.log[-1]["step"])

    @property
    def samples_per_step(self) -> int:
        return int(self.config["batch"]["size"])

    @property
    def hours(self) -> float | None:
        """Hours of training steps, validation and stops left out; ``None`` where the log gives no speed."""
        timed = [line for line in self.log if line.get("samples_per_second")]
        if not timed:
            return None
        stops = [0, *(change["step"] for change in self.content.get("changes", []))]
        seconds, before, usual = 0.0, 0, timed[0]["samples_per_second"]
        for line in timed:
            # A line's speed is since the line before it, or since the run went on after that: steps before a stop are
            # taken to have been as fast as the line before them.
            begun = max(before, *(step for step in stops if step < line["step"]))
            speed = line["samples_per_second"]
            seconds += ((line["step"] - begun) / speed + (begun - before) / usual) * self.samples_per_step
            before, usual = line["step"], speed
        return seconds / 3600

    def curve(self, name: str) -> Curve:
        """Give what was logged under a name, where it was a number."""
        return [(line["step"], float(line[name])) for line in self.log if line.get(name) is not None]

    def validation_names(self) -> list[str]:
        """Name what was measured in validation, counts of clips left out."""
        names = dict.fromkeys(name for line in self.log for name in line if name.startswith(VALIDATION))
        return [name for name in names if not name.startswith(f"{VALIDATION}num_")]


def read_finished_run(folder: Path) -> FinishedRun:
    """Read a run's folder.

    Raises:
        CheckpointError: it holds no run, or nothing was logged.
    """
    _, content = read_run(folder)
    log = read_log(folder)
    if not log:
        raise CheckpointError(
            f"{folder}: {LOG} holds no line; a run that reported nothing has no curve to show"
        )
    return FinishedRun(folder=folder, content=without_places(content), log=tuple(log))


def find_vae_run(world: Path) -> Path | None:
    """Find the run whose export is the VAE of a world model's run; ``None`` where it is not beside that export.

    A relative name is looked for here and beside the run, since training may have been started anywhere.
    """
    _, content = read_run(world)
    vae = content["config"]["task"].get("vae")
    if vae is None:
        return None
    candidates = (Path(vae).parent, world.parent / Path(vae).parent)
    return next((run for run in candidates if (run / CONFIG).is_file()), None)


def without_places(value: Any) -> Any:
    """Keep of every absolute path its last two parts: where things lay on some machine is nobody's business."""
    if isinstance(value, dict):
        return {key: without_places(part) for key, part in value.items()}
    if isinstance(value, list):
        return [without_places(part) for part in value]
    if isinstance(value, str) and PurePath(value).is_absolute():
        return "/".join(PurePath(value).parts[-2:])
    return value


def thinned(curve: Curve, most: int) -> Curve:
    """Average neighbours so that at most so many points are left; each stands at its last step."""
    width = -(-len(curve) // most) if curve else 1
    parts = [curve[start : start + width] for start in range(0, len(curve), width)]
    return [(part[-1][0], sum(value for _, value in part) / len(part)) for part in parts]


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
    drawn = {title: {n: c for n, c in curves.items() if c} for title, curves in panels.items()}
    return {title: curves for title, curves in drawn.items() if curves}


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
