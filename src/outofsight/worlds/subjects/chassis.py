"""The bodies of vehicles, built in the root frame: x forward, z up, wheels touching z = 0."""

from collections.abc import Sequence

import numpy as np

from outofsight.worlds.subjects.shapes import (
    Shape,
    ball,
    box,
    hull,
    limb,
    loft,
    merge,
    painted,
    pair,
    pillar,
    prism,
    ring,
)


def _arches(wheels: Sequence[tuple[float, float, float, float]]) -> Shape:
    """Dark wheel housings (x, half track, radius, half width), a little larger than the wheels."""
    arches = []
    for x, y, radius, width in wheels:
        round_ = 1.16 * radius * ring(16)
        rows = [
            np.column_stack([x + round_[:, 0], np.full(16, side), radius + round_[:, 1]])
            for side in (y - width, y + 0.115)
        ]
        housing = loft(np.array(rows), "dark")
        above = np.maximum(housing.vertices, [-np.inf, -np.inf, 0.5 * radius])
        arches.append(Shape(above, housing.faces, housing.inks))
    return merge(*(pair(arch) for arch in arches))


def _lamps(x_front: float, x_back: float, y: float, z: float, size: float) -> Shape:
    head = pair(ball((x_front, y, z), (0.06, size * 1.3, size), "lamp", sides=8, rows=4))
    tail = pair(box((x_back, y, z + 0.05), (0.04, size, size * 0.8), "brake"))
    return merge(head, tail)


def car_chassis() -> Shape:
    """A saloon with glazed cabin, grille, plate, mirrors and lamps."""
    body = [
        (-2.08, 0.70, 0.22, 0.60),
        (-1.98, 0.82, 0.30, 0.60),
        (-1.2, 0.88, 0.34, 0.60),
        (0.4, 0.89, 0.33, 0.58),
        (1.5, 0.86, 0.27, 0.55),
        (2.0, 0.76, 0.20, 0.52),
        (2.10, 0.62, 0.14, 0.50),
    ]
    lower = hull(body, "paint", sides=16, power=4.5)
    sill = hull([(-2.0, 0.80, 0.10, 0.32), (2.02, 0.74, 0.10, 0.32)], "dark", sides=12, power=5)
    rows = [
        (-1.72, 0.66, 0.06, 0.90),
        (-1.15, 0.72, 0.28, 1.10),
        (-0.1, 0.73, 0.31, 1.12),
        (0.35, 0.72, 0.27, 1.08),
        (1.05, 0.66, 0.05, 0.84),
    ]
    cabin = painted(hull(rows, "glass", sides=16, power=3.6), "paint", lambda p: p[:, 2] > 1.30)
    posts = [box((x, 0.70, 1.08), (0.045, 0.035, 0.26), "paint", taper=0.8) for x in (-0.38,)]
    arches = _arches([(1.28, 0.80, 0.33, 0.12), (-1.30, 0.80, 0.33, 0.12)])
    plate = box((2.10, 0, 0.42), (0.02, 0.24, 0.06), "white")
    grille = box((2.09, 0, 0.56), (0.03, 0.34, 0.05), "dark")
    mirror = ball((0.62, 0.93, 0.93), (0.07, 0.09, 0.06), "paint", sides=8, rows=3)
    return merge(
        lower,
        sill,
        cabin,
        *(pair(post) for post in posts),
        arches,
        plate,
        grille,
        pair(mirror),
        _lamps(2.02, -2.06, 0.58, 0.64, 0.11),
    )


