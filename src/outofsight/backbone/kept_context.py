"""A context whose keys and values are made once a chunk, in its first denoising step, and looked at in the others.

    first step     context, target ──> every layer ──> velocity      keys and values of the context are kept
    later steps             target ──> every layer ──> velocity      the target looks at what was kept

An extension, not in the paper, and not exact: the context is then what it was beside the noisier target of the first
step, at that step's time. A later step costs as much as the target alone.
"""

from dataclasses import replace
from typing import TYPE_CHECKING, NamedTuple

from jaxtyping import Float, Int
from torch import Tensor

from outofsight.nn.rope import RotaryTable
from outofsight.types import LatentGrid

if TYPE_CHECKING:
    from outofsight.backbone.attention import AttentionGuide
    from outofsight.backbone.sequence import Sequence


class LayerContext(NamedTuple):
    """What a context was to one layer. ``states``: from which memory slices are made, where they are also made of the
    target; ``slices``: what its frames retrieved; ``memory``: slices of the context alone, as keys before and after
    rotation, and values."""

    states: Float[Tensor, "b n d"]
    key: Float[Tensor, "b n heads head_dim"]
    value: Float[Tensor, "b n heads head_dim"]
    slices: Int[Tensor, "b c k"]
    memory: tuple[Tensor, Tensor, Tensor] | None


class KeptContext:
    """What a context was to every layer; empty until a forward has filled it. ``states``: of places, after it, where
    layers carry them (``memory.state_space``)."""

    def __init__(self) -> None:
        self.states: dict[int, Tensor] = {}
        self.layers: dict[int, LayerContext] = {}
        self.is_made = False


def target_guide(guide: "AttentionGuide") -> "AttentionGuide":
    """Return what the layers need where the sequence is the target alone."""
    begins = guide.grid.context_frames
    tokens = begins * guide.grid.tokens_per_frame
    memory = guide.memory
    if memory is not None:
        scores = None if memory.camera_scores is None else memory.camera_scores[:, begins:]
        memory = memory._replace(excluded=memory.excluded[begins:], camera_scores=scores)
    return guide._replace(
        grid=target_grid(guide.grid),
        rotary=RotaryTable(*(part[..., tokens:, :] for part in guide.rotary)),
        context_cameras=guide.context_cameras[:, :0],
        windows=guide.windows[begins:],
        memory=memory,
        rays=None if guide.rays is None else guide.rays[:, tokens:],
    )


def target_sequence(sequence: "Sequence") -> "Sequence":
    """Leave the context out of a sequence."""
    begins, timestep = sequence.grid.context_frames, sequence.timestep
    return sequence._replace(
        latents=sequence.latents[:, :, begins:],
        timestep=timestep[:, begins:] if timestep.ndim == 2 else timestep,
        context_cameras=sequence.context_cameras[:, :0],
        grid=target_grid(sequence.grid),
    )


def target_grid(grid: LatentGrid) -> LatentGrid:
    return replace(grid, frames=grid.frames - grid.context_frames, context_frames=0)
