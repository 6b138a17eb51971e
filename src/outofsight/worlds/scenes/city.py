"""Places in a town: street, plaza, car park."""

from math import pi

import numpy as np

from outofsight.worlds.scenes import parked, plants, street_things
from outofsight.worlds.scenes.buildings import church, house, random_look, row_of_houses
from outofsight.worlds.scenes.draft import Draft
from outofsight.worlds.scenes.ground import GroundMap
from outofsight.worlds.scenes.kinds import SceneKind
from outofsight.worlds.scenes.layout import Colour
from outofsight.worlds.scenes.mesh import box, join

ASPHALT: Colour = (0.33, 0.34, 0.36)
MARK: Colour = (0.92, 0.91, 0.87)
PAVING: tuple[Colour, ...] = ((0.66, 0.63, 0.58), (0.60, 0.60, 0.60), (0.69, 0.60, 0.52))


def _draw_street_ground(draft: Draft, half_road_m: float, crossing_m: float) -> None:
    ground = GroundMap(draft, (-30, -9, 30, 9), 22)
    ground.lay(ground.paving(draft.pick(*PAVING), 0.6, 0.4))
    road = ground.rect(-30, -half_road_m, 30, half_road_m)
    ground.lay(ground.mottled(ASPHALT, 2.5, 0.1, 0.035), road)
    for side in (-1, 1):
        edge = side * (half_road_m + 0.12)
        ground.lay(
            ground.mottled((0.75, 0.73, 0.69), 1.0, 0.06), ground.rect(-30, edge - 0.13, 30, edge + 0.13)
        )
        gutter = side * (half_road_m - 0.2)
        ground.lay((0.2, 0.2, 0.21), 0.6 * ground.rect(-30, gutter - 0.18, 30, gutter + 0.18, 0.3))
    ground.worn(MARK, ground.dashes(-30, 30, 0, 0.14, 2.0, 2.4))
    stripes = ground.rect(crossing_m - 1.6, -half_road_m + 0.3, crossing_m + 1.6, half_road_m - 0.3)
    ground.lay(
        ground.mottled(ASPHALT, 2.5, 0.1, 0.035), ground.rect(crossing_m - 2.2, -0.2, crossing_m + 2.2, 0.2)
    )
    ground.worn(MARK, stripes * ((ground.y % 1.0) < 0.5), 0.25)
    for _ in range(3):
        x, y = draft.rng.uniform(-14, 14), draft.rng.uniform(-2, 2)
        ground.lay((0.2, 0.2, 0.2), ground.disc(x, y, 0.38))
        ground.lay((0.42, 0.42, 0.42), ground.disc(x, y, 0.3))
        ground.lay((0.22, 0.22, 0.23), 0.7 * ground.rect(x + 2, y - 0.8, x + 4.5, y + 0.5))
    ground.ground_things()
    ground.spread((0.40, 0.40, 0.41))


