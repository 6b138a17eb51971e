"""Connected parts of a mask."""

import numpy as np
from numpy.typing import NDArray


def components(mask: NDArray[np.bool_], gap_px: int = 0) -> list[NDArray[np.bool_]]:
    """Split a mask [height, width] into its connected parts, edges and corners counted as touching.

    ``gap_px``: parts with at most this many empty pixels between them, along rows and columns, are one. In the order
    of their topmost row.
    """
    labels = _labelled(_widened(mask, gap_px))
    labels[~mask] = 0
    return [labels == label for label in np.unique(labels) if label > 0]


def box_of(mask: NDArray[np.bool_]) -> NDArray[np.float32]:
    """Give the box [4] x0, y0, x1, y1 in pixels of a mask that is not empty."""
    rows, columns = np.flatnonzero(mask.any(axis=1)), np.flatnonzero(mask.any(axis=0))
    return np.array([columns[0], rows[0], columns[-1] + 1, rows[-1] + 1], dtype=np.float32)


def _widened(mask: NDArray[np.bool_], gap_px: int) -> NDArray[np.bool_]:
    """Widen a mask by so many pixels along each axis: half of them, rounded up, towards the end, the others back."""
    for axis in (0, 1):
        wide = mask.copy()
        for step in range(1, (gap_px + 1) // 2 + 1):
            before, after = [slice(None)] * 2, [slice(None)] * 2
            before[axis], after[axis] = slice(None, -step), slice(step, None)
            wide[tuple(after)] |= mask[tuple(before)]
            if step <= gap_px // 2:
                wide[tuple(before)] |= mask[tuple(after)]
        mask = wide
    return mask


def _labelled(mask: NDArray[np.bool_]) -> NDArray[np.int32]:
    """Number the connected parts from 1, by runs of each row that are joined with the runs above."""
    labels = np.zeros(mask.shape, dtype=np.int32)
    parents = [0]
    above: list[tuple[int, int, int]] = []
    for row, line in enumerate(mask):
        edges = np.flatnonzero(np.diff(np.concatenate([[False], line, [False]]).astype(np.int8)))
        runs = []
        for start, stop in edges.reshape(-1, 2).tolist():
            touching = [
                _root(parents, label) for first, last, label in above if first <= stop and start <= last
            ]
            if touching:
                label = min(touching)
                for other in touching:
                    parents[other] = label
            else:
                label = len(parents)
                parents.append(label)
            labels[row, start:stop] = label
            runs.append((start, stop, label))
        above = runs
    return np.array([_root(parents, label) for label in range(len(parents))], dtype=np.int32)[labels]


def _root(parents: list[int], label: int) -> int:
    while parents[label] != label:
        label = parents[label]
    return label
