"""The 28 camera trajectories: there-and-back movements on a timeline, added to a starting pose.

A trajectory says how far each degree of freedom goes for an amount of 1; a ``CameraSpec`` says when (its keys),
how far in all (its amplitude) and from where. Yaw is positive to the left, pitch upwards, roll clockwise.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from math import radians
from types import MappingProxyType

import numpy as np
from numpy.typing import NDArray

from outofsight.errors import WorldError
from outofsight.worlds.spec import CameraSpec

EASE_SHARE = 0.2  # of each move is spent speeding up, and as much slowing down
PEAK_SPEED_FACTOR = 1 / (1 - EASE_SHARE)  # peak over mean speed of an eased move
FOLLOW_SHARE = 0.22  # follow_then_leave keeps its subject in view for this part of the clip
MAX_PITCH_RAD = radians(85)

Timeline = tuple[tuple[float, float], ...]
Series = NDArray[np.float64]

SWING = (0.0, 1.0, 0.0)  # away and back
TWICE = (0.0, 1.0, 0.0, 1.0, 0.0)  # away and back, two times
ACROSS = (0.0, 1.0, -1.0, 0.0)  # away to one side, over to the other, back
ROUND = (0.0, 1.0)  # all the way round
HOLD = (0.0, 0.0)


@dataclass(frozen=True, kw_only=True)
class CameraKind:
    """One trajectory. Angles in degrees and lengths in metres for an amount of 1; ``amounts`` of its timeline's knots.

    ``holds``: the share of the clip that it likes to wait while turned away; ``shake``: strength of a hand's tremor;
    ``orbit_deg``: the way round the pivot ahead, counter-clockwise from above, the view turning along with it.
    """

    name: str
    noun: str
    amounts: tuple[float, ...] = SWING
    yaw_deg: float = 0.0
    pitch_deg: float = 0.0
    forward_m: float = 0.0
    left_m: float = 0.0
    up_m: float = 0.0
    orbit_deg: float = 0.0
    holds: float = 0.0
    shake: float = 0.0
    follows: bool = False

    @property
    def turn_deg(self) -> float:
        """The largest change of view direction for an amount of 1."""
        return abs(self.yaw_deg + self.orbit_deg) + abs(self.pitch_deg)

    @property
    def travel_m(self) -> float:
        return max(abs(self.forward_m), abs(self.left_m), abs(self.up_m))


@dataclass(frozen=True, kw_only=True)
class CameraStart:
    """One starting position of a trajectory, relative to the stage: how near, how high, how far off its middle."""

    name: str
    distance_factor: float
    height_share: float  # of the scene's range of camera heights
    bearing_deg: float  # the stage's middle appears this far to the left of the picture's middle


_STARTS = (
    CameraStart(name="near", distance_factor=0.85, height_share=0.5, bearing_deg=0.0),
    CameraStart(name="far", distance_factor=1.25, height_share=0.6, bearing_deg=0.0),
    CameraStart(name="low", distance_factor=1.0, height_share=0.05, bearing_deg=4.0),
    CameraStart(name="high", distance_factor=1.1, height_share=0.95, bearing_deg=-4.0),
    CameraStart(name="left", distance_factor=1.0, height_share=0.4, bearing_deg=-12.0),
    CameraStart(name="right", distance_factor=1.0, height_share=0.4, bearing_deg=12.0),
)


def _kind(name: str, noun: str, amounts: tuple[float, ...] = SWING, **moves: float) -> CameraKind:
    return CameraKind(name=name, noun=noun, amounts=amounts, follows=name.startswith("follow"), **moves)


_TRAJECTORIES = (
    _kind("pan_left_right", "pans left and then right again", yaw_deg=92),
    _kind("pan_right_left", "pans right and then left again", yaw_deg=-92),
    _kind("pan_left_twice", "pans left and back, two times", TWICE, yaw_deg=66),
    _kind("pan_right_twice", "pans right and back, two times", TWICE, yaw_deg=-66),
    _kind("pan_left_hold", "pans left, rests there, and pans back", yaw_deg=82, holds=0.2),
    _kind("pan_right_hold", "pans right, rests there, and pans back", yaw_deg=-82, holds=0.2),
    _kind("sweep_left_across", "sweeps left, across to the right, and back", ACROSS, yaw_deg=62),
    _kind("sweep_right_across", "sweeps right, across to the left, and back", ACROSS, yaw_deg=-62),
    _kind("turn_left_round", "turns left all the way round", ROUND, yaw_deg=360),
    _kind("turn_right_round", "turns right all the way round", ROUND, yaw_deg=-360),
    _kind("tilt_up_down", "tilts up and down again", pitch_deg=62),
    _kind("tilt_down_up", "tilts down to the ground and up again", pitch_deg=-68),
    _kind("pan_left_tilt_up", "swings up to the left and back", yaw_deg=76, pitch_deg=20),
    _kind("pan_right_tilt_up", "swings up to the right and back", yaw_deg=-76, pitch_deg=20),
    _kind(
        "orbit_left_away", "circles to the left while looking away, and returns", orbit_deg=-38, yaw_deg=122
    ),
    _kind(
        "orbit_right_away", "circles to the right while looking away, and returns", orbit_deg=38, yaw_deg=-122
    ),
    _kind(
        "orbit_left_trail", "circles to the left, its view trailing, and returns", orbit_deg=-42, yaw_deg=-46
    ),
    _kind(
        "orbit_right_trail", "circles to the right, its view trailing, and returns", orbit_deg=42, yaw_deg=46
    ),
    _kind("truck_left_right", "moves sideways to the left and back", left_m=4.6, yaw_deg=44),
    _kind("truck_right_left", "moves sideways to the right and back", left_m=-4.6, yaw_deg=-44),
    _kind("dolly_past", "moves forward past the scene and backs up again", forward_m=4.2, yaw_deg=44),
    _kind("dolly_in_turn_left", "moves in while turning left, and returns", forward_m=2.0, yaw_deg=86),
    _kind("dolly_out_turn_right", "moves out while turning right, and returns", forward_m=-2.0, yaw_deg=-86),
    _kind("crane_up_down", "rises while looking up, and sinks again", up_m=2.4, pitch_deg=52),
    _kind("crane_up_turn", "rises while turning left, and sinks again", up_m=2.0, yaw_deg=80),
    _kind("handheld_pan", "is held by hand, looks away to the right and returns", yaw_deg=-84, shake=1.0),
    _kind("handheld_hold", "is held by hand and stays where it is", HOLD, shake=1.3),
    _kind("follow_then_leave", "follows {subject}, then looks away and returns", yaw_deg=86, shake=0.3),
)


def camera_trajectories() -> Mapping[str, CameraKind]:
    """Give the 28 trajectories by name, in a fixed order."""
    return MappingProxyType({kind.name: kind for kind in _TRAJECTORIES})


def camera_starts() -> Mapping[str, CameraStart]:
    """Give the starting positions that every trajectory can be begun from, by name."""
    return MappingProxyType({start.name: start for start in _STARTS})


def camera_kind(name: str) -> CameraKind:
    """Look a trajectory up. Raises ``WorldError`` naming the known ones."""
    for kind in _TRAJECTORIES:
        if kind.name == name:
            return kind
    raise WorldError(
        f"unknown camera trajectory {name!r}; known are {', '.join(kind.name for kind in _TRAJECTORIES)}"
    )


def ease(place: Series) -> Series:
    """Map [0, 1] to [0, 1] with even speed in the middle and soft ends; peak speed ``PEAK_SPEED_FACTOR``."""
    place = np.clip(place, 0.0, 1.0)
    peak, share = PEAK_SPEED_FACTOR, EASE_SHARE
    start = peak * place**2 / (2 * share)
    middle = peak * (place - share / 2)
    end = 1 - peak * (1 - place) ** 2 / (2 * share)
    return np.where(place < share, start, np.where(place > 1 - share, end, middle))


def amounts_at(keys: Timeline, fractions: Series) -> Series:
    """Give the amount of the movement at each fraction of the clip: eased from key to key."""
    times, amounts = np.array([time for time, _ in keys]), np.array([amount for _, amount in keys])
    left = np.clip(np.searchsorted(times, fractions, side="right") - 1, 0, len(times) - 2)
    place = (fractions - times[left]) / (times[left + 1] - times[left])
    return amounts[left] + (amounts[left + 1] - amounts[left]) * ease(place)


def camera_poses(position_m: Series, yaw_rad: Series, pitch_rad: Series, roll_rad: Series) -> Series:
    """Make OpenCV poses [n, 3, 4] of cameras at [n, 3] that look along yaw and pitch in a z-up world."""
    forward = np.stack(
        [np.cos(pitch_rad) * np.cos(yaw_rad), np.cos(pitch_rad) * np.sin(yaw_rad), np.sin(pitch_rad)], axis=-1
    )
    level = np.stack([np.sin(yaw_rad), -np.cos(yaw_rad), np.zeros_like(yaw_rad)], axis=-1)
    below = np.cross(forward, level)
    c, s = np.cos(roll_rad)[:, None], np.sin(roll_rad)[:, None]
    right, down = c * level + s * below, c * below - s * level
    return np.stack([right, down, forward, position_m], axis=-1)


def _tremor(strength: float, seed: int, time_s: Series) -> Series:
    """Give a hand's tremor [n, 6]: metres along x, y, z and radians of yaw, pitch, roll; 0 at time 0."""
    generator = np.random.default_rng(seed)
    sizes = strength * np.array([0.02, 0.02, 0.015, radians(0.8), radians(0.5), radians(0.5)])
    frequencies = generator.uniform(0.25, 1.5, size=(3, 6))
    phases = generator.uniform(0, 2 * np.pi, size=(3, 6))
    waves = np.sin(2 * np.pi * frequencies * time_s[:, None, None] + phases) - np.sin(phases)
    return sizes * waves.mean(axis=1)


