"""Wan's patch embedding with further input channels beside the noisy latents: subjects' masks, rendered memory.

As in Wan's image-to-video model, whose noise, mask and picture are channels of one patch embedding.
"""

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn.functional import conv3d, pad

from outofsight.errors import InputError


class WiderPatchEmbedding(nn.Conv3d):
    """Wan's patch embedding, to which further channels may be added.

    ``num_masks``: subjects' masks that always come with the latents; their weights, ``mask_weight``, begin at zero.
    """

    def __init__(self, channels: int, dim: int, patch: tuple[int, int, int], num_masks: int = 0) -> None:
        super().__init__(channels, dim, kernel_size=patch, stride=patch)
        self.mask_weight = nn.Parameter(torch.zeros(dim, num_masks, *patch)) if num_masks else None

    def forward(
        self,
        latents: Tensor,
        further: Float[Tensor, "b n t height width"] | None = None,
        weight: Tensor | None = None,
    ) -> Tensor:
        """Embed latents, and ``further`` channels of the sequence's last frames by ``weight`` (``None``: of masks)."""
        weight = self.mask_weight if weight is None else weight
        if further is None and self.mask_weight is not None:
            raise InputError("call the model itself: its forward takes subject_masks")
        tokens = super().forward(latents)
        if further is None or weight is None:
            return tokens
        extra = conv3d(further.to(tokens.dtype), weight.to(tokens.dtype), stride=self.stride)
        return tokens + pad(extra, (0, 0, 0, 0, tokens.shape[2] - extra.shape[2], 0))
