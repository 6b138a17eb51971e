"""Normalised intrinsics: fx and cx in shares of the picture's width, fy and cy of its height.

So a lens means the same for pixels, latent pixels and tokens. The picture spans [0, 1] both ways; a point (x, y, z) in
front of a camera is seen at (fx·x/z + cx, fy·y/z + cy).
"""

from math import tan

import torch
from jaxtyping import Float
from torch import Tensor

from outofsight.geometry.frustum import frustum_points


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
