"""A state for every place of the picture, inside the transformer's blocks: linear recurrence over time.

::

    older context frames (as embedded)  →  frames of the sequence (as the block sees them)  →
    s ← a·s + (1 − a)·u at each frame, place and channel;   the block's attention gives  + r · out(s·g)
"""

import torch
from jaxtyping import Float
from torch import Tensor, nn

SLOWEST_DECAY = 4.0
"""Logit of the slowest channels' decay when training begins: they keep 0.98 of their state a frame; the fastest 0.5."""


class StateSpace(nn.Module):
    """Read frames oldest first, place by place, and tell each frame what has gone before.

    u = tanh and g = sigmoid of one projection of the normalised tokens, a = sigmoid of a logit for each channel,
    r = 0.1 + 0.1·sigmoid of a number. The last projection begins at zero: nothing is added then.

    Source: Echo-Memory (arXiv 2606.09803), block-wise state space, second version; there out() is added to the block's
    output and reads no frame outside the sequence.
    """

    def __init__(self, dim: int) -> None:
        super().__init__()
        self.norm = nn.LayerNorm(dim)
        self.in_proj = nn.Linear(dim, 2 * dim)
        self.out_proj = nn.Linear(dim, dim)
        self.decay_logit = nn.Parameter(torch.linspace(0, SLOWEST_DECAY, dim))
        self.residual_logit = nn.Parameter(torch.zeros(()))
        nn.init.zeros_(self.out_proj.weight)
        nn.init.zeros_(self.out_proj.bias)

    def forward(
        self, frames: Float[Tensor, "b f n d"], state: Float[Tensor, "b n d"] | None = None
    ) -> tuple[Float[Tensor, "b f n d"], Float[Tensor, "b f n d"]]:
        """Return what is added to the frames, and each one's state. ``state``: before the first; ``None``: zeros."""
        inputs, gates = self._projected(frames)
        after = self._states(inputs, state)
        out: Tensor = self.out_proj((after * gates).to(frames.dtype))
        return (0.1 + 0.1 * self.residual_logit.sigmoid()) * out, after

    def read(self, older: Float[Tensor, "b p n d"]) -> Float[Tensor, "b n d"]:
        """Return the state after frames that take nothing from it themselves."""
        return self._states(self._projected(older)[0], None)[:, -1]

    def _states(self, inputs: Float[Tensor, "b f n d"], state: Tensor | None) -> Float[Tensor, "b f n d"]:
        keep = self.decay_logit.float().sigmoid()
        states = []
        for each in inputs.unbind(dim=1):
            before = torch.zeros_like(each) if state is None else state
            states.append(state := keep * before + (1 - keep) * each)
        return torch.stack(states, dim=1)

    def _projected(self, tokens: Tensor) -> tuple[Tensor, Tensor]:
        """Return u and g, in float32: a slow channel takes in a fiftieth of each frame."""
        inputs, gates = self.in_proj(self.norm(tokens)).float().chunk(2, dim=-1)
        return inputs.tanh(), gates.sigmoid()


def has_state_space(layer: int, every: int | None) -> bool:
    """Tell whether a block carries such a state: every so many, the first among them."""
    return every is not None and layer % every == 0


def state_space_flops(dim: int, older_tokens: int, tokens: int) -> int:
    """Count one block's products; a multiply-add counts as two."""
    return 2 * dim * dim * (2 * (older_tokens + tokens) + tokens)
