"""A snow-covered village."""

from math import cos, pi, sin

import numpy as np

from outofsight.worlds.scenes import plants, street_things
from outofsight.worlds.scenes.buildings import add_windows, church
from outofsight.worlds.scenes.draft import Draft
from outofsight.worlds.scenes.ground import GroundMap, hills, outline_points, shifted
from outofsight.worlds.scenes.kinds import SceneKind
from outofsight.worlds.scenes.layout import Colour
from outofsight.worlds.scenes.mesh import (
    blob,
    box,
    cylinder,
    gable_roof,
    join,
    lathe,
    panel,
    sphere,
    tube,
)

SNOW: Colour = (0.84, 0.87, 0.93)
TIMBER: tuple[Colour, ...] = ((0.50, 0.33, 0.20), (0.38, 0.25, 0.17), (0.62, 0.43, 0.27), (0.55, 0.2, 0.16))


def snow_village(kind: SceneKind, layout_seed: int, light: str) -> Draft:
    """Wooden houses under snow around a small square, firs and mountains behind."""
    draft = Draft(kind, layout_seed, light, (-15, -12, 15, 12), (-7, -3.8, 7, 3.8))
    rng = draft.rng
    draft.horizon, draft.below = "mountains", (0.85, 0.88, 0.94)
    _snow_hills(draft)
    ring = np.arange(8) * pi / 4 + rng.uniform(-0.15, 0.15)
    church_at = int(rng.integers(8))
    for k, angle in enumerate(ring):
        x, y = 21.5 * cos(angle), 18.5 * sin(angle)
        yaw = angle - pi / 2 + rng.uniform(-0.15, 0.15)
        if k == church_at:
            church(draft, x, y, yaw, snow=True)
        else:
            chalet(draft, x, y, yaw)
    for _ in range(16):
        angle, reach = rng.uniform(0, 2 * pi), rng.uniform(1.0, 1.7)
        x, y = 21 * reach * cos(angle), 18.5 * reach * sin(angle)
        if draft.is_open(x, y, 2.0) and max(abs(x) / 15, abs(y) / 12) > 1.12:
            plants.conifer(draft, x, y, rng.uniform(5, 10), snow=True)
    spots = [draft.find_spot((-13, -10, 13, 10), 1.3) for _ in range(10)]
    makers = [
        _snowman,
        _well,
        _wood_pile,
        _sledge,
        _spruce,
        _spruce,
        _spruce,
        _snow_heap,
        _snow_heap,
        _snow_heap,
    ]
    for spot, maker in zip(spots, makers, strict=True):
        if spot and draft.is_open(spot[0], spot[1], 1.0):
            maker(draft, spot[0], spot[1])
    for _ in range(3):
        spot = draft.find_spot((-12, -9, 12, 9), 0.6)
        if spot:
            street_things.street_lamp(draft, spot[0], spot[1], rng.uniform(0, 6), 3.4)
    for side in (-1, 1):
        y = side * rng.uniform(8.5, 10.5)
        x = rng.uniform(-10, 2)
        if draft.is_open(x + 2, y, 3):
            street_things.fence(draft, (x, y), (x + 4.5, y), colour=TIMBER[1], height_m=0.95)
    _draw_snow_ground(draft, ring)
    return draft


def _draw_snow_ground(draft: Draft, ring: np.ndarray) -> None:
    rng = draft.rng
    ground = GroundMap(draft, (-22, -19, 22, 19), 20)
    ground.lay(ground.mottled(SNOW, 4.0, 0.03, 0.008))
    trodden = ground.mottled((0.80, 0.83, 0.89), 0.8, 0.05, 0.015)
    for angle in rng.permutation(ring)[:4]:
        path = outline_points(
            rng, (rng.uniform(-3, 3), rng.uniform(-2, 2)), (19 * cos(angle), 16.5 * sin(angle)), 0.8
        )
        ground.lay(trodden, 0.9 * ground.strip(path.tolist(), 1.6, 0.5, 0.3))
    ground.lay(trodden, 0.8 * ground.disc(0, 0, rng.uniform(4, 6), 2.5))
    for _ in range(2):
        track = outline_points(rng, (-22, rng.uniform(-6, 6)), (22, rng.uniform(-6, 6)), 1.5)
        for shift in (-0.6, 0.6):
            ground.lay((0.74, 0.78, 0.86), 0.6 * ground.strip(shifted(track, shift), 0.22, 0.1, 0.05))
    ground.ground_things(0.5, 0.25)
    ground.spread((0.90, 0.92, 0.97))


