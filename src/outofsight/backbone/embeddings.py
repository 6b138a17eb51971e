"""Where the transformer begins otherwise than Wan: time step, rotation (a guide in its place), masked patches."""

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn.functional import conv3d

from outofsight.backbone.attention import AttentionGuide
from outofsight.errors import InputError


class GuideSlot(nn.Module):
    """Stands where ``WanTransformer3DModel`` computes rotary embeddings, and hands on the guide instead."""

    guide: AttentionGuide | None = None

    def forward(self, hidden_states: Tensor) -> AttentionGuide:
        if self.guide is None:
            raise InputError("call the model itself: its forward takes context_cameras and target_cameras")
        return self.guide


class WideTimesteps(nn.Module):
    """Sinusoids of the time step, computed in float64 as Wan does.

    In float32, diffusers' own are off by up to 6e-5 at a time step of 1000, more than all the rest of the model.
    """

    def __init__(self, dim: int) -> None:
        super().__init__()
        self.half_dim = dim // 2

    def forward(self, timestep: Float[Tensor, " n"]) -> Float[Tensor, "n dim"]:
        wide = torch.float32 if timestep.device.type == "mps" else torch.float64
        exponents = torch.arange(self.half_dim, device=timestep.device, dtype=wide) / self.half_dim
        angles = torch.outer(timestep.to(wide), 10000.0**-exponents)
        return torch.cat((angles.cos(), angles.sin()), dim=-1).float()


class MaskedPatchEmbedding(nn.Conv3d):
    """Wan's patch embedding with one more input channel, whose weights begin at zero.

    ``mask`` is set for the time of a forward, as the rotary guide is.
    """

    mask: Float[Tensor, "b 1 f height width"] | None = None

    def __init__(self, channels: int, dim: int, patch: tuple[int, int, int]) -> None:
        super().__init__(channels, dim, kernel_size=patch, stride=patch)
        self.mask_weight = nn.Parameter(torch.zeros(dim, 1, *patch))

    def forward(self, latents: Tensor) -> Tensor:
        if self.mask is None:
            raise InputError("call the model itself: its forward takes subject_masks")
        return super().forward(latents) + conv3d(
            self.mask.to(latents.dtype), self.mask_weight.to(latents.dtype), stride=self.stride
        )
