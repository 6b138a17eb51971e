"""``outofsight train``: run a recipe, or go on with a run."""

import json
import os
import signal
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.console import Console

from outofsight.cli.options import DryRun, takes
from outofsight.cli.progress import shown_progress
from outofsight.cli.provenance import provenance
from outofsight.cli.values import parse_settings, tell_broken
from outofsight.data.outputs import check_outputs, claimed
from outofsight.errors import InputError

if TYPE_CHECKING:
    from outofsight.training.config import TrainConfig


@dataclass(frozen=True, kw_only=True)
class Train:
    """What ``train`` is asked for."""

    out: Annotated[Path, typer.Option(help="the run's folder: states, log, videos, export")]
    recipe: Annotated[
        str | None,
        typer.Option(
            help="such as laptop_vae, laptop_world, mini_vae, finetune_hydra; docs/training.md lists all"
        ),
    ] = None
    data: Annotated[
        Path | None, typer.Option(help="clips (for a VAE) or a latent cache (for a world model)")
    ] = None
    resume: Annotated[bool, typer.Option("--resume", help="go on with the run in --out")] = False
    strategy: Annotated[
        str | None, typer.Option(help="how the model remembers: see `outofsight strategies` (or MODULE:NAME)")
    ] = None
    settings: Annotated[
        list[str] | None, typer.Option("--set", help="KEY=VALUE such as batch.size=16; may be repeated")
    ] = None
    max_minutes: Annotated[
        float | None, typer.Option(help="stop after so long, with a saved state and an export")
    ] = None
    state_shard_mb: Annotated[
        float | None, typer.Option(help="largest file of a state, 10⁶ bytes (state.shard_mb)")
    ] = None
    skip_broken: Annotated[
        bool, typer.Option("--skip-broken", help="leave out samples that cannot be read, and list them")
    ] = False
    dry_run: DryRun = False

    @property
    def changes(self) -> dict[str, object]:
        """Settings other than the recipe's, by name."""
        changes: dict[str, object] = parse_settings(self.settings or [])
        if self.skip_broken:
            changes["batch.skip_broken"] = True
        if self.state_shard_mb is not None:
            changes["state.shard_mb"] = self.state_shard_mb
        return changes


@takes(Train)
def train(asked: Train) -> None:
    """Train by a recipe; more processes by `accelerate launch -m outofsight train ...`."""
    out = asked.out
    config, data, resume = _resolve(asked)
    _check_place(config, data, out)
    if asked.dry_run:
        _tell(config, data)
        return
    if data is None:
        raise InputError("--data: name the folder of clips, or of the latent cache, to train on")
    from outofsight.cli.loading import quiet_libraries
    from outofsight.training import loop

    quiet_libraries()
    first = os.environ.get("RANK", "0") == "0"  # of the processes of one run, which share a folder
    with (
        claimed(out, filled=True) if first else nullcontext(),
        _stop_on_signal() as stop,
        _progress(config) as report,
    ):
        result = loop.train(
            config, data, out, resume=resume, max_minutes=asked.max_minutes, provenance=provenance(), report=report,
            stop=stop,
        )  # fmt: skip
    if not first:
        return  # the first process tells
    tell_broken(result.broken)
    state = "finished" if result.finished else "stopped; the same command goes on, or --resume"
    print(
        f"{result.out}: step {result.step} of {config.num_steps}, {state}; the model is in {result.out / 'export'}"
    )


def _resolve(asked: Train) -> tuple["TrainConfig", Path | None, bool]:
    """Find the configuration: of the recipe, or of the run that is gone on with; the strategy; then the changes.

    Tells also whether there is a run to go on with: by ``--resume``, or by the command that began it.
    """
    from outofsight.training.config import changed, with_strategy
    from outofsight.training.recipes import recipe as find_recipe
    from outofsight.training.run_folder import is_same_run, read_run

    out, recipe, data, strategy, changes = asked.out, asked.recipe, asked.data, asked.strategy, asked.changes
    if asked.resume:
        config, content = read_run(out)
        if recipe not in (None, config.recipe):
            raise InputError(f"--recipe: {out} is a run of {config.recipe}, not of {recipe}; leave it out")
        if strategy is not None:
            raise InputError("--strategy: a run keeps its strategy; leave it out with --resume")
        return changed(config, changes), data or Path(content["data"]), True
    if recipe is None:
        raise InputError("--recipe: name one, or go on with a run by --resume")
    config = find_recipe(recipe)
    config = changed(config if strategy is None else with_strategy(config, strategy), changes)
    if is_same_run(out, config, data):
        return read_run(out)[0], data, True
    return config, data, False


def _check_place(config: "TrainConfig", data: Path | None, out: Path) -> None:
    """Refuse to train into what is read, or over what is no run. Raises ``OutputError``."""
    from outofsight.training.run_folder import WRITTEN, holds_run

    named = [getattr(config.task, name, None) for name in ("initial", "vae", "banks")]
    check_outputs([out / name for name in WRITTEN], [data, *named], ours=holds_run(out))


def _tell(config: "TrainConfig", data: Path | None) -> None:
    """Print the settings; with data, after all is put together that a run would put together."""
    from outofsight.cli.loading import quiet_libraries
    from outofsight.training.config import to_dict

    if data is not None:
        from outofsight.training.loop import TASK_MAKERS

        quiet_libraries()
        TASK_MAKERS[config.task.kind](config, data)
    print(json.dumps(to_dict(config), indent=2))


@contextmanager
def _stop_on_signal() -> Iterator[Callable[[], bool]]:
    """Ctrl-C and a polite kill end the step, save, and export; a second one ends at once."""
    asked = []

    def ask(number: int, _frame: object) -> None:
        asked.append(number)
        for each, handler in before.items():
            signal.signal(each, handler)

    before = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}
    for number in before:
        signal.signal(number, ask)
    try:
        yield lambda: bool(asked)
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


@contextmanager
def _progress(config: "TrainConfig") -> Iterator[Callable[[int, Mapping[str, float]], None]]:
    console = Console(stderr=True)
    with shown_progress(console, config.recipe, config.num_steps) as show:

        def report(step: int, figures: Mapping[str, float]) -> None:
            if "loss" in figures:
                speed = f"{figures['samples_per_second']:.1f}/s"
                show(step, config.num_steps, f"loss {figures['loss']:.4f}  {speed}")
            else:
                values = "  ".join(
                    f"{name.removeprefix('validation/')} {value:.4g}" for name, value in figures.items()
                )
                console.print(f"step {step}: {values}", soft_wrap=True)

        yield report
