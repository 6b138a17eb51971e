"""A model's card: README.md with front matter as model hubs read it, and what `outofsight evaluate` found."""

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from outofsight.bundling.finished_run import FinishedRun, validation_lines
from outofsight.errors import InputError
from outofsight.files import read_json
from outofsight.model_folders import ModelUse

FRONT_MATTER = """---
license: apache-2.0
library_name: diffusers
pipeline_tag: image-to-video
language:
  - en
tags:
  - world-model
  - video-generation
  - video-to-video
  - memory
  - camera-control
  - outofsight
---
"""

INTRODUCTION = """# {name}: a small world model that remembers what is out of sight

{name} is given {context} frames of a video, the cameras of those and of {target} more, and a caption. It shows the
{target} frames that follow. In its world subjects leave the picture and come back: it must know who is still there,
where, and what they look like. Its memory is {memory}, on a Wan-style diffusion transformer,
at a size that two CPU cores run in seconds: {height}×{width} pixels, {fps:g} frames a second.

It knows only the world that it was trained in (below), and was made to show how such a model works and to compare
memories on. It is no model of real video."""

USAGE = """## Use

```sh
pip install 'outofsight[worlds]'
outofsight demo
outofsight generate --model {model} --video clip.mp4 --camera cameras.json --prompt "A cow in a desert." --out next.mp4
```

```python
from outofsight import SamplingSettings, WorldModel

world = WorldModel.from_pretrained("{model}")
settings = SamplingSettings(num_inference_steps={steps}, guidance_scale={guidance:g}, strength={strength:g})
result = world.continue_video(video, context_cameras, target_cameras, "A cow in a desert.", settings)
```

`generation_config.json` holds what the command line takes where nothing else is said: frames, size, {steps} steps,
guidance {guidance:g}, strength {strength:g}."""


@dataclass(frozen=True, kw_only=True)
class CardFacts:
    """All that a card is written from. ``parts``: parameters and bytes of each network, by name.

    ``before``: runs that the world's began from, oldest first. ``hardware``: what it was trained on, in words.
    ``vae``, ``results``: ``None`` where they are not at hand; the card then says so.
    """

    name: str
    use: ModelUse
    parts: Mapping[str, tuple[int, int]]
    world: FinishedRun
    before: tuple[FinishedRun, ...]
    vae: FinishedRun | None
    data: "DataFacts"
    hardware: str
    results: dict[str, Any] | None


@dataclass(frozen=True, kw_only=True)
class DataFacts:
    """The clips that were learned from: the data set's own identity, and the number of clips in each part."""

    identity: dict[str, Any]
    num_clips: Mapping[str, int]

    @property
    def plan(self) -> dict[str, Any]:
        plan: dict[str, Any] = self.identity["recipe"]["plan"]
        return plan


def read_data_facts(folder: Path) -> DataFacts:
    """Read what a data set of ours was made from.

    Raises:
        InputError: its dataset.json does not tell a plan.
    """
    identity = read_json(folder / "dataset.json")
    if "plan" not in identity.get("recipe", {}):
        raise InputError(f"{folder / 'dataset.json'}: expected the recipe of a data set that was built here")
    parts = {
        part.name: sum(child.is_dir() and not child.name.startswith(".") for child in part.iterdir())
        for part in sorted(folder.iterdir())
        if part.is_dir() and not part.name.startswith(".")
    }
    return DataFacts(identity=identity, num_clips=parts)


def write_model_card(facts: CardFacts) -> str:
    """Write the card's text."""
    use = facts.use
    assert use.size is not None
    sections = [
        INTRODUCTION.format(
            name=facts.name, context=use.num_context_frames, target=use.num_target_frames, height=use.size[0],
            width=use.size[1], fps=use.fps, memory=_memory(facts.world.config["task"]),
        ),
        USAGE.format(
            model=facts.name, steps=use.num_inference_steps, guidance=use.guidance_scale, strength=use.strength,
        ),
        "## Measured results\n\n" + _results(facts),
        "## Parts\n\n" + _parts(facts.parts),
        "## Training data\n\n" + _data(facts.data),
        "## Training\n\n" + f"Hardware: {facts.hardware}.",
        *_history(facts.before),
        _run("World model, its last run" if facts.before else "World model", facts.world, "curves_world.svg"),
        "### Video VAE\n\nThe folder of its training run was not at hand when this card was written."
        if facts.vae is None
        else _run("Video VAE", facts.vae, "curves_vae.svg"),
        "All settings, versions and commits: `training.json`.",
        "## Licence\n\nApache-2.0, weights and data alike: all data is rendered from procedures of the package; no "
        "weight of another model is in it.",
    ]  # fmt: skip
    return FRONT_MATTER + "\n" + "\n\n".join(sections) + "\n"


