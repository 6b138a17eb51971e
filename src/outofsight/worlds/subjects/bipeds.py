"""Animals on two legs: chicken and goose, which walk, and the kangaroo, which hops on both feet at once."""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from outofsight.worlds.subjects.colours import BASICS, draw, varied, with_articles
from outofsight.worlds.subjects.figure import LEFT_TURN, RIGHT_LEAN, Bone, Colour, Figure, Hinge, hip_hinges
from outofsight.worlds.subjects.gait import Drive, Gait, Leg, leg_angles, root_offset, take_steps
from outofsight.worlds.subjects.kinds import Look, Pose
from outofsight.worlds.subjects.shapes import (
    Shape,
    ball,
    hull,
    limb,
    merge,
    mirrored,
    painted,
    pair,
    rounded,
    strand,
    translated,
    turned,
)

SIDES = (("l", 1.0), ("r", -1.0))


@dataclass(frozen=True, kw_only=True)
class BipedPlan:
    """Measures in metres. ``body``: hull sections (x, half_y, half_z, z) in the root frame; legs as in ``gait.Leg``.

    ``waddle_rad``: how far the body rolls over the standing leg; ``nod_rad``: how far the head bobs at each step;
    ``hops``: both feet together.
    """

    noun: str
    body: tuple[tuple[float, float, float, float], ...]
    hip_m: tuple[float, float, float]
    ankle_m: tuple[float, float]
    leg_radii_m: tuple[float, float, float]
    neck_from: tuple[float, float]
    neck_to: tuple[float, float]
    neck_radii: tuple[float, float]
    coats: Mapping[str, Mapping[str, Colour]]
    heel_x_m: float = 0.0
    upper_share: float = 0.5
    straight: float = 0.93
    waddle_rad: float = 0.05
    nod_rad: float = 0.2
    peck_rad: float = 0.0
    hops: bool = False


def legs_of(plan: BipedPlan) -> tuple[Leg, ...]:
    """Left and right leg; a bird's visible joint bends backward, a kangaroo's knee forward."""
    x, y, z = plan.hip_m
    length = (z - plan.ankle_m[1]) / plan.straight
    return tuple(
        Leg(
            name=side,
            hip_m=(x, sign * y, z),
            upper_m=plan.upper_share * length,
            lower_m=(1 - plan.upper_share) * length,
            ankle_m=plan.ankle_m,
            ball_x_m=-plan.ankle_m[0] + (0.12 if plan.hops else 0.0),
            heel_x_m=plan.heel_x_m,
            walk_phase=phase,
            run_phase=phase,
            knee_forward=plan.hops,
        )
        for (side, sign), phase in zip(SIDES, (0.0, 0.0 if plan.hops else 0.5), strict=True)
    )


def gait_of(plan: BipedPlan, walk_m_s: float, run_m_s: float) -> Gait:
    """A bird's quick steps, or hops that rise once a cycle."""
    leg = plan.hip_m[2]
    return Gait(
        walk_m_s=walk_m_s,
        run_m_s=run_m_s,
        walk_stride_m=(1.7 if plan.hops else 1.25) * leg,
        run_stride_m=(3.2 if plan.hops else 2.2) * leg,
        walk_duty=0.5 if plan.hops else 0.62,
        run_duty=0.36 if plan.hops else 0.42,
        walk_lift_m=(0.14 if plan.hops else 0.2) * leg,
        run_lift_m=0.3 * leg,
        walk_flight_m=0.14 * leg if plan.hops else 0.0,
        flight_m=(0.34 if plan.hops else 0.05) * leg,
        bob_m=(0.0 if plan.hops else 0.05) * leg,
        bounces=1 if plan.hops else 2,
        toe_off_rad=0.8,
        heel_strike_rad=0.1 if plan.hops else 0.0,
    )


