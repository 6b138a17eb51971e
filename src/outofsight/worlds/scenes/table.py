"""A robot's workbench: the table is the ground, its things are the buildings, the room stands far around."""

from dataclasses import replace
from math import cos, pi, sin

import numpy as np

from outofsight.worlds.scenes import furniture, pictures
from outofsight.worlds.scenes.draft import Draft
from outofsight.worlds.scenes.ground import GroundMap, outline_points
from outofsight.worlds.scenes.kinds import SceneKind
from outofsight.worlds.scenes.layout import Colour
from outofsight.worlds.scenes.mesh import (
    Mesh,
    box,
    cylinder,
    hexahedron,
    join,
    lathe,
    panel,
    prism,
    sphere,
    tube,
    wheel,
)
from outofsight.worlds.scenes.rooms import (
    RoomLook,
    at_wall,
    build_room,
    hung_picture,
    sun_through,
    wall_yaw,
    window_row,
)

TABLE_M = 0.74
HALF_X_M, HALF_Y_M = 0.95, 0.66
BRIGHT: tuple[Colour, ...] = (
    (0.85, 0.17, 0.14),
    (0.13, 0.38, 0.75),
    (0.95, 0.76, 0.12),
    (0.18, 0.58, 0.3),
    (0.93, 0.48, 0.1),
    (0.5, 0.25, 0.6),
)


def table_top(kind: SceneKind, layout_seed: int, light: str) -> Draft:
    """A bench with blocks, tins, tools and an arm at its edges; shelves, screens and a window around."""
    draft = Draft(kind, layout_seed, light, (-0.86, -0.57, 0.86, 0.57), (-0.42, -0.22, 0.42, 0.22))
    rng = draft.rng
    draft.horizon, draft.below = draft.choose("city", "trees"), (0.42, 0.43, 0.42)
    _room(draft)
    edge = [
        (-0.72, 0.44),
        (-0.36, 0.46),
        (0.0, 0.47),
        (0.36, 0.46),
        (0.72, 0.44),
        (0.74, 0.0),
        (0.72, -0.44),
        (0.36, -0.46),
        (0.0, -0.47),
        (-0.36, -0.46),
        (-0.72, -0.44),
        (-0.74, 0.0),
    ]
    arm = int(rng.integers(len(edge)))
    _robot_arm(draft, *edge[arm])
    makers = [
        _blocks,
        _blocks,
        _mug,
        _tins,
        _books,
        _bins,
        _screwdrivers,
        _tool_box,
        _rubik,
        _screen,
        _gears,
        _duck,
        _desk_lamp,
        _pens,
    ]
    order = rng.permutation(len(makers))
    places = [place for k, place in enumerate(edge) if k != arm]
    for index, (x, y) in zip(order, places, strict=False):
        px, py = x + rng.uniform(-0.05, 0.05), y + rng.uniform(-0.03, 0.03)
        if draft.is_open(px, py, 0.12):
            makers[index](draft, px, py, float(np.arctan2(-py, -px)) + pi / 2 + rng.uniform(-0.3, 0.3))
    for _ in range(6):
        spot = draft.find_spot((-0.7, -0.5, 0.7, 0.5), 0.05)
        if spot:
            _loose_block(draft, spot[0], spot[1])
    _draw_table(draft)
    return draft


