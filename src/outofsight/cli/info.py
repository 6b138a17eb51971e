"""``outofsight info``: what a model is and what a run of it will need, before anything runs.

Counting takes ten seconds, most of it imports, so what is shown of the bundled model without options lies beside this
file as ``COUNTED``, made by the command that counts the same::

    outofsight info mini --dtype bfloat16 --json > src/outofsight/cli/mini_plan.json
"""

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.console import Console
from rich.table import Table

from outofsight.cli.options import takes
from outofsight.cli.values import parse_frames, parse_size
from outofsight.errors import InputError
from outofsight.model_folders import find_model, read_use

if TYPE_CHECKING:
    from outofsight.sampling.plan import RunPlan, VideoSize

COUNTED = Path(__file__).with_name("mini_plan.json")
PUBLISHED_SIZE = (480, 832)


@dataclass(frozen=True, kw_only=True)
class Info:
    """What ``info`` is asked for."""

    model: Annotated[
        str, typer.Argument(help="mini, model folder or hub id; only its configuration files are read")
    ]
    size: Annotated[
        str | None, typer.Option(help="HEIGHTxWIDTH of the video (default: the model's, or 480x832)")
    ] = None
    frames: Annotated[
        str | None, typer.Option(help="CONTEXT+TARGET frames (default: the model's, or 77+77)")
    ] = None
    steps: Annotated[
        int | None, typer.Option(min=1, help="denoising steps (default: the model's, or 50)")
    ] = None
    guidance: Annotated[
        float | None, typer.Option(help="guidance scale; 1 halves the forwards (default: the model's, or 5)")
    ] = None
    dtype: Annotated[str | None, typer.Option(help="bfloat16 (the default), float16 or float32")] = None
    tile_vae: Annotated[bool, typer.Option(help="encode and decode in the published tiles")] = False
    attention_chunk: Annotated[
        int | None, typer.Option(min=1, help="query frames that attention gathers at a time (default: all)")
    ] = None
    vram: Annotated[
        float | None, typer.Option(min=1, help="GiB of a GPU: which flags fit it, for each use")
    ] = None
    gpus: Annotated[int, typer.Option(min=1, help="with --vram: GPUs that training is sharded over")] = 1
    as_json: Annotated[bool, typer.Option("--json", help="print JSON")] = False


@takes(Info)
def info(asked: Info) -> None:
    """Show a model's parts and sizes, and the memory and arithmetic of a run."""
    if asked.as_json and asked.vram is not None:
        raise InputError("--json: holds no table of --vram; leave one of them out")
    if replace(asked, gpus=1, as_json=False) == Info(model="mini"):
        counted = json.loads(COUNTED.read_bytes())
        if counted["configuration"] == _configuration("mini"):  # else another mini was bundled since
            _show(counted, as_json=asked.as_json)
            return
    _count(asked)


def _count(asked: Info) -> None:
    """Count what a run needs, and show it."""
    from outofsight.cli.loading import parse_dtype, quiet_libraries
    from outofsight.codec.video_vae import LatentTiling
    from outofsight.sampling.plan import VideoSize, networks_on_meta, plan_run

    quiet_libraries()
    use = read_use(asked.model)
    height, width = parse_size(asked.size) if asked.size else use.size or PUBLISHED_SIZE
    context, target = parse_frames(asked.frames) if asked.frames else use.frames
    steps = use.num_inference_steps if asked.steps is None else asked.steps
    guided = (use.guidance_scale if asked.guidance is None else asked.guidance) != 1
    dtype = asked.dtype or "bfloat16"
    networks = networks_on_meta(asked.model, parse_dtype(dtype))
    transformer = networks["transformer"]
    transformer.attention_frames_per_chunk = asked.attention_chunk
    video = VideoSize(height=height, width=width, context_frames=context, target_frames=target)
    tiling = LatentTiling() if asked.tile_vae else None
    plan = plan_run(networks, video, num_inference_steps=steps, guided=guided, tiling=tiling)
    settings = vars(transformer.memory_settings).items()
    figures = {
        "model": asked.model,
        "strategy": transformer.config["memory_strategy"],
        "settings": {name: value for name, value in settings if not name.startswith("_")},
        "sampling": dict(use.sampling),
        "explore": dict(use.explore),
        "num_inference_steps": steps,
        **_figures(plan, video, dtype),
        "configuration": _configuration(asked.model),
    }
    _show(figures, as_json=asked.as_json)
    if asked.vram is not None:
        cards = (1,) if asked.gpus == 1 else (1, asked.gpus)
        found = ways(networks, video, guided=guided, cards=cards)
        # Its commands are to be copied, so they stay whole.
        Console(width=120).print(cards_table(found, asked.vram))


def _configuration(model: str) -> str | None:
    """Digest what a model folder says of itself, its weights apart; ``None``: it is no folder."""
    folder = Path(find_model(model))
    if not folder.is_dir():
        return None
    files = (folder / "generation_config.json", *sorted(folder.glob("*/config.json")))
    return hashlib.sha256(b"".join(path.read_bytes() for path in files if path.is_file())).hexdigest()[:16]


def _figures(plan: "RunPlan", video: "VideoSize", dtype: str) -> dict[str, Any]:
    """Name what is shown of a plan."""
    forward, grid = plan.forward, plan.grid
    return {
        "size": [video.height, video.width],
        "frames": [video.context_frames, video.target_frames],
        "dtype": dtype,
        "num_parameters": plan.num_parameters,
        "weight_bytes": plan.weight_bytes,
        "token_grid": [grid.frames, grid.height, grid.width],
        "keys_per_query": forward.keys_per_query - forward.bank_keys_per_query,
        "bank_keys_per_query": forward.bank_keys_per_query,
        "forward_flops": forward.flops,
        "dense_forward_flops": forward.linear_flops + plan.dense_attention_flops,
        "denoise_flops": plan.denoise_flops,
        "num_forwards": plan.num_forwards,
        "peak_bytes": plan.peak_bytes,
    }


