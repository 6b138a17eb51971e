"""Things that stand outdoors: lamps, benches, signs, fences, fountains, play frames."""

from math import atan2, cos, hypot, pi, sin

import numpy as np

from outofsight.worlds.scenes.draft import Draft
from outofsight.worlds.scenes.layout import Colour
from outofsight.worlds.scenes.mesh import (
    Mesh,
    blob,
    box,
    cylinder,
    hexahedron,
    join,
    lathe,
    panel,
    sphere,
    tube,
)

IRON: Colour = (0.17, 0.19, 0.2)
STEEL: Colour = (0.58, 0.6, 0.62)
WOOD: Colour = (0.62, 0.44, 0.27)
LAMP: Colour = (1.0, 0.9, 0.66)


def street_lamp(draft: Draft, x: float, y: float, yaw: float = 0.0, height_m: float = 4.6) -> None:
    """A post with an arm towards +x before turning."""
    post = join(
        cylinder(0.13, 0.5, 8),
        tube([[0, 0, 0.4], [0, 0, height_m], [0.3, 0, height_m + 0.35], [1.0, 0, height_m + 0.4]], 0.06, 6),
    )
    draft.paint("lamp post", post.at(x, y, yaw), IRON, finish="satin")
    draft.paint(
        "lamp", box(0.6, 0.24, 0.12).moved(1.0, 0, height_m + 0.26).at(x, y, yaw), LAMP, finish="lamp"
    )
    draft.lamps_m.append((x + 1.0 * cos(yaw), y + 1.0 * sin(yaw), height_m + 0.1))
    draft.block_disc("lamp post", x, y, 0.2, height_m)


def globe_lamp(draft: Draft, x: float, y: float, height_m: float = 3.2) -> None:
    """A park lamp with a milk-glass ball."""
    draft.paint(
        "lamp post",
        lathe([(0, 0), (0.16, 0), (0.1, 0.4), (0.05, 0.5), (0.05, height_m)], 8).moved(x, y),
        IRON,
        finish="satin",
    )
    draft.paint("lamp", sphere(0.22, 1).moved(x, y, height_m - 0.05), LAMP, finish="lamp")
    draft.lamps_m.append((x, y, height_m + 0.6))
    draft.block_disc("lamp post", x, y, 0.2, height_m)


def bench(draft: Draft, x: float, y: float, yaw: float = 0.0) -> None:
    """A park bench whose sitter looks to −y before turning."""
    slats = [box(1.7, 0.11, 0.05).moved(0, k, 0.44) for k in (-0.2, -0.06, 0.08)]
    slats += [box(1.7, 0.05, 0.12).moved(0, 0.22 + 0.04 * k, 0.56 + 0.17 * k) for k in range(3)]
    draft.paint("bench", join(*slats).at(x, y, yaw), draft.pick(WOOD, (0.5, 0.33, 0.2)), 0.06)
    legs = [box(0.07, 0.5, 0.44).moved(k, 0, 0) for k in (-0.7, 0.7)] + [
        box(0.07, 0.06, 0.5).moved(k, 0.28, 0.44) for k in (-0.7, 0.7)
    ]
    draft.paint("bench legs", join(*legs).at(x, y, yaw), IRON)
    draft.block_box("bench", x, y, (1.8, 0.7), yaw, 0.95)


def bin_(draft: Draft, x: float, y: float) -> None:
    draft.paint(
        "bin",
        cylinder(0.24, 0.85, 10, 0.28).moved(x, y),
        draft.pick((0.2, 0.4, 0.28), (0.3, 0.32, 0.35), (0.75, 0.45, 0.15)),
    )
    draft.block_disc("bin", x, y, 0.32, 0.9)


def post_box(draft: Draft, x: float, y: float, colour: Colour = (0.8, 0.12, 0.12)) -> None:
    draft.paint(
        "post box",
        lathe([(0, 0), (0.27, 0), (0.25, 1.25), (0.3, 1.28), (0.3, 1.36), (0.12, 1.5), (0, 1.52)], 12).moved(
            x, y
        ),
        colour,
        finish="gloss",
    )
    draft.block_disc("post box", x, y, 0.34, 1.5)


def hydrant(draft: Draft, x: float, y: float) -> None:
    body = join(
        lathe([(0, 0), (0.16, 0), (0.13, 0.1), (0.13, 0.55), (0.17, 0.58), (0.1, 0.72), (0, 0.75)], 10),
        tube([[-0.25, 0, 0.42], [0.25, 0, 0.42]], 0.07, 7),
    )
    draft.paint("hydrant", body.moved(x, y), draft.pick((0.82, 0.16, 0.12), (0.9, 0.7, 0.15)), finish="satin")
    draft.block_disc("hydrant", x, y, 0.32, 0.75)


