"""How feet fall: phases, planted feet, swings, and two-bone inverse kinematics. All frames at once.

A leg's cycle runs from one touchdown to the next. Phase grows with the *distance* travelled, so a foot that is planted
stays where it is at any speed:

    cycle   k ............... k + duty ................ k + 1
            |---- stance -----|-------- swing ---------|
    place   P_k (fixed)        eases from P_k to P_k+1

P_k is where the hip passes at the middle of stance, on a straight path or a curved one. x forward, z up, metres.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from outofsight.errors import WorldError
from outofsight.worlds.subjects.shapes import Floats

REACH = 0.995
"""Largest part of a leg's length that is used: a leg drawn quite straight snaps."""


@dataclass(frozen=True, kw_only=True)
class Leg:
    """A leg of two bones and a foot, in the rest pose straight down; metres in the root frame.

    ``ball_x_m``: where the ball of the foot is planted in mid-stance, from the hip. ``ankle_m``: the ankle (x, z)
    from the ball when the foot is level. ``heel_x_m``: the heel from the ball (0: the animal walks on its toes).
    ``walk_phase``, ``run_phase``: by how much of a cycle this leg is ahead.
    """

    name: str
    hip_m: tuple[float, float, float]
    upper_m: float
    lower_m: float
    ankle_m: tuple[float, float]
    ball_x_m: float
    walk_phase: float
    run_phase: float
    heel_x_m: float = 0.0
    knee_forward: bool = True


@dataclass(frozen=True, kw_only=True)
class Gait:
    """The numbers of a way of walking and running; ``bob_m`` is the rise of the body over a
    standing leg at a walk, ``flight_m`` over the stance at a run, ``bounces`` how often it rises in a cycle."""

    walk_m_s: float
    run_m_s: float
    walk_stride_m: float
    run_stride_m: float
    walk_duty: float = 0.62
    run_duty: float = 0.36
    walk_lift_m: float = 0.06
    run_lift_m: float = 0.16
    flight_m: float = 0.05
    walk_flight_m: float = 0.0  # for those who hop at any speed
    bob_m: float = 0.03
    bounces: int = 2
    toe_off_rad: float = 0.7
    heel_strike_rad: float = 0.25


@dataclass(frozen=True, kw_only=True, eq=False)
class Drive:
    """What moves a body, one entry a frame: distance and speed (at the body's natural size), time, heading, all [n].

    ``heading_rad`` is the way the body faces, counter-clockwise; without it the path is straight.
    """

    distance_m: Floats
    speed_m_s: Floats
    time_s: Floats
    heading_rad: Floats | None = None

    def __post_init__(self) -> None:
        parts = [self.distance_m, self.speed_m_s, self.time_s]
        parts += [] if self.heading_rad is None else [self.heading_rad]
        shapes = {np.shape(part) for part in parts}
        if len(shapes) != 1 or len(next(iter(shapes))) != 1 or next(iter(shapes))[0] == 0:
            raise WorldError(
                f"distance, speed, time and heading must be arrays of one length ≥ 1, got shapes {shapes}"
            )
        if not all(np.isfinite(part).all() for part in parts):
            raise WorldError(
                "distance, speed, time and heading must be finite; one of them holds NaN or infinity"
            )
        if (np.diff(self.distance_m) < -1e-9).any() or (self.speed_m_s < 0).any():
            raise WorldError(
                "subjects move forward: distance must not decrease and speed must not be negative"
            )

    @property
    def course(self) -> Floats:
        """Where the root is and which way it faces: x, y in metres and the unwrapped heading [n, 3]."""
        heading = np.zeros_like(self.distance_m) if self.heading_rad is None else np.unwrap(self.heading_rad)
        between = 0.5 * (heading[1:] + heading[:-1])
        steps = np.diff(self.distance_m)[:, None] * np.stack([np.cos(between), np.sin(between)], axis=1)
        start = self.distance_m[0] * np.array([[np.cos(heading[0]), np.sin(heading[0])]])
        return np.column_stack(
            [start + np.concatenate([np.zeros((1, 2)), np.cumsum(steps, axis=0)]), heading]
        )


