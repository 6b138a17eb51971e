"""Vehicles that stand still: cars, vans, a tractor, boats, a fork-lift. Fronts look along +x before turning."""

from math import pi

import numpy as np

from outofsight.worlds.scenes.draft import Draft
from outofsight.worlds.scenes.layout import Colour
from outofsight.worlds.scenes.mesh import Mesh, box, cylinder, hexahedron, join, panel, quad, tube, wheel

CAR_COLOURS: tuple[Colour, ...] = (
    (0.75, 0.1, 0.1), (0.12, 0.25, 0.55), (0.85, 0.85, 0.86), (0.13, 0.14, 0.15), (0.55, 0.58, 0.6),
    (0.9, 0.7, 0.12), (0.2, 0.42, 0.3), (0.45, 0.22, 0.14), (0.55, 0.72, 0.8),
)  # fmt: skip
GLASS: Colour = (0.12, 0.16, 0.2)
TYRE: Colour = (0.07, 0.07, 0.08)
HUB: Colour = (0.65, 0.67, 0.7)


def _wheels(places: list[tuple[float, float]], radius_m: float, width_m: float = 0.22) -> tuple[Mesh, Mesh]:
    tyres = [wheel(radius_m, width_m).moved(a, b, radius_m) for a, b in places]
    hubs = [wheel(0.55 * radius_m, width_m + 0.03, 8).moved(a, b, radius_m) for a, b in places]
    return join(*tyres), join(*hubs)


def _window_band(bottom: tuple[float, float], top: tuple[float, float], height: float, shift: float) -> Mesh:
    """Glass a little proud of a cabin's four sloped sides."""
    cabin = hexahedron(bottom, top, height, shift)
    sides = cabin.corners[:8]
    middle = cabin.corners.mean(axis=(0, 1))
    panes = []
    for k in range(4):
        pane = Mesh(
            sides[2 * k : 2 * k + 2], cabin.normals[2 * k : 2 * k + 2], cabin.texcoords[2 * k : 2 * k + 2]
        )
        centre = pane.corners.reshape(-1, 3).mean(axis=0)
        shrunk = centre + (pane.corners - centre) * np.array([0.88, 0.88, 0.8])
        out = pane.normals[0, 0] * 0.012
        panes.append(Mesh(shrunk + out + 0 * middle, pane.normals, pane.texcoords))
    return join(*panes)


def car(draft: Draft, x: float, y: float, yaw: float, colour: Colour | None = None) -> None:
    """A hatchback, saloon, estate or van, by chance."""
    colour = draft.pick(*CAR_COLOURS) if colour is None else colour
    style = draft.choose("hatchback", "saloon", "estate", "van")
    length, width = {
        "hatchback": (3.9, 1.7),
        "saloon": (4.5, 1.76),
        "estate": (4.6, 1.76),
        "van": (4.8, 1.9),
    }[style]
    cabin, roof, shift, tall, place = {
        "hatchback": ((2.5, 1.58), (1.75, 1.3), -0.12, 0.62, -0.35),
        "saloon": ((2.5, 1.62), (1.45, 1.3), -0.05, 0.58, -0.25),
        "estate": ((3.2, 1.62), (2.4, 1.34), -0.12, 0.62, -0.6),
        "van": ((4.0, 1.84), (3.5, 1.66), -0.22, 1.1, -0.38),
    }[style]
    low = hexahedron((length, width), (length - 0.1, width), 0.34).moved(0, 0, 0.24)
    high = hexahedron((length - 0.1, width), (length - 0.35, width - 0.16), 0.34).moved(0, 0, 0.58)
    shell = join(low, high, hexahedron(cabin, roof, tall, shift).moved(place, 0, 0.9))
    draft.paint("car body", shell.at(x, y, yaw), colour, finish="gloss")
    draft.paint(
        "car windows",
        _window_band(cabin, roof, tall, shift).moved(place, 0, 0.9).at(x, y, yaw),
        GLASS,
        finish="gloss",
    )
    axle = 0.31 * length
    tyres, hubs = _wheels(
        [(a, b) for a in (-axle, axle) for b in (-width / 2 + 0.08, width / 2 - 0.08)], 0.31
    )
    draft.paint("tyres", tyres.at(x, y, yaw), TYRE)
    draft.paint("hubs", hubs.at(x, y, yaw), HUB, finish="satin")
    sill = join(
        box(length + 0.04, width + 0.03, 0.12).moved(0, 0, 0.25),
        box(0.02, 0.5, 0.12).moved(length / 2, 0, 0.42),
    )
    draft.paint("bumpers", sill.at(x, y, yaw), (0.15, 0.15, 0.16))
    front = [box(0.04, 0.34, 0.14).moved(length / 2 - 0.04, k, 0.62) for k in (-0.58, 0.58)]
    back = [box(0.04, 0.3, 0.14).moved(-length / 2 + 0.04, k, 0.62) for k in (-0.6, 0.6)]
    draft.paint("headlights", join(*front).at(x, y, yaw), (0.95, 0.95, 0.88))
    draft.paint("tail lights", join(*back).at(x, y, yaw), (0.75, 0.08, 0.06))
    draft.block_box("car", x, y, (length + 0.15, width + 0.15), yaw, 1.5)


