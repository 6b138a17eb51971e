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
    kept: dict[str, Tensor] = {}
    known = 0  # video frames that come a second time
    if isinstance(vae, PatchVideoAutoencoder):
        plain, known = _after_past(plain, so_far.kept.get(PAST))
        kept[PAST] = plain[:, :, -max(1, EARLIER_FRAMES * vae.config["num_layers"]) :].clone()
    else:
        first = f"block{FIRST_BLOCK}" if isinstance(vae, TinyVideoDecoder) else "layer0"
        if so_far.num_latent_frames and f"tile{len(tiles) - 1}.{first}" not in so_far.kept:
            raise InputError(
                "these latents are tiled otherwise than those before, or another decoder decoded them; keep size, "
                "tiling and decoder"
            )

    def decode_tile(tile: Tile) -> Tensor:
        prefix = f"tile{tiles.index(tile)}."
        part = tile.cut(plain, 1).to(work_device(vae), vae.dtype)
        if isinstance(vae, PatchVideoAutoencoder):
            video = unpatchify(vae.decoder(part), PATCH_PX)[:, :, known:]
            return video.to(latents.device, torch.float32)
        old = so_far.kept.items()
        past = {name.removeprefix(prefix): value for name, value in old if name.startswith(prefix)}
        if past:
            _check_size(past[first], part)
        if isinstance(vae, TinyVideoDecoder):
            video, seen = vae.decode(part, past)
        else:
            video, seen = _decode_by_frames(vae, part, past, so_far.num_latent_frames)
        kept.update({prefix + name: value for name, value in seen.items()})
        return video.to(latents.device, torch.float32)

    video = blend_tiles(tiles, decode_tile, factor).clamp(-1, 1).transpose(1, 2)
    return video, Decoded(so_far.num_latent_frames + latents.shape[2], MappingProxyType(kept))


def _after_past(latents: Tensor, past: Tensor | None) -> tuple[Tensor, int]:
    """Put the latents in the field of view before the new ones; and count their video frames."""
    if past is None:
        return latents, 0
    _check_size(past, latents)
    # The first block of every call is taken for a first frame, which is one video frame.
    return torch.cat((past.to(latents), latents), dim=2), 1 + FRAMES_PER_BLOCK * (past.shape[2] - 1)


def _decode_by_frames(
    vae: AutoencoderKLWan, latents: Tensor, past: Mapping[str, Tensor], num_before: int
) -> tuple[Tensor, dict[str, Tensor]]:
    """Run diffusers' decoder frame by frame, as its own ``decode`` does, with a cache that outlives the call."""
    states = vae.post_quant_conv(latents)
    count = sum(isinstance(module, WanCausalConv3d) for module in vae.decoder.modules())
    cache = [_from_kept(past.get(f"layer{layer}"), latents.device) for layer in range(count)]
    chunks = [
        vae.decoder(
            states[:, :, frame : frame + 1],
            feat_cache=cache,
            feat_idx=[0],
            first_chunk=num_before + frame == 0,
        )
        for frame in range(states.shape[2])
    ]
    kept = {
        f"layer{layer}": torch.empty(0) if value == REPEATED else value
        for layer, value in enumerate(cache)
        if value is not None
    }
    return unpatchify(torch.cat(chunks, dim=2), vae.config["patch_size"] or 1), kept


def _from_kept(value: Tensor | None, device: torch.device) -> Any:
    """Read one layer's cache; the mark of a repeated frame is kept as an empty tensor."""
    if value is None:
        return None
    return value.to(device) if value.numel() else REPEATED


def _check_size(before: Tensor, now: Tensor) -> None:
    if before.shape[-2:] != now.shape[-2:]:
        raise InputError(
            f"expected latents of {before.shape[-2]}×{before.shape[-1]} as before, got {now.shape[-2]}×{now.shape[-1]}"
        )