def bones_of(plan: BipedPlan, shapes: Mapping[str, Shape]) -> tuple[Bone, ...]:
    """Body, neck, head, tail, two wings or arms, two legs."""
    middle = plan.body[len(plan.body) // 2][3]
    body = (Hinge(name="body_roll", axis=RIGHT_LEAN), Hinge(name="body_pitch"))
    neck = (Hinge(name="neck_yaw", axis=LEFT_TURN), Hinge(name="neck_pitch"))
    (nx, nz), (hx, hz) = plan.neck_from, plan.neck_to
    tail = plan.body[0]
    bones = [
        Bone(name="body", origin_m=(0, 0, middle), hinges=body, shape=shapes["body"]),
        Bone(name="neck", parent="body", origin_m=(nx, 0, nz - middle), hinges=neck, shape=shapes["neck"]),
        Bone(
            name="head",
            parent="neck",
            origin_m=(hx - nx, 0, hz - nz),
            hinges=(Hinge(name="head_pitch"),),
            shape=shapes["head"],
        ),
        Bone(
            name="tail",
            parent="body",
            origin_m=(tail[0], 0, tail[3] - middle),
            hinges=(Hinge(name="tail_pitch"),),
            shape=shapes["tail"],
        ),
    ]
    arm = plan.body[-2]
    for side, sign in SIDES:
        at = (arm[0] - 0.05 * (not plan.hops) * arm[0], sign * 0.9 * arm[1], arm[3] - middle)
        bones.append(
            Bone(
                name=f"arm_{side}",
                parent="body",
                origin_m=at,
                hinges=(Hinge(name=f"arm_{side}"),),
                shape=shapes[f"arm_{side}"],
            )
        )
    return (*bones, *(bone for leg in legs_of(plan) for bone in _leg_bones(leg, shapes)))


def _leg_bones(leg: Leg, shapes: Mapping[str, Shape]) -> tuple[Bone, Bone, Bone]:
    thigh, shin, foot = (f"{part}_{leg.name}" for part in ("thigh", "shin", "foot"))
    knee, ankle = (Hinge(name=f"knee_{leg.name}"),), (Hinge(name=f"ankle_{leg.name}"),)
    return (
        Bone(name=thigh, origin_m=leg.hip_m, hinges=hip_hinges(leg.name), shape=shapes[thigh]),
        Bone(name=shin, parent=thigh, origin_m=(0, 0, -leg.upper_m), hinges=knee, shape=shapes[shin]),
        Bone(name=foot, parent=shin, origin_m=(0, 0, -leg.lower_m), hinges=ankle, shape=shapes[foot]),
    )


def shapes_of(plan: BipedPlan) -> dict[str, Shape]:
    """All bones' shapes; what differs between bird and kangaroo is head, tail, arms and feet."""
    middle = plan.body[len(plan.body) // 2][3]
    rows = rounded([(x, y, z, at - middle) for x, y, z, at in plan.body], 14)
    if plan.hops:  # an upright body: rings across its slanting line
        trunk = strand(np.column_stack([rows[:, 0], 0 * rows[:, 0], rows[:, 3]]), rows[:, 1], "fur", sides=16)
    else:
        trunk = hull(rows, "fur", sides=16)
    low = trunk.vertices[:, 2].min()
    trunk = painted(
        trunk,
        "belly",
        lambda p: (p[:, 2] < 0.55 * low) if not plan.hops else p[:, 0] - 0.45 * p[:, 2] > 0.10,
    )
    span = (plan.neck_to[0] - plan.neck_from[0], plan.neck_to[1] - plan.neck_from[1])
    wide, thin = plan.neck_radii
    points = [(t * span[0], 0, t * span[1]) for t in (-0.2, 0.3, 0.7, 1.0)]
    neck = strand(points, [wide, 0.6 * wide + 0.4 * thin, 0.2 * wide + 0.8 * thin, thin], "fur", sides=10)
    special = _kangaroo(plan) if plan.hops else _bird(plan)
    shapes = {"body": trunk, "neck": neck} | special
    top, knee, ankle = plan.leg_radii_m
    upper, lower = ("fur", "fur") if plan.hops else ("fur", "skin")
    for leg in legs_of(plan):
        shapes[f"thigh_{leg.name}"] = limb((0, 0, 0), (0, 0, -leg.upper_m), top, knee, upper, sides=10)
        shapes[f"shin_{leg.name}"] = limb((0, 0, 0), (0, 0, -leg.lower_m), knee, ankle, lower)
        shapes[f"foot_{leg.name}"] = _foot(plan, leg)
    return shapes


def _foot(plan: BipedPlan, leg: Leg) -> Shape:
    down, ahead = -leg.ankle_m[1], -leg.ankle_m[0]
    if plan.hops:
        sole = hull(
            [
                (-0.06, 0.03, 0.03, down + 0.03),
                (0.5 * ahead, 0.045, 0.035, down + 0.037),
                (0.9 * ahead, 0.05, 0.026, down + 0.028),
                (1.08 * ahead, 0.03, 0.018, down + 0.026),
            ],
            "fur",
            sides=8,
        )
        return merge(sole, limb((0, 0, 0), (-0.02, 0, down + 0.04), 0.04, 0.035, "fur"))
    r = plan.leg_radii_m[2]
    toes = [
        limb(
            (0, 0, down + r),
            (3.6 * r * np.cos(a), 3.6 * r * np.sin(a), down + 0.7 * r),
            0.9 * r,
            0.6 * r,
            "skin",
            sides=6,
        )
        for a in (-0.55, 0, 0.55, np.pi)
    ]
    web = [
        hull(
            [(0, 0.4 * r, 0.4 * r, down + 0.6 * r), (3.4 * r, 2.2 * r, 0.3 * r, down + 0.4 * r)],
            "skin",
            sides=6,
        )
    ]
    return merge(*toes, *web, limb((0, 0, 0), (0, 0, down + r), r, r, "skin", sides=6))


def _eyes(x: float, y: float, z: float, size: float) -> Shape:
    white = ball((x, y, z), (size, 0.8 * size, size), "white", sides=8, rows=4)
    return pair(merge(white, ball((x + 0.35 * size, y + 0.35 * size, z), 0.7 * size, "eye", sides=8, rows=4)))


def _bird(plan: BipedPlan) -> dict[str, Shape]:
    """Beak, comb and wattle by their inks (a goose's comb is small and plain), a fan tail, folded wings."""
    r = plan.neck_radii[1] * 1.25
    skull = ball((0.25 * r, 0, 0.3 * r), (1.15 * r, r, 1.05 * r), "fur", sides=10)
    beak = hull(
        [
            (1.0 * r, 0.5 * r, 0.42 * r, 0.2 * r),
            (1.7 * r, 0.42 * r, 0.26 * r, 0.12 * r),
            (2.3 * r, 0.2 * r, 0.1 * r, 0.0),
        ],
        "nose",
        sides=8,
    )
    parts = [skull, beak, _eyes(0.75 * r, 0.62 * r, 0.62 * r, 0.27 * r)]
    if plan.peck_rad > 0.5:
        parts += [
            ball((x * r, 0, z * r), (0.42 * r, 0.16 * r, 0.55 * r), "mark", sides=8)
            for x, z in ((0.75, 1.35), (0.2, 1.6), (-0.4, 1.35))
        ]
        parts.append(ball((1.15 * r, 0, -0.75 * r), (0.26 * r, 0.2 * r, 0.5 * r), "mark", sides=8))
    x0, y0, z0, _ = plan.body[0]
    length = 0.9 * (plan.body[-1][0] - x0)
    fan = hull(
        [
            (0.1 * length, 1.2 * y0, 1.2 * z0, 0),
            (-0.16 * length, 1.7 * y0, 1.1 * z0, 0.10 * length),
            (-0.34 * length, 1.9 * y0, 0.5 * z0, 0.26 * length),
        ],
        ["fur", "fur", "hair", "hair"],
        sides=8,
    )
    arm = plan.body[-2]
    wing = hull(
        [
            (0.10 * length, 0.2 * arm[1], 0.35 * arm[2], 0),
            (-0.1 * length, 0.32 * arm[1], 0.8 * arm[2], -0.02 * length),
            (-0.42 * length, 0.26 * arm[1], 0.62 * arm[2], 0.0),
            (-0.68 * length, 0.1 * arm[1], 0.2 * arm[2], 0.05 * length),
        ],
        ["hair"] * 5,
        sides=8,
    )
    wing = translated(wing, y=0.16 * arm[1])
    return {"head": merge(*parts), "tail": fan, "arm_l": wing, "arm_r": mirrored(wing)}


def _kangaroo(plan: BipedPlan) -> dict[str, Shape]:
    skull = ball((0.04, 0, 0.03), (0.10, 0.08, 0.085), "fur", sides=10)
    muzzle = hull(
        [(0.06, 0.06, 0.06, 0.01), (0.16, 0.042, 0.042, -0.015), (0.23, 0.032, 0.03, -0.03)],
        "belly",
        sides=10,
    )
    ear = turned(translated(ball((0, 0, 0.12), (0.035, 0.055, 0.13), "fur", sides=8), y=0.04), "x", -0.3)
    inner = turned(
        translated(ball((0.02, 0, 0.12), (0.025, 0.036, 0.10), "skin", sides=8), y=0.04), "x", -0.3
    )
    nose = ball((0.235, 0, -0.018), (0.022, 0.026, 0.02), "nose", sides=8, rows=3)
    head = merge(
        skull, muzzle, pair(translated(merge(ear, inner), z=0.07)), nose, _eyes(0.10, 0.055, 0.06, 0.020)
    )
    tail = strand(
        [(0.12, 0, 0.02), (-0.14, 0, -0.14), (-0.40, 0, -0.30), (-0.66, 0, -0.36), (-0.95, 0, -0.34)],
        (0.13, 0.11, 0.075, 0.05, 0.02),
        "fur",
        sides=10,
    )
    arm = merge(
        limb((0, 0, 0), (0.02, 0, -0.17), 0.045, 0.032, "fur"),
        limb((0.02, 0, -0.17), (0.17, 0, -0.24), 0.032, 0.022, "fur"),
        ball((0.19, 0, -0.25), 0.03, "mark", sides=8, rows=4),
    )
    return {"head": head, "tail": tail, "arm_l": arm, "arm_r": arm}


def biped_figure(plan: BipedPlan, look: Look) -> Figure:
    """One animal: draw a coat, then build."""
    coat = draw(look.generator, tuple(plan.coats))
    palette = dict(BASICS) | {ink: varied(look.generator, colour) for ink, colour in plan.coats[coat].items()}
    return Figure(
        bones=bones_of(plan, shapes_of(plan)),
        palette=palette,
        noun=with_articles(plan.noun.format(coat=coat)),
        shininess=0.1,
    )


def biped_pose(plan: BipedPlan, gait: Gait, drive: Drive) -> Pose:
    """Legs by the gait; birds bob their heads and peck, geese waddle, kangaroos balance with the tail."""
    legs = legs_of(plan)
    steps = take_steps(legs, gait, drive)
    offset = root_offset(legs, gait, drive, steps)
    angles = leg_angles(legs, steps, offset)
    run, move, time = steps.running, steps.moving, drive.time_s
    turn, idle = 2 * np.pi * steps.cycle[:, 0], 1.0 - steps.moving
    beat = np.sin(turn if plan.hops else 2 * turn)
    peck = plan.peck_rad * idle * np.clip(np.sin(1.1 * time), 0, 1) ** 2 * (0.85 + 0.15 * np.sin(14 * time))
    glance = np.sin(1.3 * time) * np.sin(0.41 * time + 0.6)
    lean = (0.35 if plan.hops else 0.12) * run
    angles["body_roll"] = -plan.waddle_rad * move * np.sin(turn - 0.4) * (not plan.hops)
    angles["body_pitch"] = -lean + (0.10 * beat * move if plan.hops else -0.35 * peck)
    angles["neck_yaw"] = 0.6 * glance * (0.3 + 0.7 * idle)
    angles["neck_pitch"] = 0.8 * lean - plan.nod_rad * move * beat - peck
    angles["head_pitch"] = plan.nod_rad * move * beat - 0.5 * peck + 0.1 * glance
    angles["tail_pitch"] = (
        0.16 * move * np.sin(turn + 2.2) + 0.35 * run if plan.hops else 0.08 * beat * move
    ) + 0.05 * glance
    for side, sign in SIDES:
        swing = (0.35 * beat if plan.hops else 0.05 * sign * beat) * move
        angles[f"arm_{side}"] = swing + 0.06 * np.sin(0.9 * time + sign) * idle
    return Pose(angles_rad=angles, offset_m=offset)
