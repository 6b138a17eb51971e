"""What one frame shows of each subject: slots compete for its tokens, and each is measured by those that it got.

A token that no slot explains falls to the background.
"""

from typing import NamedTuple

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor, nn
from torch.nn.functional import grid_sample, normalize

from outofsight.memory.banks.scene_reader import place_subjects, project_points, read_positions
from outofsight.memory.banks.state import SceneReading, Tracks
from outofsight.nn.cameras import Lenses
from outofsight.nn.rope import token_places

ABSENT = -1e4
"""Logit of an empty slot: 0 after any softmax in float32."""

APPEARANCE_WEIGHT = 8.0
"""Nats between a token whose identity is a slot's own and one that has nothing in common with it, to begin with."""

BACKGROUND = -1.4
"""Log density of the background, to begin with: even over a ball of the token's distance (−log 4π/3)."""

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
    """Give every dynamic token to the slots by softmax over all slots and the background.

    The logit of a slot is log((1 − ε)·N(read place; predicted place, σ²) + ε·even) with lengths as shares of the
    token's distance, σ² = slot's variance + token's noise², plus ``appearance`` · (max(cos of identities, 0) − ½). Near
    places count most while a place is well known, so a subject in view keeps its slot whatever it wears. Once it was
    hidden it may have turned round: with a chance ε (``lost_chance``) it is anywhere, and identity decides. Learned:
    ``appearance`` and the logit of the background (``nobody`` among the weights).

    Source: Slot Attention (arXiv 2006.15055), whose softmax over slots makes them compete; its recurrent update is
    the Kalman filter and the gated merge of ``Tracker`` here.
    """

    def __init__(self) -> None:
        super().__init__()
        self.log_kinship = nn.Parameter(torch.tensor(APPEARANCE_WEIGHT).log())
        self.nobody = nn.Parameter(torch.tensor(BACKGROUND))

    def logits(
        self,
        tokens: TokenFacts,
        position: Float[Tensor, "b s 3"],
        variance: Float[Tensor, "b s"],
        identity: Float[Tensor, "b s e"],
        lost: Float[Tensor, "b s"],
    ) -> Float[Tensor, "b s n"]:
        """Return the logit of every token for every slot, in nats above the background. ``lost``: ε."""
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
        """Return the share of every token that is each slot's, and that shows a subject that has no slot yet.

        Both are parts of ``dynamic``: they add up to it over slots and background.
        """
        logits = self.logits(tokens, tracks.position, tracks.covariance[..., 0], tracks.identity, lost)
        logits = torch.where(tracks.taken[..., None], logits, torch.full_like(logits, ABSENT))
        shares = torch.cat((logits, torch.zeros_like(logits[:, :1])), dim=1).softmax(dim=1)
        shares = shares * tokens.dynamic[:, None]
        return shares[:, :-1], shares[:, -1]


def lost_chance(unseen: Float[Tensor, "b s"]) -> Float[Tensor, "b s"]:
    """Return the chance that a subject last seen ``unseen`` video frames ago is not where motion would take it."""
    return MOST_LOST * (1 - 2 ** (-unseen.clamp(min=0) / LOST_FRAMES))


LEAST_CLAIM = 0.25
"""Share of a connected mask that a subject has to claim for the whole of it to be its own."""


def together(parts: Int[Tensor, "b n"] | None, tokens: Tensor) -> Bool[Tensor, "b n n"]:
    """Tell which tokens show the same connected mask; without masks none do. ``tokens``: [b, n]."""
    if parts is None:
        return torch.zeros(*tokens.shape, tokens.shape[1], dtype=torch.bool, device=tokens.device)
    return (parts[:, :, None] == parts[:, None]) & (parts > 0)[:, None]


def with_whole_parts(
    shares: Float[Tensor, "b s n"], unclaimed: Float[Tensor, "b n"], same: Bool[Tensor, "b n n"]
) -> tuple[Float[Tensor, "b s n"], Float[Tensor, "b n"]]:
    """Give what nobody claims of a connected mask to the subject that claims most of it: near the picture's side a
    reading of single tokens errs, and the rest of a subject was taken for another that was born there."""
    claims = shares.detach() @ same.to(shares)
    whole = claims.sum(dim=1, keepdim=True) + unclaimed.detach()[:, None] @ same.to(shares)
    leads = (claims == claims.amax(dim=1, keepdim=True)) & (claims > LEAST_CLAIM * whole)
    return shares + leads * unclaimed[:, None], unclaimed * ~leads.any(dim=1)


TINY = 1e-6
"""Share of a token below which a slot was given nothing at all; keeps what is then unused finite."""


class FrameSeen(NamedTuple):
    """One clean latent frame as the tracker meets it.

    ``tokens``: video tokens, row by row. ``reading``: of this frame, without the axis of frames. ``pose``:
    ``anchor_from_camera``. ``time``: in video frames. ``parts``: the number of the connected mask that each token
    shows, 0: none; where there are masks.
    """

    tokens: Float[Tensor, "b hw d"]
    reading: SceneReading
    pose: Float[Tensor, "b 12"]
    time: Float[Tensor, " b"]
    intrinsics: Lenses
    parts: Int[Tensor, "b hw"] | None = None

    @property
    def size(self) -> tuple[int, int]:
        """Rows and columns of the token grid."""
        height, width = self.reading.dynamic.shape[-2:]
        return height, width


