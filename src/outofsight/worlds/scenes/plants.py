"""Trees, shrubs and stones. Each function grows one thing at a place and takes the ground it stands on."""

from math import cos, hypot, pi, sin

import numpy as np

from outofsight.worlds.scenes.draft import Draft
from outofsight.worlds.scenes.layout import Colour
from outofsight.worlds.scenes.mesh import Mesh, blob, cloud, cylinder, from_corners, join, tube

GREENS: tuple[Colour, ...] = ((0.40, 0.60, 0.25), (0.48, 0.65, 0.28), (0.33, 0.53, 0.25), (0.56, 0.66, 0.27))
AUTUMN: tuple[Colour, ...] = ((0.72, 0.42, 0.13), (0.66, 0.30, 0.13), (0.75, 0.57, 0.18))
TRUNK: Colour = (0.40, 0.31, 0.23)
STONE: Colour = (0.52, 0.50, 0.47)
_NEAR_M = 17.0  # farther trees get fewer faces
_CLEAR_M = 2.3  # crowns start above this, so that one may walk below


def _trunk(
    draft: Draft, name: str, base: tuple[float, float], height_m: float, radius_m: float, birch: bool
) -> None:
    lean = draft.rng.uniform(-0.03, 0.03, 2) * height_m
    stem = cylinder(radius_m, height_m, 8, 0.6 * radius_m)
    top = stem.corners[..., 2:] / height_m
    leaning = Mesh(
        stem.corners + np.concatenate([top * lean[0], top * lean[1], 0 * top], -1),
        stem.normals,
        stem.texcoords,
    )
    draft.textured(name, leaning.moved(*base), "birch" if birch else "bark", (1, 1, 1) if birch else TRUNK)


def broadleaf(
    draft: Draft,
    x: float,
    y: float,
    height_m: float = 7.0,
    leaf: Colour | None = None,
    *,
    birch: bool = False,
) -> None:
    """An oak, lime or birch: a trunk and a crown of three or four lumps."""
    rng = draft.rng
    leaf = draft.pick(*GREENS) if leaf is None else leaf
    crown_low = max(_CLEAR_M + 0.1, 0.33 * height_m)
    radius = (height_m - crown_low) * (0.36 if birch else 0.5)
    trunk = 0.022 * height_m + (0.02 if birch else 0.07)
    _trunk(draft, "trunk", (x, y), crown_low + 0.6 * radius, trunk, birch)
    middle = (crown_low + height_m) / 2
    crown = _crown(rng, radius, (height_m - crown_low) / 2, 2 if hypot(x, y) < _NEAR_M else 1)
    low = float(crown.corners[..., 2].min())
    draft.textured("crown", crown.moved(x, y, max(middle, _CLEAR_M - low)), "leaves", leaf)
    draft.block_disc("tree", x, y, trunk + 0.1, height_m)


def _crown(rng: np.random.Generator, radius_m: float, half_height_m: float, detail: int) -> Mesh:
    """A middle lump and four around it, as one skin with its middle at the origin."""
    angle = rng.uniform(0, 2 * pi) + np.arange(4) * pi / 2 + rng.uniform(-0.3, 0.3, 4)
    out = radius_m * rng.uniform(0.45, 0.65, 4)
    rise = radius_m * rng.uniform(-0.35, 0.35, 4)
    centres = np.vstack([[0, 0, 0], np.stack([out * np.cos(angle), out * np.sin(angle), rise], axis=-1)])
    sizes = radius_m * np.r_[0.95, rng.uniform(0.5, 0.68, 4)]
    skin = cloud(rng, centres, sizes, 0.1, detail)
    return skin.scaled(1.0, 1.0, half_height_m / radius_m / 1.1)


def conifer(
    draft: Draft, x: float, y: float, height_m: float = 8.0, leaf: Colour | None = None, *, snow: bool = False
) -> None:
    """A spruce: skirts of branches down to the ground, under snow if asked."""
    rng = draft.rng
    leaf = draft.pick((0.22, 0.42, 0.26), (0.27, 0.47, 0.27), (0.20, 0.38, 0.28)) if leaf is None else leaf
    radius = height_m * rng.uniform(0.19, 0.24)
    low = 0.1 * height_m
    _trunk(draft, "trunk", (x, y), 0.5 * height_m, 0.02 * height_m + 0.04, False)
    skirts, caps = [], []
    count = 4 if height_m < 6 else 5
    for k in range(count):
        share = k / count
        base = low + (height_m - low) * share
        span = (height_m - low) * (1 - share) * (0.62 if k < count - 1 else 1.0)
        wide = radius * (1 - share) ** 0.85 + 0.06
        skirt = cylinder(wide, span, 9, 0.04).turned(rng.uniform(0, pi))
        skirts.append(skirt.moved(x, y, base))
        if snow:
            caps.append(
                cylinder(0.8 * wide, 0.8 * span, 9, 0.03)
                .turned(rng.uniform(0, pi))
                .moved(x, y, base + 0.24 * span)
            )
    draft.textured("branches", join(*skirts), "leaves", leaf)
    if caps:
        draft.textured("snow on branches", join(*caps), "snow")
    draft.block_disc("tree", x, y, radius + 0.1, height_m)


