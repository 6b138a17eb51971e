"""What detectors and feature networks give (``evaluation.evidence`` says what it asks of them), and the centre crop."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from PIL import Image

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


@dataclass(frozen=True, kw_only=True)
class CentreCrop:
    """Bring the shorter side to ``short_px`` (bicubic; ``None``: leave it), then cut ``side_px`` each way out.

    ``side_px`` ``None``: as much as the shorter side. Source: ``CLIPImageProcessor``, ``BitImageProcessor``.
    """

    short_px: int | None = None
    side_px: int | None = None

    def frames(self, frames: Frames) -> Frames:
        """Cut the centre out of frames [n, h, w, 3]."""
        height, width = self._resized(*frames.shape[1:3])
        top, left, side = self._window(*frames.shape[1:3])
        if (height, width) != frames.shape[1:3]:
            pictures = (
                Image.fromarray(frame).resize((width, height), Image.Resampling.BICUBIC) for frame in frames
            )
            frames = np.stack([np.asarray(picture) for picture in pictures])
        return np.ascontiguousarray(frames[:, top : top + side, left : left + side])

    def boxes(self, boxes_px: NDArray[np.floating], height: int, width: int) -> NDArray[np.float64]:
        """Map boxes [..., 4] of a picture into its crop, cut to it; NaN where nothing of a box is left."""
        new_height, new_width = self._resized(height, width)
        top, left, side = self._window(height, width)
        scale = np.array([new_width / width, new_height / height] * 2)
        mapped = np.clip(boxes_px * scale - np.array([left, top] * 2), 0, side)
        empty = ~((mapped[..., 2] > mapped[..., 0]) & (mapped[..., 3] > mapped[..., 1]))
        mapped[empty] = np.nan
        return np.asarray(mapped, dtype=np.float64)

    def _resized(self, height: int, width: int) -> tuple[int, int]:
        if self.short_px is None:
            return height, width
        if height <= width:
            return self.short_px, int(self.short_px * width / height)
        return int(self.short_px * height / width), self.short_px

    def _window(self, height: int, width: int) -> tuple[int, int, int]:
        """Give top, left and side of the square within the resized picture."""
        height, width = self._resized(height, width)
        side = min(height, width) if self.side_px is None else min(self.side_px, height, width)
        return (height - side) // 2, (width - side) // 2, side


def centre_crop_of(network: object) -> CentreCrop:
    """Give the crop that a feature network was published with; for one without, the whole shorter side."""
    crop = getattr(network, "centre_crop", None)
    return crop if isinstance(crop, CentreCrop) else CentreCrop()
