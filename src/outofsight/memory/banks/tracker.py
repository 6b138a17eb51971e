"""The tracker: subjects whose identity is kept and who go on moving while nobody sees them.

For every clean latent frame, in order: all subjects move on to its time; slots compete for its dynamic tokens; a
subject that is seen is measured (Kalman filter) and merged (gated); one that is not keeps identity, tokens and box to
the last bit; tokens that nobody explains give birth; doubles become one; those who should be there and are not, fade.
"""

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn
from torch.nn.functional import normalize, one_hot

from outofsight.memory.banks.dynamics import UP, PredictedSubjects, SubjectDynamics, length
from outofsight.memory.banks.lifecycle import (
    BORN_AT,
    FIRST_SPEED,
    confirmed,
    faded,
    merged_twins,
    place_for_one_more,
    surely_none,
    where_slot,
    with_newborn,
    without_dead,
)
from outofsight.memory.banks.sighting import FrameSeen, Sighting, sight, token_facts
from outofsight.memory.banks.slot_attention import SlotAttention, TokenFacts, lost_chance
from outofsight.memory.banks.state import BankSettings, Tracks
from outofsight.nn.precision import full_precision

SEEN_AT = 0.3
"""A frame shows a subject that has more than this of a token; half a token would lose both of two doubles."""

SURPRISE = 4.0
"""Standard deviations (along an axis) beyond which a sighting contradicts what was believed; 1 in 1,000 by chance."""

BIRTHS_PER_FRAME = 2
"""So many subjects may be born in one latent frame; more wait for the next."""

TRUST_GROWTH = 0.3
"""Share of its doubt that a subject loses in a frame that shows it fully."""

TURN_RATE_SHARE = 0.3
"""Weight of a newly measured turn rate, where velocity is well known."""


