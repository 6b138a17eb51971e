"""What people carry, on the back or in the hand.

A thing held in a bent arm is built upright and turned back by the arm's pose, so that it stands upright in the hand.
"""

from collections.abc import Callable, Mapping

import numpy as np

from outofsight.worlds.subjects.measures import Frame, Part, PersonPlan, Worn
from outofsight.worlds.subjects.shapes import (
    Shape,
    ball,
    box,
    columns_of,
    ink_index,
    limb,
    merge,
    pair,
    pillar,
    translated,
    turned,
)


def _backpack(f: Frame, plan: PersonPlan) -> Worn:
    h, g, top = f.height, f.girth, f.chest
    x = -0.062 * h * g
    sack = pillar(
        [
            (0.02 * top, 0.055 * h, 0.085 * h),
            (0.75 * top, 0.06 * h, 0.09 * h),
            (1.12 * top, 0.042 * h, 0.07 * h),
        ],
        "gear",
        sides=12,
        power=3.4,
    )
    pocket = ball((-0.055 * h, 0, 0.30 * top), (0.03 * h, 0.06 * h, 0.2 * top), "strap", sides=10)
    roll = limb((0, -0.085 * h, 0), (0, 0.085 * h, 0), 0.034 * h, 0.034 * h, "strap")
    straps = [
        limb(
            (-0.04 * h, 0.066 * h, 1.10 * top),
            (0.064 * h * g, 0.062 * h, 0.86 * top),
            0.014 * h,
            0.014 * h,
            "strap",
            sides=6,
        ),
        limb(
            (0.068 * h * g, 0.062 * h, 0.86 * top),
            (0.062 * h * g, 0.075 * h, 0.25 * top),
            0.014 * h,
            0.014 * h,
            "strap",
            sides=6,
        ),
    ]
    return {
        "torso": merge(
            translated(merge(sack, pocket, translated(roll, x=-0.005 * h, z=1.2 * top)), x=x - 0.045 * h),
            *(pair(strap) for strap in straps),
        )
    }


def _tank(f: Frame, plan: PersonPlan) -> Worn:
    h, top = f.height, f.chest
    pack = box((-0.115 * h, 0, 0.62 * top), (0.05 * h, 0.105 * h, 0.62 * top), "gear", taper=0.92)
    front = np.interp(0.62 * top, f.torso_rows[:, 0], f.torso_rows[:, 1])
    panel = box((front, 0, 0.62 * top), (0.02 * h, 0.05 * h, 0.035 * h), "trim")
    button = box((front + 0.018 * h, 0.02 * h, 0.64 * top), (0.008 * h, 0.012 * h, 0.012 * h), "brake")
    return {"torso": merge(pack, panel, button)}


def _in_hand(f: Frame, plan: PersonPlan, shape: Shape, side: str = "r") -> Worn:
    """Put an upright thing into a hand: turned back by what the arm's pose turns it."""
    arm = plan.right if side == "r" else plan.left
    upright = turned(shape, "y", arm.pitch + arm.elbow)
    return {f"forearm_{side}": translated(upright, z=-f.forearm - 0.028 * f.height)}


def _hand_height(f: Frame, plan: PersonPlan, side: str = "r") -> float:
    """Height of the hand over the ground in the arm's resting pose."""
    arm = plan.right if side == "r" else plan.left
    reach = f.forearm + 0.028 * f.height
    return f.shoulder_z - f.upper_arm * np.cos(arm.pitch) - reach * np.cos(arm.pitch + arm.elbow)


def _stick(over: float, knob: float = 0.0) -> Callable[[Frame, PersonPlan], Worn]:
    """A stick from the ground through the right hand to ``over`` heights above it; a knob makes it a staff."""

    def make(f: Frame, plan: PersonPlan) -> Worn:
        h, down = f.height, 0.88 * _hand_height(f, plan)
        pole = limb((0, 0, -down), (0, 0, over * h), 0.009 * h, 0.012 * h, "wood", sides=6)
        tip = ball((0, 0, over * h), max(knob, 0.016) * h, "glow" if knob else "dark", sides=8)
        return _in_hand(f, plan, merge(pole, tip))

    return make


def _pitchfork(f: Frame, plan: PersonPlan) -> Worn:
    h, down = f.height, 0.84 * _hand_height(f, plan)
    pole = limb((0, 0, -down), (0, 0, 0.34 * h), 0.010 * h, 0.010 * h, "wood", sides=6)
    bar = limb((0, -0.05 * h, 0.34 * h), (0, 0.05 * h, 0.34 * h), 0.010 * h, 0.010 * h, "metal", sides=6)
    tines = [
        limb((0, y * h, 0.34 * h), (0, y * h, 0.50 * h), 0.009 * h, 0.006 * h, "metal", sides=5)
        for y in (-0.05, 0, 0.05)
    ]
    return _in_hand(f, plan, merge(pole, bar, *tines))


