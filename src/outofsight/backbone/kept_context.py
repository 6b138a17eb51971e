"""A context whose keys and values are made once a chunk, in its first denoising step, and looked at in the others.

    first step     context, target ──> every layer ──> velocity      keys and values of the context are kept
    later steps             target ──> every layer ──> velocity      the target looks at what was kept

An extension, not in the paper, and not exact: the context is then what it was beside the noisier target of the first
step, at that step's time. A later step costs as much as the target alone.
"""

from typing import NamedTuple

import torch
from jaxtyping import Float, Int
from torch import Tensor

from outofsight.types import LatentGrid


class LayerContext(NamedTuple):
    """What a sequence, or a context, was to one layer. ``states``: from which memory slices are made, where they are
    also made of the target; ``key``: rotated; ``slices``: what its frames retrieved; ``memory``: slices of the context
    alone, as keys before rotation and values."""

    states: Float[Tensor, "b n d"]
    key: Float[Tensor, "b n heads head_dim"]
    value: Float[Tensor, "b n heads head_dim"]
    slices: Int[Tensor, "b c k"]
    memory: tuple[Tensor, Tensor] | None


class KeptContext:
    """What a context was to every layer; empty until a forward has filled it. ``states``: of places, after it, where
    layers carry them (``memory.state_space``). ``is_made``: so that what is kept is looked at."""

    def __init__(self) -> None:
        self.states: dict[int, Tensor] = {}
        self.layers: dict[int, LayerContext] = {}
        self.is_made = False

    def of(self, layer: int) -> LayerContext | None:
        """Return what the context was to a layer, once that is made."""
        return self.layers[layer] if self.is_made else None

    def joined_or_kept(self, layer: int, now: LayerContext, grid: LatentGrid) -> tuple[Tensor, Tensor]:
        """Return a layer's keys and values, those of the context before the target's. ``now``: what the sequence (of
        ``grid``) is to the layer; while nothing is kept it is the whole one, and its context is kept."""
        before = self.of(layer)
        if before is not None:
            return torch.cat((before.key, now.key), dim=1), torch.cat((before.value, now.value), dim=1)
        frames, tokens = grid.context_frames, grid.context_frames * grid.tokens_per_frame
        self.layers[layer] = LayerContext(
            now.states[:, :tokens], now.key[:, :tokens], now.value[:, :tokens], now.slices[:, :frames], now.memory
        )  # fmt: skip
        return now.key, now.value