def sign_post(
    draft: Draft, x: float, y: float, yaw: float, colour: Colour, *, round_plate: bool = True
) -> None:
    """A traffic sign that looks to −y before turning."""
    draft.paint("sign post", cylinder(0.035, 2.9, 6).moved(x, y), STEEL)
    if round_plate:
        plate = cylinder(0.33, 0.03, 14).rolled(pi / 2).moved(0, -0.04, 2.6)
        inner = cylinder(0.23, 0.03, 14).rolled(pi / 2).moved(0, -0.06, 2.6)
    else:
        plate, inner = (
            box(0.62, 0.03, 0.62).moved(0, -0.05, 2.28),
            box(0.46, 0.03, 0.46).moved(0, -0.07, 2.36),
        )
    draft.paint("sign", plate.at(x, y, yaw), colour)
    draft.paint("sign plate", inner.at(x, y, yaw), (0.95, 0.95, 0.95))
    draft.block_disc("sign", x, y, 0.15, 3.0)


def traffic_light(draft: Draft, x: float, y: float, yaw: float) -> None:
    draft.paint("signal post", cylinder(0.06, 3.4, 7).moved(x, y), IRON)
    draft.paint("signal box", box(0.34, 0.26, 0.95).moved(0, -0.12, 2.5).at(x, y, yaw), (0.1, 0.11, 0.11))
    on = int(draft.rng.integers(3))
    for k, colour in enumerate(((0.2, 0.9, 0.4), (1.0, 0.75, 0.1), (1.0, 0.15, 0.1))):
        lens = cylinder(0.11, 0.02, 10).rolled(pi / 2).moved(0, -0.25, 2.65 + 0.3 * k).at(x, y, yaw)
        draft.paint(
            "signal", lens, colour if k == on else (0.2, 0.16, 0.14), finish="glow" if k == on else "matte"
        )
    draft.block_disc("traffic light", x, y, 0.3, 3.5)


def bus_stop(draft: Draft, x: float, y: float, yaw: float) -> None:
    """A shelter open to −y before turning."""
    frame = [box(0.08, 0.08, 2.5).moved(a, b, 0) for a in (-1.7, 1.7) for b in (-0.6, 0.6)]
    draft.paint(
        "shelter frame", join(*frame, box(3.8, 1.7, 0.12).moved(0, 0, 2.5)).at(x, y, yaw), (0.25, 0.28, 0.3)
    )
    glass = join(box(3.4, 0.04, 1.9).moved(0, 0.6, 0.35), box(0.04, 1.2, 1.9).moved(1.7, 0, 0.35))
    draft.paint("shelter glass", glass.at(x, y, yaw), (0.62, 0.74, 0.8), finish="gloss")
    draft.paint(
        "poster",
        panel(1.0, 1.5).moved(-0.9, 0.56, 0.55).at(x, y, yaw),
        draft.pick((0.9, 0.4, 0.3), (0.25, 0.5, 0.8), (0.95, 0.8, 0.3)),
        finish="lamp",
    )
    draft.paint("shelter seat", box(2.2, 0.35, 0.07).moved(0.3, 0.35, 0.45).at(x, y, yaw), WOOD)
    draft.block_box("bus stop", x, y, (3.9, 1.8), yaw, 2.6)


def fence(
    draft: Draft,
    start: tuple[float, float],
    end: tuple[float, float],
    *,
    height_m: float = 1.1,
    colour: Colour = (0.93, 0.92, 0.88),
    rails: int = 2,
    step_m: float = 1.8,
) -> None:
    """Posts and rails along a line."""
    length = hypot(end[0] - start[0], end[1] - start[1])
    yaw = atan2(end[1] - start[1], end[0] - start[0])
    posts = max(2, round(length / step_m) + 1)
    bars = [box(0.1, 0.1, height_m).moved(k, 0, 0) for k in np.linspace(-length / 2, length / 2, posts)]
    bars += [box(length, 0.05, 0.1).moved(0, 0, height_m * (k + 0.8) / rails - 0.12) for k in range(rails)]
    x, y = (start[0] + end[0]) / 2, (start[1] + end[1]) / 2
    draft.paint("fence", join(*bars).at(x, y, yaw), colour, 0.05)
    draft.block_box("fence", x, y, (length + 0.1, 0.2), yaw, height_m)


