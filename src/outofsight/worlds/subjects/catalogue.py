"""The 49 kinds of subjects, and the two things one does with them: add one to a spec, animate one."""

import zlib
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from types import MappingProxyType

import mujoco
import numpy as np
from numpy.typing import ArrayLike

from outofsight.errors import WorldError
from outofsight.worlds.subjects import animal_kinds, biped_kinds, people_kinds, robot_kinds, vehicle_kinds
from outofsight.worlds.subjects.figure import Figure, add_figure
from outofsight.worlds.subjects.gait import Drive
from outofsight.worlds.subjects.kinds import Look, Recipe, SubjectKind, check_without
from outofsight.worlds.subjects.shapes import Floats


@dataclass(frozen=True, kw_only=True)
class SubjectBody:
    """A subject in a spec. ``root`` is the name of its body and of its free joint; ``joints`` the hinges in order.

    ``noun`` describes this look. ``half_extents_m`` and ``centre_m``: the box in the root frame that holds the body all
    through a walk, ``scale`` applied.
    """

    kind: SubjectKind
    noun: str
    root: str
    joints: tuple[str, ...]
    geoms: tuple[str, ...]
    half_extents_m: tuple[float, float, float]
    centre_m: tuple[float, float, float]


@cache
def recipes() -> Mapping[str, Recipe]:
    """Every kind's recipe, in catalogue order: people, animals, vehicles, robots."""
    makers = (people_kinds, animal_kinds, biped_kinds, vehicle_kinds, robot_kinds)
    return MappingProxyType({name: recipe for maker in makers for name, recipe in maker.recipes().items()})


@cache
def subject_catalogue() -> Mapping[str, SubjectKind]:
    """The 49 kinds by name, always in the same order."""
    return MappingProxyType({name: recipe.kind for name, recipe in recipes().items()})


def recipe_of(kind_name: str) -> Recipe:
    """Look a kind up. Raises: WorldError for an unknown name."""
    if kind_name not in recipes():
        raise WorldError(f"unknown kind of subject {kind_name!r}; known kinds are {', '.join(recipes())}")
    return recipes()[kind_name]


def subject_look(kind_name: str, look_seed: int, without: frozenset[str] = frozenset()) -> Look:
    """The look that a seed stands for; what is left off changes nothing else about it."""
    if look_seed < 0:
        raise WorldError(f"a look seed must be 0 or more, got {look_seed}")
    generator = np.random.default_rng([look_seed, zlib.crc32(kind_name.encode())])
    return Look(generator=generator, without=without)


def add_subject(
    spec: mujoco.MjSpec,
    kind_name: str,
    *,
    prefix: str,
    look_seed: int,
    scale: float = 1.0,
    without: frozenset[str] = frozenset(),
) -> SubjectBody:
    """Add one free-floating subject to a spec: root on the ground under the body's middle, x forward, z up.

    All names start with ``prefix``. ``without``: removable parts that are left off.
    Raises: WorldError for an unknown kind or part, a scale that is not positive, a prefix in use.
    """
    recipe = recipe_of(kind_name)
    check_without(recipe.kind, without)
    _check_scale(scale)
    figure = recipe.figure(subject_look(kind_name, look_seed, without))
    geoms = add_figure(spec, figure, prefix=prefix, scale=scale)
    low, high = (scale * bound for bound in walking_box(recipe, figure))
    half, centre = 0.5 * (high - low), 0.5 * (high + low)
    return SubjectBody(
        kind=recipe.kind,
        noun=figure.noun,
        root=f"{prefix}root",
        joints=tuple(prefix + joint for joint in figure.joints),
        geoms=geoms,
        half_extents_m=(float(half[0]), float(half[1]), float(half[2])),
        centre_m=(float(centre[0]), float(centre[1]), float(centre[2])),
    )


def walking_box(recipe: Recipe, figure: Figure) -> tuple[Floats, Floats]:
    """Lowest and highest corner in metres of all that the body fills in a few seconds of walking, root frame."""
    time = np.arange(0.0, 4.0, 0.27)
    speed = recipe.kind.walk_speed_m_s
    pose = recipe.pose(Drive(distance_m=speed * time, speed_m_s=np.full_like(time, speed), time_s=time))
    low, high = np.full(3, np.inf), np.full(3, -np.inf)
    for frame, offset in enumerate(pose.offset_m):
        angles = {joint: float(values[frame]) for joint, values in pose.angles_rad.items()}
        vertices = figure.posed_vertices(angles, float(offset))
        low, high = np.minimum(low, vertices.min(axis=0)), np.maximum(high, vertices.max(axis=0))
    return low, high


@cache
def joint_order(kind_name: str) -> tuple[str, ...]:
    """The hinges of a kind without prefix, in the order of ``SubjectBody.joints``; the same for every look."""
    return recipe_of(kind_name).figure(subject_look(kind_name, 0)).joints


def animate(
    kind_name: str,
    *,
    distance_m: ArrayLike,
    speed_m_s: ArrayLike,
    time_s: ArrayLike,
    heading_rad: ArrayLike | None = None,
    scale: float = 1.0,
) -> tuple[Floats, Floats]:
    """Pose a subject in every frame of a stretch of time.

    ``distance_m`` [n] travelled along its path (must not decrease; its start shifts the phase of the gait),
    ``speed_m_s`` [n], ``time_s`` [n], of a subject of this ``scale``: distances and speeds are divided by it.
    ``heading_rad`` [n]: the way the root faces, along its path; without it feet are planted as on a straight path.
    Gives joint angles [n, joints] in radians in the order of ``SubjectBody.joints``, and the root's height over the
    ground [n] in metres. Planted feet stay where they are, at any speed, in curves too.
    Raises: WorldError for arrays of unequal length, not finite, or going backward.
    """
    recipe = recipe_of(kind_name)
    _check_scale(scale)
    drive = Drive(
        distance_m=np.asarray(distance_m, dtype=np.float64) / scale,
        speed_m_s=np.asarray(speed_m_s, dtype=np.float64) / scale,
        time_s=np.asarray(time_s, dtype=np.float64),
        heading_rad=None if heading_rad is None else np.asarray(heading_rad, dtype=np.float64),
    )
    pose = recipe.pose(drive)
    columns = [pose.angles_rad[joint] for joint in joint_order(kind_name)]
    return np.stack(columns, axis=1), scale * pose.offset_m


def _check_scale(scale: float) -> None:
    if not (np.isfinite(scale) and scale > 0):
        raise WorldError(f"a subject's scale must be a positive number, got {scale}")
