"""Places above something: a rooftop over the city, a quay over the water."""

from math import cos, pi, sin

import numpy as np

from outofsight.worlds.scenes import parked, plants, street_things
from outofsight.worlds.scenes.buildings import row_of_houses, tower_block
from outofsight.worlds.scenes.draft import Draft
from outofsight.worlds.scenes.ground import GroundMap
from outofsight.worlds.scenes.kinds import SceneKind
from outofsight.worlds.scenes.layout import Colour
from outofsight.worlds.scenes.mesh import (
    Mesh,
    box,
    cylinder,
    floor,
    hexahedron,
    join,
    lathe,
    panel,
    prism,
    tube,
    wheel,
)
from outofsight.worlds.scenes.noise import blend, fractal_noise, shade

STREET_M = -22.0  # the city's ground under the rooftop
WATER_M = -0.75


def rooftop(kind: SceneKind, layout_seed: int, light: str) -> Draft:
    """A flat roof with vents, tanks and a stair house; towers on all sides, streets far below."""
    draft = Draft(kind, layout_seed, light, (-13, -10, 13, 10), (-6.5, -3.5, 6.5, 3.5))
    rng = draft.rng
    draft.horizon, draft.below = "city", (0.42, 0.43, 0.46)
    for start, end in (
        ((-14, -11), (14, -11)),
        ((14, -11), (14, 11)),
        ((14, 11), (-14, 11)),
        ((-14, 11), (-14, -11)),
    ):
        street_things.wall_line(draft, start, end, 0.95, "brick", (0.72, 0.5, 0.42), 0.4)
    body = [
        panel(28.4, -STREET_M + 0.1, picture=False).moved(0, -11.22, STREET_M),
        panel(22.4, -STREET_M + 0.1, picture=False).moved(0, -14.22, STREET_M).turned(pi / 2),
    ]
    draft.clad("own walls", join(*body, *[wall.turned(pi) for wall in body]), "brick", (0.7, 0.5, 0.42))
    makers = [
        _stair_house,
        _water_tank,
        _air_unit,
        _air_unit,
        _air_unit,
        _solar_panels,
        _vents,
        _vents,
        _antenna,
        _skylight,
        _garden,
        _laundry,
    ]
    reach = {_stair_house: 2.4, _water_tank: 1.9, _solar_panels: 2.2, _garden: 2.2, _laundry: 2.0}
    for index in rng.permutation(len(makers)):
        maker = makers[index]
        spot = draft.find_spot((-12.2, -9.2, 12.2, 9.2), reach.get(maker, 1.2))
        if spot:
            maker(draft, spot[0], spot[1], float(rng.integers(4)) * pi / 2)
    _city_around(draft)
    ground = GroundMap(draft, (-14, -11, 14, 11), 30)
    if rng.random() < 0.5:
        ground.lay(ground.mottled(draft.pick((0.55, 0.53, 0.5), (0.66, 0.62, 0.56)), 2.0, 0.09, 0.06))
    else:
        ground.lay(ground.paving(draft.pick((0.62, 0.6, 0.57), (0.6, 0.5, 0.44)), 1.0, 1.0, 0.07, 0.0))
    for k in range(-3, 4):
        seam = ground.rect(k * 4 - 0.06, -11, k * 4 + 0.06, 11, 0.1)
        ground.lay((0.33, 0.33, 0.34), 0.6 * seam)
    puddle = ground.within(
        np.hypot(ground.x - rng.uniform(-9, 9), ground.y - rng.uniform(-7, 7)) - 1.3 + ground.noise(1.2, 3)
    )
    ground.lay((0.36, 0.4, 0.46), 0.7 * puddle)
    ground.ground_things(0.5)
    ground.spread(None)
    return draft


