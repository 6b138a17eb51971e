"""The tracker: subjects whose identity is kept and who go on moving unseen.

For every clean latent frame, in order: all subjects move on to its time; slots compete for its dynamic tokens; a
subject that is seen is measured (Kalman filter) and merged (gated); one that is not keeps identity, tokens and box to
the last bit; tokens that no slot explains give birth; doubles become one; those who should be there and are not, fade.
"""

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor, nn
from torch.nn.functional import normalize, one_hot

from outofsight.memory.banks.dynamics import UP, PredictedSubjects, SubjectDynamics, length
from outofsight.memory.banks.scene_reader import project_points
from outofsight.memory.banks.sighting import (
    FrameSeen,
    Sighting,
    SlotAttention,
    TokenFacts,
    lost_chance,
    sight,
    together,
    token_facts,
    with_whole_parts,
)
from outofsight.memory.banks.state import BankSettings, Tracks, by_slot, entries_at, first_of, surely_none
from outofsight.nn.precision import full_precision

SEEN_AT = 0.3
"""A frame shows a subject that has more than this of a token; half a token would lose both of two doubles."""

SURPRISE = 4.0
"""Standard deviations (along an axis) beyond which a sighting contradicts what was believed; 1 in 1,000 by chance."""

BIRTHS_PER_FRAME = 2
"""So many subjects may be born in one latent frame; more wait for the next."""

TRUST_GROWTH = 0.3
"""Share of its missing confidence that a subject gains in a frame that shows it fully."""

TURN_RATE_SHARE = 0.3
"""Weight of a newly measured turn rate, where velocity is well known."""


class Tracker(nn.Module):
    """Follow subjects, seen and unseen.

    Learned: ``dynamics`` (how the unseen move), two numbers of ``attention``, and ``log_noise``, by which noise is
    made larger than it is read (it begins at 0: as read): a reader's errors in one frame and the next are alike, and a
    filter that takes them for independent must believe each less. All else is stated rule.
    """

    def __init__(self, settings: BankSettings) -> None:
        super().__init__()
        self.settings = settings
        self.dynamics = SubjectDynamics(settings.identity_width)
        self.attention = SlotAttention()
        self.log_noise = nn.Parameter(torch.zeros(()))

    def update(
        self, tracks: Tracks, births: Int[Tensor, " b"], frame: FrameSeen, before: Float[Tensor, " b"]
    ) -> tuple[Tracks, Int[Tensor, " b"], Float[Tensor, "b s h w"]]:
        """Return the subjects at the frame's time, births so far, and which share of each token shows each subject.

        ``before``: the time that ``tracks`` are of; undefined while all slots are empty.
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
                visibility=torch.zeros_like(tracks.visibility), confidence=faded(tracks, frame, elapsed)
            )
            tracks = where_slot(seen, updated, unseen)
            same = together(frame.parts, facts.dynamic)
            shares, unclaimed = with_whole_parts(shares * seen[..., None], unclaimed, same)
            for _ in range(BIRTHS_PER_FRAME):
                if surely_none(unclaimed > BORN_AT):
                    break
                tracks, births, shares, unclaimed = self._born(
                    tracks, births, shares, unclaimed, facts, frame, same
                )
            tracks, duplicates = merged_duplicates(tracks, self.settings.subject_rate)
            shares = _joined(shares, duplicates)
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
        """Follow how fast the direction of motion turns about the vertical, as far as speeds exceed their deviation."""
        axis = later.velocity.new_tensor(UP)
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
        same: Bool[Tensor, "b n n"],
    ) -> tuple[Tracks, Int[Tensor, " b"], Tensor, Tensor]:
        """Let the token that is least explained give birth. All that fit it by place and identity are measured; they,
        and all of the connected mask that it shows, are the newborn's."""
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
        mask = (same & picked.bool().mT).any(dim=2)
        own = torch.where(mask, unclaimed, claimed)
        shares = torch.where(chosen[..., None], own[:, None], shares)
        return tracks, births + wanted, shares, unclaimed - own * wanted[:, None]


