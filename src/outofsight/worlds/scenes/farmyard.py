"""A farmyard: barn, house, silo, paddocks, hay and machines."""

from math import cos, pi, sin

import numpy as np

from outofsight.worlds.scenes import parked, street_things
from outofsight.worlds.scenes.buildings import HouseLook, house
from outofsight.worlds.scenes.draft import Draft
from outofsight.worlds.scenes.green import LAWN, tree_belt
from outofsight.worlds.scenes.ground import GroundMap, outline_points, shifted
from outofsight.worlds.scenes.kinds import SceneKind
from outofsight.worlds.scenes.mesh import (
    blob,
    box,
    cylinder,
    gable_roof,
    hexahedron,
    join,
    lathe,
    panel,
    quad,
    tube,
    wheel,
)


def farmyard(kind: SceneKind, layout_seed: int, light: str) -> Draft:
    """A yard between a red barn, a farmhouse and paddocks; hay, a tractor, a silo, a wind pump."""
    draft = Draft(kind, layout_seed, light, (-17, -13, 17, 13), (-8, -4.2, 8, 4.2))
    rng = draft.rng
    draft.horizon, draft.below = "hills", (0.45, 0.48, 0.27)
    turn = int(rng.integers(2)) * pi
    c = cos(turn)
    _barn(draft, rng.uniform(-5, 5) * c, 19.5 * c, turn)
    farmhouse = HouseLook(
        width_m=float(rng.uniform(9, 12)),
        depth_m=7.5,
        floors=2,
        wall=("siding", draft.pick((0.93, 0.92, 0.88), (0.9, 0.82, 0.62), (0.66, 0.75, 0.8))),
        pitched=True,
        roof=draft.pick((0.45, 0.25, 0.2), (0.36, 0.37, 0.4)),
        floor_m=2.8,
    )
    house(draft, farmhouse, rng.uniform(-8, -2) * c, -20 * c, turn + pi, all_sides=True)
    _silo(draft, 13.5 * c, 19 * c)
    _wind_pump(draft, 21 * c, rng.uniform(-8, 8))
    _shed(draft, 11 * c, -19.0 * c, turn + pi)
    paddock_x = -20.0 * c
    for y in (-11.0, 0.0, 11.0):
        street_things.fence(
            draft,
            (paddock_x + 2 * c, y - 5.5),
            (paddock_x + 2 * c, y + 5.5),
            colour=(0.5, 0.38, 0.26),
            rails=3,
            height_m=1.25,
        )
    tractor = draft.find_spot((-14, -11, 14, 11), 2.4)
    if tractor:
        parked.tractor(draft, tractor[0], tractor[1], rng.uniform(0, 2 * pi))
    for _ in range(5):
        spot = draft.find_spot((-15, -11.5, 15, 11.5), 1.1)
        if spot:
            _round_bale(draft, spot[0], spot[1])
    stack = draft.find_spot((-14, 6, 14, 11) if rng.random() < 0.5 else (-14, -11, 14, -6), 2.0)
    if stack:
        _bale_stack(draft, stack[0], stack[1], rng.uniform(0, pi))
    for maker in (_trough, _cart, _coop):
        spot = draft.find_spot((-15, -11.5, 15, 11.5), 1.6)
        if spot:
            maker(draft, spot[0], spot[1], rng.uniform(0, 2 * pi))
    for _ in range(3):
        spot = draft.find_spot((-15, -11.5, 15, 11.5), 0.6)
        if spot:
            street_things.barrel(draft, spot[0], spot[1], draft.pick((0.5, 0.34, 0.2), (0.25, 0.35, 0.55)))
    for x, y in ((16.2, 12.3), (-16.2, -12.3)):
        street_things.street_lamp(draft, x, y, rng.uniform(0, 6), 4.0)
    tree_belt(draft, 27, 27, 9.0, conifers=0.1, deep=1)
    _draw_yard_ground(draft)
    return draft


def _draw_yard_ground(draft: Draft) -> None:
    rng = draft.rng
    ground = GroundMap(draft, (-24, -20, 24, 20), 20)
    lawn, dry = LAWN[int(rng.integers(3))]
    ground.lay(ground.meadow(lawn, dry))
    earth = ground.mottled(
        draft.pick((0.56, 0.44, 0.30), (0.62, 0.51, 0.36), (0.50, 0.42, 0.33)), 1.6, 0.12, 0.05
    )
    yard = np.maximum(np.abs(ground.x) - 14, np.abs(ground.y) - 11)
    ground.lay(earth, ground.within(yard + 1.5 * ground.noise(2.5, 3), 1.0))
    for shift in (-0.8, 0.8):
        ruts = shifted(outline_points(rng, (-24, 2), (24, rng.uniform(-4, 4)), 1.2), shift)
        ground.lay((0.38, 0.30, 0.21), 0.5 * ground.strip(ruts, 0.4, 0.2, 0.12))
    straw = np.clip(ground.noise(0.3, 3) * 3 - 1.5, 0, 1)
    ground.lay((0.82, 0.7, 0.38), 0.4 * straw * ground.rect(-14, -11, 14, 11, 3))
    ground.ground_things()
    ground.spread((0.46, 0.50, 0.22))


