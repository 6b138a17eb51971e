"""Tell by a number whether two networks are the same: configuration and weights."""

import hashlib
import json
from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor, nn


def network_digest(network: nn.Module) -> str:
    """Digest a network of diffusers or transformers: its configuration, and its weights as float32.

    An autoencoder's skip is left out: its latents are the same with it and without.
    """
    stored: Any = network.config
    config = stored.to_dict() if hasattr(stored, "to_dict") else dict(stored)
    told = {
        key: value
        for key, value in config.items()
        if not key.startswith("_")
        and key not in ("torch_dtype", "dtype", "transformers_version", "skip_width")
    }
    own = {name: value for name, value in network.state_dict().items() if not name.startswith("skip.")}
    return weights_digest(own, json.dumps(told, sort_keys=True, default=str))


def weights_digest(weights: Mapping[str, Tensor], beside: str = "") -> str:
    """Digest names, shapes and float32 values of weights, and a text beside them: 64 hexadecimal digits."""
    digest = hashlib.sha256(beside.encode())
    for name in sorted(weights):
        value = weights[name].detach().to("cpu", torch.float32).contiguous()
        digest.update(f"{name}{list(value.shape)}".encode())
        digest.update(value.numpy().tobytes())
    return digest.hexdigest()