def filtered(
    tracks: Tracks, measured: Float[Tensor, "b s 3"], variance: Float[Tensor, "b s"]
) -> tuple[Float[Tensor, "b s 3"], Float[Tensor, "b s 3"], Float[Tensor, "b s 3"]]:
    """Return position, velocity and covariance after a place was measured with a variance along each axis.

    Who is seen farther off than ``SURPRISE`` standard deviations did not move as predicted: its variance grows until
    it is just so far off, and that of its speed towards a newborn's, by the share of the variance that is new.

    Source: the Kalman filter's update, one and the same for all three axes.
    """
    surprise = measured - tracks.position
    place, mixed, speed = tracks.covariance.unbind(dim=-1)
    total = (place + variance).clamp(min=1e-12)
    innovation = torch.maximum(total, (surprise**2).sum(dim=-1).detach() / SURPRISE**2)
    place, speed = place + innovation - total, speed + FIRST_SPEED**2 * (1 - total / innovation)
    gain, speed_gain = place / innovation, mixed / innovation
    covariance = torch.stack(((1 - gain) * place, (1 - gain) * mixed, speed - speed_gain * mixed), dim=-1)
    return (
        tracks.position + gain[..., None] * surprise,
        tracks.velocity + speed_gain[..., None] * surprise,
        covariance,
    )


def _joined(shares: Float[Tensor, "b s n"], duplicates: Tensor) -> Float[Tensor, "b s n"]:
    """Give the elder of duplicates the younger's tokens."""
    moved = (duplicates[..., None] * shares[:, None]).sum(dim=2)
    return (shares + moved) * ~duplicates.any(dim=1)[..., None]


BORN_AT = 0.5
"""A token that shows a subject that has no slot yet with more than this gives birth to one."""

FIRST_CONFIDENCE = 0.5
"""Of a newborn subject that is fully seen, else in proportion. Who falls below it may lose the slot to a newborn."""

CONFIRMED_AT = 0.6
"""Confidence at which a tentative subject comes to count: in its second latent frame if both show it fully, later if
they show it less. A reader's errors seldom last so long, nor are they as sure."""

TENTATIVE_FRAMES = 12.0
"""A tentative subject that was not seen for more than so many video frames goes, in view or out of it."""

LONG_LOST_FRAMES = 240.0
"""A subject that was not seen for more than so many video frames may lose its slot to a newborn one."""

DEAD_AT = 0.1
"""Confidence below which a subject is forgotten."""

HALF_LIFE_FRAMES = 24.0
"""A subject that should be in view and is not seen loses half its confidence in so many video frames."""

FIRST_SPEED = 0.1
"""Standard deviation of a newborn subject's velocity along an axis, metres a video frame."""

SAME_WITHIN = 2.0
"""Two slots are one subject only within so many standard deviations of each other's place ..."""

LARGEST_STD_M = 1.0
"""... counting at most this much for the uncertainty of each (also when it is asked who should be in view) ..."""

ALIKE = 0.8
"""... and if the cosine of their identities is at least this."""


def place_for_one_more(
    tracks: Tracks, time: Float[Tensor, " b"]
) -> tuple[Int[Tensor, " b"], Bool[Tensor, " b"]]:
    """Return the slot that a newborn subject gets, and whether there is one.

    The first empty slot; else, of those neither pinned nor seen in this frame, that of the least confident subject
    below ``FIRST_CONFIDENCE``; else that of the one unseen for longest, if for more than ``LONG_LOST_FRAMES``.
    """
    unseen = time[:, None] - tracks.last_seen
    may_go = ~tracks.pinned & (unseen > 0)
    empty = ~tracks.taken
    unsure = may_go & (tracks.confidence.detach() < FIRST_CONFIDENCE)
    lost = may_go & (unseen > LONG_LOST_FRAMES)
    slot = torch.where(unsure.any(dim=1), _lowest(tracks.confidence.detach(), unsure), _lowest(-unseen, lost))
    slot = torch.where(empty.any(dim=1), first_of(empty), slot)
    return slot, (empty | unsure | lost).any(dim=1)


