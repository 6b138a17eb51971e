"""What Wan and HyDRA call their parameters, and what they are called here (as in diffusers)."""

import re
from collections.abc import Mapping

from torch import Tensor

from outofsight.errors import CheckpointError

_TOP = {  # our names → official ones
    "patch_embedding": "patch_embedding",
    "condition_embedder.text_embedder.linear_1": "text_embedding.0",
    "condition_embedder.text_embedder.linear_2": "text_embedding.2",
    "condition_embedder.time_embedder.linear_1": "time_embedding.0",
    "condition_embedder.time_embedder.linear_2": "time_embedding.2",
    "condition_embedder.time_proj": "time_projection.1",
    "proj_out": "head.head",
    "scale_shift_table": "head.modulation",
}
_PROJECTIONS = {
    "to_q": "q",
    "to_k": "k",
    "to_v": "v",
    "to_out.0": "o",
    "norm_q": "norm_q",
    "norm_k": "norm_k",
}
_IN_BLOCK = {
    "scale_shift_table": "modulation",
    "norm2": "norm3",
    "ffn.net.0.proj": "ffn.0",
    "ffn.net.2": "ffn.2",
    "attn1.context_camera_encoder": "cam_encoder_con",
    "attn1.target_camera_encoder": "cam_encoder_tgt",
    "attn1.projector": "projector",
    "attn1.tokenizer.conv": "self_attn.tokenizer.conv",
    **{f"attn1.{ours}": f"self_attn.{official}" for ours, official in _PROJECTIONS.items()},
    **{f"attn2.{ours}": f"cross_attn.{official}" for ours, official in _PROJECTIONS.items()},
}
BLOCK = re.compile(r"blocks\.(\d+)\.(.+)")
_LEAF = re.compile(r"(.+)\.(weight|bias)")


def official_name(name: str) -> str:
    """Translate one of our parameter names."""
    block = BLOCK.fullmatch(name)
    prefix, inner, table = (f"blocks.{block[1]}.", block[2], _IN_BLOCK) if block else ("", name, _TOP)
    leaf = _LEAF.fullmatch(inner)
    stem, suffix = (leaf[1], f".{leaf[2]}") if leaf else (inner, "")
    if stem not in table:
        raise CheckpointError(f"{name} has no official name; fuse and unload adapters (LoRA) first")
    return f"{prefix}{table[stem]}{suffix}"


def under_official_names(state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Give weights their official names, if they have those of diffusers; others come back as they are."""
    if "blocks.0.attn1.to_q.weight" not in state:
        return dict(state)
    return {official_name(name): tensor for name, tensor in state.items()}