def _umbrella(f: Frame, plan: PersonPlan) -> Worn:
    """An open umbrella over the head, its panels in two colours."""
    h, top = f.height, 0.62 * f.height
    pole = limb((0, 0, -0.06 * h), (0, 0, top), 0.008 * h, 0.006 * h, "metal", sides=6)
    rows = [
        (top - 0.16 * h, 0.34 * h, 0.34 * h),
        (top - 0.06 * h, 0.25 * h, 0.25 * h),
        (top, 0.10 * h, 0.10 * h),
        (top + 0.02 * h, 0.02 * h, 0.02 * h),
    ]
    roof = pillar(rows, ["strap", "gear", "gear", "gear", "gear"], sides=16)
    panels = [column for column in range(16) if column // 2 % 2]
    striped = np.where(columns_of(roof, panels, 16), ink_index("trim"), roof.inks).astype(np.int32)
    roof = Shape(roof.vertices, roof.faces, striped)
    under = pillar(
        [(top - 0.162 * h, 0.33 * h, 0.33 * h), (top - 0.158 * h, 0.33 * h, 0.33 * h)], "strap", sides=16
    )
    roof = merge(roof, under)
    return _in_hand(f, plan, merge(pole, translated(roof, x=-0.10 * h)))


def _bag(ink: str, size: tuple[float, float, float], side: str = "l") -> Callable[[Frame, PersonPlan], Worn]:
    """A case or bag hanging from a hand; size in heights (x, y, z)."""

    def make(f: Frame, plan: PersonPlan) -> Worn:
        h = f.height
        x, y, z = (part * h for part in size)
        case = box((0, 0, -z - 0.04 * h), (x, y, z), ink, taper=0.94)
        clasp = box((0, 0, -0.055 * h), (0.25 * x, 1.1 * y, 0.012 * h), "metal")
        handle = [
            limb((sign * 0.35 * x, 0, -0.045 * h), (0, 0, 0.0), 0.007 * h, 0.007 * h, "strap", sides=5)
            for sign in (-1, 1)
        ]
        return _in_hand(f, plan, merge(case, clasp, *handle), side)

    return make


def _box(f: Frame, plan: PersonPlan) -> Worn:
    """A parcel carried before the chest by both hands."""
    h, g, top = f.height, f.girth, f.chest
    parcel = box((0, 0, 0), (0.11 * h, 0.13 * h, 0.095 * h), "gear")
    tape = box((0, 0, 0), (0.112 * h, 0.022 * h, 0.097 * h), "trim")
    return {"torso": translated(merge(parcel, tape), x=0.075 * h * g + 0.12 * h, z=0.30 * top)}


def _balloon(f: Frame, plan: PersonPlan) -> Worn:
    h = f.height
    string = limb((0, 0, 0), (0, 0, 0.55 * h), 0.006 * h, 0.006 * h, "white", sides=5)
    bulb = merge(
        ball((0, 0, 0.72 * h), (0.17 * h, 0.17 * h, 0.20 * h), "gear", sides=12, rows=7),
        ball((0, 0, 0.52 * h), 0.025 * h, "gear", sides=6, rows=3),
    )
    return _in_hand(f, plan, merge(string, bulb))


def _shield(f: Frame, plan: PersonPlan) -> Worn:
    h = f.height
    outline = [(-0.22, 0.012), (-0.12, 0.085), (0.02, 0.125), (0.13, 0.128), (0.15, 0.12)]
    plate = pillar([(z * h, 0.016 * h, y * h) for z, y in outline], "gear", sides=16, power=3)
    upright = pillar(
        [(z * h, 0.021 * h, min(0.026, 0.8 * y) * h) for z, y in outline], "trim", sides=8, power=4
    )
    across = box((0, 0, 0.045 * h), (0.021 * h, 0.122 * h, 0.026 * h), "trim")
    plate = merge(plate, upright, across)
    return _in_hand(f, plan, translated(turned(plate, "z", np.pi / 2), y=0.04 * h), "l")


CARRIED: Mapping[str, Part] = {
    "backpack": _backpack,
    "tank": _tank,
    "stick": _stick(0.06),
    "cane": _stick(0.015),
    "staff": _stick(0.55, 0.045),
    "pitchfork": _pitchfork,
    "umbrella": _umbrella,
    "briefcase": _bag("gear", (0.12, 0.028, 0.075)),
    "handbag": _bag("gear", (0.065, 0.03, 0.05)),
    "toolbox": _bag("gear", (0.12, 0.045, 0.05)),
    "box": _box,
    "balloon": _balloon,
    "shield": _shield,
}
