"""Where a token is, and where it looks: rotary embedding over (time, row, column), and the ray through its middle.

Two tokens that show the same piece of a distant background lie on nearly the same ray, in whatever frames they are;
the further apart the rays, the further apart their numbers. Twelve numbers of a pose leave all that to be learned.
"""

from math import pi
from typing import NamedTuple

import torch
from jaxtyping import Float
from torch import Tensor

from outofsight.geometry.frustum import tangents_of
from outofsight.types import LatentGrid


class RotaryTable(NamedTuple):
    """Cosines and sines of one token sequence, float32 [tokens, head_dim / 2], or of each of a batch."""

    cos: Float[Tensor, "*batch tokens half_dim"]
    sin: Float[Tensor, "*batch tokens half_dim"]


def axis_dims(head_dim: int) -> tuple[int, int, int]:
    """Split a head's width among time, row and column: diffusers' split, and Wan's where Wan's is defined."""
    spatial = 2 * (head_dim // 6)
    return head_dim - 2 * spatial, spatial, spatial


def rotary_at_places(places: Float[Tensor, "*any 3"], head_dim: int, theta: float = 10000.0) -> RotaryTable:
    """Tabulate the rotation of tokens at any places (time, row, column; any real numbers): tables [*any, half_dim].

    A token on the grid of ``rotary_table`` is rotated as there.
    """
    wide = torch.float32 if places.device.type == "mps" else torch.float64
    angles = []
    for positions, dim in zip(places.to(wide).unbind(dim=-1), axis_dims(head_dim), strict=True):
        exponents = torch.arange(0, dim, 2, device=places.device, dtype=wide) / dim
        angles.append(positions[..., None] * theta**-exponents)
    table = torch.cat(angles, dim=-1)
    return RotaryTable(table.cos().float(), table.sin().float())


def rotary_table(
    frames: Float[Tensor, " f"],
    rows: Float[Tensor, " h"],
    columns: Float[Tensor, " w"],
    head_dim: int,
    theta: float = 10000.0,
) -> RotaryTable:
    """Tabulate the rotation of every token of a frames × rows × columns grid.

    Positions are in units of tokens and may be fractional. Angles are computed in float64 (float32 where the
    device has no float64) and stored in float32.
    """
    wide = torch.float32 if frames.device.type == "mps" else torch.float64
    shape = (len(frames), len(rows), len(columns))
    angles = []
    for axis, (positions, dim) in enumerate(zip((frames, rows, columns), axis_dims(head_dim), strict=True)):
        exponents = torch.arange(0, dim, 2, device=positions.device, dtype=wide) / dim
        angle = torch.outer(positions.to(wide), theta**-exponents)
        view = [1, 1, 1, angle.shape[-1]]
        view[axis] = len(positions)
        angles.append(angle.view(view).expand(*shape, -1))
    table = torch.cat(angles, dim=-1).flatten(0, 2)
    return RotaryTable(table.cos().float(), table.sin().float())


def rotate(
    states: Float[Tensor, "batch tokens heads head_dim"], table: RotaryTable
) -> Float[Tensor, "batch tokens heads head_dim"]:
    """Rotate neighbouring channel pairs by the table, in float32, and return the input's dtype."""
    even, odd = states.float().unflatten(-1, (-1, 2)).unbind(-1)
    cos, sin = table.cos.unsqueeze(-2), table.sin.unsqueeze(-2)
    rotated = torch.stack((even * cos - odd * sin, even * sin + odd * cos), dim=-1)
    return rotated.flatten(-2).to(states.dtype)


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
    away = tangents_of(middles, intrinsics[:, None].float())
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
