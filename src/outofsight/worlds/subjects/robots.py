"""Robots on wheels: a delivery cart, and an arm on a rolling base."""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from outofsight.worlds.subjects.colours import BASICS, CLOTH, draw, with_articles
from outofsight.worlds.subjects.figure import LEFT_TURN, RIGHT_LEAN, ROLLING, Bone, Colour, Figure, Hinge
from outofsight.worlds.subjects.gait import Drive, smoothstep
from outofsight.worlds.subjects.kinds import Look, Pose
from outofsight.worlds.subjects.people import SIDES
from outofsight.worlds.subjects.shapes import (
    Floats,
    Shape,
    ball,
    box,
    hull,
    limb,
    merge,
    pair,
    pillar,
    translated,
    turned,
    wheel,
)

ACCENTS = ("orange", "teal", "lime", "magenta", "blue", "yellow")
SHELL: Mapping[str, Colour] = {
    "top": (0.93, 0.94, 0.95),
    "gear": (0.24, 0.25, 0.28),
    "dark": (0.09, 0.10, 0.12),
    "metal": (0.60, 0.62, 0.66),
}


def robot_figure(bones: tuple[Bone, ...], look: Look, phrase: str, shells: Mapping[str, Colour]) -> Figure:
    """Draw shell and accent colour; the accent carries the ``trim`` ink."""
    accent = draw(look.generator, ACCENTS)
    shell = draw(look.generator, tuple(shells))
    palette = dict(BASICS) | dict(SHELL) | {"trim": CLOTH[accent], "paint": shells[shell]}
    return Figure(
        bones=bones,
        palette=palette,
        noun=with_articles(phrase.format(trim=accent, paint=shell)),
        shininess=0.5,
        specular=0.2,
    )


SHELLS: Mapping[str, Colour] = {
    "white": (0.93, 0.94, 0.95),
    "grey": (0.55, 0.57, 0.60),
    "black": (0.16, 0.17, 0.19),
}

CART_WHEEL_M = 0.13
CART_HUBS = tuple(
    (f"{side}{i}", x, y) for i, x in enumerate((0.27, 0.0, -0.27)) for side, y in (("l", 0.25), ("r", -0.25))
)


def cart_figure(look: Look) -> Figure:
    """A delivery robot: a round-edged box with a lid, lamp eyes, and a flag on a springy pole."""
    body = hull(
        [
            (-0.40, 0.20, 0.15, 0.36),
            (-0.36, 0.245, 0.19, 0.37),
            (0.34, 0.245, 0.19, 0.37),
            (0.40, 0.20, 0.14, 0.35),
        ],
        "paint",
        sides=16,
        power=5,
    )
    lid = hull(
        [
            (-0.37, 0.20, 0.05, 0.56),
            (-0.33, 0.235, 0.075, 0.56),
            (0.22, 0.235, 0.075, 0.56),
            (0.34, 0.19, 0.03, 0.545),
        ],
        "trim",
        sides=16,
        power=4,
    )
    face = box((0.395, 0, 0.38), (0.02, 0.16, 0.085), "dark")
    eyes = pair(ball((0.41, 0.08, 0.39), (0.02, 0.042, 0.042), "glow", sides=10, rows=4))
    band = hull([(-0.405, 0.215, 0.02, 0.24), (0.405, 0.205, 0.02, 0.24)], "gear", sides=14, power=6)
    tail = pair(box((-0.40, 0.13, 0.42), (0.015, 0.05, 0.03), "brake"))
    pole = limb((0, 0, 0), (0, 0, 0.62), 0.008, 0.006, "dark", sides=6)
    flag = box((-0.11, 0, 0.54), (0.105, 0.006, 0.075), "trim")
    sway = (Hinge(name="flag_pitch"), Hinge(name="flag_roll", axis=RIGHT_LEAN))
    bones = [
        Bone(
            name="chassis",
            origin_m=(0, 0, 0),
            hinges=(Hinge(name="chassis_pitch"),),
            shape=merge(body, lid, face, eyes, band, tail),
        ),
        Bone(
            name="flag", parent="chassis", origin_m=(-0.32, 0.17, 0.58), hinges=sway, shape=merge(pole, flag)
        ),
    ]
    tyre = wheel(CART_WHEEL_M, 0.045)
    for name, x, y in CART_HUBS:
        bones.append(
            Bone(
                name=f"wheel_{name}",
                origin_m=(x, y, CART_WHEEL_M),
                hinges=(Hinge(name=f"wheel_{name}", axis=ROLLING),),
                shape=tyre,
            )
        )
    return robot_figure(tuple(bones), look, "a {paint} delivery robot with a {trim} lid and flag", SHELLS)


def cart_pose(drive: Drive) -> Pose:
    """Wheels roll; the flag sways, more when it drives."""
    metres, time = drive.distance_m, drive.time_s
    rolling = smoothstep(drive.speed_m_s / 0.8)
    angles: dict[str, Floats] = {
        "chassis_pitch": 0.012 * rolling * np.sin(5.0 * metres),
        "flag_pitch": (0.04 + 0.10 * rolling) * np.sin(6.5 * time) + 0.1 * rolling,
        "flag_roll": (0.03 + 0.06 * rolling) * np.sin(5.1 * time + 1.0),
    }
    angles |= {f"wheel_{name}": metres / CART_WHEEL_M for name, _, _ in CART_HUBS}
    return Pose(angles_rad=angles, offset_m=0.0 * time)


@dataclass(frozen=True, kw_only=True)
class ArmLink:
    """A link of the arm: its hinge's axis, length upward, thickness, and its slow motion (middle, swing, rate)."""

    name: str
    axis: tuple[float, float, float]
    length_m: float
    radius_m: float
    middle_rad: float
    swing_rad: float
    rate_rad_s: float


