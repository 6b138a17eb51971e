"""Rendered memory as history: what memory renders of a coming frame, as clean tokens at that frame's own time.

::

    context     0 1 2 3 4 │ target  5  6  7  8
    rendered                        5' 6' 7' 8'     where memory knows the place; unseen tokens are dropped

It needs no weights of its own: tokens are made, and pass through the blocks once, as those that the two banks retrieve.
"""

from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor
from torch.nn.functional import avg_pool2d

from outofsight.backbone.rendered import NUM_MASKS
from outofsight.memory.banks.state import RetrievedMemory
from outofsight.nn.cameras import Lenses
from outofsight.nn.rope import token_rays
from outofsight.types import LatentGrid

KNOWN_SHARE = 0.5
"""A token counts as seen where memory covers at least this share of it, over its four video frames."""


def history_tokens(
    transformer: Any,
    rendered: Float[Tensor, "b channels_and_8 t height width"],
    cameras: Float[Tensor, "b t 12"],
    intrinsics: Lenses,
    first_time: int,
) -> RetrievedMemory:
    """Make tokens of rendered memory. ``first_time``: the first coming latent frame's place in the sequence.

    They bear the context's camera embedding, since they are clean, at the pose of the frame that they predict.

    Source: Warp-as-History (LoRA on a long-video model); here without training, and each token passes once.
    """
    channels, num_frames = rendered.shape[1] - NUM_MASKS, rendered.shape[2]
    patch = transformer.config["patch_size"][1:]
    pictures = transformer.patch_embedding(rendered[:, :channels].to(transformer.dtype))
    rows, columns = pictures.shape[-2:]
    coverage = rendered[:, channels : channels + NUM_MASKS // 2].float().mean(dim=1)
    grid = LatentGrid(frames=num_frames, height=rows, width=columns, context_frames=0)
    directions, moments = token_rays(cameras, grid, intrinsics)
    places = torch.cartesian_prod(
        *(torch.arange(size, device=rendered.device) for size in (num_frames, rows, columns))
    )
    places = places.float() + places.new_tensor([first_time, 0, 0])
    batch, count = len(rendered), len(places)
    none = torch.full((batch, count), -1, device=rendered.device)
    return RetrievedMemory(
        tokens=pictures.flatten(2).transpose(1, 2),
        known=avg_pool2d(coverage, patch).flatten(1) >= KNOWN_SHARE,
        places=places.expand(batch, -1, -1),
        poses=cameras.float().repeat_interleave(grid.tokens_per_frame, dim=1),
        directions=directions,
        moments=moments,
        subjects=torch.zeros_like(none, dtype=torch.bool),
        scores=rendered.new_zeros(batch, num_frames, 0),
        slots=none,
        frames=none,
    )


def joined_history(retrieved: RetrievedMemory | None, history: RetrievedMemory) -> RetrievedMemory:
    """Lay rendered memory's tokens beside what the banks retrieved."""
    if retrieved is None:
        return history
    beside = history.by_token()
    tokens = {
        name: torch.cat((own, beside[name].to(own)), dim=1) for name, own in retrieved.by_token().items()
    }
    return RetrievedMemory(**tokens, scores=retrieved.scores)
