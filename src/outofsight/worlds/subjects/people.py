"""People: one skeleton with 17 hinges, built from a plan of proportions, clothes and carried things.

At rest a person stands with straight legs and hanging arms. Clothes are shapes on bones; a garment that covers a limb
is painted on the limb itself, so that it costs no geom.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field

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
from outofsight.worlds.subjects.figure import LEFT_TURN, RIGHT_LEAN, Bone, Colour, Figure, Hinge
from outofsight.worlds.subjects.gait import Drive, Gait, Leg, leg_angles, root_offset, take_steps
from outofsight.worlds.subjects.kinds import Look, Pose
from outofsight.worlds.subjects.shapes import Floats, Shape, ball, hull, limb, merge, pair, pillar

SIDES = (("l", 1.0), ("r", -1.0))


@dataclass(frozen=True, kw_only=True)
class ArmPose:
    """How an arm is held, radians: ``swing`` is the share of the free swing that is left, ``roll`` outward."""

    pitch: float = 0.0
    roll: float = 0.07
    elbow: float = 0.25
    swing: float = 1.0


@dataclass(frozen=True, kw_only=True)
class PersonPlan:
    """Proportions in units of the height, clothes by part name (see ``outfits``), colour choices by ink.

    ``phrase`` may name inks in braces; they become colour names. ``sleeves``: "long", "short", "none";
    ``legs``: "trousers", "shorts", "skirt" (to the knee), "robe" (to the ankle).
    """

    height_m: float
    phrase: str
    parts: tuple[str, ...]
    colours: Mapping[str, tuple[str, ...]]
    hair: tuple[str, ...] = ("short",)
    sleeves: str = "long"
    legs: str = "trousers"
    leg_share: float = 0.49
    head: float = 1.0
    girth: float = 1.0
    shoulders: float = 1.0
    stoop_rad: float = 0.04
    old: bool = False
    left: ArmPose = field(default_factory=ArmPose)
    right: ArmPose = field(default_factory=ArmPose)
    gait_scale: float = 1.0
    fixed: Mapping[str, Colour] = field(default_factory=dict)


@dataclass(frozen=True, kw_only=True)
class Frame:
    """A person's measures in metres, derived from a plan."""

    height: float
    hip_z: float
    ankle_z: float
    bone: float  # length of the thigh and of the shin
    hip_y: float
    waist_z: float
    shoulder_z: float
    shoulder_y: float
    upper_arm: float
    forearm: float
    neck_z: float
    head_half: float
    girth: float
    foot: float  # from the ankle to the toes, nearly


def frame_of(plan: PersonPlan) -> Frame:
    """Work out the measures: the head keeps its size at the top, the torso fills what is left."""
    h = plan.height_m
    head_half = 0.088 * h * plan.head
    neck_z = h - 2 * head_half - 0.012 * h
    hip_z = plan.leg_share * h
    waist_z = hip_z + 0.045 * h
    return Frame(
        height=h,
        hip_z=hip_z,
        ankle_z=0.047 * h,
        bone=0.5 * (hip_z - 0.047 * h) / 0.985,
        hip_y=0.052 * h * plan.girth,
        waist_z=waist_z,
        shoulder_z=neck_z - 0.035 * h,
        shoulder_y=0.122 * h * plan.shoulders,
        upper_arm=0.165 * h,
        forearm=0.145 * h,
        neck_z=neck_z,
        head_half=head_half,
        girth=plan.girth,
        foot=0.10 * h,
    )


def legs_of(plan: PersonPlan) -> tuple[Leg, ...]:
    """Both legs, half a cycle apart."""
    f = frame_of(plan)
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
        run_stride_m=2.45 * leg,
        walk_lift_m=0.07 * leg,
        run_lift_m=0.30 * leg,
        flight_m=0.09 * leg,
        bob_m=0.035 * leg,
        toe_off_rad=0.75,
        heel_strike_rad=0.32,
    )


def bones_of(plan: PersonPlan, shapes: Mapping[str, Shape]) -> tuple[Bone, ...]:
    """The skeleton, parents first, dressed in a shape for each bone."""
    f = frame_of(plan)
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
            _bone(f"thigh_{side}", "", (0, sign * f.hip_y, f.hip_z), f"hip_{side}", shapes),
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
    f = frame_of(plan)
    jacket = "coat" in plan.parts and look.wears("coat")
    upper = "coat" if jacket else "top"
    shapes = {"hips": _hips(f, plan), "torso": _torso(f, upper), "head": _head(f, hair)}
    for side, sign in SIDES:
        shapes |= _arm(f, plan, side, sign, upper) | _leg(f, plan, side, sign)
    worn = [part for part in plan.parts if look.wears(part)]
    for part in worn:
        for bone, shape in outfits.wear(part, f, plan).items():
            shapes[bone] = merge(shapes[bone], shape)
    return shapes


