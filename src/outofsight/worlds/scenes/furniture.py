"""Furniture and fittings. Fronts look to −y before turning; each takes the ground it stands on."""

from math import pi

import numpy as np

from outofsight.worlds.scenes import pictures
from outofsight.worlds.scenes.draft import Draft
from outofsight.worlds.scenes.layout import Colour, toned
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
from outofsight.worlds.scenes.street_things import LAMP

WOODS: tuple[Colour, ...] = ((0.66, 0.47, 0.29), (0.45, 0.30, 0.19), (0.82, 0.68, 0.48), (0.32, 0.22, 0.16))
FABRICS: tuple[Colour, ...] = (
    (0.30, 0.38, 0.50),
    (0.62, 0.28, 0.22),
    (0.45, 0.50, 0.38),
    (0.72, 0.66, 0.56),
    (0.35, 0.33, 0.35),
    (0.75, 0.56, 0.25),
)
STEEL: Colour = (0.6, 0.62, 0.64)


def legs(half_x: float, half_y: float, height: float, size: float = 0.06) -> list[Mesh]:
    return [box(size, size, height).moved(a, b) for a in (-half_x, half_x) for b in (-half_y, half_y)]


def table(
    draft: Draft,
    x: float,
    y: float,
    yaw: float,
    size_m: tuple[float, float] = (1.8, 0.95),
    colour: Colour | None = None,
) -> None:
    colour = draft.pick(*WOODS) if colour is None else colour
    draft.textured("table top", box(*size_m, 0.05).moved(0, 0, 0.7).at(x, y, yaw), "wood", colour)
    draft.paint(
        "table legs",
        join(*legs(size_m[0] / 2 - 0.08, size_m[1] / 2 - 0.08, 0.7)).at(x, y, yaw),
        toned(colour, 0.8),
    )
    draft.block_box("table", x, y, (size_m[0] + 0.06, size_m[1] + 0.06), yaw, 0.76)


def chair(draft: Draft, x: float, y: float, yaw: float, colour: Colour) -> None:
    body = [
        box(0.42, 0.42, 0.05).moved(0, 0, 0.43),
        box(0.42, 0.04, 0.26).moved(0, 0.2, 0.66),
        *legs(0.18, 0.18, 0.43, 0.04),
    ]
    body += [box(0.04, 0.04, 0.5).moved(a, 0.2, 0.43) for a in (-0.18, 0.18)]
    draft.paint("chair", join(*body).at(x, y, yaw), colour)
    draft.block_box("chair", x, y, (0.5, 0.5), yaw, 0.95)


def office_chair(draft: Draft, x: float, y: float, yaw: float, colour: Colour) -> None:
    star = [
        tube([[0, 0, 0.1], [0.28 * np.cos(a), 0.28 * np.sin(a), 0.06]], 0.03, 4)
        for a in np.arange(5) * 2 * pi / 5
    ]
    draft.paint(
        "chair foot", join(*star, cylinder(0.04, 0.4, 6).moved(0, 0, 0.08)).at(x, y, yaw), (0.15, 0.15, 0.16)
    )
    seat = join(
        hexahedron((0.46, 0.46), (0.5, 0.5), 0.09).moved(0, 0, 0.43),
        hexahedron((0.44, 0.06), (0.4, 0.05), 0.52).moved(0, 0.24, 0.56),
    )
    draft.paint("office chair", seat.at(x, y, yaw), colour)
    draft.block_disc("office chair", x, y, 0.36, 1.1)


def monitor(
    draft: Draft, x: float, y: float, yaw: float, z: float, image: str, width_m: float = 0.56
) -> None:
    high = 0.58 * width_m
    frame = join(
        box(width_m + 0.03, 0.03, high + 0.03).moved(0, 0, 0.12),
        box(0.05, 0.04, 0.14).moved(0, 0.02),
        box(0.24, 0.16, 0.015),
    )
    draft.paint("monitor", frame.at(x, y, yaw, z), (0.09, 0.09, 0.1))
    draft.decal("screen", panel(width_m, high).moved(0, -0.02, 0.135).at(x, y, yaw, z), image, "glow")


