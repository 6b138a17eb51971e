"""Where each token looks: the ray through its middle, in numbers that a linear layer can compare.

Two tokens that show the same piece of a distant background lie on nearly the same ray, in whatever frames they are;
the further apart the rays, the further apart these numbers. Twelve numbers of a pose leave all that to be learned.
"""

from math import pi

import torch
from jaxtyping import Float
from torch import Tensor

from outofsight.types import LatentGrid


def num_ray_features(octaves: int) -> int:
    """Return how many numbers describe a ray: direction, moment, and the direction's sine and cosine by octave."""
    return 6 + 6 * octaves


def token_rays(
    poses: Float[Tensor, "b f 12"], grid: LatentGrid, intrinsics: Float[Tensor, "b 4"]
) -> tuple[Float[Tensor, "b s 3"], Float[Tensor, "b s 3"]]:
    """Return direction (unit length) and moment (position × direction, metres) of the ray through each token's middle.

    ``poses``: row-flattened 3×4 ``reference_from_camera`` of every latent frame, x right, y down, z forward, metres.
    ``intrinsics``: each clip's fx, fy, cx, cy in shares of width and height. Directions and moments are in the
    reference's frame; together they are the ray's Plücker coordinates.
    """
    cameras = poses.float().unflatten(-1, (3, 4))
    rows, columns = torch.meshgrid(
        _middles(grid.height, poses.device), _middles(grid.width, poses.device), indexing="ij"
    )
    middles = torch.stack((columns, rows), dim=-1).flatten(0, 1)
    away = (middles - intrinsics[:, None, 2:].float()) / intrinsics[:, None, :2].float()
    local = torch.cat((away, torch.ones_like(away[..., :1])), dim=-1)[:, None]  # [b, 1, s, 3]
    local = local / local.norm(dim=-1, keepdim=True)
    turns = cameras[:, :, None, :, :3]
    direction = (turns * local[..., None, :]).sum(dim=-1)  # not a matrix product: autocast would round that
    position = cameras[..., None, :, 3].expand_as(direction)
    moment = torch.linalg.cross(position, direction)
    return direction.flatten(1, 2), moment.flatten(1, 2)


def ray_features(
    poses: Float[Tensor, "b f 12"], grid: LatentGrid, intrinsics: Float[Tensor, "b 4"], octaves: int
) -> Float[Tensor, "b s n"]:
    """Describe the ray through each token: direction, moment, then sin and cos of π·2^k·direction for each octave k.

    A moment of many metres is shrunk to its logarithm's size, sign kept: ``sign(m)·log(1 + |m|)``.

    Source: Plücker coordinates as video models take cameras; the octaves are NeRF's positional encoding.
    """
    return describe_rays(*token_rays(poses, grid, intrinsics), octaves)


def describe_rays(
    direction: Float[Tensor, "*any 3"], moment: Float[Tensor, "*any 3"], octaves: int
) -> Float[Tensor, "*any n"]:
    """Describe any rays by their Plücker coordinates, as ``ray_features`` does those of tokens."""
    scales = pi * 2.0 ** torch.arange(octaves, device=direction.device)
    angles = (direction[..., None] * scales).flatten(-2)
    shrunk = moment.sign() * moment.abs().log1p()
    return torch.cat((direction, shrunk, angles.sin(), angles.cos()), dim=-1)


def _middles(count: int, device: torch.device) -> Float[Tensor, " n"]:
    """Cut [0, 1] into ``count`` cells and give their middles."""
    return (torch.arange(count, device=device) + 0.5) / count
