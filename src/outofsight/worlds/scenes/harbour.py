"""A quay over the water."""

from math import pi

import numpy as np

from outofsight.worlds.scenes import parked, street_things
from outofsight.worlds.scenes.buildings import row_of_houses
from outofsight.worlds.scenes.draft import Draft
from outofsight.worlds.scenes.ground import GroundMap
from outofsight.worlds.scenes.kinds import SceneKind
from outofsight.worlds.scenes.layout import Colour
from outofsight.worlds.scenes.mesh import (
    box,
    cylinder,
    floor,
    hexahedron,
    join,
    lathe,
    panel,
    tube,
    wheel,
)
from outofsight.worlds.scenes.noise import blend, fractal_noise, shade

WATER_M = -0.75


def harbour(kind: SceneKind, layout_seed: int, light: str) -> Draft:
    """A quay: water and boats on one side, containers, a crane and warehouses on the others."""
    draft = Draft(kind, layout_seed, light, (-18, -8.6, 18, 12.5), (-9, -3.8, 9, 3.8))
    rng = draft.rng
    draft.horizon, draft.below = "sea", (0.3, 0.42, 0.5)
    _water(draft)
    _quay_edge(draft)
    _moor_boats(draft)
    _breakwater(draft)
    row_of_houses(draft, (-26, 19.5), (26, 19.5), (2, 3), shop=0.35, pitched=0.8)
    _container_yard(draft, 25.0, float(rng.uniform(-4, 4)))
    _crane(draft, -25.5, float(rng.uniform(-5, 2)))
    for y in (5.0, 12.5):
        parked.container(draft, -26, y + 3, pi / 2 * float(rng.integers(2)))
    things = [_nets, _nets, _rope_coil, _rope_coil, _crates, _crates, _barrels, _barrels, _lobster_pots]
    for maker in things:
        spot = draft.find_spot((-16, -7.6, 16, 11.5), 1.2)
        if spot:
            maker(draft, spot[0], spot[1])
    spot = draft.find_spot((-14, 6.5, 14, 9), 3.4)
    if spot:
        parked.container(draft, spot[0], spot[1], 0.0)
    spot = draft.find_spot((-14, 5, 14, 11), 2.0)
    if spot:
        parked.fork_lift(draft, spot[0], spot[1], rng.uniform(0, 6))
    for x in (-12, 0, 12):
        street_things.street_lamp(draft, x + rng.uniform(-1, 1), 11.9, -pi / 2, 4.8)
    _draw_quay(draft)
    return draft


def _draw_quay(draft: Draft) -> None:
    rng = draft.rng
    ground = GroundMap(draft, (-30, -9.6, 30, 20), 20)
    ground.lay(
        ground.mottled(draft.pick((0.56, 0.55, 0.52), (0.5, 0.5, 0.5), (0.6, 0.55, 0.48)), 2.5, 0.11, 0.04)
    )
    slabs = ((ground.x % 5.0) < 0.06) | ((ground.y % 5.0) < 0.06)
    ground.lay((0.3, 0.3, 0.3), 0.6 * slabs * np.ones((ground.height, ground.width), np.float32))
    ground.lay(ground.paving((0.62, 0.6, 0.57), 1.2, 0.6, 0.08), ground.rect(-30, -9.6, 30, -7.6))
    ground.worn((0.92, 0.75, 0.2), ground.rect(-30, -7.45, 30, -7.25))
    for y in (4.6, 6.0):
        ground.lay((0.34, 0.33, 0.33), ground.rect(-30, y - 0.12, 30, y + 0.12))
        ground.lay((0.62, 0.6, 0.58), ground.rect(-30, y - 0.04, 30, y + 0.04))
    for _ in range(5):
        ground.lay(
            (0.36, 0.38, 0.4),
            0.5
            * ground.within(
                np.hypot(ground.x - rng.uniform(-17, 17), ground.y - rng.uniform(-6, 12))
                - 0.8
                + ground.noise(0.9, 3)
            ),
        )
    ground.ground_things()
    ground.spread(None)
    land = floor(220, 70, picture=False).moved(0, 54, -0.05)
    draft.textured("land behind", land, "concrete", (0.6, 0.6, 0.56))
    sides = [floor(80, 29.5).moved(side * 69, 5.2, -0.05) for side in (-1, 1)]
    draft.textured("quay sides", join(*sides), "concrete", (0.6, 0.58, 0.55))


