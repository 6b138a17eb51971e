"""A clip's annotation at latent resolution: who is seen in a latent frame, and on which of its pixels."""

import numpy as np
from numpy.typing import NDArray

from outofsight.errors import InputError
from outofsight.types import LatentClock


def clip_spans(num_context: int, num_target: int, clock: LatentClock) -> list[slice]:
    """Give the video frames of each latent frame of both halves, each encoded by itself."""
    later = [slice(num_context + span.start, num_context + span.stop) for span in clock.spans(num_target)]
    return clock.spans(num_context) + later


def latent_visibility(visibility: NDArray[np.int8], spans: list[slice]) -> NDArray[np.int8]:
    """Reduce visibility [s, n] to latent frames [s, f]: the best (lowest) within each."""
    columns = [visibility[:, span].min(axis=1) for span in spans]
    return np.stack(columns, axis=1).astype(np.int8)


def latent_masks(
    masks: NDArray[np.uint8], spans: list[slice], spatial_factor: int
) -> tuple[NDArray[np.uint8], NDArray[np.uint8]]:
    """Reduce instance ids [n, height, width] to latent pixels [f, h, w].

    Returns which subject shows on the most pixels (0: no subject at all; the lower id where two are equal), and the
    share of pixels on which any subject shows, times 255, rounded.
    """
    num_frames, height, width = masks.shape
    rows, columns = height // spatial_factor, width // spatial_factor
    if (rows * spatial_factor, columns * spatial_factor) != (height, width):
        raise InputError(f"expected masks divisible by {spatial_factor}, got {height}×{width}")
    present = [int(value) for value in np.unique(masks) if value]
    ids = np.zeros((len(spans), rows, columns), dtype=np.uint8)
    share = np.zeros_like(ids)
    if not present:
        return ids, share
    blocks = masks.reshape(num_frames, rows, spatial_factor, columns, spatial_factor)
    for index, span in enumerate(spans):
        counts = np.stack([(blocks[span] == value).sum(axis=(0, 2, 4)) for value in present])
        total = counts.sum(axis=0)
        ids[index] = np.where(total > 0, np.array(present)[counts.argmax(axis=0)], 0)
        pixels = (span.stop - span.start) * spatial_factor**2
        share[index] = np.rint(total / pixels * 255)
    return ids, share


def subject_shares(ids: NDArray[np.uint8], share: NDArray[np.uint8]) -> NDArray[np.float32]:
    """Give each subject's own share of every latent pixel: float32 [s, f, h, w], 0 to 1.

    Subjects that show on no pixel most are left out; where there is none at all, one of zeros is given. ``ids``,
    ``share``: what ``latent_masks`` makes. A pixel's share is all the subject's that shows on most of it.
    """
    numbers = np.unique(ids[ids > 0])
    if not len(numbers):
        numbers = np.array([1], dtype=ids.dtype)
    shares: NDArray[np.float32] = (ids == numbers[:, None, None, None]) * (share.astype(np.float32) / 255)
    return shares
