"""Robots on legs: a four-legged one and a humanoid."""

import numpy as np

from outofsight.worlds.subjects.figure import RIGHT_LEAN, Bone, Figure, Hinge, hip_hinges
from outofsight.worlds.subjects.gait import Drive, Gait, Leg, leg_angles, root_offset, take_steps
from outofsight.worlds.subjects.kinds import Look, Pose
from outofsight.worlds.subjects.measures import Frame, PersonPlan, body_frame
from outofsight.worlds.subjects.people import SIDES, bones_of
from outofsight.worlds.subjects.robots import SHELLS, robot_figure
from outofsight.worlds.subjects.shapes import Shape, ball, box, hull, limb, merge, pair, pillar

HOUND_HIP_M = 0.46


def hound_legs() -> tuple[Leg, ...]:
    """Four equal legs that walk in diagonal pairs, knees backward."""
    length = (HOUND_HIP_M - 0.03) / 0.86
    phases = {"lh": (0.0, 0.0), "lf": (0.5, 0.5), "rh": (0.5, 0.5), "rf": (0.0, 0.0)}
    return tuple(
        Leg(
            name=name,
            hip_m=(0.30 if name[1] == "f" else -0.30, 0.17 if name[0] == "l" else -0.17, HOUND_HIP_M),
            upper_m=0.5 * length,
            lower_m=0.5 * length,
            ankle_m=(0.0, 0.03),
            ball_x_m=0.0,
            walk_phase=walk,
            run_phase=run,
            knee_forward=False,
        )
        for name, (walk, run) in phases.items()
    )


def hound_gait(walk_m_s: float, run_m_s: float) -> Gait:
    """A brisk trot at any speed."""
    return Gait(
        walk_m_s=walk_m_s,
        run_m_s=run_m_s,
        walk_stride_m=0.56,
        run_stride_m=0.92,
        walk_duty=0.58,
        run_duty=0.44,
        walk_lift_m=0.07,
        run_lift_m=0.11,
        flight_m=0.02,
        bob_m=0.008,
        toe_off_rad=0.0,
        heel_strike_rad=0.0,
    )


def hound_figure(look: Look) -> Figure:
    """A four-legged robot: flat body, motor drums at the hips, thin shins, a sensor head."""
    body = hull(
        [(-0.42, 0.09, 0.06, 0), (-0.38, 0.115, 0.085, 0), (0.38, 0.115, 0.085, 0), (0.43, 0.09, 0.06, 0)],
        "paint",
        sides=16,
        power=5,
    )
    back = hull([(-0.30, 0.09, 0.03, 0.085), (0.22, 0.09, 0.035, 0.085)], "gear", sides=12, power=5)
    stripe = pair(box((0, 0.116, 0.01), (0.30, 0.008, 0.025), "trim"))
    head = merge(
        box((0.46, 0, 0.02), (0.06, 0.085, 0.055), "dark"),
        pair(ball((0.52, 0.045, 0.03), (0.012, 0.026, 0.026), "glow", sides=8, rows=3)),
    )
    lidar = pillar(
        [(0.09, 0.05, 0.05, 0.28), (0.16, 0.05, 0.05, 0.28), (0.17, 0.03, 0.03, 0.28)], "dark", sides=12
    )
    hinges = (Hinge(name="body_roll", axis=RIGHT_LEAN), Hinge(name="body_pitch"))
    bones = [
        Bone(
            name="body",
            origin_m=(0, 0, HOUND_HIP_M + 0.02),
            hinges=hinges,
            shape=merge(body, back, stripe, head, lidar),
        )
    ]
    for leg in hound_legs():
        inward = -0.05 if leg.name[0] == "l" else 0.05
        drum = merge(
            limb((0, inward, 0), (0, 0, 0), 0.07, 0.07, "gear", sides=10),
            limb((0, 0, 0), (0, 0, -leg.upper_m), 0.058, 0.036, "paint"),
        )
        drum = merge(drum, ball((0, -inward * 0.9, 0), (0.05, 0.03, 0.05), "trim", sides=10))
        shin = limb((0, 0, 0), (0, 0, -leg.lower_m), 0.032, 0.02, "dark")
        bones += [
            Bone(
                name=f"thigh_{leg.name}",
                origin_m=leg.hip_m,
                hinges=hip_hinges(leg.name),
                shape=drum,
            ),
            Bone(
                name=f"shin_{leg.name}",
                parent=f"thigh_{leg.name}",
                origin_m=(0, 0, -leg.upper_m),
                hinges=(Hinge(name=f"knee_{leg.name}"),),
                shape=shin,
            ),
            Bone(
                name=f"foot_{leg.name}",
                parent=f"shin_{leg.name}",
                origin_m=(0, 0, -leg.lower_m),
                hinges=(Hinge(name=f"ankle_{leg.name}"),),
                shape=ball((0, 0, 0), 0.03, "trim", sides=8),
            ),
        ]
    shells = dict(SHELLS) | {"yellow": (0.95, 0.76, 0.12)}
    return robot_figure(tuple(bones), look, "a {paint} four-legged robot with {trim} hip motors", shells)


