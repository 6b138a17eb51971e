"""Four-legged animals: a body, neck, head, tail and four legs of three bones, built from a plan of measures.

Legs hang on the root, not on the body, so that the body may roll and pitch without moving a planted foot.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np

from outofsight.worlds.subjects import heads
from outofsight.worlds.subjects.colours import BASICS, draw, varied, with_articles
from outofsight.worlds.subjects.figure import LEFT_TURN, RIGHT_LEAN, Bone, Colour, Figure, Hinge, hip_hinges
from outofsight.worlds.subjects.gait import Drive, Gait, Leg, Steps, leg_angles, root_offset, take_steps
from outofsight.worlds.subjects.kinds import Look, Pose
from outofsight.worlds.subjects.shapes import (
    Floats,
    Shape,
    ball,
    hull,
    ink_index,
    limb,
    merge,
    rounded,
    strand,
    translated,
    turned,
)

WALK = {"lh": 0.0, "lf": 0.75, "rh": 0.5, "rf": 0.25}
"""Lateral-sequence walk: each hind foot is followed a quarter of a cycle later by the fore foot of its side."""
RUNS: Mapping[str, Mapping[str, float]] = {
    "walk": WALK,  # elephants and tortoises never leave it
    "trot": {"lh": 0.0, "lf": 0.5, "rh": 0.5, "rf": 0.0},
    "pace": {"lh": 0.0, "lf": 0.0, "rh": 0.5, "rf": 0.5},
    "gallop": {"lh": 0.0, "lf": 0.55, "rh": 0.88, "rf": 0.43},
}


@dataclass(frozen=True, kw_only=True)
class LegPlan:
    """A pair of legs: where they hang (x, y, z), thickness at body, knee and ankle, and the foot.

    ``ankle_m``: the ankle (x, z) from the toe; ``straight``: the share of its length the standing leg uses.
    """

    hip_m: tuple[float, float, float]
    radii_m: tuple[float, float, float]
    ankle_m: tuple[float, float]
    straight: float = 0.955
    upper_share: float = 0.5
    toe_x_m: float = 0.0
    hoof_m: tuple[float, float] = (0.05, 0.05)  # half length and height
    sock: str = "fur"
    thigh: str = "fur"


@dataclass(frozen=True, kw_only=True)
class AnimalPlan:
    """Measures in metres, root frame. ``trunk``: hull sections (x, half_y, half_z, z). ``coats``: named palettes."""

    noun: str
    trunk: tuple[tuple[float, float, float, float], ...]
    fore: LegPlan
    hind: LegPlan
    neck_from: tuple[float, float]
    neck_to: tuple[float, float]
    neck_radii: tuple[float, float]
    head: heads.HeadPlan
    tail: tuple[tuple[float, float], ...]
    tail_radii: tuple[float, ...]
    coats: Mapping[str, Mapping[str, Colour]]
    run: str = "trot"
    hump: tuple[tuple[float, float, float, float], ...] = ()  # balls (x, z, half_xy, half_z) on the back
    pattern: str = ""
    patches: float = 0.0
    mane: str = ""
    grazes: bool = False
    wag_hz: float = 0.5
    wag_rad: float = 0.3
    specular: float = 0.06
    tail_ink: str = "fur"
    extra: Mapping[str, float] = field(default_factory=dict)


def legs_of(plan: AnimalPlan) -> tuple[Leg, ...]:
    """The four legs in the order left hind, left fore, right hind, right fore."""
    return tuple(_leg(plan, name) for name in WALK)


def _leg(plan: AnimalPlan, name: str) -> Leg:
    part = plan.hind if name[1] == "h" else plan.fore
    x, y, z = part.hip_m
    length = (z - part.ankle_m[1]) / part.straight
    return Leg(
        name=name,
        hip_m=(x, y if name[0] == "l" else -y, z),
        upper_m=part.upper_share * length,
        lower_m=(1 - part.upper_share) * length,
        ankle_m=part.ankle_m,
        ball_x_m=part.toe_x_m - part.ankle_m[0],
        walk_phase=WALK[name],
        run_phase=RUNS[plan.run][name],
        knee_forward=name[1] == "h",
    )


def gait_of(plan: AnimalPlan, walk_m_s: float, run_m_s: float) -> Gait:
    """A gait that fits the legs; a gallop is longer and rises once a cycle, a walker keeps both feet of a pair down."""
    leg = plan.hind.hip_m[2]
    gallops, walks = plan.run == "gallop", plan.run == "walk"
    return Gait(
        walk_m_s=walk_m_s,
        run_m_s=run_m_s,
        walk_stride_m=plan.extra.get("walk_stride", 1.12) * leg,
        run_stride_m=plan.extra.get("run_stride", 2.3 if gallops else 1.5 if walks else 2.0) * leg,
        walk_duty=0.66,
        run_duty=0.56 if walks else 0.32 if gallops else 0.42,
        walk_lift_m=0.10 * leg,
        run_lift_m=(0.24 if gallops else 0.16) * leg,
        flight_m=(0.0 if walks else 0.06 if gallops else 0.04) * leg,
        bob_m=0.012 * leg,
        bounces=1 if gallops else 2,
        toe_off_rad=plan.extra.get("toe_off", 0.5),
        heel_strike_rad=0.0,
    )


def bones_of(plan: AnimalPlan, shapes: Mapping[str, Shape]) -> tuple[Bone, ...]:
    """The skeleton, parents first."""
    middle = plan.trunk[len(plan.trunk) // 2][3]
    body = (Hinge(name="body_roll", axis=RIGHT_LEAN), Hinge(name="body_pitch"))
    neck = (Hinge(name="neck_yaw", axis=LEFT_TURN), Hinge(name="neck_pitch"))
    head = (Hinge(name="head_yaw", axis=LEFT_TURN), Hinge(name="head_pitch"))
    tail = (Hinge(name="tail_yaw", axis=LEFT_TURN), Hinge(name="tail_pitch"))
    (nx, nz), (hx, hz), (tx, tz) = plan.neck_from, plan.neck_to, plan.tail[0]
    bones = [
        Bone(name="body", origin_m=(0, 0, middle), hinges=body, shape=shapes["body"]),
        Bone(name="neck", parent="body", origin_m=(nx, 0, nz - middle), hinges=neck, shape=shapes["neck"]),
        Bone(name="head", parent="neck", origin_m=(hx - nx, 0, hz - nz), hinges=head, shape=shapes["head"]),
        Bone(name="tail", parent="body", origin_m=(tx, 0, tz - middle), hinges=tail, shape=shapes["tail"]),
    ]
    if "snout" in shapes:
        reach = plan.head.trunk_from
        bones.append(
            Bone(
                name="snout",
                parent="head",
                origin_m=(reach[0], 0, reach[1]),
                hinges=(Hinge(name="snout_pitch"),),
                shape=shapes["snout"],
            )
        )
    for leg in legs_of(plan):
        bones += [
            Bone(
                name=f"thigh_{leg.name}",
                origin_m=leg.hip_m,
                hinges=hip_hinges(leg.name),
                shape=shapes[f"thigh_{leg.name}"],
            ),
            _below(leg.name, "shin", "thigh", "knee", leg.upper_m, shapes),
            _below(leg.name, "foot", "shin", "ankle", leg.lower_m, shapes),
        ]
    return tuple(bones)


def _below(leg: str, name: str, parent: str, hinge: str, length: float, shapes: Mapping[str, Shape]) -> Bone:
    return Bone(
        name=f"{name}_{leg}",
        parent=f"{parent}_{leg}",
        origin_m=(0, 0, -length),
        hinges=(Hinge(name=f"{hinge}_{leg}"),),
        shape=shapes[f"{name}_{leg}"],
    )


def shapes_of(plan: AnimalPlan, generator: np.random.Generator) -> dict[str, Shape]:
    """The shape of every bone, coat patterns painted on."""
    middle = plan.trunk[len(plan.trunk) // 2][3]
    rows = rounded([(x, y, h, z - middle) for x, y, h, z in plan.trunk], 16)
    trunk = hull(rows, "fur", sides=16)
    humps = [
        ball((x, 0, z - middle), (half * 0.9, half * 0.75, tall), "fur") for x, z, half, tall in plan.hump
    ]
    trunk = _pattern(merge(trunk, *humps), plan, generator)
    if plan.pattern == "plates":
        trunk = merge(trunk, *_plates(rows))
    shapes = {"body": trunk, "neck": _neck(plan), "tail": _tail(plan)} | heads.head_shapes(plan.head)
    for leg in legs_of(plan):
        shapes |= _leg_shapes(plan.hind if leg.name[1] == "h" else plan.fore, leg)
    return shapes


def _pattern(trunk: Shape, plan: AnimalPlan, generator: np.random.Generator) -> Shape:
    """Pale belly, and on some coats patches, spots or a shell's plates, drawn from the look."""
    middles = trunk.vertices[trunk.faces].mean(axis=1)
    low, high = trunk.vertices[:, 2].min(), trunk.vertices[:, 2].max()
    inks = np.where(middles[:, 2] < low + 0.24 * (high - low), ink_index("belly"), trunk.inks)
    if plan.pattern == "patches":
        seeds = middles[generator.integers(0, len(middles), 5)]
        near = np.linalg.norm(middles[:, None] - seeds[None], axis=2).min(axis=1)
        inks = np.where(near < plan.patches, ink_index("mark"), inks)
    if plan.pattern == "spots":
        lit = (generator.random(len(middles)) < plan.patches) & (middles[:, 2] > 0.1 * high)
        inks = np.where(lit, ink_index("mark"), inks)
    return Shape(trunk.vertices, trunk.faces, inks.astype(np.int32))


