"""Weights as the world files them: in one file, in numbered parts with an index, under prefixes, in scaled fp8.

``read_weights`` takes all of that off: one state dict of bare names comes back, in numbers one can compute with.
"""

import json
import re
from collections.abc import Mapping
from pathlib import Path

import torch
from torch import Tensor

from outofsight.codec.checkpoint_files import PICKLE_SUFFIXES, load_state_dict, quote_names
from outofsight.errors import CheckpointError, first_line

INDEX_SUFFIXES = (".safetensors.index.json", ".bin.index.json")
WEIGHT_SUFFIXES = (".safetensors", *PICKLE_SUFFIXES)
WRAPPER_PREFIXES = (
    "model.diffusion_model.", "diffusion_model.", "module.", "model.", "pipe.dit.", "dit.", "transformer.",
)  # fmt: skip
"""What trainers and programs put before every name; taken off one after another."""

FP8 = (torch.float8_e4m3fn, torch.float8_e5m2)
SCALES = ("scale_weight", "weight_scale")
FP8_MARK = "scaled_fp8"
IDLE = ("scale_input", "input_scale")
"""Scales of activations, for programs that multiply in fp8; weights do not need them."""


def read_weights(path: str | Path) -> dict[str, Tensor]:
    """Read a checkpoint file, an index of parts, or a folder that holds either, as bare names and plain numbers.

    Raises:
        CheckpointError: A part is missing or damaged, parts repeat a name, the form cannot be read (GGUF), or
            quantised weights lack what undoes them.
    """
    path = Path(path)
    index = _index_of(path)
    state = load_state_dict(_only_file(path)) if index is None else _read_parts(index)
    try:
        return unquantised(bare_names(state))
    except CheckpointError as error:
        raise CheckpointError(f"{path}: {error}") from error


def bare_names(state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Take off what was put before all names, and torch.compile's ``_orig_mod.`` wherever it stands.

    A whole ComfyUI checkpoint (transformer, VAE and text encoder in one file) gives its transformer alone.
    """
    comfy = {name for name in state if name.startswith("model.diffusion_model.")}
    named = {
        name.replace("_orig_mod.", ""): tensor for name, tensor in state.items() if not comfy or name in comfy
    }
    while prefix := next(
        (p for p in WRAPPER_PREFIXES if named and all(name.startswith(p) for name in _telling(named))), ""
    ):
        named = {name.removeprefix(prefix): tensor for name, tensor in named.items()}
    return named


def _telling(named: Mapping[str, Tensor]) -> list[str]:
    """Leave out the mark of scaled fp8, which some programs write without the prefix."""
    return [name for name in named if name != FP8_MARK] or list(named)


def unquantised(state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Undo scaled fp8: weight · scale, in bfloat16; plain fp8 becomes bfloat16, which holds all its numbers.

    Raises:
        CheckpointError: a scale is missing or of another kind, or numbers are packed in a way that is not known here.
    """
    whole = [name for name, tensor in state.items() if not tensor.dtype.is_floating_point]
    if packed := [name for name in whole if name != FP8_MARK and not name.endswith(".comfy_quant")]:
        raise CheckpointError(
            f"expected floating-point weights, got {state[packed[0]].dtype} in {quote_names(packed)}; this "
            "quantisation cannot be undone here: give the bf16 or fp8-scaled file"
        )
    plain = {}
    for name, tensor in state.items():
        leaf = name.rpartition(".")[2]
        if leaf in (*SCALES, *IDLE, "comfy_quant") or name == FP8_MARK:
            continue
        plain[name] = _undone(name, tensor, state) if tensor.dtype in FP8 else tensor
    return plain


def _undone(name: str, tensor: Tensor, state: Mapping[str, Tensor]) -> Tensor:
    stem = name.removesuffix(".weight")
    scale = next((state[f"{stem}.{leaf}"] for leaf in SCALES if f"{stem}.{leaf}" in state), None)
    if scale is None:
        if FP8_MARK in state and tensor.ndim == 2:
            raise CheckpointError(f"{name} is scaled fp8, but its scale ({stem}.{SCALES[0]}) is missing")
        return tensor.bfloat16()
    if scale.numel() != 1 and scale.shape not in ((tensor.shape[0],), (tensor.shape[0], 1)):
        raise CheckpointError(
            f"{name}: expected one scale, or one a row ({tensor.shape[0]}), got {list(scale.shape)}; "
            "block-wise fp8 cannot be undone here"
        )
    rows = scale.float().reshape(-1, *(1,) * (tensor.ndim - 1))
    return (tensor.float() * rows).bfloat16()


def _index_of(path: Path) -> Path | None:
    if path.is_dir():
        found = sorted(p for suffix in INDEX_SUFFIXES for p in path.glob(f"*{suffix}"))
        if len(found) > 1:
            raise CheckpointError(f"{path}: expected one index, found {quote_names(p.name for p in found)}")
        return found[0] if found else None
    return path if path.name.endswith(INDEX_SUFFIXES) else None


def _only_file(path: Path) -> Path:
    if path.is_dir():
        files = sorted(p for p in path.iterdir() if p.suffix.lower() in WEIGHT_SUFFIXES)
        if len(files) != 1:
            raise CheckpointError(
                f"{path}: expected one weight file, or parts and their index ({INDEX_SUFFIXES[0]}), found "
                f"{quote_names(p.name for p in files) or 'none'}"
            )
        path = files[0]
    part = re.fullmatch(r".*-(\d{5})-of-(\d{5})\.\w+", path.name)
    if part and int(part[2]) > 1:
        raise CheckpointError(
            f"{path}: this is part {int(part[1])} of {int(part[2])}; give the folder, or its index (.index.json)"
        )
    return path


def _read_parts(index: Path) -> dict[str, Tensor]:
    try:
        where = json.loads(index.read_bytes())["weight_map"]
        parts = sorted(set(where.values()))
        safe = all(isinstance(part, str) and Path(part).name == part for part in parts)
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise CheckpointError(
            f"{index}: expected an index with a weight_map, could not read it ({first_line(error)})"
        ) from error
    if not parts or not safe:
        raise CheckpointError(f"{index}: expected a weight_map of files beside it, got {quote_names(parts)}")
    missing = [part for part in parts if not (index.parent / part).is_file()]
    if missing:
        raise CheckpointError(
            f"{index}: {len(missing)} of {len(parts)} parts are missing: {quote_names(missing)}"
        )
    state: dict[str, Tensor] = {}
    for part in parts:
        found = load_state_dict(index.parent / part)
        lost = [name for name, file in where.items() if file == part and name not in found]
        if lost:
            raise CheckpointError(
                f"{index.parent / part}: the index says it holds {quote_names(lost)}; it does not"
            )
        state |= {name: tensor for name, tensor in found.items() if where.get(name) == part}
    return state