def _hips(f: Frame, plan: PersonPlan) -> Shape:
    h, g = f.height, f.girth
    rows = [(-0.055 * h, 0.045 * h, 0.06 * h), (-0.02 * h, 0.064 * h * g, 0.098 * h * g)]
    rows += [(0.03 * h, 0.062 * h * g, 0.094 * h * g), (0.065 * h, 0.056 * h * g, 0.083 * h * g)]
    shape = pillar(rows, ("bottom", "bottom", "bottom", "strap", "strap"))
    if plan.legs not in ("skirt", "robe"):
        return shape
    flare = [(0.05 * h, 0.06 * h * g, 0.088 * h * g), (-0.04 * h, 0.082 * h * g, 0.115 * h * g)]
    hem = (-0.15 * h, 0.100 * h * g, 0.135 * h * g)
    return merge(shape, pillar([*flare, hem], "bottom", sides=12))


def _torso(f: Frame, ink: str) -> Shape:
    """From the waist to the shoulders, wider above; the neck stands on it."""
    h, g, top = f.height, f.girth, f.shoulder_z - f.waist_z
    sy = f.shoulder_y
    belly = 1.0 + 1.3 * max(g - 1.0, 0.0)
    rows = [
        (-0.03 * h, 0.057 * h * g, 0.084 * h * g, 0.0),
        (0.20 * top, 0.060 * h * g * belly, 0.084 * h * g, 0.010 * h * (belly - 1) * 3),
        (0.62 * top, 0.068 * h * g, 0.5 * (0.084 * h * g + sy), 0.004 * h),
        (0.92 * top, 0.060 * h, 0.96 * sy, -0.002 * h),
        (1.10 * top, 0.043 * h, 0.66 * sy, -0.006 * h),
        (1.20 * top, 0.030 * h, 0.032 * h, -0.004 * h),
    ]
    neck = limb((0, 0, top), (0.006 * h, 0, f.neck_z - f.waist_z + 0.02 * h), 0.033 * h, 0.031 * h, "skin")
    return merge(pillar(rows, ink, sides=12), neck)


def _head(f: Frame, hair: str) -> Shape:
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
    mouth = ball((0.74 * r, 0, 0.46 * r), (0.07 * r, 0.21 * r, 0.055 * r), "mouth", sides=8, rows=3)
    ear = ball((0.08 * r, 0.71 * r, 0.92 * r), (0.14 * r, 0.09 * r, 0.20 * r), "skin", sides=6, rows=3)
    face = merge(skull, jaw, pair(white), pair(pupil), pair(brow), nose, mouth, pair(ear))
    locks = outfits.hair(hair, r)
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
    hand = ball((0.006 * h, 0, wrist - 0.026 * h), (0.029 * h, 0.020 * h, 0.040 * h), "skin", sides=8)
    thumb = ball(
        (0.028 * h, -sign * 0.012 * h, wrist - 0.016 * h),
        (0.012 * h, 0.010 * h, 0.022 * h),
        "skin",
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
    if plan.legs in ("skirt", "robe"):
        thigh = merge(thigh, _panel(f, sign, 0.0, -1.0, 0.090, 0.108))
    if plan.legs == "robe":
        shin = merge(shin, _panel(f, sign, 0.06, -0.98, 0.100, 0.118))
    return {f"thigh_{side}": thigh, f"shin_{side}": shin, f"foot_{side}": _shoe(f)}


def _panel(f: Frame, sign: float, top: float, hem: float, width_top: float, width_hem: float) -> Shape:
    """Half a skirt on one leg: the two halves overlap in the middle and move with the stride."""
    h, g = f.height, f.girth
    inner = -sign * 0.030 * h
    rows = [
        (z * f.bone, w * h * g * 0.92, w * h * g * 0.86, 0.0, inner)
        for z, w in ((top, width_top), (hem, width_hem))
    ]
    return pillar(rows, ("bottom", "bottom", "trim"), sides=12)


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
    skin = SKINS[tone]
    shades = GREYS if plan.old else HAIRS
    hair_name = draw(generator, tuple(shades)[: 2 if tone >= 3 else len(shades)])
    palette: dict[str, Colour] = dict(BASICS) | {
        "skin": skin,
        "hair": shades[hair_name],
        "beard": shades[hair_name],
    }
    palette["mouth"] = mixed(skin, BASICS["mouth"], 0.45)
    palette |= {ink: CLOTH[name] for ink, name in names.items()}
    if plan.legs in ("robe", "skirt") and "top" not in names:
        palette["top"] = palette["bottom"]  # a robe or dress is of one cloth
    palette |= dict(plan.fixed)
    palette.setdefault("trim", shade(palette.get("bottom", palette["dark"]), 0.7))
    palette.setdefault("strap", palette["dark"])
    palette.setdefault("hat", shade(palette["bottom"], 0.75))
    shapes = shapes_of(plan, look, hair)
    return Figure(
        bones=bones_of(plan, shapes),
        palette=palette,
        noun=with_articles(plan.phrase.format(**names, hair=hair_name)),
        shininess=0.1,
        colour_names=names,
    )


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