def _moor_boats(draft: Draft) -> None:
    """Boats along the quay in two ranks, and a few out on the water."""
    rng = draft.rng
    for k, x in enumerate(np.linspace(-30, 30, 6)):
        length = float(rng.uniform(6, 12))
        yaw = (0.0 if rng.random() < 0.5 else pi) + rng.uniform(-0.08, 0.08)
        parked.boat(
            draft,
            x + rng.uniform(-2, 2),
            -11.6 - 0.16 * length - (5.5 if k % 2 else 0.3),
            yaw,
            WATER_M,
            length,
        )
    for _ in range(5):
        parked.boat(
            draft,
            rng.uniform(-55, 55),
            rng.uniform(-62, -30),
            rng.uniform(0, 2 * pi),
            WATER_M,
            rng.uniform(8, 14),
        )


def _water(draft: Draft) -> None:
    size = 224
    place = (np.arange(size, dtype=np.float32) + 0.5) / size * 2 - 1
    x, y = np.meshgrid(place, place)
    waves = fractal_noise(draft.rng, size, size, 60, 3, 0.7)
    deep: Colour = (0.16, 0.33, 0.42)
    image = shade(deep, 1 + 0.22 * waves)
    haze = np.clip((np.hypot(x, y) * 240 - 30) / 210, 0, 1) ** 0.6
    draft.show("sea", blend(image, draft.haze_colour, 0.9 * haze))
    draft.decal("sea", floor(480, 480, picture=True).moved(0, -60, WATER_M - 0.05), "sea")
    draft.textured("near water", floor(150, 42).moved(0, -30, WATER_M), "water", (0.25, 0.48, 0.58), "gloss")


def _quay_edge(draft: Draft) -> None:
    wall = panel(220, 2.2, picture=False).moved(0, -9.6, -2.2)
    draft.textured("quay wall", wall, "stone blocks", (0.5, 0.48, 0.45))
    kerb = box(220, 0.45, 0.22).moved(0, -9.4)
    draft.textured("quay kerb", kerb, "concrete", (0.8, 0.78, 0.72))
    draft.block_box("quay kerb", 0, -9.4, (220, 0.5), 0, 0.3)
    for x in np.arange(-24, 25, 6.0):
        iron = lathe([(0, 0), (0.26, 0), (0.17, 0.1), (0.17, 0.42), (0.3, 0.5), (0.28, 0.62), (0, 0.66)], 10)
        draft.paint("mooring post", iron.moved(x + 1, -8.6), (0.15, 0.15, 0.17), finish="satin")
        draft.block_disc("mooring post", x + 1, -8.6, 0.34, 0.7)
        fender = wheel(0.45, 0.3, 12).moved(x - 2, -9.8, -0.5)
        draft.paint("fender", fender, (0.08, 0.08, 0.09))


def _breakwater(draft: Draft) -> None:
    rng = draft.rng
    side = float(rng.choice([-1, 1]))
    draft.textured(
        "breakwater",
        hexahedron((90, 9), (88, 4), 2.6).moved(side * 25, -68, WATER_M - 0.4),
        "rock",
        (0.5, 0.48, 0.46),
    )
    x, y = -side * 20, -68
    bands = [cylinder(1.5 - 0.12 * k, 2.0, 12, 1.38 - 0.12 * k).moved(x, y, 1.0 + 2 * k) for k in range(5)]
    for k, band in enumerate(bands):
        draft.paint("lighthouse", band, (0.8, 0.16, 0.14) if k % 2 else (0.95, 0.95, 0.93))
    draft.paint("lighthouse lamp", cylinder(0.75, 1.2, 10).moved(x, y, 11), (1.0, 0.95, 0.7), finish="lamp")
    draft.paint(
        "lighthouse cap",
        join(
            cylinder(1.0, 0.8, 10, 0.05).moved(x, y, 12.2),
            cylinder(1.2, 0.15, 10).moved(x, y, 10.9),
            hexahedron((9, 9), (5, 5), 2.4).moved(x, y, WATER_M),
        ),
        (0.3, 0.3, 0.32),
    )


