"""Smooth random fields that repeat seamlessly, and cell patterns: the grain of every texture here."""

from math import pi

import numpy as np
from numpy.typing import NDArray

Field = NDArray[np.float32]


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