def _followed_yaw(spec: CameraSpec, subject_m: Series | None, fractions: Series) -> Series:
    """Give the extra yaw that keeps a subject in the middle until the camera leaves it, then rests there."""
    if subject_m is None:
        raise WorldError(f"camera {spec.trajectory!r} follows a subject; give its index as camera.follows")
    bearing = np.unwrap(
        np.arctan2(subject_m[:, 1] - spec.position_m[1], subject_m[:, 0] - spec.position_m[0])
    )
    turn = (bearing - spec.yaw_rad + np.pi) % (2 * np.pi) - np.pi
    stays = fractions <= FOLLOW_SHARE
    last = np.flatnonzero(stays)[-1]
    turn = np.unwrap(np.where(stays, turn, turn[last]))
    catching_up = ease(fractions / (FOLLOW_SHARE / 2))
    return turn * catching_up


def trace_camera(
    spec: CameraSpec, num_frames: int, fps: float, subject_m: Series | None = None
) -> NDArray[np.float64]:
    """Give the camera's pose in every frame: float64 [n, 3, 4], OpenCV axes, metres.

    ``subject_m`` [n, 2]: the ground position of the subject that is followed, where one is.
    Raises ``WorldError`` for an unknown trajectory or a missing subject.
    """
    kind = camera_kind(spec.trajectory)
    fractions = np.arange(num_frames) / max(num_frames - 1, 1)
    amount = amounts_at(spec.keys, fractions) * spec.amplitude
    tremor = _tremor(kind.shake, spec.seed, np.arange(num_frames) / fps)
    orbit = np.radians(kind.orbit_deg) * amount
    yaw = spec.yaw_rad + orbit + np.radians(kind.yaw_deg) * amount + tremor[:, 3]
    if kind.follows:
        yaw = yaw + _followed_yaw(spec, subject_m, fractions)
    pitch = np.clip(spec.pitch_rad + np.radians(kind.pitch_deg) * amount, -MAX_PITCH_RAD, MAX_PITCH_RAD)
    ahead = np.array([np.cos(spec.yaw_rad), np.sin(spec.yaw_rad), 0.0])
    aside = np.array([-ahead[1], ahead[0], 0.0])
    metres = amount[:, None] * spec.length_scale
    moved = metres * (kind.forward_m * ahead + kind.left_m * aside + kind.up_m * np.array([0, 0, 1.0]))
    round_pivot = spec.pivot_m * (ahead - np.cos(orbit)[:, None] * ahead - np.sin(orbit)[:, None] * aside)
    position = np.asarray(spec.position_m) + moved + round_pivot + tremor[:, :3] * spec.length_scale
    return camera_poses(position, yaw, pitch + tremor[:, 4], tremor[:, 5])