def tractor(draft: Draft, x: float, y: float, yaw: float) -> None:
    colour = draft.pick((0.75, 0.12, 0.1), (0.15, 0.42, 0.18), (0.15, 0.32, 0.6))
    hood = join(box(1.7, 0.8, 0.75).moved(0.85, 0, 0.7), box(1.2, 1.5, 0.3).moved(-0.75, 0, 0.95))
    draft.paint("tractor", hood.at(x, y, yaw), colour, finish="satin")
    posts = [
        tube([[a, b, 1.1], [0.9 * a - 0.06, 0.92 * b, 2.3]], 0.045, 5)
        for a in (-1.25, 0.0)
        for b in (-0.55, 0.55)
    ]
    draft.paint(
        "cab",
        join(
            *posts, box(1.5, 1.3, 0.1).moved(-0.62, 0, 2.3), tube([[1.2, 0.3, 1.4], [1.2, 0.3, 2.2]], 0.05, 6)
        ).at(x, y, yaw),
        (0.15, 0.16, 0.17),
    )
    big, big_hub = _wheels([(-0.8, -0.85), (-0.8, 0.85)], 0.8, 0.42)
    small, small_hub = _wheels([(1.25, -0.7), (1.25, 0.7)], 0.45, 0.28)
    draft.paint("tyres", join(big, small).at(x, y, yaw), TYRE)
    draft.paint("hubs", join(big_hub, small_hub).at(x, y, yaw), (0.9, 0.8, 0.25))
    draft.block_box("tractor", x, y, (3.7, 2.2), yaw, 2.5)


def fork_lift(draft: Draft, x: float, y: float, yaw: float) -> None:
    draft.paint(
        "fork-lift",
        join(box(1.6, 1.1, 0.7).moved(-0.2, 0, 0.25), box(0.5, 1.0, 0.5).moved(-0.75, 0, 0.9)).at(x, y, yaw),
        (0.93, 0.62, 0.1),
        finish="satin",
    )
    cage = [tube([[a, b, 0.9], [a, b, 2.1]], 0.04, 5) for a in (-0.8, 0.35) for b in (-0.45, 0.45)]
    mast = [box(0.1, 0.1, 2.2).moved(0.72, b, 0.1) for b in (-0.35, 0.35)]
    forks = [box(1.1, 0.12, 0.06).moved(1.25, b, 0.12) for b in (-0.3, 0.3)]
    draft.paint(
        "fork-lift frame",
        join(
            *cage,
            *mast,
            *forks,
            box(1.35, 1.05, 0.07).moved(-0.2, 0, 2.1),
            box(0.5, 0.5, 0.45).moved(-0.25, 0, 0.9),
        ).at(x, y, yaw),
        (0.16, 0.16, 0.17),
    )
    tyres, hubs = _wheels([(a, b) for a in (-0.75, 0.45) for b in (-0.5, 0.5)], 0.28, 0.2)
    draft.paint("tyres", tyres.at(x, y, yaw), TYRE)
    draft.paint("hubs", hubs.at(x, y, yaw), (0.85, 0.2, 0.1))
    draft.block_box("fork-lift", x, y, (3.8, 1.4), yaw, 2.2)


def _hull(length_m: float, width_m: float, depth_m: float, sheer_m: float) -> Mesh:
    """A boat's skin from the keel to the rail, bow at +x; deck on top."""
    share = np.linspace(-0.5, 0.5, 7)
    beam = width_m / 2 * np.array([0.8, 0.93, 1, 0.97, 0.85, 0.55, 0.02])
    rail = depth_m + sheer_m * np.array([0.25, 0.1, 0, 0.08, 0.25, 0.55, 1])
    left = np.stack([share * length_m, beam, rail], -1)
    right = left * np.array([1, -1, 1])
    keel = np.stack([share * length_m * 0.9, 0 * share, 0.25 * (share > 0.3)], -1)
    faces = []
    for k in range(6):
        faces += [
            quad([keel[k], keel[k + 1], right[k + 1], right[k]]),
            quad([keel[k + 1], keel[k], left[k], left[k + 1]]),
        ]
        faces.append(quad([right[k], right[k + 1], left[k + 1], left[k]]).moved(0, 0, -0.12))
    faces.append(quad([keel[0], right[0], left[0], keel[0] + np.array([0, 0, 0.01])]))
    return join(*faces)


