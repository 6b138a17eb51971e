"""People who ride: a person's bones put on a saddle, hands on the handles, feet on pedals or boards."""

from collections.abc import Mapping

import numpy as np

from outofsight.worlds.subjects.figure import Bone
from outofsight.worlds.subjects.gait import Leg, bend_to
from outofsight.worlds.subjects.measures import PersonPlan, body_frame
from outofsight.worlds.subjects.people import SIDES, bones_of, legs_of
from outofsight.worlds.subjects.shapes import Floats, Shape


def rider_bones(
    plan: PersonPlan, shapes: Mapping[str, Shape], seat_m: tuple[float, float], parent: str
) -> tuple[Bone, ...]:
    """The person's bones with the hips at ``seat_m`` (x, z in the parent's frame)."""
    hip_z = body_frame(plan).hip_z
    placed = []
    for bone in bones_of(plan, shapes):
        x, y, z = bone.origin_m
        origin = bone.origin_m if bone.parent else (x + seat_m[0], y, z - hip_z + seat_m[1])
        placed.append(
            Bone(
                name=bone.name,
                parent=bone.parent or parent,
                origin_m=origin,
                hinges=bone.hinges,
                shape=bone.shape,
            )
        )
    return tuple(placed)


def seated_leg(plan: PersonPlan, side: str) -> Leg:
    """The leg measured from its own hip."""
    return legs_of(plan)[0 if side == "l" else 1]


def feet_at(
    plan: PersonPlan, targets: Mapping[str, tuple[Floats, Floats]], foot_rad: float = 0.0
) -> dict[str, Floats]:
    """Leg angles that bring the balls of the feet to (x, z) from the hips, soles turned by ``foot_rad``."""
    angles: dict[str, Floats] = {}
    for side, _ in SIDES:
        leg = seated_leg(plan, side)
        ax, az = leg.ankle_m
        x = targets[side][0] + ax * np.cos(foot_rad) - az * np.sin(foot_rad)
        z = targets[side][1] + ax * np.sin(foot_rad) + az * np.cos(foot_rad)
        hip, knee = bend_to(leg, x, z)
        angles |= {f"turn_{side}": 0.0 * hip, f"splay_{side}": 0.0 * hip}
        angles |= {f"hip_{side}": hip, f"knee_{side}": knee, f"ankle_{side}": foot_rad - hip - knee}
    return angles


def hands_at(
    plan: PersonPlan, lean_rad: float, handle_m: tuple[float, float], out_rad: float, time: Floats
) -> dict[str, Floats]:
    """Upper-body angles: the torso leans forward, arms reach a handle (x, z from the hips), the head looks ahead."""
    f = body_frame(plan)
    rise = f.shoulder_z - f.hip_z
    waist = f.waist_z - f.hip_z
    shoulder = (np.sin(lean_rad) * (rise - waist), waist + np.cos(lean_rad) * (rise - waist))
    arm = Leg(
        name="arm",
        hip_m=(0, 0, 0),
        upper_m=f.upper_arm,
        lower_m=f.forearm + 0.02 * f.height,
        ankle_m=(0, 0),
        ball_x_m=0,
        walk_phase=0,
        run_phase=0,
        knee_forward=False,
    )
    pitch, elbow = bend_to(arm, np.array(handle_m[0] - shoulder[0]), np.array(handle_m[1] - shoulder[1]))
    still, glance = np.zeros_like(time), np.sin(0.8 * time) * np.sin(0.29 * time + 0.4)
    angles = {"spine_yaw": still, "spine_roll": 0.02 * np.sin(0.9 * time), "spine_pitch": still - lean_rad}
    angles |= {"neck_yaw": 0.35 * glance, "neck_pitch": still + 0.8 * lean_rad}
    for side, _ in SIDES:
        angles |= {
            f"shoulder_{side}": still + pitch + lean_rad,
            f"elbow_{side}": still + elbow,
            f"raise_{side}": still + out_rad,
        }
    return angles
