"""Places under trees and open sky: park, playground, forest, desert."""

from math import cos, pi, sin

import numpy as np

from outofsight.worlds.scenes import plants, street_things
from outofsight.worlds.scenes.buildings import row_of_houses
from outofsight.worlds.scenes.draft import Area, Draft
from outofsight.worlds.scenes.ground import GroundMap, outline_points
from outofsight.worlds.scenes.kinds import SceneKind
from outofsight.worlds.scenes.layout import Colour
from outofsight.worlds.scenes.mesh import (
    box,
    cylinder,
    gable_roof,
    hexahedron,
    join,
    panel,
    quad,
    terrain,
    tube,
    wheel,
)

LAWN: tuple[tuple[Colour, Colour], ...] = (
    ((0.30, 0.45, 0.17), (0.42, 0.52, 0.22)),
    ((0.34, 0.48, 0.20), (0.50, 0.53, 0.26)),
    ((0.26, 0.42, 0.18), (0.36, 0.49, 0.21)),
)
PLAY_COLOURS: tuple[Colour, ...] = (
    (0.85, 0.2, 0.16),
    (0.15, 0.4, 0.75),
    (0.95, 0.75, 0.15),
    (0.2, 0.6, 0.35),
    (0.9, 0.45, 0.12),
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


def playground(kind: SceneKind, layout_seed: int, light: str) -> Draft:
    """Play frames on sand and soft rubber, fenced, flats behind."""
    draft = Draft(kind, layout_seed, light, (-14, -11, 14, 11), (-6.5, -3.5, 6.5, 3.5))
    rng = draft.rng
    draft.horizon, draft.below = "city", (0.4, 0.42, 0.33)
    things = [
        _swings,
        _slide,
        _climbing_frame,
        _see_saw,
        _roundabout,
        _spring_rider,
        _spring_rider,
        _play_house,
    ]
    areas: list[Area] = [(-12, 5, 12, 9), (-12, -9, 12, -5), (-12.5, -9, -8.5, 9), (8.5, -9, 12.5, 9)]
    placed: list[tuple[float, float]] = []
    for k, index in enumerate(rng.permutation(len(things))):
        spot = draft.find_spot(areas[k % 4], 2.6 if things[index] is not _spring_rider else 1.0)
        if spot:
            yaw = float(np.arctan2(-spot[1], -spot[0]) + pi / 2 + rng.uniform(-0.4, 0.4))
            things[index](draft, spot[0], spot[1], yaw)
            placed.append((spot[0], spot[1]))
    sand_spot = draft.find_spot((-12, -9, 12, 9), 2.0)
    if sand_spot:
        _sand_box(draft, sand_spot[0], sand_spot[1])
    for _ in range(4):
        spot = draft.find_spot((-13, -10.3, 13, 10.3), 1.1)
        if spot:
            street_things.bench(draft, spot[0], spot[1], 0 if spot[1] > 0 else pi)
    colour = draft.pick((0.25, 0.5, 0.3), (0.85, 0.3, 0.2), (0.25, 0.4, 0.65), (0.8, 0.78, 0.74))
    for start, end in (
        ((-15, -12), (15, -12)),
        ((15, -12), (15, 12)),
        ((15, 12), (-15, 12)),
        ((-15, 12), (-15, -12)),
    ):
        street_things.fence(draft, start, end, colour=colour, step_m=1.5, height_m=1.0)
    for x, y in ((-13.5, 10.6), (13.5, -10.6), (13.5, 10.6)):
        street_things.globe_lamp(draft, x, y, 3.6)
    tree_belt(draft, 17.5, 14.5, 6.5, conifers=0.15, deep=1)
    row_of_houses(draft, (-26, 24), (26, 24), (4, 6), shop=0, pitched=0.2)
    row_of_houses(draft, (26, -24), (-26, -24), (3, 5), shop=0, pitched=0.5)
    row_of_houses(draft, (32, 20), (32, -20), (3, 6), shop=0.1, pitched=0.3)
    ground = GroundMap(draft, (-22, -18, 22, 18), 22)
    ground.lay(ground.meadow(*LAWN[int(rng.integers(3))]))
    ground.lay(
        ground.paving((0.66, 0.64, 0.6), 0.5, 0.5),
        ground.rect(-15, -12, 15, 12) - ground.rect(-13.6, -10.6, 13.6, 10.6),
    )
    rubber = draft.pick((0.62, 0.27, 0.2), (0.25, 0.42, 0.55), (0.36, 0.5, 0.3), (0.8, 0.62, 0.38))
    ground.lay(ground.mottled(rubber, 2.5, 0.05, 0.05), ground.rect(-13.6, -10.6, 13.6, 10.6))
    second = draft.pick((0.85, 0.68, 0.3), (0.45, 0.62, 0.7), (0.75, 0.4, 0.3))
    for x, y in placed:
        ground.lay(ground.mottled(second, 2.0, 0.04, 0.05), ground.disc(x, y, rng.uniform(2.4, 3.1), 0.1))
    swirl = outline_points(rng, (-9, -1), (9, 1), 1.6)
    ground.worn((0.93, 0.92, 0.86), ground.strip(swirl.tolist(), 0.5), 0.25)
    ground.ground_things()
    ground.spread((0.36, 0.44, 0.24))
    return draft


def _swings(draft: Draft, x: float, y: float, yaw: float) -> None:
    feet = [tube([[a, b, 0], [0.92 * a, 0, 2.4]], 0.06, 6) for a in (-1.7, 1.7) for b in (-1.1, 1.1)]
    draft.paint(
        "swing frame",
        join(*feet, tube([[-1.75, 0, 2.4], [1.75, 0, 2.4]], 0.07, 7)).at(x, y, yaw),
        draft.pick(*PLAY_COLOURS),
        finish="satin",
    )
    chains, seats = [], []
    for k, lean in ((-0.75, draft.rng.uniform(-0.4, 0.4)), (0.75, draft.rng.uniform(-0.2, 0.2))):
        chains += [tube([[k + b, 0, 2.4], [k + b, lean, 0.5]], 0.015, 3) for b in (-0.22, 0.22)]
        seats.append(box(0.5, 0.22, 0.05).moved(k, lean, 0.46))
    draft.paint("swing chains", join(*chains).at(x, y, yaw), (0.4, 0.42, 0.44))
    draft.paint("swing seats", join(*seats).at(x, y, yaw), (0.12, 0.12, 0.13))
    draft.block_box("swings", x, y, (3.8, 2.5), yaw, 2.5)


def _slide(draft: Draft, x: float, y: float, yaw: float) -> None:
    main, other = draft.pick(*PLAY_COLOURS), draft.pick(*PLAY_COLOURS)
    posts = [box(0.12, 0.12, 2.9).moved(a, b) for a in (-1.9, -0.9) for b in (-0.5, 0.5)]
    draft.paint(
        "slide tower", join(*posts, box(1.1, 1.1, 0.1).moved(-1.4, 0, 1.5)).at(x, y, yaw), (0.6, 0.42, 0.26)
    )
    slopes, gables = gable_roof(1.3, 1.3, 0.6, 0.15)
    draft.paint("slide roof", join(slopes, gables).moved(-1.4, 0, 2.8).at(x, y, yaw), other)
    rungs = [box(0.08, 0.8, 0.06).moved(-2.0 - 0.12 * (4 - k), 0, 0.3 * (k + 1)) for k in range(5)]
    draft.paint("slide steps", join(*rungs).at(x, y, yaw), other)
    bed = [[-0.85, -0.3, 1.58], [1.6, -0.3, 0.35], [1.6, 0.3, 0.35], [-0.85, 0.3, 1.58]]
    run = [[1.6, -0.3, 0.35], [2.3, -0.3, 0.28], [2.3, 0.3, 0.28], [1.6, 0.3, 0.35]]
    sides = [tube([[-0.85, b, 1.72], [1.6, b, 0.5], [2.3, b, 0.42]], 0.07, 5) for b in (-0.33, 0.33)]
    under = [quad([p[1], p[0], p[3], p[2]]).moved(0, 0, -0.02) for p in (bed, run)]
    draft.paint(
        "slide",
        join(quad(bed), quad(run), *under, *sides, box(0.1, 0.6, 0.3).moved(2.2, 0, 0)).at(x, y, yaw),
        main,
        finish="gloss",
    )
    draft.block_box("slide", x, y, (5.3, 1.4), yaw, 3.3)


def _climbing_frame(draft: Draft, x: float, y: float, yaw: float) -> None:
    size, step = 1.1, 0.75
    bars = [
        tube([[a, b, 0], [a, b, 2.25]], 0.035, 5)
        for a in np.arange(-size, 1.2, step)
        for b in np.arange(-size, 1.2, step)
    ]
    for level in (0.75, 1.5, 2.25):
        bars += [tube([[-size, b, level], [size, b, level]], 0.035, 5) for b in np.arange(-size, 1.2, step)]
        bars += [tube([[a, -size, level], [a, size, level]], 0.035, 5) for a in np.arange(-size, 1.2, step)]
    draft.paint("climbing frame", join(*bars).at(x, y, yaw), draft.pick(*PLAY_COLOURS), finish="satin")
    draft.block_box("climbing frame", x, y, (2.4, 2.4), yaw, 2.3)


def _see_saw(draft: Draft, x: float, y: float, yaw: float) -> None:
    tilt = 0.18
    board = join(
        box(3.4, 0.28, 0.08),
        box(0.05, 0.3, 0.25).moved(-1.3, 0, 0.06),
        box(0.05, 0.3, 0.25).moved(1.3, 0, 0.06),
    )
    draft.paint("see-saw", board.pitched(tilt).moved(0, 0, 0.6).at(x, y, yaw), draft.pick(*PLAY_COLOURS))
    draft.paint("see-saw foot", hexahedron((0.6, 0.5), (0.15, 0.3), 0.6).at(x, y, yaw), (0.3, 0.32, 0.34))
    draft.block_box("see-saw", x, y, (3.5, 0.6), yaw, 1.1)


def _roundabout(draft: Draft, x: float, y: float, yaw: float) -> None:
    disc = cylinder(1.15, 0.1, 16).moved(0, 0, 0.15)
    tones = np.where(
        (np.arange(len(disc)) // 2 % 2)[:, None] == 0,
        np.array([PLAY_COLOURS[0]]),
        np.array([PLAY_COLOURS[2]]),
    )
    draft.paint_faces("roundabout", disc.at(x, y, yaw), tones)
    rails = [
        tube([[0.9 * cos(a), 0.9 * sin(a), 0.2], [0.9 * cos(a), 0.9 * sin(a), 0.9], [0, 0, 0.95]], 0.03, 5)
        for a in np.arange(4) * pi / 2
    ]
    draft.paint("roundabout rails", join(*rails, cylinder(0.09, 1.0, 7)).at(x, y, yaw), (0.65, 0.67, 0.7))
    draft.block_disc("roundabout", x, y, 1.25, 1.0)


def _spring_rider(draft: Draft, x: float, y: float, yaw: float) -> None:
    draft.paint("spring", cylinder(0.12, 0.4, 8).moved(x, y), (0.3, 0.3, 0.32))
    body = join(
        box(0.95, 0.25, 0.4).moved(0, 0, 0.4),
        hexahedron((0.3, 0.25), (0.2, 0.2), 0.5).moved(0.4, 0, 0.7),
        tube([[0.3, -0.3, 0.95], [0.3, 0.3, 0.95]], 0.03, 5),
    )
    draft.paint("spring rider", body.at(x, y, yaw), draft.pick(*PLAY_COLOURS), finish="satin")
    draft.block_disc("spring rider", x, y, 0.6, 1.2)


def _play_house(draft: Draft, x: float, y: float, yaw: float) -> None:
    draft.clad("play house", box(1.8, 1.8, 1.4).at(x, y, yaw), "siding", draft.pick(*PLAY_COLOURS[1:]))
    slopes, gables = gable_roof(1.8, 1.8, 0.8, 0.2)
    draft.paint(
        "play house roof", join(slopes, gables).moved(0, 0, 1.4).at(x, y, yaw), draft.pick(*PLAY_COLOURS)
    )
    holes = [panel(0.6, 1.1).moved(-0.35, -0.91, 0), panel(0.5, 0.5).moved(0.45, -0.91, 0.6)]
    draft.paint("play house door", join(*holes).at(x, y, yaw), (0.12, 0.1, 0.09))
    draft.block_box("play house", x, y, (2.0, 2.0), yaw, 2.2)


def _sand_box(draft: Draft, x: float, y: float) -> None:
    rim = [box(3.0, 0.22, 0.3).moved(0, 1.4).turned(k * pi / 2) for k in range(4)]
    draft.clad("sand box", join(*rim).moved(x, y), "wood", (0.66, 0.48, 0.3))
    draft.clad("sand", box(2.7, 2.7, 0.14).moved(x, y), "sand", (0.93, 0.82, 0.58))
    toys = [
        wheel(0.16, 0.2, 8).moved(0.5, 0.2, 0.3),
        box(0.25, 0.25, 0.25).moved(-0.6, -0.3, 0.12),
        cylinder(0.14, 0.3, 8, 0.2).moved(-0.1, 0.7, 0.12),
    ]
    for toy in toys:
        draft.paint("sand toy", toy.moved(x, y), draft.pick(*PLAY_COLOURS))
    draft.block_box("sand box", x, y, (3.1, 3.1), 0, 0.5)


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
    for _ in range(22):
        spot = draft.find_spot((-13.5, -10.5, 13.5, 10.5), 1.4)
        if spot:
            _forest_tree(draft, spot[0], spot[1], mix)
    for hx, hy, step in ((15.5, 12.5, 3.4), (19.5, 16.5, 4.4)):
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
    ground.spread((0.26, 0.28, 0.15))
    return draft


def _forest_tree(draft: Draft, x: float, y: float, mix: np.ndarray) -> None:
    rng = draft.rng
    match int(rng.choice(4, p=mix)):
        case 0:
            plants.pine(draft, x, y, rng.uniform(9, 14))
        case 1:
            plants.conifer(draft, x, y, rng.uniform(6, 12))
        case 2:
            plants.broadleaf(draft, x, y, rng.uniform(8, 12))
        case _:
            plants.broadleaf(draft, x, y, rng.uniform(7, 10), (0.45, 0.56, 0.22), birch=True)


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
        draft.clad("mesa", join(*stack).at(x, y, rng.uniform(0, pi)), "rock", red)
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
    for count, radius, maker in ((9, 0.8, plants.cactus), (2, 1.4, plants.bare_tree)):
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
            ground.mottled(tuple(0.86 * c for c in sand), 1.5),
            0.7 * ground.strip((track + [0, shift]).tolist(), 0.35, 0.2, 0.1),
        )
    ground.ground_things(0.5, 0.3)
    ground.spread(sand)
    return draft


def _dunes(draft: Draft, sand: Colour) -> None:
    """Sand hills around the flat: a terrain that is level in the middle."""
    place = np.linspace(-75, 75, 46)
    x, y = np.meshgrid(place, place)
    phase = draft.rng.uniform(0, 2 * pi, 6)
    swell = np.sin(x / 9 + phase[0] + 1.2 * np.sin(y / 17 + phase[1])) + np.sin(
        y / 11 + phase[2] + np.sin(x / 14 + phase[3])
    )
    away = np.clip((np.maximum(np.abs(x) - 22, np.abs(y) - 18)) / 14, 0, 1)
    far = np.clip((75 - np.maximum(np.abs(x), np.abs(y))) / 20, 0, 1)
    height = (2.4 + 1.6 * swell) * away * far - 0.2
    draft.clad("dunes", terrain(place, place, height), "sand", sand)
