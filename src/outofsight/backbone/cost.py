"""What one forward of the model costs, from its configuration alone."""

from collections.abc import Mapping
from dataclasses import dataclass
from math import prod
from typing import Any

from outofsight.memory.tokenizer import memory_grid
from outofsight.nn.rays import num_ray_features
from outofsight.types import LatentGrid


@dataclass(frozen=True, kw_only=True)
class ForwardCost:
    """Floating-point operations of one forward of one video; a multiply-add counts as two."""

    keys_per_query: int
    attention_flops: int  # self-attention's two products
    linear_flops: int  # everything else: projections, feed-forward, cross-attention, tokenizer, embeddings

    @property
    def flops(self) -> int:
        return self.attention_flops + self.linear_flops


def forward_cost(config: Mapping[str, Any], grid: LatentGrid, text_tokens: int = 512) -> ForwardCost:
    """Count one forward of ``HydraTransformer3DModel`` with this configuration.

    ``grid``: the token grid, context included. Norms, activations and the softmax are not counted.
    """
    width = config["num_attention_heads"] * config["attention_head_dim"]
    layers, tokens = config["num_layers"], grid.num_tokens
    keys = _keys_per_query(config, grid)
    attention = layers * 4 * tokens * keys * width
    block = _block_linear_flops(config, grid, width, text_tokens)
    patch = prod(config["patch_size"])
    ends = 2 * tokens * width * patch * (config["in_channels"] + config["out_channels"])
    embed = 2 * text_tokens * (config["text_dim"] + width) * width
    time = 2 * (config["freq_dim"] + width + 6 * width) * width
    return ForwardCost(
        keys_per_query=keys, attention_flops=attention, linear_flops=layers * block + ends + embed + time
    )


def dense_attention_flops(config: Mapping[str, Any], grid: LatentGrid) -> int:
    """Count what self-attention would cost if every token saw every other."""
    width = config["num_attention_heads"] * config["attention_head_dim"]
    return config["num_layers"] * 4 * grid.num_tokens**2 * width


def _memory_source(config: Mapping[str, Any], grid: LatentGrid) -> LatentGrid:
    frames = grid.context_frames if config["memory_source"] == "context" else grid.frames
    return LatentGrid(frames=frames, height=grid.height, width=grid.width)


def _keys_per_query(config: Mapping[str, Any], grid: LatentGrid) -> int:
    memory = memory_grid(_memory_source(config, grid), tuple(config["memory_kernel"]))
    slices = (
        memory.frames if config["memory_affinity"] == "all" else min(config["memory_top_k"], memory.frames)
    )
    window = min(config["local_window"], grid.frames)
    return window * grid.tokens_per_frame + slices * memory.tokens_per_frame


def _block_linear_flops(config: Mapping[str, Any], grid: LatentGrid, width: int, text_tokens: int) -> int:
    kernel, tokens = tuple(config["memory_kernel"]), grid.num_tokens
    memory_tokens = memory_grid(_memory_source(config, grid), kernel).num_tokens
    square = 2 * width * width
    attention = tokens * 5 * square  # query, key, value, output, projector
    memory = memory_tokens * (prod(kernel) + 2) * square  # tokenizer, key, value
    cameras = 2 * grid.frames * 12 * width
    if octaves := config["camera_ray_octaves"]:
        cameras += 2 * grid.num_tokens * num_ray_features(octaves) * width
    cross = tokens * 2 * square + text_tokens * 2 * square + 4 * tokens * text_tokens * width
    feed_forward = tokens * 4 * width * config["ffn_dim"]
    return attention + memory + cameras + cross + feed_forward + _selection_flops(config, grid, width)


def _selection_flops(config: Mapping[str, Any], grid: LatentGrid, width: int) -> int:
    memory = memory_grid(_memory_source(config, grid), tuple(config["memory_kernel"]))
    if config["memory_affinity"] in ("all", "fov_overlap"):
        return 0
    channels = width * (memory.tokens_per_frame if config["memory_affinity"] == "position_paired" else 1)
    return 2 * grid.frames * memory.frames * channels
