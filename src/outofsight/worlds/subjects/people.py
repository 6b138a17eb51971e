"""People: one skeleton with 21 hinges, built from a plan of proportions, clothes and carried things.

At rest a person stands with straight legs and hanging arms. Clothes are shapes on bones; a garment that covers a limb
is painted on the limb itself, so that it costs no geom.
"""

from collections.abc import Mapping

import numpy as np

from outofsight.worlds.subjects import outfits
from outofsight.worlds.subjects.colours import (
    BASICS,
    CLOTH,
    GREYS,
    HAIRS,
    SKINS,
    draw,
    mixed,
    shade,
    with_articles,
)
from outofsight.worlds.subjects.figure import LEFT_TURN, RIGHT_LEAN, Bone, Colour, Figure, Hinge, hip_hinges
from outofsight.worlds.subjects.gait import Drive, Gait, Leg, leg_angles, root_offset, take_steps
from outofsight.worlds.subjects.garments import COAT_PIECES
from outofsight.worlds.subjects.headwear import HATS, hair_shape
from outofsight.worlds.subjects.kinds import Look, Pose
from outofsight.worlds.subjects.measures import ArmPose, Frame, PersonPlan, body_frame, skirt
from outofsight.worlds.subjects.shapes import Floats, Shape, ball, hull, limb, merge, pair, pillar

SIDES = (("l", 1.0), ("r", -1.0))


def legs_of(plan: PersonPlan) -> tuple[Leg, ...]:
    """Both legs, half a cycle apart."""
    f = body_frame(plan)
    return tuple(
        Leg(
            name=side,
            hip_m=(0.0, sign * f.hip_y, f.hip_z),
            upper_m=f.bone,
            lower_m=f.bone,
            ankle_m=(-1.02 * f.foot, f.ankle_z),
            ball_x_m=0.94 * f.foot,
            heel_x_m=-1.34 * f.foot,
            walk_phase=phase,
            run_phase=phase,
        )
        for (side, sign), phase in zip(SIDES, (0.0, 0.5), strict=True)
    )


def gait_of(plan: PersonPlan, walk_m_s: float, run_m_s: float) -> Gait:
    """A gait that fits the legs: strides grow with hip height."""
    leg = plan.leg_share * plan.height_m * plan.gait_scale
    return Gait(
        walk_m_s=walk_m_s,
        run_m_s=run_m_s,
        walk_stride_m=1.38 * leg,
        run_stride_m=2.3 * leg,
        walk_lift_m=0.07 * leg,
        run_lift_m=0.30 * leg,
        flight_m=0.045 * leg,
        bob_m=0.035 * leg,
        toe_off_rad=0.75,
        heel_strike_rad=0.32,
    )


def bones_of(plan: PersonPlan, shapes: Mapping[str, Shape]) -> tuple[Bone, ...]:
    """The skeleton, parents first, dressed in a shape for each bone."""
    f = body_frame(plan)
    spine = (
        Hinge(name="spine_yaw", axis=LEFT_TURN),
        Hinge(name="spine_roll", axis=RIGHT_LEAN),
        Hinge(name="spine_pitch"),
    )
    neck = (Hinge(name="neck_yaw", axis=LEFT_TURN), Hinge(name="neck_pitch"))
    bones = [
        Bone(name="hips", origin_m=(0, 0, f.hip_z), shape=shapes["hips"]),
        Bone(name="torso", origin_m=(0, 0, f.waist_z), hinges=spine, shape=shapes["torso"]),
        Bone(
            name="head",
            parent="torso",
            origin_m=(0, 0, f.neck_z - f.waist_z),
            hinges=neck,
            shape=shapes["head"],
        ),
    ]
    for side, sign in SIDES:
        shoulder = (Hinge(name=f"shoulder_{side}"), Hinge(name=f"raise_{side}", axis=(sign, 0.0, 0.0)))
        at = (0.0, sign * f.shoulder_y, f.shoulder_z - f.waist_z)
        bones += [
            Bone(
                name=f"arm_{side}", parent="torso", origin_m=at, hinges=shoulder, shape=shapes[f"arm_{side}"]
            ),
            _bone(f"forearm_{side}", f"arm_{side}", (0, 0, -f.upper_arm), f"elbow_{side}", shapes),
        ]
    for side, sign in SIDES:
        bones += [
            Bone(
                name=f"thigh_{side}",
                origin_m=(0, sign * f.hip_y, f.hip_z),
                hinges=hip_hinges(side),
                shape=shapes[f"thigh_{side}"],
            ),
            _bone(f"shin_{side}", f"thigh_{side}", (0, 0, -f.bone), f"knee_{side}", shapes),
            _bone(f"foot_{side}", f"shin_{side}", (0, 0, -f.bone), f"ankle_{side}", shapes),
        ]
    return tuple(bones)


