"""The centre of a picture, as published image processors cut it out: shorter side to a size, then a square."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from outofsight.perception.seeing import Frames


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
