"""The original Wan VAE and umT5 encoder, and diffusers' and transformers' own: both ways, bit for bit.

The VAE's original names are those of ``Wan2.1_VAE.pth``. Both libraries number the parts of its encoder alike. Those of
its decoder the original counts in one row, diffusers stage by stage; where a stage of the encoder has r residual
blocks, one of the decoder has r + 1 and an upsampler::

    original   upsamples.0 ... upsamples.r             upsamples.r+1               upsamples.r+2 ...
    diffusers  up_blocks.0.resnets.0 ... .0.resnets.r  up_blocks.0.upsamplers.0    up_blocks.1.resnets.0 ...
"""

import re
from collections.abc import Mapping, Sequence
from typing import Any

import torch
from diffusers.models.autoencoders.autoencoder_kl_wan import AutoencoderKLWan
from torch import Tensor
from transformers import UMT5Config, UMT5EncoderModel

from outofsight.codec.checkpoint_files import axis_size, require_entries, require_kind
from outofsight.errors import CheckpointError, InputError

PUBLISHED_CHANNELS = 16
"""Latent channels of the published VAE, whose mean and std are diffusers' defaults; weights hold none."""

_PARTS = {
    "quant_conv": "conv1",
    "post_quant_conv": "conv2",
    **{
        f"{side}.{ours}": f"{side}.{original}"
        for side in ("encoder", "decoder")
        for ours, original in (("conv_in", "conv1"), ("norm_out", "head.0"), ("conv_out", "head.2"))
    },
}
# What is not named here (resample.1, time_conv, to_qkv, ...) is called the same in both.
_IN_BLOCK = {
    "norm1": "residual.0", "conv1": "residual.2", "norm2": "residual.3", "conv2": "residual.6",
    "conv_shortcut": "shortcut",
}  # fmt: skip
_BLOCK = re.compile(
    r"(?P<side>encoder|decoder)\.(?P<row>mid_block\.resnets|mid_block\.attentions|down_blocks|up_blocks)"
    r"\.(?P<number>\d+)\.(?:(?P<inner>resnets|upsamplers)\.(?P<inner_number>\d+)\.)?(?P<part>.+)"
)
_ENCODER_PART = re.compile(r"encoder\.downsamples\.(\d+)\.")


