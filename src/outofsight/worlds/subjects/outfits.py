"""What people wear and carry: hair, hats, garments, bags and tools, as shapes laid over the bones of a person.

``wear(part, frame, plan)`` gives the shapes a part adds, by bone. A thing held in a bent arm is built upright and
turned back by the arm's pose, so that it stands upright in the hand.
"""

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING

import numpy as np

from outofsight.errors import WorldError
from outofsight.worlds.subjects.shapes import (
    Shape,
    ball,
    box,
    limb,
    merge,
    moved,
    painted,
    pair,
    pillar,
    prism,
    resized,
    strand,
    turned,
)

if TYPE_CHECKING:
    from outofsight.worlds.subjects.people import Frame, PersonPlan

Worn = dict[str, Shape]


def wear(part: str, frame: "Frame", plan: "PersonPlan") -> Worn:
    """Give the shapes of a part by bone. Raises: WorldError for an unknown part."""
    if part not in PARTS:
        raise WorldError(f"unknown part {part!r}; known parts are {', '.join(PARTS)}")
    return PARTS[part](frame, plan)


def hair(style: str, r: float) -> Shape | None:
    """Hair on a head of half height ``r``; "bald" has none."""
    if style == "bald":
        return None
    cap = _scalp(r)
    if style == "short":
        return cap
    if style == "long":
        fall = [(1.2 * r, 0.40 * r, 0.70 * r, -0.32 * r), (0.5 * r, 0.36 * r, 0.78 * r, -0.42 * r)]
        return merge(cap, pillar([*fall, (-0.45 * r, 0.22 * r, 0.66 * r, -0.50 * r)], "hair", sides=10))
    if style == "bob":
        fall = [(1.3 * r, 0.52 * r, 0.78 * r, -0.20 * r), (0.30 * r, 0.50 * r, 0.88 * r, -0.26 * r)]
        return merge(cap, pillar(fall, "hair", sides=10))
    if style == "bun":
        return merge(cap, ball((-0.62 * r, 0, 1.62 * r), 0.36 * r, "hair", sides=8))
    if style == "ponytail":
        tail = [
            (-0.62 * r, 0, 1.45 * r),
            (-1.15 * r, 0, 1.15 * r),
            (-1.2 * r, 0, 0.4 * r),
            (-1.05 * r, 0, -0.2 * r),
        ]
        return merge(cap, strand(tail, (0.16 * r, 0.28 * r, 0.24 * r, 0.08 * r), "hair"))
    if style == "curly":
        curls = [(-0.25, 0.55, 1.5), (-0.55, 0.3, 1.2), (0.25, 0.4, 1.8), (-0.5, 0.45, 0.75)]
        locks = [ball((x * r, y * r, z * r), 0.44 * r, "hair", sides=8, rows=4) for x, y, z in curls]
        return merge(
            cap, *(pair(lock) for lock in locks), ball((-0.1 * r, 0, 1.9 * r), 0.5 * r, "hair", sides=8)
        )
    raise WorldError(f"unknown hair style {style!r}; known: bald, short, long, bob, bun, ponytail, curly")


def _scalp(r: float) -> Shape:
    """Hair close to the skull: a shell tipped back, with a fringe over the brow."""
    shell = ball((0, 0, 0), (0.90 * r, 0.79 * r, 0.92 * r), "hair", sides=12, rows=7)
    keep = shell.vertices.copy()
    keep[:, 2] = np.maximum(keep[:, 2], -0.12 * r)
    shell = Shape(keep, shell.faces, shell.inks)
    return moved(turned(shell, "y", -0.42), x=0.02 * r, z=1.17 * r)


def _scaled_hat(
    rows: list[tuple[float, float]], r: float, ink: str | list[str], lean: float = -0.12
) -> Shape:
    """A round hat from (height, radius) in units of the head's half height, set back on the skull."""
    shape = pillar([(z * r, 1.1 * w * r, w * r) for z, w in rows], ink, sides=12)
    return moved(turned(shape, "y", lean), x=0.05 * r, z=1.32 * r)


def _cap(f: "Frame", plan: "PersonPlan") -> Worn:
    r = f.head_half
    crown = _scaled_hat([(0.0, 0.84), (0.30, 0.82), (0.60, 0.60), (0.72, 0.25)], r, "hat")
    brim = resized(ball((0, 0, 0), 1.0, "hat", sides=12, rows=3), 0.62 * r, 0.58 * r, 0.06 * r)
    return {"head": merge(crown, moved(turned(brim, "y", 0.12), x=0.95 * r, z=1.40 * r))}


