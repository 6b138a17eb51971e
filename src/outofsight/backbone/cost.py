"""What one forward of the model costs, from its configuration alone."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from math import prod
from typing import Any, NamedTuple

import torch
from torch.utils.flop_counter import FlopCounterMode

from outofsight.backbone.bank_memory import two_bank_memory
from outofsight.memory.context_choice import num_kept
from outofsight.memory.rivals import identity_flops, recurrence_flops
from outofsight.memory.selectors import memory_grid
from outofsight.memory.settings import read_group
from outofsight.memory.state_space import has_state_space, state_space_flops
from outofsight.nn.rope import num_ray_features
from outofsight.types import LatentGrid


@dataclass(frozen=True, kw_only=True)
class ForwardCost:
    """Floating-point operations of one forward of one video; a multiply-add counts as two.

    ``tokens``: in the sequence, after a strategy's choice of context frames. ``observe_flops``, ``keys_flops``: the two
    banks' work, done once for all denoising steps: seeing the context and retrieving; making keys, for each caption.
    With banks these are the most: every slot filled, every subject in view.
    """

    tokens: int
    keys_per_query: int  # of the sequence, and what the banks retrieve
    bank_keys_per_query: int  # of these
    attention_flops: int  # self-attention's two products
    linear_flops: int  # everything else: projections, feed-forward, cross-attention, tokenizer, embeddings
    observe_flops: int = 0
    keys_flops: int = 0

    @property
    def flops(self) -> int:
        return self.attention_flops + self.linear_flops


def forward_cost(
    config: Mapping[str, Any], grid: LatentGrid, text_tokens: int = 512, num_subjects: int = 1
) -> ForwardCost:
    """Count one forward of ``HydraTransformer3DModel`` with this configuration.

    ``grid``: the token grid, the whole context included. ``num_subjects``: whose crops are shown, if any are. Norms,
    activations, pooling, choosing and the softmax are not counted.
    """
    width = config["num_attention_heads"] * config["attention_head_dim"]
    layers, whole = config["num_layers"], grid
    grid = sequence_grid(config, grid)
    tokens = grid.num_tokens
    banks = _bank_work(config, whole)
    keys = _keys_per_query(config, grid) + banks.tokens
    attention = layers * 4 * tokens * keys * width
    block = _block_linear_flops(config, grid, width, text_tokens)
    patch = prod(config["patch_size"])
    channels = config["in_channels"] + config["out_channels"] + (config["subject_mask"] != "none")
    ends = 2 * tokens * width * patch * channels
    embed = 2 * text_tokens * (config["text_dim"] + width) * width
    levels = grid.frames * grid.tokens_per_frame if config["frame_noise"] == "independent" else 1
    time = 2 * levels * (config["freq_dim"] + width + 6 * width) * width
    beside = _beside_flops(config, whole, tokens, num_subjects)
    return ForwardCost(
        tokens=tokens,
        keys_per_query=keys,
        bank_keys_per_query=banks.tokens,
        attention_flops=attention,
        linear_flops=layers * block + ends + embed + time + beside,
        observe_flops=banks.flops,
        keys_flops=_bank_keys_flops(config, banks.tokens, text_tokens),
    )


def sequence_grid(config: Mapping[str, Any], grid: LatentGrid) -> LatentGrid:
    """Return the token grid that is left when the strategy has chosen its context frames."""
    kept = num_kept(grid, read_group("context", config)) if grid.context_frames else 0
    return replace(grid, frames=grid.frames - grid.context_frames + kept, context_frames=kept)


def dense_attention_flops(config: Mapping[str, Any], grid: LatentGrid) -> int:
    """Count what self-attention would cost if every token saw every other."""
    width = config["num_attention_heads"] * config["attention_head_dim"]
    return config["num_layers"] * 4 * grid.num_tokens**2 * width


def _beside_flops(config: Mapping[str, Any], whole: LatentGrid, tokens: int, num_subjects: int) -> int:
    """Count the memories beside the sequence: the state's reading, and crops with their cross-attention."""
    width = config["num_attention_heads"] * config["attention_head_dim"]
    channels, layers, flops = config["in_channels"], config["num_layers"], 0
    if (grid := config["state_grid"]) is not None:
        flops += recurrence_flops(channels, config["state_width"], grid, width, whole.context_frames)
        flops += layers * 4 * prod(grid) * width * width  # keys and values
    if config["state_space_every"] is not None:
        flops += _state_space_flops(config, whole, tokens)
    if (grid := config["identity_grid"]) is not None:
        flops += identity_flops(channels, grid, width, num_subjects, tokens, layers)
    return flops


def _state_space_flops(config: Mapping[str, Any], whole: LatentGrid, tokens: int) -> int:
    """Count the blocks' states: frames left out are embedded once, and read by each such block with their cameras."""
    width = config["num_attention_heads"] * config["attention_head_dim"]
    older = whole.num_tokens - tokens
    per_block = state_space_flops(width, older, tokens)
    per_block += 2 * older // whole.tokens_per_frame * 12 * width
    if octaves := config["camera_ray_octaves"]:
        per_block += 2 * older * num_ray_features(octaves) * width
    blocks = sum(has_state_space(layer, config["state_space_every"]) for layer in range(config["num_layers"]))
    return blocks * per_block + 2 * older * width * config["in_channels"] * prod(config["patch_size"])


