"""Memory slices, and which of them a query frame attends to: eqs. 3 to 5 of HyDRA, and the rules it is compared with.

Pure functions of queries, keys and cameras, beside the tokenizer. Two parts, as in the published model: a window of
full-resolution frames around the query frame, and the best scored memory slices outside it::

    latent frame   0 1 2 3 4 5 6 7 8 9 ...          window 5, kernel time 2
    slice          └0┘ └1┘ └2┘ └3┘ └4┘
    query frame 0  [0 1 2 3 4]                       the window is shifted at the border, never shrunk
    query frame 4      [2 3 4 5 6]                   slices 1, 2 lie wholly inside and are never chosen;
                                                     slice 3 = frames 6, 7 lies half inside and may be
"""

from typing import Annotated, Literal

import torch
from jaxtyping import Bool, Float, Int
from pydantic import Field
from torch import Tensor, nn

from outofsight.errors import InputError
from outofsight.geometry.frustum import SAMPLES, frustum_overlap
from outofsight.nn.cameras import Lenses, view_points
from outofsight.nn.precision import full_precision
from outofsight.types import LatentGrid

Affinity = Literal["mean_pooled", "position_paired", "fov_overlap", "all"]
"""How slices are scored: as the published code does, as the paper's eq. 4, by camera, or not at all."""

MASKED_SCORE = -1e9  # as published: below any score, so that an excluded slice is the last to be chosen


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

    Source: HyDRA, eq. 4, as the published code has it. No 1/√d: the ranking does not need it.
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
    cells = tokens.unflatten(3, (columns, cell[1])).unflatten(2, (rows, cell[0]))
    pooled = cells.mean(dim=(3, 5), dtype=torch.float32)
    with full_precision(query.device):
        return pooled.flatten(2) @ memory_key.float().flatten(2).transpose(1, 2) / query.shape[-1] ** 0.5


def view_overlap(poses: Float[Tensor, "b f 12"], intrinsics: Lenses) -> Float[Tensor, "b f f"]:
    """Tell which part, 0 to 1, of each frame's view (row) every frame's camera (column) sees.

    ``poses``: row-flattened 3×4 ``reference_from_camera`` of every latent frame, metres.
    """
    cameras = poses.float().unflatten(-1, (3, 4))
    with full_precision(poses.device):
        overlap: Tensor = frustum_overlap(
            cameras, cameras, view_points(intrinsics, SAMPLES), intrinsics.float()
        )
    return overlap


def fov_affinity(
    poses: Float[Tensor, "b f 12"], intrinsics: Lenses, num_slices: int, frames_per_slice: int
) -> Float[Tensor, "b f m"]:
    """Score slices by how much of the query camera's frustum their cameras see, averaged over the slice's frames.

    Source: Context-as-Memory's rule, as HyDRA's ablation uses it.
    """
    overlap = view_overlap(poses, intrinsics)[..., : num_slices * frames_per_slice]
    return overlap.unflatten(-1, (num_slices, frames_per_slice)).mean(dim=-1)


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


Side = Annotated[int, Field(ge=1, le=64)]
Kernel = tuple[Side, Side, Side]
"""Frames, rows and columns of video tokens that become one memory token."""


class MemoryTokenizer(nn.Module):
    """A 3D convolution whose stride is its kernel, over the token grid. A remainder of the grid is in no token.

    Slice j covers frames [j·kt, (j+1)·kt).

    Source: HyDRA, eq. 3. The paper's kernel 2×4×4 is on latent pixels; 2×2×2 on tokens is the same footprint.
    """

    def __init__(self, dim: int, kernel: Kernel = (2, 2, 2)) -> None:
        super().__init__()
        self.conv = nn.Conv3d(dim, dim, kernel_size=kernel, stride=kernel)

    def forward(self, tokens: Float[Tensor, "b s d"], grid: LatentGrid) -> Float[Tensor, "b m p d"]:
        """Return m slices of p memory tokens."""
        volume = tokens.unflatten(1, (grid.frames, grid.height, grid.width)).movedim(-1, 1)
        return self.conv(volume).flatten(3).permute(0, 2, 3, 1)


def memory_grid(grid: LatentGrid, kernel: Kernel) -> LatentGrid:
    """Return the grid of memory tokens; its ``frames`` are slices.

    Raises:
        InputError: the grid is smaller than one memory token.
    """
    sizes = (grid.frames // kernel[0], grid.height // kernel[1], grid.width // kernel[2])
    if min(sizes) < 1:
        raise InputError(
            f"a memory token covers {kernel[0]} frames × {kernel[1]} rows × {kernel[2]} columns of tokens, but the "
            f"video has only {grid.frames} × {grid.height} × {grid.width}; give more frames or a larger picture"
        )
    return LatentGrid(
        frames=sizes[0], height=sizes[1], width=sizes[2], context_frames=grid.context_frames // kernel[0]
    )