def _beanie(f: "Frame", plan: "PersonPlan") -> Worn:
    r = f.head_half
    rows = [(-0.08, 0.88), (0.22, 0.90), (0.24, 0.84), (0.55, 0.70), (0.80, 0.34)]
    knit = _scaled_hat(rows, r, ["trim", "trim", "hat", "hat", "hat", "hat"])
    return {"head": merge(knit, ball((-0.08 * r, 0, 2.22 * r), 0.24 * r, "trim", sides=8, rows=4))}


def _brimmed(brim: float, crown: float, droop: float = 0.0) -> Callable[["Frame", "PersonPlan"], Worn]:
    """A hat with a brim all round: straw hats, cowboy hats, sun hats."""

    def make(f: "Frame", plan: "PersonPlan") -> Worn:
        r = f.head_half
        rows = [
            (-droop, brim),
            (0.08, brim * 0.98),
            (0.09, 0.86),
            (0.28, 0.84),
            (crown, 0.66),
            (crown + 0.1, 0.40),
        ]
        return {"head": _scaled_hat(rows, r, ["hat", "hat", "hat", "strap", "hat", "hat", "hat"])}

    return make


def _hard_hat(f: "Frame", plan: "PersonPlan") -> Worn:
    r = f.head_half
    rows = [(-0.02, 1.06), (0.05, 1.06), (0.07, 0.90), (0.42, 0.80), (0.70, 0.50), (0.80, 0.2)]
    ridge = prism(
        [(-0.7 * r, 1.5 * r), (0.8 * r, 1.5 * r), (0.35 * r, 2.17 * r), (-0.35 * r, 2.17 * r)],
        0.10 * r,
        "hat",
    )
    return {"head": merge(_scaled_hat(rows, r, "hat"), ridge)}


def _fire_helmet(f: "Frame", plan: "PersonPlan") -> Worn:
    r = f.head_half
    rows = [(-0.30, 1.02), (-0.02, 1.0), (0.05, 0.92), (0.45, 0.82), (0.78, 0.48), (0.88, 0.2)]
    shell = _scaled_hat(rows, r, ["hat", "trim", "hat", "hat", "hat", "hat", "hat"], lean=-0.25)
    visor = painted(
        ball((0.55 * r, 0, 1.30 * r), (0.50 * r, 0.72 * r, 0.30 * r), "glass", sides=10),
        "trim",
        lambda p: p[:, 2] > 1.45 * r,
    )
    return {"head": merge(shell, moved(visor, z=0.16 * r))}


def _toque(f: "Frame", plan: "PersonPlan") -> Worn:
    rows = [(0.0, 0.82), (0.55, 0.80), (0.62, 1.04), (1.05, 1.12), (1.32, 0.85), (1.4, 0.4)]
    return {"head": _scaled_hat(rows, f.head_half, "hat")}


def _crown(f: "Frame", plan: "PersonPlan") -> Worn:
    r = f.head_half
    band = _scaled_hat([(0.1, 0.82), (0.42, 0.90), (0.42, 0.5)], r, "hat")
    spikes = []
    for angle in np.arange(6) * np.pi / 3:
        spike = pillar([(0, 0.16 * r, 0.16 * r), (0.42 * r, 0.03 * r, 0.03 * r)], "hat", sides=5)
        spikes.append(moved(spike, 0.92 * r * np.cos(angle), 0.80 * r * np.sin(angle), 1.70 * r))
    jewel = ball((1.0 * r, 0, 1.64 * r), 0.11 * r, "brake", sides=6, rows=3)
    return {"head": merge(band, *spikes, jewel)}


def _wizard_hat(f: "Frame", plan: "PersonPlan") -> Worn:
    rows = [(-0.05, 1.65), (0.06, 1.62), (0.10, 0.90), (0.30, 0.82), (1.10, 0.48), (1.75, 0.22), (2.2, 0.05)]
    inks = ["hat", "hat", "hat", "trim", "hat", "hat", "hat", "hat"]
    return {"head": _scaled_hat(rows, f.head_half, inks, lean=-0.2)}


