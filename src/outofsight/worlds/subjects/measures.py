"""A person's plan and measures: what bodies, clothes and riders are cut to."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

import numpy as np

from outofsight.worlds.subjects.figure import Colour
from outofsight.worlds.subjects.shapes import Floats, Shape, pillar, rounded


@dataclass(frozen=True, kw_only=True)
class ArmPose:
    """How an arm is held, radians: ``swing`` is the share of the free swing that is left, ``roll`` outward."""

    pitch: float = 0.0
    roll: float = 0.07
    elbow: float = 0.25
    swing: float = 1.0


@dataclass(frozen=True, kw_only=True)
class PersonPlan:
    """Proportions in units of the height, clothes by part name (see ``outfits``), colour choices by ink.

    ``phrase`` describes the person, ``bare_phrase`` without the coat, ``extras`` what each part adds to it; inks named
    in braces become colour names. ``same``: inks that take another's colour. ``sleeves``: "long", "short", "none";
    ``legs``: "trousers", "shorts", "skirt" (to the knee), "robe" (to the ankle).
    """

    height_m: float
    phrase: str
    parts: tuple[str, ...]
    colours: Mapping[str, tuple[str, ...]]
    bare_phrase: str = ""
    extras: tuple[tuple[str, str], ...] = ()
    same: Mapping[str, str] = field(default_factory=dict)
    hair: tuple[str, ...] = ("short",)
    sleeves: str = "long"
    hands: str = "skin"  # the ink of bare or gloved hands
    legs: str = "trousers"
    leg_share: float = 0.49
    head: float = 1.0
    girth: float = 1.0
    shoulders: float = 1.0
    stoop_rad: float = 0.04
    old: bool = False
    left: ArmPose = field(default_factory=ArmPose)
    right: ArmPose = field(default_factory=ArmPose)
    gait_scale: float = 1.0
    fixed: Mapping[str, Colour] = field(default_factory=dict)


@dataclass(frozen=True, kw_only=True)
class Frame:
    """A person's measures in metres, derived from a plan."""

    height: float
    hip_z: float
    ankle_z: float
    bone: float  # length of the thigh and of the shin
    hip_y: float
    waist_z: float
    shoulder_z: float
    shoulder_y: float
    upper_arm: float
    forearm: float
    neck_z: float
    head_half: float
    girth: float
    foot: float  # from the ankle to the toes, nearly

    @property
    def chest(self) -> float:
        """From the waist to the shoulders."""
        return self.shoulder_z - self.waist_z

    @property
    def torso_rows(self) -> Floats:
        """The torso's sections (z over the waist, half_x, half_y, x), waist to neck; girth swells the belly."""
        h, g, top, sy = self.height, self.girth, self.chest, self.shoulder_y
        belly = max(g - 1.0, 0.0)
        rows = [
            (-0.03 * h, 0.057 * h * g, 0.084 * h * g, 0.0),
            (0.20 * top, 0.060 * h * g * (1 + 1.1 * belly), 0.084 * h * g, 0.03 * h * belly),
            (0.62 * top, 0.068 * h * g, 0.5 * (0.084 * h * g + sy), 0.004 * h),
            (0.92 * top, 0.060 * h, 0.96 * sy, -0.002 * h),
            (1.10 * top, 0.043 * h, 0.66 * sy, -0.006 * h),
            (1.20 * top, 0.030 * h, 0.032 * h, -0.004 * h),
        ]
        return rounded(rows, 11)


def body_frame(plan: PersonPlan) -> Frame:
    """Work out the measures: the head keeps its size at the top, the torso fills what is left."""
    h = plan.height_m
    head_half = 0.088 * h * plan.head
    neck_z = h - 2 * head_half - 0.012 * h
    hip_z = plan.leg_share * h
    waist_z = hip_z + 0.045 * h
    return Frame(
        height=h,
        hip_z=hip_z,
        ankle_z=0.047 * h,
        bone=0.5 * (hip_z - 0.047 * h) / 0.985,
        hip_y=0.052 * h * plan.girth,
        waist_z=waist_z,
        shoulder_z=neck_z - 0.035 * h,
        shoulder_y=0.122 * h * plan.shoulders,
        upper_arm=0.165 * h,
        forearm=0.145 * h,
        neck_z=neck_z,
        head_half=head_half,
        girth=plan.girth,
        foot=0.10 * h,
    )


def torso_shell(f: Frame, low: float, high: float, ink: str, *, grow: float = 1.06) -> Shape:
    """A layer over the torso between two heights in chest lengths."""
    rows = f.torso_rows
    at = np.linspace(low * f.chest, high * f.chest, max(2, round(6 * (high - low)) + 2))
    columns = [np.interp(at, rows[:, 0], rows[:, column]) for column in (1, 2, 3)]
    return pillar(np.column_stack([at, grow * columns[0], grow * columns[1], columns[2]]), ink, sides=14)


def skirt(f: Frame, hem_m: float, flare_m: tuple[float, float], ink: str, *, trim: str = "") -> Shape:
    """A bell from the waist to ``hem_m`` below the hips, for the hips bone; ``flare_m``: half depth and width there."""
    h, g, (deep, wide) = f.height, f.girth, flare_m
    rows = [(0.07 * h, 0.059 * h * g, 0.087 * h * g)]
    for share in (0.25, 0.5, 0.75, 0.96, 1.0):
        z = 0.07 * h - share * (hem_m + 0.07 * h)
        opened = share**0.8
        rows.append(
            (z, 0.068 * h * g + opened * (deep - 0.068 * h * g), 0.1 * h * g + opened * (wide - 0.1 * h * g))
        )
    return pillar(rows, [ink] * 5 + [trim or ink, "dark"], sides=16)


Worn = dict[str, Shape]
"""Shapes by the bone that wears them."""
Part = Callable[[Frame, PersonPlan], Worn]