def _snow_hills(draft: Draft) -> None:
    place = np.linspace(-90, 90, 36)
    x, y = np.meshgrid(place, place)
    phase = draft.rng.uniform(0, 2 * pi, 4)
    swell = np.sin(x / 13 + phase[0] + np.sin(y / 19 + phase[1])) + np.sin(
        y / 12 + phase[2] + np.sin(x / 15 + phase[3])
    )
    away = np.clip((np.hypot(x, y) - 34) / 30, 0, 1)
    far = np.clip((90 - np.maximum(np.abs(x), np.abs(y))) / 20, 0, 1)
    hills(draft, "snow hills", (place, (4.5 + 2.5 * swell) * away * far - 0.1), "snow", SNOW)


def chalet(draft: Draft, x: float, y: float, yaw: float) -> None:
    """A timber house on a plaster base, gable to the front, snow on its wide roof; front to −y before turning."""
    rng = draft.rng
    width, depth, base, upper = rng.uniform(6, 8), rng.uniform(7, 9), 2.6, rng.uniform(1.6, 2.8)
    timber = draft.pick(*TIMBER)
    draft.textured(
        "chalet base",
        box(width, depth, base).at(x, y, yaw),
        "plaster",
        draft.pick((0.93, 0.9, 0.84), (0.85, 0.75, 0.6)),
    )
    draft.textured(
        "chalet wall", box(width + 0.1, depth + 0.1, upper).moved(0, 0, base).at(x, y, yaw), "siding", timber
    )
    slopes, gables = gable_roof(depth + 0.1, width + 0.1, 0.36 * width, 0.8)
    top = base + upper
    draft.textured("chalet gable", gables.turned(pi / 2).moved(0, 0, top).at(x, y, yaw), "siding", timber)
    draft.textured(
        "chalet roof", slopes.turned(pi / 2).moved(0, 0, top).at(x, y, yaw), "planks", (0.4, 0.3, 0.22)
    )
    draft.textured(
        "roof snow", slopes.scaled(0.97, 0.97, 1).turned(pi / 2).moved(0, 0, top + 0.28).at(x, y, yaw), "snow"
    )
    rim = [tube(p, 0.14, 6) for p in _eaves(width, depth, top)]
    draft.textured("snow rim", join(*rim).at(x, y, yaw), "snow")
    front = -depth / 2 - 0.08
    panes = [panel(0.9, 1.1).moved(k * width, front, 1.0) for k in (-0.3, 0.3)]
    panes += [panel(0.9, 1.1).moved(k * width, front, base + 0.5) for k in (-0.28, 0, 0.28)]
    add_windows(draft, [pane.at(x, y, yaw) for pane in panes], (0.92, 0.9, 0.85), 0.75)
    shutters = [
        panel(0.35, 1.1).moved(k * width + s, front - 0.01, base + 0.5)
        for k in (-0.28, 0, 0.28)
        for s in (-0.64, 0.64)
    ]
    draft.paint(
        "shutters",
        join(*shutters).at(x, y, yaw),
        draft.pick((0.2, 0.4, 0.28), (0.65, 0.15, 0.13), (0.25, 0.4, 0.6)),
    )
    draft.paint("door", panel(1.0, 2.0).moved(0, front, 0).at(x, y, yaw), (0.32, 0.2, 0.13))
    balcony = join(
        box(width, 0.9, 0.12).moved(0, front - 0.45, base),
        box(width, 0.06, 0.8).moved(0, front - 0.88, base + 0.12),
    )
    draft.textured("balcony", balcony.at(x, y, yaw), "planks", timber)
    draft.textured(
        "chimney",
        box(0.6, 0.6, 1.5).moved(0.2 * width, 0.2 * depth, top + 0.22 * width).at(x, y, yaw),
        "stone blocks",
        (0.6, 0.58, 0.55),
    )
    draft.block_box("chalet", x, y, (width + 0.2, depth + 2.2), yaw, 6)


def _eaves(width: float, depth: float, top: float) -> list[list[list[float]]]:
    """The two sloped front edges and the two long edges of a chalet's roof, where snow hangs over."""
    out, rise, y = width / 2 + 0.8, 0.36 * width, depth / 2 + 0.75
    drop = rise * 0.8 / (width / 2)
    lines = []
    for side in (-1, 1):
        lines.append([[0, -y, top + rise + 0.14], [side * out, -y, top - drop + 0.14]])
        lines.append([[side * out, -y, top - drop + 0.1], [side * out, y, top - drop + 0.1]])
    return lines


