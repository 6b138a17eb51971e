"""Coding a large picture in overlapping tiles: which tiles, how much each counts where, and their blend.

Seen along one axis of 10 latent pixels with tile 6 and stride 4 (so neighbours overlap by 2)::

    pixel     0  1  2  3  4  5  6  7  8  9
    tile 1    1  1  1  1  1  ½                  full weight up to the picture's border,
    tile 2                ½  1  1  1  1  1      a linear ramp of the overlap's width elsewhere

A tile's weight is the smaller of its row ramp and its column ramp; the blend is Σ weight·value / Σ weight.
"""

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from outofsight.errors import InputError


@dataclass(frozen=True, kw_only=True)
class LatentTiling:
    """How a picture is cut, so that the VAE's memory is bounded; sizes in latent pixels.

    Neighbouring tiles start ``stride`` apart and overlap by ``tile - stride``. The defaults are the published
    ones, made for 60×104 latents (480×832 pixels).
    """

    tile: tuple[int, int] = (30, 52)  # rows, columns
    stride: tuple[int, int] = (15, 26)  # rows, columns

    def __post_init__(self) -> None:
        for axis, tile, stride in zip(("rows", "columns"), self.tile, self.stride, strict=True):
            if not 1 <= stride <= tile:
                raise InputError(f"tiling, {axis}: expected 1 ≤ stride ≤ tile, got {stride} and {tile}")


@dataclass(frozen=True)
class TileSpan:
    """What one tile covers of one axis, in latent pixels; it fades out where it has a neighbour."""

    start: int
    stop: int
    ramp_before: int = 0  # width of the fade at its start; 0 at the picture's border
    ramp_after: int = 0

    def scaled(self, factor: int) -> slice:
        """Give the covered range in units that are ``factor`` times finer."""
        return slice(self.start * factor, self.stop * factor)

    def weights(self, factor: int) -> Tensor:
        """Give the weight of each pixel, [(stop - start)·factor], ``factor`` times finer.

        A ramp of n pixels rises 1/n, 2/n, ... 1; where two ramps meet, the lower one counts.
        """
        distance = torch.arange(1, (self.stop - self.start) * factor + 1, dtype=torch.float32)
        rising = distance / max(1, self.ramp_before * factor)
        falling = distance.flip(0) / max(1, self.ramp_after * factor)
        return torch.minimum(rising, falling).clamp(max=1)


@dataclass(frozen=True)
class Tile:
    rows: TileSpan
    columns: TileSpan

    def cut(self, picture: Tensor, factor: int) -> Tensor:
        """Take this tile out of ``picture`` [..., height, width], whose pixels are ``factor`` times finer."""
        return picture[..., self.rows.scaled(factor), self.columns.scaled(factor)]

    def weights(self, factor: int) -> Tensor:
        """Give the weight of each pixel, [rows·factor, columns·factor]."""
        return torch.minimum(self.rows.weights(factor)[:, None], self.columns.weights(factor))


def plan_spans(size: int, tile: int, stride: int) -> list[TileSpan]:
    """Cut an axis of ``size`` latent pixels. The last tile ends at the border, and is narrower if it must be.

    A tile that would start where the one before already reaches the border is left out.
    """
    spans = []
    for start in range(0, size, stride):
        stop = min(start + tile, size)
        overlap = tile - stride
        spans.append(TileSpan(start, stop, overlap if start else 0, overlap if stop < size else 0))
        if stop == size:
            break
    return spans


def plan_tiles(size: tuple[int, int], tiling: LatentTiling | None) -> list[Tile]:
    """Cut a picture of ``size`` = (rows, columns) latent pixels; without ``tiling`` it is one tile."""
    tile, stride = (tiling.tile, tiling.stride) if tiling else (size, size)
    return [
        Tile(rows, columns)
        for rows in plan_spans(size[0], tile[0], stride[0])
        for columns in plan_spans(size[1], tile[1], stride[1])
    ]


def blend_tiles(tiles: list[Tile], code_tile: Callable[[Tile], Tensor], factor: int) -> Tensor:
    """Run ``code_tile`` on every tile and blend what it returns, [..., rows·factor, columns·factor] each."""
    if len(tiles) == 1:
        return code_tile(tiles[0])
    height, width = tiles[-1].rows.stop * factor, tiles[-1].columns.stop * factor
    total, total_weight = torch.zeros(()), torch.zeros(height, width)
    for tile in tiles:
        values = code_tile(tile)
        if total.ndim == 0:  # only now is the tiles' shape known
            total = values.new_zeros(*values.shape[:-2], height, width)
        weights = tile.weights(factor)
        tile.cut(total, factor).add_(values * weights.to(values))
        tile.cut(total_weight, factor).add_(weights)
    return total / total_weight.to(total)
