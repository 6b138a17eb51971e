"""``outofsight strategies``: the ways to remember, and what each costs.

Counting all of them takes half a minute, so what is shown without options lies beside this file as ``COUNTED``, made by
the command that counts the same::

    outofsight strategies --size 64x96 --frames 41+41 --json > src/outofsight/cli/strategy_costs.json
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.console import Console
from rich.table import Table

from outofsight.cli.values import parse_frames, parse_size
from outofsight.model_folders import ModelUse, read_use

if TYPE_CHECKING:
    from outofsight.types import LatentGrid

COUNTED = Path(__file__).with_name("strategy_costs.json")
MINI_USE = ModelUse(num_context_frames=41, num_target_frames=41, size=(64, 96), fps=10.0)
NUMBERS = (
    "tokens",
    "keys a query",
    "attention GFLOP",
    "GFLOP",
    "once, GFLOP",
    "forwards a step",
    "M parameters",
    "MiB",
)
LATENT_CHANNELS, VAE_FACTORS = 16, (4, 8)  # frames, pixels a side


def strategies(
    names: Annotated[list[str] | None, typer.Argument(help="only these (or MODULE:NAME of your own)")] = None,
    model: Annotated[
        str | None, typer.Option(help="count on this model's sizes (default: the recipe mini_world's)")
    ] = None,
    size: Annotated[str | None, typer.Option(help="HEIGHTxWIDTH of the video")] = None,
    frames: Annotated[str | None, typer.Option(help="CONTEXT+TARGET frames")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="print JSON")] = False,
) -> None:
    """Show the memory strategies, and keys, arithmetic and memory of one forward with each."""
    if not (names or model or size or frames):
        counted = json.loads(COUNTED.read_bytes())
    else:
        counted = _counted(names or [], model, size, frames)
    if as_json:
        print(json.dumps(counted, indent=1, ensure_ascii=False))
    else:
        Console(width=150).print(_table(counted["costs"], counted["title"]))


def _counted(names: list[str], model: str | None, size: str | None, frames: str | None) -> dict[str, Any]:
    """Count each strategy's cost; none named: of all."""
    from outofsight.cli.loading import quiet_libraries
    from outofsight.memory.strategies import STRATEGIES, strategy
    from outofsight.sampling.plan import strategy_costs

    quiet_libraries()
    chosen = [strategy(name) for name in names] if names else list(STRATEGIES.values())
    config, text_tokens, use = _sizes(model)
    height, width = parse_size(size) if size else use.size or (480, 832)
    grid = _grid(config, parse_frames(frames) if frames else use.frames, (height, width))
    costs = strategy_costs(chosen, config, grid, text_tokens)
    latent = f"{grid.context_frames} + {grid.frames - grid.context_frames} latent frames"
    title = f"one forward, {height}×{width}, {latent} of {grid.height}×{grid.width} tokens"
    return {"title": title, "costs": [asdict(cost) for cost in costs]}


def _sizes(model: str | None) -> tuple[dict[str, Any], int, ModelUse]:
    """Return a transformer's configuration, its number of text tokens, and what it is used with."""
    import torch

    if model is None:
        from outofsight.training.models import transformer_arguments
        from outofsight.training.recipes import recipe
        from outofsight.training.tasks import WorldTask

        task = recipe("mini_world").task_of(WorldTask)
        return transformer_arguments(task.size, LATENT_CHANNELS), task.size.text_tokens, MINI_USE
    from outofsight.sampling.plan import networks_on_meta

    transformer = networks_on_meta(model, torch.bfloat16)["transformer"]
    return dict(transformer.config), 512, read_use(model)


def _grid(config: dict[str, Any], frames: tuple[int, int], size: tuple[int, int]) -> "LatentGrid":
    from outofsight.errors import InputError
    from outofsight.types import LatentGrid

    patch = config.get("patch_size", (1, 2, 2))
    steps = (VAE_FACTORS[1] * patch[1], VAE_FACTORS[1] * patch[2])
    if size[0] % steps[0] or size[1] % steps[1]:
        raise InputError(f"--size: expected multiples of {steps[0]} and {steps[1]}, got {size[0]}x{size[1]}")
    context, target = ((count - 1) // VAE_FACTORS[0] + 1 for count in frames)
    return LatentGrid(
        frames=context + target,
        height=size[0] // steps[0],
        width=size[1] // steps[1],
        context_frames=context,
    )


def _table(costs: Sequence[Mapping[str, Any]], title: str) -> Table:
    table = Table(title=title)
    table.add_column("strategy")
    table.add_column("what it remembers by", max_width=52)
    for name in NUMBERS:
        table.add_column(name, justify="right")
    for cost in costs:
        if cost["problem"] is not None:
            words = f"{cost['what']}; does not fit: {cost['problem']}"
            table.add_row(cost["name"], words, *["–"] * len(NUMBERS))
            continue
        once = f"{cost['once_flops'] / 1e9:,.2f}" if cost["once_flops"] else "–"
        table.add_row(
            cost["name"], cost["what"], f"{cost['tokens']:,}", f"{cost['keys_per_query']:,}",
            f"{cost['attention_flops'] / 1e9:,.2f}", f"{cost['flops'] / 1e9:,.2f}", once,
            str(cost["forwards_per_step"]), f"{cost['num_parameters'] / 1e6:.2f}",
            f"{cost['activation_bytes'] / 2**20:,.1f}",
        )  # fmt: skip
    return table