def _room(draft: Draft) -> None:
    """Everything beyond the table's edge, standing on a floor a table's height below."""
    rng = draft.rng
    first, taken = len(draft.parts), len(draft.obstacles)
    sun_side = draft.choose("north", "south", "east", "west")
    wall = draft.pick((0.90, 0.90, 0.87), (0.72, 0.79, 0.82), (0.87, 0.80, 0.67), (0.64, 0.70, 0.62))
    look = RoomLook(
        half_x_m=3.4,
        half_y_m=2.9,
        height_m=2.8,
        walls=("plaster", wall),
        skirting=None,
        openings={sun_side: window_row(3.4 if sun_side in ("north", "south") else 2.9, 2, 1.9, 0.95, 2.4)},
    )
    build_room(draft, look)
    sun_through(draft, sun_side)
    for side in ("north", "south", "east", "west"):
        if side == sun_side:
            continue
        half, _ = look.wall_size(side)
        for along in (-0.6 * half, 0.1 * half, 0.72 * half):
            what = rng.random()
            x, y = at_wall(look, side, along, 0.25)
            if what < 0.4:
                furniture.book_shelf(draft, x, y, wall_yaw(side), 1.1, rng.uniform(1.6, 2.2))
            elif what < 0.6:
                furniture.cupboard(
                    draft,
                    x,
                    y,
                    wall_yaw(side),
                    (1.1, 0.45, rng.uniform(1.0, 1.9)),
                    draft.pick(*furniture.WOODS, (0.6, 0.62, 0.65)),
                )
            elif what < 0.85:
                name = draft.show(
                    f"poster {len(draft.images)}",
                    pictures.poster(rng) if rng.random() < 0.5 else pictures.painting(rng),
                )
                hung_picture(draft, side, look, along, (0.9, 0.8), 1.1, name, draft.pick(*furniture.WOODS))
            else:
                _tool_wall(draft, x, y, wall_yaw(side))
    legs = furniture.legs(HALF_X_M - 0.06, HALF_Y_M - 0.06, TABLE_M, 0.07)
    draft.paint("table legs", join(*legs), (0.35, 0.36, 0.38))
    floor_colour = draft.pick((0.55, 0.42, 0.3), (0.5, 0.5, 0.5), (0.62, 0.58, 0.52))
    draft.textured("room floor", box(6.8, 5.8, 0.01).moved(0, 0, -0.01), "planks", floor_colour)
    draft.parts[first:] = [
        replace(part, mesh=part.mesh.moved(0, 0, -TABLE_M)) for part in draft.parts[first:]
    ]
    del draft.obstacles[taken:]  # the room's furniture stands beside the table, not on it
    draft.lamps_m.append((0.25, 0.15, 1.75))
    draft.paint(
        "lamp", cylinder(0.3, 0.18, 14, 0.1).moved(0.25, 0.15, 1.82), (1.0, 0.93, 0.78), finish="lamp"
    )


def _tool_wall(draft: Draft, x: float, y: float, yaw: float) -> None:
    """A pegboard with tools."""
    draft.paint("peg board", box(1.1, 0.04, 0.9).moved(0, 0.2, 1.0).at(x, y, yaw), (0.8, 0.72, 0.55))
    tools = [box(0.05, 0.03, 0.4).moved(k, 0.16, 1.2) for k in (-0.4, -0.1, 0.2)] + [
        box(0.18, 0.04, 0.1).moved(-0.1, 0.16, 1.6),
        wheel(0.1, 0.03, 10).moved(0.42, 0.16, 1.5),
    ]
    draft.paint("wall tools", join(*tools).at(x, y, yaw), draft.pick((0.75, 0.2, 0.15), (0.2, 0.25, 0.3)))