def desk(draft: Draft, x: float, y: float, yaw: float, image: str, top: Colour, chair_colour: Colour) -> None:
    """A desk with monitor, keyboard, papers and a pushed-in chair; the sitter looks to +y before turning."""
    c, s = np.cos(yaw), np.sin(yaw)
    draft.paint("desk top", box(1.6, 0.8, 0.04).moved(0, 0, 0.7).at(x, y, yaw), top)
    frame = [box(0.05, 0.7, 0.7).moved(k, 0) for k in (-0.75, 0.75)] + [
        box(1.5, 0.03, 0.35).moved(0, 0.33, 0.35)
    ]
    draft.paint(
        "desk frame",
        join(*frame, box(0.42, 0.55, 0.55).moved(0.48, 0.05, 0.08)).at(x, y, yaw),
        (0.55, 0.56, 0.58),
    )
    mx, my = x - 0.18 * s - 0.05 * c, y + 0.18 * c - 0.05 * s
    monitor(draft, mx, my, yaw, 0.74, image)
    draft.paint("keyboard", box(0.44, 0.15, 0.02).moved(-0.05, -0.2, 0.74).at(x, y, yaw), (0.2, 0.2, 0.21))
    papers = join(
        box(0.21, 0.3, 0.02).moved(0.55, -0.05, 0.74), cylinder(0.04, 0.1, 8).moved(0.35, -0.22, 0.74)
    )
    draft.paint(
        "papers", papers.at(x, y, yaw), draft.pick((0.95, 0.95, 0.93), (0.9, 0.6, 0.3), (0.4, 0.6, 0.8))
    )
    office_chair(
        draft, x + 0.75 * s, y - 0.75 * c, yaw + pi + float(draft.rng.uniform(-0.5, 0.5)), chair_colour
    )
    draft.block_box("desk", x, y, (1.7, 0.9), yaw, 1.2)


def sofa(
    draft: Draft, x: float, y: float, yaw: float, width_m: float = 2.1, colour: Colour | None = None
) -> None:
    colour = draft.pick(*FABRICS) if colour is None else colour
    inner = width_m - 0.4
    frame = [
        box(width_m, 0.85, 0.3).moved(0, 0, 0.1),
        hexahedron((width_m, 0.24), (width_m, 0.18), 0.6).moved(0, 0.36, 0.25),
    ]
    frame += [box(0.2, 0.85, 0.5).moved(k, 0, 0.1) for k in (-width_m / 2 + 0.1, width_m / 2 - 0.1)]
    draft.textured("sofa", join(*frame).at(x, y, yaw), "fabric", colour)
    count = max(1, round(inner / 0.75))
    seats = [
        hexahedron((inner / count - 0.03, 0.62), (inner / count - 0.08, 0.58), 0.15).moved(
            (k + 0.5) * inner / count - inner / 2, -0.08, 0.4
        )
        for k in range(count)
    ]
    draft.textured("sofa seats", join(*seats).at(x, y, yaw), "fabric", toned(colour, 1.12))
    cushion = box(0.42, 0.14, 0.42).rolled(-0.3).moved(0.32 * inner, 0.2, 0.55)
    draft.textured("cushion", cushion.at(x, y, yaw), "fabric", draft.pick(*FABRICS))
    draft.block_box("sofa", x, y, (width_m + 0.1, 1.0), yaw, 0.9)


def book_shelf(
    draft: Draft,
    x: float,
    y: float,
    yaw: float,
    width_m: float = 1.6,
    height_m: float = 2.0,
    image: str | None = None,
) -> None:
    """A filled shelf; ``image`` overrides the books."""
    shown = (
        draft.show(f"books {len(draft.images)}", pictures.book_rows(draft.rng)) if image is None else image
    )
    draft.textured("book shelf", box(width_m, 0.34, height_m).at(x, y, yaw), "wood", draft.pick(*WOODS))
    front = panel(width_m - 0.1, height_m - 0.12).moved(0, -0.175, 0.06)
    draft.decal("books", front.at(x, y, yaw), shown)
    draft.block_box("shelf", x, y, (width_m + 0.06, 0.42), yaw, height_m)


def cupboard(
    draft: Draft, x: float, y: float, yaw: float, size_m: tuple[float, float, float], colour: Colour
) -> None:
    """A low or tall cabinet with door lines and knobs."""
    width, depth, height = size_m
    draft.textured("cupboard", box(width, depth, height).at(x, y, yaw), "wood", colour)
    doors = max(1, round(width / 0.55))
    lines = [
        box(0.015, 0.01, 0.9 * height).moved((k / doors - 0.5) * width, -depth / 2, 0.05 * height)
        for k in range(1, doors)
    ]
    knobs = [
        sphere(0.025, 0).moved(((k + 0.5) / doors - 0.5) * width + 0.08, -depth / 2 - 0.02, 0.55 * height)
        for k in range(doors)
    ]
    draft.paint("cupboard knobs", join(*lines, *knobs).at(x, y, yaw), (0.15, 0.12, 0.1))
    draft.block_box("cupboard", x, y, (width + 0.05, depth + 0.1), yaw, height)


