"""Video to latents and back, by diffusers' ``AutoencoderKLWan`` or our small autoencoder, normalised latents.

Time is causal, as ``types.LatentClock`` draws it: t = 4·k + 1 video frames are f = k + 1 latent frames. Calls start
from a fresh causal state, so the halves of a clip are encoded each by itself. Elements of a batch are run one after
another: memory is that of one video, and no result depends on the batch it came in.

The functions follow the caller's gradient mode: call them under ``torch.inference_mode()`` unless gradients
are wanted. Inputs may lie on another device than the VAE; only one tile at a time is moved to it.
"""

from collections.abc import Mapping
from typing import Any, TypeAlias

import torch
from diffusers.models.autoencoders.autoencoder_kl_wan import AutoencoderKLWan, unpatchify
from torch import Tensor

from outofsight.codec.latent_tiling import LatentTiling, Tile, blend_tiles, plan_tiles
from outofsight.codec.patch_autoencoder import PATCH_PX, PatchVideoAutoencoder
from outofsight.codec.placement import bring_weights, work_device
from outofsight.codec.tiny_decoder import STAGES, TinyVideoDecoder
from outofsight.errors import CheckpointError, InputError
from outofsight.types import LatentClock

VideoAutoencoder: TypeAlias = AutoencoderKLWan | PatchVideoAutoencoder
VideoDecoder: TypeAlias = VideoAutoencoder | TinyVideoDecoder

MAX_PIXEL = 2.0
"""Pixels are meant to be in [-1, 1]; resizing overshoots a little; what is beyond is 0..255 by mistake."""

FRAMES_PER_CHUNK = 4
"""Video frames that AutoencoderKLWan feeds its encoder at a time, whatever its config says."""


def autoencoder_class(config: Mapping[str, Any]) -> type[AutoencoderKLWan] | type[PatchVideoAutoencoder]:
    """Return the class that a VAE folder's config.json asks for; without a name in it, Wan's."""
    named_patch = config.get("_class_name") == PatchVideoAutoencoder.__name__
    return PatchVideoAutoencoder if named_patch else AutoencoderKLWan


def check_decoder(tiny: TinyVideoDecoder, vae: VideoAutoencoder) -> None:
    """See that a tiny decoder takes a VAE's latents. Raises ``InputError`` otherwise."""
    made = (vae.config["z_dim"], spatial_factor(vae))
    if (tiny.config["z_dim"], spatial_factor(tiny)) != made:
        raise InputError(
            f"the tiny decoder takes {tiny.config['z_dim']} latent channels and makes {spatial_factor(tiny)} "
            f"pixels of one, this model's are {made[0]} and {made[1]}"
        )


def spatial_factor(vae: VideoDecoder) -> int:
    """Tell how many pixels a latent pixel spans, in height as in width.

    Raises:
        CheckpointError: The VAE's config names another factor than its layers make.
    """
    if isinstance(vae, PatchVideoAutoencoder):
        return int(vae.config["patch_size"])
    if isinstance(vae, TinyVideoDecoder):
        return int(2**STAGES * vae.patch)
    made = 2 ** (len(vae.config["dim_mult"]) - 1) * (vae.config["patch_size"] or 1)
    return _agreed_factor(vae, "scale_factor_spatial", made)


def temporal_factor(vae: VideoAutoencoder) -> int:
    """Tell how many video frames a latent frame after the first spans.

    Raises:
        CheckpointError: The VAE's config names another factor than its layers make, or one that diffusers' VAE, whose
            chunks are of four frames, would make by dropping frames.
    """
    if isinstance(vae, PatchVideoAutoencoder):
        return int(vae.config["scale_factor_temporal"])
    factor = _agreed_factor(vae, "scale_factor_temporal", 2 ** sum(vae.config["temperal_downsample"]))
    if factor != FRAMES_PER_CHUNK:
        raise CheckpointError(
            f"expected a VAE that makes {FRAMES_PER_CHUNK} frames one, got one that makes {factor} one, which would "
            "drop frames; give a VAE of Wan's layers"
        )
    return factor


