"""The ten paths that subjects walk: curves on the ground, walked at a pace, all frames at once."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from math import cos, pi, sin
from types import MappingProxyType

import numpy as np
from numpy.typing import NDArray

from outofsight.errors import WorldError
from outofsight.worlds.spec import PathSpec

POINTS_PER_CURVE = 720
BRAKING_TIME_S = 0.4  # over the last 0.4 s worth of way, an open path ends in a halt
STRIDE_PERIOD_S = 3.2  # stop_and_go: one period of going and standing
GOING_SHARE = 0.62

Curve = NDArray[np.float64]
"""[p, 2]: a polyline of extent about 1, from the origin, first heading along +x."""

Series = NDArray[np.float64]
"""[n]: a value for each frame."""


@dataclass(frozen=True, kw_only=True)
class PathKind:
    """A curve of the catalogue. ``closed`` ones are walked round and round; on open ones a subject halts at the end.

    ``draws`` maps the seed to the unit curve; ``bend``: radius of its tightest turn, as a share of its size;
    ``pauses``: the subject stands still now and then.
    """

    name: str
    noun: str
    closed: bool
    draws: Callable[[int], Curve]
    bend: float
    pauses: bool = False


@dataclass(frozen=True, kw_only=True, eq=False)
class PathMotion:
    """One subject's way on the ground in every frame.

    ``position_m`` [n, 2], ``heading_rad`` [n] (continuous), ``distance_m`` [n] walked so far, ``speed_m_s`` [n].
    """

    position_m: NDArray[np.float64]
    heading_rad: NDArray[np.float64]
    distance_m: NDArray[np.float64]
    speed_m_s: NDArray[np.float64]


def _from_headings(headings: NDArray[np.float64], steps: NDArray[np.float64]) -> Curve:
    """Integrate headings (at the middle of each step) into points, from the origin."""
    moves = np.stack([np.cos(headings), np.sin(headings)], axis=-1) * steps[:, None]
    return np.concatenate([np.zeros((1, 2)), np.cumsum(moves, axis=0)])


def _turns(*pieces: tuple[float, float]) -> Curve:
    """Draw a curve of (length, turn) pieces: each turns evenly by ``turn`` radians over its length (0: straight)."""
    total = sum(length for length, _ in pieces)
    headings, steps, heading = [], [], 0.0
    for length, turn in pieces:
        count = max(2, round(POINTS_PER_CURVE * length / total))
        headings.append(heading + turn * (np.arange(count) + 0.5) / count)
        steps.append(np.full(count, length / count))
        heading += turn
    return _from_headings(np.concatenate(headings), np.concatenate(steps))


def _straight(_: int) -> Curve:
    return _turns((1.0, 0.0))


def _there_and_back(_: int) -> Curve:
    bend = 0.12  # radius of the turn at either end
    return _turns((1 - 2 * bend, 0.0), (pi * bend, pi), (1 - 2 * bend, 0.0), (pi * bend, pi))


def _arc(_: int) -> Curve:
    return _turns((1.25, 2 * pi / 3))


def _circle(_: int) -> Curve:
    return _turns((pi, 2 * pi))


def _figure_eight(_: int) -> Curve:
    return _turns((pi / 2, 2 * pi), (pi / 2, -2 * pi))


def _zigzag(_: int) -> Curve:
    leg, bend, turn = 0.28, 0.06, 1.4
    pieces = [(bend / 2, turn / 2)]
    for index in range(3):
        pieces += [(leg, 0.0), (bend, -turn if index % 2 == 0 else turn)]
    return _turns(*pieces, (leg, 0.0))


def _corner(_: int) -> Curve:
    return _turns((0.62, 0.0), (0.2, pi / 2), (0.55, 0.0))


def _s_curve(_: int) -> Curve:
    return _turns((0.55, 2.0), (1.0, -3.4), (0.45, 1.6))


def _wander(seed: int) -> Curve:
    generator = np.random.default_rng(seed)
    place = (np.arange(POINTS_PER_CURVE) + 0.5) / POINTS_PER_CURVE
    heading = np.zeros(POINTS_PER_CURVE)
    for wave in range(1, 5):
        amount, phase = generator.uniform(0.4, 1.0) / wave**0.6, generator.uniform(0, 2 * pi)
        heading += amount * (np.sin(2 * pi * wave * place + phase) - sin(phase))
    return _from_headings(heading, np.full(POINTS_PER_CURVE, 1.3 / POINTS_PER_CURVE))


_PATHS = (
    PathKind(name="straight", noun="in a straight line", closed=False, draws=_straight, bend=9.0),
    PathKind(name="there_and_back", noun="back and forth", closed=True, draws=_there_and_back, bend=0.12),
    PathKind(name="arc", noun="in a wide arc", closed=False, draws=_arc, bend=0.6),
    PathKind(name="circle", noun="in a circle", closed=True, draws=_circle, bend=0.5),
    PathKind(name="figure_eight", noun="in a figure of eight", closed=True, draws=_figure_eight, bend=0.25),
    PathKind(name="zigzag", noun="in a zigzag", closed=False, draws=_zigzag, bend=0.042),
    PathKind(name="corner", noun="and then turns a corner", closed=False, draws=_corner, bend=0.127),
    PathKind(name="s_curve", noun="along a winding line", closed=False, draws=_s_curve, bend=0.27),
    PathKind(
        name="stop_and_go", noun="with short stops", closed=False, draws=_straight, bend=9.0, pauses=True
    ),
    PathKind(name="wander", noun="about", closed=False, draws=_wander, bend=0.06),
)


def subject_paths() -> Mapping[str, PathKind]:
    """Give the ten paths by name, in a fixed order."""
    return MappingProxyType({kind.name: kind for kind in _PATHS})


def path_kind(name: str) -> PathKind:
    """Look a path up. Raises ``WorldError`` naming the known ones."""
    for kind in _PATHS:
        if kind.name == name:
            return kind
    raise WorldError(f"unknown subject path {name!r}; known are {', '.join(kind.name for kind in _PATHS)}")


def _paced(spec: PathSpec, kind: PathKind, time_s: Series) -> tuple[Series, Series]:
    """Give way and speed at each time were the path endless."""
    if not kind.pauses:
        return spec.speed_m_s * time_s, np.full_like(time_s, spec.speed_m_s)
    fine = np.arange(0.0, max(float(time_s[-1]), 0.0) + 0.02, 0.01)
    phase = (fine / STRIDE_PERIOD_S + 0.15) % 1.0
    rise, fall = np.clip(phase / 0.12, 0, 1), np.clip((GOING_SHARE - phase) / 0.12 + 1, 0, 1)
    gate = np.minimum(rise, fall)
    gate = gate * gate * (3 - 2 * gate)
    way = np.concatenate([[0.0], np.cumsum((gate[1:] + gate[:-1]) / 2 * np.diff(fine))])
    return spec.speed_m_s * np.interp(time_s, fine, way), spec.speed_m_s * np.interp(time_s, fine, gate)


def trace_path(spec: PathSpec, time_s: Series) -> PathMotion:
    """Walk a path: where the subject is, where it heads and how fast it goes at each time (seconds, rising).

    Raises ``WorldError`` for an unknown path name.
    """
    kind = path_kind(spec.name)
    curve = kind.draws(spec.seed) * spec.size_m
    if spec.mirrored:
        curve = curve * np.array([1.0, -1.0])
    steps = np.diff(curve, axis=0)
    lengths = np.hypot(steps[:, 0], steps[:, 1])
    along = np.concatenate([[0.0], np.cumsum(lengths)])
    headings = np.unwrap(np.arctan2(steps[:, 1], steps[:, 0]))
    distance, speed = _paced(spec, kind, time_s)
    if kind.closed:
        laps, place = np.divmod(distance, along[-1])
    else:
        laps, place, speed = _halted(distance, speed, along[-1], spec.speed_m_s * BRAKING_TIME_S)
        distance = place
    local = np.stack([np.interp(place, along, curve[:, axis]) for axis in (0, 1)], axis=-1)
    middles = (along[1:] + along[:-1]) / 2
    turn_per_lap = 2 * pi * round((headings[-1] - headings[0]) / (2 * pi))
    heading = np.interp(place, middles, headings) + laps * turn_per_lap
    c, s = cos(spec.heading_rad), sin(spec.heading_rad)
    position = local @ np.array([[c, s], [-s, c]]) + np.asarray(spec.start_m)
    return PathMotion(
        position_m=position, heading_rad=heading + spec.heading_rad, distance_m=distance, speed_m_s=speed
    )


def _halted(
    distance: Series, speed: Series, length_m: float, braking_m: float
) -> tuple[Series, Series, Series]:
    """End an open path softly: beyond ``length − braking`` the rest is approached exponentially, never passed."""
    braking_m = min(max(braking_m, 1e-9), length_m)
    over = np.maximum(distance - (length_m - braking_m), 0.0)
    fade = np.exp(-over / braking_m)
    place = np.where(over > 0, length_m - braking_m * fade, distance)
    return np.zeros_like(distance), place, speed * fade