def street(kind: SceneKind, layout_seed: int, light: str) -> Draft:
    """A road along x between two rows of houses, closed at both ends beyond side streets."""
    draft = Draft(kind, layout_seed, light, (-18, -6.9, 18, 6.9), (-8, -3.0, 8, 3.0))
    rng = draft.rng
    draft.horizon, draft.below = "city", (0.45, 0.45, 0.46)
    half_road = float(rng.uniform(3.4, 3.9))
    floors = (2, 4) if rng.random() < 0.6 else (3, 5)
    row_of_houses(draft, (-27, 7.2), (27, 7.2), floors, shop=0.6)
    row_of_houses(draft, (27, -7.2), (-27, -7.2), floors, shop=0.6)
    row_of_houses(draft, (33.5, 12), (33.5, -12), floors, shop=0.3)
    row_of_houses(draft, (-33.5, -12), (-33.5, 12), floors, shop=0.3)
    crossing = float(rng.choice([-11.5, 11.5]))
    for side in (-1, 1):
        kerb, inner = side * (half_road + 0.75), side * 6.4
        yaw = -side * pi / 2
        for x in (-14, -4, 6, 16):
            place = x + rng.uniform(-1, 1) + 2 * side
            if rng.random() < 0.5:
                street_things.street_lamp(draft, place, kerb, yaw)
            else:
                plants.broadleaf(draft, place, kerb, rng.uniform(5, 6.5), birch=rng.random() < 0.3)
        for x in rng.permutation([-16.2, -10.9, 10.9, 16.2])[: int(rng.integers(1, 4))]:
            if abs(x - crossing) > 4.2:
                parked.car(draft, x + rng.uniform(-0.3, 0.3), side * (half_road - 1.0), 0 if side < 0 else pi)
        street_things.sign_post(
            draft, crossing + 2.4 * side, kerb, pi / 2 * side, (0.15, 0.35, 0.75), round_plate=False
        )
        bench_yaw = 0 if side > 0 else pi
        for maker, place in zip(
            rng.permutation(["bench", "bin", "post", "hydrant", "planter", "stop"])[:4],
            (-13, -7.5, 2, 10),
            strict=True,
        ):
            _street_thing(draft, str(maker), place + rng.uniform(-1.5, 1.5), inner, bench_yaw)
    street_things.traffic_light(draft, crossing - 2.3, half_road + 0.6, pi / 2)
    _draw_street_ground(draft, half_road, crossing)
    return draft


def _street_thing(draft: Draft, name: str, x: float, y: float, yaw: float) -> None:
    match name:
        case "bench":
            street_things.bench(draft, x, y, yaw)
        case "bin":
            street_things.bin_(draft, x, y)
        case "post":
            street_things.post_box(draft, x, y)
        case "hydrant":
            street_things.hydrant(draft, x, y)
        case "planter":
            street_things.planter(draft, x, y, yaw, 2.0)
        case _:
            if draft.is_open(x, y, 1.9):
                street_things.bus_stop(draft, x, y - 0.5 if y > 0 else y + 0.5, yaw)


def plaza(kind: SceneKind, layout_seed: int, light: str) -> Draft:
    """A paved square with a fountain, cafes and a church, houses on all sides."""
    draft = Draft(kind, layout_seed, light, (-15, -12.5, 15, 12.5), (-7, -4.5, 7, 4.5))
    rng = draft.rng
    draft.horizon, draft.below = "city", (0.5, 0.48, 0.44)
    floors = (2, 4)
    row_of_houses(draft, (-17, 15.5), (17, 15.5), floors, shop=0.7, pitched=0.6)
    row_of_houses(draft, (21, 14), (21, -10), floors, shop=0.5, pitched=0.6)
    row_of_houses(draft, (-21, -14), (-21, 14), floors, shop=0.5, pitched=0.6)
    church_x = float(rng.uniform(-8, 8))
    church(draft, church_x, -19, pi)
    if church_x > -7:
        row_of_houses(draft, (church_x - 5, -16.5), (-21, -16.5), floors, pitched=0.6)
    if church_x < 7:
        row_of_houses(draft, (19, -16.5), (church_x + 5, -16.5), floors, pitched=0.6)
    corner = (float(rng.choice([-1, 1])), float(rng.choice([-1, 1])))
    street_things.fountain(draft, 9.8 * corner[0], 8.2 * corner[1], rng.uniform(2.1, 2.7))
    street_things.statue(
        draft, -10 * corner[0], 8.5 * corner[1], 0 if corner[1] > 0 else pi, rider=rng.random() < 0.6
    )
    cloth = draft.pick((0.85, 0.25, 0.2), (0.95, 0.9, 0.8), (0.2, 0.45, 0.5), (0.95, 0.7, 0.25))
    for _ in range(4):
        spot = draft.find_spot((-13, 6, 13, 11.5) if corner[1] < 0 else (-13, -11.5, 13, -6), 1.7)
        if spot:
            street_things.cafe_table(draft, spot[0], spot[1], rng.uniform(0, 6), cloth)
    for x, y in ((-8.5, 5.6), (8.5, 5.6), (-8.5, -5.6), (8.5, -5.6)):
        street_things.globe_lamp(draft, x + rng.uniform(-0.8, 0.8), y, 3.6)
    for _ in range(7):
        spot = draft.find_spot((-14, -12, 14, 12), 1.2)
        if spot:
            what = rng.random()
            if what < 0.4:
                plants.broadleaf(draft, spot[0], spot[1], rng.uniform(4.5, 6.5))
            elif what < 0.7:
                street_things.bench(draft, spot[0], spot[1], 0 if spot[1] > 0 else pi)
            else:
                street_things.planter(draft, spot[0], spot[1], rng.uniform(0, pi))
    ground = GroundMap(draft, (-22, -18, 22, 18), 24)
    ground.lay(ground.paving(draft.pick(*PAVING, (0.72, 0.62, 0.5)), 0.5, 0.5, 0.09))
    pattern = int(rng.integers(3))
    trim = draft.pick((0.48, 0.46, 0.45), (0.78, 0.74, 0.68), (0.55, 0.40, 0.34))
    if pattern == 0:
        for radius in (3.5, 7, 10.5):
            ground.worn(trim, ground.disc(0, 0, radius) - ground.disc(0, 0, radius - 0.5), 0.2)
    elif pattern == 1:
        lines = ((ground.x % 5.0) < 0.5) | ((ground.y % 5.0) < 0.5)
        ground.worn(trim, lines * ground.rect(-16, -13, 16, 13), 0.2)
    else:
        diamonds = (abs(ground.x % 6.0 - 3) + abs(ground.y % 6.0 - 3)) < 1.3
        ground.worn(trim, diamonds * ground.rect(-16, -13, 16, 13), 0.2)
    ground.ground_things()
    ground.spread((0.5, 0.48, 0.45))
    return draft


