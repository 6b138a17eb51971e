"""Heads of four-legged animals: skull, muzzle, eyes, ears, horns; looking along +x, origin where the neck ends."""

from dataclasses import dataclass
from itertools import pairwise

import numpy as np

from outofsight.worlds.subjects.shapes import (
    Shape,
    ball,
    hull,
    limb,
    merge,
    pair,
    pillar,
    strand,
    translated,
    turned,
)


@dataclass(frozen=True, kw_only=True)
class HeadPlan:
    """Half sizes in metres. ``muzzle``: (length beyond the skull, half width, half height, drop at its end).

    ``ears``: "", "pointed", "floppy", "side", "round", "tall", "fan"; ``horns``: "", "cow", "antlers".
    """

    kind: str
    skull: tuple[float, float, float]
    muzzle: tuple[float, float, float, float]
    ears: str
    ear_m: float
    horns: str = ""
    tilt_rad: float = 0.0
    muzzle_ink: str = "fur"
    face_ink: str = "fur"
    eye_m: float = 0.0

    @property
    def trunk_from(self) -> tuple[float, float]:
        """Where an elephant's snout hangs (x, z)."""
        return (0.5 * self.skull[0] + self.muzzle[0] * 0.7, -0.25 * self.skull[2])


def head_shapes(plan: HeadPlan) -> dict[str, Shape]:
    """The head and, for an elephant, its separately hinged snout."""
    parts = [_skull(plan), pair(_eye(plan))]
    if plan.ears:
        parts.append(pair(_ear(plan)))
    if plan.horns:
        parts.append(pair(_horn(plan)))
    if plan.kind != "elephant":
        parts.append(_nose(plan))
    shapes = {"head": turned(merge(*parts), "y", plan.tilt_rad)}
    if plan.kind == "elephant":
        shapes["head"] = merge(shapes["head"], pair(_tusk(plan)))
        shapes["snout"] = _snout(plan)
    return shapes


def _skull(plan: HeadPlan) -> Shape:
    x, y, z = plan.skull
    length, wide, tall, drop = plan.muzzle
    skull = ball((0.35 * x, 0, 0.15 * z), (x, y, z), plan.face_ink, sides=12, rows=6)
    start, end = 0.6 * x, 1.2 * x + length
    rows = [
        (start, 0.8 * y, 0.75 * z, 0.0),
        (start + 0.5 * (end - start), 0.5 * (0.8 * y + wide), 0.5 * (0.75 * z + tall), -0.45 * drop),
        (end - 0.25 * length, wide, tall, -0.85 * drop),
        (end, 0.72 * wide, 0.72 * tall, -drop),
    ]
    inks = [plan.face_ink, plan.face_ink, plan.muzzle_ink, plan.muzzle_ink, plan.muzzle_ink]
    return merge(skull, hull(rows, inks, sides=10))


def _tip(plan: HeadPlan) -> float:
    return 1.2 * plan.skull[0] + plan.muzzle[0]


def _nose(plan: HeadPlan) -> Shape:
    _, wide, tall, drop = plan.muzzle
    if plan.kind == "pig":
        disc = hull([(0, wide, tall, 0), (0.35 * wide, 1.05 * wide, 1.05 * tall, 0)], "nose", sides=12)
        holes = pair(
            ball(
                (0.36 * wide, 0.4 * wide, 0), (0.1 * wide, 0.18 * wide, 0.28 * tall), "dark", sides=6, rows=3
            )
        )
        return translated(merge(disc, holes), x=_tip(plan), z=-drop)
    return ball(
        (_tip(plan), 0, -drop + 0.35 * tall), (0.35 * wide, 0.6 * wide, 0.45 * tall), "nose", sides=8, rows=3
    )


def _eye(plan: HeadPlan) -> Shape:
    x, y, z = plan.skull
    size = plan.eye_m or 0.17 * z
    middle = np.array([0.92 * x, 0.66 * y, 0.42 * z])
    white = ball(middle, (0.9 * size, 0.9 * size, size), "white", sides=8, rows=4)
    pupil = ball(middle + np.array([0.42 * size, 0.42 * size, 0]), 0.74 * size, "eye", sides=8, rows=4)
    return merge(white, pupil)


