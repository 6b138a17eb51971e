"""Decoding latents that come a few frames at a time, as if they had come at once.

Decoding is causal, so what is still needed of the past is bounded, and is all that is kept::

    latent frame   0 | 1 | 2 | 3 | 4 | 5 | ...
    call 1         [ 0   1 ]                    gives video frames 0 to 4
    call 2                 [ 2   3   4 ]        gives video frames 5 to 16, with what is kept of 0 and 1

Wan's VAE keeps what each of its causal convolutions saw last, a tiny decoder what each block did, our small one the
latents in its field of view. The functions follow the caller's gradient mode.
"""

from collections.abc import Mapping
from types import MappingProxyType
from typing import Any, NamedTuple

import torch
from diffusers.models.autoencoders.autoencoder_kl_wan import AutoencoderKLWan, WanCausalConv3d, unpatchify
from jaxtyping import Float
from torch import Tensor

from outofsight.codec.latent_tiling import LatentTiling, Tile, blend_tiles, plan_tiles
from outofsight.codec.patch_autoencoder import (
    EARLIER_FRAMES,
    FRAMES_PER_BLOCK,
    PATCH_PX,
    PatchVideoAutoencoder,
)
from outofsight.codec.placement import bring_weights, work_device
from outofsight.codec.tiny_decoder import FIRST_BLOCK, TinyVideoDecoder
from outofsight.codec.video_vae import VideoDecoder, check_latents, latent_statistics, spatial_factor
from outofsight.errors import InputError

PAST = "past"
REPEATED = "Rep"
"""What diffusers puts into the cache of a temporal upsampling whose past is a single frame."""


class Decoded(NamedTuple):
    """How far a video has been decoded. ``num_latent_frames``: so far. ``kept``: what later frames need of them."""

    num_latent_frames: int = 0
    kept: Mapping[str, Tensor] = MappingProxyType({})


def decode_more(
    vae: VideoDecoder,
    latents: Float[Tensor, "1 channels f h w"],
    so_far: Decoded = Decoded(),  # noqa: B008 - it cannot be changed
    tiling: LatentTiling | None = None,
) -> tuple[Float[Tensor, "1 t 3 height width"], Decoded]:
    """Decode the next latent frames; returns their video frames in [−1, 1], and what to go on from.

    The first call of a video gives 4·(f − 1) + 1 frames, every later one 4·f. ``so_far`` is left as it is. ``tiling``
    must stay the same throughout.

    Raises:
        InputError: not latents of one video for this VAE, or of another size than before.
    """
    check_latents(latents, vae)
    if len(latents) != 1:
        raise InputError(f"expected the latents of one video, got {len(latents)}; decode each by itself")
    mean, inverse_std = latent_statistics(vae, latents.device)
    plain = latents.float() / inverse_std + mean
    tiles, factor = plan_tiles((latents.shape[-2], latents.shape[-1]), tiling), spatial_factor(vae)
    bring_weights(vae)
    part: _PastDecoding | _BlockDecoding | _CacheDecoding
    if isinstance(vae, PatchVideoAutoencoder):
        part = _PastDecoding(vae, plain, so_far)
    elif isinstance(vae, TinyVideoDecoder):
        part = _BlockDecoding(vae, plain, so_far, tiles)
    else:
        part = _CacheDecoding(vae, plain, so_far, tiles)
    video = blend_tiles(tiles, part.decode_tile, factor).clamp(-1, 1).transpose(1, 2)
    return video, Decoded(so_far.num_latent_frames + latents.shape[2], MappingProxyType(part.kept()))


class _PastDecoding:
    """Decodes the latents in the field of view once more, and leaves their frames out."""

    def __init__(self, vae: PatchVideoAutoencoder, latents: Tensor, so_far: Decoded) -> None:
        past = so_far.kept.get(PAST)
        if past is not None:
            _same_size(past, latents)
            latents = torch.cat((past.to(latents), latents), dim=2)
        self._vae, self._latents = vae, latents
        # The first block of every call is taken for a first frame, which is one video frame.
        self._known = 0 if past is None else 1 + FRAMES_PER_BLOCK * (past.shape[2] - 1)

    def decode_tile(self, tile: Tile) -> Tensor:
        part = tile.cut(self._latents, 1).to(work_device(self._vae), self._vae.dtype)
        video = unpatchify(self._vae.decoder(part), PATCH_PX)[:, :, self._known :]
        return video.to(self._latents.device, torch.float32)

    def kept(self) -> dict[str, Tensor]:
        needed = max(1, EARLIER_FRAMES * self._vae.config["num_layers"])
        return {PAST: self._latents[:, :, -needed:].clone()}


