"""Which frames and which memory slices a query frame attends to: pure functions of queries, keys and cameras.

Two parts, as in the published model: a window of full-resolution frames around the query frame, and the best
scored memory slices outside it::

    latent frame   0 1 2 3 4 5 6 7 8 9 ...          window 5, kernel time 2
    slice          └0┘ └1┘ └2┘ └3┘ └4┘
    query frame 0  [0 1 2 3 4]                       the window is shifted at the border, never shrunk
    query frame 4      [2 3 4 5 6]                   slices 1, 2 lie wholly inside and are never chosen;
                                                     slice 3 = frames 6, 7 lies half inside and may be
"""

from typing import Literal

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from outofsight.geometry.frustum import SAMPLES, frustum_overlap
from outofsight.nn.intrinsics import view_points
from outofsight.nn.precision import full_precision
from outofsight.types import LatentGrid

Affinity = Literal["mean_pooled", "position_paired", "fov_overlap", "all"]
"""How slices are scored: as the published code does, as the paper's eq. 4, by camera, or not at all."""

MASKED_SCORE = -1e9


def local_window(
    num_frames: int, window: int | None, device: torch.device | None = None
) -> Int[Tensor, "f w"]:
    """Return the frames of each query frame's window; at the borders the window is shifted, not shrunk.

    A window wider than the video, and ``None``, is the whole video.
    """
    width = num_frames if window is None else min(window, num_frames)
    frames = torch.arange(num_frames, device=device)
    start = (frames - width // 2).clamp(0, num_frames - width)
    return start[:, None] + torch.arange(width, device=device)


def slices_inside(windows: Int[Tensor, "f w"], num_slices: int, frames_per_slice: int) -> Bool[Tensor, "f m"]:
    """Tell which slices lie wholly inside each window."""
    first = torch.arange(num_slices, device=windows.device) * frames_per_slice
    last = first + frames_per_slice - 1
    return (first >= windows[:, :1]) & (last <= windows[:, -1:])


def mean_pooled_affinity(
    query: Float[Tensor, "b f n d"], memory_key: Float[Tensor, "b m p d"]
) -> Float[Tensor, "b f m"]:
    """Score slices by ⟨mean of the frame's queries, mean of the slice's keys⟩, all heads together, before rotation.

    Source: the published code. No 1/√d: the ranking does not need it.
    """
    with full_precision(query.device):  # rounded to bfloat16, an eighth of the choices are others
        pooled_query = query.mean(dim=2, dtype=torch.float32)
        return pooled_query @ memory_key.mean(dim=2, dtype=torch.float32).transpose(1, 2)


def position_paired_affinity(
    query: Float[Tensor, "b f n d"],
    memory_key: Float[Tensor, "b m p d"],
    grid: LatentGrid,
    cell: tuple[int, int],
) -> Float[Tensor, "b f m"]:
    """Score slices by Σ over positions of ⟨pooled query, key⟩ / √d, before rotation.

    ``cell``: rows and columns of video tokens that are pooled to one memory position.

    Source: HyDRA, eq. 4.
    """
    rows, columns = grid.height // cell[0], grid.width // cell[1]
    tokens = query.unflatten(2, (grid.height, grid.width))[:, :, : rows * cell[0], : columns * cell[1]]
    pooled = (
        tokens.unflatten(3, (columns, cell[1]))
        .unflatten(2, (rows, cell[0]))
        .mean(dim=(3, 5), dtype=torch.float32)
    )
    with full_precision(query.device):
        return pooled.flatten(2) @ memory_key.float().flatten(2).transpose(1, 2) / query.shape[-1] ** 0.5


def view_overlap(poses: Float[Tensor, "b f 12"], intrinsics: Float[Tensor, "b 4"]) -> Float[Tensor, "b f f"]:
    """Tell which part, 0 to 1, of each frame's view (row) every frame's camera (column) sees.

    ``poses``: row-flattened 3×4 ``reference_from_camera`` of every latent frame, metres. ``intrinsics``: normalised.
    """
    cameras = poses.float().unflatten(-1, (3, 4))
    with full_precision(poses.device):
        overlap: Tensor = frustum_overlap(
            cameras, cameras, view_points(intrinsics, SAMPLES), intrinsics.float()
        )
    return overlap


def fov_affinity(
    poses: Float[Tensor, "b f 12"], intrinsics: Float[Tensor, "b 4"], num_slices: int, frames_per_slice: int
) -> Float[Tensor, "b f m"]:
    """Score slices by how much of the query camera's frustum their cameras see, averaged over the slice's frames.

    ``poses``: row-flattened 3×4 ``reference_from_camera`` of every latent frame, metres. ``intrinsics``: normalised.

    Source: Context-as-Memory's rule, as HyDRA's ablation uses it.
    """
    overlap = view_overlap(poses, intrinsics)
    return (
        overlap[..., : num_slices * frames_per_slice]
        .unflatten(-1, (num_slices, frames_per_slice))
        .mean(dim=-1)
    )


def top_slices(
    scores: Float[Tensor, "b f m"], excluded: Bool[Tensor, "f m"], top_k: int
) -> Int[Tensor, "b f k"]:
    """Return the ``top_k`` best slices of each frame, best first; all slices where there are no more.

    An excluded slice is chosen only when too few others are left (as in the published code); it then repeats, at
    memory resolution, what the window shows anyway.

    Source: HyDRA, eq. 5.
    """
    masked = scores.masked_fill(excluded, MASKED_SCORE)
    return masked.topk(min(top_k, scores.shape[-1]), dim=-1).indices
