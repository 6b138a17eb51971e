"""What a camera sees: projection, and how much of one camera's view another camera covers.

``frustum_overlap`` is written with operators that numpy arrays and torch tensors share, so that the model can call
it on a GPU while this room stays free of torch.
"""

from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from outofsight.errors import InputError
from outofsight.geometry.poses import invert_rigid, transform_points
from outofsight.types import Intrinsics

NEAR_M, FAR_M = 1.0, 30.0
"""The depths that sampled views span: from a person at arm's length to the far side of a street."""

SAMPLES = (6, 8, 8)  # depths, rows, columns


def picture_of(tangents: Any, lens: Any) -> Any:
    """Picture directions [..., 2], x/z and y/z in the camera's axes: f·tangent + c.

    ``lens`` [..., 4]: fx, fy, cx, cy, in pixels or in shares of the picture, as the result is. Numpy or torch.
    """
    return lens[..., :2] * tangents + lens[..., 2:]


def tangents_of(places: Any, lens: Any) -> Any:
    """Find the directions, x/z and y/z, that are pictured at places [..., 2]; the inverse of ``picture_of``."""
    return (places - lens[..., 2:]) / lens[..., :2]


def project(
    points_m: ArrayLike, world_from_camera: ArrayLike, intrinsics: Intrinsics
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Project world points [..., p, 3] into cameras [..., 3, 4]: pixels [..., p, 2] (x right, y down) and depth_m.

    Depth [..., p] is measured along the optical axis. A point that is not in front of the camera has no picture: its
    pixel is NaN. Leading dimensions are broadcast.
    """
    points = transform_points(invert_rigid(world_from_camera), points_m)
    depth = points[..., 2]
    in_front = np.where(depth > 0, depth, np.nan)[..., None]
    return picture_of(points[..., :2] / in_front, intrinsics.lens_px), depth


def unproject(
    pixels: ArrayLike, depth_m: ArrayLike, world_from_camera: ArrayLike, intrinsics: Intrinsics
) -> NDArray[np.float64]:
    """Find the world points [..., p, 3] that are seen at pixels [..., p, 2] at a depth [..., p] along the axis."""
    depth = np.asarray(depth_m, dtype=np.float64)[..., None]
    across = tangents_of(np.asarray(pixels, dtype=np.float64), intrinsics.lens_px) * depth
    return transform_points(world_from_camera, np.concatenate([across, depth], axis=-1))


def frustum_points(
    half_width: float,
    half_height: float,
    *,
    near_m: float = NEAR_M,
    far_m: float = FAR_M,
    samples: tuple[int, int, int] = SAMPLES,
) -> NDArray[np.float64]:
    """Sample a camera's view: points [p, 3] in the camera's own frame, at the middles of a grid of cells.

    ``half_width``, ``half_height``: tangents of half the fields of view. ``samples``: numbers of depths, rows and
    columns. Depths are evenly spaced in their logarithm, since nearness matters by ratio.

    Raises:
        InputError: tangents, distances or numbers that span no view.
    """
    if not (half_width > 0 and half_height > 0 and 0 < near_m < far_m and min(samples) >= 1):
        raise InputError(
            "a sampled view needs half_width and half_height > 0, 0 < near_m < far_m and ≥ 1 sample each way, got "
            f"{half_width}, {half_height}, {near_m}, {far_m}, {samples}"
        )
    along, down, across = ((np.arange(number) + 0.5) / number for number in samples)
    depth, y, x = np.meshgrid(
        near_m * (far_m / near_m) ** along,
        half_height * (2 * down - 1),
        half_width * (2 * across - 1),
        indexing="ij",
    )
    return np.stack([x * depth, y * depth, depth], axis=-1).reshape(-1, 3)


def frustum_overlap(
    world_from_camera_a: Any,
    world_from_camera_b: Any,
    camera_points: Any,
    intrinsics_b: Any,
) -> Any:
    """Tell which part of camera a's sampled view lies in camera b's: [..., n, 3, 4], [..., m, 3, 4] → [..., n, m].

    ``camera_points`` [..., p, 3]: a's view in its own frame, as ``frustum_points`` makes it, one for all cameras a.
    ``intrinsics_b`` [..., 4]: fx, fy, cx, cy of all cameras b, in shares of width and height. b's view reaches to
    infinity; what hides what is not asked. All arguments are numpy arrays, or all are torch tensors of one dtype and
    device; the result is of the same kind.

    Source: the FOV-overlap retrieval of Context-as-Memory (arXiv 2506.03141), by sampling.
    """
    rotation_a, position_a = world_from_camera_a[..., :3], world_from_camera_a[..., 3]
    rotation_b, position_b = world_from_camera_b[..., :3], world_from_camera_b[..., 3]
    world = (
        camera_points[..., None, :, :] @ rotation_a.swapaxes(-1, -2) + position_a[..., None, :]
    )  # [..., n, p, 3]
    from_b = world[..., :, None, :, :] - position_b[..., None, :, None, :]  # [..., n, m, p, 3]
    seen_by_b = from_b @ rotation_b[..., None, :, :, :]
    depth, lens = seen_by_b[..., 2], intrinsics_b[..., None, None, None, :]
    inside = depth > 0
    for axis in (0, 1):  # |f·x/z + c − ½| ≤ ½
        inside = inside & (
            abs(lens[..., axis] * seen_by_b[..., axis] + (lens[..., 2 + axis] - 0.5) * depth) <= depth / 2
        )
    return (inside * 1.0).mean(-1)
