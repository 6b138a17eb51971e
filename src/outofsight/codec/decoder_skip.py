"""The decoder's skip: what memory renders, let through into the decoded picture where the two agree.

A small autoencoder cannot hold a picture's detail; the render has it. So ``out = (1 − g)·decoded + g·render + r``,
where g and r are told for each pixel by a few convolutions that see both. A subject that the latents deny must not come
through.
"""

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn.functional import silu

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
        told = self.told(states)
        share = self.strength * coverage * told[:, :1].sigmoid()
        return decoded + share * (render - decoded) + told[:, 1:]
