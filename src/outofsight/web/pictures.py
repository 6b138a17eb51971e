"""Frames as JPEGs for the page, thumbnails of places, cut-outs of subjects."""

import io
from math import tan

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from outofsight.geometry.poses import invert_rigid, transform_points

Pixels = NDArray[np.uint8]
"""uint8 [height, width, 3]."""

QUALITY, THUMB_QUALITY = 92, 80
THUMB_WIDTH, CUT_PX = 96, 64
LEAST_CUT_PX = 6
"""Of a subject in the frame; smaller ones show nothing."""


def jpeg(picture: Pixels, quality: int = QUALITY) -> bytes:
    """Code a picture, colours at full size."""
    out = io.BytesIO()
    Image.fromarray(picture).save(out, "JPEG", quality=quality, subsampling=0)
    return out.getvalue()


def thumbnail(picture: Pixels) -> bytes:
    """Code a picture at thumbnail size; smaller ones stay as they are."""
    image = Image.fromarray(picture)
    if image.width > THUMB_WIDTH:
        image = image.resize((THUMB_WIDTH, max(1, round(image.height * THUMB_WIDTH / image.width))))
    return jpeg(np.asarray(image), THUMB_QUALITY)


def subject_crop(
    picture: Pixels, world_from_camera: NDArray[np.float64], place_m: NDArray[np.float64],
    box_m: NDArray[np.float64], fov_x_rad: float,
) -> bytes | None:  # fmt: skip
    """Cut a subject out of a frame; ``None`` where it is not in the picture, or too small.

    ``place_m``: its origin, in the world. ``box_m``: as ``Tracks.box``: centre relative to the projected origin and
    half sizes, in metres in the plane through the origin that faces the camera.
    """
    height, width = picture.shape[:2]
    x, y, depth = transform_points(invert_rigid(world_from_camera), place_m[None])[0]
    if depth < 0.3:
        return None
    focal = width / (2 * tan(fov_x_rad / 2)) / depth
    middle = np.array([width / 2 + (x + box_m[0]) * focal, height / 2 + (y + box_m[1]) * focal])
    half = float(max(box_m[2], box_m[3])) * focal * 1.15
    inside = (middle > -half / 2) & (middle < np.array([width, height]) + half / 2)
    if 2 * half < LEAST_CUT_PX or not inside.all():
        return None
    # a square of the frame: one that hangs over its edge is moved inside
    side = int(min(max(2 * half, height / 3), height, width))
    low = np.clip(np.round(middle - side / 2), 0, [width - side, height - side]).astype(int)
    high = low + side
    cut = Image.fromarray(picture[low[1] : high[1], low[0] : high[0]])
    cut.thumbnail((CUT_PX, CUT_PX))
    return jpeg(np.asarray(cut), THUMB_QUALITY)
