"""Cameras told relative to another: one arithmetic for all who re-anchor them, on any device."""

import torch
from jaxtyping import Float
from torch import Tensor


def relative_to(poses: Float[Tensor, "b f 12"], reference: Float[Tensor, "b 12"]) -> Float[Tensor, "b f 12"]:
    """Give cameras relative to another camera, all told in one frame: ``reference_from_camera``, rows flattened.

    Rᵀ·(t_camera − t_reference) and Rᵀ·R_camera, in float64 and as sums of products, which autocast does not round;
    returned in float32. Translations are subtracted before they are rotated, so that a world whose origin is far away
    costs no more precision than the poses given have lost to it (``geometry.poses.relative_poses`` does the same).
    """
    wide = torch.float32 if poses.device.type == "mps" else torch.float64
    camera, own = (value.to(wide).unflatten(-1, (3, 4)) for value in (poses, reference[:, None]))
    moved = torch.cat((camera[..., :3], (camera[..., 3] - own[..., 3])[..., None]), dim=-1)
    return (own[..., :3, None] * moved[..., :, None, :]).sum(dim=-3).float().flatten(-2)