def _hood(f: "Frame", plan: "PersonPlan") -> Worn:
    """A hood with a furry rim round the face."""
    r = f.head_half
    shell = ball((-0.12 * r, 0, 1.02 * r), (0.98 * r, 0.98 * r, 1.14 * r), "coat", sides=12, rows=6)
    rim = [
        ball(
            (0.52 * r, 0.80 * r * np.cos(a), 1.0 * r + 0.92 * r * np.sin(a)),
            0.23 * r,
            "trim",
            sides=6,
            rows=3,
        )
        for a in np.linspace(-0.9, 4.04, 12)
    ]
    front = painted(shell, "coat", lambda p: p[:, 0] > 9)
    back = Shape(
        np.column_stack([np.minimum(front.vertices[:, 0], 0.38 * r), front.vertices[:, 1:]]),
        front.faces,
        front.inks,
    )
    return {"head": merge(back, *rim)}


def _knight_helm(f: "Frame", plan: "PersonPlan") -> Worn:
    r = f.head_half
    rows = [(-0.05 * r, 0.70 * r, 0.64 * r, 0.05 * r), (0.35 * r, 1.0 * r, 0.84 * r, 0.12 * r)]
    rows += [
        (1.3 * r, 1.0 * r, 0.88 * r, 0.08 * r),
        (1.85 * r, 0.70 * r, 0.62 * r, 0.05 * r),
        (2.1 * r, 0.2 * r, 0.2 * r, 0.0),
    ]
    shell = pillar(rows, "metal", sides=12)
    slit = box((1.02 * r, 0, 1.12 * r), (0.08 * r, 0.52 * r, 0.09 * r), "dark")
    breaths = [
        box((1.06 * r, y * r, 0.66 * r), (0.06 * r, 0.05 * r, 0.16 * r), "dark") for y in (-0.24, 0, 0.24)
    ]
    plume = strand(
        [(0.3 * r, 0, 2.0 * r), (-0.2 * r, 0, 2.6 * r), (-0.9 * r, 0, 2.4 * r), (-1.3 * r, 0, 1.6 * r)],
        (0.12 * r, 0.26 * r, 0.3 * r, 0.1 * r),
        "trim",
    )
    return {"head": merge(shell, slit, *breaths, plume)}


def _space_helmet(f: "Frame", plan: "PersonPlan") -> Worn:
    r = f.head_half
    shell = ball((0.02 * r, 0, 0.98 * r), (1.28 * r, 1.22 * r, 1.26 * r), "top", sides=14, rows=7)
    visor = ball((0.42 * r, 0, 1.05 * r), (0.98 * r, 0.92 * r, 0.80 * r), "glass", sides=14, rows=7)
    collar = pillar([(-0.30 * r, 1.0 * r, 1.05 * r), (0.05 * r, 1.0 * r, 1.05 * r)], "trim", sides=12)
    return {"head": merge(shell, visor, collar)}


def _headband(f: "Frame", plan: "PersonPlan") -> Worn:
    return {"head": _scaled_hat([(-0.02, 0.86), (0.16, 0.88)], f.head_half, "trim")}


def _glasses(f: "Frame", plan: "PersonPlan") -> Worn:
    r = f.head_half
    lens = ball((0.90 * r, 0.29 * r, 1.02 * r), (0.04 * r, 0.22 * r, 0.19 * r), "dark", sides=8, rows=3)
    return {"head": merge(pair(lens), box((0.94 * r, 0, 1.06 * r), (0.03 * r, 0.14 * r, 0.03 * r), "dark"))}


def _beard(f: "Frame", plan: "PersonPlan") -> Worn:
    r = f.head_half
    rows = [(0.62 * r, 0.40 * r, 0.60 * r, 0.36 * r), (0.25 * r, 0.36 * r, 0.50 * r, 0.52 * r)]
    rows += [(-0.25 * r, 0.20 * r, 0.30 * r, 0.62 * r), (-0.5 * r, 0.06 * r, 0.1 * r, 0.66 * r)]
    tash = ball((0.84 * r, 0, 0.62 * r), (0.13 * r, 0.34 * r, 0.09 * r), "beard", sides=8, rows=3)
    return {"head": merge(pillar(rows, "beard"), tash)}