def _draw_table(draft: Draft) -> None:
    """The board itself, painted: wood or steel, a cutting mat with a grid, tape marks and stains."""
    rng = draft.rng
    ground = GroundMap(draft, (-HALF_X_M, -HALF_Y_M, HALF_X_M, HALF_Y_M), 480)
    kind = int(rng.integers(3))
    if kind == 0:
        ground.lay(ground.boards(draft.pick((0.76, 0.58, 0.38), (0.62, 0.44, 0.28)), 0.11, 1.4, 0.07))
    elif kind == 1:
        ground.lay(ground.mottled((0.72, 0.74, 0.76), 0.4, 0.04, 0.015))
    else:
        ground.lay(ground.mottled((0.92, 0.91, 0.88), 0.5, 0.03, 0.01))
    mat = draft.pick((0.13, 0.38, 0.30), (0.16, 0.22, 0.36), (0.25, 0.26, 0.28))
    cx, cy = rng.uniform(-0.08, 0.08, 2)
    inside = ground.rect(cx - 0.46, cy - 0.3, cx + 0.46, cy + 0.3)
    ground.lay(ground.mottled(mat, 0.3, 0.03, 0.02), inside)
    lines = np.maximum(
        (np.abs((ground.x - cx) % 0.05 - 0.025) < 0.0012) * 0.5,
        (np.abs((ground.y - cy) % 0.05 - 0.025) < 0.0012) * 0.5,
    )
    bold = np.maximum(
        np.abs((ground.x - cx + 0.1) % 0.2 - 0.1) < 0.0022, np.abs((ground.y - cy + 0.1) % 0.2 - 0.1) < 0.0022
    )
    ground.lay((0.8, 0.85, 0.75), np.maximum(lines, 0.75 * bold) * inside)
    tape = draft.pick(*BRIGHT)
    ground.lay(
        tape,
        ground.strip(
            outline_points(rng, (-0.9, rng.uniform(-0.4, 0.4)), (0.9, rng.uniform(-0.4, 0.4)), 0.1).tolist(),
            0.018,
        ),
    )
    ring = np.abs(np.hypot(ground.x - rng.uniform(-0.6, 0.6), ground.y - rng.uniform(-0.4, 0.4)) - 0.04)
    ground.lay((0.4, 0.28, 0.18), 0.5 * ground.within(ring - 0.003, 0.004))
    ground.ground_things(0.035, 0.5)
    ground.spread(None)
    rim = join(
        *[box(2 * HALF_X_M, 0.03, 0.05).moved(0, s * (HALF_Y_M + 0.015), -0.052) for s in (-1, 1)],
        *[box(0.03, 2 * HALF_Y_M + 0.06, 0.05).moved(s * (HALF_X_M + 0.015), 0, -0.052) for s in (-1, 1)],
    )
    draft.paint("table rim", rim, (0.3, 0.24, 0.2))
    draft.paint("table board", box(2 * HALF_X_M, 2 * HALF_Y_M, 0.04).moved(0, 0, -0.045), (0.4, 0.32, 0.25))


def _robot_arm(draft: Draft, x: float, y: float) -> None:
    """A resting arm at the table's edge: base, two links, a gripper."""
    yaw = float(np.arctan2(-y, -x)) + draft.rng.uniform(-0.5, 0.5)
    lift = draft.rng.uniform(0.02, 0.06)
    joints = np.array([[0, 0, 0.09], [-0.02, 0, 0.30], [0.13, 0, 0.40 + lift], [0.17, 0, 0.33 + lift]])
    main = draft.pick((0.93, 0.93, 0.92), (0.95, 0.55, 0.1), (0.2, 0.22, 0.25))
    links = [tube(joints[k : k + 2], 0.03 - 0.006 * k, 10) for k in range(3)]
    draft.paint(
        "arm",
        join(*links, lathe([(0, 0), (0.075, 0), (0.06, 0.03), (0.045, 0.09), (0, 0.1)], 14)).at(x, y, yaw),
        main,
        finish="satin",
    )
    knobs = [wheel(0.037 - 0.006 * k, 0.075 - 0.01 * k, 12).moved(*joints[k]) for k in range(4)]
    claws = [
        hexahedron((0.015, 0.012), (0.02, 0.016), 0.06).moved(0.17, b, 0.265 + lift) for b in (-0.02, 0.02)
    ]
    draft.paint(
        "arm joints",
        join(*knobs, *claws).at(x, y, yaw),
        draft.pick((0.15, 0.16, 0.18), (0.15, 0.35, 0.7)),
        finish="satin",
    )
    draft.block_disc("robot arm", x, y, 0.09, 0.45)
    draft.block_box("robot gripper", x + 0.15 * cos(yaw), y + 0.15 * sin(yaw), (0.13, 0.1), yaw, 0.45)