def car_park(kind: SceneKind, layout_seed: int, light: str) -> Draft:
    """Rows of bays before a supermarket, trees and blocks of flats around."""
    draft = Draft(kind, layout_seed, light, (-17, -11.5, 17, 11.5), (-9, -3.4, 9, 3.4))
    rng = draft.rng
    draft.horizon, draft.below = "city", (0.4, 0.41, 0.4)
    _market(draft, 21.0)
    row_of_houses(draft, (30, 26), (30, -22), (3, 5), shop=0.1, pitched=0.2)
    row_of_houses(draft, (-30, -22), (-30, 26), (2, 4), shop=0.1, pitched=0.6)
    for x in (-20.0, -9.0, 3.0, 14.0):
        look = random_look(draft, 9.5, (2, 3), shop=0.0, pitched=0.9)
        house(draft, look, x + rng.uniform(-1, 1), -29, pi)
    taken = rng.random((2, 11)) < rng.uniform(0.45, 0.75)
    for row, bay_y in enumerate((-8.6, 8.6)):
        for k in range(11):
            if taken[row, k]:
                facing = pi / 2 if rng.random() < 0.5 else -pi / 2
                parked.car(
                    draft, (k - 5) * 2.8 + rng.uniform(-0.12, 0.12), bay_y + rng.uniform(-0.2, 0.2), facing
                )
    for x in (-11.2, 0.0, 11.2):
        for y in (-13.0, 13.0):
            if rng.random() < 0.5:
                street_things.street_lamp(draft, x, y, -pi / 2 if y > 0 else pi / 2, 5.5)
            else:
                plants.broadleaf(draft, x, y, rng.uniform(5, 7))
    for x in np.arange(-22.0, 24.0, 4.0):
        plants.bush(draft, x + rng.uniform(-1, 1), -14.6 + rng.uniform(-0.3, 0.3), rng.uniform(0.6, 1.0))
    for side in (-1, 1):
        street_things.fence(
            draft, (side * 20, -14), (side * 20, 13), colour=(0.45, 0.47, 0.48), height_m=1.2, step_m=3
        )
        for tree_y in rng.uniform(-12, 12, 3):
            plants.broadleaf(draft, side * 22.5, tree_y, rng.uniform(6, 9))
        trolley_y = rng.uniform(-4.5, 4.5)
        _trolleys(draft, side * 15.6, trolley_y)
    _draw_car_park_ground(draft)
    return draft


