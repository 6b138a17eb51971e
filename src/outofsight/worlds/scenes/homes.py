"""Smaller indoor places: office and living room."""

from math import cos, pi, sin

import numpy as np

from outofsight.worlds.scenes import furniture, pictures, plants
from outofsight.worlds.scenes.draft import Draft
from outofsight.worlds.scenes.ground import GroundMap
from outofsight.worlds.scenes.kinds import SceneKind
from outofsight.worlds.scenes.layout import Colour, toned
from outofsight.worlds.scenes.mesh import box, cylinder, hexahedron, join, lathe, panel, sphere
from outofsight.worlds.scenes.rooms import (
    SIDES,
    RoomLook,
    at_wall,
    build_room,
    hung_picture,
    sun_through,
    tube_lamps,
    wall_yaw,
    window_row,
)


def office(kind: SceneKind, layout_seed: int, light: str) -> Draft:
    """Desk rows along the walls of a wide carpeted floor, windows over the city on two sides."""
    draft = Draft(kind, layout_seed, light, (-9.6, -7.1, 9.6, 7.1), (-5.0, -2.6, 5.0, 2.6))
    rng = draft.rng
    draft.horizon, draft.below = "city", (0.42, 0.43, 0.45)
    sun_side = draft.choose("north", "south")
    second = draft.choose("east", "west")
    accent = draft.pick((0.2, 0.45, 0.55), (0.8, 0.45, 0.2), (0.35, 0.5, 0.3), (0.5, 0.3, 0.45))
    look = RoomLook(
        half_x_m=10,
        half_y_m=7.5,
        height_m=3.1,
        walls=("plaster", draft.pick((0.93, 0.93, 0.91), (0.85, 0.87, 0.88), (0.92, 0.88, 0.8))),
        ceiling=("ceiling tiles", (0.95, 0.95, 0.94)),
        skirting=(0.4, 0.42, 0.45),
        openings={sun_side: window_row(10, 5, 3.2, 0.85, 2.7), second: window_row(7.5, 3, 3.0, 0.85, 2.7)},
    )
    build_room(draft, look)
    sun_through(draft, sun_side)
    draft.lamps_m += [(0.0, 0.0, 2.8), (-5.0, 0.0, 2.6), (5.0, 0.0, 2.6), (0.0, 4.0, 2.6)]
    tube_lamps(draft, [(x, y) for x in (-6, -2, 2, 6) for y in (-4.5, 0, 4.5)], 3.08, 1.4)
    screens = [draft.show(f"screen {k}", pictures.screen(rng)) for k in range(3)]
    top, chair = (
        draft.pick((0.85, 0.83, 0.8), (0.72, 0.58, 0.42), (0.5, 0.48, 0.46)),
        draft.pick((0.15, 0.16, 0.18), accent),
    )
    for y in (-6.0, 6.0):
        for x in np.arange(-7.2, 7.5, 2.4):
            if rng.random() < 0.72:
                _place_desk(draft, x, y, pi if y < 0 else 0.0, screens, top, chair)
    for x in (-8.4, 8.4):
        for y in (-2.6, 0.6, 3.0):
            if rng.random() < 0.55 and draft.is_open(x, y, 1.2):
                _place_desk(draft, x, y, pi / 2 if x < 0 else -pi / 2, screens, top, chair)
    blind = "east" if second == "west" else "west"
    _white_board(draft, look, blind, float(rng.uniform(-4, 4)))
    for _ in range(2):
        x, y = at_wall(look, blind, float(rng.uniform(-6, 6)), 0.3)
        if draft.is_open(x, y, 0.75):
            furniture.book_shelf(draft, x, y, wall_yaw(blind), 1.3, 1.9)
    makers = [
        _meeting_table,
        _printer,
        _partition,
        _partition,
        _water_cooler,
        _plant,
        _plant,
        _plant,
        _lockers,
        _pouf,
        _pouf,
    ]
    for index in rng.permutation(len(makers)):
        spot = draft.find_spot((-8.8, -5.2, 8.8, 5.2), 1.0)
        if spot:
            makers[index](draft, spot[0], spot[1], accent)
    _draw_office_floor(draft, accent)
    return draft


