"""The published checkpoints of HyDRA and Wan: their names, read and written."""

import re
from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor

from outofsight.backbone.transformer import HydraTransformer3DModel, is_memory_parameter
from outofsight.errors import CheckpointError

PUBLISHED_HEAD_DIM = 128

_TOP = {
    "patch_embedding": "patch_embedding",
    "text_embedding.0": "condition_embedder.text_embedder.linear_1",
    "text_embedding.2": "condition_embedder.text_embedder.linear_2",
    "time_embedding.0": "condition_embedder.time_embedder.linear_1",
    "time_embedding.2": "condition_embedder.time_embedder.linear_2",
    "time_projection.1": "condition_embedder.time_proj",
    "head.head": "proj_out",
    "head.modulation": "scale_shift_table",
}
_IN_BLOCK = {
    "modulation": "scale_shift_table",
    "norm3": "norm2",
    "ffn.0": "ffn.net.0.proj",
    "ffn.2": "ffn.net.2",
    "cam_encoder_con": "attn1.context_camera_encoder",
    "cam_encoder_tgt": "attn1.target_camera_encoder",
    "projector": "attn1.projector",
    "self_attn.tokenizer.conv": "attn1.tokenizer.conv",
    **{
        f"{official}.{part}": f"{ours}.{our_part}"
        for official, ours in (("self_attn", "attn1"), ("cross_attn", "attn2"))
        for part, our_part in (
            ("q", "to_q"),
            ("k", "to_k"),
            ("v", "to_v"),
            ("o", "to_out.0"),
            ("norm_q", "norm_q"),
            ("norm_k", "norm_k"),
        )
    },
}
_BLOCK = re.compile(r"blocks\.(\d+)\.(.+)")
_LEAF = re.compile(r"(.+)\.(weight|bias)")


def _rename(name: str, top: Mapping[str, str], in_block: Mapping[str, str]) -> str | None:
    """Translate one parameter name, or return ``None`` for an unknown one."""
    block = _BLOCK.fullmatch(name)
    prefix, inner, table = (f"blocks.{block[1]}.", block[2], in_block) if block else ("", name, top)
    leaf = _LEAF.fullmatch(inner)
    stem, suffix = (leaf[1], f".{leaf[2]}") if leaf else (inner, "")
    return f"{prefix}{table[stem]}{suffix}" if stem in table else None


def _rename_all(
    state: Mapping[str, Tensor], top: Mapping[str, str], in_block: Mapping[str, str]
) -> dict[str, Tensor]:
    renamed = {name: _rename(name, top, in_block) for name in state}
    unknown = [name for name, new in renamed.items() if new is None]
    if unknown:
        raise CheckpointError(
            f"expected the weights of a HyDRA or Wan text-to-video model; {len(unknown)} of {len(state)} names are "
            f"unknown, the first: {', '.join(unknown[:3])}"
        )
    return {new: state[name] for name, new in renamed.items() if new is not None}


def _without_prefix(state: Mapping[str, Tensor]) -> Mapping[str, Tensor]:
    """Drop a prefix that all names share, as training wrappers add it (``pipe.dit.``, ``module.``)."""
    anchor = next((name for name in state if name.endswith("patch_embedding.weight")), "")
    prefix = anchor.removesuffix("patch_embedding.weight")
    if prefix and all(name.startswith(prefix) for name in state):
        return {name.removeprefix(prefix): tensor for name, tensor in state.items()}
    return state