def _city_around(draft: Draft) -> None:
    rng = draft.rng
    streets = np.full((160, 160, 3), 0.0, dtype=np.float32) + 0.36
    place = (np.arange(160) + 0.5) / 160 * 2 - 1
    x, y = np.meshgrid(place, place)
    streets = blend(
        shade((0.4, 0.4, 0.41), 1 + 0.2 * fractal_noise(rng, 160, 160, 40, 2)),
        (0.3, 0.36, 0.25),
        ((np.sin(x * 19) > 0.75) | (np.sin(y * 23) > 0.8)).astype(np.float32),
    )
    haze = np.clip((np.hypot(x, y) * 240 - 40) / 200, 0, 1) ** 0.7
    draft.show("streets below", blend(streets, draft.haze_colour, haze))
    draft.hang("streets below", floor(480, 480, picture=True).moved(0, 0, STREET_M), "streets below")
    for ring, count, tall in ((32, 11, (14, 34)), (55, 13, (20, 48)), (85, 14, (28, 65))):
        for k in range(count):
            angle = (k + rng.uniform(-0.25, 0.25)) * 2 * pi / count
            size = (
                float(rng.uniform(10, 16)),
                float(rng.uniform(10, 15)),
                float(rng.uniform(*tall)) * (1 if rng.random() < 0.8 else 1.4),
            )
            x_m, y_m = 1.1 * ring * cos(angle), ring * sin(angle)
            tower_block(
                draft, x_m, y_m, size, round(angle / (pi / 2)) * pi / 2 + rng.uniform(-0.1, 0.1), STREET_M
            )


def _stair_house(draft: Draft, x: float, y: float, yaw: float) -> None:
    draft.clad(
        "stair house",
        box(3.2, 3.0, 2.7).at(x, y, yaw),
        "plaster",
        draft.pick((0.85, 0.82, 0.76), (0.7, 0.55, 0.45)),
    )
    draft.paint("stair house roof", box(3.6, 3.4, 0.2).moved(0, 0, 2.7).at(x, y, yaw), (0.36, 0.36, 0.38))
    draft.paint(
        "stair house door",
        panel(1.0, 2.05).moved(0.4, -1.52, 0.1).at(x, y, yaw),
        draft.pick((0.2, 0.35, 0.5), (0.6, 0.2, 0.15), (0.3, 0.32, 0.34)),
    )
    lamp = (x + 1.8 * sin(yaw), y - 1.8 * cos(yaw), 2.5)
    draft.paint(
        "lamp", box(0.3, 0.15, 0.15).moved(0.4, -1.6, 2.3).at(x, y, yaw), street_things.LAMP, finish="lamp"
    )
    draft.lamps_m.append(lamp)
    draft.block_box("stair house", x, y, (3.7, 3.5), yaw, 2.9)


def _water_tank(draft: Draft, x: float, y: float, yaw: float) -> None:
    legs = [tube([[a, b, 0], [0.9 * a, 0.9 * b, 2.5]], 0.07, 5) for a in (-0.9, 0.9) for b in (-0.9, 0.9)]
    braces = [tube([[-0.9, b, 0.2], [0.85, b, 2.3]], 0.035, 4) for b in (-0.88, 0.88)]
    draft.paint(
        "tank legs",
        join(*legs, *braces, cylinder(1.35, 0.12, 14).moved(0, 0, 2.4)).at(x, y, yaw),
        (0.28, 0.28, 0.3),
    )
    draft.clad(
        "water tank",
        cylinder(1.25, 2.3, 16).moved(x, y, 2.5),
        "planks",
        draft.pick((0.6, 0.42, 0.28), (0.48, 0.36, 0.28)),
    )
    draft.paint("tank roof", cylinder(1.4, 0.9, 16, 0.03).moved(x, y, 4.8), (0.4, 0.4, 0.42), 0.06)
    draft.block_box("water tank", x, y, (2.8, 2.8), yaw, 5.7)


def _air_unit(draft: Draft, x: float, y: float, yaw: float) -> None:
    draft.clad(
        "air unit", box(1.7, 1.1, 1.1).moved(0, 0, 0.12).at(x, y, yaw), "metal", (0.82, 0.83, 0.82), "satin"
    )
    fans = [cylinder(0.4, 0.06, 14).moved(k, 0, 1.2) for k in (-0.4, 0.42)]
    draft.paint(
        "fans",
        join(*fans, box(1.2, 0.02, 0.6).moved(0, -0.56, 0.35), box(1.75, 1.15, 0.12)).at(x, y, yaw),
        (0.22, 0.23, 0.24),
    )
    draft.block_box("air unit", x, y, (1.9, 1.3), yaw, 1.3)


