"""A room with textured walls, seen by a camera that turns and moves: a video whose cameras are known."""

import numpy as np

from outofsight.types import CameraPath

HALF_M, FLOOR_M, CEILING_M = 4.0, 0.0, 3.0
TEXELS_A_METRE = 40


def film(cameras: CameraPath) -> np.ndarray:
    """Trace one ray a pixel to the nearest wall, and read its texture: uint8 [n, height, width, 3]."""
    lens = cameras.intrinsics
    texture = _texture()
    x, y = np.meshgrid(np.arange(lens.width_px) + 0.5, np.arange(lens.height_px) + 0.5)
    rays = np.stack([(x - lens.cx_px) / lens.fx_px, (y - lens.cy_px) / lens.fy_px, np.ones_like(x)], axis=-1)
    frames = []
    for pose in cameras.world_from_camera:
        ways = rays @ pose[:, :3].T
        highs, lows = np.array([HALF_M, HALF_M, CEILING_M]), np.array([-HALF_M, -HALF_M, FLOOR_M])
        with np.errstate(divide="ignore"):
            lengths = np.where(ways > 0, (highs - pose[:, 3]) / ways, (lows - pose[:, 3]) / ways)
        wall, length = lengths.argmin(axis=-1), lengths.min(axis=-1)
        hit = pose[:, 3] + length[..., None] * ways
        along = np.where(wall == 0, hit[..., 1], hit[..., 0])
        up = np.where(wall == 2, hit[..., 1], hit[..., 2])
        offset = 97 * wall + 53 * (np.take_along_axis(ways, wall[..., None], axis=-1)[..., 0] > 0)
        frames.append(
            _sampled(texture, along * TEXELS_A_METRE + 7.0 * offset, up * TEXELS_A_METRE + 11.0 * offset)
        )
    return np.stack(frames)


def _texture() -> np.ndarray:
    generator = np.random.default_rng(3)
    total = np.zeros((512, 512, 3))
    for step in (4, 8, 16):
        total += np.kron(generator.uniform(0, 85, (512 // step, 512 // step, 3)), np.ones((step, step, 1)))
    return total


def _sampled(texture: np.ndarray, across: np.ndarray, down: np.ndarray) -> np.ndarray:
    """Read a texture that repeats, bilinearly."""
    x, y = np.floor(across).astype(int), np.floor(down).astype(int)
    a, b = (across - x)[..., None], (down - y)[..., None]
    corner = [texture[(y + j) % 512, (x + i) % 512] for j in (0, 1) for i in (0, 1)]
    mixed = (1 - b) * ((1 - a) * corner[0] + a * corner[1]) + b * ((1 - a) * corner[2] + a * corner[3])
    return mixed.round().astype(np.uint8)