def infer_config(state: Mapping[str, Tensor]) -> dict[str, Any]:
    """Read a model's sizes off its official weights; heads are taken to be 128 wide, as published.

    Raises:
        CheckpointError: the weights are not those of a HyDRA or Wan model.
    """
    needed = (
        "patch_embedding.weight",
        "text_embedding.0.weight",
        "time_embedding.0.weight",
        "head.head.weight",
    )
    missing = [name for name in (*needed, "blocks.0.ffn.0.weight") if name not in state]
    if missing:
        raise CheckpointError(
            f"expected the weights of a HyDRA or Wan text-to-video model, but {missing[0]} is missing "
            f"among {len(state)} tensors; is this another part (a VAE, a text encoder), or a truncated file?"
        )
    width, in_channels, *patch = state["patch_embedding.weight"].shape
    config = {
        "patch_size": tuple(patch),
        "num_attention_heads": width // PUBLISHED_HEAD_DIM,
        "attention_head_dim": PUBLISHED_HEAD_DIM,
        "in_channels": in_channels,
        "out_channels": state["head.head.weight"].shape[0] // (patch[0] * patch[1] * patch[2]),
        "text_dim": state["text_embedding.0.weight"].shape[1],
        "freq_dim": state["time_embedding.0.weight"].shape[1],
        "ffn_dim": state["blocks.0.ffn.0.weight"].shape[0],
        "num_layers": 1 + max(int(match[1]) for name in state if (match := _BLOCK.fullmatch(name))),
    }
    tokenizer = state.get("blocks.0.self_attn.tokenizer.conv.weight")
    if tokenizer is not None:
        config["memory_kernel"] = tuple(tokenizer.shape[2:])
    return config


def from_official(
    state: Mapping[str, Tensor], *, untrained_memory: bool = False, **config: Any
) -> HydraTransformer3DModel:
    """Make a model from official weights; sizes come from the weights.

    ``untrained_memory``: accept a plain Wan checkpoint and start HyDRA's own parts fresh. ``config``: what weights
    do not tell (``num_attention_heads`` where heads are not 128 wide, ``memory_top_k``, ``local_window``, ...).

    The model takes over the tensors of ``state``.

    Raises:
        CheckpointError: names are unknown or missing, shapes differ, or ``config`` contradicts the weights.
    """
    state = _without_prefix(state)
    inferred = infer_config(state)
    width = state["patch_embedding.weight"].shape[0]
    if "num_attention_heads" in config:
        inferred["attention_head_dim"] = width // config["num_attention_heads"]
        inferred["num_attention_heads"] = config["num_attention_heads"]
    if inferred["num_attention_heads"] * inferred["attention_head_dim"] != width:
        raise CheckpointError(
            f"a width of {width} is not made of heads of {inferred['attention_head_dim']}; give num_attention_heads"
        )
    for key in inferred.keys() & config.keys():
        given = tuple(config[key]) if isinstance(config[key], list) else config[key]
        if given != inferred[key]:
            raise CheckpointError(f"{key}={given} was asked for, but the weights have {inferred[key]}")
    renamed = _rename_all(state, _TOP, _IN_BLOCK)
    # Without storage of its own, the model takes over the checkpoint's tensors, their dtypes included.
    with torch.device("cpu" if untrained_memory else "meta"):
        model = HydraTransformer3DModel(**{**inferred, **config})
    _check_fit(model, renamed, untrained_memory)
    model.load_state_dict(renamed, strict=not untrained_memory, assign=True)
    return model


def _check_fit(model: HydraTransformer3DModel, state: Mapping[str, Tensor], untrained_memory: bool) -> None:
    expected = model.state_dict()
    missing = [name for name in expected if name not in state]
    memory = [name for name in missing if is_memory_parameter(name)]
    if memory and len(memory) == len(missing) and not untrained_memory:
        raise CheckpointError(
            "this is a plain Wan model without HyDRA's memory; ask for untrained_memory to start training from it"
        )
    if len(missing) > (len(memory) if untrained_memory else 0):
        raise CheckpointError(
            f"the checkpoint is incomplete: {len(missing)} tensors are missing, first {missing[:3]}"
        )
    for name, tensor in state.items():
        if name not in expected:
            raise CheckpointError(f"the checkpoint holds {name}, which a model of this size does not have")
        if tensor.shape != expected[name].shape:
            raise CheckpointError(
                f"{name}: expected shape {list(expected[name].shape)}, the checkpoint has {list(tensor.shape)}"
            )


def to_official(model: HydraTransformer3DModel) -> dict[str, Tensor]:
    """Return the model's weights under their official names; the inverse of ``from_official``, bit for bit."""
    top = {ours: official for official, ours in _TOP.items()}
    in_block = {ours: official for official, ours in _IN_BLOCK.items()}
    return _rename_all(model.state_dict(), top, in_block)
