"""A film of coloured blocks, for tests that need a video and no meaning."""

import numpy as np

HEIGHT, WIDTH = 48, 64


def film(num_frames, seed=0):
    """uint8 [n, 48, 64, 3]."""
    coarse = np.random.default_rng(seed).integers(
        0, 256, (num_frames, HEIGHT // 8, WIDTH // 8, 3), dtype=np.uint8
    )
    return coarse.repeat(8, axis=1).repeat(8, axis=2)