class _BlockDecoding:
    """Runs a tiny decoder on from what each of its blocks saw last, in every tile."""

    def __init__(self, vae: TinyVideoDecoder, latents: Tensor, so_far: Decoded, tiles: list[Tile]) -> None:
        self._vae, self._latents, self._tiles, self._past = vae, latents, tiles, so_far
        self._kept: dict[str, Tensor] = {}
        if so_far.num_latent_frames and f"tile{len(tiles) - 1}.block{FIRST_BLOCK}" not in so_far.kept:
            raise InputError(
                "these latents are tiled otherwise than those before, or another decoder decoded them; keep size, "
                "tiling and decoder"
            )

    def decode_tile(self, tile: Tile) -> Tensor:
        prefix = f"tile{self._tiles.index(tile)}.block"
        part = tile.cut(self._latents, 1).to(work_device(self._vae), self._vae.dtype)
        past = {
            name.removeprefix(prefix): value
            for name, value in self._past.kept.items()
            if name.startswith(prefix)
        }
        if past:
            _same_size(past[str(FIRST_BLOCK)], part)
        video, kept = self._vae.decode(part, past or None)
        self._kept |= {f"{prefix}{name}": value for name, value in kept.items()}
        return video.to(self._latents.device, torch.float32)

    def kept(self) -> dict[str, Tensor]:
        return self._kept


class _CacheDecoding:
    """Runs diffusers' decoder frame by frame, as its own ``decode`` does, with a cache that outlives the call."""

    def __init__(self, vae: AutoencoderKLWan, latents: Tensor, so_far: Decoded, tiles: list[Tile]) -> None:
        self._vae, self._latents, self._first = vae, latents, so_far.num_latent_frames
        self._tiles = tiles
        count = sum(isinstance(module, WanCausalConv3d) for module in vae.decoder.modules())
        device = work_device(vae)
        self._caches: list[list[Any]] = [
            [_from_kept(so_far.kept.get(_name(tile, layer)), device) for layer in range(count)]
            for tile in range(len(tiles))
        ]
        if so_far.num_latent_frames and _name(len(tiles) - 1, 0) not in so_far.kept:
            raise InputError("these latents are tiled otherwise than those before; keep size and tiling")

    def decode_tile(self, tile: Tile) -> Tensor:
        vae, cache = self._vae, self._caches[self._tiles.index(tile)]
        states = vae.post_quant_conv(tile.cut(self._latents, 1).to(work_device(vae), vae.dtype))
        if cache[0] is not None:
            _same_size(cache[0], states)
        chunks = [
            vae.decoder(
                states[:, :, frame : frame + 1],
                feat_cache=cache,
                feat_idx=[0],
                first_chunk=self._first + frame == 0,
            )
            for frame in range(states.shape[2])
        ]
        video = unpatchify(torch.cat(chunks, dim=2), vae.config["patch_size"] or 1)
        return video.to(self._latents.device, torch.float32)

    def kept(self) -> dict[str, Tensor]:
        return {
            _name(tile, layer): torch.empty(0) if value == REPEATED else value
            for tile, cache in enumerate(self._caches)
            for layer, value in enumerate(cache)
            if value is not None
        }


def _name(tile: int, layer: int) -> str:
    return f"tile{tile}.layer{layer}"


def _from_kept(value: Tensor | None, device: torch.device) -> Tensor | str | None:
    """Read one layer's cache; the mark of a repeated frame is kept as an empty tensor."""
    if value is None:
        return None
    return value.to(device) if value.numel() else REPEATED


def _same_size(before: Tensor, now: Tensor) -> None:
    if before.shape[-2:] != now.shape[-2:]:
        raise InputError(
            f"expected latents of {before.shape[-2]}×{before.shape[-1]} as before, got {now.shape[-2]}×{now.shape[-1]}"
        )
