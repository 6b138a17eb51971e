"""Which token shows which subject: slots compete for tokens, beside "nobody"."""

from typing import NamedTuple

import torch
from jaxtyping import Bool, Float
from torch import Tensor, nn

ABSENT = -1e4
"""Logit of an empty slot: 0 after any softmax in float32."""

KINSHIP = 8.0
"""Nats between a token whose identity is a slot's own and one that has nothing in common with it, to begin with."""

NOBODY = -1.4
"""Log density of "nobody", to begin with: even over a ball as large as the distance to the token (−log 4π/3)."""

LARGEST_NATS = 60.0
"""Misfits of place are cut here, which is as good as never and keeps gradients finite."""


class TokenFacts(NamedTuple):
    """What n tokens of one frame tell. ``dynamic``: probability; ``position``: of the origin, in the anchor frame;
    ``distance``: metres; ``noise``: standard deviation of the position, in metres; ``clarity``: logit."""

    dynamic: Float[Tensor, "b n"]
    position: Float[Tensor, "b n 3"]
    distance: Float[Tensor, "b n"]
    noise: Float[Tensor, "b n"]
    identity: Float[Tensor, "b n e"]
    clarity: Float[Tensor, "b n"]


class SlotAttention(nn.Module):
    """Give every dynamic token to the slots by softmax over all slots and "nobody".

    The logit of a slot is log N(told place; predicted place, σ²) with lengths as shares of the token's distance,
    σ² = slot's variance + token's noise², plus ``kinship`` · (max(cos of identities, 0) − ½). Near places count most
    while a place is well known, so a subject in view keeps its slot whatever it wears; identities decide once a
    subject was hidden so long that it may be anywhere. Learned: ``kinship`` and the logit of "nobody".

    Source: Slot Attention (arXiv 2006.15055), whose softmax over slots makes them compete; its recurrent update is
    the Kalman filter and the gated merge of ``Tracker`` here.
    """

    def __init__(self) -> None:
        super().__init__()
        self.log_kinship = nn.Parameter(torch.tensor(KINSHIP).log())
        self.nobody = nn.Parameter(torch.tensor(NOBODY))

    def logits(
        self,
        tokens: TokenFacts,
        position: Float[Tensor, "b s 3"],
        variance: Float[Tensor, "b s"],
        identity: Float[Tensor, "b s e"],
    ) -> Float[Tensor, "b s n"]:
        """Return the logit of every token for every slot, in nats above "nobody"."""
        scale = tokens.distance[:, None] ** -2
        sigma2 = (variance[..., None] + tokens.noise[:, None] ** 2) * scale
        away2 = ((tokens.position[:, None] - position[:, :, None]) ** 2).sum(dim=-1) * scale
        fit = -1.5 * (2 * torch.pi * sigma2).log() - (away2 / (2 * sigma2)).clamp(max=LARGEST_NATS)
        alike = (identity[:, :, None] * tokens.identity[:, None]).sum(dim=-1).clamp(min=0)
        return fit + self.log_kinship.exp() * (alike - 0.5) - self.nobody

    def forward(
        self,
        tokens: TokenFacts,
        position: Float[Tensor, "b s 3"],
        variance: Float[Tensor, "b s"],
        identity: Float[Tensor, "b s e"],
        filled: Bool[Tensor, "b s"],
    ) -> tuple[Float[Tensor, "b s n"], Float[Tensor, "b n"]]:
        """Return the share of every token that is each slot's, and that shows a subject who is nobody yet.

        Both are parts of ``dynamic``: they add up to it over slots and "nobody".
        """
        logits = self.logits(tokens, position, variance, identity)
        logits = torch.where(filled[..., None], logits, torch.full_like(logits, ABSENT))
        shares = torch.cat((logits, torch.zeros_like(logits[:, :1])), dim=1).softmax(dim=1)
        shares = shares * tokens.dynamic[:, None]
        return shares[:, :-1], shares[:, -1]
