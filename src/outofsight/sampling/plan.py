"""What a run will need, found by going through it on torch's meta device: shapes only, no weights, no arithmetic.

For one run of a model, or for every memory strategy at one size.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import nn

from outofsight.backbone.cost import ForwardCost, dense_attention_flops, forward_cost
from outofsight.backbone.sequence import CAMERA_DIM
from outofsight.backbone.transformer import HydraTransformer3DModel
from outofsight.codec.video_vae import LatentTiling, VideoAutoencoder, clock_of, spatial_factor
from outofsight.errors import InputError
from outofsight.memory.strategies import Strategy
from outofsight.model_folders import find_model
from outofsight.nn.live_bytes import peak_bytes, shape_of
from outofsight.types import LatentGrid
from outofsight.whole_models import check_folder, check_transformer_config, empty_networks

TEXT_TOKENS = 512


@dataclass(frozen=True, kw_only=True)
class VideoSize:
    """Frames and pixels of a run."""

    height: int
    width: int
    context_frames: int
    target_frames: int


@dataclass(frozen=True, kw_only=True)
class RunPlan:
    """``peak_bytes``: by stage, the most that weights of that stage's network, inputs and activations hold at once;
    kernels' own workspaces and the allocator's slack come on top. ``weight_bytes``: by component."""

    grid: LatentGrid
    forward: ForwardCost
    dense_attention_flops: int
    num_forwards: int
    guided: bool
    weight_bytes: dict[str, int]
    num_parameters: dict[str, int]
    peak_bytes: dict[str, int]

    @property
    def denoise_flops(self) -> int:
        keys = (1 + self.guided) * self.forward.keys_flops
        return self.num_forwards * self.forward.flops + self.forward.observe_flops + keys


def plan_run(
    networks: dict[str, Any],
    size: VideoSize,
    *,
    num_inference_steps: int,
    guided: bool,
    tiling: LatentTiling | None = None,
) -> RunPlan:
    """Plan a continuation with these networks, which lie on the meta device in the dtype they will run in.

    ``networks``: ``transformer``, ``vae``, and any others, of which only the weights are counted.

    Raises:
        InputError: a size or number of frames that the model cannot take.
    """
    transformer, vae = networks["transformer"], networks["vae"]
    grid = token_grid(transformer, vae, size)
    weights = {name: network_bytes(network) for name, network in networks.items()}
    peaks = {
        "encode": weights["vae"] + encode_peak(vae, size, tiling),
        "denoise": weights["transformer"] + forward_peak_bytes(transformer, grid, TEXT_TOKENS),
        "decode": weights["vae"] + _decode_peak(vae, size, tiling),
    }
    return RunPlan(
        grid=grid,
        forward=forward_cost(transformer.config, grid, TEXT_TOKENS),
        dense_attention_flops=dense_attention_flops(transformer.config, grid),
        num_forwards=num_inference_steps * forwards_per_step(transformer.config, guided=guided),
        guided=guided,
        weight_bytes=weights,
        num_parameters={
            name: sum(p.numel() for p in network.parameters()) for name, network in networks.items()
        },
        peak_bytes=peaks,
    )


def networks_on_meta(name_or_path: str, dtype: torch.dtype) -> dict[str, Any]:
    """Make a model's networks from its configuration files alone, on the meta device.

    Raises:
        CheckpointError: there is no such folder or hub id, or a configuration is not this model's.
    """
    name_or_path = str(find_model(name_or_path))
    if Path(name_or_path).exists():
        check_folder(Path(name_or_path))
    networks = empty_networks(name_or_path)
    check_transformer_config(networks["transformer"].config, name_or_path)
    return {name: shape_of(network, dtype) for name, network in networks.items()}


def token_grid(transformer: HydraTransformer3DModel, vae: VideoAutoencoder, size: VideoSize) -> LatentGrid:
    """Return the transformer's token grid for videos of this size."""
    context, target = (clock_of(vae).num_latent(n) for n in (size.context_frames, size.target_frames))
    _, patch_rows, patch_columns = transformer.config["patch_size"]
    steps = (spatial_factor(vae) * patch_rows, spatial_factor(vae) * patch_columns)
    if size.height % steps[0] or size.width % steps[1]:
        raise InputError(
            f"this model needs a height divisible by {steps[0]} and a width divisible by {steps[1]}, "
            f"got {size.height}×{size.width}"
        )
    return LatentGrid(
        frames=context + target,
        height=size.height // steps[0],
        width=size.width // steps[1],
        context_frames=context,
    )


def network_bytes(network: nn.Module) -> int:
    """Count the bytes of a network's state."""
    return sum(tensor.nbytes for tensor in network.state_dict().values())


def forwards_per_step(config: Mapping[str, Any], *, guided: bool) -> int:
    """Return how often the sampler runs the transformer in a step: guidance by text and by history cost one each."""
    return 1 + guided + (config["history_guidance"] != 1)