def floor_lamp(draft: Draft, x: float, y: float, height_m: float = 1.65) -> None:
    draft.paint(
        "lamp stand",
        join(cylinder(0.16, 0.03, 12), cylinder(0.018, height_m, 6)).moved(x, y),
        (0.2, 0.19, 0.18),
    )
    draft.paint(
        "lamp shade", cylinder(0.24, 0.32, 12, 0.15).moved(x, y, height_m - 0.15), LAMP, finish="lamp"
    )
    draft.lamps_m.append((x, y, height_m + 0.3))
    draft.block_disc("floor lamp", x, y, 0.25, height_m)


def television(draft: Draft, x: float, y: float, yaw: float, image: str) -> None:
    """A low board with a large screen on it."""
    cupboard(draft, x, y, yaw, (1.9, 0.42, 0.45), draft.pick(*WOODS))
    draft.paint(
        "television",
        box(1.35, 0.06, 0.8).moved(0, 0.05, 0.5).at(x, y, yaw),
        (0.06, 0.06, 0.07),
        finish="satin",
    )
    draft.decal("television screen", panel(1.28, 0.72).moved(0, 0.015, 0.54).at(x, y, yaw), image, "glow")


def pallet_rack(draft: Draft, x: float, y: float, yaw: float, bays: int = 3, levels: int = 3) -> None:
    """High steel shelving with pallets of boxes, crates and drums."""
    rng = draft.rng
    bay, depth, step = 2.7, 1.1, 1.9
    length, top = bays * bay, levels * step
    uprights = [
        box(0.1, 0.1, top).moved(k * bay - length / 2, b)
        for k in range(bays + 1)
        for b in (-depth / 2, depth / 2)
    ]
    draft.paint(
        "rack uprights", join(*uprights).at(x, y, yaw), draft.pick((0.16, 0.3, 0.6), (0.2, 0.4, 0.35))
    )
    beams = [
        box(length, 0.06, 0.12).moved(0, b, level * step - 0.12)
        for level in range(1, levels)
        for b in (-depth / 2, depth / 2)
    ]
    draft.paint("rack beams", join(*beams).at(x, y, yaw), (0.93, 0.5, 0.12))
    loads: dict[str, list[Mesh]] = {"pallet": [], "carton": [], "sack": [], "crate": [], "drum": []}
    for level in range(levels):
        for k in range(2 * bays):
            if rng.random() > 0.12:
                what, load = _rack_load(rng)
                loads[what].append(load.moved((k + 0.5) * bay / 2 - length / 2, 0, level * step + 0.13))
                pallet = box(1.15, 1.0, 0.13).moved((k + 0.5) * bay / 2 - length / 2, 0, level * step)
                loads["pallet"].append(pallet)
    placed = {what: join(*meshes).at(x, y, yaw) for what, meshes in loads.items() if meshes}
    for what, surface, tint in (
        ("pallet", "wood", (0.7, 0.55, 0.36)),
        ("carton", "cardboard", draft.pick((0.74, 0.56, 0.36), (0.66, 0.48, 0.3))),
        ("sack", "fabric", draft.pick((0.88, 0.86, 0.8), (0.75, 0.68, 0.52))),
        ("crate", "crate", (0.78, 0.6, 0.38)),
    ):
        if what in placed:
            draft.textured(what, placed[what], surface, tint)
    if "drum" in placed:
        colour = draft.pick((0.2, 0.4, 0.7), (0.75, 0.2, 0.15), (0.25, 0.5, 0.3))
        draft.paint("drum", placed["drum"], colour, 0.06, "satin")
    draft.block_box("rack", x, y, (length + 0.15, depth + 0.15), yaw, top)


def _rack_load(rng: np.random.Generator) -> tuple[str, Mesh]:
    """What stands on one pallet: cartons, wrapped sacks, a crate or four drums."""
    what = str(rng.choice(["carton", "sack", "crate", "drum"], p=[0.45, 0.2, 0.2, 0.15]))
    if what == "drum":
        drums = [cylinder(0.26, 0.85, 10).moved(a, b) for a in (-0.27, 0.27) for b in (-0.24, 0.24)]
        return what, join(*drums)
    if what == "crate":
        return what, box(1.0, 0.95, 0.95)
    return what, box(1.08 * rng.uniform(0.8, 1), 0.95, rng.uniform(0.6, 1.35))


