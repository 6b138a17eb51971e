"""What ``gpu_day`` measures of a model of published size with random weights: figures come as they are had."""

import time
from collections.abc import Callable, Iterator
from contextlib import nullcontext
from dataclasses import dataclass, field
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np
import torch
from diffusers import AutoencoderKLWan, FlowMatchEulerDiscreteScheduler
from torch import Tensor
from transformers import ByT5Tokenizer, UMT5Config, UMT5EncoderModel

from attention import GRIDS, candidates, inputs
from outofsight.backbone.transformer import HydraTransformer3DModel
from outofsight.codec.placement import synchronize
from outofsight.geometry.path_expressions import make_path
from outofsight.memory.strategies import Strategy, strategy
from outofsight.nn.live_bytes import shape_of
from outofsight.sampling.continuation import SamplingSettings
from outofsight.sampling.world import WorldModel
from outofsight.training.world_objective import WorldObjective

Lines = Iterator[dict[str, Any]]
PROMPT = "A man in a red coat walks along a snowy street, leaves the picture on the left, and comes back."


@dataclass(frozen=True, kw_only=True)
class Scale:
    """The sizes of a rehearsal, or of the published model: the classes' own defaults are those."""

    height: int = 480
    width: int = 832
    frames: int = 77
    steps: int = 4
    rounds: int = 3
    matrix: int = 8192
    attention_grid: str = "published"
    transformer: dict[str, Any] = field(default_factory=dict)
    vae: dict[str, Any] = field(default_factory=dict)
    text: dict[str, Any] = field(default_factory=dict)
    compile: bool = True
    mini: dict[str, Any] = field(default_factory=dict)
    """Of the mini's training: more of the command lines, by verb."""


FULL = Scale(
    text={"vocab_size": 256384, "d_model": 4096, "d_kv": 64, "d_ff": 10240, "num_layers": 24, "num_heads": 64}
)
TOY = Scale(
    height=32, width=48, frames=5, steps=1, rounds=1, matrix=128, attention_grid="toy", compile=False,
    transformer={"num_attention_heads": 2, "attention_head_dim": 24, "text_dim": 32, "freq_dim": 32,
                 "ffn_dim": 96, "num_layers": 2, "memory_top_k": 2, "local_window": 3},
    vae={"base_dim": 4, "dim_mult": [1, 2, 2, 2], "num_res_blocks": 1},
    text={"vocab_size": 384, "d_model": 32, "d_kv": 16, "d_ff": 64, "num_layers": 2, "num_heads": 2},
    mini={"clips": 6, "frames": "25+25", "size": "32x48", "splits": "0.34,0",
          "set": ["num_steps=2", "batch.size=2", "optimisation.warmup_steps=0", "optimisation.cooldown_steps=0"]},
)  # fmt: skip
GRIDS["toy"] = (8, 4, 4, 2, 16)


def measured(device: torch.device, run: Callable[[], Any], rounds: int = 1) -> tuple[dict[str, Any], Any]:
    """Return the median seconds of a call, the most memory it held at once (GB; of a GPU), and its result."""
    seconds, result = [], None
    if device.type == "cuda":
        torch.cuda.empty_cache()
        torch.cuda.reset_peak_memory_stats(device)
    for _ in range(rounds):
        synchronize(device)
        start = time.perf_counter()
        result = run()
        synchronize(device)
        seconds.append(time.perf_counter() - start)
    peak = torch.cuda.max_memory_allocated(device) / 1e9 if device.type == "cuda" else None
    return {"seconds": round(median(seconds), 4), "peak_gb": peak}, result


def tried(device: torch.device, run: Callable[[], Any], rounds: int = 1) -> dict[str, Any]:
    """Measure; too little memory is a finding too."""
    try:
        return measured(device, run, rounds)[0]
    except torch.cuda.OutOfMemoryError:
        return {"trouble": "out of memory"}


def world_of(scale: Scale, device: torch.device, name: str = "hydra", *, text: bool = True) -> WorldModel:
    """Make a world model with random weights on the device, in bf16 on a GPU; ``text``: at its true size."""
    dtype = torch.bfloat16 if device.type == "cuda" else torch.float32
    shape = {**strategy(name).settings, "memory_strategy": name, **scale.transformer}
    width = scale.transformer.get("text_dim", 4096)
    small = {**TOY.text, "d_model": width}
    config = UMT5Config(feed_forward_proj="gated-gelu", **(scale.text if text else small))
    torch.manual_seed(0)
    with torch.device(device):
        encoder = UMT5EncoderModel._from_config(config, dtype=dtype)
        transformer = HydraTransformer3DModel.from_config(shape).eval()
        vae = AutoencoderKLWan(**scale.vae).eval()
    tokenizer = ByT5Tokenizer()
    world = WorldModel(transformer, vae, encoder, tokenizer, FlowMatchEulerDiscreteScheduler(shift=5.0))
    world.set_progress_bar_config(disable=True)
    world.keep_text_encoder_on_device = True
    return world.to(device, dtype)