def _long_beard(f: "Frame", plan: "PersonPlan") -> Worn:
    r = f.head_half
    rows = [(0.62 * r, 0.42 * r, 0.64 * r, 0.36 * r), (0.1 * r, 0.40 * r, 0.60 * r, 0.56 * r)]
    rows += [(-0.8 * r, 0.26 * r, 0.42 * r, 0.72 * r), (-1.7 * r, 0.06 * r, 0.1 * r, 0.70 * r)]
    tash = ball((0.84 * r, 0, 0.62 * r), (0.14 * r, 0.42 * r, 0.10 * r), "beard", sides=8, rows=3)
    return {"head": merge(pillar(rows, "beard"), tash)}


def _chest(f: "Frame") -> float:
    return f.shoulder_z - f.waist_z


def _coat(f: "Frame", plan: "PersonPlan") -> Worn:
    """A jacket: a collar, and a skirt over the hips (torso and sleeves are painted with its ink)."""
    h, g, top = f.height, f.girth, _chest(f)
    collar = pillar(
        [(0.98 * top, 0.058 * h, 0.074 * h), (1.22 * top, 0.050 * h, 0.058 * h)], "coat", sides=10
    )
    skirt = [(0.075 * h, 0.062 * h * g, 0.090 * h * g), (-0.06 * h, 0.082 * h * g, 0.114 * h * g)]
    return {"torso": collar, "hips": pillar(skirt, "coat", sides=12)}


def _tails(length: float, flare: float) -> Callable[["Frame", "PersonPlan"], Worn]:
    """The lower half of a long coat: a panel on each thigh, down to ``length`` of it, and a row of buttons."""

    def make(f: "Frame", plan: "PersonPlan") -> Worn:
        h, g, top = f.height, f.girth, _chest(f)
        buttons = [
            ball((0.068 * h * g, 0.0, z * top), 0.014 * h, "strap", sides=6, rows=3) for z in (0.2, 0.5, 0.8)
        ]
        worn = {"torso": merge(*buttons)}
        for side, sign in (("l", 1.0), ("r", -1.0)):
            rows = [
                (0.02 * h, 0.074 * h * g, 0.080 * h * g),
                (-length * f.bone, flare * h * g, flare * h * g),
            ]
            worn[f"thigh_{side}"] = moved(pillar(rows, "coat", sides=12), y=-sign * 0.024 * h)
        return worn

    return make


def _blazer(f: "Frame", plan: "PersonPlan") -> Worn:
    """Shirt triangle and lapels on a jacket, a short skirt below the waist."""
    h, g, top = f.height, f.girth, _chest(f)
    shirt = prism(
        [(0.0, 0.40 * top), (0.03 * h, 1.04 * top), (-0.02 * h, 1.1 * top)],
        (0.004 * h, 0.05 * h, 0.05 * h),
        "top",
    )
    shirt = moved(shirt, x=0.058 * h * g)
    return {"torso": shirt}


def _tie(f: "Frame", plan: "PersonPlan") -> Worn:
    h, top = f.height, _chest(f)
    knot = box((0.082 * h * f.girth, 0, 0.70 * top), (0.008 * h, 0.016 * h, 0.30 * top), "trim", taper=0.5)
    return {"torso": knot}


def _belt(f: "Frame", plan: "PersonPlan") -> Worn:
    h, g = f.height, f.girth
    rows = [(0.045 * h, 0.064 * h * g, 0.093 * h * g), (0.075 * h, 0.062 * h * g, 0.090 * h * g)]
    buckle = box((0.064 * h * g, 0, 0.06 * h), (0.008 * h, 0.016 * h, 0.013 * h), "metal")
    return {"hips": merge(pillar(rows, "strap", sides=12), buckle)}


def _vest(f: "Frame", plan: "PersonPlan") -> Worn:
    """A bright vest with light bands; also a waistcoat when the inks say so."""
    h, g, top, sy = f.height, f.girth, _chest(f), f.shoulder_y
    rows = [(-0.02 * h, 0.063 * h * g, 0.091 * h * g), (0.28 * top, 0.067 * h * g, 0.094 * h * g)]
    rows += [
        (0.42 * top, 0.069 * h * g, 0.097 * h * g),
        (0.62 * top, 0.074 * h * g, 0.52 * (0.084 * h * g + sy)),
        (0.98 * top, 0.062 * h, 0.86 * sy),
    ]
    return {"torso": pillar(rows, ["gear", "gear", "trim", "gear", "gear", "gear"], sides=12)}