def fountain(draft: Draft, x: float, y: float, radius_m: float = 2.4) -> None:
    """A round basin, a bowl on a column, water."""
    r = radius_m
    rim = lathe(
        [(r - 0.02, 0), (r + 0.1, 0), (r + 0.1, 0.45), (r, 0.55), (r - 0.3, 0.55), (r - 0.3, 0.2)], 20
    )
    bowl = lathe(
        [
            (0.35, 0),
            (0.3, 0.4),
            (0.16, 0.6),
            (0.16, 1.35),
            (0.35, 1.5),
            (1.0, 1.75),
            (1.05, 1.85),
            (0.9, 1.85),
            (0.3, 1.7),
            (0.12, 1.9),
            (0.1, 2.3),
            (0, 2.35),
        ],
        14,
    )
    stone = draft.pick((0.8, 0.77, 0.7), (0.66, 0.66, 0.66), (0.78, 0.68, 0.6))
    draft.textured("fountain", join(rim, bowl).moved(x, y), "marble", stone)
    draft.textured(
        "fountain water",
        join(cylinder(r - 0.25, 0.42, 18), cylinder(0.9, 0.03, 14).moved(0, 0, 1.78)).moved(x, y),
        "water",
        (0.55, 0.75, 0.86),
        "gloss",
    )
    jets = [
        tube(
            [
                [0, 0, 2.3],
                [0.3 * cos(a), 0.3 * sin(a), 2.75],
                [0.75 * cos(a), 0.75 * sin(a), 2.4],
                [0.95 * cos(a), 0.95 * sin(a), 1.8],
            ],
            0.03,
            4,
        )
        for a in np.arange(6) * pi / 3
    ]
    draft.paint("water jets", join(*jets).moved(x, y), (0.9, 0.95, 1.0), finish="gloss")
    draft.block_disc("fountain", x, y, r + 0.15, 2.8)


def statue(draft: Draft, x: float, y: float, yaw: float, *, rider: bool = False, scale: float = 1.0) -> None:
    """A bronze or marble figure on a plinth; looks to −y before turning."""
    s = scale
    plinth = join(box(1.5 * s, 1.5 * s, 0.25), box(1.1 * s, 1.1 * s, 1.5 * s))
    draft.textured("plinth", plinth.at(x, y, yaw), "marble", (0.75, 0.72, 0.68))
    body = join(
        hexahedron((0.62, 0.5), (0.38, 0.3), 1.0),
        hexahedron((0.4, 0.28), (0.56, 0.32), 0.62).moved(0, 0, 0.98),
        sphere(0.17, 1).moved(0, -0.02, 1.66),
        tube([[0.27, 0, 1.5], [0.45, -0.15, 1.25], [0.62, -0.42, 1.55]], 0.075, 6),
        tube([[-0.27, 0, 1.5], [-0.42, -0.05, 1.2], [-0.3, -0.2, 0.98]], 0.075, 6),
    )
    if rider:
        horse = [
            blob(np.random.default_rng(4), (0.36, 0.85, 0.42), 0.06, 1).moved(0, 0, 1.25),
            tube([[0, -0.6, 1.4], [0, -1.0, 2.0], [0, -1.35, 1.9]], 0.17, 7),
        ]
        horse += [
            tube([[a, b, 1.1], [a, b + 0.05, 0.5], [a, b, 0]], 0.09, 5)
            for a in (-0.2, 0.2)
            for b in (-0.55, 0.6)
        ]
        body = join(body.scaled(0.9, 0.9, 0.9).moved(0, 0.1, 1.1), *horse)
    colour = draft.pick((0.33, 0.47, 0.41), (0.36, 0.28, 0.2), (0.86, 0.85, 0.82))
    draft.paint(
        "statue", body.scaled(s, s, s).moved(0, 0, 1.5 * s).at(x, y, yaw), colour, 0.06, finish="satin"
    )
    draft.block_box("statue", x, y, (1.6 * s, 2.6 * s if rider else 1.6 * s), yaw, 4)


def cafe_table(draft: Draft, x: float, y: float, yaw: float, cloth: Colour | None = None) -> None:
    """A round table with two chairs under a parasol."""
    cloth = (
        draft.pick((0.85, 0.25, 0.2), (0.95, 0.9, 0.8), (0.2, 0.45, 0.5), (0.95, 0.7, 0.25))
        if cloth is None
        else cloth
    )
    draft.paint(
        "cafe table",
        join(
            cylinder(0.42, 0.04, 12).moved(0, 0, 0.72), cylinder(0.035, 2.6, 6), cylinder(0.25, 0.05, 8)
        ).moved(x, y),
        (0.86, 0.85, 0.82),
    )
    chairs = [
        join(
            box(0.4, 0.4, 0.05).moved(0, 0, 0.43),
            box(0.4, 0.04, 0.45).moved(0, 0.19, 0.46),
            *[box(0.04, 0.04, 0.43).moved(a, b) for a in (-0.17, 0.17) for b in (-0.17, 0.17)],
        )
        .moved(0, 0.75)
        .turned(k)
        for k in (0.3, pi + 0.1)
    ]
    draft.paint("cafe chairs", join(*chairs).at(x, y, yaw), draft.pick((0.3, 0.33, 0.35), (0.55, 0.35, 0.2)))
    shade = cylinder(1.35, 0.5, 8, 0.05).moved(x, y, 2.3)
    tones = np.where(
        (np.arange(len(shade)) % 2)[:, None] == 0, np.array([cloth]), np.array([[0.95, 0.94, 0.9]])
    )
    draft.paint_faces("parasol", shade, tones)
    draft.block_disc("cafe table", x, y, 1.2, 2.6)