def published_on_meta(dtype: torch.dtype, remembering: Strategy) -> dict[str, Any]:
    """Make the networks of published size on the meta device, for their shapes."""
    with torch.device("meta"):
        networks = {
            "transformer": HydraTransformer3DModel.from_config(
                {**remembering.settings, "memory_strategy": remembering.name}
            ).eval(),
            "vae": AutoencoderKLWan().eval(),
            "text_encoder": UMT5EncoderModel(UMT5Config(feed_forward_proj="gated-gelu", **FULL.text)).eval(),
        }
    return {name: shape_of(network, dtype) for name, network in networks.items()}


def clip(scale: Scale) -> dict[str, Any]:
    context = make_path("pan:left:20", scale.frames)
    shape = (scale.frames, scale.height, scale.width, 3)
    return {
        "video": np.random.default_rng(0).integers(0, 256, shape, dtype=np.uint8),
        "context_cameras": context,
        "target_cameras": make_path("pan:right:20", scale.frames, start=context.world_from_camera[-1]),
    }


@torch.no_grad()
def generation(scale: Scale, device: torch.device, out: Path, minutes: float) -> Lines:
    """Generate stage by stage, then as a user does; then compiled."""
    figures, world = measured(device, lambda: world_of(scale, device))
    millions = {name: round(sum(p.numel() for p in getattr(world, name).parameters()) / 1e6, 2)
                for name in ("transformer", "vae", "text_encoder")}  # fmt: skip
    yield {"what": "build", **figures, "million_parameters": millions, "size": [scale.height, scale.width],
           "frames": [scale.frames, scale.frames]}  # fmt: skip
    text = world.encode_text([PROMPT])
    yield {"what": "text", **tried(device, lambda: world.encode_text([PROMPT]), scale.rounds)}
    world.text_encoder.to("cpu")
    given = clip(scale)
    pixels = torch.from_numpy(given["video"]).movedim(-1, 1)[None] / 127.5 - 1
    figures, context = measured(device, lambda: world.encode_video(pixels))
    yield {"what": "encode", **figures}
    forward = one_forward(world, context, text)
    yield {"what": "forward, eager", **tried(device, forward, scale.rounds)}
    yield {"what": "decode", **tried(device, lambda: world.decode_latents(context))}
    result = None

    def whole() -> None:
        nonlocal result
        result = world(
            prompt_embeds=text, **given, num_inference_steps=scale.steps, guidance_scale=1.0, output_type="latent",
            generator=torch.Generator().manual_seed(7),
        )  # fmt: skip

    yield {"what": f"pipeline, {scale.steps} steps, no decoding", **tried(device, whole)} | (
        {} if result is None else {"stages": result.seconds, "finite": bool(result.frames.isfinite().all())}
    )
    if scale.compile:
        world.transformer.compile()
        yield {"what": "forward, compiled, the first", **tried(device, forward)}
        yield {"what": "forward, compiled", **tried(device, forward, scale.rounds)}


def one_forward(world: WorldModel, context: Tensor, text: Tensor) -> Callable[[], Tensor]:
    """Give one forward of the transformer: context and as long a target."""
    dtype, device = world.transformer.dtype, context.device
    latents = torch.cat([context, context], dim=2).to(dtype)
    cameras = torch.randn(1, context.shape[2], 12).to(device, dtype)
    timestep = torch.full((1,), 700.0, device=device)
    return lambda: world.transformer(latents, timestep, text.to(dtype), cameras, cameras).sample