def forward_peak_bytes(transformer: HydraTransformer3DModel, grid: LatentGrid, text_tokens: int) -> int:
    """Return the most bytes that inputs and activations of one forward hold at once; one subject where masks are asked.

    ``transformer``: on the meta device.
    """
    config, dtype = transformer.config, transformer.dtype
    _, patch_rows, patch_columns = config["patch_size"]

    def run() -> None:
        shape = (1, config["in_channels"], grid.frames, grid.height * patch_rows, grid.width * patch_columns)
        latents = torch.empty(shape, dtype=dtype, device="meta")
        text = torch.empty(1, text_tokens, config["text_dim"], dtype=dtype, device="meta")
        cameras = torch.empty(1, grid.frames, CAMERA_DIM, device="meta")
        context, target = cameras[:, : grid.context_frames], cameras[:, grid.context_frames :]
        masks = (
            torch.empty(1, 1, *shape[2:], device="meta")
            if transformer.needs_subject_masks != "none"
            else None
        )
        transformer(latents, torch.empty(1, device="meta"), text, context, target, subject_masks=masks)

    return peak_bytes(run)


def _tile_size(vae: VideoAutoencoder, size: VideoSize, tiling: LatentTiling | None) -> tuple[int, int]:
    """Return rows and columns of latent pixels that the VAE works on at a time."""
    factor = spatial_factor(vae)
    rows, columns = size.height // factor, size.width // factor
    return (rows, columns) if tiling is None else (min(rows, tiling.tile[0]), min(columns, tiling.tile[1]))


def encode_peak(vae: VideoAutoencoder, size: VideoSize, tiling: LatentTiling | None) -> int:
    """Return the most bytes that encoding the context holds at once, without weights."""
    factor = spatial_factor(vae)
    rows, columns = _tile_size(vae, size, tiling)

    def run() -> None:
        shape = (1, 3, size.context_frames, rows * factor, columns * factor)
        vae.encode(torch.empty(shape, dtype=vae.dtype, device="meta"))

    return peak_bytes(run) + 4 * 3 * size.context_frames * size.height * size.width


def _decode_peak(vae: VideoAutoencoder, size: VideoSize, tiling: LatentTiling | None) -> int:
    rows, columns = _tile_size(vae, size, tiling)

    def run() -> None:
        shape = (1, vae.config["z_dim"], clock_of(vae).num_latent(size.target_frames), rows, columns)
        vae.decode(torch.empty(shape, dtype=vae.dtype, device="meta"))

    return peak_bytes(run) + 4 * 3 * size.target_frames * size.height * size.width


@dataclass(frozen=True, kw_only=True)
class StrategyCost:
    """One strategy at one size; FLOPs are of one forward of one clip, a multiply-add counts as two.

    ``tokens``: in the sequence. ``once_flops``: what is done once for all denoising steps (the two banks' work).
    ``forwards_per_step``: without guidance by text. ``num_parameters``: those that are used. ``activation_bytes``: the
    most that inputs and activations of a forward hold at once. ``problem``: why the strategy does not fit the size; the
    figures are then ``None``.
    """

    name: str
    what: str
    source: str
    tokens: int | None = None
    keys_per_query: int | None = None
    attention_flops: int | None = None
    flops: int | None = None
    once_flops: int | None = None
    forwards_per_step: int | None = None
    num_parameters: int | None = None
    activation_bytes: int | None = None
    problem: str | None = None


def strategy_costs(
    strategies: Iterable[Strategy],
    config: Mapping[str, Any],
    grid: LatentGrid,
    text_tokens: int,
) -> tuple[StrategyCost, ...]:
    """Count every strategy on a transformer's configuration. ``grid``: its token grid, the whole context included."""
    return tuple(_cost(each, config, grid, text_tokens) for each in strategies)


def _cost(chosen: Strategy, config: Mapping[str, Any], grid: LatentGrid, text_tokens: int) -> StrategyCost:
    named: dict[str, Any] = {"name": chosen.name, "what": chosen.what, "source": chosen.source}
    arguments = {key: value for key, value in config.items() if not key.startswith("_")}
    try:
        with torch.device("meta"):
            model = HydraTransformer3DModel.from_config({**arguments, **chosen.settings})
        cost = forward_cost(model.config, grid, text_tokens)
        shape_of(model, torch.bfloat16)
        peak = forward_peak_bytes(model, grid, text_tokens)
    except InputError as error:
        return StrategyCost(**named, problem=str(error))
    return StrategyCost(
        **named,
        tokens=cost.tokens,
        keys_per_query=cost.keys_per_query,
        attention_flops=cost.attention_flops,
        flops=cost.flops,
        once_flops=cost.observe_flops + cost.keys_flops,
        forwards_per_step=forwards_per_step(model.config, guided=False),
        num_parameters=_used_parameters(model),
        activation_bytes=peak,
    )


def _used_parameters(model: HydraTransformer3DModel) -> int:
    """Count parameters; a tokenizer that makes no slices is carried along, but not used."""
    idle = () if model.memory_settings.retrieves else (".tokenizer.",)
    return sum(
        value.numel() for name, value in model.named_parameters() if not any(part in name for part in idle)
    )