def _ear(plan: HeadPlan) -> Shape:
    x, y, z = plan.skull
    size = plan.ear_m
    if plan.ears == "pointed":
        ear = pillar([(0, 0.26 * size, 0.42 * size), (size, 0.02 * size, 0.04 * size)], "mark", sides=6)
        return translated(turned(ear, "x", -0.25), 0.05 * x, 0.62 * y, 0.85 * z)
    if plan.ears == "tall":
        rows = [
            (0, 0.10 * size, 0.14 * size),
            (0.45 * size, 0.13 * size, 0.22 * size),
            (size, 0.02 * size, 0.04 * size),
        ]
        return translated(turned(pillar(rows, "fur", sides=6), "x", -0.35), -0.05 * x, 0.5 * y, 0.8 * z)
    if plan.ears == "floppy":
        flap = ball((0, 0, -0.5 * size), (0.32 * size, 0.12 * size, 0.62 * size), "mark", sides=8)
        return translated(turned(flap, "x", 0.2), 0.05 * x, 0.95 * y, 0.75 * z)
    if plan.ears == "round":
        return ball((0.0, 0.72 * y, 0.98 * z), (0.35 * size, 0.6 * size, 0.6 * size), "mark", sides=8)
    if plan.ears == "fan":
        fan = ball((-0.35 * size, 0, -0.25 * size), (0.62 * size, 0.06 * size, 0.85 * size), "fur", sides=12)
        return translated(turned(fan, "z", -0.5), 0.15 * x, 0.98 * y, 0.45 * z)
    leaf = ball((0, 0.5 * size, 0), (0.16 * size, 0.62 * size, 0.3 * size), "mark", sides=8)
    return translated(turned(leaf, "x", 0.15), -0.05 * x, 0.7 * y, 0.62 * z)


def _horn(plan: HeadPlan) -> Shape:
    x, y, z = plan.skull
    if plan.horns == "cow":
        curve = [(0.0, 0.5 * y, 0.95 * z), (0.05 * x, 1.25 * y, 1.15 * z), (0.25 * x, 1.5 * y, 1.75 * z)]
        pieces = [
            limb(a, b, r, s, "horn", sides=6)
            for a, b, r, s in zip(curve, curve[1:], (0.16 * z, 0.12 * z), (0.12 * z, 0.03 * z), strict=False)
        ]
        return merge(*pieces)
    stem = [(-0.1 * x, 0.35 * y, 0.9 * z), (-0.7 * x, 1.5 * y, 2.5 * z), (0.1 * x, 2.3 * y, 4.6 * z)]
    tines = [
        (stem[0], (0.8 * x, 0.8 * y, 2.0 * z)),
        (stem[1], (0.55 * x, 1.9 * y, 3.3 * z)),
        (stem[1], (-1.2 * x, 2.3 * y, 3.6 * z)),
    ]
    pieces = [limb(a, b, 0.14 * z, 0.10 * z, "horn", sides=6) for a, b in pairwise(stem)]
    return merge(*pieces, *(limb(a, b, 0.11 * z, 0.04 * z, "horn", sides=5) for a, b in tines))


def _tusk(plan: HeadPlan) -> Shape:
    x, y, z = plan.skull
    fx, fz = plan.trunk_from
    first = limb(
        (fx - 0.1 * x, 0.5 * y, fz), (fx + 0.35 * x, 0.58 * y, fz - 0.75 * z), 0.11 * z, 0.09 * z, "horn"
    )
    return merge(
        first,
        limb(
            (fx + 0.35 * x, 0.58 * y, fz - 0.75 * z),
            (fx + 0.95 * x, 0.5 * y, fz - 0.8 * z),
            0.09 * z,
            0.03 * z,
            "horn",
        ),
    )


def _snout(plan: HeadPlan) -> Shape:
    """A trunk, hanging and curled forward at the tip."""
    z = plan.skull[2]
    points = [(-0.1, 0.25), (0.2, -0.4), (0.28, -1.3), (0.25, -2.2), (0.35, -2.8), (0.7, -3.1)]
    sizes = (0.52, 0.45, 0.34, 0.26, 0.22, 0.17)
    return strand([(a * z, 0, b * z) for a, b in points], [s * z for s in sizes], "fur")
