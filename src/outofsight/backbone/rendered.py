"""How a transformer takes rendered memory in: as a picture beside its noisy latents, and as a velocity to lean on."""

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn.functional import silu

from outofsight.errors import InputError
from outofsight.memory.banks.mask_reader import MaskReader
from outofsight.memory.settings import RenderingSettings
from outofsight.nn.precision import UncastModule, full_precision

NUM_MASKS = 8
"""Channels of ``memory.rendering.condition_masks``: coverage and subject, four video frames each."""

LEAST_SIGMA = 0.02
"""Below this noise level (x − render)/σ is no velocity any more, only rounding."""


class RenderedMemory(UncastModule):
    """What a transformer that is shown rendered memory has more than another.

    ``embed``: weights of the patch embedding's further channels (rendered latents, then ``NUM_MASKS``). Nothing changes
    while they and the gate's ``strength`` are at zero, as they begin.
    Weights stay float32 whatever the model around is cast to.
    """

    def __init__(
        self, settings: RenderingSettings, channels: int, dim: int, patch: tuple[int, int, int]
    ) -> None:
        super().__init__()
        self.embed = nn.Parameter(torch.zeros(dim, channels + NUM_MASKS, *patch))
        self.gate = RenderGate(channels, settings.gate_width) if settings.gate_width else None
        self.masks = MaskReader(settings.mask_width) if settings.mask_width else None

    def lean(
        self,
        velocity: Float[Tensor, "b channels t h w"],
        noisy: Float[Tensor, "b channels t h w"],
        rendered: Float[Tensor, "b channels_and_8 t h w"],
        sigma: Float[Tensor, " b"],
    ) -> Float[Tensor, "b channels t h w"]:
        """Mix the predicted velocity with the one that leads to the render: (1 − g)·v + g·(x − render)/σ."""
        if self.gate is None:
            return velocity
        with full_precision(noisy.device):
            picture = rendered[:, : noisy.shape[1]].float()
            share = self.gate(noisy.float(), rendered.float(), sigma)
            towards = (noisy.float() - picture) / sigma.clamp(min=LEAST_SIGMA).view(-1, 1, 1, 1, 1)
            return (velocity.float() + share * (towards - velocity.float())).to(velocity.dtype)


class RenderGate(nn.Module):
    """Learn, for each latent number, how far to believe the render, 0 to 1: from noisy latents, render, masks and σ.

    Holes are never believed. Convolutions over each latent frame alone.
    """

    def __init__(self, channels: int, width: int) -> None:
        super().__init__()
        self.enter = nn.Conv2d(2 * channels + NUM_MASKS + 1, width, 3, padding=1)
        self.inner = nn.Conv2d(width, width, 3, padding=1)
        self.told = nn.Conv2d(width, channels, 1)
        nn.init.zeros_(self.told.weight)
        nn.init.zeros_(self.told.bias)  # type: ignore[arg-type]
        self.strength = nn.Parameter(torch.zeros(()))

    def forward(
        self,
        noisy: Float[Tensor, "b channels t h w"],
        rendered: Float[Tensor, "b channels_and_8 t h w"],
        sigma: Float[Tensor, " b"],
    ) -> Float[Tensor, "b channels t h w"]:
        level = sigma.view(-1, 1, 1, 1, 1).expand(-1, 1, *noisy.shape[2:])
        seen = torch.cat((noisy, rendered, level), dim=1).movedim(2, 1)
        states = silu(self.inner(silu(self.enter(seen.flatten(0, 1)))))
        gate = self.told(states).unflatten(0, seen.shape[:2]).movedim(1, 2).sigmoid()
        coverage = rendered[:, noisy.shape[1] : noisy.shape[1] + NUM_MASKS // 2].mean(dim=1, keepdim=True)
        return self.strength * gate * coverage


def check_rendered(
    rendered: Tensor, latents: Float[Tensor, "b channels f height width"], num_target: int
) -> None:
    """Raise ``InputError`` if rendered memory does not fit the target's latents."""
    batch, channels, _, height, width = latents.shape
    expected = (batch, channels + NUM_MASKS, num_target, height, width)
    if tuple(rendered.shape) != expected:
        raise InputError(
            f"expected rendered memory {list(expected)} (latents, then coverage and subject of four video frames), got "
            f"{list(rendered.shape)}"
        )
