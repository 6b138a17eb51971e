"""The published checkpoints of HyDRA and Wan: their names, read and written."""

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor

from outofsight.backbone.input_channels import PATCH_WEIGHT, check_foreign, join_inputs, split_inputs
from outofsight.backbone.official_names import BLOCK, official_name, under_official_names
from outofsight.backbone.transformer import HydraTransformer3DModel, is_memory_parameter
from outofsight.codec.checkpoint_files import describe_checkpoint, require_entries, shared_prefix
from outofsight.errors import CheckpointError

PUBLISHED_HEAD_DIM = 128
RENDERED = "rendered_memory.embed"
"""Not an official name: the channels beyond noise, between ``split_inputs`` and ``join_inputs``."""

_TELLING = (
    "patch_embedding.weight",
    "text_embedding.0.weight",
    "time_embedding.0.weight",
    "head.head.weight",
    "blocks.0.ffn.0.weight",
)
"""The weights that sizes are read off."""


def infer_config(state: Mapping[str, Tensor]) -> dict[str, Any]:
    """Read off official weights all sizes that they tell: the model's arguments, and ``width`` of all heads together.

    Raises:
        CheckpointError: the weights are not those of a HyDRA or Wan model.
    """
    missing = [name for name in _TELLING if name not in state]
    if missing:
        raise CheckpointError(
            f"expected the weights of a HyDRA or Wan text-to-video transformer, got {describe_checkpoint(state)}; "
            f"{missing[0]} is missing among {len(state)} tensors"
        )
    width, in_channels, *patch = state["patch_embedding.weight"].shape
    config = {
        "width": width,
        "patch_size": tuple(patch),
        "in_channels": in_channels,
        "out_channels": state["head.head.weight"].shape[0] // (patch[0] * patch[1] * patch[2]),
        "text_dim": state["text_embedding.0.weight"].shape[1],
        "freq_dim": state["time_embedding.0.weight"].shape[1],
        "ffn_dim": state["blocks.0.ffn.0.weight"].shape[0],
        "num_layers": 1 + max(int(match[1]) for name in state if (match := BLOCK.fullmatch(name))),
    }
    tokenizer = state.get("blocks.0.self_attn.tokenizer.conv.weight")
    if tokenizer is not None:
        config["memory_kernel"] = tuple(tokenizer.shape[2:])
    return config


def from_official(
    state: Mapping[str, Tensor], *, untrained_memory: bool = False, **config: Any
) -> HydraTransformer3DModel:
    """Make a model from official weights, under official names or diffusers'; sizes come from the weights.

    What more than noise the weights see (``input_channels``) becomes what sees rendered memory.

    ``untrained_memory``: accept a plain Wan checkpoint and start HyDRA's own parts fresh. ``config``: what weights
    do not tell (``num_attention_heads`` where heads are not 128 wide, ``memory_top_k``, ``local_window``, ...).

    The model takes over the tensors of ``state``.

    Raises:
        CheckpointError: names are unknown or missing, shapes differ, or ``config`` contradicts the weights.
    """
    prefix = shared_prefix(state, PATCH_WEIGHT)
    state = {name.removeprefix(prefix): tensor for name, tensor in state.items()}
    check_foreign(state)
    state, rendered = split_inputs(under_official_names(state))
    if rendered is not None:
        state[RENDERED] = rendered
        config = {"rendering": {"gate_width": 0, "mask_width": 0}, **config}
    settings = {**_with_heads(infer_config(state), config), **config}
    # Without storage of its own, the model takes over the checkpoint's tensors, their dtypes included.
    with torch.device("cpu" if untrained_memory else "meta"):
        model = HydraTransformer3DModel(**settings)
    names = _official_names(model)
    memory = [official for name, official in names.items() if is_memory_parameter(name)]
    if not any(name in state for name in memory):
        if not untrained_memory:
            raise CheckpointError(
                "this is a plain Wan model without HyDRA's memory; ask for untrained_memory to start training from it"
            )
        names = {name: official for name, official in names.items() if not is_memory_parameter(name)}
    shapes = {name: tensor.shape for name, tensor in model.state_dict().items()}
    require_entries(state, {official: shapes[name] for name, official in names.items()}, "this transformer")
    found = {name: state[official] for name, official in names.items()}
    model.load_state_dict(found, strict=not untrained_memory, assign=True)
    return model


def _with_heads(inferred: dict[str, Any], config: Mapping[str, Any]) -> dict[str, Any]:
    """Divide the width into the heads asked for, and refuse what contradicts the weights."""
    width = inferred.pop("width")
    heads = config.get("num_attention_heads", width // PUBLISHED_HEAD_DIM)
    if heads < 1 or width % heads or ("num_attention_heads" not in config and width % PUBLISHED_HEAD_DIM):
        raise CheckpointError(
            f"a width of {width} is not made of {heads} heads of {PUBLISHED_HEAD_DIM}; give num_attention_heads"
        )
    inferred = {**inferred, "num_attention_heads": heads, "attention_head_dim": width // heads}
    for key in inferred.keys() & config.keys():
        given = tuple(config[key]) if isinstance(config[key], list) else config[key]
        if given != inferred[key]:
            raise CheckpointError(f"{key}={given} was asked for, but the weights have {inferred[key]}")
    return inferred


def _official_names(model: HydraTransformer3DModel) -> dict[str, str]:
    """Map each of the model's parameter names to its official one."""
    return {name: official_name(name) for name in model.state_dict()}


def to_official(model: HydraTransformer3DModel) -> dict[str, Tensor]:
    """Return the model's weights under their official names; the inverse of ``from_official``, bit for bit.

    Raises:
        CheckpointError: the model has parts for which the official form has no place.
    """
    shown = model.rendered_memory
    unplaced = {
        "camera_ray_octaves": model.config["camera_ray_octaves"] > 0,
        "state_grid": model.state_memory is not None,
        "identity_grid": model.identity_encoder is not None,
        "subject_mask": model.config["subject_mask"] != "none",
        "rendering": shown is not None and (shown.gate is not None or shown.masks is not None),
    }
    if any(unplaced.values()):
        setting = next(name for name, is_there in unplaced.items() if is_there)
        raise CheckpointError(
            f"this model has a part that the official form has no place for ({setting} = {model.config[setting]!r}); "
            "keep it as a model folder"
        )
    state = model.state_dict()
    official = {official: state[name] for name, official in _official_names(model).items()}
    if shown is not None:
        official[PATCH_WEIGHT] = join_inputs(official[PATCH_WEIGHT], official.pop(RENDERED))
    return official
