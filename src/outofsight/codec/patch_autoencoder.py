"""A video autoencoder that works on blocks of 4 frames × 8 × 8 pixels: for small pictures and little computing.

It begins as the best linear code, principal components of blocks, and learns what a network can add to that::

    blocks [b, f, h/8, w/8, 768] ──┬── principal components ──────────── + ── latents (z_dim numbers a block)
                                   └── embed ── layers ── head (0 at the start) ──┘

and the same backwards. Every layer sees its neighbours in space, and in time the two latent frames before, so coding
is causal as in Wan's VAE: the first frame, repeated four times, is a block of its own, and t = 4·k + 1.

Its decoder may have a *skip*: what memory renders, let through into the decoded picture where the two agree. A small
autoencoder cannot hold a picture's detail; the render has it. So ``out = (1 − g)·decoded + g·render + r``, where g and
r are predicted for each pixel by a few convolutions that see both. A subject that latents deny must not come through.
"""

from collections.abc import Sequence
from typing import Any

import torch
from diffusers import ConfigMixin, ModelMixin
from diffusers.configuration_utils import register_to_config
from diffusers.models.autoencoders.autoencoder_kl_wan import patchify, unpatchify
from diffusers.models.autoencoders.vae import DecoderOutput, DiagonalGaussianDistribution
from diffusers.models.modeling_outputs import AutoencoderKLOutput
from diffusers.utils.accelerate_utils import apply_forward_hook
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn.functional import gelu, pad, silu

from outofsight.errors import InputError
from outofsight.types import LatentClock

GIVEN_CHANNELS = 5
"""What a skip is given of the render: its colours in [−1, 1], coverage and subject."""


class DecoderSkip(nn.Module):
    """Mix rendered pixels into decoded ones, frame by frame. Nothing changes while ``strength`` is 0 and the last
    convolution has zero weights, as they begin."""

    def __init__(self, width: int, num_layers: int = 4) -> None:
        super().__init__()
        self.enter = nn.Conv2d(3 + GIVEN_CHANNELS + 1, width, 3, padding=1)
        self.inner = nn.ModuleList(nn.Conv2d(width, width, 3, padding=1) for _ in range(num_layers - 2))
        self.told = nn.Conv2d(width, 4, 3, padding=1)
        self.strength = nn.Parameter(torch.zeros(()))
        nn.init.zeros_(self.told.weight)
        self.told.bias = nn.Parameter(torch.zeros(4))

    def forward(
        self, decoded: Float[Tensor, "n 3 height width"], given: Float[Tensor, "n 5 height width"]
    ) -> Float[Tensor, "n 3 height width"]:
        """``decoded``: in [−1, 1], clamped or not. Returns pixels, not clamped."""
        render, coverage = given[:, :3], given[:, 3:4]
        apart = (decoded - render).abs().mean(dim=1, keepdim=True) * coverage
        states = silu(self.enter(torch.cat((decoded, given, apart), dim=1)))
        for layer in self.inner:
            states = states + silu(layer(states))
        read = self.told(states)
        share = self.strength * coverage * read[:, :1].sigmoid()
        return decoded + share * (render - decoded) + read[:, 1:]


FRAMES_PER_BLOCK = 4
PATCH_PX = 8
BLOCK_NUMBERS = 3 * FRAMES_PER_BLOCK * PATCH_PX**2
INITIAL_LOG_VARIANCE = -7.0
EARLIER_FRAMES = 2
"""Latent frames before its own that every layer sees."""