def _solar_panels(draft: Draft, x: float, y: float, yaw: float) -> None:
    tilted = [box(1.6, 1.0, 0.05).rolled(0.5).moved(1.7 * k, 0, 0.55) for k in (-1, 0, 1)]
    draft.paint("solar panels", join(*tilted).at(x, y, yaw), (0.1, 0.14, 0.3), 0.1, "gloss")
    feet = [box(0.08, 0.9, 0.1).moved(1.7 * k, 0, 0) for k in (-1.4, -0.5, 0.5, 1.4)] + [
        box(0.06, 0.06, 0.75).moved(1.7 * k, 0.35, 0) for k in (-1.4, -0.5, 0.5, 1.4)
    ]
    draft.paint("panel feet", join(*feet).at(x, y, yaw), (0.6, 0.62, 0.64))
    draft.block_box("solar panels", x, y, (5.3, 1.3), yaw, 1.0)


def _vents(draft: Draft, x: float, y: float, yaw: float) -> None:
    pipes = [
        tube([[0, 0, 0], [0, 0, 0.9], [0, 0.25, 1.1], [0, 0.45, 1.0]], 0.16, 9),
        cylinder(0.14, 0.7, 9).moved(0.6, 0.1),
        cylinder(0.22, 0.12, 9).moved(0.6, 0.1, 0.72),
    ]
    draft.paint(
        "vents",
        join(*pipes, cylinder(0.1, 1.3, 8).moved(-0.5, 0.2)).at(x, y, yaw),
        (0.68, 0.69, 0.7),
        finish="satin",
    )
    draft.block_disc("vents", x, y, 0.95, 1.4)


def _antenna(draft: Draft, x: float, y: float, yaw: float) -> None:
    bars = [cylinder(0.05, 5.5, 6)] + [
        tube([[-0.6 + 0.05 * k, 0, 3.2 + 0.35 * k], [0.6 - 0.05 * k, 0, 3.2 + 0.35 * k]], 0.02, 4)
        for k in range(6)
    ]
    draft.paint("antenna", join(*bars, box(0.7, 0.7, 0.12)).at(x, y, yaw), (0.65, 0.66, 0.68))
    dish = lathe([(0.02, 0), (0.35, 0.08), (0.6, 0.3)], 14)
    back = Mesh(dish.corners[:, ::-1], -dish.normals[:, ::-1], dish.texcoords[:, ::-1])
    draft.paint("dish", join(dish, back).pitched(1.0).moved(0.15, 0, 1.2).at(x, y, yaw), (0.9, 0.9, 0.9))
    draft.block_disc("antenna", x, y, 0.95, 5.5)


def _skylight(draft: Draft, x: float, y: float, yaw: float) -> None:
    draft.paint("skylight frame", box(2.0, 1.4, 0.3).at(x, y, yaw), (0.75, 0.75, 0.73))
    roof = prism([[-0.65, 0], [0.65, 0], [0, 0.5]], 1.9).rolled(pi / 2).turned(pi / 2).moved(-0.95, 0, 0.3)
    draft.paint(
        "skylight",
        roof.at(x, y, yaw),
        (0.5, 0.65, 0.75) if not draft.windows_lit else (1.0, 0.85, 0.55),
        0.1,
        "gloss" if not draft.windows_lit else "glow",
    )
    draft.block_box("skylight", x, y, (2.2, 1.6), yaw, 0.9)


def _garden(draft: Draft, x: float, y: float, yaw: float) -> None:
    """Wooden tubs with green, and a folding chair."""
    for k in (-1.2, 0.2):
        px, py = x + k * cos(yaw), y + k * sin(yaw)
        street_things.planter(draft, px, py, yaw + pi / 2, 1.5)
    plants.potted_plant(draft, x + 1.5 * cos(yaw), y + 1.5 * sin(yaw), 1.5)