def van_chassis() -> Shape:
    """A delivery van: sloping nose, blank sides with a band."""
    body = [
        (-2.40, 0.86, 0.86, 1.18),
        (-2.34, 0.95, 0.95, 1.20),
        (0.6, 0.96, 0.96, 1.21),
        (1.15, 0.93, 0.90, 1.16),
        (1.75, 0.88, 0.52, 0.82),
        (2.22, 0.82, 0.36, 0.68),
        (2.36, 0.70, 0.26, 0.60),
    ]
    lower = hull(body, "paint", sides=20, power=7)
    windscreen = prism(
        [(1.08, 2.02), (1.10, 1.36), (1.84, 1.30), (1.26, 2.0)], (0.76, 0.82, 0.80, 0.74), "glass"
    )
    side = pair(box((0.72, 0.945, 1.62), (0.42, 0.025, 0.26), "glass", taper=0.86))
    band = pair(box((-0.9, 0.955, 1.20), (1.35, 0.02, 0.16), "stripe"))
    back = box((-2.40, 0, 1.60), (0.03, 0.66, 0.26), "glass")
    sill = hull([(-2.32, 0.90, 0.10, 0.30), (2.24, 0.82, 0.10, 0.32)], "dark", sides=12, power=5)
    arches = _arches([(1.48, 0.86, 0.36, 0.13), (-1.45, 0.86, 0.36, 0.13)])
    return merge(
        lower,
        windscreen,
        side,
        band,
        back,
        sill,
        arches,
        box((2.36, 0, 0.62), (0.03, 0.45, 0.07), "dark"),
        _lamps(2.28, -2.38, 0.64, 0.78, 0.12),
    )


def bus_chassis() -> Shape:
    """A city bus with a row of windows, two doors and a lit sign."""
    body = [
        (-4.0, 1.10, 1.18, 1.62),
        (-3.92, 1.22, 1.30, 1.64),
        (3.75, 1.22, 1.30, 1.64),
        (3.98, 1.14, 1.16, 1.60),
    ]
    lower = painted(hull(body, "paint", sides=20, power=9), "white", lambda p: p[:, 2] > 2.72)
    windows = [pair(box((x, 1.215, 2.02), (0.50, 0.025, 0.42), "glass")) for x in np.linspace(-3.2, 1.9, 5)]
    doors = [box((x, -1.225, 1.50), (0.42, 0.025, 0.98), "glass") for x in (3.1, -0.2)]
    stripe = pair(box((0, 1.225, 1.28), (3.85, 0.02, 0.12), "stripe"))
    front = box((3.98, 0, 1.86), (0.04, 1.02, 0.66), "glass")
    sign = box((4.0, 0, 2.70), (0.03, 0.72, 0.13), "lamp")
    back = box((-4.0, 0, 2.05), (0.03, 0.9, 0.40), "glass")
    sill = hull([(-3.9, 1.16, 0.12, 0.40), (3.86, 1.14, 0.12, 0.40)], "dark", sides=12, power=6)
    arches = _arches([(2.45, 1.12, 0.48, 0.16), (-2.45, 1.12, 0.48, 0.16)])
    driver = box((3.2, 1.215, 2.05), (0.35, 0.025, 0.42), "glass")
    return merge(
        lower,
        *windows,
        *doors,
        stripe,
        front,
        sign,
        back,
        sill,
        arches,
        driver,
        _lamps(3.96, -4.0, 0.86, 0.78, 0.15),
    )