class Tracker(nn.Module):
    """Follow subjects, seen and unseen. ``up``: the vertical in the anchor frame.

    Learned: ``dynamics`` (how the unseen move), two numbers of ``attention``, and ``log_noise``, by which noise is
    made larger than told (it begins at 0: as told): a reader's errors in one frame and the next are alike, and a
    filter that takes them for independent must believe each less. All else is stated rule.
    """

    def __init__(self, settings: BankSettings, up: tuple[float, float, float] = UP) -> None:
        super().__init__()
        self.settings = settings
        self.dynamics = SubjectDynamics(settings.identity_width, up)
        self.attention = SlotAttention()
        self.log_noise = nn.Parameter(torch.zeros(()))

    def observe(
        self, tracks: Tracks, births: Int[Tensor, " b"], frame: FrameSeen, before: Float[Tensor, " b"]
    ) -> tuple[Tracks, Int[Tensor, " b"], Float[Tensor, "b s h w"]]:
        """Return the subjects at the frame's time, births so far, and which share of each token shows each subject.

        ``before``: the time that ``tracks`` are of; of no meaning while all slots are empty.
        """
        with full_precision(frame.tokens.device):
            elapsed = (frame.time - before).clamp(min=0).float()
            earlier, tracks = tracks, self.dynamics.advance(tracks, before, elapsed)
            facts = token_facts(frame)
            facts = facts._replace(noise=facts.noise * self.log_noise.exp())
            lost = lost_chance(frame.time[:, None] - tracks.last_seen)
            shares, unclaimed = self.attention(facts, tracks, lost)
            sighting = sight(shares, facts, frame, self.settings.subject_grid)
            seen = tracks.taken & (sighting.visibility.detach() > SEEN_AT)
            updated = self._updated(tracks, sighting, frame.time)
            updated = updated._replace(turn_rate=self._turn_rate(earlier, updated, elapsed))
            unseen = tracks._replace(
                visibility=torch.zeros_like(tracks.visibility),
                confidence=faded(tracks, frame, elapsed),
            )
            tracks = where_slot(seen, updated, unseen)
            shares = shares * seen[..., None]
            for _ in range(BIRTHS_PER_FRAME):
                if surely_none(unclaimed > BORN_AT):
                    break
                tracks, births, shares, unclaimed = self._born(
                    tracks, births, shares, unclaimed, facts, frame
                )
            tracks, twins = merged_twins(tracks, self.settings.subject_rate)
            shares = _joined(shares, twins)
            return without_dead(confirmed(tracks), frame.time), births, shares.unflatten(-1, frame.size)

    def predict(
        self, tracks: Tracks, now: Float[Tensor, " b"], times: Float[Tensor, "b t"]
    ) -> PredictedSubjects:
        """Return where subjects will be at ``times``, rising and not before ``now``, unless they are seen till then."""
        return self.dynamics.predict(tracks, now, times)

    def _updated(self, tracks: Tracks, seen: Sighting, time: Float[Tensor, " b"]) -> Tracks:
        """Measure and merge: m' = m + α·g·(c − m) with α = ``subject_rate`` and g = how clearly it is seen."""
        position, velocity, covariance = filtered(tracks, seen.position, seen.variance)
        rate = (self.settings.subject_rate * seen.gate)[..., None]
        identity = normalize(tracks.identity + rate * (seen.identity - tracks.identity), dim=-1, eps=1e-6)
        token_rate = rate[..., None] * seen.inside[..., None]
        narrower = seen.cut & (seen.box[..., 2] < tracks.box[..., 2]).detach()
        box_rate = torch.where(narrower[..., None], torch.zeros_like(rate), rate)
        return tracks._replace(
            tokens=tracks.tokens + token_rate * (seen.content - tracks.tokens),
            identity=identity,
            position=position,
            velocity=velocity,
            covariance=covariance,
            box=tracks.box + box_rate * (seen.box - tracks.box),
            visibility=seen.visibility,
            confidence=tracks.confidence + TRUST_GROWTH * seen.visibility * (1 - tracks.confidence),
            last_seen=time[:, None].expand_as(tracks.last_seen),
        )

    def _turn_rate(
        self, earlier: Tracks, later: Tracks, elapsed: Float[Tensor, " b"]
    ) -> Float[Tensor, "b s"]:
        """Follow how fast the direction of motion turns about the vertical, as far as speeds are above their doubt."""
        axis = later.velocity.new_tensor(self.dynamics.up)
        first, second = (
            tracks.velocity - (tracks.velocity * axis).sum(dim=-1, keepdim=True) * axis
            for tracks in (earlier, later)
        )
        across = (torch.linalg.cross(first, second) * axis).sum(dim=-1)
        along = (first * second).sum(dim=-1)
        moving = length(first).detach() * length(second).detach() > 1e-8
        angle = torch.atan2(torch.where(moving, across, 0.0), torch.where(moving, along, 1.0))
        measured = angle / elapsed.clamp(min=1)[:, None]
        speed2 = (first**2).sum(dim=-1)
        trust = TURN_RATE_SHARE * speed2 / (speed2 + 4 * earlier.covariance[..., 2] + 1e-8)
        return later.turn_rate + trust * (measured - later.turn_rate)

    def _born(
        self,
        tracks: Tracks,
        births: Int[Tensor, " b"],
        shares: Float[Tensor, "b s n"],
        unclaimed: Float[Tensor, "b n"],
        facts: TokenFacts,
        frame: FrameSeen,
    ) -> tuple[Tracks, Int[Tensor, " b"], Tensor, Tensor]:
        """Let the token that is least explained give birth; all that fit it by place and identity are the newborn's."""
        strongest, token = unclaimed.detach().max(dim=1)
        picked = one_hot(token, unclaimed.shape[1])[..., None].to(unclaimed)
        place = (facts.position * picked).sum(dim=1, keepdim=True)
        identity = (facts.identity * picked).sum(dim=1, keepdim=True)
        none = torch.zeros_like(place[..., 0])
        fits = self.attention.logits(facts, place, none, identity, none)[:, 0].sigmoid()
        claimed = unclaimed * fits
        slot, possible = place_for_one_more(tracks, frame.time)
        wanted = (strongest > BORN_AT) & possible
        chosen = one_hot(slot, tracks.filled.shape[1]).bool() & wanted[:, None]
        sighting = sight(claimed[:, None], facts, frame, self.settings.subject_grid)
        tracks = with_newborn(tracks, sighting, chosen, births, frame.time.float())
        shares = torch.where(chosen[..., None], claimed[:, None], shares)
        return tracks, births + wanted, shares, unclaimed - claimed * wanted[:, None]


def filtered(
    tracks: Tracks, told: Float[Tensor, "b s 3"], variance: Float[Tensor, "b s"]
) -> tuple[Float[Tensor, "b s 3"], Float[Tensor, "b s 3"], Float[Tensor, "b s 3"]]:
    """Return position, velocity and covariance after a place was told with a variance along each axis.

    Who is seen farther off than ``SURPRISE`` standard deviations did not move as predicted: its place is doubted until
    it is just so far off, and its speed as a newborn's, by the share of the doubt that is new.

    Source: the Kalman filter's update, one and the same for all three axes.
    """
    surprise = told - tracks.position
    place, mixed, speed = tracks.covariance.unbind(dim=-1)
    total = (place + variance).clamp(min=1e-12)
    doubt = torch.maximum(total, (surprise**2).sum(dim=-1).detach() / SURPRISE**2)
    place, speed = place + doubt - total, speed + FIRST_SPEED**2 * (1 - total / doubt)
    gain, speed_gain = place / doubt, mixed / doubt
    covariance = torch.stack(((1 - gain) * place, (1 - gain) * mixed, speed - speed_gain * mixed), dim=-1)
    return (
        tracks.position + gain[..., None] * surprise,
        tracks.velocity + speed_gain[..., None] * surprise,
        covariance,
    )


def _joined(shares: Float[Tensor, "b s n"], twins: Tensor) -> Float[Tensor, "b s n"]:
    """Give the elder of twins the younger's tokens."""
    moved = (twins[..., None] * shares[:, None]).sum(dim=2)
    return (shares + moved) * ~twins.any(dim=1)[..., None]
