"""The named camera movements that path expressions are made of, each a function of start pose and amount."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cache
from math import radians

import numpy as np

from outofsight.geometry.poses import Poses, compose, pose, rotation_about

DEFAULT_ORBIT_RADIUS_M = 3.0
VERTICAL = (0.0, 0.0, 1.0)
CAMERA_RIGHT, CAMERA_FORWARD = (1.0, 0.0, 0.0), (0.0, 0.0, 1.0)

Mover = Callable[[Poses, float, float], Poses]
"""(start pose [3, 4], signed amount in degrees or metres, radius in metres) → pose [3, 4]."""


@dataclass(frozen=True, kw_only=True)
class PathMaker:
    """A movement by name. ``directions``: the sign of the amount; none for movements without a direction."""

    name: str
    form: str
    meaning: str
    example: str
    directions: Mapping[str, int]
    has_radius: bool = False
    move: Mover | None = None


@cache
def describe_paths() -> tuple[PathMaker, ...]:
    """List everything a path expression may be made of."""
    sideways, upright = {"left": 1, "right": -1}, {"up": 1, "down": -1}
    return (
        PathMaker(
            name="pan", form="pan:left|right:DEGREES", example="pan:left:60", directions=sideways, move=_pan,
            meaning="turn about the vertical, staying in place",
        ),
        PathMaker(
            name="tilt", form="tilt:up|down:DEGREES", example="tilt:down:20", directions=upright, move=_tilt,
            meaning="look higher or lower, staying in place",
        ),
        PathMaker(
            name="roll", form="roll:left|right:DEGREES", example="roll:right:10", directions=sideways, move=_roll,
            meaning="turn about the line of sight; right lowers the camera's right side",
        ),
        PathMaker(
            name="orbit", form="orbit:left|right:DEGREES[@METRES]", example="orbit:right:90@4", directions=sideways,
            has_radius=True, move=_orbit,
            meaning="circle about the point METRES ahead, keeping it in the middle of the picture; "
            f"{DEFAULT_ORBIT_RADIUS_M:g} m if not given",
        ),
        PathMaker(
            name="dolly", form="dolly:in|out:METRES", example="dolly:in:1.5", directions={"in": 1, "out": -1},
            move=_dolly, meaning="move along the line of sight",
        ),
        PathMaker(
            name="truck", form="truck:left|right:METRES", example="truck:left:2", directions=sideways, move=_truck,
            meaning="move sideways, along the picture's horizontal",
        ),
        PathMaker(
            name="crane", form="crane:up|down:METRES", example="crane:up:1", directions=upright, move=_crane,
            meaning="move along the vertical",
        ),
        PathMaker(name="still", form="still", meaning="stay", example="still:10", directions={}),
        PathMaker(
            name="back", form="back", example="pan:left:60,dolly:in:1,back", directions={},
            meaning="retrace everything since the start, or since the last back",
        ),
        PathMaker(
            name="there-and-back", form="there-and-back(PATH)", directions={},
            meaning="follow a path and retrace it", example="there-and-back(pan:left:60,tilt:up:10)",
        ),
    )  # fmt: skip


def _pan(start: Poses, left_deg: float, _: float) -> Poses:
    return pose(rotation_about(VERTICAL, radians(left_deg)) @ start[:, :3], start[:, 3])


def _tilt(start: Poses, up_deg: float, _: float) -> Poses:
    return pose(start[:, :3] @ rotation_about(CAMERA_RIGHT, radians(up_deg)), start[:, 3])


def _roll(start: Poses, left_deg: float, _: float) -> Poses:
    return pose(start[:, :3] @ rotation_about(CAMERA_FORWARD, radians(-left_deg)), start[:, 3])


def _orbit(start: Poses, left_deg: float, radius_m: float) -> Poses:
    """A camera that moves to its own left while it faces the pivot goes clockwise, seen from above."""
    pivot = start[:, 3] + radius_m * start[:, 2]
    turn = rotation_about(VERTICAL, radians(-left_deg))
    return compose(pose(turn, pivot - turn @ pivot), start)


def _dolly(start: Poses, in_m: float, _: float) -> Poses:
    return pose(start[:, :3], start[:, 3] + in_m * start[:, 2])


def _truck(start: Poses, left_m: float, _: float) -> Poses:
    return pose(start[:, :3], start[:, 3] - left_m * start[:, 0])


def _crane(start: Poses, up_m: float, _: float) -> Poses:
    return pose(start[:, :3], start[:, 3] + up_m * np.array(VERTICAL))
