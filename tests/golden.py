"""Reading the golden vectors, and the measure of agreement."""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors import safe_open
from torch import Tensor

from outofsight.backbone.official import from_official
from outofsight.backbone.transformer import HydraTransformer3DModel

GOLDEN = Path(__file__).parent / "fixtures" / "golden"
ALL_GOLDEN = Path(__file__).parents[2] / "shared" / "golden"
"""The complete set, where a checkout has it; the largest files are not copied into the repository."""


@dataclass
class Golden:
    tensors: dict[str, Tensor]
    metadata: dict[str, Any]

    def __getitem__(self, key: str) -> Tensor:
        return self.tensors[key]

    def under(self, prefix: str) -> dict[str, Tensor]:
        return {
            key.removeprefix(prefix): value for key, value in self.tensors.items() if key.startswith(prefix)
        }


def golden_path(name: str) -> Path | None:
    for folder in (GOLDEN, ALL_GOLDEN):
        if (folder / f"{name}.safetensors").is_file():
            return folder / f"{name}.safetensors"
    return None


def load_golden(name: str) -> Golden:
    path = golden_path(name)
    assert path is not None, f"golden file {name} is not here"
    with safe_open(path, framework="pt") as file:
        tensors = {key: file.get_tensor(key) for key in file.keys()}  # noqa: SIM118 - not a dict
        metadata = file.metadata() or {}
    return Golden(tensors, {key: _parsed(value) for key, value in metadata.items()})


def _parsed(value: str) -> Any:
    try:
        return json.loads(value)
    except json.JSONDecodeError:
        return value


def relative_difference(actual: Tensor, expected: Tensor) -> float:
    """Largest absolute difference over the largest absolute expected value."""
    assert actual.shape == expected.shape, (actual.shape, expected.shape)
    return float((actual.double() - expected.double()).abs().max() / expected.double().abs().max())


def hydra(case: Golden, weights: Golden, **changes: Any) -> HydraTransformer3DModel:
    """Build the model of a golden case."""
    cfg = case.metadata["cfg"]
    config = {
        "num_attention_heads": cfg["heads"],
        "memory_top_k": cfg["top_k"],
        "local_window": cfg["window"],
    }
    return from_official(weights.under("weights."), **{**config, **changes}).eval()


def true_grid_latents() -> Tensor:
    """The input of ``dit_D``, which is regenerated from its seed."""
    flat = np.random.RandomState(9100).standard_normal(16 * 40 * 60 * 104)
    return torch.from_numpy(flat.astype(np.float32).reshape(1, 16, 40, 60, 104))