def poplar(draft: Draft, x: float, y: float, height_m: float = 10.0) -> None:
    """A slim column of leaves."""
    _trunk(draft, "trunk", (x, y), 0.4 * height_m, 0.16, False)
    crown = blob(draft.rng, (0.13 * height_m, 0.13 * height_m, 0.4 * height_m), 0.12, 2)
    draft.textured("crown", crown.moved(x, y, 0.58 * height_m), "leaves", draft.pick(*GREENS))
    draft.block_disc("tree", x, y, 0.13 * height_m, height_m)


def pine(draft: Draft, x: float, y: float, height_m: float = 11.0) -> None:
    """A tall bare trunk with a flat crown, as woods have them."""
    rng = draft.rng
    draft.textured(
        "trunk",
        cylinder(0.018 * height_m + 0.05, 0.85 * height_m, 8, 0.09).moved(x, y),
        "bark",
        (0.55, 0.36, 0.24),
    )
    lumps = [
        blob(rng, (s, s, 0.45 * s), 0.2, 1).moved(x + dx, y + dy, height_m * h)
        for s, dx, dy, h in (
            (0.17 * height_m, *rng.uniform(-0.4, 0.4, 2), 0.86),
            (0.13 * height_m, *rng.uniform(-0.9, 0.9, 2), 0.74),
            (0.11 * height_m, *rng.uniform(-0.5, 0.5, 2), 0.96),
        )
    ]
    draft.textured("crown", join(*lumps), "leaves", draft.pick((0.30, 0.47, 0.27), (0.36, 0.52, 0.29)))
    draft.block_disc("tree", x, y, 0.018 * height_m + 0.15, height_m)


def palm(draft: Draft, x: float, y: float, height_m: float = 6.0) -> None:
    rng = draft.rng
    lean = rng.uniform(-0.6, 0.6, 2)
    share = np.linspace(0, 1, 6)
    stem = np.stack([x + lean[0] * share**2, y + lean[1] * share**2, height_m * share], -1)
    draft.textured("palm trunk", tube(stem, 0.17, 7), "bark", (0.6, 0.47, 0.33))
    fronds = []
    for angle in np.arange(9) * 2 * pi / 9 + rng.uniform(0, 1):
        out = np.array([cos(angle), sin(angle), 0.0])
        side = np.array([-out[1], out[0], 0.0]) * 0.33
        long = rng.uniform(1.7, 2.4)
        spine = (
            stem[-1]
            + np.array([0, 0, 0.1])
            + np.outer([0, 0.45, 1], out) * long
            + np.outer([0, 0.35, -0.7], [0, 0, 1])
        )
        top = [[spine[0], spine[1] - side, spine[1] + side], [spine[1] - side, spine[2], spine[1] + side]]
        fronds += top + [t[::-1] for t in top]
    draft.paint("palm fronds", from_corners(fronds), draft.pick((0.33, 0.47, 0.17), (0.4, 0.5, 0.2)), 0.2)
    draft.block_disc("palm", x, y, 0.3 + float(np.abs(lean).max()) * 0.2, height_m)


def bush(draft: Draft, x: float, y: float, radius_m: float = 0.6, leaf: Colour | None = None) -> None:
    leaf = draft.pick(*GREENS) if leaf is None else leaf
    lump = blob(draft.rng, (radius_m, radius_m, 0.8 * radius_m), 0.16, 1).moved(x, y, 0.55 * radius_m)
    draft.textured("bush", lump, "leaves", leaf)
    draft.block_disc("bush", x, y, 1.15 * radius_m, 1.4 * radius_m)


def flower_bed(draft: Draft, x: float, y: float, radius_m: float) -> None:
    """A round bed: dark earth, low green and two colours of bloom."""
    rng = draft.rng
    draft.paint("bed", cylinder(radius_m, 0.14, 14).moved(x, y), (0.55, 0.5, 0.45))
    blooms = [
        draft.pick((0.85, 0.2, 0.22), (0.95, 0.78, 0.2), (0.75, 0.4, 0.75), (0.95, 0.95, 0.92))
        for _ in range(2)
    ]
    count = int(14 * radius_m)
    angle, reach = rng.uniform(0, 2 * pi, count), radius_m * 0.85 * np.sqrt(rng.random(count))
    for k, colour in enumerate((draft.pick(*GREENS), *blooms)):
        tufts = [
            blob(rng, (0.17, 0.17, 0.15), 0.2, 0).moved(x + r * cos(a), y + r * sin(a), 0.2 + 0.05 * k)
            for a, r in zip(angle[k::3], reach[k::3], strict=True)
        ]
        draft.paint("flowers", join(*tufts), colour, 0.15)
    draft.block_disc("flower bed", x, y, radius_m + 0.1, 0.4)