def _container_yard(draft: Draft, x: float, y: float) -> None:
    for row, place in enumerate((y - 6.6, y, y + 6.6)):
        for level in range(int(draft.rng.integers(1, 4))):
            parked.container(draft, x, place, pi / 2, 2.6 * level)
            parked.container(draft, x + 2.7, place, pi / 2, 2.6 * level)
        _ = row


def _crane(draft: Draft, x: float, y: float) -> None:
    """A quay crane on four legs, its jib over the water."""
    colour = draft.pick((0.9, 0.65, 0.12), (0.2, 0.4, 0.65), (0.75, 0.22, 0.15))
    legs = [tube([[a, b, 0], [0.7 * a, 0.7 * b, 9]], 0.28, 4) for a in (-3, 3) for b in (-3, 3)]
    beams = [tube([[-2.6, b, 4.5], [2.6, b, 4.5]], 0.18, 4) for b in (-2.6, 2.6)]
    jib = [tube([[b, 5, 11.2], [b, -20, 17]], 0.14, 4) for b in (-0.7, 0.7)] + [
        tube([[0, 0, 14.5], [0, -19, 17.4]], 0.1, 4),
        tube([[0, 3, 10], [0, 0, 14.8]], 0.25, 4),
    ]
    jib += [
        tube([[-0.7, -k, 12.3 + 0.232 * k], [0.7, -k - 2, 12.7 + 0.232 * k]], 0.06, 3)
        for k in range(0, 18, 2)
    ]
    draft.paint(
        "crane",
        join(*legs, *beams, *jib, box(3.2, 4.6, 2.4).moved(0, 1.5, 9)).moved(x, y),
        colour,
        finish="satin",
    )
    draft.paint(
        "crane cab",
        join(
            box(1.4, 1.4, 1.5).moved(1.6, -1.6, 9.4),
            tube([[0, -18.5, 16.8], [0, -18.5, 5]], 0.05, 4),
            box(0.6, 0.6, 0.5).moved(0, -18.5, 4.6),
        ).moved(x, y),
        (0.2, 0.24, 0.28),
    )
    for a in (-3, 3):
        for b in (-3, 3):
            draft.block_box("crane leg", x + a, y + b, (1.2, 1.2), 0, 9)


def _nets(draft: Draft, x: float, y: float) -> None:
    plants_like = draft.pick((0.2, 0.45, 0.42), (0.75, 0.42, 0.15), (0.25, 0.35, 0.6))
    heap = hexahedron((1.8, 1.4), (0.7, 0.5), 0.7).turned(draft.rng.uniform(0, 3))
    draft.textured("nets", heap.moved(x, y), "fabric", plants_like)
    draft.block_disc("nets", x, y, 1.15, 0.7)


def _rope_coil(draft: Draft, x: float, y: float) -> None:
    rings = [
        lathe([(0.5 - 0.03 * k, 0), (0.55 - 0.03 * k, 0.06), (0.5 - 0.03 * k, 0.12), (0.28, 0.12)], 14).moved(
            x, y, 0.11 * k
        )
        for k in range(4)
    ]
    draft.textured("rope", join(*rings), "hay", (0.8, 0.7, 0.5))
    draft.block_disc("rope", x, y, 0.62, 0.5)


def _crates(draft: Draft, x: float, y: float) -> None:
    yaw = draft.rng.uniform(0, pi)
    street_things.crate(draft, x, y, 0.95, yaw)
    street_things.crate(draft, x, y, 0.7, yaw + 0.3, 0.95)


def _barrels(draft: Draft, x: float, y: float) -> None:
    colour = draft.pick((0.2, 0.4, 0.65), (0.75, 0.25, 0.15), (0.5, 0.34, 0.2))
    for dx, dy in ((-0.38, 0), (0.38, 0.1), (0, 0.65)):
        street_things.barrel(draft, x + dx, y + dy - 0.2, colour)


def _lobster_pots(draft: Draft, x: float, y: float) -> None:
    pots = [
        wheel(0.3, 0.8, 8).moved(0, 0.85 * k, 0.3 + 0.52 * row)
        for row in range(2)
        for k in range(-1, 2 - row)
    ]
    draft.textured("lobster pots", join(*pots).moved(x, y), "hay", (0.6, 0.5, 0.36))
    draft.block_box("lobster pots", x, y, (0.8, 2.8), 0, 1.2)
