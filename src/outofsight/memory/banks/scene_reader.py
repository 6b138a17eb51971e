"""The scene reader: what every video token of clean latents shows of subjects, learned against the engine's truth.

It is the split into static and dynamic that needs no masks when the model is used.
"""

from math import log

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn.functional import normalize, pad

from outofsight.errors import InputError
from outofsight.memory.banks.placing import token_places
from outofsight.memory.banks.state import SceneReading

TOKEN_BLOCKS = 3
"""Residual blocks on tokens. Each looks one latent frame further back."""

UNLIKELY = -3.0
"""Logit of ``dynamic`` before anything is learned: 5%, too little for a birth."""

COMMON_DISTANCE_M, COMMON_NOISE = 6.0, 0.2
"""Distance and noise that are told before anything is learned."""

NEAREST_M, FARTHEST_M = 0.3, 300.0
LEAST_NOISE, MOST_NOISE = 0.005, 2.0
"""What is told is kept within these."""

PLACE_CHANNELS = 2


class SceneReader(nn.Module):
    """Read clean latents frame by frame, looking back at most ``history`` latent frames and never ahead.

    One convolution and one residual block on latent pixels, then ``TOKEN_BLOCKS`` on tokens (``patch`` latent pixels),
    each of which mixes in its own frame before; beside the latents it is told where in the picture a token lies, as
    tangents of angles, so that one set of weights reads any size and any lens.

    An untrained reader says of every token that it shows a subject with 5%, which gives birth to nobody.
    """

    history = TOKEN_BLOCKS

    def __init__(self, channels: int, width: int, identity_width: int, patch: tuple[int, int]) -> None:
        super().__init__()
        self.patch = patch
        self.enter = nn.Conv2d(channels, width, 3, padding=1)
        self.pixels = ResidualBlock(width)
        self.patches = nn.Conv2d(width, width, patch, stride=patch)
        self.where = nn.Conv2d(PLACE_CHANNELS, width, 1)
        self.tokens = nn.ModuleList(ResidualBlock(width, looks_back=True) for _ in range(TOKEN_BLOCKS))
        self.norm = nn.GroupNorm(1, width)
        self.identity = nn.Conv2d(width, identity_width, 1)
        self.told = nn.Conv2d(width, 6, 1)
        nn.init.normal_(self.told.weight, std=0.02)
        begin = (UNLIKELY, log(COMMON_DISTANCE_M), 0.0, 0.0, 1.0, log(COMMON_NOISE))
        self.told.bias = nn.Parameter(torch.tensor(begin))

    def forward(self, latents: Float[Tensor, "b c f H W"], intrinsics: Float[Tensor, "b 4"]) -> SceneReading:
        """Return what every token shows. ``intrinsics``: normalised. Fed with ``history`` earlier frames, later frames
        are read as in the whole.

        Raises:
            InputError: latents that are no whole number of tokens.
        """
        frames, (height, width) = latents.shape[2], latents.shape[3:]
        rows, columns = height // self.patch[0], width // self.patch[1]
        if (rows * self.patch[0], columns * self.patch[1]) != (height, width):
            raise InputError(
                f"latents of {height}×{width} pixels are no whole number of tokens of {self.patch[0]}×{self.patch[1]}"
            )
        states = self.pixels(self.enter(latents.movedim(2, 1).flatten(0, 1)), frames)
        states = self.patches(states) + self.where(
            self._places(rows, columns, intrinsics).to(latents.dtype)
        ).repeat_interleave(frames, dim=0)
        for block in self.tokens:
            states = block(states, frames)
        states = self.norm(states)
        told = self.told(states).float().unflatten(0, (-1, frames))
        identity = self.identity(states).float().unflatten(0, (-1, frames)).movedim(2, -1)
        dynamic, distance, across, down, clarity, noise = told.unbind(dim=2)
        return SceneReading(
            dynamic=dynamic,
            distance=distance.clamp(log(NEAREST_M), log(FARTHEST_M)),
            offset=torch.stack((across, down), dim=-1),
            identity=normalize(identity, dim=-1, eps=1e-6),
            clarity=clarity,
            noise=noise.clamp(log(LEAST_NOISE), log(MOST_NOISE)),
        )

    def _places(
        self, rows: int, columns: int, intrinsics: Float[Tensor, "b 4"]
    ) -> Float[Tensor, "b 2 rows columns"]:
        """Return x and y of every token's middle as tangents of the angles from the optical axis."""
        down, across = token_places(rows, columns, intrinsics.device)
        shares = torch.stack(((across + 0.5) / columns, (down + 0.5) / rows))
        focal, centre = intrinsics.float()[:, :, None, None].tensor_split(2, dim=1)
        return (shares - centre) / focal


class ResidualBlock(nn.Module):
    """x + a 3×3 convolution of the normalised x; with ``looks_back`` of x and its frame before, mixed by a 1×1 one.

    Nothing goes before the first frame: zeros.
    """

    def __init__(self, width: int, *, looks_back: bool = False) -> None:
        super().__init__()
        self.norm = nn.GroupNorm(1, width)
        self.mix = nn.Conv2d(2 * width, width, 1) if looks_back else None
        self.spread = nn.Conv2d(width, width, 3, padding=1)
        self.out = nn.Conv2d(width, width, 1)

    def forward(self, states: Float[Tensor, "bf width h w"], frames: int) -> Float[Tensor, "bf width h w"]:
        inner = self.norm(states)
        if self.mix is not None:
            before = pad(inner.unflatten(0, (-1, frames))[:, :-1], (0, 0, 0, 0, 0, 0, 1, 0)).flatten(0, 1)
            inner = self.mix(torch.cat((inner, before), dim=1))
        grown: Tensor = self.out(nn.functional.silu(self.spread(nn.functional.silu(inner))))
        return states + grown


def frame_of(reading: SceneReading, index: int) -> SceneReading:
    """Take one latent frame of a reading; its tensors lose the axis of frames."""
    return SceneReading(*(part[:, index] for part in reading))