class _BankWork(NamedTuple):
    """``tokens``: retrieved for a chunk. ``flops``: of seeing the context and retrieving."""

    tokens: int
    flops: int


def _bank_work(config: Mapping[str, Any], whole: LatentGrid) -> _BankWork:
    """Go through the two banks' work on torch's meta device, and count it there. Every frame costs what one does."""
    if config["banks"] is None or not whole.context_frames:
        return _BankWork(0, 0)
    context, target = whole.context_frames, whole.frames - whole.context_frames
    patch, channels = config["patch_size"], config["in_channels"]
    with torch.device("meta"), torch.no_grad():
        memory = two_bank_memory(config)
        tokens = torch.empty(1, 1, whole.tokens_per_frame, memory.dim)
        latents = torch.empty(1, channels, 1, whole.height * patch[1], whole.width * patch[2])
        past, coming = torch.empty(1, 1, 12), torch.empty(1, target, 12)
        lens = torch.empty(1, 4)
        with FlopCounterMode(display=False) as seeing:
            banks, _ = memory.observe(memory.empty(1, whole), tokens, latents, past, past[..., 0], lens)
        with FlopCounterMode(display=False) as retrieving:
            retrieved = memory.retrieve(banks, coming, coming[..., 0], lens, whole, context)
    embedding = 2 * whole.tokens_per_frame * memory.dim * channels * prod(patch)
    flops = context * (seeing.get_total_flops() + embedding) + retrieving.get_total_flops()
    if memory.settings.shown != "history":
        return _BankWork(retrieved.known.shape[1], flops)
    own = retrieved.known.shape[1] if memory.settings.top_k else 0
    return _BankWork(own + target * whole.tokens_per_frame, flops + target * embedding)


def _bank_keys_flops(config: Mapping[str, Any], tokens: int, text_tokens: int) -> int:
    """Count what running the retrieved tokens through the blocks costs."""
    if not tokens:
        return 0
    width = config["num_attention_heads"] * config["attention_head_dim"]
    square = 2 * width * width
    attention = tokens * 5 * square + 4 * tokens**2 * width
    cameras = 2 * 2 * tokens * 12 * width
    if octaves := config["camera_ray_octaves"]:
        cameras += 2 * tokens * num_ray_features(octaves) * width
    embed = 2 * text_tokens * (config["text_dim"] + width) * width
    time = 2 * (config["freq_dim"] + width + 6 * width) * width
    across = _across_flops(config, tokens, text_tokens)
    return int(config["num_layers"] * (attention + cameras + across) + embed + time)


def _across_flops(config: Mapping[str, Any], tokens: int, text_tokens: int) -> int:
    """Count a block's cross-attention and feed-forward."""
    width = config["num_attention_heads"] * config["attention_head_dim"]
    square = 2 * width * width
    cross = tokens * 2 * square + text_tokens * 2 * square + 4 * tokens * text_tokens * width
    return int(cross + tokens * 4 * width * config["ffn_dim"])


def _retrieves(config: Mapping[str, Any]) -> bool:
    return config["memory_top_k"] > 0 or config["memory_affinity"] == "all"


def _memory_source(config: Mapping[str, Any], grid: LatentGrid) -> LatentGrid:
    frames = grid.context_frames if config["memory_source"] == "context" else grid.frames
    return LatentGrid(frames=frames, height=grid.height, width=grid.width)


def _keys_per_query(config: Mapping[str, Any], grid: LatentGrid) -> int:
    window = grid.frames if config["local_window"] is None else min(config["local_window"], grid.frames)
    state = prod(config["state_grid"]) if config["state_grid"] is not None else 0
    near = window * grid.tokens_per_frame + state
    if not _retrieves(config):
        return near
    memory = memory_grid(_memory_source(config, grid), tuple(config["memory_kernel"]))
    slices = (
        memory.frames if config["memory_affinity"] == "all" else min(config["memory_top_k"], memory.frames)
    )
    return near + slices * memory.tokens_per_frame


def _block_linear_flops(config: Mapping[str, Any], grid: LatentGrid, width: int, text_tokens: int) -> int:
    kernel, tokens = tuple(config["memory_kernel"]), grid.num_tokens
    square = 2 * width * width
    attention = tokens * 5 * square  # query, key, value, output, projector
    memory = 0
    if _retrieves(config):
        memory_tokens = memory_grid(_memory_source(config, grid), kernel).num_tokens
        memory = memory_tokens * (prod(kernel) + 2) * square  # tokenizer, key, value
        memory += _selection_flops(config, grid, width)
    cameras = 2 * grid.frames * 12 * width
    if octaves := config["camera_ray_octaves"]:
        cameras += 2 * grid.num_tokens * num_ray_features(octaves) * width
    return attention + memory + cameras + _across_flops(config, tokens, text_tokens)


def _selection_flops(config: Mapping[str, Any], grid: LatentGrid, width: int) -> int:
    memory = memory_grid(_memory_source(config, grid), tuple(config["memory_kernel"]))
    if config["memory_affinity"] in ("all", "fov_overlap"):
        return 0
    channels = width * (memory.tokens_per_frame if config["memory_affinity"] == "position_paired" else 1)
    return 2 * grid.frames * memory.frames * channels