def rock(draft: Draft, x: float, y: float, radius_m: float, colour: Colour = STONE) -> None:
    rng = draft.rng
    high = radius_m * rng.uniform(0.55, 0.9)
    stone = (
        blob(rng, (radius_m, radius_m * rng.uniform(0.7, 1), high), 0.22, 1)
        .turned(rng.uniform(0, 6))
        .moved(x, y, 0.35 * high)
    )
    draft.textured("rock", stone, "rock", draft.pick(colour))
    draft.block_disc("rock", x, y, 1.26 * radius_m, 1.3 * high)


def cactus(draft: Draft, x: float, y: float, height_m: float = 3.0) -> None:
    """A saguaro with one to three arms."""
    rng = draft.rng
    green = draft.pick((0.33, 0.45, 0.24), (0.37, 0.48, 0.27))
    radius = 0.09 * height_m
    bars = [tube([[x, y, 0], [x, y, 0.93 * height_m], [x, y, height_m]], radius, 9)]
    for angle in rng.uniform(0, 2 * pi) + np.arange(int(rng.integers(1, 4))) * 2.3:
        low, out = height_m * rng.uniform(0.35, 0.55), 0.26 * height_m
        dx, dy = out * cos(angle), out * sin(angle)
        rise = height_m * rng.uniform(0.2, 0.35)
        bars.append(
            tube([[x, y, low], [x + dx, y + dy, low + 0.08], [x + dx, y + dy, low + rise]], 0.62 * radius, 8)
        )
    draft.paint("cactus", join(*bars), green, 0.1)
    draft.block_disc("cactus", x, y, 0.36 * height_m, height_m)


def bare_tree(draft: Draft, x: float, y: float, height_m: float = 4.0) -> None:
    """A dead tree: forks without leaves."""
    rng = draft.rng
    fork = np.array([x, y, 0.45 * height_m])
    bars = [tube([[x, y, 0], fork], 0.05 * height_m, 7)]
    for angle in np.arange(4) * pi / 2 + rng.uniform(0, 1):
        out = np.array([cos(angle), sin(angle), 0]) * rng.uniform(0.15, 0.3) * height_m
        elbow = fork + out + np.array([0, 0, max(0.2 * height_m, _CLEAR_M - fork[2])])
        tip = elbow + 0.5 * out + np.array([0, 0, rng.uniform(0.15, 0.33) * height_m])
        bars.append(tube([fork, elbow, tip], 0.02 * height_m, 5))
    draft.textured("dead tree", join(*bars), "bark", (0.55, 0.48, 0.42))
    draft.block_disc("dead tree", x, y, 0.35 * height_m, height_m)


def fern(draft: Draft, x: float, y: float, size_m: float = 0.5, leaf: Colour = (0.30, 0.45, 0.17)) -> None:
    """A tuft of arching leaves; also reeds and tall grass when narrow."""
    rng = draft.rng
    blades = []
    for angle in np.arange(7) * 2 * pi / 7 + rng.uniform(0, 1):
        out = np.array([cos(angle), sin(angle), 0.0])
        side = np.array([-out[1], out[0], 0.0]) * 0.16 * size_m
        foot, bow = np.array([x, y, 0.0]), np.array([x, y, 0.75 * size_m]) + 0.45 * size_m * out
        tip = np.array([x, y, 0.45 * size_m]) + size_m * out
        top = [[foot, bow + side, bow - side], [bow - side, bow + side, tip]]
        blades += top + [t[::-1] for t in top]
    draft.paint("fern", from_corners(blades), draft.pick(leaf), 0.2)
    draft.block_disc("fern", x, y, size_m, size_m)


def log(draft: Draft, x: float, y: float, length_m: float, yaw: float, radius_m: float = 0.28) -> None:
    """A fallen trunk with pale cut ends."""
    lying = (
        cylinder(radius_m, length_m, 9).moved(0, 0, -length_m / 2).pitched(pi / 2).moved(0, 0, 0.9 * radius_m)
    )
    draft.textured("log", lying.at(x, y, yaw), "bark", (0.45, 0.36, 0.27))
    ends = cylinder(0.86 * radius_m, length_m + 0.02, 9).moved(0, 0, -length_m / 2 - 0.01).pitched(pi / 2)
    draft.paint("cut wood", ends.moved(0, 0, 0.9 * radius_m).at(x, y, yaw), (0.76, 0.62, 0.42))
    draft.block_box("log", x, y, (length_m + 0.1, 2.2 * radius_m), yaw, 2 * radius_m)


def potted_plant(draft: Draft, x: float, y: float, height_m: float = 1.2) -> None:
    draft.paint(
        "pot",
        cylinder(0.17, 0.35, 10, 0.23).moved(x, y),
        draft.pick((0.72, 0.4, 0.28), (0.85, 0.84, 0.8), (0.25, 0.3, 0.36)),
    )
    radius = 0.3 * height_m
    crown = blob(draft.rng, (radius, radius, 0.4 * height_m), 0.3, 1).moved(x, y, 0.3 + 0.42 * height_m)
    draft.textured("plant", crown, "leaves", draft.pick(*GREENS))
    draft.block_disc("plant", x, y, 1.35 * radius, height_m)