def attention(scale: Scale, device: torch.device, out: Path, minutes: float) -> Lines:
    """Retrieval attention, the plain loop and dense attention, as shares of a matrix product's speed."""
    frames, rows, columns, heads, width = GRIDS[scale.attention_grid]
    states, selection = inputs(scale.attention_grid, frames, str(device), torch.bfloat16)
    square = torch.randn(scale.matrix, scale.matrix, device=device, dtype=torch.bfloat16)
    product = 2 * scale.matrix**3
    tokens = rows * columns
    seen = selection.frames.shape[-1] * tokens + selection.slices.shape[-1] * states[3].shape[2]
    keys = {"dense": frames * tokens}
    for backward in (False, True):
        if backward:
            for state in states:
                state.requires_grad_(True)
        with nullcontext() if backward else torch.no_grad():
            forms = candidates(states, selection, backward)
            for name, run in forms.items():
                matmul, _ = measured(device, lambda: square @ square, 5)
                speed = product / matmul["seconds"] if matmul["seconds"] else None
                tried(device, run)  # warms up
                figures = tried(device, run, scale.rounds)
                work = 4 * frames * tokens * keys.get(name, seen) * heads * width * (3.5 if backward else 1)
                share = work / figures["seconds"] / speed if figures.get("seconds") and speed else None
                yield {"what": name, "pass": "forward + backward" if backward else "forward", **figures,
                       "share_of_matmul": share, "matmul_tflops": speed and speed / 1e12}  # fmt: skip


def rollouts(scale: Scale, device: torch.device, out: Path, minutes: float) -> Lines:
    """Roll with banks and with the window: seconds of each stage, memory, and what a save writes."""
    given, frames = clip(scale), 5
    for name in ("hybrid", "window"):
        world = world_of(scale, device, name, text=False)
        settings = SamplingSettings(num_inference_steps=scale.steps, guidance_scale=1.0)
        figures, walk = measured(
            device,
            lambda world=world, settings=settings: world.start(
                given["video"], given["context_cameras"], "A fox.", settings=settings
            ),
        )
        yield {"what": f"{name}, start", **figures}
        for step in range(1 + scale.rounds):
            cameras = make_path("pan:right:5", frames if step == 0 else 8, start=walk.last_pose)
            figures = tried(device, lambda walk=walk, cameras=cameras: walk.step(cameras))
            if "trouble" in figures:
                yield {"what": f"{name}, step {step + 1}", **figures}
                break
            folder = out / f"walk_{name}"
            saving, _ = measured(torch.device("cpu"), lambda walk=walk, folder=folder: walk.save(folder))
            held = sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())
            yield {"what": f"{name}, step {step + 1}", **figures, "stages": walk.records[-1].seconds,
                   "save_seconds": saving["seconds"], "folder_mb": held / 1e6}  # fmt: skip
        walk.close()
        del world, walk


def training(scale: Scale, device: torch.device, out: Path, minutes: float) -> Lines:
    """Take a step of AdamW on all weights, with and without gradient checkpointing."""
    torch.manual_seed(0)
    with torch.device(device):
        transformer = HydraTransformer3DModel.from_config(scale.transformer)
    objective = WorldObjective(transformer, None).to(device).train()
    optimizer = torch.optim.AdamW(transformer.parameters(), lr=1e-5, fused=device.type == "cuda")
    batch = random_batch(scale, device)

    def step() -> None:
        with torch.autocast(device.type, torch.bfloat16, enabled=device.type == "cuda"):
            loss = objective(batch)["loss"].mean()
        loss.backward()
        optimizer.step()
        optimizer.zero_grad()

    for checkpointing in (True, False):
        if checkpointing:
            transformer.enable_gradient_checkpointing()
        else:
            transformer.disable_gradient_checkpointing()
        figures = tried(device, step)  # the first makes the optimizer's state
        yield {"what": "first step", "checkpointing": checkpointing, **figures}
        if "trouble" not in figures:
            yield {"what": "step", "checkpointing": checkpointing, **tried(device, step, scale.rounds)}
        optimizer.zero_grad()


def random_batch(scale: Scale, device: torch.device) -> dict[str, Tensor]:
    """Make what ``WorldObjective`` takes, of the scale's size."""
    frames = (scale.frames - 1) // 4 + 1
    shape = (1, 16, frames, scale.height // 8, scale.width // 8)
    made = {
        "context_latents": torch.randn(shape), "target_latents": torch.randn(shape), "noise": torch.randn(shape),
        "levels": torch.tensor([[700.0, 0.7, 1.0]]), "context_cameras": torch.randn(1, frames, 12),
        "target_cameras": torch.randn(1, frames, 12),
        "text_states": torch.randn(1, 512, scale.transformer.get("text_dim", 4096)),
    }  # fmt: skip
    return {name: value.to(device) for name, value in made.items()}