def hound_pose(gait: Gait, drive: Drive) -> Pose:
    """A trot; when it stands it bows and tilts as if looking about."""
    legs = hound_legs()
    steps = take_steps(legs, gait, drive)
    offset = root_offset(legs, gait, drive, steps)
    angles = leg_angles(legs, steps, offset)
    idle = 1.0 - steps.moving
    angles["body_roll"] = 0.03 * steps.moving * np.sin(2 * np.pi * steps.cycle[:, 0]) + 0.05 * idle * np.sin(
        0.8 * drive.time_s
    )
    angles["body_pitch"] = 0.07 * idle * np.sin(0.55 * drive.time_s + 0.5)
    return Pose(angles_rad=angles, offset_m=offset)


HUMANOID = PersonPlan(
    height_m=1.62, phrase="", parts=(), colours={}, leg_share=0.48, head=1.05, stoop_rad=0.06, gait_scale=0.88
)


def humanoid_figure(look: Look) -> Figure:
    """A humanoid robot: white shells, dark joints, a visor with two lights."""
    f = body_frame(HUMANOID)
    shapes = _humanoid_trunk(f)
    for side, sign in SIDES:
        shapes |= _humanoid_limbs(f, side, sign)
    shells = {"white": SHELLS["white"], "grey": SHELLS["grey"], "silver": (0.74, 0.76, 0.80)}
    return robot_figure(
        bones_of(HUMANOID, shapes), look, "a {paint} humanoid robot with {trim} joints", shells
    )


def _humanoid_trunk(f: Frame) -> dict[str, Shape]:
    h, top, r = f.height, f.shoulder_z - f.waist_z, f.head_half
    pelvis = pillar(
        [(-0.05 * h, 0.05 * h, 0.07 * h), (0.02 * h, 0.062 * h, 0.095 * h), (0.05 * h, 0.045 * h, 0.06 * h)],
        "gear",
        sides=12,
        power=3.5,
    )
    rows = [
        (0.0, 0.04 * h, 0.055 * h),
        (0.25 * top, 0.06 * h, 0.08 * h),
        (0.55 * top, 0.08 * h, 0.105 * h),
        (0.95 * top, 0.072 * h, 0.115 * h),
        (1.12 * top, 0.04 * h, 0.06 * h),
    ]
    chest = pillar(rows, ["dark", "dark", "paint", "paint", "paint", "paint"], sides=14, power=3)
    core = ball((0.078 * h, 0, 0.68 * top), (0.012 * h, 0.028 * h, 0.028 * h), "glow", sides=10)
    neck = limb((0, 0, top), (0, 0, f.neck_z - f.waist_z + 0.01 * h), 0.028 * h, 0.028 * h, "dark")
    skull = ball((0.02 * r, 0, 0.98 * r), (0.88 * r, 0.80 * r, r), "paint", sides=14, rows=7)
    visor = ball((0.24 * r, 0, 1.02 * r), (0.74 * r, 0.68 * r, 0.50 * r), "dark", sides=14, rows=7)
    eyes = pair(ball((0.88 * r, 0.28 * r, 1.06 * r), (0.10 * r, 0.13 * r, 0.13 * r), "glow", sides=8, rows=4))
    pods = pair(ball((0, 0.80 * r, 1.0 * r), (0.26 * r, 0.14 * r, 0.26 * r), "trim", sides=10))
    return {"hips": pelvis, "torso": merge(chest, core, neck), "head": merge(skull, visor, eyes, pods)}


def _humanoid_limbs(f: Frame, side: str, sign: float) -> dict[str, Shape]:
    h = f.height
    arm = merge(
        ball((0, 0, 0), 0.05 * h, "trim", sides=10),
        limb((0, 0, -0.03 * h), (0, 0, -f.upper_arm), 0.036 * h, 0.030 * h, "paint"),
    )
    fingers = [
        limb(
            (0.01 * h, y * h, -f.forearm - 0.02 * h),
            (0.02 * h, y * h, -f.forearm - 0.065 * h),
            0.011 * h,
            0.009 * h,
            "dark",
            sides=6,
        )
        for y in (-0.016, 0.016)
    ]
    forearm = merge(
        ball((0, 0, 0), 0.034 * h, "trim", sides=10),
        limb((0, 0, -0.03 * h), (0, 0, -f.forearm), 0.034 * h, 0.028 * h, "paint"),
        *fingers,
    )
    thigh = merge(
        ball((0, sign * 0.01 * h, 0), 0.052 * h, "trim", sides=10),
        limb((0, 0, -0.03 * h), (0, 0, -f.bone), 0.052 * h, 0.036 * h, "paint"),
    )
    shin = merge(
        ball((0, 0, 0), 0.042 * h, "trim", sides=10),
        limb((0, 0, -0.03 * h), (0, 0, -f.bone), 0.042 * h, 0.026 * h, "paint"),
    )
    z, foot = f.ankle_z, f.foot
    sole = hull(
        [
            (-0.34 * foot, 0.028 * h, 0.36 * z, -0.64 * z),
            (0.3 * foot, 0.036 * h, 0.40 * z, -0.60 * z),
            (1.05 * foot, 0.034 * h, 0.22 * z, -0.78 * z),
        ],
        "gear",
        sides=10,
        power=4,
    )
    return {
        f"arm_{side}": arm,
        f"forearm_{side}": forearm,
        f"thigh_{side}": thigh,
        f"shin_{side}": shin,
        f"foot_{side}": merge(sole, ball((0, 0, 0), 0.026 * h, "dark", sides=8)),
    }
