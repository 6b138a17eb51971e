"""Hair, hats, helmets, beards and glasses: what sits on the head bone."""

from collections.abc import Callable, Mapping

import numpy as np

from outofsight.errors import WorldError
from outofsight.worlds.subjects.measures import Frame, Part, PersonPlan, Worn
from outofsight.worlds.subjects.shapes import (
    Shape,
    ball,
    box,
    limb,
    merge,
    painted,
    pair,
    pillar,
    prism,
    resized,
    strand,
    translated,
    turned,
)


def hair_shape(style: str, r: float, capped: bool) -> Shape | None:
    """Hair on a head of half height ``r``; "bald" has none; flat where a hat covers it."""
    if style == "bald":
        return None
    cap = _scalp(r, 0.72 if capped else 0.92)
    if style == "short":
        return cap
    if style == "long":
        fall = [(1.2 * r, 0.40 * r, 0.70 * r, -0.32 * r), (0.5 * r, 0.36 * r, 0.78 * r, -0.42 * r)]
        back = pillar([*fall, (-0.45 * r, 0.22 * r, 0.66 * r, -0.50 * r)], "hair", sides=12)
        lock = strand(
            [(0.45 * r, 0, 1.55 * r), (0.32 * r, 0, 0.9 * r), (0.3 * r, 0, 0.1 * r)],
            (0.14 * r, 0.2 * r, 0.12 * r),
            "hair",
        )
        return merge(cap, back, pair(translated(lock, y=0.66 * r)))
    if style == "bob":
        fall = [(1.3 * r, 0.52 * r, 0.78 * r, -0.20 * r), (0.30 * r, 0.50 * r, 0.88 * r, -0.26 * r)]
        return merge(cap, pillar(fall, "hair", sides=10))
    if style == "bun":
        return merge(cap, ball((-0.80 * r, 0, 1.82 * r), 0.38 * r, "hair", sides=10))
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


def _scalp(r: float, tall: float) -> Shape:
    """Hair close to the skull: a shell tipped back, leaving the brow free."""
    shell = ball((0, 0, 0), (0.91 * r, 0.79 * r, tall * r), "hair", sides=14, rows=9)
    keep = shell.vertices.copy()
    keep[:, 2] = np.maximum(keep[:, 2], -0.10 * r)
    shell = Shape(keep, shell.faces, shell.inks)
    return translated(turned(shell, "y", -0.52), x=-0.01 * r, z=1.17 * r)


def _scaled_hat(
    rows: list[tuple[float, float]], r: float, ink: str | list[str], lean: float = -0.12
) -> Shape:
    """A round hat from (height, radius) in units of the head's half height, set back on the skull."""
    shape = pillar([(z * r, 1.1 * w * r, w * r) for z, w in rows], ink, sides=12)
    return translated(turned(shape, "y", lean), x=0.05 * r, z=1.32 * r)


def _cap(f: Frame, plan: PersonPlan) -> Worn:
    r = f.head_half
    crown = _scaled_hat([(0.0, 0.84), (0.30, 0.82), (0.60, 0.60), (0.72, 0.25)], r, "hat")
    brim = resized(ball((0, 0, 0), 1.0, "hat", sides=12, rows=3), 0.62 * r, 0.58 * r, 0.06 * r)
    return {"head": merge(crown, translated(turned(brim, "y", 0.12), x=0.95 * r, z=1.40 * r))}


def _brimmed(brim: float, crown: float, droop: float = 0.0) -> Callable[[Frame, PersonPlan], Worn]:
    """A hat with a brim all round: straw hats, cowboy hats, sun hats."""

    def make(f: Frame, plan: PersonPlan) -> Worn:
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


def _hard_hat(f: Frame, plan: PersonPlan) -> Worn:
    r = f.head_half
    rows = [(-0.02, 1.06), (0.05, 1.06), (0.07, 0.90), (0.42, 0.80), (0.70, 0.50), (0.80, 0.2)]
    ridge = prism(
        [(-0.7 * r, 1.5 * r), (0.8 * r, 1.5 * r), (0.35 * r, 2.17 * r), (-0.35 * r, 2.17 * r)],
        0.10 * r,
        "hat",
    )
    return {"head": merge(_scaled_hat(rows, r, "hat"), ridge)}


def _fire_helmet(f: Frame, plan: PersonPlan) -> Worn:
    r = f.head_half
    rows = [(-0.30, 1.02), (-0.02, 1.0), (0.05, 0.92), (0.45, 0.82), (0.78, 0.48), (0.88, 0.2)]
    shell = _scaled_hat(rows, r, ["hat", "trim", "hat", "hat", "hat", "hat", "hat"], lean=-0.25)
    visor = painted(
        ball((0.55 * r, 0, 1.30 * r), (0.50 * r, 0.72 * r, 0.30 * r), "glass", sides=10),
        "trim",
        lambda p: p[:, 2] > 1.45 * r,
    )
    return {"head": merge(shell, translated(visor, z=0.16 * r))}


def _toque(f: Frame, plan: PersonPlan) -> Worn:
    rows = [(0.0, 0.82), (0.55, 0.80), (0.62, 1.04), (1.05, 1.12), (1.32, 0.85), (1.4, 0.4)]
    return {"head": _scaled_hat(rows, f.head_half, "hat")}