def _barn(draft: Draft, x: float, y: float, yaw: float) -> None:
    red = draft.pick((0.66, 0.17, 0.13), (0.58, 0.14, 0.12), (0.5, 0.36, 0.25))
    width, depth, tall = 13.0, 10.0, 5.0
    draft.textured("barn", box(width, depth, tall).at(x, y, yaw), "planks", red)
    low = hexahedron((depth + 0.6, width + 0.6), (0.62 * depth, width + 0.6), 2.2).turned(pi / 2)
    high = hexahedron((0.62 * depth, width + 0.6), (0.05, width + 0.6), 1.3).turned(pi / 2).moved(0, 0, 2.2)
    draft.textured(
        "barn roof",
        join(low, high).moved(0, 0, tall).at(x, y, yaw),
        "corrugated",
        draft.pick((0.5, 0.5, 0.52), (0.42, 0.3, 0.26)),
    )
    front = -depth / 2 - 0.05
    draft.paint("barn door", panel(4.2, 3.9).moved(0, front, 0).at(x, y, yaw), (0.16, 0.1, 0.09))
    trim: list = [
        box(4.6, 0.08, 0.2).moved(0, front, 3.9),
        box(0.2, 0.08, 4).moved(-2.2, front, 0),
        box(0.2, 0.08, 4).moved(2.2, front, 0),
    ]
    for side in (-1, 1):
        x0, x1 = sorted((side * 2.4, side * 4.4))
        draft.textured(
            "barn door leaf",
            panel(2.0, 3.9, picture=False).moved((x0 + x1) / 2, front - 0.06, 0).at(x, y, yaw),
            "planks",
            red,
        )
        for a, b in (((x0, 0.1), (x1, 3.8)), ((x0, 3.8), (x1, 0.1))):
            trim.append(tube([[a[0], front - 0.1, a[1]], [b[0], front - 0.1, b[1]]], 0.09, 4))
    trim += [box(0.25, 0.08, tall).moved(k, front, 0) for k in (-width / 2 + 0.1, width / 2 - 0.1)]
    trim.append(box(1.5, 0.1, 1.4).moved(0, front, 4.2))
    draft.paint("barn trim", join(*trim).at(x, y, yaw), (0.95, 0.94, 0.9))
    draft.block_box("barn", x, y, (width + 0.4, depth + 0.6), yaw, 8.5)


def _silo(draft: Draft, x: float, y: float) -> None:
    draft.textured("silo", cylinder(2.1, 11, 16).moved(x, y), "corrugated", (0.8, 0.82, 0.84), "satin")
    draft.paint(
        "silo cap",
        lathe([(2.2, 0), (1.7, 0.9), (0.8, 1.5), (0, 1.7)], 16).moved(x, y, 11),
        (0.72, 0.74, 0.77),
        finish="satin",
    )
    draft.block_disc("silo", x, y, 2.3, 12)


def _wind_pump(draft: Draft, x: float, y: float) -> None:
    legs = [tube([[a, b, 0], [0.15 * a, 0.15 * b, 8]], 0.06, 5) for a in (-1, 1) for b in (-1, 1)]
    rings = [
        tube([[s, s, h], [s, -s, h], [-s, -s, h], [-s, s, h], [s, s, h]], 0.04, 4)
        for h, s in ((2, 0.79), (4, 0.58), (6, 0.36))
    ]
    draft.paint("wind pump", join(*legs, *rings).moved(x, y), (0.6, 0.62, 0.64))
    blades = []
    for angle in np.arange(10) * pi / 5:
        tip = [[0.35, -0.06, 0], [1.5, -0.22, 0.1], [1.5, 0.22, -0.1], [0.35, 0.06, 0]]
        blade = quad(tip)
        blades += [blade.rolled(0).pitched(angle), quad(tip[::-1]).pitched(angle)]
    yaw = float(np.arctan2(-y, -x)) + pi / 2
    draft.paint("wind wheel", join(*blades).moved(0, -0.5, 8.2).at(x, y, yaw), (0.85, 0.86, 0.87))
    draft.block_box("wind pump", x, y, (2.3, 2.3), 0, 9)