def _draw_office_floor(draft: Draft, accent: Colour) -> None:
    rng = draft.rng
    ground = GroundMap(draft, (-10, -7.5, 10, 7.5), 44)
    carpet = draft.pick((0.42, 0.45, 0.50), (0.50, 0.46, 0.42), (0.36, 0.42, 0.42), (0.56, 0.55, 0.53))
    tiles = ground.checks(carpet, toned(carpet, 0.93), 1.0, 0.08)
    ground.lay(tiles * (1 + ground.grain(0.03))[..., None])
    path = ground.rect(-9.5, -1.0, 9.5, 1.0) if rng.random() < 0.5 else ground.rect(-1.2, -7.3, 1.2, 7.3)
    ground.lay(ground.mottled(accent, 2.0, 0.03, 0.04), 0.8 * path)
    ground.ground_things(0.3)
    ground.spread(None)


def _place_desk(
    draft: Draft, x: float, y: float, yaw: float, screens: list[str], top: Colour, chair: Colour
) -> None:
    if draft.is_open(x, y, 0.85):
        furniture.desk(draft, x, y, yaw, screens[int(draft.rng.integers(len(screens)))], top, chair)


def _white_board(draft: Draft, look: RoomLook, side: str, along: float) -> None:
    x, y = at_wall(look, side, along, 0.03)
    draft.paint(
        "white board",
        box(3.0, 0.04, 1.4).moved(0, 0, 0.9).at(x, y, wall_yaw(side)),
        (0.97, 0.97, 0.98),
        finish="satin",
    )
    rng = draft.rng
    lines = [
        box(rng.uniform(0.3, 0.9), 0.02, 0.03).moved(rng.uniform(-0.9, 0.9), -0.03, rng.uniform(1.1, 2.1))
        for _ in range(8)
    ]
    draft.paint(
        "writing", join(*lines).at(x, y, wall_yaw(side)), draft.pick((0.15, 0.3, 0.7), (0.75, 0.15, 0.15))
    )


def _meeting_table(draft: Draft, x: float, y: float, accent: Colour) -> None:
    if not draft.is_open(x, y, 1.45):
        return
    draft.paint(
        "meeting table",
        join(
            cylinder(0.75, 0.05, 18).moved(0, 0, 0.7), cylinder(0.08, 0.7, 8), cylinder(0.4, 0.04, 12)
        ).moved(x, y),
        (0.8, 0.78, 0.75),
    )
    for angle in np.arange(4) * pi / 2 + draft.rng.uniform(0, 1):
        furniture.chair(draft, x + 1.05 * cos(angle), y + 1.05 * sin(angle), angle - pi / 2, accent)
    draft.block_disc("meeting table", x, y, 0.8, 0.75)


def _printer(draft: Draft, x: float, y: float, accent: Colour) -> None:
    body = join(
        box(0.7, 0.65, 0.85), box(0.66, 0.6, 0.25).moved(0, 0, 0.9), box(0.5, 0.3, 0.03).moved(0, -0.4, 0.6)
    )
    draft.paint("printer", body.at(x, y, draft.rng.uniform(0, 6)), (0.82, 0.83, 0.85))
    draft.block_disc("printer", x, y, 0.62, 1.2)


def _partition(draft: Draft, x: float, y: float, accent: Colour) -> None:
    yaw = float(draft.rng.integers(2)) * pi / 2
    draft.textured("partition", box(1.8, 0.07, 1.35).moved(0, 0, 0.1).at(x, y, yaw), "fabric", accent)
    draft.paint(
        "partition frame",
        join(
            box(1.9, 0.1, 0.05).moved(0, 0, 1.45),
            box(0.06, 0.4, 0.1).moved(-0.8, 0),
            box(0.06, 0.4, 0.1).moved(0.8, 0),
        ).at(x, y, yaw),
        (0.6, 0.61, 0.63),
    )
    draft.block_box("partition", x, y, (1.95, 0.45), yaw, 1.5)


def _water_cooler(draft: Draft, x: float, y: float, accent: Colour) -> None:
    draft.paint("water cooler", box(0.32, 0.34, 0.95).moved(x, y), (0.92, 0.93, 0.94))
    draft.paint(
        "water bottle",
        lathe([(0.05, 0), (0.14, 0.08), (0.14, 0.36), (0.1, 0.4), (0, 0.41)], 12).moved(x, y, 0.95),
        (0.45, 0.7, 0.9),
        finish="gloss",
    )
    draft.block_disc("water cooler", x, y, 0.28, 1.4)


