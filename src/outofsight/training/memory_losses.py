"""What the two banks are taught beside the flow: pure functions of what they hold and what is true, one loss a sample.

Errors of place count as shares of the subject's distance from the camera: what matters is where it will be seen.
"""

from typing import NamedTuple

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor
from torch.nn.functional import binary_cross_entropy_with_logits, cross_entropy, normalize, smooth_l1_loss

NEAREST_M = 0.5
"""Distances count as at least so much, so that a subject at the camera's feet does not outweigh all others."""
SHOWN_AT = 0.2
"""A token shows a subject wholly from this share of its area on; many subjects never fill half a token."""
MATCH_GATE = 1.0
"""A slot is a subject's only if it is nearer to it than so much of the subject's distance from the camera."""
HORIZON_FRAMES = 20.0
"""An error of velocity counts as the error of place that it makes after so many video frames."""
PLACE_BEND, VELOCITY_BEND = 0.1, 0.3
"""Errors of place and velocity are squared below these shares of the distance, and linear above."""
UNCERTAINTY_WEIGHT = 0.05
"""Of the likelihood of true places under the tracker's covariance, beside the error of place."""
LEAST_VARIANCE = 1e-5
"""Of a place, as a share of the squared distance, so that one sure mistake does not drown all else."""
TEMPERATURE = 0.1
"""Of the contrast between identities, whose likeness is a cosine."""


class Pairs(NamedTuple):
    """Frames in which a subject is seen before its longest absence, and again after it. ``valid``: there are two."""

    before: Int[Tensor, "b s"]
    after: Int[Tensor, "b s"]
    valid: Bool[Tensor, "b s"]


class Held(NamedTuple):
    """What the tracker holds of its n slots in f frames, after each of them.

    ``variance``: of position along any one axis, m².
    """

    position: Float[Tensor, "b f n 3"]
    velocity: Float[Tensor, "b f n 3"]
    variance: Float[Tensor, "b f n"]
    filled: Bool[Tensor, "b f n"]


def mean_where(values: Tensor, weights: Tensor) -> Float[Tensor, " b"]:
    """Return each batch element's weighted mean; 0 where nothing has weight."""
    weights = weights.to(values.dtype).expand_as(values)
    total = weights.flatten(1).sum(dim=1)
    return (values * weights).flatten(1).sum(dim=1) / torch.where(total > 0, total, torch.ones_like(total))


def shown(shares: Tensor) -> Tensor:
    """Return how far tokens of which a subject covers so much show it, 0 to 1."""
    return (shares / SHOWN_AT).clamp(max=1)


def split_loss(dynamic: Float[Tensor, "b f h w"], shares: Float[Tensor, "b f h w"]) -> Float[Tensor, " b"]:
    """Return the cross-entropy of "shows a subject" (logits) with how far each token truly does, nats.

    ``shares``: of each token's area that any subject covers (``shown``).
    """
    each = binary_cross_entropy_with_logits(dynamic.float(), shown(shares.float()), reduction="none")
    return each.flatten(1).mean(dim=1)


def reading_loss(
    read: Float[Tensor, "b f h w 3"],
    noise: Float[Tensor, "b f h w"],
    shares: Float[Tensor, "b s f h w"],
    position: Float[Tensor, "b s f 3"],
    distance: Float[Tensor, "b s f"],
) -> Float[Tensor, " b"]:
    """Return how badly tokens that show a subject tell its place: error, and likelihood under their own ``noise``.

    ``read``, ``position``: metres, in one frame. ``noise``: log of the standard deviation as a share of the distance.
    A token counts as much as it shows of the subject: ρ(e) + ½·(e/σ)² + 3·ln σ, with e the error as a share of the
    distance, ρ Huber's.
    """
    away = read.float()[:, None] - position[:, :, :, None, None]
    error = away.norm(dim=-1) / distance[..., None, None]
    deviation = noise.float().clamp(-5, 3)[:, None]
    likelihood = 0.5 * (error * torch.exp(-deviation)) ** 2 + 3 * deviation
    return mean_where(_huber(error, PLACE_BEND) + UNCERTAINTY_WEIGHT * likelihood, shares)


def match_slots(
    held: Held, frame: Int[Tensor, "b s"], position: Float[Tensor, "b s f 3"], distance: Float[Tensor, "b s f"],
    matchable: Bool[Tensor, "b s"],
) -> Int[Tensor, "b s"]:  # fmt: skip
    """Return the slot of every annotated subject, −1 for none: the nearest pair first, in the frame given.

    ``frame``: for each subject, the one in which it was last seen. No two subjects get one slot; a slot that is not
    filled, or lies farther off than ``MATCH_GATE``, is no subject's.
    """
    batch = torch.arange(frame.shape[0], device=frame.device)[:, None]
    subject = torch.arange(frame.shape[1], device=frame.device)
    true, far = position[batch, subject, frame], distance[batch, subject, frame]
    error = (held.position[batch, frame] - true[:, :, None]).norm(dim=-1) / far[..., None]  # [b, s, n]
    allowed = held.filled[batch, frame] & matchable[..., None] & (error < MATCH_GATE)
    cost = torch.where(allowed, error.detach(), torch.inf)
    slots = torch.full_like(frame, -1)
    for _ in range(min(cost.shape[1:])):
        least, pair = cost.flatten(1).min(dim=1)
        own, slot = pair // cost.shape[2], pair % cost.shape[2]
        found = least < torch.inf
        taken = (subject == own[:, None]) & found[:, None]
        slots = torch.where(taken, slot[:, None], slots)
        used = (torch.arange(cost.shape[2], device=cost.device) == slot[:, None]) & found[:, None]
        cost = cost.masked_fill(taken[..., None] | used[:, None], torch.inf)
    return slots


