"""Tiled surface images, drawn by procedure: walls, woods, roofs, leaves, metals. Near white, to be tinted.

Contrast is kept low on purpose: the renderer samples without mip maps, so that fine strong detail would shimmer.
"""

from collections.abc import Callable, Mapping
from functools import lru_cache
from types import MappingProxyType
from zlib import crc32

import numpy as np
from numpy.typing import NDArray

from outofsight.errors import WorldError
from outofsight.worlds.scenes.noise import (
    Field,
    blend,
    cell_tone,
    fractal_noise,
    joint_depth,
    lattice_noise,
    shade,
    to_bytes,
    waves,
)

SIZE_PX = 192
WHITE = (1.0, 1.0, 1.0)
Painter = Callable[[np.random.Generator], Field]


def _grid(size: int = SIZE_PX) -> tuple[Field, Field]:
    """Pixel middles x (right) and y (down) in [0, 1)."""
    place = (np.arange(size, dtype=np.float32) + 0.5) / size
    x, y = np.meshgrid(place, place)
    return x, y


def _fractal(rng: np.random.Generator, cells: int, octaves: int = 4, decay: float = 0.5) -> Field:
    return fractal_noise(rng, SIZE_PX, SIZE_PX, cells, octaves, decay)


def _plaster(rng: np.random.Generator) -> Field:
    return shade(WHITE, 0.93 + 0.05 * _fractal(rng, 3) + 0.03 * _fractal(rng, 24, 2))


def _concrete(rng: np.random.Generator) -> Field:
    x, y = _grid()
    seams = np.maximum(joint_depth(x * 2, 0.008, 0.006), joint_depth(y * 2, 0.008, 0.006))
    return shade(WHITE, (0.88 + 0.09 * _fractal(rng, 3) + 0.03 * _fractal(rng, 32, 2)) * (1 - 0.3 * seams))


def _brick(rng: np.random.Generator) -> Field:
    """Stretcher bond, 4 × 8 bricks an image."""
    x, y = _grid()
    row = np.floor(y * 12)
    across = x * 4 + 0.5 * (row % 2)
    tone = cell_tone(rng, np.floor(across) % 4, row, 0.13) * (1 + 0.06 * _fractal(rng, 16, 3))
    wall = shade((0.95, 0.84, 0.78), tone)
    joints = np.maximum(joint_depth(across, 0.035, 0.03), joint_depth(y * 12, 0.1, 0.08))
    return blend(wall, (0.92, 0.92, 0.9), 0.65 * joints)


def _stone_blocks(rng: np.random.Generator) -> Field:
    x, y = _grid()
    row = np.floor(y * 4)
    across = x * 3 + 0.37 * row
    tone = cell_tone(rng, np.floor(across) % 3, row, 0.09) * (0.93 + 0.1 * _fractal(rng, 6))
    joints = np.maximum(joint_depth(across, 0.03, 0.02), joint_depth(y * 4, 0.04, 0.03))
    return shade(WHITE, tone * (1 - 0.4 * joints))