def _bone(
    name: str, parent: str, at: tuple[float, float, float], hinge: str, shapes: Mapping[str, Shape]
) -> Bone:
    return Bone(name=name, parent=parent, origin_m=at, hinges=(Hinge(name=hinge),), shape=shapes[name])


def shapes_of(plan: PersonPlan, look: Look, hair: str) -> dict[str, Shape]:
    """The body, limb by limb, then every worn part laid over it."""
    f = body_frame(plan)
    jacket = "coat" in plan.parts and look.wears("coat")
    upper = "coat" if jacket else "top"
    worn = [part for part in plan.parts if look.wears(part) and (jacket or part not in COAT_PIECES)]
    capped = any(part in HATS for part in worn)
    shapes = {"hips": _hips(f, plan), "torso": _torso(f, upper), "head": _head(f, hair, capped)}
    for side, sign in SIDES:
        shapes |= _arm(f, plan, side, sign, upper) | _leg(f, plan, side, sign)
    for part in worn:
        for bone, shape in outfits.wear(part, f, plan).items():
            shapes[bone] = merge(shapes[bone], shape)
    return shapes


def _hips(f: Frame, plan: PersonPlan) -> Shape:
    h, g = f.height, f.girth
    rows = [(-0.055 * h, 0.045 * h, 0.06 * h), (-0.02 * h, 0.064 * h * g, 0.098 * h * g)]
    rows += [(0.03 * h, 0.062 * h * g, 0.094 * h * g), (0.065 * h, 0.056 * h * g, 0.083 * h * g)]
    shape = pillar(rows, ("bottom", "bottom", "bottom", "strap", "strap"), sides=14)
    if plan.legs == "skirt":
        shape = merge(shape, skirt(f, 0.95 * f.bone, (0.185 * h, 0.15 * h), "bottom", trim="trim"))
    if plan.legs == "robe":
        shape = merge(shape, skirt(f, f.hip_z - 0.035 * h, (0.195 * h, 0.18 * h), "bottom", trim="trim"))
    return shape


def _torso(f: Frame, ink: str) -> Shape:
    """From the waist to the shoulders, wider above; the neck stands on it."""
    h = f.height
    neck = limb(
        (0, 0, f.chest), (0.006 * h, 0, f.neck_z - f.waist_z + 0.02 * h), 0.033 * h, 0.031 * h, "skin"
    )
    return merge(pillar(f.torso_rows, ink, sides=14), neck)


def _head(f: Frame, hair: str, capped: bool) -> Shape:
    """Skull, jaw, eyes with whites, nose, mouth, ears and hair; origin at the neck."""
    r = f.head_half
    middle = (0.10 * r, 0.0, 0.98 * r)
    skull = ball(middle, (0.80 * r, 0.70 * r, r), "skin", sides=12, rows=7)
    jaw = ball((0.26 * r, 0, 0.42 * r), (0.52 * r, 0.50 * r, 0.40 * r), "skin")
    white = ball((0.76 * r, 0.28 * r, 1.02 * r), (0.12 * r, 0.15 * r, 0.15 * r), "white", sides=8, rows=3)
    pupil = ball((0.83 * r, 0.27 * r, 1.01 * r), (0.09 * r, 0.09 * r, 0.115 * r), "eye", sides=8, rows=3)
    brow = limb(
        (0.82 * r, 0.13 * r, 1.24 * r), (0.74 * r, 0.40 * r, 1.23 * r), 0.045 * r, 0.04 * r, "hair", sides=5
    )
    nose = ball((0.93 * r, 0, 0.80 * r), (0.13 * r, 0.10 * r, 0.15 * r), "skin", sides=6, rows=3)
    lip = limb((0.82 * r, 0, 0.47 * r), (0.72 * r, 0.24 * r, 0.53 * r), 0.05 * r, 0.04 * r, "mouth", sides=6)
    ear = ball((0.08 * r, 0.71 * r, 0.92 * r), (0.14 * r, 0.09 * r, 0.20 * r), "skin", sides=6, rows=3)
    face = merge(skull, jaw, pair(white), pair(pupil), pair(brow), nose, pair(lip), pair(ear))
    locks = hair_shape(hair, r, capped)
    return face if locks is None else merge(face, locks)


