"""What detectors and feature networks give; ``evaluation.observations`` says what it asks of them."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from outofsight.errors import InputError

Frames = NDArray[np.uint8]
"""[n, height, width, 3], RGB."""


@dataclass(frozen=True, kw_only=True, eq=False)
class Found:
    """One subject found in one frame.

    ``box_px`` float32 [4] x0, y0, x1, y1; ``score`` 0 to 1; ``mask`` bool [height, width]; ``kind``: its name;
    ``identity`` float32 [d], length 1. ``None``: this detector does not tell.
    """

    box_px: NDArray[np.float32]
    score: float
    mask: NDArray[np.bool_] | None = None
    kind: str | None = None
    identity: NDArray[np.float32] | None = None


@dataclass(frozen=True, kw_only=True, eq=False)
class PictureFeatures:
    """``patches`` float32 [n, rows, columns, d], covering the picture; ``pictures`` float32 [n, p]."""

    patches: NDArray[np.float32]
    pictures: NDArray[np.float32]


def check_frames(frames: Frames, reader: str) -> None:
    """Raise ``InputError`` unless these are pictures: uint8 [n ≥ 1, height, width, 3]."""
    if frames.dtype != np.uint8 or frames.ndim != 4 or frames.shape[-1] != 3 or 0 in frames.shape:
        raise InputError(
            f"{reader}: expected uint8 frames [n ≥ 1, height, width, 3], got {frames.dtype} {list(frames.shape)}"
        )