def planter(draft: Draft, x: float, y: float, yaw: float = 0.0, length_m: float = 1.6) -> None:
    draft.textured(
        "planter",
        box(length_m, 0.6, 0.5).at(x, y, yaw),
        "concrete",
        draft.pick((0.8, 0.78, 0.74), (0.5, 0.36, 0.28)),
    )
    tufts = [
        blob(draft.rng, (0.3, 0.3, 0.28), 0.2, 0).moved(k, 0, 0.6)
        for k in np.arange(-length_m / 2 + 0.3, length_m / 2, 0.4)
    ]
    draft.paint(
        "planter green",
        join(*tufts).at(x, y, yaw),
        draft.pick((0.35, 0.5, 0.2), (0.6, 0.3, 0.4), (0.5, 0.55, 0.2)),
        0.2,
    )
    draft.block_box("planter", x, y, (length_m + 0.5, 1.0), yaw, 0.9)


def barrel(draft: Draft, x: float, y: float, colour: Colour = (0.5, 0.34, 0.2)) -> None:
    draft.paint(
        "barrel",
        lathe([(0, 0), (0.26, 0), (0.32, 0.45), (0.26, 0.9), (0, 0.9)], 12).moved(x, y),
        colour,
        0.08,
    )
    draft.block_disc("barrel", x, y, 0.36, 0.9)


def crate(draft: Draft, x: float, y: float, size_m: float, yaw: float, z: float = 0.0) -> None:
    """A wooden crate with braced faces; takes ground only when it stands on it."""
    block = box(size_m, size_m, size_m)
    draft.textured(
        "crate",
        Mesh(block.corners, block.normals, block.texcoords / size_m).at(x, y, yaw, z),
        "crate",
        draft.pick((0.78, 0.6, 0.38), (0.7, 0.52, 0.34)),
    )
    if z == 0:
        draft.block_box("crate", x, y, (size_m + 0.06, size_m + 0.06), yaw, size_m)


def gazebo(draft: Draft, x: float, y: float, radius_m: float = 2.3) -> None:
    """An eight-sided pavilion."""
    posts = [
        cylinder(0.08, 2.5, 6).moved(radius_m * cos(a), radius_m * sin(a)) for a in np.arange(8) * pi / 4
    ]
    draft.paint("gazebo", join(*posts, cylinder(radius_m + 0.15, 0.16, 8)).moved(x, y), (0.92, 0.9, 0.85))
    draft.textured(
        "gazebo roof",
        cylinder(radius_m + 0.5, 1.4, 8, 0.05).moved(x, y, 2.5),
        "roof tiles",
        draft.pick((0.35, 0.45, 0.4), (0.55, 0.3, 0.22)),
    )
    rails = [
        box(2 * radius_m * sin(pi / 8), 0.06, 0.7).moved(0, -radius_m * cos(pi / 8), 0.25).turned(a)
        for a in np.arange(1, 8) * pi / 4
    ]
    draft.paint("gazebo rail", join(*rails).moved(x, y), (0.92, 0.9, 0.85))
    draft.block_disc("gazebo", x, y, radius_m + 0.3, 4)


def wall_line(
    draft: Draft,
    start: tuple[float, float],
    end: tuple[float, float],
    height_m: float,
    surface: str,
    tint: Colour,
    thick_m: float = 0.3,
) -> None:
    """A straight wall, quay edge or parapet."""
    length = hypot(end[0] - start[0], end[1] - start[1])
    yaw = atan2(end[1] - start[1], end[0] - start[0])
    x, y = (start[0] + end[0]) / 2, (start[1] + end[1]) / 2
    draft.textured("wall", box(length + thick_m, thick_m, height_m).at(x, y, yaw), surface, tint)
    draft.block_box("wall", x, y, (length + thick_m, thick_m + 0.04), yaw, height_m)