def _lowest(measure: Float[Tensor, "b s"], candidates: Bool[Tensor, "b s"]) -> Int[Tensor, " b"]:
    """Return the first of the candidates with the lowest measure; undefined where there is none."""
    lowest = measure.masked_fill(~candidates, torch.inf).amin(dim=1, keepdim=True)
    return first_of(candidates & (measure <= lowest))


def with_newborn(
    tracks: Tracks, sighting: Sighting, chosen: Bool[Tensor, "b s"], number: Int[Tensor, " b"], time: Tensor
) -> Tracks:
    """Put what was sighted (one subject of each clip) into the chosen slots (at most one of each clip): tentative,
    at rest."""
    one = torch.ones_like(sighting.visibility)
    newborn = Tracks(
        tokens=sighting.content,
        identity=sighting.identity,
        position=sighting.position,
        velocity=torch.zeros_like(sighting.position),
        covariance=torch.stack((sighting.variance, 0 * one, FIRST_SPEED**2 * one), dim=-1),
        turn_rate=0 * one,
        box=sighting.box,
        visibility=sighting.visibility,
        confidence=FIRST_CONFIDENCE * sighting.visibility,
        last_seen=time[:, None] * one,
        born=time[:, None] * one,
        number=number[:, None],
        filled=one < 0,
        tentative=one > 0,
        pinned=one < 0,
    )
    return where_slot(chosen, newborn, tracks)


def where_slot(chosen: Bool[Tensor, "b s"], new: Tracks, old: Tracks) -> Tracks:
    """Take the chosen slots from ``new`` (s or 1 of each clip), the others from ``old``, to the last bit."""
    pairs = zip(new, old, strict=True)
    return Tracks(*(torch.where(by_slot(chosen, then), now, then) for now, then in pairs))


def faded(tracks: Tracks, frame: FrameSeen, elapsed: Float[Tensor, " b"]) -> Float[Tensor, "b s"]:
    """Return the confidence of subjects that this frame does not show.

    It halves in ``HALF_LIFE_FRAMES`` divided by the chance that the subject's middle is in view. Where the predicted
    place is out of view that chance is 0: subjects live on for ever. What stands behind something counts as in view.
    The chance counts ``LARGEST_STD_M`` of uncertainty at most, so that no subject lives on by being lost in view.
    """
    height, width = frame.size
    seen = project_points(tracks.position, frame.pose, frame.size, frame.intrinsics)
    column = seen.columns + tracks.box[..., 0] * seen.tokens_per_metre
    row = seen.rows + tracks.box[..., 1] * seen.tokens_per_metre
    std = tracks.covariance[..., 0].detach().clamp(0, LARGEST_STD_M**2).sqrt()
    std = std * seen.tokens_per_metre + 0.25
    chance = _within(column, width, std) * _within(row, height, std) * seen.in_front
    return tracks.confidence * 2 ** (-chance.detach() * elapsed[:, None] / HALF_LIFE_FRAMES)


def _within(place: Tensor, count: int, std: Tensor) -> Tensor:
    """Return the chance that a place within the picture is truly there; 0 for one beyond its edges.

    The place is taken to be normally distributed, with the logistic curve for the normal one.
    """
    low, high = place + 0.5, count - 0.5 - place
    chance: Tensor = (1.7 * low / std).sigmoid() + (1.7 * high / std).sigmoid() - 1
    return torch.where((low >= 0) & (high >= 0), chance.clamp(min=0), torch.zeros_like(chance))