def _plates(rows: Floats) -> list[Shape]:
    """Scutes of a tortoise's shell, flat on its sections (x, half_y, half_z, z): five along the back, four a side."""
    length = rows[-1, 0]
    plates = []
    for angle, places in ((0.0, 5), (1.0, 4), (-1.0, 4)):
        for place in np.linspace(-0.16 * places, 0.16 * places, places):
            half_y, half_z, z = (
                np.interp(place * length, rows[:, 0], rows[:, column]) for column in (1, 2, 3)
            )
            plate = ball((0, 0, 0), (0.20 * length, 0.19 * length, 0.035 * length), "mark", sides=6, rows=3)
            plate = turned(turned(plate, "y", 0.95 * place), "x", -1.05 * angle)
            plates.append(
                translated(
                    plate, place * length, 0.96 * half_y * np.sin(angle), z + 0.98 * half_z * np.cos(angle)
                )
            )
    return plates


def _neck(plan: AnimalPlan) -> Shape:
    start, end = np.array(plan.neck_from), np.array(plan.neck_to)
    span, (wide, thin) = end - start, plan.neck_radii
    points = [(t * span[0], 0.0, t * span[1]) for t in (-0.12, 0.25, 0.65, 1.0)]
    sizes = [wide, wide + 0.25 * (thin - wide), wide + 0.75 * (thin - wide), thin]
    neck = strand(points, sizes, "fur", sides=10)
    if not plan.mane:
        return neck
    length = float(np.linalg.norm(span))
    across = np.array([-span[1], span[0]]) / length
    tufts = []
    for t in np.linspace(0.1, 1.05, 6):
        x, z = t * span + across * (0.85 * (wide + t * (thin - wide)))
        tufts.append(ball((x, 0, z), (0.10 * length, 0.34 * thin, 0.5 * thin), plan.mane, sides=6, rows=3))
    return merge(neck, *tufts)