def _bands(f: "Frame", plan: "PersonPlan") -> Worn:
    """Reflecting bands on sleeves, chest and legs."""
    h, g, top = f.height, f.girth, _chest(f)
    band = [(0.30 * top, 0.068 * h * g, 0.092 * h * g), (0.46 * top, 0.072 * h * g, 0.101 * h * g)]
    worn = {"torso": pillar(band, "trim", sides=12)}
    for side in "lr":
        worn[f"forearm_{side}"] = pillar(
            [(-0.6 * f.forearm, 0.036 * h, 0.036 * h), (-0.8 * f.forearm, 0.034 * h, 0.034 * h)], "trim"
        )
        worn[f"shin_{side}"] = pillar(
            [(-0.55 * f.bone, 0.046 * h, 0.046 * h), (-0.72 * f.bone, 0.044 * h, 0.044 * h)], "trim"
        )
    return worn


def _apron(f: "Frame", plan: "PersonPlan") -> Worn:
    h, g, top = f.height, f.girth, _chest(f)
    bib = prism(
        [(0.0, -0.05 * h), (0.022 * h, 0.3 * top), (0.022 * h, 0.75 * top), (-0.03 * h, 0.7 * top)],
        (0.08 * h, 0.075 * h, 0.05 * h, 0.05 * h),
        "gear",
    )
    fall = pillar(
        [(0.07 * h, 0.066 * h * g, 0.088 * h * g), (-0.19 * h, 0.09 * h * g, 0.115 * h * g)], "gear", sides=12
    )
    keep = np.maximum(fall.vertices[:, 0], 0.0)
    fall = Shape(np.column_stack([keep, fall.vertices[:, 1:]]), fall.faces, fall.inks)
    return {"torso": moved(bib, x=0.052 * h * g), "hips": fall}


def _dungarees(f: "Frame", plan: "PersonPlan") -> Worn:
    h, g, top = f.height, f.girth, _chest(f)
    bib = [
        (-0.03 * h, 0.062 * h * g, 0.089 * h * g),
        (0.30 * top, 0.068 * h * g, 0.09 * h * g),
        (0.62 * top, 0.074 * h * g, 0.085 * h * g),
    ]
    braces = [
        limb(
            (x * h, 0.055 * h, 0.60 * top),
            (0.02 * np.sign(x) * h, 0.06 * h, 1.12 * top),
            0.016 * h,
            0.014 * h,
            "bottom",
            sides=6,
        )
        for x in (0.066, -0.06)
    ]
    return {"torso": merge(pillar(bib, "bottom", sides=12), *(pair(brace) for brace in braces))}


def _white_coat(f: "Frame", plan: "PersonPlan") -> Worn:
    return _blazer(f, plan) | {
        bone: shape for bone, shape in _tails(0.8, 0.088)(f, plan).items() if bone != "torso"
    }


def _scarf(f: "Frame", plan: "PersonPlan") -> Worn:
    h, top = f.height, _chest(f)
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


def _shawl(f: "Frame", plan: "PersonPlan") -> Worn:
    h, top, sy = f.height, _chest(f), f.shoulder_y
    rows = [
        (0.30 * top, 0.09 * h, 1.24 * sy),
        (0.80 * top, 0.078 * h, 1.20 * sy),
        (1.08 * top, 0.056 * h, 0.8 * sy),
        (1.2 * top, 0.042 * h, 0.05 * h),
    ]
    return {"torso": pillar(rows, ["trim", "gear", "gear", "gear", "gear"], sides=12)}


def _cape(f: "Frame", plan: "PersonPlan") -> Worn:
    """A cape down the back, with a light collar."""
    h, top, sy = f.height, _chest(f), f.shoulder_y
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


def _armour(f: "Frame", plan: "PersonPlan") -> Worn:
    """Plates on shoulders, elbows and knees, and a chest keel."""
    h, top = f.height, _chest(f)
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


def _backpack(f: "Frame", plan: "PersonPlan") -> Worn:
    h, g, top = f.height, f.girth, _chest(f)
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
            moved(merge(sack, pocket, moved(roll, x=-0.005 * h, z=1.2 * top)), x=x - 0.045 * h),
            *(pair(strap) for strap in straps),
        )
    }