def _plant(draft: Draft, x: float, y: float, accent: Colour) -> None:
    plants.potted_plant(draft, x, y, draft.rng.uniform(1.0, 1.7))


def _lockers(draft: Draft, x: float, y: float, accent: Colour) -> None:
    furniture.cupboard(draft, x, y, float(draft.rng.integers(4)) * pi / 2, (1.6, 0.5, 1.3), accent)


def _pouf(draft: Draft, x: float, y: float, accent: Colour) -> None:
    draft.textured("pouf", cylinder(0.36, 0.42, 14).moved(x, y), "fabric", draft.pick(*furniture.FABRICS))
    draft.block_disc("pouf", x, y, 0.4, 0.45)


def living_room(kind: SceneKind, layout_seed: int, light: str) -> Draft:
    """A loft: sofas round a rug at the walls, shelves, a table, a fireplace, pictures, curtains."""
    draft = Draft(kind, layout_seed, light, (-6.3, -5.0, 6.3, 5.0), (-3.5, -2.02, 3.5, 2.02))
    rng = draft.rng
    draft.horizon, draft.below = draft.choose("city", "trees", "hills"), (0.4, 0.42, 0.36)
    wall = draft.pick(
        (0.93, 0.90, 0.83), (0.74, 0.80, 0.76), (0.84, 0.70, 0.60), (0.70, 0.74, 0.82), (0.90, 0.84, 0.66)
    )
    sun_side = draft.choose(*SIDES)
    look = RoomLook(
        half_x_m=6.7,
        half_y_m=5.4,
        height_m=3.0,
        walls=("plaster", wall) if rng.random() < 0.7 else ("brick", (0.85, 0.6, 0.5)),
        openings={sun_side: window_row(6.7 if sun_side in ("north", "south") else 5.4, 3, 2.2, 0.5, 2.6)},
    )
    build_room(draft, look)
    sun_through(draft, sun_side)
    draft.lamps_m.append((0.0, 0.0, 2.3))  # below the shade, which would else hide the room
    _ceiling_lamp(draft)
    _curtains(draft, look, sun_side)
    others = [side for side in rng.permutation(list(SIDES)) if side != sun_side]
    _sofa_corner(draft, look, str(others[0]))
    _fire_place(draft, look, str(others[1]))
    _shelf_wall(draft, look, str(others[2]))
    _dining(draft)
    for side in others:
        _picture_wall(draft, look, str(side))
    for _ in range(3):
        spot = draft.find_spot((-5.8, -4.5, 5.8, 4.5), 0.62)
        if spot:
            plants.potted_plant(draft, spot[0], spot[1], rng.uniform(0.9, 1.6))
    for _ in range(2):
        spot = draft.find_spot((-5.7, -4.4, 5.7, 4.4), 0.6)
        if spot:
            (furniture.floor_lamp if rng.random() < 0.6 else _toy_chest)(draft, spot[0], spot[1])
    ground = GroundMap(draft, (-6.7, -5.4, 6.7, 5.4), 60)
    ground.lay(
        ground.boards(
            draft.pick((0.66, 0.46, 0.28), (0.78, 0.6, 0.4), (0.45, 0.31, 0.21), (0.72, 0.66, 0.58)),
            0.17,
            1.9,
        )
    )
    _draw_rug(ground, draft)
    ground.ground_things(0.3)
    ground.spread(None)
    return draft


def _picture_wall(draft: Draft, look: RoomLook, side: str) -> None:
    """Two to four framed pictures of different sizes in a loose row above the furniture."""
    rng = draft.rng
    half, _ = look.wall_size(side)
    count = int(rng.integers(2, 5))
    for k in range(count):
        along = ((k + 0.5) / count * 2 - 1) * 0.85 * half + rng.uniform(-0.2, 0.2)
        size = (float(rng.uniform(0.7, 1.35)), float(rng.uniform(0.55, 0.85)))
        place = np.array(at_wall(look, side, along, 0.3))
        if any(
            tall.height_m > 2.5 - size[1] and tall.distance_m(place) < size[0] / 2 for tall in draft.obstacles
        ):
            continue  # the chimney or a high shelf stands there
        image = draft.show(f"painting {len(draft.images)}", pictures.painting(rng))
        hung_picture(draft, side, look, along, size, 2.55 - size[1], image, draft.pick(*furniture.WOODS))


