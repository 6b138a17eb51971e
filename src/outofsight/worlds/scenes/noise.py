"""Smooth random fields that repeat seamlessly, and cell patterns: the grain of every texture here."""

from functools import lru_cache
from math import log2, pi
from typing import Any

import numpy as np
from numpy.typing import NDArray

Field = NDArray[np.floating[Any]]
"""An image or a map of numbers; float32 in practice, so that a million pixels stay cheap."""
_STOCK_PX = 1024


def _spread(cells: int, size: int) -> Field:
    """Weights [size, cells] that blend neighbouring lattice values smoothly, the last with the first."""
    place = np.arange(size) * cells / size
    low = place.astype(int)
    part = place - low
    part = part * part * (3 - 2 * part)
    weights = np.zeros((size, cells), dtype=np.float32)
    rows = np.arange(size)
    weights[rows, low % cells] += 1 - part
    weights[rows, (low + 1) % cells] += part
    return weights


def lattice_noise(rng: np.random.Generator, height: int, width: int, cells_y: int, cells_x: int) -> Field:
    """A field [height, width] in [−1, 1] with bumps of height/cells_y × width/cells_x pixels; it tiles."""
    values = rng.uniform(-1, 1, (cells_y, cells_x)).astype(np.float32)
    return _spread(cells_y, height) @ values @ _spread(cells_x, width).T


def fractal_noise(
    rng: np.random.Generator, height: int, width: int, cells: int, octaves: int = 4, decay: float = 0.5
) -> Field:
    """A sum of finer and fainter fields, about in [−1, 1]; ``cells`` bumps across the width at first; it tiles."""
    total = np.zeros((height, width), dtype=np.float32)
    weight, reach = 1.0, 0.0
    for octave in range(octaves):
        across = min(cells * 2**octave, width)
        down = min(max(1, round(across * height / width)), height)
        total += weight * lattice_noise(rng, height, width, down, across)
        reach += weight
        weight *= decay
    return total / (0.6 * reach)


@lru_cache(maxsize=16)
def _stock_field(cells: int, octaves: int, decay: float) -> Field:
    """A large field that maps cut their noise from: drawing it anew would take most of a layout's time."""
    rng = np.random.default_rng([cells, octaves, round(100 * decay)])
    return fractal_noise(rng, _STOCK_PX, _STOCK_PX, cells, octaves, decay)


@lru_cache(maxsize=1)
def _stock_grain() -> Field:
    return np.random.default_rng(0).normal(size=(_STOCK_PX, _STOCK_PX)).astype(np.float32)


def _cut(rng: np.random.Generator, field: Field, height: int, width: int, stride: float) -> Field:
    """A window of a field that tiles, at a random place, read at ``stride`` of its pixels a step, maybe transposed."""
    y0, x0, turn = rng.integers(_STOCK_PX), rng.integers(_STOCK_PX), rng.integers(2)
    rows = (y0 + np.arange(height) * stride).astype(np.intp) % _STOCK_PX
    columns = (x0 + np.arange(width) * stride).astype(np.intp) % _STOCK_PX
    if turn:
        rows, columns = columns, rows
    window = field.take(rows, axis=0).take(columns, axis=1)
    return np.ascontiguousarray(window.T) if turn else window


def stock_noise(
    rng: np.random.Generator, height: int, width: int, bump_px: float, octaves: int, decay: float
) -> Field:
    """Like ``fractal_noise`` with bumps of ``bump_px`` pixels, cut from stock: for maps of a million pixels."""
    cells = 2 ** max(2, min(8, round(log2(_STOCK_PX / bump_px))))
    return _cut(rng, _stock_field(cells, octaves, decay), height, width, _STOCK_PX / cells / bump_px)


def stock_grain(rng: np.random.Generator, height: int, width: int) -> Field:
    """Speckle with unit standard deviation, cut from stock."""
    return _cut(rng, _stock_grain(), height, width, 1.0)


def cell_tone(rng: np.random.Generator, column: NDArray, row: NDArray, amount: float) -> Field:
    """One random brightness in 1 ± ``amount`` for every (column, row) cell; the arrays are broadcast."""
    table = rng.uniform(1 - amount, 1 + amount, 4099).astype(np.float32)
    key = column.astype(np.int64) * 73856093 ^ row.astype(np.int64) * 19349663
    return table[key % 4099]


def joint_depth(place: NDArray, joint: float, blur: float) -> Field:
    """1 in a joint at whole numbers of ``place``, 0 in the stone; ``joint`` and ``blur`` are shares of a stone."""
    gap = np.abs(place - np.rint(place))
    return np.clip((joint / 2 + blur - gap) / max(blur, 1e-6), 0, 1).astype(np.float32)


def waves(place: NDArray, sharpness: float = 1.0) -> Field:
    """Ripples with one crest a unit of ``place``, in [0, 1]; sharper crests for larger ``sharpness``."""
    return (0.5 + 0.5 * np.sin(2 * pi * place)).astype(np.float32) ** sharpness


def shade(colour: tuple[float, float, float], tone: Field) -> Field:
    """Spread a colour [3] over a brightness field [h, w]: float32 [h, w, 3]."""
    return tone[..., None] * np.asarray(colour, dtype=np.float32)


def blend(below: Field, above: Field | tuple[float, float, float], share: Field) -> Field:
    """Lay ``above`` (an image or one colour) over ``below`` where ``share`` [h, w] is 1."""
    top = np.asarray(above, dtype=np.float32)
    return below + (top - below) * share[..., None]


def to_bytes(image: Field) -> NDArray[np.uint8]:
    return np.rint(np.clip(image, 0, 1) * 255).astype(np.uint8)