def infer_vae_config(state: Mapping[str, Tensor]) -> dict[str, Any]:
    """Read the settings of an ``AutoencoderKLWan`` off original weights (bare names).

    Raises:
        CheckpointError: A weight that tells them is missing, or the stages are not built alike.
    """
    base_dim = axis_size(state, "encoder.conv1.weight", 0)
    stages = _encoder_stages(state)
    widths = [stage[-1] for stage, _ in stages]
    lengths = [len(stage) for stage, _ in stages]
    if len(set(lengths)) != 1 or any(width % base_dim for width in widths):
        raise CheckpointError(
            "expected a Wan VAE whose stages have equally many residual blocks and widths that are multiples "
            f"of {base_dim}, got {lengths} blocks and widths {widths}"
        )
    multipliers = [width // base_dim for width in widths]
    decoder_base_dim = axis_size(state, "decoder.conv1.weight", 0) // multipliers[-1]
    return {
        "base_dim": base_dim,
        "decoder_base_dim": None if decoder_base_dim == base_dim else decoder_base_dim,
        "z_dim": axis_size(state, "conv2.weight", 0),
        "dim_mult": multipliers,
        "num_res_blocks": lengths[0],
        "temperal_downsample": [halves_time for _, halves_time in stages[:-1]],
        "in_channels": axis_size(state, "encoder.conv1.weight", 1),
        "out_channels": axis_size(state, "decoder.head.2.weight", 0),
        "scale_factor_spatial": 2 ** (len(stages) - 1),
        "scale_factor_temporal": 2 ** sum(halves_time for _, halves_time in stages),
    }


def vae_from_official(
    state: Mapping[str, Tensor],
    *,
    latents_mean: Sequence[float] | None = None,
    latents_std: Sequence[float] | None = None,
) -> AutoencoderKLWan:
    """Make diffusers' VAE from original Wan weights, whose tensors (and dtypes) it takes over.

    ``latents_mean`` and ``latents_std`` hold a number for each latent channel; ``None``: the published ones.

    Raises:
        CheckpointError: These are not all and only the weights of a Wan VAE.
        InputError: Statistics are needed, as the VAE is not the published kind, or are too few or too many.
    """
    state = require_kind(state, "wan_vae")
    config = infer_vae_config(state)
    with torch.device("meta"):  # no storage of its own
        vae = AutoencoderKLWan(**config, **_statistics_config(config["z_dim"], latents_mean, latents_std))
    official = _official_names(vae)
    shapes = {official[name]: parameter.shape for name, parameter in vae.state_dict().items()}
    require_entries(state, shapes, "an original Wan VAE of this size")
    vae.load_state_dict({name: state[official[name]] for name in official}, assign=True)
    return vae.eval()


def vae_to_official(vae: AutoencoderKLWan) -> dict[str, Tensor]:
    """Give a VAE's weights under their original names; the inverse of ``vae_from_official``, bit for bit.

    Raises:
        InputError: The VAE is of a form that the original names cannot express.
    """
    if vae.config["is_residual"] or vae.config["patch_size"] is not None or vae.config["attn_scales"]:
        raise InputError(
            "expected a VAE of the Wan 2.1 form, got one that is residual, patched or has attention in its "
            "stages, and the original has no names for that; keep it as a diffusers folder"
        )
    official = _official_names(vae)
    return {official[name]: tensor for name, tensor in vae.state_dict().items()}


def _official_names(vae: AutoencoderKLWan) -> dict[str, str]:
    """Map each parameter name of ``vae`` to the original's."""
    return {name: _official_name(name, vae.config["num_res_blocks"]) for name in vae.state_dict()}


def _official_name(name: str, num_res_blocks: int) -> str:
    part, leaf = name.rsplit(".", 1)
    if part in _PARTS:
        return f"{_PARTS[part]}.{leaf}"
    block = _BLOCK.fullmatch(part)
    assert block is not None, f"AutoencoderKLWan has a new part {name}"
    number = int(block["number"])
    in_stage = num_res_blocks + 1 if block["inner"] == "upsamplers" else int(block["inner_number"] or 0)
    place = {
        "mid_block.resnets": f"middle.{2 * number}",
        "mid_block.attentions": f"middle.{2 * number + 1}",
        "down_blocks": f"downsamples.{number}",
        "up_blocks": f"upsamples.{number * (num_res_blocks + 2) + in_stage}",
    }[block["row"]]
    return f"{block['side']}.{place}.{_IN_BLOCK.get(block['part'], block['part'])}.{leaf}"


def _encoder_stages(state: Mapping[str, Tensor]) -> list[tuple[list[int], bool]]:
    """Give for each stage of the encoder the widths of its residual blocks, and whether it halves time."""
    stages: list[tuple[list[int], bool]] = []
    widths: list[int] = []
    numbers = [int(match[1]) for name in state if (match := _ENCODER_PART.match(name))]
    for number in range(1 + max(numbers, default=-1)):
        part = f"encoder.downsamples.{number}"
        if f"{part}.residual.6.weight" in state:
            widths.append(axis_size(state, f"{part}.residual.6.weight", 0))
        elif f"{part}.resample.1.weight" in state and widths:
            stages.append((widths, f"{part}.time_conv.weight" in state))
            widths = []
        else:
            raise CheckpointError(
                f"expected a residual block or, after one, a halving, as {part} of a Wan VAE"
            )
    if not widths:
        raise CheckpointError("expected a Wan VAE whose encoder ends with residual blocks; they are missing")
    return [*stages, (widths, False)]


def _statistics_config(
    channels: int, latents_mean: Sequence[float] | None, latents_std: Sequence[float] | None
) -> dict[str, list[float]]:
    statistics = {"latents_mean": latents_mean, "latents_std": latents_std}
    given = {name: list(numbers) for name, numbers in statistics.items() if numbers is not None}
    if not given and channels == PUBLISHED_CHANNELS:
        return {}
    if len(given) != 2 or any(len(numbers) != channels for numbers in given.values()):
        lengths = {name: len(numbers) for name, numbers in given.items()} or "none"
        raise InputError(
            f"expected latents_mean and latents_std of {channels} numbers, one for each latent channel, got "
            f"{lengths}; only those of the published {PUBLISHED_CHANNELS} channels are known here"
        )
    return given


_TOP = {"shared": "token_embedding", "encoder.final_layer_norm": "norm"}
_IN_TEXT_BLOCK = {
    "layer.0.layer_norm": "norm1",
    "layer.1.layer_norm": "norm2",
    **{f"layer.0.SelfAttention.{part}": f"attn.{part}" for part in ("q", "k", "v", "o")},
    "layer.0.SelfAttention.relative_attention_bias": "pos_embedding.embedding",
    "layer.1.DenseReluDense.wi_0": "ffn.gate.0",
    "layer.1.DenseReluDense.wi_1": "ffn.fc1",
    "layer.1.DenseReluDense.wo": "ffn.fc2",
}
_TEXT_BLOCK = re.compile(r"encoder\.block\.(\d+)\.(.+)\.weight")
_OFFICIAL_BLOCK = re.compile(r"blocks\.(\d+)\.")
_TIED = "encoder.embed_tokens.weight"  # transformers' second name of shared.weight


def infer_text_encoder_config(state: Mapping[str, Tensor]) -> dict[str, Any]:
    """Read the settings of a ``UMT5Config`` off original weights (bare names).

    What weights do not tell is as published, which is transformers' default: gated GELU, position buckets up
    to a distance of 128 tokens, epsilon 1e-6, token 0 for padding and 1 for the end.

    Raises:
        CheckpointError: A weight that tells them is missing.
    """
    heads = axis_size(state, "blocks.0.pos_embedding.embedding.weight", 1)
    return {
        "vocab_size": axis_size(state, "token_embedding.weight", 0),
        "d_model": axis_size(state, "token_embedding.weight", 1),
        "d_kv": axis_size(state, "blocks.0.attn.q.weight", 0) // heads,
        "d_ff": axis_size(state, "blocks.0.ffn.fc1.weight", 0),
        "num_layers": 1 + max(int(block[1]) for name in state if (block := _OFFICIAL_BLOCK.match(name))),
        "num_heads": heads,
        "relative_attention_num_buckets": axis_size(state, "blocks.0.pos_embedding.embedding.weight", 0),
    }


def text_encoder_from_official(state: Mapping[str, Tensor]) -> UMT5EncoderModel:
    """Make transformers' encoder from original umT5 weights, whose tensors (and dtypes) it takes over.

    Raises:
        CheckpointError: These are not all and only the weights of a umT5 encoder.
    """
    state = require_kind(state, "umt5")
    with torch.device("meta"):  # no storage of its own: the published one has 11 GB
        encoder = UMT5EncoderModel(UMT5Config(**infer_text_encoder_config(state)))
    official = _official_text_names(encoder)
    shapes = {official[name]: value.shape for name, value in encoder.state_dict().items() if name in official}
    require_entries(state, shapes, "an original umT5 encoder of this size")
    renamed = {name: state[original] for name, original in official.items()}
    encoder.load_state_dict({**renamed, _TIED: renamed["shared.weight"]}, assign=True)
    encoder.tie_weights()
    return encoder.eval()


def text_encoder_to_official(encoder: UMT5EncoderModel) -> dict[str, Tensor]:
    """Give an encoder's weights under their original names; the inverse of ``text_encoder_from_official``."""
    state = encoder.state_dict()
    return {official: state[name] for name, official in _official_text_names(encoder).items()}


def _official_text_names(encoder: UMT5EncoderModel) -> dict[str, str]:
    """Map each parameter name of ``encoder`` to the original's; tied weights appear once."""
    names = {}
    for name in encoder.state_dict():
        block = _TEXT_BLOCK.fullmatch(name)
        if block:
            names[name] = f"blocks.{block[1]}.{_IN_TEXT_BLOCK[block[2]]}.weight"
        elif name != _TIED:
            names[name] = f"{_TOP[name.removesuffix('.weight')]}.weight"
    return names
