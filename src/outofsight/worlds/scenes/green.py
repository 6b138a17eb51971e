"""Places under trees and open sky: park, forest, desert."""

from math import cos, pi, sin

import numpy as np

from outofsight.worlds.scenes import plants, street_things
from outofsight.worlds.scenes.buildings import row_of_houses
from outofsight.worlds.scenes.draft import Draft
from outofsight.worlds.scenes.ground import GroundMap, hills, outline_points, shifted
from outofsight.worlds.scenes.kinds import SceneKind
from outofsight.worlds.scenes.layout import Colour, toned
from outofsight.worlds.scenes.mesh import (
    box,
    hexahedron,
    join,
)

LAWN: tuple[tuple[Colour, Colour], ...] = (
    ((0.30, 0.45, 0.17), (0.42, 0.52, 0.22)),
    ((0.34, 0.48, 0.20), (0.50, 0.53, 0.26)),
    ((0.26, 0.42, 0.18), (0.36, 0.49, 0.21)),
)


def tree_belt(
    draft: Draft,
    half_x_m: float,
    half_y_m: float,
    step_m: float,
    *,
    conifers: float = 0.3,
    deep: int = 2,
    tall: float = 1.0,
) -> None:
    """Trees along the border of a rectangle, ``deep`` rows; ``conifers`` is their share."""
    rng = draft.rng
    for row in range(deep):
        hx, hy = half_x_m + 4.0 * row, half_y_m + 4.0 * row
        perimeter = 4 * (hx + hy)
        for place in np.arange(0, perimeter, step_m * (1 + 0.5 * row)):
            x, y = _around(place + rng.uniform(-0.3, 0.3) * step_m, hx, hy)
            x, y = x + rng.uniform(-1, 1), y + rng.uniform(-1, 1)
            height = tall * (1 + 0.25 * row) * rng.uniform(6, 9.5)
            if rng.random() < conifers:
                plants.conifer(draft, x, y, height)
            elif rng.random() < 0.15:
                plants.poplar(draft, x, y, 1.3 * height)
            else:
                plants.broadleaf(draft, x, y, height, birch=rng.random() < 0.2)


def _around(place_m: float, half_x_m: float, half_y_m: float) -> tuple[float, float]:
    """The point at a distance along a rectangle's border."""
    place = place_m % (4 * (half_x_m + half_y_m))
    for start, end in (((-1, -1), (1, -1)), ((1, -1), (1, 1)), ((1, 1), (-1, 1)), ((-1, 1), (-1, -1))):
        length = 2 * (half_x_m if start[1] == end[1] else half_y_m)
        if place <= length:
            share = place / length
            x = start[0] + share * (end[0] - start[0])
            y = start[1] + share * (end[1] - start[1])
            return x * half_x_m, y * half_y_m
        place -= length
    return -half_x_m, -half_y_m


def park(kind: SceneKind, layout_seed: int, light: str) -> Draft:
    """Lawns, winding gravel paths, a pond, benches, a pavilion; the town beyond the trees."""
    draft = Draft(kind, layout_seed, light, (-17, -13, 17, 13), (-8, -4, 8, 4))
    rng = draft.rng
    draft.horizon, draft.below = "city", (0.35, 0.42, 0.27)
    lawn, dry = LAWN[int(rng.integers(len(LAWN)))]
    path = [outline_points(rng, (-24, rng.uniform(-5, 5)), (24, rng.uniform(-5, 5)), 2.2)]
    path.append(outline_points(rng, (rng.uniform(-9, 9), -20), (rng.uniform(-9, 9), 20), 2.0))
    side = (float(rng.choice([-1, 1])), float(rng.choice([-1, 1])))
    pond = (11.5 * side[0], 8.5 * side[1], float(rng.uniform(3.2, 4.2)))
    draft.block_disc("pond", pond[0], pond[1], pond[2] + 0.2, 0.4)
    for angle in rng.uniform(0, 2 * pi, 5):
        plants.fern(
            draft, pond[0] + pond[2] * cos(angle), pond[1] + pond[2] * sin(angle), 0.7, (0.42, 0.5, 0.2)
        )
    if rng.random() < 0.6:
        street_things.gazebo(draft, -12 * side[0], 8.6 * side[1])
    else:
        street_things.statue(draft, -11 * side[0], 8 * side[1], 0.0, rider=rng.random() < 0.4)
    for _ in range(3):
        spot = draft.find_spot((-15, -12, 15, 12), 1.5)
        if spot:
            plants.flower_bed(draft, spot[0], spot[1], rng.uniform(0.8, 1.3))
    for _ in range(5):
        spot = draft.find_spot((-14, -10, 14, 10), 1.1)
        if spot:
            street_things.bench(draft, spot[0], spot[1], 0 if spot[1] > 0 else pi)
    for _ in range(4):
        spot = draft.find_spot((-12, -8, 12, 8), 0.8)
        if spot:
            street_things.globe_lamp(draft, spot[0], spot[1])
    autumn = rng.random() < 0.25
    for _ in range(9):
        spot = draft.find_spot((-16, -12.5, 16, 12.5), 1.4)
        if spot:
            leaf = draft.pick(*plants.AUTUMN) if autumn else None
            plants.broadleaf(draft, spot[0], spot[1], rng.uniform(6, 9.5), leaf, birch=rng.random() < 0.3)
    tree_belt(draft, 19.5, 15.5, 5.5, conifers=0.2, deep=2)
    row_of_houses(draft, (-30, 34), (30, 34), (4, 7), shop=0, pitched=0.3)
    _draw_park_ground(draft, lawn, dry, path, pond)
    return draft