def _tank(f: "Frame", plan: "PersonPlan") -> Worn:
    h, top = f.height, _chest(f)
    pack = box((-0.115 * h, 0, 0.62 * top), (0.05 * h, 0.105 * h, 0.62 * top), "gear", taper=0.92)
    panel = box((0.085 * h, 0, 0.62 * top), (0.02 * h, 0.05 * h, 0.035 * h), "trim")
    return {
        "torso": merge(
            pack, panel, box((0.098 * h, 0.02 * h, 0.64 * top), (0.01 * h, 0.012 * h, 0.012 * h), "brake")
        )
    }


def _in_hand(f: "Frame", plan: "PersonPlan", shape: Shape, side: str = "r") -> Worn:
    """Put an upright thing into a hand: turned back by what the arm's pose turns it."""
    arm = plan.right if side == "r" else plan.left
    upright = turned(shape, "y", arm.pitch + arm.elbow)
    return {f"forearm_{side}": moved(upright, z=-f.forearm - 0.028 * f.height)}


def _hand_height(f: "Frame", plan: "PersonPlan", side: str = "r") -> float:
    """Height of the hand over the ground in the arm's resting pose."""
    arm = plan.right if side == "r" else plan.left
    reach = f.forearm + 0.028 * f.height
    return f.shoulder_z - f.upper_arm * np.cos(arm.pitch) - reach * np.cos(arm.pitch + arm.elbow)


def _stick(over: float, knob: float = 0.0) -> Callable[["Frame", "PersonPlan"], Worn]:
    """A stick from the ground through the right hand to ``over`` heights above it; a knob makes it a staff."""

    def make(f: "Frame", plan: "PersonPlan") -> Worn:
        h, down = f.height, 0.88 * _hand_height(f, plan)
        pole = limb((0, 0, -down), (0, 0, over * h), 0.009 * h, 0.012 * h, "wood", sides=6)
        tip = ball((0, 0, over * h), max(knob, 0.016) * h, "glow" if knob else "dark", sides=8)
        return _in_hand(f, plan, merge(pole, tip))

    return make


def _pitchfork(f: "Frame", plan: "PersonPlan") -> Worn:
    h, down = f.height, 0.84 * _hand_height(f, plan)
    pole = limb((0, 0, -down), (0, 0, 0.34 * h), 0.010 * h, 0.010 * h, "wood", sides=6)
    bar = limb((0, -0.05 * h, 0.34 * h), (0, 0.05 * h, 0.34 * h), 0.010 * h, 0.010 * h, "metal", sides=6)
    tines = [
        limb((0, y * h, 0.34 * h), (0, y * h, 0.50 * h), 0.009 * h, 0.006 * h, "metal", sides=5)
        for y in (-0.05, 0, 0.05)
    ]
    return _in_hand(f, plan, merge(pole, bar, *tines))


def _umbrella(f: "Frame", plan: "PersonPlan") -> Worn:
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
    roof = painted(
        roof,
        "trim",
        lambda p: (
            (np.floor(np.arctan2(p[:, 1], p[:, 0]) / (np.pi / 4)) % 2 == 0) & (p[:, 2] > top - 0.155 * h)
        ),
    )
    return _in_hand(f, plan, merge(pole, moved(roof, x=-0.10 * h)))


def _bag(
    ink: str, size: tuple[float, float, float], side: str = "l"
) -> Callable[["Frame", "PersonPlan"], Worn]:
    """A case or bag hanging from a hand; size in heights (x, y, z)."""

    def make(f: "Frame", plan: "PersonPlan") -> Worn:
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


def _bucket(f: "Frame", plan: "PersonPlan") -> Worn:
    h = f.height
    pail = pillar(
        [(-0.20 * h, 0.052 * h, 0.052 * h), (-0.085 * h, 0.068 * h, 0.068 * h)],
        ["metal", "metal", "glow"],
        sides=12,
    )
    handle = [
        limb((s * 0.066 * h, 0, -0.085 * h), (0, 0, 0), 0.006 * h, 0.006 * h, "dark", sides=5)
        for s in (-1, 1)
    ]
    return _in_hand(f, plan, merge(pail, *handle), "l")