def pallet_stack(draft: Draft, x: float, y: float, yaw: float) -> None:
    """A pallet on the floor with cartons, wrapped or in layers."""
    rng = draft.rng
    draft.textured("pallet", box(1.2, 1.0, 0.14).at(x, y, yaw), "wood", (0.7, 0.55, 0.36))
    rows, size = int(rng.integers(1, 4)), 0.5
    cartons = [
        box(0.56, 0.47, 0.42).moved(a, b, 0.14 + 0.43 * row)
        for row in range(rows)
        for a in (-0.29, 0.29)
        for b in (-size / 2, size / 2)
        if row < rows - 1 or rng.random() < 0.75
    ]
    if cartons:
        draft.textured(
            "cartons",
            join(*cartons).at(x, y, yaw),
            "cardboard",
            draft.pick((0.74, 0.56, 0.36), (0.66, 0.48, 0.3)),
        )
    draft.block_box("pallet", x, y, (1.3, 1.1), yaw, 0.14 + 0.43 * rows)


def goods_shelf(
    draft: Draft, x: float, y: float, yaw: float, length_m: float, images: list[str], height_m: float = 1.9
) -> None:
    """A two-sided shop shelf, its long sides filled with goods, a sign on its end."""
    draft.paint(
        "goods shelf",
        join(box(length_m, 0.9, height_m - 0.05), box(length_m + 0.1, 1.0, 0.12)).at(x, y, yaw),
        (0.84, 0.85, 0.86),
    )
    bays = max(1, round(length_m / 2.0))
    for k in range(bays):
        middle = (k + 0.5) * length_m / bays - length_m / 2
        for turn in (0.0, pi):
            front = (
                panel(length_m / bays, height_m - 0.15)
                .moved(middle if turn == 0 else -middle, -0.46, 0.1)
                .turned(turn)
            )
            draft.decal("goods", front.at(x, y, yaw), images[int(draft.rng.integers(len(images)))])
    ends = [
        panel(0.9, height_m - 0.15).moved(0, -length_m / 2 - 0.01, 0.1).turned(turn)
        for turn in (pi / 2, -pi / 2)
    ]
    draft.decal("goods", join(*ends).at(x, y, yaw), images[int(draft.rng.integers(len(images)))])
    draft.block_box("goods shelf", x, y, (length_m + 0.15, 1.05), yaw, height_m)


def pedestal(draft: Draft, x: float, y: float, kind: str) -> None:
    """A plinth with a sculpture: a bust, a vase, a ball of rings, a torso, or a case with a stone."""
    rng = draft.rng
    draft.paint("plinth", join(box(0.62, 0.62, 1.0), box(0.7, 0.7, 0.08)).moved(x, y), (0.93, 0.92, 0.9))
    marble: Colour = draft.pick((0.9, 0.89, 0.86), (0.35, 0.28, 0.2), (0.3, 0.42, 0.38))
    if kind == "bust":
        shape = join(
            lathe([(0, 0), (0.13, 0), (0.09, 0.12), (0.22, 0.2), (0.24, 0.34), (0.08, 0.46)], 12),
            sphere(0.14, 2).moved(0, 0, 0.42),
            box(0.04, 0.08, 0.08).moved(0, -0.14, 0.55),
        )
        draft.paint("sculpture", shape.at(x, y, rng.uniform(0, 6), 1.0), marble, 0.03, "satin")
    elif kind == "vase":
        shape = lathe(
            [(0, 0), (0.1, 0), (0.24, 0.22), (0.2, 0.42), (0.09, 0.55), (0.14, 0.64), (0.12, 0.64)], 14
        )
        tones = np.where(
            (shape.corners[:, 0, 2] * 12 % 2 < 1)[:, None],
            np.array([draft.pick((0.75, 0.4, 0.22), (0.2, 0.35, 0.6))]),
            np.array([[0.12, 0.1, 0.1]]),
        )
        draft.paint_faces("sculpture", shape.moved(x, y, 1.0), tones, "satin")
    elif kind == "rings":
        loop = np.arange(17) * 2 * pi / 16
        rings = [
            tube(np.stack([0.3 * np.cos(loop), 0 * loop, 0.3 * np.sin(loop) + 0.38], -1), 0.03, 5).turned(
                k * pi / 3
            )
            for k in range(3)
        ]
        draft.paint(
            "sculpture",
            join(*rings, sphere(0.1, 1).moved(0, 0, 0.28)).moved(x, y, 1.0),
            (0.82, 0.62, 0.25),
            finish="gloss",
        )
    else:
        stone = blob(rng, (0.2, 0.17, 0.24), 0.3, 1).moved(0, 0, 0.26)
        draft.paint(
            "sculpture",
            stone.moved(x, y, 1.0),
            draft.pick((0.5, 0.3, 0.65), (0.25, 0.55, 0.5), (0.75, 0.35, 0.3)),
            0.15,
            "gloss",
        )
    draft.block_box(kind, x, y, (0.8, 0.8), 0, 1.8)