def tractor_chassis() -> Shape:
    """A tractor: narrow bonnet, chimney, wings over the rear wheels, a roof on four posts."""
    bonnet = hull(
        [
            (0.1, 0.34, 0.36, 1.18),
            (0.9, 0.34, 0.36, 1.16),
            (1.46, 0.30, 0.30, 1.12),
            (1.56, 0.24, 0.24, 1.10),
        ],
        "paint",
        sides=16,
        power=5,
    )
    belly = box((0.55, 0, 0.72), (0.95, 0.20, 0.18), "dark")
    grille = box((1.56, 0, 1.10), (0.03, 0.18, 0.18), "dark")
    deck = box((-0.5, 0, 0.95), (0.62, 0.50, 0.22), "paint")
    fender = pillar(
        [(1.50, 0.52, 0.20, -0.78, 0.70), (1.66, 0.44, 0.20, -0.78, 0.70), (1.72, 0.26, 0.18, -0.78, 0.70)],
        "paint",
        sides=12,
        power=5,
    )
    posts = [
        limb((x, 0.52, 1.2), (x * 0.92 - 0.02, 0.48, 2.42), 0.04, 0.04, "dark", sides=6)
        for x in (0.05, -1.05)
    ]
    roof = hull(
        [(-1.2, 0.58, 0.05, 2.46), (-0.5, 0.64, 0.09, 2.50), (0.2, 0.58, 0.05, 2.46)],
        "paint",
        sides=14,
        power=5,
    )
    chimney = limb((0.95, 0.24, 1.4), (0.95, 0.24, 2.1), 0.05, 0.045, "metal", sides=8)
    handle = limb((-0.02, 0, 1.35), (-0.16, 0, 1.72), 0.03, 0.03, "dark", sides=6)
    ring = hull([(-0.19, 0.2, 0.2, 1.76), (-0.15, 0.2, 0.2, 1.74)], "dark", sides=12)
    stool = box((-0.72, 0, 1.26), (0.22, 0.24, 0.10), "seat")
    rest = box((-0.92, 0, 1.52), (0.05, 0.24, 0.24), "seat")
    lamps = pair(ball((1.52, 0.22, 1.28), (0.06, 0.08, 0.08), "lamp", sides=8, rows=4))
    return merge(
        bonnet,
        belly,
        grille,
        deck,
        pair(fender),
        *(pair(post) for post in posts),
        roof,
        chimney,
        handle,
        ring,
        stool,
        rest,
        lamps,
    )


def forklift_chassis() -> Shape:
    """A forklift's body: counterweight, seat, overhead guard with a warning light."""
    body = hull(
        [
            (-1.10, 0.42, 0.40, 0.72),
            (-1.02, 0.52, 0.48, 0.72),
            (-0.30, 0.54, 0.42, 0.64),
            (0.62, 0.50, 0.26, 0.48),
            (0.72, 0.44, 0.20, 0.44),
        ],
        "paint",
        sides=16,
        power=5,
    )
    weight = hull([(-1.16, 0.44, 0.30, 0.66), (-0.86, 0.54, 0.44, 0.68)], "dark", sides=14, power=5)
    posts = [
        limb((x, 0.46, z), (x * 0.8 - 0.02, 0.42, 2.08), 0.035, 0.035, "dark", sides=6)
        for x, z in ((0.52, 0.7), (-0.82, 1.1))
    ]
    bars = [
        limb((0.40, y, 2.10), (-0.68, y, 2.10), 0.03, 0.03, "dark", sides=6)
        for y in (-0.42, -0.14, 0.14, 0.42)
    ]
    stool = merge(
        box((-0.34, 0, 1.06), (0.24, 0.24, 0.08), "seat"), box((-0.58, 0, 1.34), (0.05, 0.24, 0.26), "seat")
    )
    column = limb((0.34, 0, 0.72), (0.16, 0, 1.26), 0.035, 0.035, "dark", sides=6)
    ring = hull([(0.10, 0.16, 0.16, 1.30), (0.14, 0.16, 0.16, 1.28)], "dark", sides=12)
    light = ball((-0.2, 0, 2.2), (0.08, 0.08, 0.09), "glow", sides=8, rows=4)
    return merge(body, weight, *(pair(post) for post in posts), *bars, stool, column, ring, light)


def forks() -> Shape:
    """A forklift's mast with rails and blades, a pallet and a crate on it."""
    rails = pair(box((0.80, 0.30, 1.08), (0.05, 0.05, 1.00), "metal"))
    cross = [box((0.80, 0, z), (0.04, 0.34, 0.05), "metal") for z in (0.25, 1.1, 2.02)]
    carriage = box((0.90, 0, 0.50), (0.04, 0.42, 0.16), "dark")
    blades = pair(box((1.40, 0.22, 0.34), (0.52, 0.06, 0.025), "metal"))
    pallet = box((1.42, 0, 0.42), (0.46, 0.44, 0.05), "wood")
    crate = box((1.42, 0, 0.76), (0.38, 0.38, 0.28), "gear")
    strap = box((1.42, 0, 0.76), (0.385, 0.05, 0.285), "strap")
    return merge(rails, *cross, carriage, blades, pallet, crate, strap)