def _tail(plan: AnimalPlan) -> Shape:
    x0, z0 = plan.tail[0]
    points = [(x - x0, 0.0, z - z0) for x, z in plan.tail]
    inks = ["fur"] * (len(points) + 1)
    inks[-2:] = [plan.tail_ink] * 2
    return strand(points, plan.tail_radii, inks)


def _leg_shapes(part: LegPlan, leg: Leg) -> dict[str, Shape]:
    top, knee, ankle = part.radii_m
    toe = (-leg.ankle_m[0], 0.0, -leg.ankle_m[1])
    half, tall = part.hoof_m
    end = min(max(0.8 * toe[2], toe[2] + ankle), -0.01)  # its round end stays over the ground
    cannon = limb((0, 0, 0), (0.9 * toe[0], 0, end), ankle, 0.9 * ankle, part.sock)
    rows = [
        (-0.9 * half, 0.62 * half, 0.36 * tall),
        (-0.3 * half, 0.9 * half, 0.5 * tall),
        (0.5 * half, 0.85 * half, 0.42 * tall),
        (1.05 * half, 0.5 * half, 0.25 * tall),
    ]
    hoof = hull([(toe[0] - 0.6 * half + x, y, z, toe[2] + z) for x, y, z in rows], "hoof", sides=8)
    return {
        f"thigh_{leg.name}": limb((0, 0, 0.1 * top), (0, 0, -leg.upper_m), top, knee, part.thigh, sides=10),
        f"shin_{leg.name}": limb((0, 0, 0), (0, 0, -leg.lower_m), knee, ankle, part.sock),
        f"foot_{leg.name}": merge(cannon, hoof),
    }