def clock_of(vae: VideoAutoencoder) -> LatentClock:
    """Return how a VAE's latent frames and video frames go together. Raises as ``temporal_factor``."""
    return LatentClock(temporal_factor(vae))


def encode_video(vae: VideoAutoencoder, video: Tensor, tiling: LatentTiling | None = None) -> Tensor:
    """Turn videos into normalised latents: (posterior mean - latents_mean) / latents_std in each channel.

    ``video`` [b, t, 3, h, w] in [-1, 1], any t = 4·k + 1, h and w multiples of the VAE's spatial factor.

    Returns float32 latents [b, 16, f, h/8, w/8] on the video's device; the VAE works in its own dtype.

    Raises:
        InputError: Shape, range or dtype is not as above; the message names the nearest legal size.
        CheckpointError: The VAE's config contradicts itself.
    """
    factor = spatial_factor(vae)
    _check_video(video, vae)
    tiles = plan_tiles((video.shape[-2] // factor, video.shape[-1] // factor), tiling)
    mean, inverse_std = latent_statistics(vae, video.device)

    def encode_element(element: Tensor) -> Tensor:  # [t, 3, h, w]
        def encode_tile(tile: Tile) -> Tensor:
            part = tile.cut(element, factor).to(work_device(vae), vae.dtype)
            posterior = vae.encode(part.transpose(0, 1).unsqueeze(0)).latent_dist
            return posterior.mode().to(video.device, torch.float32)

        return blend_tiles(tiles, encode_tile, factor=1)

    return (torch.cat([encode_element(element) for element in video]) - mean) * inverse_std


def decode_latents(vae: VideoDecoder, latents: Tensor, tiling: LatentTiling | None = None) -> Tensor:
    """Turn normalised latents back into videos.

    ``latents`` [b, 16, f, h/8, w/8] as ``encode_video`` makes them.

    Returns float32 videos [b, t, 3, h, w] with t = 4·(f - 1) + 1, clamped to [-1, 1], on the latents' device.

    Raises:
        InputError: The latents are not of that shape for this VAE, or not finite.
        CheckpointError: The VAE's config contradicts itself.
    """
    factor = spatial_factor(vae)
    check_latents(latents, vae)
    tiles = plan_tiles((latents.shape[-2], latents.shape[-1]), tiling)
    mean, inverse_std = latent_statistics(vae, latents.device)

    def decode_element(element: Tensor) -> Tensor:  # [1, 16, f, h/8, w/8], no longer normalised
        def decode_tile(tile: Tile) -> Tensor:
            decoded = decode_unclamped(vae, tile.cut(element, 1).to(work_device(vae), vae.dtype))
            return decoded.to(latents.device, torch.float32)

        return blend_tiles(tiles, decode_tile, factor).clamp(-1, 1).transpose(1, 2)

    return torch.cat([decode_element(z / inverse_std + mean) for z in latents.float().split(1)])


def through_skip(vae: VideoAutoencoder, video: Tensor, given: Tensor | None) -> Tensor:
    """Let rendered memory reach a decoded video, where the autoencoder has a skip for it; else return the video.

    ``video`` [b, t, 3, h, w] in [-1, 1]; ``given`` [b, t, 5, h, w]: the render's colours, coverage and subject.
    """
    skip = vae.skip if isinstance(vae, PatchVideoAutoencoder) else None
    if skip is None or given is None:
        return video
    bring_weights(vae)
    place = work_device(vae), vae.dtype
    mixed: Tensor = skip(video.flatten(0, 1).to(*place), given.flatten(0, 1).to(*place))
    return mixed.to(video).unflatten(0, video.shape[:2]).clamp(-1, 1)


def decode_unclamped(vae: VideoDecoder, latents: Tensor) -> Tensor:
    """Decode without the clamp that the borrowed decode ends with, beyond which no gradient would flow."""
    if isinstance(vae, PatchVideoAutoencoder):
        bring_weights(vae)
        return unpatchify(vae.decoder(latents), PATCH_PX)
    if isinstance(vae, TinyVideoDecoder):
        return vae.decode(latents)[0]
    chunks: list[Tensor] = []  # what the decoder gives for each latent frame
    handle = vae.decoder.register_forward_hook(lambda _decoder, _inputs, chunk: chunks.append(chunk))
    try:
        vae.decode(latents, return_dict=False)
    finally:
        handle.remove()
    return unpatchify(torch.cat(chunks, dim=2), vae.config["patch_size"] or 1)


def _agreed_factor(vae: VideoAutoencoder, field: str, made: int) -> int:
    if vae.config[field] != made:
        raise CheckpointError(
            f"the VAE's config says {field}={vae.config[field]}, but its layers make {made}; "
            f"set {field} to {made} in its config.json"
        )
    return made


def latent_statistics(vae: VideoDecoder, device: torch.device) -> tuple[Tensor, Tensor]:
    """Give latents_mean and 1 / latents_std as float32 [1, 16, 1, 1, 1].

    The published code multiplies by the one and divides by it again. So do we, as the decoder magnifies what
    the other order rounds differently: a relative difference of 5e-6 instead of none in the golden case.
    """
    fields = vae.config["latents_mean"], vae.config["latents_std"]
    if any(len(numbers) != vae.config["z_dim"] for numbers in fields):
        raise CheckpointError(
            f"the VAE has {vae.config['z_dim']} latent channels, but its config gives "
            f"{len(fields[0])} latents_mean and {len(fields[1])} latents_std; put one of each for every "
            "channel in its config.json"
        )
    mean, std = (torch.tensor(numbers, dtype=torch.float32, device=device) for numbers in fields)
    return mean.view(1, -1, 1, 1, 1), 1 / std.view(1, -1, 1, 1, 1)


def check_video_size(num_frames: int, height: int, width: int, vae: VideoAutoencoder) -> None:
    """Raise ``InputError`` if this VAE takes no video of so many frames and pixels; it names the nearest legal."""
    clock_of(vae).num_latent(num_frames)
    factor = spatial_factor(vae)
    for side, pixels in (("height", height), ("width", width)):
        if pixels % factor:
            below = pixels // factor * factor
            nearest = f"{below} or {below + factor}" if below else f"{factor}"
            raise InputError(
                f"expected a {side} divisible by {factor}, got {pixels}; the nearest legal is {nearest}"
            )


def _check_video(video: Tensor, vae: VideoAutoencoder) -> None:
    if video.ndim != 5 or video.shape[2] != 3 or 0 in video.shape:
        raise InputError(f"expected video [b, t, 3, h, w], got {list(video.shape)}; put axes in that order")
    if not video.is_floating_point():
        raise InputError(f"expected floats in [-1, 1], got {video.dtype}; turn 0..255 into x / 127.5 - 1")
    check_video_size(video.shape[1], video.shape[3], video.shape[4], vae)
    low, high = (float(limit) for limit in video.detach().aminmax())
    if not -MAX_PIXEL <= low <= high <= MAX_PIXEL:  # false for NaN as well
        raise InputError(
            f"expected video in [-1, 1], got values from {low:.4g} to {high:.4g}; scale and clamp it"
        )
    _check_own_tiling_is_off(vae)


def check_latents(latents: Tensor, vae: VideoDecoder) -> None:
    """Raise ``InputError`` if these are no latents of this VAE, or not finite."""
    channels = vae.config["z_dim"]
    if latents.ndim != 5 or latents.shape[1] != channels or 0 in latents.shape:
        raise InputError(f"expected latents [b, {channels}, f, h, w] for this VAE, got {list(latents.shape)}")
    finite = latents.is_meta or bool(latents.isfinite().all())
    if not latents.is_floating_point() or not finite:
        raise InputError(
            "expected finite float latents, got NaN, infinity or whole numbers; check what made them"
        )
    _check_own_tiling_is_off(vae)


def _check_own_tiling_is_off(vae: VideoDecoder) -> None:
    if vae.use_tiling:
        raise InputError(
            "the VAE's own tiling is on, and blends otherwise; call vae.disable_tiling(), give a LatentTiling"
        )