class Sighting(NamedTuple):
    """What a frame shows of s subjects; undefined where ``visibility`` is 0.

    ``visibility``: the largest share of a token. ``position``: of the origin; ``variance``: of that along an axis, m².
    ``gate``: how clearly, 0 to 1. ``box``: as in ``Tracks``; ``cut``: it reaches the left or right edge of the
    picture. ``content``: video tokens over the box; ``inside``: those that lie in the picture.
    """

    visibility: Float[Tensor, "b s"]
    position: Float[Tensor, "b s 3"]
    variance: Float[Tensor, "b s"]
    identity: Float[Tensor, "b s e"]
    gate: Float[Tensor, "b s"]
    box: Float[Tensor, "b s 4"]
    cut: Bool[Tensor, "b s"]
    content: Float[Tensor, "b s k d"]
    inside: Bool[Tensor, "b s k"]


def token_facts(frame: FrameSeen) -> TokenFacts:
    """Put what a frame's tokens tell into metres of the anchor frame, in float32."""
    reading = SceneReading(*(part.float() for part in frame.reading))
    distance = reading.distance.exp()
    return TokenFacts(
        dynamic=reading.dynamic.sigmoid().flatten(1),
        position=read_positions(reading, frame.pose, frame.intrinsics).flatten(1, 2),
        distance=distance.flatten(1),
        noise=(reading.noise.exp() * distance).flatten(1),
        identity=reading.identity.flatten(1, 2),
        clarity=reading.clarity.flatten(1),
    )


def sight(
    shares: Float[Tensor, "b s n"], facts: TokenFacts, frame: FrameSeen, subject_grid: tuple[int, int]
) -> Sighting:
    """Join what each subject's tokens tell.

    The place is their mean, weighted by share / noise². Its variance is their mean noise² (one network's errors in one
    frame are alike, so more tokens do not make it smaller) plus their disagreement, all over ``visibility``.
    """
    visibility = shares.amax(dim=-1)
    precise = _weights(shares * facts.noise[:, None] ** -2)
    even = _weights(shares)
    position = (precise[..., None] * facts.position[:, None]).sum(dim=2)
    apart = ((facts.position[:, None] - position[:, :, None]) ** 2).sum(dim=-1) / 3
    variance = (precise * (facts.noise[:, None] ** 2 + apart)).sum(dim=-1) / visibility.clamp(min=TINY)
    box, cut = _box(even, position, frame)
    places = place_subjects(position, box, frame.pose, frame.size, frame.intrinsics, subject_grid)
    content, inside = _sampled(frame, places.rows, places.columns)
    return Sighting(
        visibility=visibility,
        position=position,
        variance=variance,
        identity=normalize((even[..., None] * facts.identity[:, None]).sum(dim=2), dim=-1, eps=TINY),
        gate=(even * facts.clarity[:, None]).sum(dim=-1).sigmoid(),
        box=box,
        cut=cut,
        content=content,
        inside=inside,
    )


def _weights(shares: Float[Tensor, "b s n"]) -> Float[Tensor, "b s n"]:
    return shares / shares.sum(dim=-1, keepdim=True).clamp(min=TINY)


def _box(
    weights: Float[Tensor, "b s n"], position: Float[Tensor, "b s 3"], frame: FrameSeen
) -> tuple[Float[Tensor, "b s 4"], Bool[Tensor, "b s"]]:
    """Return the box that tokens of these weights fill, in metres, and whether it is cut at the side.

    Of an even row of m tokens the middles have variance (m² − 1)/12, so √(3·variance + ¼) is exactly half its length.
    """
    height, width = frame.size
    rows, columns = (places.flatten() for places in token_places(height, width, weights.device))
    middle_row, middle_column = (weights * rows).sum(dim=-1), (weights * columns).sum(dim=-1)
    half_height, half_width = (
        (3 * (weights * away**2).sum(dim=-1) + 0.25).sqrt()
        for away in (rows - middle_row[..., None], columns - middle_column[..., None])
    )
    origin = project_points(position, frame.pose, frame.size, frame.intrinsics)
    box = torch.stack(
        (middle_column - origin.columns, middle_row - origin.rows, half_width, half_height), dim=-1
    )
    cut = (middle_column - half_width < 0) | (middle_column + half_width > width - 1)
    return box / origin.tokens_per_metre[..., None], cut


def _sampled(
    frame: FrameSeen, rows: Float[Tensor, "b s k"], columns: Float[Tensor, "b s k"]
) -> tuple[Float[Tensor, "b s k d"], Bool[Tensor, "b s k"]]:
    """Read the frame's tokens at places between them; beyond the edge the nearest is read, and marked as outside."""
    height, width = frame.size
    x, y = (2 * columns + 1) / width - 1, (2 * rows + 1) / height - 1
    picture = frame.tokens.float().transpose(1, 2).unflatten(-1, (height, width))
    read = grid_sample(
        picture, torch.stack((x, y), dim=-1), mode="bilinear", padding_mode="border", align_corners=False
    )
    return read.permute(0, 2, 3, 1), (x.abs() <= 1) & (y.abs() <= 1)