def _draw_car_park_ground(draft: Draft) -> None:
    rng = draft.rng
    ground = GroundMap(draft, (-24, -17, 24, 17), 22)
    ground.lay(ground.meadow((0.33, 0.42, 0.20), (0.44, 0.45, 0.24)))
    ground.lay(
        ground.mottled(draft.pick((0.34, 0.35, 0.36), (0.42, 0.42, 0.42)), 3, 0.1, 0.035),
        ground.rect(-19.8, -13.4, 19.8, 17),
    )
    mark = draft.pick(MARK, (0.9, 0.78, 0.3))
    for y in (-8.6, 8.6):
        for k in range(12):
            x = (k - 5.5) * 2.8
            ground.worn(mark, ground.rect(x - 0.07, y - 2.6, x + 0.07, y + 2.6))
    for side in (-1, 1):
        ground.worn(
            mark, ground.dashes(-17, 17, 0.0, 0.12, 1.2, 1.6) if side > 0 else ground.rect(-17, 5.8, 17, 5.95)
        )
        arrow = ground.strip([[-9 * side, -2.2 * side], [-6 * side, -2.2 * side]], 0.2)
        head = ground.strip(
            [[-6.8 * side, -2.7 * side], [-6 * side, -2.2 * side], [-6.8 * side, -1.7 * side]], 0.2
        )
        ground.worn(mark, arrow)
        ground.worn(mark, head)
    for _ in range(8):
        x, y = rng.uniform(-16, 16), rng.uniform(-11, 11)
        ground.lay(
            (0.16, 0.16, 0.17),
            0.45
            * ground.within(
                np.hypot(ground.x - x, ground.y - y) - rng.uniform(0.1, 0.4) + 0.25 * ground.noise(0.5, 2),
                0.3,
            ),
        )
    ground.ground_things()
    ground.spread((0.38, 0.42, 0.28))


def _market(draft: Draft, y: float) -> None:
    """A long flat shop hall with a sign and a glass front."""
    wall = draft.pick((0.92, 0.9, 0.86), (0.75, 0.78, 0.8), (0.85, 0.74, 0.58))
    brand = draft.pick((0.8, 0.15, 0.15), (0.1, 0.4, 0.7), (0.15, 0.5, 0.25), (0.9, 0.55, 0.1))
    draft.textured("market", box(44, 9, 6).moved(0, y), "metal", wall)
    glass = [box(2.6, 0.1, 2.8).moved(k, y - 4.55, 0.2) for k in range(-12, 13, 3)]
    draft.paint(
        "market glass",
        join(*glass),
        (1.0, 0.88, 0.6) if draft.windows_lit else (0.3, 0.42, 0.5),
        0.1,
        "glow" if draft.windows_lit else "gloss",
    )
    draft.paint(
        "market sign",
        box(12, 0.2, 1.3).moved(draft.rng.uniform(-8, 8), y - 4.6, 4.2),
        brand,
        finish="lamp" if draft.windows_lit else "satin",
    )
    draft.paint(
        "market canopy",
        join(
            box(30, 1.8, 0.25).moved(0, y - 5.4, 3.3),
            *[box(0.2, 0.2, 3.3).moved(k, y - 6.1) for k in (-14, -7, 0, 7, 14)],
        ),
        brand,
    )
    draft.block_box("market", 0, y - 0.8, (44.4, 10.8), 0, 6)


def _trolleys(draft: Draft, x: float, y: float) -> None:
    frame = [box(0.06, 0.06, 2.3).moved(a, b) for a in (-0.8, 0.8) for b in (-1.4, 1.4)]
    draft.paint(
        "trolley shelter", join(*frame, box(2.0, 3.2, 0.08).moved(0, 0, 2.3)).moved(x, y), (0.35, 0.4, 0.45)
    )
    carts = [box(0.5, 0.7, 0.45).moved(-0.35 + 0.7 * (k % 2), -1 + 0.5 * (k // 2), 0.5) for k in range(8)]
    draft.paint("trolleys", join(*carts).moved(x, y), (0.62, 0.64, 0.67), 0.15, "satin")
    draft.block_box("trolleys", x, y, (2.1, 3.3), 0, 2.3)
