"""Wan's patch embedding with further input channels beside the noisy latents: subjects' masks, rendered memory.

As in Wan's image-to-video model, whose noise, mask and picture are channels of one patch embedding.
"""

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn.functional import conv3d, pad

from outofsight.errors import InputError


class MaskedPatchEmbedding(nn.Conv3d):
    """Wan's patch embedding with one more input channel, whose weights begin at zero."""

    def __init__(self, channels: int, dim: int, patch: tuple[int, int, int]) -> None:
        super().__init__(channels, dim, kernel_size=patch, stride=patch)
        self.mask_weight = nn.Parameter(torch.zeros(dim, 1, *patch))

    def forward(self, latents: Tensor, masks: Float[Tensor, "b 1 f height width"] | None = None) -> Tensor:
        if masks is None:
            raise InputError("call the model itself: its forward takes subject_masks")
        return super().forward(latents) + conv3d(
            masks.to(latents.dtype), self.mask_weight.to(latents.dtype), stride=self.stride
        )


class RenderedPatchEmbedding(nn.Conv3d):
    """Wan's patch embedding, to which further channels may be added.

    ``rendered``: those channels of the target's frames, the last of the sequence; ``weight``: theirs.
    """

    def __init__(self, channels: int, dim: int, patch: tuple[int, int, int]) -> None:
        super().__init__(channels, dim, kernel_size=patch, stride=patch)

    def forward(
        self,
        latents: Tensor,
        rendered: Float[Tensor, "b n t height width"] | None = None,
        weight: Tensor | None = None,
    ) -> Tensor:
        tokens = super().forward(latents)
        if rendered is None or weight is None:
            return tokens
        extra = conv3d(rendered.to(tokens.dtype), weight.to(tokens.dtype), stride=self.stride)
        return tokens + pad(extra, (0, 0, 0, 0, tokens.shape[2] - extra.shape[2], 0))
