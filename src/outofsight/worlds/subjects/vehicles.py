"""Vehicles: car, van, bus, tractor and forklift on four wheels, bicycle and scooter on two with a rider."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

import numpy as np

from outofsight.worlds.subjects.colours import BASICS, CLOTH, draw, shade, with_articles
from outofsight.worlds.subjects.figure import LEFT_TURN, ROLLING, Bone, Colour, Figure, Hinge
from outofsight.worlds.subjects.gait import Drive, smoothstep
from outofsight.worlds.subjects.kinds import Look, Pose
from outofsight.worlds.subjects.measures import PersonPlan
from outofsight.worlds.subjects.people import person_figure
from outofsight.worlds.subjects.rider import feet_at, hands_at, rider_bones
from outofsight.worlds.subjects.shapes import (
    Floats,
    Shape,
    box,
    hull,
    limb,
    merge,
    wheel,
)


@dataclass(frozen=True, kw_only=True)
class WheelPlan:
    """A wheel: its hub (x, y, z), radius and half width, metres.

    ``steer_base_m``: the wheel base of a steered wheel, negative behind, 0 where the wheel is not steered.
    """

    name: str
    hub_m: tuple[float, float, float]
    radius_m: float
    half_width_m: float
    hub_share: float = 0.6
    steer_base_m: float = 0.0


@dataclass(frozen=True, kw_only=True)
class RiderPlan:
    """Who rides, where the hips are (x, z in the chassis frame), where hands and feet go (x, z from the hips)."""

    person: PersonPlan
    seat_m: tuple[float, float]
    handle_m: tuple[float, float]
    feet_m: tuple[float, float]
    lean_rad: float = 0.1
    out_rad: float = 0.12


@dataclass(frozen=True, kw_only=True)
class VehiclePlan:
    """A chassis (built in the root frame), wheels, moving parts; ``soft`` is how much the springs give, radians."""

    phrase: str
    chassis: Callable[[], Shape]
    wheels: tuple[WheelPlan, ...]
    colours: Mapping[str, tuple[str, ...]]
    fixed: Mapping[str, Colour] = field(default_factory=dict)
    rider: RiderPlan | None = None
    crank: tuple[float, float, float] | None = None  # hub x, z and pedal radius
    mast: Callable[[], Shape] | None = None
    soft: float = 0.006
    gear: float = 2.6  # wheel turns for a turn of the pedals


def four_wheels(
    front: float,
    back: float,
    half_track: float,
    radius: float,
    half_width: float,
    *,
    rear_steered: bool = False,
) -> tuple[WheelPlan, ...]:
    """Four equal wheels, of which two steer."""
    base = front - back
    steered = (0.0, -base) if rear_steered else (base, 0.0)
    return tuple(
        WheelPlan(
            name=f"{side}{end}",
            hub_m=(x, y, radius),
            radius_m=radius,
            half_width_m=half_width,
            steer_base_m=steer,
        )
        for end, x, steer in (("f", front, steered[0]), ("b", back, steered[1]))
        for side, y in (("l", half_track), ("r", -half_track))
    )


def vehicle_figure(plan: VehiclePlan, look: Look) -> Figure:
    """One vehicle: draw its paint (and its rider), then build."""
    generator = look.generator
    names = {ink: draw(generator, choices) for ink, choices in plan.colours.items()}
    palette: dict[str, Colour] = dict(BASICS) | {ink: CLOTH[name] for ink, name in names.items()}
    palette.setdefault("stripe", shade(palette["paint"], 0.55))
    palette |= dict(plan.fixed)
    chassis = plan.chassis()
    bones = [Bone(name="chassis", origin_m=(0, 0, 0), hinges=(Hinge(name="chassis_pitch"),), shape=chassis)]
    for part in plan.wheels:
        shape = wheel(part.radius_m, part.half_width_m, hub=part.hub_share)
        hinges: tuple[Hinge, ...] = (Hinge(name=f"wheel_{part.name}", axis=ROLLING),)
        if part.steer_base_m:
            hinges = (Hinge(name=f"steer_{part.name}", axis=LEFT_TURN), *hinges)
        bones.append(Bone(name=f"wheel_{part.name}", origin_m=part.hub_m, hinges=hinges, shape=shape))
    if plan.crank is not None:
        x, z, radius = plan.crank
        bones.append(
            Bone(
                name="crank",
                origin_m=(x, 0, z),
                hinges=(Hinge(name="crank", axis=ROLLING),),
                shape=_crank(radius),
            )
        )
    if plan.mast is not None:
        bones.append(
            Bone(
                name="mast",
                parent="chassis",
                origin_m=(0, 0, 0),
                hinges=(Hinge(name="mast"),),
                shape=plan.mast(),
            )
        )
    if plan.rider is not None:
        person = person_figure(plan.rider.person, look)
        shapes = {bone.name: bone.shape for bone in person.bones if bone.shape is not None}
        palette = dict(person.palette) | palette
        names = dict(person.colour_names) | names
        bones += rider_bones(plan.rider.person, shapes, plan.rider.seat_m, "chassis")
    noun = with_articles(plan.phrase.format(**names))
    return Figure(bones=tuple(bones), palette=palette, noun=noun, shininess=0.5, specular=0.25)


def _crank(radius: float) -> Shape:
    arms = []
    for y, sign in ((0.09, 1.0), (-0.09, -1.0)):
        arms.append(limb((0, y, 0), (0, y, sign * radius), 0.012, 0.012, "metal", sides=6))
        arms.append(box((0, y * 1.5, sign * radius), (0.045, 0.04, 0.012), "dark"))
    disc = hull([(-0.01, 0.1, 0.1, 0), (0.01, 0.1, 0.1, 0)], "metal", sides=12)
    turned_disc = Shape(disc.vertices[:, [1, 0, 2]], disc.faces[:, ::-1], disc.inks)
    return merge(
        *arms, Shape(turned_disc.vertices + np.array([0, -0.07, 0]), turned_disc.faces, turned_disc.inks)
    )


def vehicle_pose(plan: VehiclePlan, drive: Drive) -> Pose:
    """Wheels turn by distance over radius and steer in curves, the chassis pitches a little, riders pedal or sit."""
    time, metres = drive.time_s, drive.distance_m
    rolling = smoothstep(drive.speed_m_s / 1.5)
    angles: dict[str, Floats] = {"chassis_pitch": plan.soft * rolling * np.sin(2.1 * metres + 0.3)}
    bend = _curvature(drive)
    for part in plan.wheels:
        angles[f"wheel_{part.name}"] = metres / part.radius_m
        if part.steer_base_m:
            angles[f"steer_{part.name}"] = np.arctan(part.steer_base_m * bend)
    if plan.mast is not None:
        angles["mast"] = 0.05 * np.sin(0.5 * time)
    if plan.rider is not None:
        angles |= _rider_angles(plan, plan.rider, angles, drive)
    return Pose(angles_rad=angles, offset_m=0.0 * time)


def _curvature(drive: Drive) -> Floats:
    """Left turn per metre of way [n], at most one in 2.5 m; a vehicle that stands keeps its wheels straight."""
    if drive.heading_rad is None or len(drive.distance_m) < 2:
        return np.zeros_like(drive.distance_m)
    turn, way = np.gradient(np.unwrap(drive.heading_rad)), np.gradient(drive.distance_m)
    bend = np.divide(turn, way, out=np.zeros_like(turn), where=way > 1e-6)
    return np.clip(bend, -0.4, 0.4)


def _rider_angles(
    plan: VehiclePlan, rider: RiderPlan, so_far: Mapping[str, Floats], drive: Drive
) -> dict[str, Floats]:
    time = drive.time_s
    angles = hands_at(rider.person, rider.lean_rad, rider.handle_m, rider.out_rad, time)
    feet = {side: (rider.feet_m[0] + 0 * time, rider.feet_m[1] + 0 * time) for side in "lr"}
    if plan.crank is not None:
        x, z, radius = plan.crank
        crank = so_far[f"wheel_{plan.wheels[-1].name}"] / plan.gear
        for side, ahead in (("l", 0.0), ("r", np.pi)):
            across, up = x + radius * np.sin(crank + ahead), z + radius * np.cos(crank + ahead)
            feet[side] = (across - rider.seat_m[0] + 0.02, up - rider.seat_m[1] + 0.012)
        angles["crank"] = crank
    return angles | feet_at(rider.person, feet)