def _draw_rug(ground: GroundMap, draft: Draft) -> None:
    """A bordered carpet in the middle, with diamonds, stripes or rings."""
    rng = draft.rng
    field, border, figure = (
        draft.pick(
            (0.62, 0.2, 0.18), (0.22, 0.32, 0.48), (0.8, 0.72, 0.58), (0.3, 0.42, 0.36), (0.75, 0.5, 0.25)
        )
        for _ in range(3)
    )
    x, y = rng.uniform(2.2, 3.2), rng.uniform(1.5, 2.1)
    cx, cy = rng.uniform(-0.6, 0.6, 2)
    inside = ground.rect(cx - x, cy - y, cx + x, cy + y)
    ground.lay(ground.mottled(border, 1.0, 0.05, 0.05), inside)
    inner = ground.rect(cx - x + 0.3, cy - y + 0.3, cx + x - 0.3, cy + y - 0.3)
    ground.lay(ground.mottled(field, 1.0, 0.05, 0.05), inner)
    kind = int(rng.integers(3))
    if kind == 0:
        shape = (np.abs((ground.x - cx) % 1.2 - 0.6) + np.abs((ground.y - cy) % 1.2 - 0.6)) < 0.35
    elif kind == 1:
        shape = ((ground.x - cx) % 0.7 < 0.25) & (ground.y > -99)
    else:
        shape = (np.hypot(ground.x - cx, ground.y - cy) % 0.6) < 0.25
    ground.lay(ground.mottled(figure, 1.0, 0.05, 0.05), inner * shape)


def _ceiling_lamp(draft: Draft) -> None:
    draft.paint("lamp cord", cylinder(0.012, 0.35, 4).moved(0, 0, 2.65), (0.2, 0.2, 0.2))
    draft.paint(
        "lamp", cylinder(0.38, 0.24, 14, 0.14).moved(0, 0, 2.86 - 0.3), (1.0, 0.92, 0.75), finish="lamp"
    )


def _curtains(draft: Draft, look: RoomLook, side: str) -> None:
    """Folded cloth beside each window."""
    colour = draft.pick(*furniture.FABRICS, (0.9, 0.86, 0.76))
    for hole in look.openings[side]:
        for edge in (-1, 1):
            middle = hole.middle_m + edge * (hole.width_m / 2 + 0.12)
            folds = [
                hexahedron((0.13, 0.1), (0.1, 0.07), 2.75).moved(middle + 0.11 * k, 0, 0.06)
                for k in (-1, 0, 1)
            ]
            x, y = at_wall(look, side, 0, 0.1)
            draft.textured("curtain", join(*folds).at(x, y, wall_yaw(side)), "fabric", colour)


def _sofa_corner(draft: Draft, look: RoomLook, side: str) -> None:
    rng = draft.rng
    along = float(rng.uniform(-1.5, 1.5))
    colour = draft.pick(*furniture.FABRICS)
    x, y = at_wall(look, side, along, 0.62)
    furniture.sofa(draft, x, y, wall_yaw(side), rng.uniform(2.0, 2.6), colour)
    for shift, turn in ((-2.1, 0.7), (2.1, -0.7)):
        x, y = at_wall(look, side, along + shift, 0.95)
        if draft.is_open(x, y, 0.55) and rng.random() < 0.8:
            furniture.sofa(draft, x, y, wall_yaw(side) + turn, 0.95, colour if rng.random() < 0.5 else None)
    x, y = at_wall(look, side, along + float(rng.choice([-3.2, 3.2])), 0.5)
    if draft.is_open(x, y, 0.3):
        furniture.floor_lamp(draft, x, y)


