"""Coats, vests, armour and other clothes laid over a person's bones."""

from collections.abc import Mapping

import numpy as np

from outofsight.worlds.subjects.measures import Frame, Part, PersonPlan, Worn, skirt, torso_shell
from outofsight.worlds.subjects.shapes import (
    Shape,
    ball,
    box,
    columns_of,
    cut,
    limb,
    merge,
    pair,
    pillar,
    prism,
    translated,
)


def _coat(f: Frame, plan: PersonPlan) -> Worn:
    """A collar: torso and sleeves are painted with the coat's ink."""
    h, top = f.height, f.chest
    collar = pillar(
        [(0.98 * top, 0.058 * h, 0.074 * h), (1.20 * top, 0.050 * h, 0.058 * h)], "coat", sides=12
    )
    return {"torso": collar}


def _tails(length: float, flare: float) -> Part:
    """The lower half of a long coat, down to ``length`` of the thighs, and a row of buttons."""

    def make(f: Frame, plan: PersonPlan) -> Worn:
        h = f.height
        rows = f.torso_rows
        buttons = []
        for share in (0.15, 0.45, 0.75):
            front = np.interp(share * f.chest, rows[:, 0], rows[:, 1] + rows[:, 3])
            buttons.append(ball((front, 0.0, share * f.chest), 0.013 * h, "strap", sides=6, rows=3))
        return {
            "torso": merge(*buttons),
            "hips": skirt(f, length * f.bone, (flare * h, 0.85 * flare * h), "coat"),
        }

    return make


def _blazer(f: Frame, plan: PersonPlan) -> Worn:
    """A triangle of shirt between the lapels, and the jacket's short tails."""
    h, g, top = f.height, f.girth, f.chest
    outline = [
        (0.008 * h, 0.34 * top),
        (0.012 * h, 0.66 * top),
        (-0.004 * h, 0.95 * top),
        (-0.03 * h, 1.12 * top),
    ]
    shirt = prism(
        [*outline, (-0.06 * h, 0.7 * top)], (0.004 * h, 0.024 * h, 0.048 * h, 0.05 * h, 0.004 * h), "top"
    )
    tails = skirt(f, 0.075 * h, (0.083 * h * g, 0.113 * h * g), "coat")
    return {"torso": translated(shirt, x=0.066 * h * g), "hips": tails}


def _tie(f: Frame, plan: PersonPlan) -> Worn:
    h, g, top = f.height, f.girth, f.chest
    low, high = (0.080 * h * g, 0.0, 0.40 * top), (0.058 * h * g, 0.0, 1.0 * top)
    return {"torso": limb(low, high, 0.017 * h, 0.011 * h, "trim", sides=6)}


def _belt(f: Frame, plan: PersonPlan) -> Worn:
    """A belt with a buckle round the lower end of the torso."""
    h, rows = f.height, f.torso_rows
    z = 0.05 * f.chest
    front = 1.07 * np.interp(z, rows[:, 0], rows[:, 1]) + np.interp(z, rows[:, 0], rows[:, 3])
    buckle = box((front, 0, z), (0.008 * h, 0.018 * h, 0.014 * h), "metal")
    return {"torso": merge(torso_shell(f, -0.02, 0.12, "strap", grow=1.08), buckle)}


def _vest(f: Frame, plan: PersonPlan) -> Worn:
    """A sleeveless vest with a light band; a waistcoat when the inks say so."""
    return {"torso": merge(torso_shell(f, -0.05, 1.1, "gear"), torso_shell(f, 0.24, 0.38, "trim", grow=1.09))}


def _bands(f: Frame, plan: PersonPlan) -> Worn:
    """Reflecting bands on chest, forearms and shins."""
    h = f.height
    worn = {"torso": merge(torso_shell(f, 0.14, 0.26, "trim"), torso_shell(f, 0.56, 0.68, "trim"))}
    for side in "lr":
        cuff = [(-0.6 * f.forearm, 0.038 * h, 0.038 * h), (-0.8 * f.forearm, 0.037 * h, 0.037 * h)]
        ankle = [(-0.55 * f.bone, 0.050 * h, 0.050 * h), (-0.72 * f.bone, 0.049 * h, 0.049 * h)]
        worn[f"forearm_{side}"] = pillar(cuff, "trim")
        worn[f"shin_{side}"] = pillar(ankle, "trim")
    return worn


def _apron(f: Frame, plan: PersonPlan) -> Worn:
    """A bib, a fall over the thighs, and a string round the waist."""
    h, g = f.height, f.girth
    rows = [(0.06 * h, 0.068 * h * g, 0.10 * h * g), (-0.06 * h, 0.09 * h * g, 0.12 * h * g)]
    fall = pillar([*rows, (-0.21 * h, 0.115 * h * g, 0.125 * h * g)], "gear", sides=16)
    keep = fall.vertices.copy()
    keep[:, 0] = np.maximum(keep[:, 0], 0.02 * h)
    string = torso_shell(f, -0.06, 0.02, "gear", grow=1.08)
    shell = torso_shell(f, -0.05, 0.86, "gear", grow=1.07)
    bib = cut(shell, columns_of(shell, (12, 13, 0), 14))  # the three columns in front
    return {"torso": merge(bib, string), "hips": Shape(keep, fall.faces, fall.inks)}


def _dungarees(f: Frame, plan: PersonPlan) -> Worn:
    """Trousers' bib before and behind, on two braces."""
    h, top = f.height, f.chest
    ends = [(0.066 * h * f.girth, 0.055 * h, 0.55 * top), (-0.058 * h * f.girth, 0.055 * h, 0.45 * top)]
    over = (-0.002 * h, 0.062 * h, 1.10 * top)
    braces = [pair(limb(end, over, 0.017 * h, 0.015 * h, "bottom", sides=6)) for end in ends]
    return {"torso": merge(torso_shell(f, -0.1, 0.58, "bottom"), *braces)}