def animal_figure(plan: AnimalPlan, look: Look) -> Figure:
    """One animal: draw a coat and its shade, then build."""
    generator = look.generator
    coat = draw(generator, tuple(plan.coats))
    colours = {ink: varied(generator, colour, 0.06) for ink, colour in plan.coats[coat].items()}
    palette = dict(BASICS) | colours
    palette.setdefault("belly", palette["fur"])
    palette.setdefault("mark", palette["fur"])
    palette.setdefault("hair", palette["mark"])
    shapes = shapes_of(plan, generator)
    noun = with_articles(plan.noun.format(coat=coat))
    return Figure(
        bones=bones_of(plan, shapes), palette=palette, noun=noun, shininess=0.1, specular=plan.specular
    )


def animal_pose(plan: AnimalPlan, gait: Gait, drive: Drive) -> Pose:
    """Legs by the gait; the body rocks at a gallop and rolls at a walk; the head nods or grazes; the tail swings."""
    legs = legs_of(plan)
    steps = take_steps(legs, gait, drive)
    offset = root_offset(legs, gait, drive, steps)
    angles = leg_angles(legs, steps, offset)
    angles |= _body_angles(plan, steps, drive.time_s)
    return Pose(angles_rad=angles, offset_m=offset)


def _body_angles(plan: AnimalPlan, steps: Steps, time: Floats) -> dict[str, Floats]:
    run, move = steps.running, steps.moving
    turn, idle = 2 * np.pi * steps.cycle[:, 0], 1.0 - steps.moving
    rock = (0.085 if plan.run == "gallop" else 0.0) * run * np.sin(turn - 0.6)
    nod = move * (0.055 * (1 - run) + 0.03 * run) * np.sin(2 * turn + 0.7)
    bow = 0.5 + 0.5 * np.tanh(3.0 * np.sin(0.45 * time + 0.9))
    graze = -plan.extra.get("graze", 1.0) * bow * idle if plan.grazes else np.zeros_like(time)
    glance = np.sin(0.9 * time) * np.sin(0.37 * time + 0.5)
    wag = np.sin(2 * np.pi * plan.wag_hz * time)
    angles = {
        "body_roll": move * 0.03 * np.sin(turn),
        "body_pitch": rock + 0.006 * np.sin(2 * np.pi * 0.3 * time) * idle,
        "neck_yaw": 0.35 * glance * (0.25 + 0.75 * idle),
        "neck_pitch": graze + nod - 0.8 * rock - plan.extra.get("stretch", 0.25) * run,
        "head_yaw": 0.30 * glance * (0.2 + 0.8 * idle),
        "head_pitch": -0.45 * graze - 0.7 * nod + 0.5 * plan.extra.get("stretch", 0.25) * run,
        "tail_yaw": plan.wag_rad * wag * (0.5 + 0.5 * idle),
        "tail_pitch": plan.extra.get("tail_lift", -0.6) * run + 0.05 * wag,
    }
    if plan.head.kind == "elephant":
        angles["snout_pitch"] = 0.22 * np.sin(0.8 * time) + 0.10 * np.sin(turn) * move
    return angles