def _loose_block(draft: Draft, x: float, y: float) -> None:
    size = draft.rng.uniform(0.025, 0.045)
    yaw = draft.rng.uniform(0, pi)
    kind = int(draft.rng.integers(3))
    shape = (
        box(size, size, size),
        cylinder(size / 2, size, 12),
        prism([[-size / 2, -size / 2], [size / 2, -size / 2], [0, size / 2]], size),
    )[kind]
    draft.paint("block", shape.at(x, y, yaw), draft.pick(*BRIGHT), finish="satin")
    draft.block_disc("block", x, y, 0.75 * size, size)


def _blocks(draft: Draft, x: float, y: float, yaw: float) -> None:
    """A small building of toy blocks: walls, an arch, a roof."""
    size = 0.05
    for level in range(int(draft.rng.integers(2, 5))):
        for k in (-1, 0, 1):
            if draft.rng.random() < 0.8 - 0.15 * level:
                draft.paint(
                    "blocks",
                    box(size, size, size).moved(k * (size + 0.004), 0, level * size).at(x, y, yaw),
                    draft.pick(*BRIGHT),
                    finish="satin",
                )
    roof = prism([[-0.03, 0], [0.03, 0], [0, 0.035]], 0.05).rolled(pi / 2).moved(0.1, 0.025, 0)
    draft.paint("blocks", roof.at(x, y, yaw), draft.pick(*BRIGHT), finish="satin")
    draft.block_box("blocks", x + 0.03 * cos(yaw), y + 0.03 * sin(yaw), (0.23, 0.075), yaw, 0.2)


def _mug(draft: Draft, x: float, y: float, yaw: float) -> None:
    body = lathe(
        [(0, 0), (0.035, 0), (0.04, 0.005), (0.04, 0.095), (0.035, 0.095), (0.035, 0.08), (0, 0.08)], 18
    )
    bend = np.linspace(-1.3, 1.3, 7)
    handle = tube(
        np.stack([0.038 + 0.028 * np.cos(bend), 0 * bend, 0.05 + 0.03 * np.sin(bend)], -1), 0.006, 6
    )
    colour = draft.pick(*BRIGHT, (0.93, 0.92, 0.9))
    draft.paint("mug", join(body, handle).at(x, y, yaw), colour, finish="gloss")
    draft.paint("coffee", cylinder(0.034, 0.002, 14).moved(x, y, 0.08), (0.25, 0.15, 0.09))
    draft.block_disc("mug", x, y, 0.075, 0.1)


def _tins(draft: Draft, x: float, y: float, yaw: float) -> None:
    for dx, dy, z in ((-0.04, 0, 0), (0.04, 0, 0), (0.0, 0.065, 0), (0.0, 0.02, 0.11)):
        tin = cylinder(0.036, 0.108, 16).moved(dx, dy, z).at(x, y, yaw)
        draft.paint("tin", tin, (0.75, 0.76, 0.78), finish="gloss")
        label = cylinder(0.0366, 0.08, 16).moved(dx, dy, z + 0.014).at(x, y, yaw)
        draft.paint("tin label", label, draft.pick(*BRIGHT))
    draft.block_disc("tins", x - 0.025 * sin(yaw), y + 0.025 * cos(yaw), 0.095, 0.22)


def _books(draft: Draft, x: float, y: float, yaw: float) -> None:
    z = 0.0
    for _ in range(int(draft.rng.integers(3, 6))):
        thick = draft.rng.uniform(0.018, 0.035)
        turn = yaw + draft.rng.uniform(-0.25, 0.25)
        draft.paint(
            "book",
            box(0.2, 0.14, thick).at(x, y, turn, z),
            draft.pick(*BRIGHT, (0.3, 0.3, 0.34), (0.85, 0.8, 0.7)),
        )
        draft.paint("pages", box(0.19, 0.142, thick - 0.008).at(x, y, turn, z + 0.004), (0.94, 0.92, 0.85))
        z += thick
    draft.block_box("books", x, y, (0.23, 0.19), yaw, z)


