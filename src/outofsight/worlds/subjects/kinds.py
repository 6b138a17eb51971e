"""What a kind of subject is: the record every consumer of the catalogue reads, and the recipe behind it."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np

from outofsight.errors import WorldError
from outofsight.worlds.subjects.figure import Figure
from outofsight.worlds.subjects.gait import Drive, Gait, Leg
from outofsight.worlds.subjects.shapes import Floats


@dataclass(frozen=True, kw_only=True)
class SubjectKind:
    """A kind of subject at its natural size. ``actions``: what it is doing at rest, at walking and at running speed.

    Sizes are those of the box that holds it all through a walk, held-up things included; ``radius_m``: footprint, the
    circle about the root that reaches its ends. ``removable``: parts that
    may come off while it is hidden. ``held_out``: kept for the test split.
    """

    name: str
    category: str
    noun: str
    height_m: float
    length_m: float
    width_m: float
    radius_m: float
    walk_speed_m_s: float
    run_speed_m_s: float
    actions: tuple[str, str, str]
    removable: tuple[str, ...] = ()
    held_out: bool = False


@dataclass(frozen=True, kw_only=True)
class Look:
    """One subject's appearance: its own random generator, and the parts left off."""

    generator: np.random.Generator
    without: frozenset[str] = frozenset()

    def wears(self, part: str) -> bool:
        """Tell whether a part is kept on."""
        return part not in self.without


@dataclass(frozen=True, kw_only=True, eq=False)
class Pose:
    """Joint angles by joint name and the height of the root over its rest, all [n], radians and metres."""

    angles_rad: Mapping[str, Floats]
    offset_m: Floats


@dataclass(frozen=True, kw_only=True)
class Recipe:
    """How a kind is made and how it moves; what rolls has no ``legs`` and no ``gait``."""

    kind: SubjectKind
    figure: Callable[[Look], Figure]
    pose: Callable[[Drive], Pose]
    legs: tuple[Leg, ...] = ()
    gait: Gait | None = None


def check_without(kind: SubjectKind, without: frozenset[str]) -> None:
    """Raises: WorldError where a part is to come off that this kind does not have."""
    if unknown := sorted(without - set(kind.removable)):
        known = ", ".join(kind.removable) or "nothing"
        raise WorldError(f"{kind.name}: cannot leave off {', '.join(unknown)}; removable here: {known}")


@dataclass(frozen=True, kw_only=True)
class Habit:
    """A kind's manners and size: speeds in m/s, (height, length, width, radius) in metres, what may come off."""

    noun: str
    walk_m_s: float
    run_m_s: float
    size_m: tuple[float, float, float, float]
    actions: tuple[str, str, str] = ("standing", "walking", "running")
    removable: tuple[str, ...] = ()
    held_out: bool = False

    def kind(self, name: str, category: str) -> SubjectKind:
        """The catalogue's record."""
        return SubjectKind(
            name=name,
            category=category,
            noun=self.noun,
            height_m=self.size_m[0],
            length_m=self.size_m[1],
            width_m=self.size_m[2],
            radius_m=self.size_m[3],
            walk_speed_m_s=self.walk_m_s,
            run_speed_m_s=self.run_m_s,
            actions=self.actions,
            removable=self.removable,
            held_out=self.held_out,
        )