def _snowman(draft: Draft, x: float, y: float) -> None:
    yaw = float(np.arctan2(-y, -x))
    balls = join(sphere(0.5, 2), sphere(0.36, 2).moved(0, 0, 0.85), sphere(0.25, 2).moved(0, 0, 1.45))
    draft.paint("snowman", balls.at(x, y, yaw), (0.97, 0.98, 1.0))
    draft.paint(
        "snowman nose",
        cylinder(0.05, 0.32, 7, 0.0).pitched(pi / 2).moved(0.22, 0, 1.68).at(x, y, yaw),
        (0.95, 0.5, 0.1),
    )
    coal = [sphere(0.035, 0).moved(0.22, b, 1.76) for b in (-0.09, 0.09)] + [
        sphere(0.045, 0).moved(0.34, 0, h) for h in (1.05, 1.25)
    ]
    draft.paint(
        "coal",
        join(*coal, cylinder(0.19, 0.3, 10).moved(0, 0, 1.9), cylinder(0.3, 0.04, 12).moved(0, 0, 1.88)).at(
            x, y, yaw
        ),
        (0.1, 0.1, 0.11),
    )
    scarf = lathe([(0.26, 0), (0.3, 0.05), (0.26, 0.14)], 12).moved(0, 0, 1.4)
    draft.paint(
        "scarf", scarf.at(x, y, yaw), draft.pick((0.8, 0.15, 0.15), (0.15, 0.4, 0.7), (0.2, 0.55, 0.3))
    )
    draft.block_disc("snowman", x, y, 0.6, 2.2)


def _well(draft: Draft, x: float, y: float) -> None:
    draft.textured(
        "well",
        lathe([(0.75, 0), (0.8, 0), (0.8, 0.8), (0.6, 0.8), (0.6, 0.3)], 14).moved(x, y),
        "stone blocks",
        (0.62, 0.6, 0.58),
    )
    posts = [box(0.12, 0.12, 2.1).moved(k, 0) for k in (-0.72, 0.72)]
    draft.paint(
        "well posts", join(*posts, tube([[-0.7, 0, 1.7], [0.7, 0, 1.7]], 0.08, 7)).moved(x, y), TIMBER[1]
    )
    slopes, _ = gable_roof(1.7, 1.4, 0.6, 0.15)
    draft.textured("well roof", slopes.moved(x, y, 2.1), "snow")
    draft.block_disc("well", x, y, 1.35, 2.7)


def _wood_pile(draft: Draft, x: float, y: float) -> None:
    yaw = draft.rng.uniform(0, pi)
    logs = [
        cylinder(0.13, 1.0, 7)
        .pitched(pi / 2)
        .moved(-0.5, 0.27 * k - 0.8 + 0.13 * (row % 2), 0.14 + 0.24 * row)
        for row in range(4)
        for k in range(7 - row % 2)
    ]
    draft.paint("wood pile", join(*logs).turned(pi / 2).at(x, y, yaw), (0.55, 0.4, 0.26), 0.2)
    draft.textured("wood pile snow", box(2.0, 1.1, 0.15).moved(0, 0, 0.98).at(x, y, yaw), "snow")
    draft.block_box("wood pile", x, y, (2.1, 1.2), yaw, 1.2)


def _sledge(draft: Draft, x: float, y: float) -> None:
    yaw = draft.rng.uniform(0, pi)
    runners = [tube([[-0.6, b, 0.06], [0.5, b, 0.06], [0.75, b, 0.35]], 0.035, 5) for b in (-0.24, 0.24)]
    slats = [box(1.1, 0.1, 0.04).moved(-0.05, b, 0.32) for b in (-0.2, 0, 0.2)]
    draft.paint(
        "sledge",
        join(*runners, *slats, *[box(0.06, 0.5, 0.26).moved(a, 0, 0.06) for a in (-0.4, 0.35)]).at(x, y, yaw),
        (0.7, 0.35, 0.16),
    )
    draft.block_box("sledge", x, y, (1.6, 0.7), yaw, 0.5)


def _spruce(draft: Draft, x: float, y: float) -> None:
    if draft.is_open(x, y, 1.35):
        plants.conifer(draft, x, y, draft.rng.uniform(3.5, 5), snow=True)


def _snow_heap(draft: Draft, x: float, y: float) -> None:
    radius = draft.rng.uniform(0.5, 1.0)
    draft.textured(
        "snow heap", blob(draft.rng, (radius, 0.8 * radius, 0.6 * radius), 0.12, 2).moved(x, y), "snow", SNOW
    )
    draft.block_disc("snow heap", x, y, 1.1 * radius, 0.6 * radius)