def _bins(draft: Draft, x: float, y: float, yaw: float) -> None:
    """A rack of small-part drawers."""
    draft.paint("drawer rack", box(0.26, 0.1, 0.2).at(x, y, yaw), (0.22, 0.25, 0.3))
    for row in range(4):
        for k in range(4):
            front = box(0.054, 0.012, 0.04).moved(-0.096 + 0.064 * k, -0.052, 0.008 + 0.047 * row)
            draft.paint("drawer", front.at(x, y, yaw), draft.pick(*BRIGHT[:4], (0.85, 0.87, 0.9)))
    draft.block_box("drawers", x, y, (0.27, 0.13), yaw, 0.2)


def _screwdrivers(draft: Draft, x: float, y: float, yaw: float) -> None:
    for k in range(3):
        handle = cylinder(0.012, 0.09, 9).pitched(pi / 2).moved(0, 0.04 * (k - 1), 0.012)
        blade = cylinder(0.004, 0.09, 6).pitched(pi / 2).moved(0.09, 0.04 * (k - 1), 0.012)
        draft.paint("screwdriver", handle.at(x, y, yaw), draft.pick(*BRIGHT), finish="satin")
        draft.paint("screwdriver blade", blade.at(x, y, yaw), (0.7, 0.72, 0.74), finish="gloss")
    draft.block_box("screwdrivers", x + 0.09 * cos(yaw), y + 0.09 * sin(yaw), (0.2, 0.12), yaw, 0.03)


def _tool_box(draft: Draft, x: float, y: float, yaw: float) -> None:
    draft.paint(
        "tool box",
        join(box(0.24, 0.12, 0.09), hexahedron((0.24, 0.12), (0.22, 0.07), 0.04).moved(0, 0, 0.092)).at(
            x, y, yaw
        ),
        draft.pick((0.8, 0.14, 0.12), (0.15, 0.3, 0.6), (0.9, 0.65, 0.1)),
        finish="satin",
    )
    draft.paint(
        "tool box handle",
        join(
            tube([[-0.05, 0, 0.13], [-0.05, 0, 0.16], [0.05, 0, 0.16], [0.05, 0, 0.13]], 0.006, 5),
            box(0.03, 0.005, 0.03).moved(0, -0.062, 0.075),
        ).at(x, y, yaw),
        (0.15, 0.15, 0.16),
    )
    draft.block_box("tool box", x, y, (0.25, 0.13), yaw, 0.17)


def _rubik(draft: Draft, x: float, y: float, yaw: float) -> None:
    """A coloured cube of twenty-seven pieces."""
    draft.paint("cube", box(0.075, 0.075, 0.075).at(x, y, yaw), (0.08, 0.08, 0.08))
    faces: list[Mesh] = []
    for turn in np.arange(4) * pi / 2:
        faces += [
            panel(0.021, 0.021, picture=False).moved(0.025 * a, -0.0378, 0.002 + 0.025 * b).turned(turn)
            for a in (-1, 0, 1)
            for b in (0, 1, 2)
        ]
    faces += [
        box(0.021, 0.021, 0.001).moved(0.025 * a, 0.025 * b, 0.075) for a in (-1, 0, 1) for b in (-1, 0, 1)
    ]
    for face in faces:
        draft.paint("cube face", face.at(x, y, yaw), BRIGHT[int(draft.rng.integers(5))], finish="satin")
    draft.block_box("cube", x, y, (0.085, 0.085), yaw, 0.08)