def merged_duplicates(tracks: Tracks, rate: float) -> tuple[Tracks, Bool[Tensor, "b s s"]]:
    """Make one subject of two slots that hold the same; at most one pair of each clip, the closest.

    They are the same within ``SAME_WITHIN`` standard deviations of their places and with identities at least
    ``ALIKE``, if one of them at least is seen: two that pass while both are hidden stay two, as do two that are both
    pinned. The number of the senior goes on (the pinned; else the one that counts; else the elder), with place, motion,
    box, visibility and time of the one whose place is better known; identity and tokens are merged,
    senior + rate · (junior − senior); confidence is the larger.

    Also tells which slot (last axis) went into which.
    """
    duplicates = _duplicates(tracks)
    if surely_none(duplicates):
        return tracks, duplicates
    senior, junior = duplicates.any(dim=2), duplicates.any(dim=1)
    itself = torch.arange(duplicates.shape[1], device=duplicates.device)
    partner = torch.where(senior, duplicates.int().argmax(dim=2), itself)
    other = Tracks(*(entries_at(part, partner) for part in tracks))
    better = where_slot(other.covariance[..., 0] < tracks.covariance[..., 0], other, tracks)
    identity = tracks.identity + rate * (other.identity - tracks.identity)
    joined = better._replace(
        tokens=tracks.tokens + rate * (other.tokens - tracks.tokens),
        identity=normalize(identity, dim=-1, eps=1e-6),
        confidence=torch.maximum(tracks.confidence, other.confidence),
        last_seen=torch.maximum(tracks.last_seen, other.last_seen),
        born=tracks.born,
        number=tracks.number,
        filled=tracks.filled,
        tentative=tracks.tentative,
        pinned=tracks.pinned,
    )
    return where_slot(junior, emptied(tracks), where_slot(senior, joined, tracks)), duplicates


def _duplicates(tracks: Tracks) -> Bool[Tensor, "b s s"]:
    """Tell the closest pair of each clip that is one subject: [senior, junior]."""
    place, identity = tracks.position.detach(), tracks.identity.detach()
    variance = tracks.covariance[..., 0].detach().clamp(max=LARGEST_STD_M**2)
    away2 = ((place[:, :, None] - place[:, None]) ** 2).sum(dim=-1)
    away2 = away2 / (variance[:, :, None] + variance[:, None]).clamp(min=1e-6)
    alike = (identity[:, :, None] * identity[:, None]).sum(dim=-1) >= ALIKE
    seen = tracks.visibility.detach() > 0
    both = (tracks.taken[:, :, None] & tracks.taken[:, None]) & (seen[:, :, None] | seen[:, None])
    both = both & ~(tracks.pinned[:, :, None] & tracks.pinned[:, None])
    same = both & _outranks(tracks) & alike & (away2 <= SAME_WITHIN**2)
    cost = torch.where(same, away2, torch.inf).flatten(1)
    least, pair = cost.min(dim=1)
    closest = one_hot(pair, cost.shape[1]).bool() & (least < torch.inf)[:, None]
    return closest.unflatten(1, place.shape[1:2] * 2)


def _outranks(tracks: Tracks) -> Bool[Tensor, "b s s"]:
    """Tell whose number goes on if the second is the same: pinned before others, then counted, then elder."""
    elder = tracks.number[:, :, None] < tracks.number[:, None]
    for above in (tracks.filled, tracks.pinned):
        elder = torch.where(above[:, :, None] == above[:, None], elder, above[:, :, None])
    return elder


def emptied(tracks: Tracks) -> Tracks:
    """Return slots that hold nothing."""
    return Tracks(*(torch.zeros_like(part) for part in tracks))


def confirmed(tracks: Tracks) -> Tracks:
    """Let tentative subjects count whose confidence has reached ``CONFIRMED_AT``; they do ever after."""
    sure = tracks.tentative & (tracks.confidence.detach() >= CONFIRMED_AT)
    return tracks._replace(filled=tracks.filled | sure, tentative=tracks.tentative & ~sure)


def without_dead(tracks: Tracks, time: Float[Tensor, " b"]) -> Tracks:
    """Empty the slots of subjects whose confidence is below ``DEAD_AT``, and of tentative ones that were not seen for
    more than ``TENTATIVE_FRAMES``. The pinned never die."""
    forlorn = tracks.tentative & (time[:, None] - tracks.last_seen > TENTATIVE_FRAMES)
    dead = tracks.taken & ~tracks.pinned & ((tracks.confidence.detach() < DEAD_AT) | forlorn)
    return where_slot(dead, emptied(tracks), tracks)