@dataclass(frozen=True, kw_only=True, eq=False)
class Steps:
    """Where every leg is in every frame: [n, legs]; ``running``, ``moving`` [n] are weights in [0, 1].

    A leg is turned about the upright by ``turn_rad`` so that its planted foot keeps facing where it was put; the
    ankle's x and y are measured from the hip along the turned leg's own axes; its z and that of the foot's resting
    point from the ground.
    """

    cycle: Floats
    turn_rad: Floats
    ankle_x_m: Floats
    ankle_y_m: Floats
    ankle_z_m: Floats
    foot_z_m: Floats
    pitch_rad: Floats
    planted: NDArray[np.bool_]
    running: Floats
    moving: Floats


def smoothstep(value: Floats) -> Floats:
    """Rise from 0 to 1 with level ends."""
    clipped = np.clip(value, 0.0, 1.0)
    return clipped * clipped * (3.0 - 2.0 * clipped)


def running_weight(gait: Gait, speed_m_s: Floats) -> Floats:
    """0 at a walk, 1 at a run, smooth between."""
    span = max(gait.run_m_s - gait.walk_m_s, 1e-6)
    return smoothstep((speed_m_s - gait.walk_m_s - 0.15 * span) / (0.6 * span))


def stride_length(gait: Gait, speed_m_s: Floats) -> Floats:
    """Metres from one touchdown of a foot to its next; a slower walk has shorter steps, a faster run longer ones."""
    walk = gait.walk_stride_m * (0.45 + 0.55 * speed_m_s / gait.walk_m_s)
    share = (speed_m_s - gait.walk_m_s) / max(gait.run_m_s - gait.walk_m_s, 1e-6)
    run = gait.walk_stride_m + (gait.run_stride_m - gait.walk_stride_m) * np.clip(share, 0.0, 1.0)
    fast = np.maximum(speed_m_s / max(gait.run_m_s, gait.walk_m_s), 1.0) ** 0.5
    return np.where(speed_m_s < gait.walk_m_s, walk, run * fast)


def phase_of(gait: Gait, drive: Drive) -> Floats:
    """Cycles gone through [n]: the distance travelled over the stride length of the moment."""
    per_metre = 1.0 / stride_length(gait, drive.speed_m_s)
    advance = np.diff(drive.distance_m) * 0.5 * (per_metre[1:] + per_metre[:-1])
    return drive.distance_m[0] * per_metre[0] + np.concatenate([[0.0], np.cumsum(advance)])


def take_steps(legs: Sequence[Leg], gait: Gait, drive: Drive) -> Steps:
    """Plan every foot in every frame."""
    phase = phase_of(gait, drive)
    running = running_weight(gait, drive.speed_m_s)
    moving = smoothstep(drive.speed_m_s / (0.3 * gait.walk_m_s))
    columns = [_steps_of_leg(leg, gait, drive, phase, running, moving) for leg in legs]
    cycle, turn, x, y, z, foot, pitch, planted = (
        np.stack(column, axis=1) for column in zip(*columns, strict=True)
    )
    return Steps(
        cycle=cycle,
        turn_rad=turn,
        ankle_x_m=x,
        ankle_y_m=y,
        ankle_z_m=z,
        foot_z_m=foot,
        pitch_rad=pitch,
        planted=planted > 0.5,
        running=running,
        moving=moving,
    )


def _steps_of_leg(
    leg: Leg, gait: Gait, drive: Drive, phase: Floats, running: Floats, moving: Floats
) -> tuple[Floats, ...]:
    shift = (leg.run_phase - leg.walk_phase + 0.5) % 1.0 - 0.5
    cycle = np.maximum.accumulate(phase + leg.walk_phase + shift * running)
    duty = gait.walk_duty + (gait.run_duty - gait.walk_duty) * running
    prints, duties, first = _footprints(leg, gait, drive, cycle, duty)
    whole = np.floor(cycle).astype(int)
    now = whole - first
    fraction, duty_now = cycle - whole, duties[now]
    swing = np.clip((fraction - duty_now) / (1.0 - duty_now), 0.0, 1.0)
    course = drive.course
    here, there = _seen_from(course, prints[now]), _seen_from(course, prints[now + 1])
    foot = here + (there - here) * smoothstep(swing)[:, None]
    pitch = moving * _foot_pitch(leg, gait, fraction / duty_now, swing)
    x, z = _ankle(leg, pitch)
    along = _rotated(foot[:, :2] - np.array(leg.hip_m[:2]), -foot[:, 2])
    lift = (gait.walk_lift_m + (gait.run_lift_m - gait.walk_lift_m) * running) * moving
    raised = lift * np.sin(np.pi * swing**0.85)  # up at once: a low moving foot looks as if it slid
    planted = (fraction < duty_now).astype(float)
    return cycle, foot[:, 2], along[:, 0] + x, along[:, 1], raised + z, raised, pitch, planted