def _screen(draft: Draft, x: float, y: float, yaw: float) -> None:
    image = draft.show(f"screen {len(draft.images)}", pictures.screen(draft.rng))
    furniture.monitor(draft, x, y, yaw, 0.0, image, 0.42)
    draft.block_box("monitor", x, y, (0.46, 0.18), yaw, 0.4)


def _gears(draft: Draft, x: float, y: float, yaw: float) -> None:
    for dx, dy, radius in ((0, 0, 0.045), (0.075, 0.02, 0.032), (-0.05, 0.055, 0.025)):
        teeth = [box(0.012, 2 * radius + 0.018, 0.015).turned(k * pi / 5) for k in range(5)]
        draft.paint(
            "gear",
            join(cylinder(radius, 0.015, 16), *teeth).moved(dx, dy).at(x, y, yaw),
            draft.pick((0.75, 0.6, 0.25), (0.65, 0.67, 0.7), (0.4, 0.42, 0.45)),
            finish="gloss",
        )
    draft.block_disc("gears", x, y, 0.125, 0.02)


def _duck(draft: Draft, x: float, y: float, yaw: float) -> None:
    """A rubber duck."""
    body = join(
        sphere(0.05, 2).scaled(1.25, 1, 0.8),
        sphere(0.034, 2).moved(0.035, 0, 0.062),
        hexahedron((0.05, 0.03), (0.02, 0.02), 0.03).pitched(-0.8).moved(-0.055, 0, 0.045),
    )
    draft.paint("duck", body.at(x, y, yaw), (0.98, 0.83, 0.15), finish="gloss")
    face = join(
        hexahedron((0.03, 0.03), (0.02, 0.02), 0.012).moved(0.075, 0, 0.086),
        *[sphere(0.006, 1).moved(0.064, b, 0.102) for b in (-0.014, 0.014)],
    )
    draft.paint("beak", face.at(x, y, yaw), (0.93, 0.42, 0.1))
    draft.block_disc("duck", x, y, 0.095, 0.13)


def _desk_lamp(draft: Draft, x: float, y: float, yaw: float) -> None:
    bars = [cylinder(0.06, 0.015, 14), tube([[0, 0, 0.01], [-0.07, 0, 0.22], [0.08, 0, 0.38]], 0.007, 6)]
    draft.paint(
        "desk lamp",
        join(*bars, cylinder(0.055, 0.08, 14, 0.02).moved(0.09, 0, 0.32)).turned(-pi / 2).at(x, y, yaw),
        draft.pick(*BRIGHT, (0.15, 0.15, 0.16)),
        finish="satin",
    )
    draft.paint(
        "bulb",
        sphere(0.025, 1).moved(0.09, 0, 0.285).turned(-pi / 2).at(x, y, yaw),
        (1.0, 0.93, 0.7),
        finish="lamp",
    )
    draft.lamps_m.append((x + 0.09 * sin(yaw), y - 0.09 * cos(yaw), 0.27))
    draft.block_disc("desk lamp", x, y, 0.09, 0.4)
    draft.block_box("lamp head", x + 0.05 * sin(yaw), y - 0.05 * cos(yaw), (0.12, 0.26), yaw, 0.4)


def _pens(draft: Draft, x: float, y: float, yaw: float) -> None:
    draft.paint(
        "pen pot",
        lathe([(0, 0), (0.036, 0), (0.038, 0.1), (0.033, 0.1), (0.033, 0.01)], 14).moved(x, y),
        (0.25, 0.27, 0.3),
    )
    for angle in np.arange(5) * 1.26:
        tip = [x + 0.045 * cos(angle), y + 0.045 * sin(angle), 0.16]
        draft.paint(
            "pen",
            tube([[x + 0.01 * cos(angle), y + 0.01 * sin(angle), 0.01], tip], 0.0045, 6),
            draft.pick(*BRIGHT),
        )
    draft.block_disc("pen pot", x, y, 0.055, 0.16)