class _Layer(nn.Module):
    """x + mix(gelu(3×3 in space + this and the two frames before)), over [b, f, h, w, width]."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.norm = nn.LayerNorm(width)
        self.space = nn.Conv2d(width, width, 3, padding=1)
        self.time = nn.Linear(EARLIER_FRAMES * width, width)
        self.mix = nn.Linear(width, width)

    def forward(self, x: Float[Tensor, "b f h w d"]) -> Float[Tensor, "b f h w d"]:
        states = self.norm(x)
        pictures = self.space(states.flatten(0, 1).movedim(-1, 1)).movedim(1, -1)
        earlier = torch.cat([_delayed(states, frames) for frames in range(1, EARLIER_FRAMES + 1)], dim=-1)
        return x + self.mix(gelu(pictures.unflatten(0, states.shape[:2]) + self.time(earlier)))


def _delayed(states: Float[Tensor, "b f h w d"], frames: int) -> Float[Tensor, "b f h w d"]:
    """Move everything so many frames later; what comes before the first is zero."""
    return pad(states[:, : states.shape[1] - frames], (0, 0, 0, 0, 0, 0, min(frames, states.shape[1]), 0))


class _Half(nn.Module):
    """A linear map, and what layers add to it."""

    def __init__(self, numbers_in: int, numbers_out: int, width: int, num_layers: int) -> None:
        super().__init__()
        self.principal = nn.Linear(numbers_in, numbers_out)
        self.embed = nn.Linear(numbers_in, width)
        self.layers = nn.Sequential(*[_Layer(width) for _ in range(num_layers)])
        self.head = nn.Linear(width, numbers_out)
        nn.init.zeros_(self.head.weight)
        nn.init.zeros_(self.head.bias)

    def forward(self, x: Float[Tensor, "b f h w n"]) -> Float[Tensor, "b f h w m"]:
        return self.principal(x) + self.head(self.layers(self.embed(x)))


class _Encoder(_Half):
    def forward(self, video: Float[Tensor, "b 3 t height width"]) -> Float[Tensor, "b z f h w"]:
        return super().forward(to_blocks(video)).movedim(-1, 1)


class _Decoder(_Half):
    def forward(self, latents: Float[Tensor, "b z f h w"]) -> Float[Tensor, "b 192 t h w"]:
        """Give patches of pixels, as ``patchify`` orders them."""
        return from_blocks(super().forward(latents.movedim(1, -1)))


def to_blocks(video: Float[Tensor, "b 3 t height width"]) -> Float[Tensor, "b f h w 768"]:
    """Cut a video of 4·k + 1 frames into blocks; the first frame fills its block by repetition.

    Raises:
        InputError: another number of frames.
    """
    LatentClock(FRAMES_PER_BLOCK).num_latent(video.shape[2])
    first = video[:, :, :1].expand(-1, -1, FRAMES_PER_BLOCK - 1, -1, -1)
    patches = patchify(torch.cat((first, video), dim=2), PATCH_PX)
    return patches.unflatten(2, (-1, FRAMES_PER_BLOCK)).permute(0, 2, 4, 5, 1, 3).flatten(-2)


def from_blocks(blocks: Float[Tensor, "b f h w 768"]) -> Float[Tensor, "b 192 t h w"]:
    """Undo ``to_blocks`` but for the patches' unfolding; the first frame is the mean of its block's four."""
    patches = blocks.unflatten(-1, (-1, FRAMES_PER_BLOCK)).permute(0, 4, 1, 5, 2, 3).flatten(2, 3)
    first = patches[:, :, :FRAMES_PER_BLOCK].mean(dim=2, keepdim=True)
    return torch.cat((first, patches[:, :, FRAMES_PER_BLOCK:]), dim=2)


class PatchVideoAutoencoder(ModelMixin, ConfigMixin):
    """Video ↔ latents, 4 × 8 × 8, with the interface of diffusers' ``AutoencoderKLWan``.

    ``width``, ``num_layers``: of each half. ``latents_mean``, ``latents_std``: what codec.video_vae normalises by.
    Call ``fit_principal`` before training. Tiles can be decoded by themselves: the field of view is ``num_layers``
    latent pixels to each side. ``skip_width``: channels of the skip through which rendered memory reaches the
    decoded picture (``codec.video_vae.through_skip``); 0: none.
    """

    use_tiling = False

    @register_to_config
    def __init__(
        self,
        z_dim: int = 16,
        width: int = 160,
        num_layers: int = 3,
        patch_size: int = PATCH_PX,
        latents_mean: Sequence[float] = (0.0,) * 16,
        latents_std: Sequence[float] = (1.0,) * 16,
        scale_factor_spatial: int = PATCH_PX,
        scale_factor_temporal: int = FRAMES_PER_BLOCK,
        skip_width: int = 0,
    ) -> None:
        super().__init__()
        fixed = (PATCH_PX, PATCH_PX, FRAMES_PER_BLOCK)
        if (patch_size, scale_factor_spatial, scale_factor_temporal) != fixed:
            raise InputError(
                f"this autoencoder's blocks are {FRAMES_PER_BLOCK} frames × {PATCH_PX} × {PATCH_PX} pixels, got "
                f"{scale_factor_temporal} × {scale_factor_spatial} (patch_size {patch_size})"
            )
        self.encoder = _Encoder(BLOCK_NUMBERS, z_dim, width, num_layers)
        self.decoder = _Decoder(z_dim, BLOCK_NUMBERS, width, num_layers)
        self.skip = DecoderSkip(skip_width) if skip_width else None
        self.log_variance = nn.Parameter(torch.full((z_dim,), INITIAL_LOG_VARIANCE))

    @apply_forward_hook
    def encode(self, x: Float[Tensor, "b 3 t height width"], return_dict: bool = True) -> Any:
        """Return the posterior of the latents [b, z_dim, f, height / 8, width / 8], as diffusers does."""
        mean = self.encoder(x)
        log_variance = self.log_variance.to(mean).view(1, -1, 1, 1, 1).expand_as(mean)
        posterior = DiagonalGaussianDistribution(torch.cat((mean, log_variance), dim=1))
        return AutoencoderKLOutput(latent_dist=posterior) if return_dict else (posterior,)

    @apply_forward_hook
    def decode(self, z: Float[Tensor, "b z f h w"], return_dict: bool = True) -> Any:
        """Return the video [b, 3, 4·(f − 1) + 1, 8·h, 8·w], clamped to [−1, 1], as diffusers does."""
        video = unpatchify(self.decoder(z), PATCH_PX).clamp(-1, 1)
        return DecoderOutput(sample=video) if return_dict else (video,)

    @torch.no_grad()
    def fit_principal(self, blocks: Float[Tensor, "n 768"], weights: Float[Tensor, " n"]) -> None:
        """Set the linear maps to the blocks' weighted principal components, so that latents have a mean variance of 1.

        Raises:
            InputError: fewer blocks than ``z_dim``.
        """
        z_dim = self.config["z_dim"]
        if len(blocks) < z_dim:
            raise InputError(f"expected ≥ {z_dim} blocks to find {z_dim} components of, got {len(blocks)}")
        share = (weights / weights.sum()).double()[:, None]
        mean = (share * blocks.double()).sum(dim=0)
        centred = blocks.double() - mean
        variance, directions = torch.linalg.eigh(centred.T @ (share * centred))
        basis = directions[:, -z_dim:].flip(-1)  # strongest first
        scale = variance[-z_dim:].mean().clamp(min=1e-12).sqrt()
        for layer, weight, bias in (
            (self.encoder.principal, basis.T / scale, -(basis.T @ mean) / scale),
            (self.decoder.principal, basis * scale, mean),
        ):
            layer.weight.copy_(weight)
            layer.bias.copy_(bias)
