"""What another camera saw, turned into this camera's view: exact where the camera only turned."""

import numpy as np
from numpy.typing import NDArray

from outofsight.evaluation.case import Masks
from outofsight.types import Intrinsics

LEAST_DEPTH = 1e-3
"""Rays at or behind the source camera's plane are held at this depth: they land far outside, on the nearest edge."""


def turned_pixels(
    world_from_target: NDArray[np.float64], world_from_source: NDArray[np.float64], intrinsics: Intrinsics
) -> NDArray[np.float64]:
    """Find where the source camera sees what the target camera's pixels see [h, w, 2] (x, y in px).

    Only the cameras' turns are taken into account, as if everything were far away.
    """
    x = (np.arange(intrinsics.width_px) + 0.5 - intrinsics.cx_px) / intrinsics.fx_px
    y = (np.arange(intrinsics.height_px) + 0.5 - intrinsics.cy_px) / intrinsics.fy_px
    rays = np.stack([*np.meshgrid(x, y), np.ones((len(y), len(x)))], axis=-1)
    source_from_target = world_from_source[:, :3].T @ world_from_target[:, :3]
    rays = rays @ source_from_target.T
    depth = np.maximum(rays[..., 2], LEAST_DEPTH)
    return np.stack(
        [
            intrinsics.fx_px * rays[..., 0] / depth + intrinsics.cx_px,
            intrinsics.fy_px * rays[..., 1] / depth + intrinsics.cy_px,
        ],
        axis=-1,
    )


def within_picture(pixels: NDArray[np.float64], height_px: int, width_px: int) -> Masks:
    """Tell which pixels [..., 2] lie in the picture."""
    x, y = pixels[..., 0], pixels[..., 1]
    return np.asarray((x >= 0) & (x <= width_px) & (y >= 0) & (y <= height_px))


def sampled(picture: NDArray[np.generic], pixels: NDArray[np.float64]) -> NDArray[np.float64]:
    """Read a picture [h, w, channels] at pixels [..., 2], bilinear; outside it the edge is repeated."""
    values = picture.astype(np.float64)
    height, width = values.shape[:2]
    x = np.clip(pixels[..., 0] - 0.5, 0, width - 1)
    y = np.clip(pixels[..., 1] - 0.5, 0, height - 1)
    left = np.minimum(np.floor(x).astype(int), max(width - 2, 0))
    top = np.minimum(np.floor(y).astype(int), max(height - 2, 0))
    right, bottom = np.minimum(left + 1, width - 1), np.minimum(top + 1, height - 1)
    along_x, along_y = (x - left)[..., None], (y - top)[..., None]
    upper = values[top, left] * (1 - along_x) + values[top, right] * along_x
    lower = values[bottom, left] * (1 - along_x) + values[bottom, right] * along_x
    return upper * (1 - along_y) + lower * along_y


def as_pixels(values: NDArray[np.float64]) -> NDArray[np.uint8]:
    """Round values 0..255 to uint8."""
    return np.clip(np.rint(values), 0, 255).astype(np.uint8)
