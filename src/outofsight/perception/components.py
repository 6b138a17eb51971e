"""Connected parts of a mask."""

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage


def components(mask: NDArray[np.bool_], gap_px: int = 0) -> list[NDArray[np.bool_]]:
    """Split a mask [height, width] into its connected parts, edges and corners counted as touching.

    ``gap_px``: parts with at most this many empty pixels between them, along rows and columns, are one. In the order
    of their topmost row.
    """
    widened = ndimage.maximum_filter(mask, size=gap_px + 1, mode="constant")
    labels, number = ndimage.label(widened, structure=np.ones((3, 3)))
    return [(labels == label) & mask for label in range(1, number + 1)]


def box_of(mask: NDArray[np.bool_]) -> NDArray[np.float32]:
    """Give the box [4] x0, y0, x1, y1 in pixels of a mask that is not empty."""
    rows, columns = np.flatnonzero(mask.any(axis=1)), np.flatnonzero(mask.any(axis=0))
    return np.array([columns[0], rows[0], columns[-1] + 1, rows[-1] + 1], dtype=np.float32)
