"""What one forward of the model costs, from its configuration alone."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from math import prod
from typing import Any

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
    parts, (bank_tokens, bank_flops) = _Parts(config, grid, text_tokens), _bank_work(config, grid)
    keys, layers = parts.keys_per_query() + bank_tokens, config["num_layers"]
    return ForwardCost(
        tokens=parts.tokens,
        keys_per_query=keys,
        bank_keys_per_query=bank_tokens,
        attention_flops=layers * 4 * parts.tokens * keys * parts.width,
        linear_flops=layers * parts.block() + parts.ends() + parts.beside(num_subjects),
        observe_flops=bank_flops,
        keys_flops=parts.bank_keys(bank_tokens) if bank_tokens else 0,
    )


def _width(config: Mapping[str, Any]) -> int:
    return int(config["num_attention_heads"] * config["attention_head_dim"])


def sequence_grid(config: Mapping[str, Any], grid: LatentGrid) -> LatentGrid:
    """Return the token grid that is left when the strategy has chosen its context frames."""
    kept = num_kept(grid, read_group("context", config)) if grid.context_frames else 0
    return replace(grid, frames=grid.frames - grid.context_frames + kept, context_frames=kept)


def dense_attention_flops(config: Mapping[str, Any], grid: LatentGrid) -> int:
    """Count what self-attention would cost if every token saw every other."""
    return int(config["num_layers"] * 4 * grid.num_tokens**2 * _width(config))


class _Parts:
    """The products of a forward's parts. ``square``: of one token with a matrix as wide as the model; ``camera``: of
    its frame's pose, ``rays``: of its own ray, with their encoders."""

    def __init__(self, config: Mapping[str, Any], whole: LatentGrid, text_tokens: int) -> None:
        self.config, self.whole, self.text_tokens = config, whole, text_tokens
        self.grid = sequence_grid(config, whole)
        self.tokens, self.width = self.grid.num_tokens, _width(config)
        self.square, self.camera = 2 * self.width**2, 2 * 12 * self.width
        octaves = config["camera_ray_octaves"]
        self.rays = 2 * num_ray_features(octaves) * self.width if octaves else 0
        self.settings = read_group("memory", config)
        self.memory = None
        if self.settings.retrieves:
            frames = self.grid.context_frames if self.settings.source == "context" else self.grid.frames
            self.memory = memory_grid(replace(self.grid, frames=frames), self.settings.kernel)

    def keys_per_query(self) -> int:
        window = min(self.settings.local_window or self.grid.frames, self.grid.frames)
        state = prod(self.config["state_grid"]) if self.config["state_grid"] is not None else 0
        near = window * self.grid.tokens_per_frame + state
        if self.memory is None:
            return near
        chosen = self.memory.frames if self.settings.affinity == "all" else self.settings.top_k
        return near + min(chosen, self.memory.frames) * self.memory.tokens_per_frame

    def block(self) -> int:
        """Count a block but for self-attention's products."""
        cost = self.tokens * 5 * self.square  # query, key, value, output, projector
        if self.memory is not None:
            made = prod(self.settings.kernel) + 2  # tokenizer, key, value
            cost += self.memory.num_tokens * made * self.square + self._selection(self.memory)
        return cost + self.grid.frames * self.camera + self.tokens * self.rays + self._across(self.tokens)

    def _selection(self, memory: LatentGrid) -> int:
        if self.settings.affinity in ("all", "fov_overlap"):
            return 0
        paired = memory.tokens_per_frame if self.settings.affinity == "position_paired" else 1
        return 2 * self.grid.frames * memory.frames * self.width * paired

    def _across(self, tokens: int) -> int:
        """Count a block's cross-attention and feed-forward."""
        cross = (tokens + self.text_tokens) * 2 * self.square + 4 * tokens * self.text_tokens * self.width
        return int(cross + tokens * 4 * self.width * self.config["ffn_dim"])

    def ends(self) -> int:
        """Count patch embedding, last projection, and the embedding of caption and time steps."""
        config = self.config
        channels = config["in_channels"] + config["out_channels"] + (config["subject_mask"] != "none")
        levels = self.tokens if config["frame_noise"] == "independent" else 1
        return 2 * self.tokens * self.width * prod(config["patch_size"]) * channels + self._conditions(levels)

    def _conditions(self, levels: int) -> int:
        text = 2 * self.text_tokens * (self.config["text_dim"] + self.width) * self.width
        return int(text + 2 * levels * (self.config["freq_dim"] + 7 * self.width) * self.width)

    def bank_keys(self, tokens: int) -> int:
        """Count what running the retrieved tokens through the blocks costs."""
        attention = tokens * 5 * self.square + 4 * tokens**2 * self.width
        cameras = tokens * (2 * self.camera + self.rays)
        block = attention + cameras + self._across(tokens)
        return int(self.config["num_layers"] * block + self._conditions(1))

    def beside(self, num_subjects: int) -> int:
        """Count the memories beside the sequence: the state's reading, and crops with their cross-attention."""
        config, width, flops = self.config, self.width, 0
        channels, layers = config["in_channels"], config["num_layers"]
        if (grid := config["state_grid"]) is not None:
            flops += recurrence_flops(channels, config["state_width"], grid, width, self.whole.context_frames)
            flops += layers * 2 * prod(grid) * self.square  # keys and values
        if config["state_space_every"] is not None:
            flops += self._state_space(config["state_space_every"])
        if (grid := config["identity_grid"]) is not None:
            flops += identity_flops(channels, grid, width, num_subjects, self.tokens, layers)
        return flops

    def _state_space(self, every: int) -> int:
        """Count the blocks' states: frames left out are embedded once, and each such block reads them with their
        cameras."""
        older = self.whole.num_tokens - self.tokens
        per_block = state_space_flops(self.width, older, self.tokens)
        per_block += older // self.whole.tokens_per_frame * self.camera + older * self.rays
        blocks = sum(has_state_space(layer, every) for layer in range(self.config["num_layers"]))
        embedded = 2 * older * self.width * self.config["in_channels"] * prod(self.config["patch_size"])
        return int(blocks * per_block + embedded)


def _bank_work(config: Mapping[str, Any], whole: LatentGrid) -> tuple[int, int]:
    """Return how many tokens a chunk retrieves, and what seeing the context and retrieving costs.

    It is gone through, and counted, on torch's meta device. Every frame costs what one does.
    """
    if config["banks"] is None or not whole.context_frames:
        return 0, 0
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
        return retrieved.known.shape[1], flops
    own = retrieved.known.shape[1] if memory.settings.top_k else 0
    return own + target * whole.tokens_per_frame, flops + target * embedding