def _arm(f: Frame, plan: PersonPlan, side: str, sign: float, ink: str) -> dict[str, Shape]:
    """Upper arm with a round shoulder; forearm with a mitten hand and thumb."""
    h = f.height
    sleeve = {"long": (ink, ink), "short": (ink, "skin"), "none": ("skin", "skin")}[plan.sleeves]
    thick = 0.034 * h * (0.85 + 0.15 * f.girth)
    upper = limb((0, 0, -0.005 * h), (0, 0, -f.upper_arm), 1.12 * thick, 0.86 * thick, sleeve[0])
    if plan.sleeves == "short":
        lower = limb((0, 0, -0.6 * f.upper_arm), (0, 0, -f.upper_arm), 0.8 * thick, 0.8 * thick, "skin")
        upper = merge(limb((0, 0, 0), (0, 0, -0.52 * f.upper_arm), 1.15 * thick, 1.1 * thick, ink), lower)
    wrist = -f.forearm
    sleeve_end = limb((0, 0, 0), (0, 0, 0.92 * wrist), 0.86 * thick, 0.72 * thick, sleeve[1])
    hand = ball((0.006 * h, 0, wrist - 0.026 * h), (0.029 * h, 0.020 * h, 0.040 * h), plan.hands, sides=8)
    thumb = ball(
        (0.028 * h, -sign * 0.012 * h, wrist - 0.016 * h),
        (0.012 * h, 0.010 * h, 0.022 * h),
        plan.hands,
        sides=6,
        rows=3,
    )
    return {f"arm_{side}": upper, f"forearm_{side}": merge(sleeve_end, hand, thumb)}


def _leg(f: Frame, plan: PersonPlan, side: str, sign: float) -> dict[str, Shape]:
    """Thigh, shin and a shoe whose sole lies an ankle's height below the ankle."""
    h, g = f.height, 0.7 + 0.3 * f.girth
    bare = plan.legs in ("shorts", "skirt")
    thigh = limb(
        (0, 0, 0), (0, 0, -f.bone), 0.058 * h * g, 0.040 * h * g, "skin" if plan.legs == "skirt" else "bottom"
    )
    shin = limb(
        (0, 0, 0), (0, 0, -f.bone + 0.01 * h), 0.041 * h * g, 0.030 * h * g, "skin" if bare else "bottom"
    )
    if plan.legs == "trousers":
        shin = limb((0, 0, 0), (0, 0, -f.bone + 0.015 * h), 0.043 * h * g, 0.036 * h * g, "bottom")
    if plan.legs == "shorts":
        lower = limb((0, 0, -0.5 * f.bone), (0, 0, -f.bone), 0.044 * h * g, 0.040 * h * g, "skin")
        thigh = merge(limb((0, 0, 0), (0, 0, -0.62 * f.bone), 0.062 * h * g, 0.058 * h * g, "bottom"), lower)
    return {f"thigh_{side}": thigh, f"shin_{side}": shin, f"foot_{side}": _shoe(f)}


def _shoe(f: Frame) -> Shape:
    z, foot, h = f.ankle_z, f.foot, f.height
    rows = [
        (-0.36 * foot, 0.020 * h, 0.40 * z, -0.60 * z),
        (-0.22 * foot, 0.030 * h, 0.52 * z, -0.48 * z),
        (0.18 * foot, 0.031 * h, 0.50 * z, -0.50 * z),
        (0.68 * foot, 0.036 * h, 0.34 * z, -0.66 * z),
        (1.02 * foot, 0.030 * h, 0.27 * z, -0.70 * z),
        (1.16 * foot, 0.016 * h, 0.17 * z, -0.64 * z),
    ]
    return hull(rows, "shoe", sides=10, power=2.6)


