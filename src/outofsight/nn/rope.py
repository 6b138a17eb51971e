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
from outofsight.nn.cameras import Lenses
from outofsight.types import LatentGrid

THETA = 10000.0  # Wan's


class RotaryTable(NamedTuple):
    """Cosines and sines of one token sequence, float32 [tokens, head_dim / 2], or of each of a batch."""

    cos: Float[Tensor, "*batch tokens half_dim"]
    sin: Float[Tensor, "*batch tokens half_dim"]


def axis_dims(head_dim: int) -> tuple[int, int, int]:
    """Split a head's width among time, row and column: diffusers' split, and Wan's where Wan's is defined."""
    spatial = 2 * (head_dim // 6)
    return head_dim - 2 * spatial, spatial, spatial


def rotary_at_places(places: Float[Tensor, "*any 3"], head_dim: int) -> RotaryTable:
    """Tabulate the rotation of tokens at any places (time, row, column; any real numbers): tables [*any, half_dim].

    Angles are computed in float64 (float32 where the device has no float64) and stored in float32.
    """
    wide = torch.float32 if places.device.type == "mps" else torch.float64
    angles = []
    for positions, dim in zip(places.to(wide).unbind(dim=-1), axis_dims(head_dim), strict=True):
        exponents = torch.arange(0, dim, 2, device=places.device, dtype=wide) / dim
        angles.append(positions[..., None] * THETA**-exponents)
    table = torch.cat(angles, dim=-1)
    return RotaryTable(table.cos().float(), table.sin().float())


def rotary_table(
    frames: Float[Tensor, " f"], rows: Float[Tensor, " h"], columns: Float[Tensor, " w"], head_dim: int
) -> RotaryTable:
    """Tabulate the rotation of every token of a frames × rows × columns grid.

    Positions are in units of tokens and may be fractional.
    """
    wide = torch.float32 if frames.device.type == "mps" else torch.float64
    places = torch.cartesian_prod(*(positions.to(wide) for positions in (frames, rows, columns)))
    return rotary_at_places(places, head_dim)


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
    poses: Float[Tensor, "b f 12"], grid: LatentGrid, intrinsics: Lenses
) -> tuple[Float[Tensor, "b s 3"], Float[Tensor, "b s 3"]]:
    """Return direction (unit length) and moment (position × direction, metres) of the ray through each token's middle.

    ``poses``: row-flattened 3×4 ``reference_from_camera`` of every latent frame, x right, y down, z forward, metres.
    ``intrinsics``: each clip's fx, fy, cx, cy in shares of width and height. Directions and moments are in the
    reference's frame; together they are the ray's Plücker coordinates.
    """
    rows, columns = (places.flatten() for places in token_places(grid.height, grid.width, poses.device))
    direction, moment = rays_through(rows, columns, poses, (grid.height, grid.width), intrinsics[:, None])
    return direction.flatten(1, 2), moment.flatten(1, 2)


def token_places(
    height: int, width: int, device: torch.device
) -> tuple[Float[Tensor, "h w"], Float[Tensor, "h w"]]:
    """Return row and column of every token of a grid."""
    rows, columns = torch.meshgrid(
        torch.arange(height, device=device, dtype=torch.float32),
        torch.arange(width, device=device, dtype=torch.float32),
        indexing="ij",
    )
    return rows, columns


def rays_through(
    rows: Float[Tensor, "*#batch n"],
    columns: Float[Tensor, "*#batch n"],
    pose: Float[Tensor, "*#batch 12"],
    size: tuple[int, int],
    intrinsics: Float[Tensor, "*#batch 4"],
) -> tuple[Float[Tensor, "*batch n 3"], Float[Tensor, "*batch n 3"]]:
    """Return direction and moment, as ``token_rays``, of the rays through any places on a grid of ``size`` tokens."""
    middles = torch.stack(((columns + 0.5) / size[1], (rows + 0.5) / size[0]), dim=-1)
    tangents = tangents_of(middles, intrinsics.float()[..., None, :]).float()
    local = torch.cat((tangents, torch.ones_like(tangents[..., :1])), dim=-1)
    local = local / local.norm(dim=-1, keepdim=True)
    camera = pose.float().unflatten(-1, (3, 4))[..., None, :, :]
    # No matrix product: autocast would round that.
    direction = (camera[..., :3] * local[..., None, :]).sum(dim=-1)
    moment = torch.linalg.cross(camera[..., 3].expand_as(direction), direction)
    return direction, moment


def ray_features(
    poses: Float[Tensor, "b f 12"], grid: LatentGrid, intrinsics: Lenses, octaves: int
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