def _draw_park_ground(
    draft: Draft, lawn: Colour, dry: Colour, paths: list[np.ndarray], pond: tuple[float, float, float]
) -> None:
    ground = GroundMap(draft, (-25, -20, 25, 20), 20)
    ground.lay(ground.meadow(lawn, dry))
    gravel = ground.mottled(draft.pick((0.75, 0.68, 0.55), (0.66, 0.62, 0.57)), 1.2, 0.08, 0.05)
    edge = ground.mottled((0.36, 0.34, 0.24), 1.0, 0.1)
    for points in paths:
        ground.lay(edge, 0.6 * ground.strip(points.tolist(), 2.8, 0.3, 0.25))
    for points in paths:
        ground.lay(gravel, ground.strip(points.tolist(), 2.3, 0.15, 0.2))
    ripple = ground.noise(0.7, 3)
    shore = ground.within(
        np.hypot(ground.x - pond[0], 1.1 * (ground.y - pond[1])) - pond[2] + 0.25 * ground.noise(1.5, 2)
    )
    ground.lay((0.38, 0.33, 0.24), ground.disc(pond[0], pond[1], pond[2] + 0.15, 0.6))
    ground.lay(np.clip(np.array((0.25, 0.40, 0.50), np.float32) + 0.08 * ripple[..., None], 0, 1), shore)
    ground.ground_things(0.7)
    ground.spread((0.36, 0.44, 0.22))


def forest(kind: SceneKind, layout_seed: int, light: str) -> Draft:
    """A clearing with a path, thick trunks all around."""
    draft = Draft(kind, layout_seed, light, (-14, -11, 14, 11), (-6.5, -3.2, 6.5, 3.2))
    rng = draft.rng
    draft.horizon, draft.below = "woods", (0.2, 0.26, 0.14)
    mix = rng.dirichlet((1.2, 1.2, 0.8, 0.6))
    log_spot = draft.find_spot((-10, -9, 10, 9), 2.2)
    if log_spot:
        plants.log(draft, log_spot[0], log_spot[1], rng.uniform(2.5, 4), rng.uniform(0, pi))
    for _ in range(6):
        spot = draft.find_spot((-13, -10, 13, 10), 1.0)
        if spot:
            plants.rock(draft, spot[0], spot[1], rng.uniform(0.3, 0.8), (0.45, 0.47, 0.42))
    for _ in range(20):
        spot = draft.find_spot((-13.5, -10.5, 13.5, 10.5), 0.7)
        if spot:
            plants.fern(draft, spot[0], spot[1], rng.uniform(0.4, 0.7))
    for _ in range(15):
        spot = draft.find_spot((-13.5, -10.5, 13.5, 10.5), 1.4)
        if spot:
            _forest_tree(draft, spot[0], spot[1], mix)
    for hx, hy, step in ((15.5, 12.5, 4.0), (19.5, 16.5, 5.2)):
        for place in np.arange(0, 4 * (hx + hy), step):
            x, y = _around(place + rng.uniform(-1, 1), hx, hy)
            _forest_tree(draft, x + rng.uniform(-1, 1), y + rng.uniform(-1, 1), mix)
    ground = GroundMap(draft, (-24, -21, 24, 21), 20)
    ground.lay(
        ground.meadow(
            draft.pick((0.30, 0.28, 0.15), (0.22, 0.30, 0.13)),
            draft.pick((0.38, 0.28, 0.17), (0.30, 0.36, 0.16)),
            2.5,
        )
    )
    leaves = np.clip(ground.noise(0.35, 2) * 3 - 1.4, 0, 1)
    ground.lay(draft.pick((0.55, 0.38, 0.18), (0.5, 0.45, 0.2)), 0.7 * leaves)
    path = outline_points(rng, (-24, rng.uniform(-4, 4)), (24, rng.uniform(-4, 4)), 1.8)
    ground.lay(
        ground.mottled((0.50, 0.39, 0.27), 1.2, 0.12, 0.05), ground.strip(path.tolist(), 1.9, 0.5, 0.4)
    )
    ground.ground_things(0.8)
    ground.spread((0.20, 0.23, 0.12), haze=0.1)
    return draft


