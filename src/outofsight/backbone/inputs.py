"""What the transformer's forward is given: checked against each other before anything is computed."""

from collections.abc import Mapping
from math import radians
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor

from outofsight.backbone.attention import CAMERA_DIM
from outofsight.errors import InputError
from outofsight.nn.cameras import intrinsics_from_fov
from outofsight.types import LatentGrid


def check_inputs(
    config: Mapping[str, Any], latents: Tensor, context_cameras: Tensor | None, target_cameras: Tensor | None
) -> LatentGrid:
    """Return the token grid of a sequence.

    Raises:
        InputError: no cameras, or shapes that do not fit each other or the configuration.
    """
    if context_cameras is None or target_cameras is None:
        raise InputError(
            "expected context_cameras [b, c, 12] and target_cameras [b, f - c, 12], got none; "
            "geometry.conditioning.camera_conditioning makes them from camera paths"
        )
    check_latents(config, latents)
    batch, _, frames, height, width = latents.shape
    for name, cameras in (("context_cameras", context_cameras), ("target_cameras", target_cameras)):
        if cameras.ndim != 3 or cameras.shape[0] != batch or cameras.shape[2] != CAMERA_DIM:
            raise InputError(f"expected {name} [{batch}, frames, {CAMERA_DIM}], got {list(cameras.shape)}")
    if context_cameras.shape[1] + target_cameras.shape[1] != frames:
        raise InputError(
            f"{context_cameras.shape[1]} context and {target_cameras.shape[1]} target cameras do not make up the "
            f"{frames} latent frames; give one for each"
        )
    _, patch_rows, patch_columns = config["patch_size"]
    return LatentGrid(
        frames=frames,
        height=height // patch_rows,
        width=width // patch_columns,
        context_frames=context_cameras.shape[1],
    )


def check_latents(config: Mapping[str, Any], latents: Tensor) -> None:
    """Raise ``InputError`` if these are no latents [b, channels, f, height, width] that the patch divides."""
    if latents.ndim != 5 or latents.shape[1] != config["in_channels"]:
        raise InputError(
            f"expected latents [b, {config['in_channels']}, f, height, width], got {list(latents.shape)}"
        )
    height, width = latents.shape[-2:]
    _, patch_rows, patch_columns = config["patch_size"]
    if height % patch_rows or width % patch_columns:
        raise InputError(
            f"a latent picture must be divisible by the patch {patch_rows}×{patch_columns}, got {height}×{width}"
        )


def frame_timesteps(timestep: Tensor, grid: LatentGrid, batch: int) -> Tensor:
    """Return the time step of each batch element [b], or of each of its frames [b, f].

    Raises:
        InputError: it is neither one for the whole batch, nor one for each video or frame.
    """
    if timestep.ndim == 1 and timestep.shape[0] in (1, batch):
        return timestep.expand(batch)
    if timestep.ndim == 2 and timestep.shape == (batch, grid.frames):
        return timestep
    raise InputError(
        f"expected a timestep of shape [1], [{batch}] or [{batch}, {grid.frames}], got {list(timestep.shape)}"
    )


def configured_intrinsics(
    config: Mapping[str, Any], height: int, width: int, like: Tensor
) -> Float[Tensor, "b 4"]:
    """Return the normalised intrinsics that stand where none are known: the configured field of view, square pixels.

    ``like``: a tensor of the batch, for its size and device.
    """
    lens = intrinsics_from_fov(radians(config["camera_fov_x_deg"]), height, width, like.device)
    return lens.expand(len(like), -1)


def looks_at_lens(config: Mapping[str, Any]) -> bool:
    """Tell whether anything in a model depends on the lens: rays, banks, overlap of views, masks carried on.

    Published models are told poses alone.
    """
    return bool(
        config["camera_ray_octaves"]
        or config["banks"] is not None
        or config["memory_affinity"] == "fov_overlap"
        or config["context_rule"] == "views"
        or config["subject_mask"] == "extrapolated"
    )


def known_intrinsics(
    config: Mapping[str, Any], intrinsics: Tensor | None, latents: Float[Tensor, "b channels f height width"]
) -> Float[Tensor, "b 4"]:
    """Return each clip's normalised intrinsics: those given, else (``None``, NaN) the configured field of view's.

    Raises:
        InputError: not four numbers for each clip.
    """
    height, width = latents.shape[-2:]
    otherwise = configured_intrinsics(config, height, width, latents)
    if intrinsics is None:
        return otherwise
    if intrinsics.shape != otherwise.shape:
        raise InputError(
            f"expected intrinsics {list(otherwise.shape)} (fx, fy, cx, cy in shares of width and height), got "
            f"{list(intrinsics.shape)}"
        )
    return torch.where(intrinsics.isnan().any(dim=-1, keepdim=True), otherwise, intrinsics.float())
