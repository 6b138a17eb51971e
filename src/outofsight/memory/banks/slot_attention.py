"""Which token shows which subject: slots compete for tokens, beside "nobody"."""

from typing import NamedTuple

import torch
from jaxtyping import Float
from torch import Tensor, nn

from outofsight.memory.banks.state import Tracks

ABSENT = -1e4
"""Logit of an empty slot: 0 after any softmax in float32."""

KINSHIP = 8.0
"""Nats between a token whose identity is a slot's own and one that has nothing in common with it, to begin with."""

NOBODY = -1.4
"""Log density of "nobody", to begin with: even over a ball whose radius is the distance to the token (−log 4π/3)."""

EVEN = -1.4
"""Log density of a place of which nothing is known: even over that ball."""

MOST_LOST, LOST_FRAMES = 0.1, 24.0
"""The chance that a subject is not near its predicted place grows to the first, by half of it in so many frames."""

TINY_CHANCE = 1e-6
"""Chances are kept so far from 0 and 1, so that their logarithms are finite."""


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

    The logit of a slot is log((1 − ε)·N(told place; predicted place, σ²) + ε·even) with lengths as shares of the
    token's distance, σ² = slot's variance + token's noise², plus ``kinship`` · (max(cos of identities, 0) − ½). Near
    places count most while a place is well known, so a subject in view keeps its slot whatever it wears. Once it was
    hidden it may have turned round: with a chance ε (``lost_chance``) it is anywhere, and identity decides. Learned:
    ``kinship`` and the logit of "nobody".

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
        lost: Float[Tensor, "b s"],
    ) -> Float[Tensor, "b s n"]:
        """Return the logit of every token for every slot, in nats above "nobody". ``lost``: ε."""
        scale = tokens.distance[:, None] ** -2
        sigma2 = (variance[..., None] + tokens.noise[:, None] ** 2) * scale
        away2 = ((tokens.position[:, None] - position[:, :, None]) ** 2).sum(dim=-1) * scale
        near = -1.5 * (2 * torch.pi * sigma2).log() - away2 / (2 * sigma2)
        lost = lost.clamp(TINY_CHANCE, 1 - TINY_CHANCE)[..., None]
        fit = torch.logaddexp(torch.log1p(-lost) + near, lost.log() + EVEN)
        alike = (identity[:, :, None] * tokens.identity[:, None]).sum(dim=-1).clamp(min=0)
        return fit + self.log_kinship.exp() * (alike - 0.5) - self.nobody

    def forward(
        self, tokens: TokenFacts, tracks: Tracks, lost: Float[Tensor, "b s"]
    ) -> tuple[Float[Tensor, "b s n"], Float[Tensor, "b n"]]:
        """Return the share of every token that is each slot's, and that shows a subject who is nobody yet.

        Both are parts of ``dynamic``: they add up to it over slots and "nobody".
        """
        logits = self.logits(tokens, tracks.position, tracks.covariance[..., 0], tracks.identity, lost)
        logits = torch.where(tracks.taken[..., None], logits, torch.full_like(logits, ABSENT))
        shares = torch.cat((logits, torch.zeros_like(logits[:, :1])), dim=1).softmax(dim=1)
        shares = shares * tokens.dynamic[:, None]
        return shares[:, :-1], shares[:, -1]


def lost_chance(unseen: Float[Tensor, "b s"]) -> Float[Tensor, "b s"]:
    """Return the chance that a subject last seen ``unseen`` video frames ago is not where motion would take it."""
    return MOST_LOST * (1 - 2 ** (-unseen.clamp(min=0) / LOST_FRAMES))