def _crown(f: Frame, plan: PersonPlan) -> Worn:
    r = f.head_half
    band = _scaled_hat([(0.1, 0.82), (0.42, 0.90), (0.42, 0.5)], r, "hat")
    spikes = []
    for angle in np.arange(6) * np.pi / 3:
        spike = pillar([(0, 0.16 * r, 0.16 * r), (0.42 * r, 0.03 * r, 0.03 * r)], "hat", sides=5)
        spikes.append(translated(spike, 0.92 * r * np.cos(angle), 0.80 * r * np.sin(angle), 1.70 * r))
    jewel = ball((1.0 * r, 0, 1.64 * r), 0.11 * r, "brake", sides=6, rows=3)
    return {"head": merge(band, *spikes, jewel)}


def _wizard_hat(f: Frame, plan: PersonPlan) -> Worn:
    rows = [(-0.05, 1.65), (0.06, 1.62), (0.10, 0.90), (0.30, 0.82), (1.10, 0.48), (1.75, 0.22), (2.2, 0.05)]
    inks = ["hat", "hat", "hat", "trim", "hat", "hat", "hat", "hat"]
    return {"head": _scaled_hat(rows, f.head_half, inks, lean=-0.2)}


def _hood(f: Frame, plan: PersonPlan) -> Worn:
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


def _knight_helm(f: Frame, plan: PersonPlan) -> Worn:
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


def _space_helmet(f: Frame, plan: PersonPlan) -> Worn:
    r = f.head_half
    shell = ball((0.02 * r, 0, 0.98 * r), (1.28 * r, 1.22 * r, 1.26 * r), "top", sides=14, rows=7)
    visor = ball((0.50 * r, 0, 1.03 * r), (0.96 * r, 1.02 * r, 0.84 * r), "glass", sides=14, rows=7)
    collar = pillar([(-0.30 * r, 1.0 * r, 1.05 * r), (0.05 * r, 1.0 * r, 1.05 * r)], "trim", sides=12)
    return {"head": merge(shell, visor, collar)}


def _headband(f: Frame, plan: PersonPlan) -> Worn:
    return {"head": _scaled_hat([(-0.02, 0.86), (0.16, 0.88)], f.head_half, "trim")}


def _glasses(f: Frame, plan: PersonPlan) -> Worn:
    r = f.head_half
    bars = [((0.94, 0.30, 1.20), (0.02, 0.19, 0.025)), ((0.94, 0.30, 0.84), (0.02, 0.19, 0.025))]
    bars += [((0.94, 0.13, 1.02), (0.02, 0.025, 0.20)), ((0.90, 0.49, 1.02), (0.02, 0.025, 0.20))]
    rims = [pair(box(np.array(at) * r, np.array(half) * r, "dark")) for at, half in bars]
    bridge = box((0.95 * r, 0, 1.06 * r), (0.02 * r, 0.13 * r, 0.025 * r), "dark")
    sides = pair(
        limb(
            (0.88 * r, 0.52 * r, 1.06 * r),
            (0.05 * r, 0.76 * r, 1.04 * r),
            0.03 * r,
            0.03 * r,
            "dark",
            sides=5,
        )
    )
    return {"head": merge(*rims, bridge, sides)}


def _beard(f: Frame, plan: PersonPlan) -> Worn:
    r = f.head_half
    rows = [(0.62 * r, 0.40 * r, 0.60 * r, 0.36 * r), (0.25 * r, 0.36 * r, 0.50 * r, 0.52 * r)]
    rows += [(-0.25 * r, 0.20 * r, 0.30 * r, 0.62 * r), (-0.5 * r, 0.06 * r, 0.1 * r, 0.66 * r)]
    tash = ball((0.84 * r, 0, 0.62 * r), (0.13 * r, 0.34 * r, 0.09 * r), "beard", sides=8, rows=3)
    return {"head": merge(pillar(rows, "beard"), tash)}


def _long_beard(f: Frame, plan: PersonPlan) -> Worn:
    r = f.head_half
    rows = [(0.62 * r, 0.42 * r, 0.64 * r, 0.36 * r), (0.1 * r, 0.40 * r, 0.60 * r, 0.56 * r)]
    rows += [(-0.8 * r, 0.26 * r, 0.42 * r, 0.72 * r), (-1.7 * r, 0.06 * r, 0.1 * r, 0.70 * r)]
    tash = ball((0.84 * r, 0, 0.62 * r), (0.14 * r, 0.42 * r, 0.10 * r), "beard", sides=8, rows=3)
    return {"head": merge(pillar(rows, "beard"), tash)}


def _pigtails(f: Frame, plan: PersonPlan) -> Worn:
    r = f.head_half
    tail = limb((-0.2 * r, 0.82 * r, 1.15 * r), (-0.25 * r, 1.05 * r, 0.25 * r), 0.24 * r, 0.10 * r, "hair")
    return {
        "head": merge(
            pair(tail), pair(ball((-0.2 * r, 0.80 * r, 1.2 * r), 0.16 * r, "trim", sides=6, rows=3))
        )
    }


HEADWEAR: Mapping[str, Part] = {
    "cap": _cap,
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
}

HATS = frozenset(HEADWEAR) - {"headband", "glasses", "beard", "long beard", "pigtails", "crown"}
"""What covers the hair on top of the head."""
