"""The memory tokenizer: video tokens → fewer memory tokens, in slices of a few frames each."""

import torch
from jaxtyping import Float
from torch import Tensor, nn

from outofsight.errors import InputError
from outofsight.nn.rope import RotaryTable, rotary_table
from outofsight.types import LatentGrid

Kernel = tuple[int, int, int]
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


def memory_rotary_table(grid: LatentGrid, kernel: Kernel, head_dim: int, device: torch.device) -> RotaryTable:
    """Tabulate the memory tokens' rotation: the middle of their time, the top-left corner of their space.

    Source: the published code (time 2j + 0.5, row 2p, column 2q for kernel 2×2×2).
    """
    tokens = memory_grid(grid, kernel)
    positions = [
        torch.arange(n, device=device) * k
        for n, k in zip((tokens.frames, tokens.height, tokens.width), kernel, strict=True)
    ]
    middle = (kernel[0] - 1) / 2
    return rotary_table(positions[0] + middle, positions[1], positions[2], head_dim)


def video_rotary_table(grid: LatentGrid, head_dim: int, device: torch.device) -> RotaryTable:
    """Tabulate the rotation of the full-resolution tokens: their own indices."""
    frames, rows, columns = (torch.arange(n, device=device) for n in (grid.frames, grid.height, grid.width))
    return rotary_table(frames, rows, columns, head_dim)