def _boards(rng: np.random.Generator, count: int, along_x: bool, gap: float = 0.5) -> Field:
    x, y = _grid()
    across, along = (y, x) if along_x else (x, y)
    board = np.floor(across * count)
    tone = cell_tone(rng, board, np.zeros_like(board), 0.09)
    fine = (SIZE_PX // 4, SIZE_PX // 64) if along_x else (SIZE_PX // 64, SIZE_PX // 4)
    grain = lattice_noise(rng, SIZE_PX, SIZE_PX, *fine)
    knots = fractal_noise(rng, SIZE_PX, SIZE_PX, 5, 2)
    seams = joint_depth(across * count, 0.05, 0.05)
    return shade(WHITE, tone * (0.95 + 0.06 * grain + 0.04 * knots + 0.01 * along) * (1 - gap * seams))


def _planks(rng: np.random.Generator) -> Field:
    return _boards(rng, 8, along_x=False)


def _siding(rng: np.random.Generator) -> Field:
    """Horizontal boards, each shaded as if it overlapped the next."""
    _, y = _grid()
    return _boards(rng, 8, along_x=True) * (0.88 + 0.12 * (1 - (y * 8) % 1))[..., None]


def _wood(rng: np.random.Generator) -> Field:
    x, _ = _grid()
    rings = waves(x * 9 + 0.9 * _fractal(rng, 2, 2))
    return shade(WHITE, 0.87 + 0.1 * rings + 0.04 * lattice_noise(rng, SIZE_PX, SIZE_PX, 6, 64))


def _roof_tiles(rng: np.random.Generator) -> Field:
    x, y = _grid()
    row = np.floor(y * 10)
    across = x * 12 + 0.5 * (row % 2)
    tone = cell_tone(rng, np.floor(across) % 12, row, 0.12)
    return shade(
        WHITE, tone * (0.72 + 0.26 * (1 - (y * 10) % 1)) * (1 - 0.25 * joint_depth(across, 0.08, 0.08))
    )


def _corrugated(rng: np.random.Generator) -> Field:
    x, _ = _grid()
    stains = np.clip(lattice_noise(rng, SIZE_PX, SIZE_PX, 3, 24), 0, 1)
    return shade(WHITE, 0.74 + 0.24 * waves(x * 12) - 0.07 * stains)


def _metal(rng: np.random.Generator) -> Field:
    x, y = _grid()
    seams = np.maximum(joint_depth(x * 2, 0.02, 0.015), joint_depth(y * 2, 0.02, 0.015))
    return shade(WHITE, (0.93 + 0.04 * lattice_noise(rng, SIZE_PX, SIZE_PX, 64, 3)) * (1 - 0.35 * seams))


def _bark(rng: np.random.Generator) -> Field:
    ridges = lattice_noise(rng, SIZE_PX, SIZE_PX, 8, 30) + 0.5 * lattice_noise(rng, SIZE_PX, SIZE_PX, 20, 48)
    return shade(WHITE, 0.8 + 0.16 * np.clip(ridges, -1, 1))


def _birch(rng: np.random.Generator) -> Field:
    scars = np.clip(lattice_noise(rng, SIZE_PX, SIZE_PX, 28, 6) * 3 - 1.6, 0, 1)
    return blend(shade(WHITE, 0.94 + 0.05 * _fractal(rng, 6)), (0.16, 0.14, 0.13), scars)


def _leaves(rng: np.random.Generator) -> Field:
    clumps = _fractal(rng, 9, 4, 0.75)
    light = np.clip(0.5 + 0.55 * clumps, 0, 1)
    return blend(shade((0.62, 0.7, 0.6), np.ones_like(light)), (1.0, 1.0, 0.86), light)


def _hay(rng: np.random.Generator) -> Field:
    straw = lattice_noise(rng, SIZE_PX, SIZE_PX, 60, 9) + lattice_noise(rng, SIZE_PX, SIZE_PX, 9, 60)
    return shade((1.0, 0.97, 0.85), 0.86 + 0.11 * straw)


def _water(rng: np.random.Generator) -> Field:
    x, y = _grid()
    swell = waves(3 * x + 5 * y + 0.7 * _fractal(rng, 3)) * waves(6 * y - 2 * x + 0.7 * _fractal(rng, 4))
    return blend(shade((0.72, 0.8, 0.84), 0.95 + 0.06 * _fractal(rng, 5)), (1.0, 1.0, 1.0), 0.6 * swell)


def _fabric(rng: np.random.Generator) -> Field:
    x, y = _grid()
    return shade(WHITE, 0.92 + 0.03 * (waves(x * 32) + waves(y * 32)) + 0.04 * _fractal(rng, 4))


def _marble(rng: np.random.Generator) -> Field:
    veins = np.abs(_fractal(rng, 3, 5, 0.6))
    return blend(shade(WHITE, np.full_like(veins, 0.95)), (0.7, 0.7, 0.74), np.clip(0.45 - 5 * veins, 0, 1))


def _rock(rng: np.random.Generator) -> Field:
    _, y = _grid()
    beds = waves(y * 6 + 0.5 * _fractal(rng, 2, 3))
    return shade(WHITE, 0.8 + 0.13 * beds + 0.1 * _fractal(rng, 7, 4))


def _snow(rng: np.random.Generator) -> Field:
    return shade((0.90, 0.93, 0.98), 0.96 + 0.035 * _fractal(rng, 4, 4))


def _sand(rng: np.random.Generator) -> Field:
    x, y = _grid()
    ripples = waves(y * 14 + 1.2 * _fractal(rng, 2, 3) + 0.0 * x)
    return shade(WHITE, 0.91 + 0.06 * ripples + 0.03 * _fractal(rng, 24, 2))


def _grass(rng: np.random.Generator) -> Field:
    blades = lattice_noise(rng, SIZE_PX, SIZE_PX, 40, 70)
    return shade((0.98, 1.0, 0.93), 0.85 + 0.1 * _fractal(rng, 4) + 0.07 * blades)


def _ceiling_tiles(rng: np.random.Generator) -> Field:
    x, y = _grid()
    seams = np.maximum(joint_depth(x * 4, 0.03, 0.03), joint_depth(y * 4, 0.03, 0.03))
    return shade(WHITE, (0.95 + 0.02 * _fractal(rng, 30, 2)) * (1 - 0.25 * seams))


def _cardboard(rng: np.random.Generator) -> Field:
    x, _ = _grid()
    tape = np.clip(1 - np.abs(x - 0.5) * 16, 0, 1)
    flutes = shade(WHITE, 0.92 + 0.03 * waves(x * 40) + 0.05 * _fractal(rng, 3))
    return blend(flutes, (1.0, 0.95, 0.8), 0.7 * np.minimum(tape * 3, 1))


def _crate(rng: np.random.Generator) -> Field:
    x, y = _grid()
    edge = np.minimum(np.minimum(x, 1 - x), np.minimum(y, 1 - y)) < 0.11
    brace = np.abs(x - y) < 0.07
    frame = (edge | brace).astype(np.float32)
    return blend(_boards(rng, 6, along_x=True) * 0.82, _wood(rng), frame)


_PAINTERS: Mapping[str, Painter] = MappingProxyType(
    {
        "plaster": _plaster,
        "concrete": _concrete,
        "brick": _brick,
        "stone blocks": _stone_blocks,
        "planks": _planks,
        "siding": _siding,
        "wood": _wood,
        "roof tiles": _roof_tiles,
        "corrugated": _corrugated,
        "metal": _metal,
        "bark": _bark,
        "birch": _birch,
        "leaves": _leaves,
        "hay": _hay,
        "water": _water,
        "fabric": _fabric,
        "marble": _marble,
        "rock": _rock,
        "snow": _snow,
        "sand": _sand,
        "grass": _grass,
        "ceiling tiles": _ceiling_tiles,
        "cardboard": _cardboard,
        "crate": _crate,
    }
)

TILE_M: Mapping[str, float] = MappingProxyType(
    {
        "plaster": 4.0,
        "concrete": 4.0,
        "brick": 1.6,
        "stone blocks": 2.4,
        "planks": 1.6,
        "siding": 1.6,
        "wood": 1.2,
        "roof tiles": 2.6,
        "corrugated": 2.4,
        "metal": 2.0,
        "bark": 1.2,
        "birch": 1.6,
        "leaves": 1.6,
        "hay": 1.2,
        "water": 6.0,
        "fabric": 0.8,
        "marble": 2.0,
        "rock": 5.0,
        "snow": 5.0,
        "sand": 5.0,
        "grass": 5.0,
        "ceiling tiles": 2.4,
        "cardboard": 1.0,
        "crate": 1.0,
    }
)
"""Metres that one copy of each surface image covers."""


@lru_cache(maxsize=64)
def surface_image(name: str) -> NDArray[np.uint8]:
    """The tiled image of a surface, the same in every layout. Raises ``WorldError`` for an unknown name."""
    if name not in _PAINTERS:
        raise WorldError(f"surface: expected one of {', '.join(_PAINTERS)}; got {name!r}")
    image = to_bytes(_PAINTERS[name](np.random.default_rng(crc32(name.encode()))))
    image.setflags(write=False)
    return image
