"""JSON files of numbers, read strictly: a private helper of the camera files."""

import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from outofsight.errors import CameraError

MOST_DIGITS = 7
"""Of a frame's number: beyond ten million frames it is taken for a slip."""


def read_camera_json(path: Path) -> Any:
    """Read a JSON file.

    Raises:
        CameraError: missing, unreadable, not JSON, or an object that has the same key twice.
    """
    try:
        return json.loads(path.read_bytes(), object_pairs_hook=_unique_keys)
    except FileNotFoundError as error:
        raise CameraError(f"{path}: no such camera file") from error
    except OSError as error:
        raise CameraError(f"{path}: cannot be read: {error.strerror or error}") from error
    except (ValueError, RecursionError) as error:  # JSON and UTF-8 errors are ValueErrors
        raise CameraError(f"{path}: not a readable JSON camera file: {error}") from error


def frame_numbers(entries: Mapping[str, Any], source: str) -> Iterator[tuple[int, Any]]:
    """Give the entries with their keys as frame numbers.

    Raises:
        CameraError: a key that is not a whole number ≥ 0 in its plain form, naming ``source``.
    """
    for key, value in entries.items():
        plain = key.isascii() and key.isdigit() and len(key) <= MOST_DIGITS
        if not (plain and str(int(key)) == key):
            raise CameraError(f"{source}: expected frame numbers 0, 1, 2, ... as keys, got {key!r}")
        yield int(key), value


def number_array(value: Any, shape: tuple[int, ...], source: str) -> NDArray[np.float64]:
    """Turn nested lists of numbers into an array of exactly this shape.

    Raises:
        CameraError: another shape, something that is not a number, NaN or infinity, naming ``source``.
    """
    cells = np.array(value, dtype=object)  # lists of unequal lengths stay lists, and true stays true
    if cells.shape != shape or not all(type(cell) in (int, float) for cell in cells.flat):
        wanted, text = "×".join(map(str, shape)), json.dumps(value)
        shown = text if len(text) <= 60 else text[:57] + "..."
        raise CameraError(f"{source}: expected {wanted} numbers, got {shown}")
    try:
        numbers = cells.astype(np.float64)
    except OverflowError:  # a whole number beyond float64
        numbers = np.array(np.inf)
    if not np.isfinite(numbers).all():
        raise CameraError(f"{source}: holds NaN or infinity; give finite numbers")
    return numbers


def _unique_keys(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    entries = dict(pairs)
    if len(entries) != len(pairs):
        keys = [key for key, _ in pairs]
        twice = next(key for key in keys if keys.count(key) > 1)
        raise ValueError(f"the key {twice!r} is given twice")
    return entries
