"""A warehouse with high racks."""

from math import pi

import numpy as np

from outofsight.worlds.scenes import furniture, parked, street_things
from outofsight.worlds.scenes.draft import Draft
from outofsight.worlds.scenes.ground import GroundMap
from outofsight.worlds.scenes.kinds import SceneKind
from outofsight.worlds.scenes.mesh import Mesh, box, join, panel, tube
from outofsight.worlds.scenes.rooms import (
    RoomLook,
    at_wall,
    build_room,
    sun_through,
    tube_lamps,
    wall_yaw,
    window_row,
)


def warehouse(kind: SceneKind, layout_seed: int, light: str) -> Draft:
    """A high hall with pallet racks, gates, columns and trusses."""
    draft = Draft(kind, layout_seed, light, (-12.6, -9.6, 12.6, 9.6), (-6.5, -3.2, 6.5, 3.2))
    rng = draft.rng
    draft.horizon, draft.below = "city", (0.5, 0.5, 0.48)
    sun_side = draft.choose("north", "south")
    look = RoomLook(
        half_x_m=13,
        half_y_m=10,
        height_m=7.2,
        walls=("corrugated", draft.pick((0.78, 0.8, 0.8), (0.62, 0.68, 0.74), (0.82, 0.76, 0.62))),
        ceiling=("corrugated", (0.7, 0.72, 0.74)),
        skirting=None,
        openings={sun_side: window_row(13, 6, 3.2, 4.6, 6.3)},
        frame=(0.4, 0.42, 0.44),
    )
    build_room(draft, look)
    sun_through(draft, sun_side)
    draft.lamps_m += [(0.0, 0.0, 6.3), (-8.0, 0.0, 5.6), (8.0, 0.0, 5.6), (0.0, 6.0, 5.6)]
    tube_lamps(draft, [(x, y) for x in (-9, -3, 3, 9) for y in (-6, 0, 6)], 6.5, 2.4)
    trusses = [tube([[x, -10, 6.75], [x, 10, 6.75]], 0.11, 4) for x in (-9, -3, 3, 9)]
    trusses += [tube([[-13, y, 6.95], [13, y, 6.95]], 0.08, 4) for y in (-6, 0, 6)]
    draft.paint("trusses", join(*trusses), (0.35, 0.38, 0.42))
    rack_side = 1 if rng.random() < 0.5 else -1
    for x in (-8.3, 0.2, 8.4):
        furniture.pallet_rack(draft, x, rack_side * 8.7, 0 if rack_side > 0 else pi, 3, 3)
    for k in range(2):
        if rng.random() < 0.85:
            x = (-8.6, 8.6)[k]
            furniture.pallet_rack(draft, x, rack_side * 5.4, 0 if rack_side > 0 else pi, 2, 2)
    gate_wall = "south" if rack_side > 0 else "north"
    _gates(draft, look, gate_wall)
    for side in ("east", "west"):
        for place in (-4.2 + rng.uniform(-1, 1), 1.8 + rng.uniform(-1, 2)):
            x, y = at_wall(look, side, place, 0.9)
            if draft.is_open(x, y, 2.75) and rng.random() < 0.85:
                furniture.pallet_rack(draft, x, y, wall_yaw(side), 2, int(rng.integers(2, 4)))
    lift = draft.find_spot((-10, -7, 10, 7), 2.1)
    if lift:
        parked.fork_lift(draft, lift[0], lift[1], rng.uniform(0, 6))
    for _ in range(7):
        spot = draft.find_spot((-12, -9, 12, 9), 0.95)
        if spot:
            furniture.pallet_stack(draft, spot[0], spot[1], rng.uniform(0, pi))
    for _ in range(3):
        spot = draft.find_spot((-12, -9, 12, 9), 0.8)
        if spot:
            street_things.crate(draft, spot[0], spot[1], rng.uniform(0.7, 1.0), rng.uniform(0, pi))
    _draw_warehouse_floor(draft, rack_side)
    return draft


def _draw_warehouse_floor(draft: Draft, rack_side: int) -> None:
    rng = draft.rng
    ground = GroundMap(draft, (-13, -10, 13, 10), 36)
    ground.lay(
        ground.mottled(
            draft.pick((0.62, 0.62, 0.6), (0.52, 0.54, 0.55), (0.60, 0.57, 0.52)), 2.5, 0.07, 0.025
        )
    )
    seams = ((ground.x % 5.0) < 0.04) | ((ground.y % 5.0) < 0.04)
    ground.lay((0.35, 0.35, 0.35), 0.5 * seams * np.ones_like(ground.image[..., 0]))
    yellow = draft.pick((0.93, 0.76, 0.12), (0.93, 0.93, 0.9))
    for y in (-4.0, 4.0):
        ground.worn(yellow, ground.rect(-12.5, y - 0.06, 12.5, y + 0.06))
    for x in (-10.5, 10.5):
        ground.worn(yellow, ground.rect(x - 0.06, -4, x + 0.06, 4))
    walk = ground.rect(-1.0, -9.8, 1.0, -4) if rack_side > 0 else ground.rect(-1.0, 4, 1.0, 9.8)
    ground.worn((0.25, 0.5, 0.35), walk)
    for _ in range(5):
        track = ground.line_distance(
            [(rng.uniform(-12, 12), rng.uniform(-4, 4)), (rng.uniform(-12, 12), rng.uniform(-4, 4))], 0.8
        )
        ground.lay((0.2, 0.2, 0.2), 0.35 * ground.within(np.abs(track - 0.45) - 0.08, 0.1))
    ground.ground_things(0.4)
    ground.spread(None)


def _gates(draft: Draft, look: RoomLook, wall: str) -> None:
    """Roller gates with striped posts and numbers, and a small door."""
    colour = draft.pick((0.75, 0.77, 0.78), (0.25, 0.4, 0.62), (0.8, 0.5, 0.2))
    for k, along in enumerate((-8.0, 0.0, 8.0)):
        x, y = at_wall(look, wall, along, 0.05)
        leaf = panel(3.8, 4.0, picture=False)
        turned = Mesh(leaf.corners, leaf.normals, leaf.texcoords[..., ::-1].copy())
        draft.textured("gate", turned.at(x, y, wall_yaw(wall)), "corrugated", colour)
        posts = [box(0.22, 0.2, 4.1).moved(a, 0) for a in (-2.05, 2.05)]
        draft.paint("gate posts", join(*posts).at(x, y, wall_yaw(wall)), (0.95, 0.8, 0.1))
        stripes = [
            box(0.23, 0.21, 0.3).moved(a, 0, h) for a in (-2.05, 2.05) for h in (0.4, 1.2, 2.0, 2.8, 3.6)
        ]
        draft.paint("gate stripes", join(*stripes).at(x, y, wall_yaw(wall)), (0.1, 0.1, 0.1))
        sign = [box(0.9, 0.05, 0.7).moved(0, 0, 4.35)]
        draft.paint("gate sign", join(*sign).at(x, y, wall_yaw(wall)), (0.15, 0.3, 0.6))
        marks = [box(0.08, 0.06, 0.45).moved(0.18 * (j - k / 2), -0.01, 4.47) for j in range(k + 1)]
        draft.paint("gate number", join(*marks).at(x, y, wall_yaw(wall)), (0.95, 0.95, 0.95))
    x, y = at_wall(look, wall, 4.0, 0.05)
    draft.paint("door", panel(1.1, 2.1).at(x, y, wall_yaw(wall)), (0.15, 0.5, 0.3))
