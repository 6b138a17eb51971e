"""The original umT5 encoder and transformers' ``UMT5EncoderModel``: both ways, bit for bit.

The original names are those of ``models_t5_umt5-xxl-enc-bf16.pth``.
"""

import re
from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor
from transformers import UMT5Config, UMT5EncoderModel

from outofsight.codec.checkpoint_files import axis_size, require_entries, require_kind

_TOP = {"shared": "token_embedding", "encoder.final_layer_norm": "norm"}
_IN_BLOCK = {
    "layer.0.layer_norm": "norm1",
    "layer.1.layer_norm": "norm2",
    **{f"layer.0.SelfAttention.{part}": f"attn.{part}" for part in ("q", "k", "v", "o")},
    "layer.0.SelfAttention.relative_attention_bias": "pos_embedding.embedding",
    "layer.1.DenseReluDense.wi_0": "ffn.gate.0",
    "layer.1.DenseReluDense.wi_1": "ffn.fc1",
    "layer.1.DenseReluDense.wo": "ffn.fc2",
}
_BLOCK = re.compile(r"encoder\.block\.(\d+)\.(.+)\.weight")
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
    shapes = {
        official: encoder.state_dict()[name].shape for name, official in _official_names(encoder).items()
    }
    require_entries(state, shapes, "an original umT5 encoder of this size")
    renamed = {name: state[official] for name, official in _official_names(encoder).items()}
    encoder.load_state_dict({**renamed, _TIED: renamed["shared.weight"]}, assign=True)
    encoder.tie_weights()
    return encoder.eval()


def text_encoder_to_official(encoder: UMT5EncoderModel) -> dict[str, Tensor]:
    """Give an encoder's weights under their original names; the inverse of ``text_encoder_from_official``."""
    state = encoder.state_dict()
    return {official: state[name] for name, official in _official_names(encoder).items()}


def _official_names(encoder: UMT5EncoderModel) -> dict[str, str]:
    """Map each parameter name of ``encoder`` to the original's; tied weights appear once."""
    names = {}
    for name in encoder.state_dict():
        block = _BLOCK.fullmatch(name)
        if block:
            names[name] = f"blocks.{block[1]}.{_IN_BLOCK[block[2]]}.weight"
        elif name != _TIED:
            names[name] = f"{_TOP[name.removesuffix('.weight')]}.weight"
    return names
