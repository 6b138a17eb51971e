"""Rotary position embedding over (time, row, column), for any grid and for fractional positions."""

from typing import NamedTuple

import torch
from jaxtyping import Float
from torch import Tensor


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