def _rotated(points: Floats, angle_rad: Floats) -> Floats:
    """Turn points [n, 2] by angles [n], counter-clockwise."""
    cos, sin = np.cos(angle_rad), np.sin(angle_rad)
    return np.stack(
        [cos * points[:, 0] - sin * points[:, 1], sin * points[:, 0] + cos * points[:, 1]], axis=1
    )


def _seen_from(course: Floats, prints: Floats) -> Floats:
    """Footprints [n, (x, y, heading)] of the ground in the frame of the root on its course [n, 3]."""
    return np.column_stack(
        [_rotated(prints[:, :2] - course[:, :2], -course[:, 2]), prints[:, 2] - course[:, 2]]
    )


def _footprints(
    leg: Leg, gait: Gait, drive: Drive, cycle: Floats, duty: Floats
) -> tuple[Floats, Floats, int]:
    """Give the prints P_k [k, (x, y, heading)] and duty_k from ``first``; past the ends the course goes straight on."""
    course, strides = drive.course, stride_length(gait, drive.speed_m_s)
    cycles = np.concatenate([[cycle[0] - 4.0], cycle, [cycle[-1] + 4.0]])
    before, after = (
        course[end] + sign * 4.0 * strides[end] * _ahead(course[end]) for end, sign in ((0, -1), (-1, 1))
    )
    whole_course = np.concatenate([before[None], course, after[None]])
    first = int(np.floor(cycle[0])) - 1
    numbers = np.arange(first, int(np.floor(cycle[-1])) + 3)
    duties = np.interp(numbers, cycle, duty)
    middle = numbers + 0.5 * duties
    root = np.column_stack([np.interp(middle, cycles, column) for column in whole_course.T])
    reach = np.tile([leg.hip_m[0] + leg.ball_x_m, leg.hip_m[1]], (len(numbers), 1))
    return np.column_stack([root[:, :2] + _rotated(reach, root[:, 2]), root[:, 2]]), duties, first


def _ahead(place: Floats) -> Floats:
    return np.array([np.cos(place[2]), np.sin(place[2]), 0.0])


def _foot_pitch(leg: Leg, gait: Gait, stance: Floats, swing: Floats) -> Floats:
    """Toes up (positive) at the heel's touchdown, flat, then rolling over the ball; a walker on toes lands level."""
    strike = gait.heel_strike_rad if leg.heel_x_m < 0 else 0.0
    in_stance = (
        strike * (1.0 - smoothstep(stance / 0.2))
        - gait.toe_off_rad * smoothstep((stance - 0.55) / 0.45) * 0.8
    )
    trailing = gait.toe_off_rad * (0.8 + 0.2 * np.sin(np.pi * np.clip(swing / 0.3, 0, 1)))
    in_swing = strike * smoothstep((swing - 0.5) / 0.5) - trailing * (1.0 - smoothstep(swing / 0.65))
    return np.where(stance < 1.0, in_stance, in_swing)


def _ankle(leg: Leg, pitch: Floats) -> tuple[Floats, Floats]:
    """The ankle from the level foot's ball when the foot turns about its ball (pitch < 0) or its heel (> 0)."""
    pivot = np.where(pitch > 0, leg.heel_x_m, 0.0)
    x, z = leg.ankle_m[0] - pivot, leg.ankle_m[1]
    return pivot + x * np.cos(pitch) - z * np.sin(pitch), x * np.sin(pitch) + z * np.cos(pitch)


def root_offset(legs: Sequence[Leg], gait: Gait, drive: Drive, steps: Steps) -> Floats:
    """Height of the root above its rest [n], metres: a smooth bob, and never higher than every leg can reach.

    A smooth minimum over the bob and the legs' reach keeps it free of corners.
    """
    bounds = [_bob(legs, gait, drive, steps)]
    for index, leg in enumerate(legs):
        across = np.hypot(steps.ankle_x_m[:, index], steps.ankle_y_m[:, index])
        bounds.append(_reach(leg, across, steps.ankle_z_m[:, index]))
    sharpness = 100.0 / legs[0].hip_m[2]
    return -np.log(np.exp(-sharpness * np.stack(bounds)).sum(axis=0)) / sharpness