def own_entries(values: Tensor, slots: Int[Tensor, "b s"]) -> Tensor:
    """Take values [b, f, n, ...] of every subject's slot: [b, s, f, ...]; slot 0's where it has none."""
    batch = torch.arange(slots.shape[0], device=slots.device)[:, None]
    return values.transpose(1, 2)[batch, slots.clamp(min=0)]


def state_loss(
    held: Held,
    slots: Int[Tensor, "b s"],
    position: Float[Tensor, "b s f 3"],
    velocity: Float[Tensor, "b s f 3"],
    distance: Float[Tensor, "b s f"],
) -> Float[Tensor, " b"]:
    """Return how far matched slots are from their subjects, seen or hidden: place, velocity, and likelihood.

    ρ(e) + ρ(u) + ``UNCERTAINTY_WEIGHT`` · (½·e²/r + 3/2·ln r): e the error of place as a share of the distance, u what
    the error of velocity becomes after ``HORIZON_FRAMES``, r the variance as a share of the squared distance.
    Subjects without a slot, and frames before a slot's birth, do not count.
    """
    counts = (slots >= 0)[..., None] & own_entries(held.filled, slots)
    away = (own_entries(held.position, slots) - position).norm(dim=-1) / distance
    drift = (own_entries(held.velocity, slots) - velocity).norm(dim=-1) * HORIZON_FRAMES / distance
    spread = (own_entries(held.variance, slots) / distance**2).clamp(min=LEAST_VARIANCE)
    likelihood = 0.5 * away.clamp(max=1.0) ** 2 / spread + 1.5 * spread.log()
    each = _huber(away, PLACE_BEND) + _huber(drift, VELOCITY_BEND) + UNCERTAINTY_WEIGHT * likelihood
    return mean_where(each, counts)


def longest_absence(seen: Bool[Tensor, "b s f"]) -> Pairs:
    """Find for each subject the two frames around its longest absence; of one never hidden, first and last."""
    frames = torch.arange(seen.shape[2], device=seen.device).expand(seen.shape)
    marked = torch.where(seen, frames, -1)
    earlier = torch.cat((torch.full_like(marked[..., :1], -1), marked.cummax(dim=2).values[..., :-1]), dim=2)
    gap = torch.where(seen & (earlier >= 0), frames - earlier, 0)
    after = gap.argmax(dim=2)
    before = earlier.gather(2, after[..., None])[..., 0]
    last = marked.amax(dim=2)
    first = torch.where(seen, frames, seen.shape[2]).amin(dim=2)
    hidden = gap.amax(dim=2) > 1
    before, after = torch.where(hidden, before, first), torch.where(hidden, after, last)
    valid = before < after
    return Pairs(torch.where(valid, before, 0), torch.where(valid, after, 0), valid)


def shown_identity(
    identity: Float[Tensor, "b f h w e"], shares: Float[Tensor, "b s f h w"], frame: Int[Tensor, "b s"]
) -> Float[Tensor, "b s e"]:
    """Return what the tokens that show a subject say together, in one frame, who it is: a unit vector."""
    batch = torch.arange(frame.shape[0], device=frame.device)[:, None]
    subject = torch.arange(frame.shape[1], device=frame.device)
    weights = shares[batch, subject, frame]  # [b, s, h, w]
    return normalize((identity[batch, frame].float() * weights[..., None]).sum(dim=(2, 3)), dim=-1, eps=1e-6)


def identity_loss(
    before: Float[Tensor, "b s e"],
    after: Float[Tensor, "b s e"],
    valid: Bool[Tensor, "b s"],
    kind: Int[Tensor, "b s"],
) -> Float[Tensor, " b"]:
    """Return the contrast (InfoNCE, both ways) between a subject before it left and after its return, nats.

    The others are all other subjects of the batch at hand that do not look alike (``kind``): a batch in parts, or of
    several processes, has fewer. 0 for a sample with no such pair, or without others.

    Source: van den Oord et al., arXiv 1807.03748, eq. 4.
    """
    likeness = before.flatten(0, 1).float() @ after.flatten(0, 1).float().T / TEMPERATURE
    there, kinds = valid.flatten(), kind.flatten()
    itself = torch.eye(len(there), dtype=torch.bool, device=there.device)
    rivals = ~itself & there & there[:, None] & (kinds != kinds[:, None])
    likeness = likeness.masked_fill(~(rivals | itself), -torch.inf)
    own = torch.arange(len(there), device=there.device)
    each = (
        cross_entropy(likeness, own, reduction="none") + cross_entropy(likeness.T, own, reduction="none")
    ) / 2
    return mean_where(each.view_as(valid), valid)


def background_loss(
    rebuilt: Float[Tensor, "b t p d"], true: Float[Tensor, "b t p d"], weight: Float[Tensor, "b t p"]
) -> Float[Tensor, " b"]:
    """Return the squared error of rebuilt tokens as a share of that of the sample's own mean token: 1 is the baseline.

    ``weight``: how much a token counts (how static it is, and how well what is retrieved covers its ray).
    """
    weight = weight.float()[..., None]
    total = weight.sum(dim=(1, 2), keepdim=True).clamp(min=1e-6)
    mean = (true.float() * weight).sum(dim=(1, 2), keepdim=True) / total
    baseline = ((true.float() - mean) ** 2 * weight).flatten(1).sum(dim=1)
    error = ((rebuilt.float() - true.float()) ** 2 * weight).flatten(1).sum(dim=1)
    return torch.where(baseline > 0, error / baseline.clamp(min=1e-6), torch.zeros_like(error))


def _huber(error: Tensor, bend: float) -> Tensor:
    """½·e²/bend below ``bend``, e − bend/2 above."""
    return smooth_l1_loss(error, torch.zeros_like(error), beta=bend, reduction="none")