def boat(draft: Draft, x: float, y: float, yaw: float, water_m: float, length_m: float = 8.0) -> None:
    """A fishing boat or a sailing yacht afloat at height ``water_m``."""
    width = 0.32 * length_m
    hull = _hull(length_m, width, 0.19 * length_m, 0.11 * length_m).moved(0, 0, -0.07 * length_m)
    draft.paint(
        "hull",
        hull.at(x, y, yaw, water_m),
        draft.pick((0.15, 0.3, 0.5), (0.75, 0.18, 0.14), (0.92, 0.92, 0.9), (0.15, 0.4, 0.35)),
        0.03,
        "satin",
    )
    deck = 0.12 * length_m
    if draft.rng.random() < 0.5:
        house = join(
            box(0.24 * length_m, 0.6 * width, 0.2 * length_m),
            box(0.28 * length_m, 0.7 * width, 0.12).moved(0.01, 0, 0.2 * length_m),
        )
        draft.paint(
            "wheelhouse",
            house.moved(-0.1 * length_m, 0, deck - 0.2).at(x, y, yaw, water_m),
            (0.94, 0.93, 0.9),
        )
        band = box(0.25 * length_m, 0.62 * width, 0.06 * length_m).moved(
            -0.1 * length_m, 0, deck + 0.08 * length_m
        )
        draft.paint("wheelhouse windows", band.at(x, y, yaw, water_m), GLASS, finish="gloss")
        gear = [
            tube([[0.2 * length_m, 0, deck], [0.2 * length_m, 0, 0.65 * length_m]], 0.06, 6),
            tube([[0.2 * length_m, 0, 0.6 * length_m], [-0.35 * length_m, 0, 0.42 * length_m]], 0.04, 5),
        ]
        draft.paint("rigging", join(*gear).at(x, y, yaw, water_m), (0.55, 0.4, 0.25))
    else:
        mast = [
            tube([[0.05 * length_m, 0, deck], [0.05 * length_m, 0, 1.25 * length_m]], 0.06, 6),
            tube([[0.05 * length_m, 0, 0.26 * length_m], [-0.38 * length_m, 0, 0.26 * length_m]], 0.05, 5),
        ]
        mast += [
            tube([[a, 0, 0.16 * length_m], [0.05 * length_m, 0, 1.2 * length_m]], 0.015, 3)
            for a in (-0.48 * length_m, 0.5 * length_m)
        ]
        draft.paint("mast", join(*mast).at(x, y, yaw, water_m), (0.85, 0.85, 0.86))
        sail = cylinder(0.11, 0.4 * length_m, 7).pitched(-pi / 2).moved(0.03 * length_m, 0, 0.285 * length_m)
        cabin = hexahedron(
            (0.4 * length_m, 0.5 * width), (0.3 * length_m, 0.42 * width), 0.07 * length_m
        ).moved(0, 0, deck - 0.1)
        draft.paint(
            "cabin",
            join(sail, cabin).at(x, y, yaw, water_m),
            draft.pick((0.93, 0.93, 0.9), (0.25, 0.35, 0.6)),
        )


def container(
    draft: Draft, x: float, y: float, yaw: float, z: float = 0.0, colour: Colour | None = None
) -> None:
    """A 20-foot freight container; takes ground when it stands on it."""
    colour = (
        draft.pick(
            (0.7, 0.22, 0.15), (0.16, 0.35, 0.55), (0.25, 0.45, 0.3), (0.85, 0.55, 0.15), (0.6, 0.6, 0.58)
        )
        if colour is None
        else colour
    )
    draft.textured("container", box(6.1, 2.44, 2.59).at(x, y, yaw, z), "corrugated", colour)
    bars = [panel(0.06, 2.3, picture=False).moved(k, -1.23, 0.15) for k in (-0.7, -0.3, 0.3, 0.7)]
    draft.paint(
        "container bars",
        join(*[bar.turned(pi / 2).moved(1.83, 0, 0) for bar in bars]).at(x, y, yaw, z),
        (0.75, 0.75, 0.73),
    )
    if z == 0:
        draft.block_box("container", x, y, (6.3, 2.6), yaw, 2.6)