def _laundry(draft: Draft, x: float, y: float, yaw: float) -> None:
    posts = [cylinder(0.04, 2.0, 6).moved(k, 0) for k in (-1.8, 1.8)]
    draft.paint(
        "laundry line",
        join(*posts, tube([[-1.8, 0, 1.95], [0, 0, 1.85], [1.8, 0, 1.95]], 0.012, 3)).at(x, y, yaw),
        (0.6, 0.6, 0.62),
    )
    for k in np.arange(-1.3, 1.4, 0.65):
        sheet = box(0.5, 0.03, draft.rng.uniform(0.6, 1.0))
        cloth = sheet.moved(k, 0, 1.87 - float(sheet.corners[..., 2].max()))
        draft.paint(
            "laundry",
            cloth.at(x, y, yaw),
            draft.pick((0.95, 0.95, 0.95), (0.35, 0.5, 0.75), (0.85, 0.35, 0.3), (0.95, 0.85, 0.5)),
        )
    draft.block_box("laundry", x, y, (3.8, 0.4), yaw, 2.0)


def harbour(kind: SceneKind, layout_seed: int, light: str) -> Draft:
    """A quay: water and boats on one side, containers, a crane and warehouses on the others."""
    draft = Draft(kind, layout_seed, light, (-18, -8.6, 18, 12.5), (-9, -3.8, 9, 3.8))
    rng = draft.rng
    draft.horizon, draft.below = "sea", (0.3, 0.42, 0.5)
    _water(draft)
    _quay_edge(draft)
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
    draft.clad("land behind", land, "concrete", (0.6, 0.6, 0.56))
    sides = [floor(80, 29.5).moved(side * 69, 5.2, -0.05) for side in (-1, 1)]
    draft.clad("quay sides", join(*sides), "concrete", (0.6, 0.58, 0.55))
    return draft


def _water(draft: Draft) -> None:
    size = 224
    place = (np.arange(size, dtype=np.float32) + 0.5) / size * 2 - 1
    x, y = np.meshgrid(place, place)
    waves = fractal_noise(draft.rng, size, size, 60, 3, 0.7)
    deep: Colour = (0.16, 0.33, 0.42)
    image = shade(deep, 1 + 0.22 * waves)
    haze = np.clip((np.hypot(x, y) * 240 - 30) / 210, 0, 1) ** 0.6
    draft.show("sea", blend(image, draft.haze_colour, 0.9 * haze))
    draft.hang("sea", floor(480, 480, picture=True).moved(0, -60, WATER_M - 0.05), "sea")
    draft.clad("near water", floor(150, 42).moved(0, -30, WATER_M), "water", (0.25, 0.48, 0.58), "gloss")


def _quay_edge(draft: Draft) -> None:
    wall = panel(220, 2.2, picture=False).moved(0, -9.6, -2.2)
    draft.clad("quay wall", wall, "stone blocks", (0.5, 0.48, 0.45))
    kerb = box(220, 0.45, 0.22).moved(0, -9.4)
    draft.clad("quay kerb", kerb, "concrete", (0.8, 0.78, 0.72))
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
    draft.clad(
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
    draft.clad("nets", heap.moved(x, y), "fabric", plants_like)
    draft.block_disc("nets", x, y, 1.15, 0.7)


def _rope_coil(draft: Draft, x: float, y: float) -> None:
    rings = [
        lathe([(0.5 - 0.03 * k, 0), (0.55 - 0.03 * k, 0.06), (0.5 - 0.03 * k, 0.12), (0.28, 0.12)], 14).moved(
            x, y, 0.11 * k
        )
        for k in range(4)
    ]
    draft.clad("rope", join(*rings), "hay", (0.8, 0.7, 0.5))
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
    draft.clad("lobster pots", join(*pots).moved(x, y), "hay", (0.6, 0.5, 0.36))
    draft.block_box("lobster pots", x, y, (0.8, 2.8), 0, 1.2)