def _shed(draft: Draft, x: float, y: float, yaw: float) -> None:
    """An open cart shed: back wall, posts, a sloped roof, straw inside."""
    posts = [box(0.2, 0.2, 2.7).moved(k, -2.4) for k in (-4, -1.4, 1.4, 4)]
    draft.textured(
        "shed",
        join(
            box(8.4, 0.2, 3.3).moved(0, 2.4), *[box(0.2, 5, 2.9).moved(k, 0) for k in (-4.2, 4.2)], *posts
        ).at(x, y, yaw),
        "planks",
        (0.5, 0.38, 0.28),
    )
    draft.textured(
        "shed roof",
        box(9, 5.8, 0.15).rolled(0.12).moved(0, 0, 3.0).at(x, y, yaw),
        "corrugated",
        (0.58, 0.42, 0.34),
    )
    bales = [
        box(1.2, 0.8, 0.6).moved(-3 + 1.25 * k, 1.6 - 0.1 * row, 0.6 * row)
        for row in range(3)
        for k in range(5 - row)
    ]
    draft.textured("bales", join(*bales).at(x, y, yaw), "hay", (0.88, 0.72, 0.36))
    draft.block_box("shed", x, y, (9.0, 5.8), yaw, 3.3)


def _round_bale(draft: Draft, x: float, y: float) -> None:
    yaw = draft.rng.uniform(0, pi)
    draft.textured(
        "round bale",
        wheel(0.75, 1.25, 16).moved(0, 0, 0.73).at(x, y, yaw),
        "hay",
        draft.pick((0.85, 0.7, 0.36), (0.75, 0.66, 0.38)),
    )
    draft.block_box("round bale", x, y, (1.55, 1.3), yaw, 1.5)


def _bale_stack(draft: Draft, x: float, y: float, yaw: float) -> None:
    bales = [
        box(1.16, 0.78, 0.56).moved(1.2 * k - 0.6 * (2 - row), 0, 0.58 * row)
        for row in range(3)
        for k in range(3 - row)
    ]
    draft.textured(
        "bale stack",
        join(*[b.moved(0, s) for b in bales for s in (-0.4, 0.4)]).at(x, y, yaw),
        "hay",
        (0.88, 0.72, 0.36),
    )
    draft.block_box("bale stack", x - 0.0, y, (4.2, 1.7), yaw, 1.8)


def _trough(draft: Draft, x: float, y: float, yaw: float) -> None:
    walls = [box(2.2, 0.1, 0.6).moved(0, k) for k in (-0.4, 0.4)] + [
        box(0.1, 0.8, 0.6).moved(k, 0) for k in (-1.05, 1.05)
    ]
    draft.textured("trough", join(*walls).at(x, y, yaw), "concrete", (0.66, 0.65, 0.62))
    draft.textured("trough water", box(2.1, 0.8, 0.5).at(x, y, yaw), "water", (0.4, 0.55, 0.6), "gloss")
    draft.block_box("trough", x, y, (2.3, 1.0), yaw, 0.6)


def _cart(draft: Draft, x: float, y: float, yaw: float) -> None:
    bed = join(
        box(2.2, 1.2, 0.08).moved(0, 0, 0.7),
        *[box(2.2, 0.06, 0.4).moved(0, k, 0.75) for k in (-0.58, 0.58)],
        tube([[1.1, 0, 0.7], [2.0, 0, 0.1]], 0.05, 5),
    )
    draft.textured("cart", bed.at(x, y, yaw), "planks", (0.56, 0.4, 0.26))
    rims = [wheel(0.5, 0.1, 14).moved(-0.2, k, 0.5) for k in (-0.68, 0.68)]
    draft.paint("cart wheels", join(*rims).at(x, y, yaw), (0.4, 0.2, 0.13))
    draft.textured(
        "cart hay",
        blob(draft.rng, (1.0, 0.5, 0.5), 0.15, 1).moved(0, 0, 1.05).at(x, y, yaw),
        "hay",
        (0.88, 0.72, 0.36),
    )
    draft.block_box("cart", x + 0.4 * cos(yaw), y + 0.4 * sin(yaw), (3.3, 1.6), yaw, 1.5)


def _coop(draft: Draft, x: float, y: float, yaw: float) -> None:
    draft.textured(
        "coop",
        box(1.8, 1.3, 1.2).moved(0, 0, 0.4).at(x, y, yaw),
        "siding",
        draft.pick((0.7, 0.25, 0.18), (0.8, 0.75, 0.6), (0.4, 0.5, 0.42)),
    )
    legs = [box(0.1, 0.1, 0.4).moved(a, b) for a in (-0.8, 0.8) for b in (-0.55, 0.55)]
    draft.paint(
        "coop legs",
        join(
            *legs, quad([[-0.25, -1.5, 0.02], [0.25, -1.5, 0.02], [0.25, -0.65, 0.55], [-0.25, -0.65, 0.55]])
        ).at(x, y, yaw),
        (0.5, 0.38, 0.26),
    )
    slopes, gables = gable_roof(1.8, 1.3, 0.55, 0.15)
    draft.textured(
        "coop roof", join(slopes, gables).moved(0, 0, 1.6).at(x, y, yaw), "roof tiles", (0.4, 0.3, 0.28)
    )
    draft.paint("coop hole", panel(0.5, 0.6).moved(0, -0.66, 0.5).at(x, y, yaw), (0.1, 0.08, 0.07))
    draft.block_box("coop", x, y, (2.2, 3.0), yaw, 2.3)
