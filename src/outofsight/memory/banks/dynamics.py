"""How subjects move unseen: constant velocity to begin with, turning and stopping as it is learned.

Over a span of t video frames a subject's velocity turns by ω·t about the vertical and shrinks by e^(−r·t); its path is
the exact integral of that. Both are constant within one span and chosen anew for the next.
"""

from typing import NamedTuple

import torch
from jaxtyping import Bool, Float
from torch import Tensor, nn

from outofsight.memory.banks.state import Tracks
from outofsight.nn.precision import full_precision

UP = (0.0, -1.0, 0.0)
"""The vertical in the anchor frame of a level camera (OpenCV axes: y is down)."""

FASTEST_STOP, FASTEST_START = 0.1, 0.005
"""Bounds of the learned rate r, per video frame: speed halves within 7 frames at most, doubles within 139 at least."""

FASTEST_TURN = 0.15
"""Measured turn rates are cut to this, radians a video frame, before a subject goes on by them."""

ACCELERATION = 1e-4
"""Variance that velocity gains in a video frame along an axis, (m/frame)², before anything is learned."""

NOISE_OCTAVES = 4.0
"""Learned factors of ``ACCELERATION`` lie within e^±4."""

LARGEST_VARIANCE = 1e4
"""No position is less certain than ±100 m: a bound for endless worlds."""

FASTEST_M = 10.0
"""Nobody goes faster, metres a video frame: a learned growth of speed would have no end for one hidden long enough."""

NUM_MOTION_FEATURES = 4
HIDDEN_WIDTH = 32


class PredictedSubjects(NamedTuple):
    """Where the tracker's subjects will be at t coming times. ``variance``: of the position along an axis, m²."""

    position: Float[Tensor, "b t s 3"]
    velocity: Float[Tensor, "b t s 3"]
    variance: Float[Tensor, "b t s"]
    filled: Bool[Tensor, "b s"]


class Motion(NamedTuple):
    """How each subject goes on: ``decay`` r and ``turn`` ω, per video frame; ``noise``: times ``ACCELERATION``."""

    decay: Float[Tensor, "b s"]
    turn: Float[Tensor, "b s"]
    noise: Float[Tensor, "b s"]


class SubjectDynamics(nn.Module):
    """Move subjects on without seeing them.

    A small network says, from speed, its deviation, measured turn rate, time unseen and identity, how fast a subject
    stops, which share of its measured turn it goes on with, and how uncertain its speed becomes. It begins at zero:
    constant velocity, exactly. A subject that was not seen to turn does not turn; a mirrored world moves as the mirror
    image.
    """

    def __init__(self, identity_width: int) -> None:
        super().__init__()
        self.inner = nn.Linear(NUM_MOTION_FEATURES + identity_width, HIDDEN_WIDTH)
        self.outer = nn.Linear(HIDDEN_WIDTH, 3)
        nn.init.zeros_(self.outer.weight)
        nn.init.zeros_(self.outer.bias)

    def motion(self, tracks: Tracks, unseen: Float[Tensor, "b s"]) -> Motion:
        """Say how each subject goes on that was last seen ``unseen`` video frames ago."""
        turn_rate = tracks.turn_rate.clamp(-FASTEST_TURN, FASTEST_TURN)
        motion = (
            length(tracks.velocity) * 10,
            (tracks.covariance[..., 2].clamp(min=0) + 1e-6).sqrt() * 10,
            turn_rate.abs() * 10,
            unseen.clamp(min=0).log1p() / 4,
        )
        features = torch.cat((torch.stack(motion, dim=-1), tracks.identity), dim=-1).float()
        stop, turn, noise = self.outer(nn.functional.silu(self.inner(features))).tanh().unbind(dim=-1)
        bound = torch.where(stop > 0, FASTEST_STOP, FASTEST_START)
        return Motion(stop * bound, turn_rate * turn, (NOISE_OCTAVES * noise).exp())

    def advance(self, tracks: Tracks, now: Float[Tensor, " b"], elapsed: Float[Tensor, " b"]) -> Tracks:
        """Return the subjects ``elapsed`` video frames (≥ 0) after the time ``now`` that their state is of.

        Empty slots stay as they are. Nothing but position, velocity and covariance changes.
        """
        with full_precision(tracks.position.device):
            motion = self.motion(tracks, now[:, None] - tracks.last_seen)
            span = elapsed.float()[:, None].expand_as(motion.decay)
            move, velocity = moved(tracks.velocity, motion.decay, motion.turn, span)
            velocity = velocity * (FASTEST_M / length(velocity).clamp(min=FASTEST_M))[..., None]
            covariance = grown(tracks.covariance, ACCELERATION * motion.noise, span)
            taken = tracks.taken[..., None]
            return tracks._replace(
                position=torch.where(taken, tracks.position + move, tracks.position),
                velocity=torch.where(taken, velocity, tracks.velocity),
                covariance=torch.where(taken, covariance, tracks.covariance),
            )

    def predict(
        self, tracks: Tracks, now: Float[Tensor, " b"], times: Float[Tensor, "b t"]
    ) -> PredictedSubjects:
        """Return where subjects will be at ``times`` ≥ ``now`` in rising order, advanced from each to the next."""
        steps = []
        for index in range(times.shape[1]):
            tracks = self.advance(tracks, now, times[:, index] - now)
            now = times[:, index]
            steps.append((tracks.position, tracks.velocity, tracks.covariance[..., 0]))
        position, velocity, variance = (torch.stack(part, dim=1) for part in zip(*steps, strict=True))
        return PredictedSubjects(position, velocity, variance, tracks.filled)