def _forest_tree(draft: Draft, x: float, y: float, mix: np.ndarray) -> None:
    rng = draft.rng
    match int(rng.choice(4, p=mix)):
        case 0:
            plants.pine(draft, x, y, rng.uniform(9, 14))
        case 1 if not _over_stage(draft, x, y):
            plants.conifer(draft, x, y, rng.uniform(6, 12))
        case 2:
            plants.broadleaf(draft, x, y, rng.uniform(8, 12))
        case _:
            plants.broadleaf(draft, x, y, rng.uniform(7, 10), (0.45, 0.56, 0.22), birch=True)


def _over_stage(draft: Draft, x: float, y: float) -> bool:
    """Whether a spruce here would reach the stage with its low branches."""
    x0, y0, x1, y1 = draft.stage
    return x0 - 3.2 < x < x1 + 3.2 and y0 - 3.2 < y < y1 + 3.2


def desert(kind: SceneKind, layout_seed: int, light: str) -> Draft:
    """A flat of rippled sand among dunes, red rocks, cacti, and sometimes palms."""
    draft = Draft(kind, layout_seed, light, (-18, -14, 18, 14), (-9, -4.5, 9, 4.5))
    rng = draft.rng
    draft.horizon, draft.below = "mesas", (0.8, 0.65, 0.45)
    sand = draft.pick((0.80, 0.62, 0.40), (0.78, 0.54, 0.34), (0.82, 0.68, 0.48))
    _dunes(draft, sand)
    red = draft.pick((0.72, 0.40, 0.27), (0.78, 0.5, 0.33))
    for angle in rng.uniform(0, 2 * pi) + np.arange(4) * 1.57:
        reach = rng.uniform(30, 42)
        size = rng.uniform(4, 8)
        x, y = reach * cos(angle), reach * sin(angle)
        stack = [
            hexahedron((2.3 * size, 2 * size), (1.7 * size, 1.5 * size), 0.5 * size),
            box(1.35 * size, 1.15 * size, 0.75 * size).moved(0, 0, 0.5 * size),
        ]
        draft.textured("mesa", join(*stack).at(x, y, rng.uniform(0, pi)), "rock", red)
    oasis = rng.random() < 0.5
    if oasis:
        centre = draft.find_spot((-12, 6, 12, 11) if rng.random() < 0.5 else (-12, -11, 12, -6), 3)
        for _ in range(5):
            spot = (
                draft.find_spot((centre[0] - 3.5, centre[1] - 2.5, centre[0] + 3.5, centre[1] + 2.5), 0.6)
                if centre
                else None
            )
            if spot:
                plants.palm(draft, spot[0], spot[1], rng.uniform(4.5, 7))
    for count, radius, maker in ((9, 1.45, plants.cactus), (2, 1.45, plants.bare_tree)):
        for _ in range(count):
            spot = draft.find_spot((-17, -13, 17, 13), radius)
            if spot:
                maker(draft, spot[0], spot[1], rng.uniform(2.0, 3.8))
    for _ in range(10):
        spot = draft.find_spot((-17, -13, 17, 13), 1.2)
        if spot:
            plants.rock(draft, spot[0], spot[1], rng.uniform(0.3, 1.1), red)
    for _ in range(9):
        spot = draft.find_spot((-17, -13, 17, 13), 0.6)
        if spot:
            plants.fern(draft, spot[0], spot[1], rng.uniform(0.3, 0.5), (0.58, 0.55, 0.3))
    ground = GroundMap(draft, (-22, -18, 22, 18), 22)
    ground.lay(ground.ripples(sand, rng.uniform(0.6, 0.9)))
    track = outline_points(rng, (-22, rng.uniform(-3, 3)), (22, rng.uniform(-3, 3)), 1.5)
    for shift in (-0.75, 0.75):
        ground.lay(
            ground.mottled(toned(sand, 0.86), 1.5),
            0.7 * ground.strip(shifted(track, shift), 0.35, 0.2, 0.1),
        )
    ground.ground_things(0.5, 0.3)
    ground.spread(sand)
    return draft


def _dunes(draft: Draft, sand: Colour) -> None:
    """Sand hills around the flat: a terrain that is level in the middle."""
    place = np.linspace(-75, 75, 36)
    x, y = np.meshgrid(place, place)
    phase = draft.rng.uniform(0, 2 * pi, 6)
    swell = np.sin(x / 9 + phase[0] + 1.2 * np.sin(y / 17 + phase[1])) + np.sin(
        y / 11 + phase[2] + np.sin(x / 14 + phase[3])
    )
    away = np.clip((np.maximum(np.abs(x) - 22, np.abs(y) - 18)) / 14, 0, 1)
    far = np.clip((75 - np.maximum(np.abs(x), np.abs(y))) / 20, 0, 1)
    height = (2.4 + 1.6 * swell) * away * far - 0.2
    hills(draft, "dunes", (place, height), "sand", sand)