def _show(figures: Mapping[str, Any], *, as_json: bool) -> None:
    if as_json:
        print(json.dumps(figures, indent=1, ensure_ascii=False))
        return
    console = Console(width=100)
    settings = _listed(figures["settings"])
    console.print(f"{figures['model']}: {figures['strategy']}, {settings}", soft_wrap=True, highlight=False)
    for what, chosen in (("sampling", figures["sampling"]), ("explore", figures["explore"])):
        console.print(f"{what}: {_listed(chosen) or 'as sampling'}", soft_wrap=True, highlight=False)
    console.print(_components(figures))
    console.print(_run(figures))


def _listed(settings: Mapping[str, Any]) -> str:
    return ", ".join(
        f"{name} {tuple(value) if isinstance(value, list) else value}" for name, value in settings.items()
    )


def _components(figures: Mapping[str, Any]) -> Table:
    counts, weights = figures["num_parameters"], figures["weight_bytes"]
    table = Table("part", "parameters", "weights", title="parts")
    for name, count in counts.items():
        table.add_row(name, f"{count / 1e6:,.1f} M", _size(weights[name]))
    table.add_row("all", f"{sum(counts.values()) / 1e6:,.1f} M", _size(sum(weights.values())))
    return table


def _run(figures: Mapping[str, Any]) -> Table:
    (height, width), (context, target) = figures["size"], figures["frames"]
    title = f"{height}×{width}, {context}+{target} frames, {figures['num_inference_steps']} steps, {figures['dtype']}"
    table = Table("what", "how much", title=title)
    frames, rows, columns = figures["token_grid"]
    tokens = frames * rows * columns
    table.add_row("tokens", f"{tokens:,} ({frames} frames of {rows}×{columns})")
    retrieved = figures["bank_keys_per_query"]
    banks = f", and up to {retrieved:,} that the banks retrieve" if retrieved else ""
    table.add_row("keys per query", f"{figures['keys_per_query']:,} of {tokens:,}{banks}")
    dense = _operations(figures["dense_forward_flops"])
    table.add_row("one forward", f"{_operations(figures['forward_flops'])} ({dense} if attention were dense)")
    table.add_row(
        "denoising", f"{_operations(figures['denoise_flops'])} in {figures['num_forwards']} forwards"
    )
    for stage, peak in figures["peak_bytes"].items():
        table.add_row(
            f"memory, {stage}", f"{_size(peak)} with this stage's weights, without kernels' workspaces"
        )
    return table


def _operations(count: float) -> str:
    unit, prefix = (1e12, "T") if count >= 1e12 else (1e9, "G")
    return f"{count / unit:,.1f} {prefix}FLOP"


def _size(count: int) -> str:
    return f"{count / 2**30:,.2f} GiB" if count >= 2**30 else f"{count / 2**20:,.1f} MiB"


RESERVE_GIB = 1.0
"""Left free for CUDA's own context, kernels' workspaces beyond attention's, and gaps between tensors: a guess, as no
GPU has been measured yet."""
LATENT_FRAMES = 2
"""Of a rollout's step."""
COMMANDS = {"generation": "generate", "rollout": "roll", "training": "train --recipe finetune_hydra"}


@dataclass(frozen=True, kw_only=True)
class Way:
    """``gib``: the most that is held on a card at once. ``cards``: of training that is sharded over several."""

    use: str
    flags: str
    gib: float
    cards: int = 1

    @property
    def command(self) -> str:
        over = f"  on {self.cards} cards" if self.cards > 1 else ""
        return f"{COMMANDS[self.use]} {self.flags}".strip() + over

    def fits(self, vram_gib: float) -> bool:
        return self.gib + RESERVE_GIB <= vram_gib


def ways(
    networks: Mapping[str, Any], size: "VideoSize", *, guided: bool, cards: tuple[int, ...] = (1,)
) -> list[Way]:
    """Count every way to generate, roll out and fine-tune with these networks, which lie on meta, in bfloat16."""
    from copy import deepcopy

    from outofsight.sampling.card_fit import generation_ways, rollout_ways
    from outofsight.sampling.plan import token_grid
    from outofsight.training.memory_plan import training_ways

    given = dict(networks)
    grid = token_grid(networks["transformer"], networks["vae"], size)
    trained = training_ways(lambda: deepcopy(networks["transformer"]), grid)
    counted = {
        "generation": generation_ways(given, size, guided=guided),
        "rollout": rollout_ways(given, size, LATENT_FRAMES, guided=guided),
    }
    found = [
        Way(use=use, flags=flags, gib=count / 2**30)
        for use, by_flags in counted.items()
        for flags, count in by_flags.items()
    ]
    return found + [
        Way(use="training", flags=flags, gib=memory.bytes(number) / 2**30, cards=number)
        for number in cards
        for flags, memory in trained.items()
    ]


def cards_table(found: list[Way], vram_gib: float) -> Table:
    """Say of each way whether it fits, the fastest first."""
    table = Table(
        "outofsight", "needs", "fits", title=f"a card of {vram_gib:g} GiB, {RESERVE_GIB:g} of it left free"
    )
    for way in found:
        table.add_row(way.command, f"{way.gib:,.1f} GiB", "yes" if way.fits(vram_gib) else "no")
    return table
