"""A playground between blocks of flats."""

from math import cos, pi, sin

import numpy as np

from outofsight.worlds.scenes import street_things
from outofsight.worlds.scenes.buildings import row_of_houses
from outofsight.worlds.scenes.draft import Area, Draft
from outofsight.worlds.scenes.green import LAWN, tree_belt
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
    tube,
    wheel,
)

PLAY_COLOURS: tuple[Colour, ...] = (
    (0.85, 0.2, 0.16),
    (0.15, 0.4, 0.75),
    (0.95, 0.75, 0.15),
    (0.2, 0.6, 0.35),
    (0.9, 0.45, 0.12),
)


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
    _draw_playground_ground(draft, placed)
    return draft


def _draw_playground_ground(draft: Draft, placed: list[tuple[float, float]]) -> None:
    rng = draft.rng
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
    draft.textured("play house", box(1.8, 1.8, 1.4).at(x, y, yaw), "siding", draft.pick(*PLAY_COLOURS[1:]))
    slopes, gables = gable_roof(1.8, 1.8, 0.8, 0.2)
    draft.paint(
        "play house roof", join(slopes, gables).moved(0, 0, 1.4).at(x, y, yaw), draft.pick(*PLAY_COLOURS)
    )
    holes = [panel(0.6, 1.1).moved(-0.35, -0.91, 0), panel(0.5, 0.5).moved(0.45, -0.91, 0.6)]
    draft.paint("play house door", join(*holes).at(x, y, yaw), (0.12, 0.1, 0.09))
    draft.block_box("play house", x, y, (2.4, 2.5), yaw, 2.2)


def _sand_box(draft: Draft, x: float, y: float) -> None:
    rim = [box(3.0, 0.22, 0.3).moved(0, 1.4).turned(k * pi / 2) for k in range(4)]
    draft.textured("sand box", join(*rim).moved(x, y), "wood", (0.66, 0.48, 0.3))
    draft.textured("sand", box(2.7, 2.7, 0.14).moved(x, y), "sand", (0.93, 0.82, 0.58))
    toys = [
        wheel(0.16, 0.2, 8).moved(0.5, 0.2, 0.3),
        box(0.25, 0.25, 0.25).moved(-0.6, -0.3, 0.12),
        cylinder(0.14, 0.3, 8, 0.2).moved(-0.1, 0.7, 0.12),
    ]
    for toy in toys:
        draft.paint("sand toy", toy.moved(x, y), draft.pick(*PLAY_COLOURS))
    draft.block_box("sand box", x, y, (3.1, 3.1), 0, 0.5)