def _white_coat(f: Frame, plan: PersonPlan) -> Worn:
    """Open over the scrubs, down to the knees."""
    return _blazer(f, plan) | {"hips": skirt(f, 0.85 * f.bone, (0.15 * f.height, 0.125 * f.height), "coat")}


def _scarf(f: Frame, plan: PersonPlan) -> Worn:
    h, top = f.height, f.chest
    ring = pillar(
        [
            (1.02 * top, 0.062 * h, 0.075 * h),
            (1.16 * top, 0.066 * h, 0.072 * h),
            (1.28 * top, 0.05 * h, 0.052 * h),
        ],
        "gear",
    )
    end = limb(
        (0.072 * h, 0.035 * h, 1.05 * top),
        (0.082 * h, 0.04 * h, 0.42 * top),
        0.02 * h,
        0.024 * h,
        "gear",
        sides=6,
    )
    return {"torso": merge(ring, end)}


def _shawl(f: Frame, plan: PersonPlan) -> Worn:
    """A wide shawl with a pale fringe, down to the elbows."""
    h, top, sy = f.height, f.chest, f.shoulder_y
    rows = [
        (0.02 * top, 0.115 * h, 1.42 * sy),
        (0.12 * top, 0.112 * h, 1.40 * sy),
        (0.72 * top, 0.092 * h, 1.32 * sy),
    ]
    rows += [(1.02 * top, 0.066 * h, 0.98 * sy), (1.2 * top, 0.046 * h, 0.05 * h)]
    return {"torso": pillar(rows, ["trim", "trim", "gear", "gear", "gear", "gear"], sides=14)}


def _cape(f: Frame, plan: PersonPlan) -> Worn:
    """A cape down the back, with a light collar."""
    h, top, sy = f.height, f.chest, f.shoulder_y
    rows = [
        (-0.36 * h, 0.05 * h, 1.35 * sy, -0.17 * h),
        (0.1 * top, 0.045 * h, 1.22 * sy, -0.085 * h),
        (0.9 * top, 0.05 * h, 1.16 * sy, -0.035 * h),
        (1.1 * top, 0.045 * h, 0.8 * sy, -0.02 * h),
    ]
    collar = pillar(
        [
            (1.0 * top, 0.07 * h, 1.0 * sy),
            (1.15 * top, 0.062 * h, 0.72 * sy),
            (1.24 * top, 0.05 * h, 0.05 * h),
        ],
        "white",
    )
    return {"torso": merge(pillar(rows, "gear", sides=12), collar)}


def _armour(f: Frame, plan: PersonPlan) -> Worn:
    """Plates on shoulders, elbows and knees, and a chest keel."""
    h, top = f.height, f.chest
    worn = {
        "torso": ball(
            (0.03 * h, 0, 0.66 * top),
            (0.066 * h * f.girth, 0.10 * h * f.girth, 0.45 * top),
            "metal",
            sides=12,
        )
    }
    for side in "lr":
        worn[f"arm_{side}"] = ball((0, 0, 0.0), (0.058 * h, 0.056 * h, 0.055 * h), "metal", sides=10)
        worn[f"forearm_{side}"] = merge(
            ball((0, 0, 0), 0.037 * h, "metal", sides=8, rows=3),
            limb((0, 0, -0.25 * f.forearm), (0, 0, -0.9 * f.forearm), 0.036 * h, 0.032 * h, "metal"),
        )
        worn[f"shin_{side}"] = merge(
            ball((0.02 * h, 0, 0.0), 0.048 * h, "metal", sides=8, rows=3),
            limb((0, 0, -0.2 * f.bone), (0, 0, -0.9 * f.bone), 0.045 * h, 0.038 * h, "metal"),
        )
    return worn


def _stripes(f: Frame, plan: PersonPlan) -> Worn:
    """Two broad bands round the shirt."""
    return {"torso": merge(*(torso_shell(f, low, low + 0.16, "trim", grow=1.04) for low in (0.1, 0.46)))}


def _number(f: Frame, plan: PersonPlan) -> Worn:
    h, top = f.height, f.chest
    return {
        "torso": merge(
            *(
                box((x * h * f.girth, 0, 0.62 * top), (0.008 * h, 0.042 * h, 0.045 * h), "white")
                for x in (0.066, -0.064)
            )
        )
    }


def _stethoscope(f: Frame, plan: PersonPlan) -> Worn:
    h, top = f.height, f.chest
    tube = limb(
        (0.05 * h, 0.045 * h, 1.08 * top),
        (0.082 * h, 0.035 * h, 0.62 * top),
        0.010 * h,
        0.010 * h,
        "dark",
        sides=5,
    )
    return {
        "torso": merge(
            pair(tube), ball((0.086 * h, 0.034 * h, 0.58 * top), 0.018 * h, "metal", sides=8, rows=3)
        )
    }


GARMENTS: Mapping[str, Part] = {
    "coat": _coat,
    "blazer": _blazer,
    "overcoat": _tails(1.0, 0.158),
    "parka": _tails(0.5, 0.138),
    "white coat": _white_coat,
    "tie": _tie,
    "belt": _belt,
    "vest": _vest,
    "bands": _bands,
    "apron": _apron,
    "dungarees": _dungarees,
    "scarf": _scarf,
    "shawl": _shawl,
    "cape": _cape,
    "armour": _armour,
    "stripes": _stripes,
    "number": _number,
    "stethoscope": _stethoscope,
}

COAT_PIECES = frozenset({"blazer", "overcoat", "parka", "white coat", "hood"})
"""What comes off together with the coat."""