def _reach(leg: Leg, across: Floats, ankle_z: Floats) -> Floats:
    """How far the root may rise over its rest until the leg, straight, just holds its ankle ``across`` from the hip."""
    length = REACH * (leg.upper_m + leg.lower_m)
    return ankle_z + np.sqrt(np.maximum(length**2 - across**2, (0.5 * length) ** 2)) - leg.hip_m[2]


def _bob(legs: Sequence[Leg], gait: Gait, drive: Drive, steps: Steps) -> Floats:
    """Rise over the standing leg at a walk, fly between stances at a run; low enough at every touchdown and toe-off."""
    duty = gait.walk_duty + (gait.run_duty - gait.walk_duty) * steps.running
    half_stance = 0.5 * duty * stride_length(gait, drive.speed_m_s)
    walk = gait.bob_m * steps.moving * (1.0 - steps.running)
    fly = gait.walk_flight_m * steps.moving * (1.0 - steps.running) + gait.flight_m * steps.running

    def rise(cycle: Floats) -> Floats:
        beat = np.cos(2 * np.pi * (cycle - 0.5 * duty) * gait.bounces)
        return 0.5 * walk * (1.0 + beat) + 0.5 * fly * (1.0 - beat)

    lowest, highest = np.full_like(duty, np.inf), np.zeros_like(duty)
    for index, leg in enumerate(legs):
        behind = steps.cycle[:, 0] - steps.cycle[:, index]
        for stance, sign in ((0.0, 1.0), (1.0, -1.0)):
            pitch = steps.moving * _foot_pitch(leg, gait, np.full_like(duty, stance - 1e-9), 0.0 * duty)
            x, z = _ankle(leg, pitch)
            lowest = np.minimum(lowest, _reach(leg, leg.ball_x_m + sign * half_stance + x, z))
            highest = np.maximum(highest, rise(behind + stance * duty))
    return np.minimum(lowest, 0.0) + rise(steps.cycle[:, 0]) - highest


def leg_angles(legs: Sequence[Leg], steps: Steps, offset_m: Floats) -> dict[str, Floats]:
    """Angles [n] of every leg that put its ankle and foot in place.

    The leg turns to face as its foot does, splays towards it, then bends in the plane of hip and foot.
    """
    angles: dict[str, Floats] = {}
    for index, leg in enumerate(legs):
        down = leg.hip_m[2] + offset_m - steps.foot_z_m[:, index]
        sideways = steps.ankle_y_m[:, index]
        ankle_over_foot = steps.ankle_z_m[:, index] - steps.foot_z_m[:, index]
        hip, knee = bend_to(leg, steps.ankle_x_m[:, index], ankle_over_foot - np.hypot(sideways, down))
        angles[f"turn_{leg.name}"] = steps.turn_rad[:, index]
        angles[f"splay_{leg.name}"] = np.arctan2(sideways, down)
        angles[f"hip_{leg.name}"] = hip
        angles[f"knee_{leg.name}"] = knee
        angles[f"ankle_{leg.name}"] = steps.pitch_rad[:, index] - hip - knee
    return angles


def bend_to(leg: Leg, x: Floats, z: Floats) -> tuple[Floats, Floats]:
    """Two-bone inverse kinematics: hip and knee angles that bring the ankle to (x, z) from the hip.

    Out of reach, the leg points at the target. Law of cosines in the plane of travel.
    """
    upper, lower = leg.upper_m, leg.lower_m
    distance = np.clip(np.hypot(x, z), abs(upper - lower) + 1e-6, upper + lower - 1e-9)
    at_hip = np.arccos(np.clip((upper**2 + distance**2 - lower**2) / (2 * upper * distance), -1, 1))
    at_knee = np.arccos(np.clip((upper**2 + lower**2 - distance**2) / (2 * upper * lower), -1, 1))
    sign = 1.0 if leg.knee_forward else -1.0
    return np.arctan2(x, -z) + sign * at_hip, -sign * (np.pi - at_knee)
