"""Wan transformers that see more than noise: which input channel is what, by the convention of each number.

::

    16   noise                                        text to video
    32   noise 16 | picture 16                        control LoRA, Fun-Camera
    36   noise 16 | known 4 | picture 16              image to video, inpainting; known: 1 = given, one a video frame
    48   noise 16 | picture 16 | first image 16       Fun-Control; the first image is zeros where none is given

Here the picture is what memory renders, so its weights become those of ``RenderedMemory``: picture 16, coverage 4,
subject 4 (begun at zero).
"""

from collections.abc import Mapping
from math import prod

import torch
from torch import Tensor

from outofsight.errors import CheckpointError

NOISE, KNOWN = 16, 4
PATCH_WEIGHT = "patch_embedding.weight"
LAYOUTS = {
    16: (),
    32: ("picture",),
    36: ("known", "picture"),
    48: ("picture", "first image"),
}
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
    channels = weight.shape[1]
    if channels == _out_channels(state):
        return dict(state), None  # another autoencoder's latents (48 of Wan 2.2 5B), noise alone
    if channels not in LAYOUTS:
        raise CheckpointError(
            f"{channels} input channels are of no convention that is known here; known are "
            f"{', '.join(map(str, LAYOUTS))} (noise first)"
        )
    rendered = weight.new_zeros(weight.shape[0], NOISE + 2 * KNOWN, *weight.shape[2:])
    at = NOISE
    for part in LAYOUTS[channels]:
        width = KNOWN if part == "known" else NOISE
        place = {"picture": slice(0, NOISE), "known": slice(NOISE, NOISE + KNOWN)}.get(part)
        if place is not None:
            rendered[:, place] = weight[:, at : at + width]
        at += width
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


def _out_channels(state: Mapping[str, Tensor]) -> int | None:
    head, weight = state.get("head.head.weight"), state[PATCH_WEIGHT]
    return None if head is None else head.shape[0] // prod(weight.shape[2:])
