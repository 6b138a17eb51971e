"""The published checkpoints of HyDRA and Wan, read and written, also those whose transformer sees more than noise.

Which input channel is what, by convention::

    16   noise                                        text to video
    32   noise 16 | picture 16                        control LoRA, Fun-Camera
    36   noise 16 | known 4 | picture 16              image to video, inpainting; known: 1 = given, one a video frame
    48   noise 16 | picture 16 | first image 16       Fun-Control; the first image is zeros where none is given

Here the picture is what memory renders, so its weights become those of ``RenderedMemory``: picture 16, coverage 4,
subject 4 (begun at zero).
"""

from collections.abc import Mapping
from math import prod
from typing import Any

import torch
from torch import Tensor

from outofsight.backbone.official_names import BLOCK, official_name, under_official_names
from outofsight.backbone.transformer import HydraTransformer3DModel, is_memory_parameter
from outofsight.codec.checkpoint_files import describe_checkpoint, require_entries, shared_prefix
from outofsight.errors import CheckpointError, InputError

PUBLISHED_HEAD_DIM = 128
RENDERED = "rendered_memory.embed"
"""Not an official name: the channels beyond noise, between ``split_inputs`` and ``join_inputs``."""

_TELLING = (
    "patch_embedding.weight", "text_embedding.0.weight", "time_embedding.0.weight", "head.head.weight",
    "blocks.0.ffn.0.weight",
)  # fmt: skip
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

    What more than noise the weights see becomes what sees rendered memory.

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
    known = HydraTransformer3DModel._get_init_keys(HydraTransformer3DModel)
    if unknown := sorted(settings.keys() - known):
        raise InputError(f"unknown setting {unknown[0]!r}; a transformer has {', '.join(sorted(known))}")
    # Without storage of its own, the model takes over the checkpoint's tensors, their dtypes included.
    with torch.device("cpu" if untrained_memory else "meta"):
        model = HydraTransformer3DModel.from_config(settings)
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
    return {name: name if name == RENDERED else official_name(name) for name in model.state_dict()}


def transformer_to_official(model: HydraTransformer3DModel) -> dict[str, Tensor]:
    """Return the model's weights under their official names; the inverse of ``from_official``, bit for bit.

    Raises:
        CheckpointError: the model has parts for which the official form has no place.
    """
    shown = model.rendered_memory
    unplaced = {
        "camera_ray_octaves": model.config["camera_ray_octaves"] > 0,
        "state_space_every": bool(model.config["state_space_every"]),
        "state_grid": model.state_memory is not None,
        "identity_grid": model.identity_encoder is not None,
        "subject_mask": model.config["subject_mask"] != "none",
        "rendering": shown is not None and (shown.gate is not None or shown.masks is not None),
    }
    if setting := next((name for name, is_there in unplaced.items() if is_there), None):
        raise CheckpointError(
            f"this model has a part that the official form has no place for ({setting} = {model.config[setting]!r}); "
            "keep it as a model folder"
        )
    state = model.state_dict()
    official = {official: state[name] for name, official in _official_names(model).items()}
    if shown is not None:
        official[PATCH_WEIGHT] = join_inputs(official[PATCH_WEIGHT], official.pop(RENDERED))
    return official


NOISE, KNOWN = 16, 4
PATCH_WEIGHT = "patch_embedding.weight"
PLACES = {"picture": slice(0, NOISE), "known": slice(NOISE, NOISE + KNOWN)}
"""Where the weights of ``RenderedMemory`` have what a checkpoint sees."""
LAYOUTS: dict[int, dict[str, int]] = {
    16: {}, 32: {"picture": 16}, 36: {"known": 16, "picture": 20}, 48: {"picture": 16}
}  # fmt: skip
"""By the number of a checkpoint's channels: where each part begins."""
FOREIGN_PARTS = {
    "img_emb.": "an encoder of the first image (img_emb)",
    "ref_conv.": "a reference picture (ref_conv)",
    "control_adapter.": "Plücker cameras (control_adapter)",
    "vace_blocks.": "a VACE branch (vace_blocks)",
    "condition_embedder.image_embedder.": "an encoder of the first image (image_embedder)",
}


def check_foreign(state: Mapping[str, Tensor]) -> None:
    """Raise ``CheckpointError`` for a model with parts that ours has no place for, under either set of names."""
    for start, what in FOREIGN_PARTS.items():
        if any(name.startswith(start) for name in state):
            raise CheckpointError(f"this model takes {what}, which a world model here has no place for")


def split_inputs(state: Mapping[str, Tensor]) -> tuple[dict[str, Tensor], Tensor | None]:
    """Part official weights into those of a 16-channel model and the weights that see rendered memory [d, 24, 1, 2, 2].

    Raises:
        CheckpointError: the number of channels is of no known convention.
    """
    weight = state.get(PATCH_WEIGHT)
    if weight is None or weight.ndim != 5 or weight.shape[1] == NOISE:
        return dict(state), None
    channels, head = weight.shape[1], state.get("head.head.weight")
    if head is not None and channels == head.shape[0] // prod(weight.shape[2:]):
        return dict(state), None  # another autoencoder's latents (48 of Wan 2.2 5B), noise alone
    if channels not in LAYOUTS:
        raise CheckpointError(
            f"{channels} input channels are of no convention that is known here; known are "
            f"{', '.join(map(str, LAYOUTS))} (noise first)"
        )
    rendered = weight.new_zeros(weight.shape[0], NOISE + 2 * KNOWN, *weight.shape[2:])
    for part, begins in LAYOUTS[channels].items():
        place = PLACES[part]
        rendered[:, place] = weight[:, begins : begins + place.stop - place.start]
    return {**state, PATCH_WEIGHT: weight[:, :NOISE].clone()}, rendered


def join_inputs(weight: Tensor, rendered: Tensor) -> Tensor:
    """Make the patch weights of a 36-channel model: noise, known (coverage), picture.

    Raises:
        CheckpointError: the model looks at who is a subject, for which 36 channels have no place.
    """
    picture, known, subject = rendered.split((NOISE, KNOWN, KNOWN), dim=1)
    if subject.any():
        raise CheckpointError(
            "this model is shown subject masks, which 36 channels have no place for; keep the folder"
        )
    return torch.cat([weight, known, picture], dim=1)
