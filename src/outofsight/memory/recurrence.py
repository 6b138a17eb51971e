"""A memory of constant size: a recurrent network reads the context frame by frame and leaves a few tokens."""

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn.functional import adaptive_avg_pool2d

POSE_NUMBERS = 12


class ConvGRU(nn.Module):
    """One step of a gated recurrent unit whose products are 3×3 convolutions.

    Source: Ballas et al., Delving Deeper into Convolutional Networks for Learning Video Representations (2016), eq. 2.
    """

    def __init__(self, in_channels: int, width: int) -> None:
        super().__init__()
        self.width = width
        self.gates = nn.Conv2d(in_channels + width, 2 * width, 3, padding=1)
        self.candidate = nn.Conv2d(in_channels + width, width, 3, padding=1)

    def forward(
        self, frame: Float[Tensor, "b channels rows columns"], state: Float[Tensor, "b width rows columns"]
    ) -> Float[Tensor, "b width rows columns"]:
        """Return the state after the frame."""
        update, reset = self.gates(torch.cat((frame, state), dim=1)).sigmoid().chunk(2, dim=1)
        proposed = self.candidate(torch.cat((frame, reset * state), dim=1)).tanh()
        return (1 - update) * state + update * proposed


class StateMemory(nn.Module):
    """Read every context frame, oldest first, with its pose; give the final state as rows × columns tokens.

    ``grid``: rows and columns that frames are pooled to, and the number of tokens, whatever the length and size of
    the context. The last projection begins at zero: every token then is the same blank one.
    """

    def __init__(self, channels: int, width: int, grid: tuple[int, int], dim: int) -> None:
        super().__init__()
        self.grid = grid
        self.step = ConvGRU(channels + POSE_NUMBERS, width)
        self.norm = nn.LayerNorm(width)
        self.projection = nn.Linear(width, dim)
        nn.init.zeros_(self.projection.weight)
        nn.init.zeros_(self.projection.bias)

    def forward(
        self, context: Float[Tensor, "b channels c height width"], poses: Float[Tensor, "b c 12"]
    ) -> Float[Tensor, "b tokens dim"]:
        """Return the state after the last context frame; zeros went before the first."""
        state = context.new_zeros(context.shape[0], self.step.width, *self.grid)
        for frame in range(context.shape[2]):
            picture = adaptive_avg_pool2d(context[:, :, frame], self.grid)
            pose = poses[:, frame, :, None, None].to(picture.dtype).expand(-1, -1, *self.grid)
            state = self.step(torch.cat((picture, pose), dim=1), state)
        tokens: Tensor = self.projection(self.norm(state.flatten(2).transpose(1, 2)))
        return tokens


def recurrence_flops(channels: int, width: int, grid: tuple[int, int], dim: int, context_frames: int) -> int:
    """Count ``StateMemory``'s forward for one video; a multiply-add counts as two."""
    places = grid[0] * grid[1]
    step = 2 * 9 * (channels + POSE_NUMBERS + width) * 3 * width * places
    return context_frames * step + 2 * places * width * dim