def person_figure(plan: PersonPlan, look: Look) -> Figure:
    """One person: draw skin, hair and clothes from the look, then build."""
    generator = look.generator
    hair = draw(generator, plan.hair)
    names = {ink: draw(generator, choices) for ink, choices in plan.colours.items()}
    tone = int(generator.integers(len(SKINS)))
    shades = GREYS if plan.old else HAIRS
    hair_name = draw(generator, tuple(shades)[: 2 if tone >= 3 else len(shades)])
    shapes = shapes_of(plan, look, hair)
    return Figure(
        bones=bones_of(plan, shapes),
        palette=_palette(plan, names, SKINS[tone], shades[hair_name]),
        noun=with_articles(_noun(plan, look).format(**names)),
        shininess=0.1,
        colour_names=names,
    )


def _palette(plan: PersonPlan, names: Mapping[str, str], skin: Colour, hair: Colour) -> dict[str, Colour]:
    """Drawn colours, then fixed ones, then what follows from them: a dress is of one cloth, a suit of one colour."""
    palette: dict[str, Colour] = dict(BASICS) | {"skin": skin, "hair": hair, "beard": hair}
    palette["mouth"] = mixed(skin, BASICS["mouth"], 0.6)
    palette |= {ink: CLOTH[name] for ink, name in names.items()}
    if plan.legs in ("robe", "skirt") and "top" not in names:
        palette["top"] = palette["bottom"]
    palette |= {ink: palette[other] for ink, other in plan.same.items()}
    palette |= dict(plan.fixed)
    palette.setdefault("trim", shade(palette.get("bottom", palette["dark"]), 0.7))
    palette.setdefault("strap", palette["dark"])
    palette.setdefault("hat", shade(palette["bottom"], 0.75))
    return palette


def _noun(plan: PersonPlan, look: Look) -> str:
    """The phrase of this look: what is left off is not mentioned."""
    phrase = plan.phrase if look.wears("coat") or not plan.bare_phrase else plan.bare_phrase
    extras = [words for part, words in plan.extras if look.wears(part)]
    if not extras:
        return phrase
    listed = extras[0] if len(extras) == 1 else f"{', '.join(extras[:-1])} and {extras[-1]}"
    return f"{phrase} with {listed}"


def person_pose(plan: PersonPlan, gait: Gait, drive: Drive) -> Pose:
    """Walk, run or stand: legs by the gait, arms against the legs, the rest breathing and looking about."""
    legs = legs_of(plan)
    steps = take_steps(legs, gait, drive)
    offset = root_offset(legs, gait, drive, steps)
    angles = leg_angles(legs, steps, offset)
    run, move, time = steps.running, steps.moving, drive.time_s
    stride = 2 * np.pi * (steps.cycle[:, 0] - 0.03)
    idle = 1.0 - move
    angles["spine_yaw"] = move * (0.10 + 0.10 * run) * -np.cos(stride)
    angles["spine_roll"] = move * 0.035 * np.sin(stride)
    breath = 0.014 * np.sin(2 * np.pi * 0.28 * time)
    angles["spine_pitch"] = -(plan.stoop_rad + 0.13 * run + 0.02 * np.cos(2 * stride) * move) + breath * idle
    glance = 0.55 * np.sin(0.83 * time) * np.sin(0.31 * time + 0.8)
    angles["neck_yaw"] = idle * glance + move * (0.25 * glance - 0.6 * angles["spine_yaw"])
    angles["neck_pitch"] = -0.75 * angles["spine_pitch"] + 0.06 * np.sin(0.57 * time) * idle
    for side, sign in SIDES:
        angles |= _arm_angles(
            plan.left if side == "l" else plan.right, side, sign * np.cos(stride), run, move, breath
        )
    return Pose(angles_rad=angles, offset_m=offset)


def _arm_angles(
    arm: ArmPose, side: str, wave: Floats, run: Floats, move: Floats, breath: Floats
) -> dict[str, Floats]:
    """Swing an arm back while its own leg goes forward; a held arm keeps its pose."""
    swing = arm.swing * move * (0.42 + 0.28 * run)
    bend = arm.swing * (0.12 * move + 1.05 * run)
    return {
        f"shoulder_{side}": arm.pitch - swing * wave - 0.1 * arm.swing * run + 2.0 * breath,
        f"raise_{side}": arm.roll + 0.05 * arm.swing * run + breath,
        f"elbow_{side}": arm.elbow + bend - 0.3 * swing * wave,
    }
