"""Tiny video decoders in the layout of taew2_1 and its kin: from normalised latents to pixels, a frame at a time.

::

    latents ── tanh(x/3)·3 ── conv ── three stages of (3 blocks, ×2 in space, grow in time, conv) ── conv ── pixels
                                         └ each sees its own input of the frame before

Growing makes of a frame one or two. Of what the first latent frame gives, the last picture alone is a video frame.

Source: TAEHV (github.com/madebyollin/taehv), MIT; names and sizes are read off the weights.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn.functional import interpolate, pixel_shuffle, relu

from outofsight.codec.checkpoint_files import axis_size, load_state_dict, require_entries, require_finite
from outofsight.errors import CheckpointError

STAGES, BLOCKS, STAGE = 3, 3, 6
"""Stages, blocks in each, and entries of the published list that a stage takes (blocks, upsampling, growth, conv)."""

FIRST_BLOCK = 3
LAST_CONV = FIRST_BLOCK + STAGES * STAGE + 1
FRAMES_A_LATENT = 4


class _Block(nn.Module):
    """relu(convs(this frame and the one before) + this frame)."""

    def __init__(self, width: int) -> None:
        super().__init__()
        widths = {"0": 2 * width, "2": width, "4": width}
        self.conv = nn.ModuleDict({name: nn.Conv2d(w, width, 3, padding=1) for name, w in widths.items()})

    def forward(self, frames: Float[Tensor, "f d h w"], before: Float[Tensor, "1 d h w"]) -> Tensor:
        past = torch.cat((before, frames[:-1]))
        states = relu(self.conv["0"](torch.cat((frames, past), dim=1)))
        return relu(self.conv["4"](relu(self.conv["2"](states))) + frames)


class _Grow(nn.Module):
    def __init__(self, width: int, times: int) -> None:
        super().__init__()
        self.times = times
        self.conv = nn.Conv2d(width, times * width, 1, bias=False)

    def forward(self, frames: Float[Tensor, "f d h w"]) -> Float[Tensor, "more d h w"]:
        grown: Tensor = self.conv(frames)
        return grown.reshape(-1, *frames.shape[1:])


class TinyVideoDecoder(nn.Module):
    """Decode latents as the model makes them. It stands where a VAE stands that is only to decode.

    ``widths``: of the three stages and of what comes after; ``growths``: frames that each stage makes of one;
    ``patch``: pixels of a side that the last layer gives at once.
    """

    use_tiling = False

    def __init__(
        self, channels: int, widths: tuple[int, ...], growths: tuple[int, ...], patch: int = 1
    ) -> None:
        super().__init__()
        self.patch = patch
        self.config: dict[str, Any] = {
            "z_dim": channels,
            "latents_mean": [0.0] * channels,
            "latents_std": [1.0] * channels,
        }
        parts: dict[str, nn.Module] = {"1": nn.Conv2d(channels, widths[0], 3, padding=1)}
        for stage in range(STAGES):
            first = FIRST_BLOCK + stage * STAGE
            parts |= {str(first + block): _Block(widths[stage]) for block in range(BLOCKS)}
            parts[str(first + BLOCKS + 1)] = _Grow(widths[stage], growths[stage])
            out = nn.Conv2d(widths[stage], widths[stage + 1], 3, padding=1, bias=False)
            parts[str(first + BLOCKS + 2)] = out
        parts[str(LAST_CONV)] = nn.Conv2d(widths[-1], 3 * patch**2, 3, padding=1)
        self.decoder = nn.ModuleDict(parts)

    @property
    def dtype(self) -> torch.dtype:
        return next(self.parameters()).dtype

    @property
    def device(self) -> torch.device:
        return next(self.parameters()).device

    def decode(
        self, latents: Float[Tensor, "1 z f h w"], past: Mapping[str, Tensor] | None = None
    ) -> tuple[Float[Tensor, "1 3 t height width"], dict[str, Tensor]]:
        """Return the video in [−1, 1], and what the next latent frames need. ``past``: of those before."""
        kept: dict[str, Tensor] = {}
        states = relu(self.decoder["1"]((latents[0] / 3).tanh().mul(3).transpose(0, 1)))
        for stage in range(STAGES):
            first = FIRST_BLOCK + stage * STAGE
            for number in range(first, first + BLOCKS):
                name = f"block{number}"
                before = past[name].to(states) if past else torch.zeros_like(states[:1])
                kept[name] = states[-1:].clone()
                states = self.decoder[str(number)](states, before)
            states = interpolate(states, scale_factor=2.0, mode="nearest")
            states = self.decoder[str(first + BLOCKS + 2)](self.decoder[str(first + BLOCKS + 1)](states))
        frames = self.decoder[str(LAST_CONV)](relu(states))
        if self.patch > 1:
            frames = pixel_shuffle(frames, self.patch)
        frames = frames if past else frames[FRAMES_A_LATENT - 1 :]
        return frames.clamp(0, 1).mul(2).sub(1).transpose(0, 1)[None], kept


def load_tiny_decoder(path: str | Path) -> TinyVideoDecoder:
    """Read a tiny decoder's file; its encoder, if there is one, is not needed.

    Raises:
        CheckpointError: it is none, is not whole, makes another number of frames or pixels of a latent, or has NaN.
    """
    state = load_state_dict(path)
    try:
        decoder = {name: value for name, value in state.items() if name.startswith("decoder.")}
        made = _made_for(decoder)
        shapes = {name: value.shape for name, value in made.state_dict().items()}
        require_entries(decoder, shapes, "a tiny video decoder (taew2_1's layout)")
    except CheckpointError as error:
        raise CheckpointError(f"{path}: {error}") from error
    require_finite(decoder.items(), str(path))
    made.load_state_dict({name: value.float() for name, value in decoder.items()})
    return made.eval()


def _made_for(decoder: Mapping[str, Tensor]) -> TinyVideoDecoder:
    """Make a decoder of the sizes that the weights have."""
    if "decoder.1.weight" not in decoder or f"decoder.{FIRST_BLOCK}.conv.0.weight" not in decoder:
        raise CheckpointError(
            "expected a tiny video decoder (decoder.1.weight, decoder.3.conv.0.weight, …, as taew2_1.pth); a whole VAE "
            "becomes part of a model by `outofsight convert to-diffusers --vae`"
        )
    widths, growths = [axis_size(decoder, "decoder.1.weight", 0)], []
    for stage in range(STAGES):
        last = FIRST_BLOCK + stage * STAGE + BLOCKS
        growths.append(axis_size(decoder, f"decoder.{last + 1}.conv.weight", 0) // max(widths[stage], 1))
        widths.append(axis_size(decoder, f"decoder.{last + 2}.weight", 0))
    if sorted(growths) != [1, 2, 2]:
        raise CheckpointError(
            f"expected a decoder that makes {FRAMES_A_LATENT} frames of a latent frame (growth 1, 2, 2), got {growths}"
        )
    patch = round((axis_size(decoder, f"decoder.{LAST_CONV}.weight", 0) / 3) ** 0.5)
    channels = axis_size(decoder, "decoder.1.weight", 1)
    return TinyVideoDecoder(channels, tuple(widths), tuple(growths), max(patch, 1))
