"""A flat rooftop over the city."""

from math import cos, pi, sin

import numpy as np

from outofsight.worlds.scenes import plants, street_things
from outofsight.worlds.scenes.buildings import tower_block
from outofsight.worlds.scenes.draft import Draft
from outofsight.worlds.scenes.ground import GroundMap
from outofsight.worlds.scenes.kinds import SceneKind
from outofsight.worlds.scenes.mesh import (
    Mesh,
    box,
    cylinder,
    floor,
    join,
    lathe,
    panel,
    prism,
    tube,
)
from outofsight.worlds.scenes.noise import blend, fractal_noise, shade

STREET_M = -22.0  # the city's ground under the rooftop


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
    draft.textured("own walls", join(*body, *[wall.turned(pi) for wall in body]), "brick", (0.7, 0.5, 0.42))
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
    draft.decal("streets below", floor(480, 480, picture=True).moved(0, 0, STREET_M), "streets below")
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
    draft.textured(
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
    draft.textured(
        "water tank",
        cylinder(1.25, 2.3, 16).moved(x, y, 2.5),
        "planks",
        draft.pick((0.6, 0.42, 0.28), (0.48, 0.36, 0.28)),
    )
    draft.paint("tank roof", cylinder(1.4, 0.9, 16, 0.03).moved(x, y, 4.8), (0.4, 0.4, 0.42), 0.06)
    draft.block_box("water tank", x, y, (2.8, 2.8), yaw, 5.7)


def _air_unit(draft: Draft, x: float, y: float, yaw: float) -> None:
    draft.textured(
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
