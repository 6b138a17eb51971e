"""``outofsight info``: what a model is and what a run of it will need, before anything runs."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.console import Console
from rich.table import Table

from outofsight.cli.values import parse_frames, parse_size
from outofsight.model_folders import read_use

if TYPE_CHECKING:
    from outofsight.sampling.plan import RunPlan, VideoSize

PUBLISHED_SIZE = (480, 832)


def info(
    model: Annotated[
        str, typer.Argument(help="mini, model folder or hub id; only its configuration files are read")
    ],
    size: Annotated[
        str | None, typer.Option(help="HEIGHTxWIDTH of the video (default: the model's, or 480x832)")
    ] = None,
    frames: Annotated[
        str | None, typer.Option(help="CONTEXT+TARGET frames (default: the model's, or 77+77)")
    ] = None,
    steps: Annotated[
        int | None, typer.Option(min=1, help="denoising steps (default: the model's, or 50)")
    ] = None,
    guidance: Annotated[
        float | None, typer.Option(help="guidance scale; 1 halves the forwards (default: the model's, or 5)")
    ] = None,
    dtype: Annotated[str, typer.Option(help="bfloat16, float16 or float32")] = "bfloat16",
    tile_vae: Annotated[bool, typer.Option(help="encode and decode in the published tiles")] = False,
    attention_chunk: Annotated[
        int | None, typer.Option(min=1, help="query frames that attention gathers at a time (default: all)")
    ] = None,
    vram: Annotated[
        float | None, typer.Option(min=1, help="GiB of a GPU: which flags fit it, for each use")
    ] = None,
    gpus: Annotated[int, typer.Option(min=1, help="with --vram: GPUs that training is sharded over")] = 1,
) -> None:
    """Show a model's parts and sizes, and the memory and arithmetic of a run."""
    from outofsight.cli.loading import parse_dtype, quiet_libraries
    from outofsight.codec.video_vae import LatentTiling
    from outofsight.sampling.plan import VideoSize, networks_on_meta, plan_run

    quiet_libraries()
    use = read_use(model)
    height, width = parse_size(size) if size else use.size or PUBLISHED_SIZE
    context, target = parse_frames(frames) if frames else use.frames
    steps = use.num_inference_steps if steps is None else steps
    networks = networks_on_meta(model, parse_dtype(dtype))
    networks["transformer"].attention_frames_per_chunk = attention_chunk
    video = VideoSize(height=height, width=width, context_frames=context, target_frames=target)
    guided = (use.guidance_scale if guidance is None else guidance) != 1
    plan = plan_run(
        networks,
        video,
        num_inference_steps=steps,
        guided=guided,
        tiling=LatentTiling() if tile_vae else None,
    )
    console = Console(width=100)
    strategy = networks["transformer"].config["memory_strategy"]
    settings = vars(networks["transformer"].memory_settings).items()
    listed = ", ".join(f"{name} {value}" for name, value in settings if not name.startswith("_"))
    console.print(f"{model}: {strategy}, {listed}", soft_wrap=True, highlight=False)
    for what, chosen in (("sampling", use.sampling), ("explore", use.explore)):
        listed = ", ".join(f"{name} {value}" for name, value in chosen.items())
        console.print(f"{what}: {listed or 'as sampling'}", soft_wrap=True, highlight=False)
    console.print(_components(plan))
    console.print(_run(plan, f"{height}×{width}, {context}+{target} frames, {steps} steps, {dtype}"))
    if vram is not None:
        found = ways(networks, video, guided=guided, cards=(1,) if gpus == 1 else (1, gpus))
        Console(width=120).print(
            cards_table(found, vram)
        )  # its commands are to be copied, so they stay whole


def _components(plan: "RunPlan") -> Table:
    table = Table("part", "parameters", "weights", title="parts")
    for name, count in plan.num_parameters.items():
        table.add_row(name, f"{count / 1e6:,.1f} M", _size(plan.weight_bytes[name]))
    table.add_row(
        "all",
        f"{sum(plan.num_parameters.values()) / 1e6:,.1f} M",
        _size(sum(plan.weight_bytes.values())),
    )
    return table


def _run(plan: "RunPlan", title: str) -> Table:
    forward, grid = plan.forward, plan.grid
    dense = forward.linear_flops + plan.dense_attention_flops
    table = Table("what", "how much", title=title)
    table.add_row("tokens", f"{grid.num_tokens:,} ({grid.frames} frames of {grid.height}×{grid.width})")
    own, retrieved = forward.keys_per_query - forward.bank_keys_per_query, forward.bank_keys_per_query
    banks = f", and up to {retrieved:,} that the banks retrieve" if retrieved else ""
    table.add_row("keys per query", f"{own:,} of {grid.num_tokens:,}{banks}")
    table.add_row(
        "one forward", f"{_operations(forward.flops)} ({_operations(dense)} if attention were dense)"
    )
    table.add_row("denoising", f"{_operations(plan.denoise_flops)} in {plan.num_forwards} forwards")
    for stage, peak in plan.peak_bytes.items():
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
