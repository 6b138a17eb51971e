"""The transformer's and the text encoder's matrices in int8 or NF4, by the libraries that diffusers knows."""

import importlib
import importlib.util
from collections.abc import Mapping
from typing import Any

import torch
from diffusers import BitsAndBytesConfig, PipelineQuantizationConfig, TorchAoConfig
from torch import nn
from transformers import BitsAndBytesConfig as TextBitsAndBytesConfig
from transformers import TorchAoConfig as TextTorchAoConfig

from outofsight.errors import InputError

LIBRARIES = {"int8": "torchao", "nf4": "bitsandbytes"}
NF4_BLOCK = 64
"""Numbers that share one float32 scale."""


def quantisation(name: str, dtype: torch.dtype, device: torch.device) -> PipelineQuantizationConfig:
    """Give the ``quantization_config`` of ``from_pretrained``: weights are stored in int8 or NF4, and multiplied in
    ``dtype``. Banks, rendered memory and what diffusers keeps wide stay as they are; so does the VAE.

    Source: int8 a row by torchao; NF4 by bitsandbytes (Dettmers et al. 2023), which needs a GPU to quantise on.

    Raises:
        InputError: there is no such way, its library is not installed, or it does not run on ``device``.
    """
    if name not in LIBRARIES:
        raise InputError(f"--quantize: expected one of none, {', '.join(LIBRARIES)}, got {name!r}")
    if name == "nf4" and device.type != "cuda":
        raise InputError(
            f"--quantize nf4: bitsandbytes quantises on a CUDA GPU, the run is on {device}; use --quantize int8"
        )
    library = LIBRARIES[name]
    if not importlib.util.find_spec(library):
        raise InputError(
            f"--quantize {name}: {library} is not installed; pip install 'outofsight[quantized]'"
        )
    if name == "int8":
        quantization = importlib.import_module("torchao.quantization")
        rows = quantization.Int8WeightOnlyConfig(version=2)
        mapping: dict[str, Any] = {
            "transformer": TorchAoConfig(rows),
            "text_encoder": TextTorchAoConfig(rows),
        }
    else:
        own, texts = (
            kind(load_in_4bit=True, bnb_4bit_quant_type="nf4", bnb_4bit_compute_dtype=dtype)
            for kind in (BitsAndBytesConfig, TextBitsAndBytesConfig)
        )
        mapping = {"transformer": own, "text_encoder": texts}
    return PipelineQuantizationConfig(quant_mapping=mapping)


def quantised_bytes(networks: Mapping[str, Any], name: str) -> dict[str, int]:
    """Count the weights of each network as ``quantisation`` would store them; with "none" as they are."""
    sizes = {part: sum(value.nbytes for value in net.state_dict().values()) for part, net in networks.items()}
    for part in ("transformer", "text_encoder") if name != "none" else ():
        # transformers lets torchao have what it keeps wide
        kept = () if (name, part) == ("int8", "text_encoder") else networks[part]._keep_in_fp32_modules
        for path, module in networks[part].named_modules():
            if isinstance(module, nn.Linear) and not any(wide in path for wide in kept or ()):
                weight = module.weight
                stored = weight.numel() + weight.shape[0] * weight.itemsize
                if name == "nf4":
                    stored = weight.numel() // 2 + weight.numel() * 4 // NF4_BLOCK
                sizes[part] += stored - weight.nbytes
    return sizes