def _box(f: "Frame", plan: "PersonPlan") -> Worn:
    """A parcel carried before the chest by both hands."""
    h, g, top = f.height, f.girth, _chest(f)
    parcel = box((0, 0, 0), (0.11 * h, 0.13 * h, 0.095 * h), "gear")
    tape = box((0, 0, 0), (0.112 * h, 0.022 * h, 0.097 * h), "trim")
    return {"torso": moved(merge(parcel, tape), x=0.075 * h * g + 0.12 * h, z=0.30 * top)}


def _balloon(f: "Frame", plan: "PersonPlan") -> Worn:
    h = f.height
    string = limb((0, 0, 0), (0, 0, 0.55 * h), 0.006 * h, 0.006 * h, "white", sides=5)
    bulb = merge(
        ball((0, 0, 0.72 * h), (0.17 * h, 0.17 * h, 0.20 * h), "gear", sides=12, rows=7),
        ball((0, 0, 0.52 * h), 0.025 * h, "gear", sides=6, rows=3),
    )
    return _in_hand(f, plan, merge(string, bulb))


def _shield(f: "Frame", plan: "PersonPlan") -> Worn:
    h = f.height
    rows = [
        (-0.20 * h, 0.008 * h, 0.01 * h),
        (-0.08 * h, 0.018 * h, 0.10 * h),
        (0.10 * h, 0.02 * h, 0.125 * h),
        (0.14 * h, 0.016 * h, 0.12 * h),
    ]
    plate = painted(
        pillar(rows, "gear", sides=12),
        "trim",
        lambda p: (np.abs(p[:, 1]) < 0.028 * h) | (np.abs(p[:, 2] - 0.03 * h) < 0.03 * h),
    )
    return _in_hand(f, plan, moved(turned(plate, "z", np.pi / 2), y=0.04 * h), "l")


def _stethoscope(f: "Frame", plan: "PersonPlan") -> Worn:
    h, top = f.height, _chest(f)
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


def _stripes(f: "Frame", plan: "PersonPlan") -> Worn:
    """Broad bands round the shirt."""
    h, g, top, sy = f.height, f.girth, _chest(f), f.shoulder_y
    bands = []
    for low, high in ((0.15, 0.30), (0.48, 0.62)):
        rows = [
            (z * top, (0.061 + 0.010 * z) * h * g, 0.085 * h * g + (0.55 * sy - 0.042 * h * g) * z)
            for z in (low, high)
        ]
        bands.append(pillar(rows, "trim", sides=12))
    return {"torso": merge(*bands)}


def _number(f: "Frame", plan: "PersonPlan") -> Worn:
    h, top = f.height, _chest(f)
    return {
        "torso": merge(
            *(
                box((x * h * f.girth, 0, 0.62 * top), (0.008 * h, 0.042 * h, 0.045 * h), "white")
                for x in (0.066, -0.064)
            )
        )
    }


def _pigtails(f: "Frame", plan: "PersonPlan") -> Worn:
    r = f.head_half
    tail = limb((-0.2 * r, 0.82 * r, 1.15 * r), (-0.25 * r, 1.05 * r, 0.25 * r), 0.24 * r, 0.10 * r, "hair")
    return {
        "head": merge(
            pair(tail), pair(ball((-0.2 * r, 0.80 * r, 1.2 * r), 0.16 * r, "trim", sides=6, rows=3))
        )
    }


PARTS: Mapping[str, Callable[["Frame", "PersonPlan"], Worn]] = {
    "cap": _cap,
    "beanie": _beanie,
    "straw hat": _brimmed(1.55, 0.55, 0.05),
    "cowboy hat": _brimmed(1.50, 0.70, -0.10),
    "sun hat": _brimmed(1.45, 0.5, 0.22),
    "hard hat": _hard_hat,
    "fire helmet": _fire_helmet,
    "toque": _toque,
    "crown": _crown,
    "wizard hat": _wizard_hat,
    "hood": _hood,
    "helm": _knight_helm,
    "space helmet": _space_helmet,
    "headband": _headband,
    "glasses": _glasses,
    "beard": _beard,
    "long beard": _long_beard,
    "pigtails": _pigtails,
    "coat": _coat,
    "blazer": _blazer,
    "overcoat": _tails(0.95, 0.094),
    "parka": _tails(0.45, 0.086),
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
    "shopping bag": _bag("gear", (0.085, 0.04, 0.10)),
    "bucket": _bucket,
    "box": _box,
    "balloon": _balloon,
    "shield": _shield,
}