ARM_BASE_M = 0.50
ARM_WHEEL_M = 0.10
ARM_LINKS = (
    ArmLink(
        name="turret",
        axis=LEFT_TURN,
        length_m=0.14,
        radius_m=0.11,
        middle_rad=0.0,
        swing_rad=0.9,
        rate_rad_s=0.55,
    ),
    ArmLink(
        name="shoulder",
        axis=ROLLING,
        length_m=0.42,
        radius_m=0.075,
        middle_rad=0.15,
        swing_rad=0.35,
        rate_rad_s=0.8,
    ),
    ArmLink(
        name="elbow",
        axis=ROLLING,
        length_m=0.36,
        radius_m=0.06,
        middle_rad=1.15,
        swing_rad=0.4,
        rate_rad_s=0.95,
    ),
    ArmLink(
        name="wrist",
        axis=ROLLING,
        length_m=0.16,
        radius_m=0.05,
        middle_rad=0.8,
        swing_rad=0.35,
        rate_rad_s=1.2,
    ),
    ArmLink(
        name="roll",
        axis=LEFT_TURN,
        length_m=0.06,
        radius_m=0.045,
        middle_rad=0.0,
        swing_rad=1.2,
        rate_rad_s=0.7,
    ),
)
ARM_HUBS = tuple(
    (f"{side}{end}", x, y)
    for end, x in (("f", 0.24), ("b", -0.24))
    for side, y in (("l", 0.24), ("r", -0.24))
)


def arm_figure(look: Look) -> Figure:
    """An arm with five turning joints and a gripper of two fingers, on a four-wheeled base."""
    base = pillar(
        [(0.10, 0.36, 0.25), (0.14, 0.40, 0.28), (0.34, 0.38, 0.27), (0.40, 0.30, 0.22)],
        "paint",
        sides=16,
        power=5,
    )
    skirt = pillar([(0.20, 0.405, 0.285), (0.25, 0.404, 0.284)], "trim", sides=16, power=5)
    plinth = pillar([(0.40, 0.14, 0.14), (ARM_BASE_M, 0.12, 0.12)], "gear", sides=12)
    scanner = merge(
        box((0.40, 0, 0.28), (0.02, 0.12, 0.03), "dark"), box((0.415, 0, 0.28), (0.012, 0.09, 0.012), "glow")
    )
    bones = [
        Bone(
            name="chassis",
            origin_m=(0, 0, 0),
            hinges=(Hinge(name="chassis_pitch"),),
            shape=merge(base, skirt, plinth, scanner),
        )
    ]
    parent, z = "chassis", ARM_BASE_M
    for link in ARM_LINKS:
        bones.append(
            Bone(
                name=link.name,
                parent=parent,
                origin_m=(0, 0, z),
                hinges=(Hinge(name=link.name, axis=link.axis),),
                shape=_link(link),
            )
        )
        parent, z = link.name, link.length_m
    for side, sign in SIDES:
        finger = merge(
            limb((0, 0, 0), (0, sign * 0.02, 0.07), 0.016, 0.014, "gear", sides=6),
            limb((0, sign * 0.02, 0.07), (0, 0, 0.15), 0.014, 0.011, "trim", sides=6),
        )
        bones.append(
            Bone(
                name=f"finger_{side}",
                parent=parent,
                origin_m=(0, sign * 0.035, z),
                hinges=(Hinge(name=f"finger_{side}", axis=(-sign, 0.0, 0.0)),),
                shape=finger,
            )
        )
    tyre = wheel(ARM_WHEEL_M, 0.04)
    bones += [
        Bone(
            name=f"wheel_{name}",
            origin_m=(x, y, ARM_WHEEL_M),
            hinges=(Hinge(name=f"wheel_{name}", axis=ROLLING),),
            shape=tyre,
        )
        for name, x, y in ARM_HUBS
    ]
    shells = dict(SHELLS) | {"orange": (0.93, 0.42, 0.10), "yellow": (0.96, 0.78, 0.14)}
    return robot_figure(tuple(bones), look, "a {paint} robot arm with {trim} bands on a rolling base", shells)


def _link(link: ArmLink) -> Shape:
    r, length = link.radius_m, link.length_m
    tube = limb((0, 0, 0), (0, 0, length), r, 0.86 * r, "paint", sides=10)
    band = pillar(
        [(0.40 * length, 1.06 * r, 1.06 * r), (0.56 * length, 1.03 * r, 1.03 * r)], "trim", sides=10
    )
    drum = turned(
        pillar([(-1.25 * r, 0.95 * r, 0.95 * r), (1.25 * r, 0.95 * r, 0.95 * r)], "gear", sides=12),
        "x",
        np.pi / 2,
    )
    return merge(tube, band, drum) if link.axis == ROLLING else merge(translated(tube), band)


def arm_pose(drive: Drive) -> Pose:
    """The wheels roll and the arm goes slowly about its business."""
    metres, time = drive.distance_m, drive.time_s
    angles: dict[str, Floats] = {"chassis_pitch": 0.0 * time}
    for place, link in enumerate(ARM_LINKS):
        angles[link.name] = link.middle_rad + link.swing_rad * np.sin(link.rate_rad_s * time + 0.9 * place)
    grip = 0.18 + 0.16 * np.sin(1.1 * time)
    angles |= {f"finger_{side}": grip for side, _ in SIDES}
    angles |= {f"wheel_{name}": metres / ARM_WHEEL_M for name, _, _ in ARM_HUBS}
    return Pose(angles_rad=angles, offset_m=0.0 * time)
