"""Cameras as tensors: normalised intrinsics, and poses relative to another.

Intrinsics are fx and cx in shares of the picture's width, fy and cy of its height, so that a lens means the same for
pixels, latent pixels and tokens. The picture spans [0, 1] both ways; a point (x, y, z) in front of a camera is seen at
(fx·x/z + cx, fy·y/z + cy).
"""

from math import tan

import torch
from jaxtyping import Float
from torch import Tensor

from outofsight.geometry.frustum import frustum_points

Lenses = Float[Tensor, "b 4"]
"""Normalised intrinsics of each clip: fx, fy, cx, cy."""


def intrinsics_from_fov(
    fov_x_rad: float, height: int, width: int, device: torch.device | str | None = None
) -> Float[Tensor, " 4"]:
    """Return fx, fy, cx, cy of square pixels, the axis through the middle of ``height`` × ``width``."""
    focal = 1 / (2 * tan(fov_x_rad / 2))
    return torch.tensor((focal, focal * width / height, 0.5, 0.5), device=device)


def view_points(
    intrinsics: Float[Tensor, "*batch 4"], samples: tuple[int, int, int]
) -> Float[Tensor, "*batch p 3"]:
    """Sample each camera's view: points in its own frame. ``samples``: depths, rows and columns."""
    grid = torch.as_tensor(
        frustum_points(0.5, 0.5, samples=samples), dtype=torch.float32, device=intrinsics.device
    )
    depth, focal, centre = grid[:, 2:], intrinsics[..., None, :2].float(), intrinsics[..., None, 2:].float()
    across = (grid[:, :2] + (0.5 - centre) * depth) / focal
    return torch.cat((across, depth.expand(*across.shape[:-1], 1)), dim=-1)


def relative_to(poses: Float[Tensor, "b f 12"], reference: Float[Tensor, "b 12"]) -> Float[Tensor, "b f 12"]:
    """Give cameras relative to another camera, all given in one frame: ``reference_from_camera``, rows flattened.

    Rᵀ·(t_camera − t_reference) and Rᵀ·R_camera, in float64 and as sums of products, which autocast does not round;
    returned in float32. Translations are subtracted before they are rotated, so that a world whose origin is far away
    costs no more precision than the poses given have lost to it (``geometry.poses.relative_poses`` does the same).
    """
    wide = torch.float32 if poses.device.type == "mps" else torch.float64
    camera, own = (value.to(wide).unflatten(-1, (3, 4)) for value in (poses, reference[:, None]))
    moved = torch.cat((camera[..., :3], (camera[..., 3] - own[..., 3])[..., None]), dim=-1)
    return (own[..., :3, None] * moved[..., :, None, :]).sum(dim=-3).float().flatten(-2)