def _memory(task: Mapping[str, Any]) -> str:
    strategy = task.get("strategy")
    hydra = "HyDRA's (https://arxiv.org/abs/2603.25716)"
    known = {
        None: hydra,
        "hydra": hydra,
        "hybrid": "two banks, of places and of subjects",
        "hybrid+hydra": f"{hydra} and, beside it, two banks, of places and of subjects",
    }
    rendered = (task.get("memory") or {}).get("rendering") is not None
    shown = ", which are rendered into the coming frames and shown to it as pictures" if rendered else ""
    return known.get(strategy, f"of strategy `{strategy}`") + shown


def _results(facts: CardFacts) -> str:
    if facts.results is None:
        return "Not measured when this card was written: `outofsight evaluate` measures it."
    return results_section(facts.results)


def _parts(parts: Mapping[str, tuple[int, int]]) -> str:
    rows = [[name, f"{count / 1e6:.2f} M", f"{size / 1e6:.2f} MB"] for name, (count, size) in parts.items()]
    counts, sizes = (sum(part[place] for part in parts.values()) for place in (0, 1))
    rows.append(["all", f"{counts / 1e6:.2f} M", f"{sizes / 1e6:.2f} MB"])
    return table_of(["part", "parameters", "weights"], rows) + (
        "\n\nbfloat16, but for what each network's own class keeps in float32 (norms, time embedding)."
    )


def _data(data: DataFacts) -> str:
    plan, identity = data.plan, data.identity
    counts = ", ".join(f"{count:,} {part}" for part, count in data.num_clips.items())
    shares = identity["shares"]
    rows = [
        ["clips", counts],
        ["seed of the data set", str(identity["seed"])],
        ["shares of validation, test", f"{shares['validation']:g}, {shares['test']:g}"],
        ["places", ", ".join(plan["scenes"]) or "all"],
        ["subjects", ", ".join(plan["kinds"]) or "all"],
        ["lights", ", ".join(plan["lights"]) or "all"],
        ["cameras", ", ".join(plan["trajectories"]) or "all"],
        ["subjects in a clip", f"{plan['min_subjects']} to {plan['max_subjects']}"],
    ]
    return (
        "Clips of the package's own worlds, in each of which somebody leaves and returns. Places and subjects that the "
        "package holds out (`outofsight world list`) come up in the test part alone.\n\n"
        + table_of(["what", "which"], rows)
    )


def _history(runs: tuple[FinishedRun, ...]) -> list[str]:
    if not runs:
        return []
    hours = [run.hours for run in runs]
    in_all = (
        "" if None in hours else f", {sum(hour or 0 for hour in hours):.2f} hours of training steps in all"
    )
    sections = [
        f"The weights went through {len(runs)} earlier run{'s' * (len(runs) > 1)}{in_all}, oldest first."
    ]
    return sections + [_run(f"World model, run {number}", run) for number, run in enumerate(runs, start=1)]


def _run(title: str, run: FinishedRun, picture: str | None = None) -> str:
    """``picture``: of its learning curves, in the card's folder."""
    config = run.config
    optimisation, batch = config["optimisation"], config["batch"]
    hours = run.hours
    rows = [
        ["recipe", f"`{config['recipe']}`, seed {config['seed']}"],
        ["begun from", config["task"].get("initial") or "random weights"],
        ["steps", f"{run.num_steps:,} of {run.samples_per_step} samples"],
        ["samples", f"{run.num_steps * run.samples_per_step:,}"],
        ["hours of training steps", "not logged" if hours is None else f"{hours:.2f}"],
        ["learning rate", f"{optimisation['learning_rate']:g}, {optimisation['warmup_steps']} steps of warm-up, "
                          f"{optimisation['cooldown_steps']} of cool-down"],
        ["optimizer", {"muon": "Muon for matrices of blocks, AdamW for the rest"}.get(
            optimisation.get("optimizer", "adamw"), "AdamW")],
        ["precision", str(batch["precision"])],
        ["running mean of the weights", f"{optimisation['ema_decay']:g}"],
        ["changes while it ran", str(len(run.content.get("changes", [])))],
        ["versions", ", ".join(f"{k} {v}" for k, v in run.content["provenance"].get("versions", {}).items())],
        ["commit", str(run.content["provenance"].get("commit"))],
    ]  # fmt: skip
    heads, lines = validation_lines(run)
    task = json.dumps(config["task"], ensure_ascii=False)
    return "\n\n".join(
        (
            f"### {title}",
            table_of(["what", "which"], rows),
            f"What was learned, and how: `{task}`",
            *([f"![Learning curves: {title}]({picture})"] if picture else []),
            "Validation during training:\n\n" + table_of(heads, lines)
            if lines
            else "No validation was logged.",
        )
    )


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