def length(vectors: Float[Tensor, "*n 3"]) -> Float[Tensor, "*n"]:
    """Return the length of vectors, with a gradient of 0 where it is 0."""
    squared = (vectors**2).sum(dim=-1)
    return torch.where(squared > 0, squared.clamp(min=1e-20).sqrt(), torch.zeros_like(squared))


def moved(
    velocity: Float[Tensor, "b s 3"],
    decay: Float[Tensor, "b s"],
    turn: Float[Tensor, "b s"],
    span: Float[Tensor, "b s"],
) -> tuple[Float[Tensor, "b s 3"], Float[Tensor, "b s 3"]]:
    """Return way gone and velocity after ``span`` frames of turning by ``turn`` and shrinking by ``decay`` a frame.

    With z = −decay + i·turn, horizontal velocity is multiplied by e^(z·span) and the shift is (e^(z·span) − 1)/z of it;
    vertical velocity only shrinks. Without decay and turn the shift is span · velocity to the last bit.
    """
    axis = velocity.new_tensor(UP)
    vertical = (velocity * axis).sum(dim=-1, keepdim=True) * axis
    level = velocity - vertical
    across = torch.linalg.cross(axis.expand_as(level), level)
    factor, shift = _flow(decay, turn, span)
    straight, straight_shift = _flow(decay, torch.zeros_like(turn), span)
    end = velocity + (factor[0] - 1) * level + factor[1] * across + (straight[0] - 1) * vertical
    gone = span[..., None] * velocity + (shift[0] - span[..., None]) * level + shift[1] * across
    return gone + (straight_shift[0] - span[..., None]) * vertical, end


def _flow(decay: Tensor, turn: Tensor, span: Tensor) -> tuple[tuple[Tensor, Tensor], tuple[Tensor, Tensor]]:
    """Return e^(z·span) and (e^(z·span) − 1)/z as (real, imaginary) [b, s, 1], by a series where z·span is small."""
    real, imaginary = -decay * span, turn * span
    size = real.exp()
    factor = size * imaginary.cos(), size * imaginary.sin()
    small = real**2 + imaginary**2 < 1e-4
    squared = torch.where(small, torch.ones_like(real), real**2 + imaginary**2)
    exact = (
        ((factor[0] - 1) * real + factor[1] * imaginary) / squared,
        (factor[1] * real - (factor[0] - 1) * imaginary) / squared,
    )
    series = 1 + real / 2 + (real**2 - imaginary**2) / 6, imaginary / 2 + real * imaginary / 3
    shift = tuple(torch.where(small, near, far) * span for near, far in zip(series, exact, strict=True))
    return (factor[0][..., None], factor[1][..., None]), (shift[0][..., None], shift[1][..., None])


def grown(
    covariance: Float[Tensor, "b s 3"], noise: Float[Tensor, "b s"], span: Float[Tensor, "b s"]
) -> Float[Tensor, "b s 3"]:
    """Return the covariance after ``span`` frames in which velocity wanders by variance ``noise`` a frame.

    Where the place's variance has reached ``LARGEST_VARIANCE``, its covariance with velocity must not grow on: the next
    sighting would take more from the variance of velocity than there is. It is kept at what white acceleration makes,
    covariance² ≤ ¾ · both variances.

    Source: the Kalman filter's prediction for a constant velocity under white acceleration.
    """
    place, mixed, speed = covariance.unbind(dim=-1)
    later = (
        place + 2 * span * mixed + span**2 * speed + noise * span**3 / 3,
        mixed + span * speed + noise * span**2 / 2,
        speed + noise * span,
    )
    place, mixed, speed = torch.stack(later, dim=-1).clamp(max=LARGEST_VARIANCE).unbind(dim=-1)
    most = (0.75 * LARGEST_VARIANCE * speed.clamp(min=1e-12)).sqrt()
    mixed = torch.where(place >= LARGEST_VARIANCE, torch.minimum(mixed, most), mixed)
    return torch.stack((place, mixed, speed), dim=-1)