def bicycle_chassis() -> Shape:
    """A city bicycle's frame with saddle, handlebar and a basket."""
    hub_b, hub_f, bottom, saddle, head = (
        (-0.52, 0.34),
        (0.56, 0.34),
        (-0.05, 0.30),
        (-0.20, 0.86),
        (0.38, 0.84),
    )
    pairs = [(bottom, saddle), (bottom, head), ((-0.18, 0.78), head)]
    tubes = [limb((a[0], 0, a[1]), (b[0], 0, b[1]), 0.024, 0.022, "paint", sides=8) for a, b in pairs]
    stays = [
        pair(limb((a[0], 0.045, a[1]), (hub_b[0], 0.055, hub_b[1]), 0.014, 0.014, "paint", sides=6))
        for a in (bottom, (-0.17, 0.74))
    ]
    fork = pair(
        limb((head[0], 0.045, head[1] - 0.1), (hub_f[0], 0.055, hub_f[1]), 0.018, 0.014, "paint", sides=6)
    )
    stem = limb((head[0], 0, head[1]), (0.34, 0, 0.98), 0.02, 0.02, "metal", sides=6)
    bar = merge(
        limb((0.36, -0.24, 1.0), (0.36, 0.24, 1.0), 0.016, 0.016, "metal", sides=6),
        pair(limb((0.36, 0.24, 1.0), (0.26, 0.26, 1.0), 0.02, 0.02, "dark", sides=6)),
    )
    seat = hull(
        [(-0.34, 0.085, 0.03, 0.90), (-0.22, 0.075, 0.03, 0.905), (-0.04, 0.025, 0.02, 0.90)], "seat", sides=8
    )
    basket = pillar(
        [(0.78, 0.12, 0.15, 0.56), (0.98, 0.15, 0.18, 0.56)], ["wood", "wood", "dark"], sides=10, power=4
    )
    return merge(
        *tubes, *stays, fork, stem, bar, seat, basket, box((-0.62, 0, 0.66), (0.03, 0.03, 0.03), "brake")
    )


def scooter_chassis() -> Shape:
    """A motor scooter: leg shield, foot board, seat, headlamp."""
    tail = hull(
        [
            (-0.72, 0.10, 0.12, 0.60),
            (-0.52, 0.19, 0.20, 0.55),
            (-0.16, 0.18, 0.20, 0.53),
            (0.0, 0.12, 0.12, 0.42),
        ],
        "paint",
        sides=14,
    )
    board = box((0.16, 0, 0.28), (0.26, 0.17, 0.035), "stripe")
    shield = prism(
        [(0.38, 0.26), (0.46, 0.26), (0.42, 0.62), (0.32, 0.96), (0.28, 0.94)],
        (0.17, 0.17, 0.22, 0.13, 0.13),
        "paint",
    )
    seat = hull(
        [(-0.66, 0.10, 0.05, 0.78), (-0.40, 0.16, 0.06, 0.78), (-0.06, 0.12, 0.05, 0.76)], "seat", sides=10
    )
    fork = limb((0.36, 0, 0.85), (0.58, 0, 0.24), 0.045, 0.035, "metal", sides=8)
    bar = limb((0.28, -0.30, 1.02), (0.28, 0.30, 1.02), 0.022, 0.022, "dark", sides=6)
    lamp = ball((0.36, 0, 1.0), (0.09, 0.09, 0.08), "lamp", sides=10, rows=4)
    mirror = pair(ball((0.30, 0.30, 1.18), (0.02, 0.06, 0.05), "metal", sides=8, rows=3))
    mudguard = hull(
        [(0.40, 0.07, 0.05, 0.46), (0.58, 0.08, 0.05, 0.50), (0.76, 0.06, 0.05, 0.42)], "paint", sides=8
    )
    return merge(
        tail,
        board,
        shield,
        seat,
        fork,
        bar,
        lamp,
        mirror,
        mudguard,
        box((-0.73, 0, 0.60), (0.03, 0.08, 0.05), "brake"),
    )