def _fire_place(draft: Draft, look: RoomLook, side: str) -> None:
    """A chimney breast with a fire, or a television board."""
    rng = draft.rng
    along = float(rng.uniform(-1.5, 1.5))
    if rng.random() < 0.5:
        x, y = at_wall(look, side, along, 0.32)
        furniture.television(draft, x, y, wall_yaw(side), draft.show("television", pictures.painting(rng)))
        return
    x, y = at_wall(look, side, along, 0.3)
    turn = wall_yaw(side)
    surface = draft.choose("brick", "stone blocks", "marble")
    pieces = [box(0.5, 0.6, 1.15).moved(k, 0) for k in (-0.75, 0.75)] + [
        box(2.0, 0.6, 0.35).moved(0, 0, 1.15),
        box(1.7, 0.5, 1.7).moved(0, 0.05, 1.5),
    ]
    draft.textured("fireplace", join(*pieces).at(x, y, turn), surface, (0.8, 0.72, 0.66))
    draft.textured(
        "mantel", box(2.3, 0.7, 0.08).moved(0, -0.02, 1.5).at(x, y, turn), "wood", (0.45, 0.3, 0.19)
    )
    draft.paint("hearth", panel(1.0, 1.15).moved(0, 0.1, 0).at(x, y, turn), (0.07, 0.06, 0.06))
    flames = [cylinder(0.12, 0.4, 6, 0.0).moved(k, -0.05, 0.12) for k in (-0.22, 0, 0.22)]
    draft.paint("fire", join(*flames).at(x, y, turn), (1.0, 0.55, 0.12), 0.2, "glow")
    draft.block_box("fireplace", x, y, (2.35, 0.8), turn, 3.2)


def _shelf_wall(draft: Draft, look: RoomLook, side: str) -> None:
    rng = draft.rng
    half, _ = look.wall_size(side)
    along = -half + 1.0 + float(rng.uniform(0, 1))
    while along < half - 1.2:
        x, y = at_wall(look, side, along, 0.24)
        if rng.random() < 0.65:
            furniture.book_shelf(draft, x, y, wall_yaw(side), 1.5, rng.uniform(1.5, 2.1))
        else:
            x, y = at_wall(look, side, along, 0.32)
            furniture.cupboard(
                draft, x, y, wall_yaw(side), (1.5, 0.45, rng.uniform(0.8, 1.1)), draft.pick(*furniture.WOODS)
            )
        along += float(rng.choice([1.6, 1.6, 2.8]))


def _dining(draft: Draft) -> None:
    rng = draft.rng
    spot = draft.find_spot((-4.9, -3.7, 4.9, 3.7), 1.35)
    if not spot:
        return
    yaw = float(rng.integers(2)) * pi / 2
    wood = draft.pick(*furniture.WOODS)
    furniture.table(draft, spot[0], spot[1], yaw, (1.7, 0.9), wood)
    draft.paint(
        "fruit bowl",
        lathe([(0, 0), (0.08, 0), (0.2, 0.1), (0.18, 0.1), (0.06, 0.03)], 12).moved(spot[0], spot[1], 0.75),
        (0.85, 0.85, 0.88),
    )
    fruit = [sphere(0.05, 1).moved(a, b, 0.05) for a, b in ((0.05, 0), (-0.05, 0.03), (0, -0.06))]
    draft.paint(
        "fruit", join(*fruit).moved(spot[0], spot[1], 0.77), draft.pick((0.85, 0.2, 0.15), (0.95, 0.65, 0.15))
    )
    colour = draft.pick(*furniture.WOODS, (0.2, 0.2, 0.22), (0.85, 0.84, 0.8))
    for along, across in ((-0.45, 0.72), (0.45, 0.72), (-0.45, -0.72), (0.45, -0.72)):
        x = spot[0] + along * cos(yaw) - across * sin(yaw)
        y = spot[1] + along * sin(yaw) + across * cos(yaw)
        furniture.chair(draft, x, y, yaw + (0 if across > 0 else pi), colour)


def _toy_chest(draft: Draft, x: float, y: float) -> None:
    draft.paint(
        "toy chest",
        join(box(0.8, 0.45, 0.4), box(0.84, 0.49, 0.06).moved(0, 0, 0.4)).moved(x, y),
        draft.pick((0.8, 0.3, 0.25), (0.25, 0.45, 0.65), (0.9, 0.75, 0.3)),
    )
    draft.paint(
        "ball", sphere(0.14, 2).moved(x + 0.1, y, 0.46), draft.pick((0.9, 0.25, 0.2), (0.25, 0.5, 0.8))
    )
    draft.block_box("toy chest", x, y, (0.9, 0.55), 0, 0.75)
