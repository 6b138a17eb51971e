"""Public halls: museum and shop."""

from math import pi

import numpy as np

from outofsight.worlds.scenes import furniture, pictures, plants
from outofsight.worlds.scenes.draft import Draft
from outofsight.worlds.scenes.ground import GroundMap
from outofsight.worlds.scenes.kinds import SceneKind
from outofsight.worlds.scenes.layout import Colour
from outofsight.worlds.scenes.mesh import blob, box, cylinder, join, lathe, panel, quad, sphere, tube
from outofsight.worlds.scenes.rooms import (
    RoomLook,
    at_wall,
    build_room,
    hung_picture,
    sun_through,
    tube_lamps,
    wall_yaw,
    window_row,
)


def museum(kind: SceneKind, layout_seed: int, light: str) -> Draft:
    """A hall with paintings, sculptures, a skeleton or an aircraft, columns, benches."""
    draft = Draft(kind, layout_seed, light, (-10.6, -8.1, 10.6, 8.1), (-5.5, -3.0, 5.5, 3.0))
    rng = draft.rng
    draft.horizon, draft.below = "city", (0.5, 0.5, 0.5)
    wall: Colour = draft.pick(
        (0.60, 0.20, 0.18), (0.22, 0.38, 0.40), (0.88, 0.86, 0.82), (0.70, 0.62, 0.48), (0.30, 0.33, 0.48)
    )
    sun_side = draft.choose("east", "west")
    look = RoomLook(
        half_x_m=11,
        half_y_m=8.5,
        height_m=5.4,
        walls=("plaster", wall),
        skirting=(0.32, 0.22, 0.15),
        openings={sun_side: window_row(8.5, 3, 2.0, 2.4, 4.9)},
        frame=(0.9, 0.88, 0.84),
    )
    build_room(draft, look)
    sun_through(draft, sun_side)
    draft.lamps_m += [(0.0, 0.0, 4.7), (-6.0, 4.0, 4.2), (6.0, -4.0, 4.2), (6.0, 4.0, 4.2)]
    _museum_ceiling(draft)
    gold = draft.pick((0.75, 0.57, 0.22), (0.28, 0.19, 0.12), (0.12, 0.12, 0.12))
    for side in ("north", "south", "east", "west"):
        if side != sun_side:
            _hang_row(draft, look, side, gold)
    for x in (-7.2, 7.2):
        for y in (-5.4, 5.4):
            column = lathe(
                [(0.45, 0), (0.45, 0.3), (0.33, 0.4), (0.28, 4.6), (0.42, 4.8), (0.45, 5.1), (0, 5.1)], 14
            )
            draft.textured("column", column.moved(x, y), "marble", (0.93, 0.91, 0.87))
            draft.block_disc("column", x, y, 0.48, 5.1)
    centre = draft.find_spot((-5.5, 4.0, 5.5, 5.6) if rng.random() < 0.5 else (-5.5, -5.6, 5.5, -4.0), 1.5)
    if centre:
        (_skeleton if rng.random() < 0.5 else _rocket)(draft, centre[0], centre[1])
    for k in range(7):
        spot = draft.find_spot((-10, -7.5, 10, 7.5), 0.8)
        if spot:
            furniture.pedestal(
                draft, spot[0], spot[1], ("bust", "vase", "rings", "stone")[(k + int(rng.integers(4))) % 4]
            )
    for _ in range(3):
        spot = draft.find_spot((-9, -7, 9, 7), 1.0)
        if spot:
            draft.paint(
                "bench",
                join(
                    box(1.7, 0.5, 0.1).moved(0, 0, 0.36),
                    box(0.1, 0.45, 0.36).moved(-0.7, 0),
                    box(0.1, 0.45, 0.36).moved(0.7, 0),
                ).moved(*spot[:2]),
                (0.3, 0.2, 0.15),
            )
            draft.block_box("bench", spot[0], spot[1], (1.8, 0.6), 0, 0.5)
    _draw_museum_floor(draft)
    return draft


def _museum_ceiling(draft: Draft) -> None:
    """A cornice and three rows of skylights."""
    cornice = [box(22, 0.3, 0.35).moved(0, s * 8.4, 5.0) for s in (-1, 1)] + [
        box(0.3, 17, 0.35).moved(s * 10.9, 0, 5.0) for s in (-1, 1)
    ]
    draft.paint("cornice", join(*cornice), (0.93, 0.91, 0.86))
    rows = [
        quad([[x + 1.2, -6.5, 5.37], [x - 1.2, -6.5, 5.37], [x - 1.2, 6.5, 5.37], [x + 1.2, 6.5, 5.37]])
        for x in (-6, 0, 6)
    ]
    glow = {"daylight": (0.92, 0.96, 1.0), "evening lamps": (0.35, 0.38, 0.48)}.get(
        draft.light, (1.0, 1.0, 0.96)
    )
    draft.paint("skylights", join(*rows), glow, finish="glow")


def _draw_museum_floor(draft: Draft) -> None:
    ground = GroundMap(draft, (-11, -8.5, 11, 8.5), 40)
    if draft.rng.random() < 0.5:
        pale = draft.pick((0.86, 0.83, 0.77), (0.8, 0.74, 0.66))
        ground.lay(
            ground.checks(pale, draft.pick((0.35, 0.32, 0.3), (0.55, 0.4, 0.34), (0.5, 0.52, 0.5)), 1.0)
        )
    else:
        ground.lay(ground.boards(draft.pick((0.62, 0.42, 0.25), (0.75, 0.57, 0.38)), 0.16, 1.6))
    band = ground.rect(-10.2, -7.7, 10.2, 7.7) - ground.rect(-9.8, -7.3, 9.8, 7.3)
    ground.lay((0.25, 0.18, 0.14), 0.8 * band)
    ground.ground_things(0.35)
    ground.spread(None)


def _hang_row(draft: Draft, look: RoomLook, side: str, gold: Colour) -> None:
    """Paintings along a wall, a rope before some of them."""
    rng = draft.rng
    half, _ = look.wall_size(side)
    along = -half + float(rng.uniform(1.2, 2.0))
    while along < half - 1.2:
        width, height = float(rng.uniform(1.0, 2.4)), float(rng.uniform(1.1, 2.0))
        if along + width > half - 0.8:
            break
        image = draft.show(f"painting {len(draft.images)}", pictures.painting(rng))
        hung_picture(
            draft, side, look, along + width / 2, (width, height), 1.0 + (2.0 - height) / 2, image, gold
        )
        along += width + float(rng.uniform(0.7, 1.5))


def _skeleton(draft: Draft, x: float, y: float) -> None:
    """A dinosaur's bones on a low stage."""
    yaw = 0.0 if draft.rng.random() < 0.5 else pi
    draft.paint("stage", box(5.0, 1.9, 0.25).at(x, y, yaw), (0.3, 0.28, 0.27))
    spine = np.array(
        [
            [-2.3, 0, 1.0],
            [-1.4, 0, 1.25],
            [-0.6, 0, 1.6],
            [0.3, 0, 1.7],
            [0.9, 0, 2.0],
            [1.3, 0, 2.5],
            [1.7, 0, 2.75],
        ]
    )
    bones = [
        tube(spine, 0.07, 6),
        blob(np.random.default_rng(2), (0.36, 0.15, 0.17), 0.08, 1).moved(1.95, 0, 2.75),
        tube([[1.75, 0, 2.62], [2.25, 0, 2.5]], 0.05, 5),
    ]
    for k in np.linspace(-0.5, 0.7, 7):
        loop = np.linspace(-0.2, pi + 0.2, 7)
        bones.append(
            tube(np.stack([0 * loop + k, 0.36 * np.cos(loop), 1.6 - 0.45 * np.sin(loop)], -1), 0.03, 4)
        )
    for a, lean in ((-0.5, 0.25), (0.7, -0.15)):
        bones += [
            tube([[a, b, 1.5], [a + lean, 1.2 * b, 0.85], [a - 0.1, 1.2 * b, 0.3]], 0.06, 5)
            for b in (-0.25, 0.25)
        ]
        bones += [box(0.35, 0.16, 0.08).moved(a, 1.2 * b, 0.25) for b in (-0.25, 0.25)]
    draft.paint("skeleton", join(*bones).at(x, y, yaw), (0.87, 0.81, 0.68), 0.08)
    draft.block_box("skeleton", x, y, (5.1, 2.0), yaw, 3)


def _rocket(draft: Draft, x: float, y: float) -> None:
    """A space capsule and a rocket model on a round stage."""
    draft.paint("stage", cylinder(1.4, 0.25, 20).moved(x, y), (0.3, 0.3, 0.33))
    body = lathe([(0, 0.5), (0.3, 0.5), (0.42, 0.9), (0.42, 3.0), (0.3, 3.6), (0.1, 4.0), (0, 4.1)], 14)
    draft.paint("rocket", body.moved(x, y, 0.2), (0.92, 0.92, 0.9), finish="satin")
    bands = [lathe([(0.425, h), (0.425, h + 0.16)], 14).moved(x, y, 0.2) for h in (1.0, 1.8, 2.7)]
    draft.paint("rocket bands", join(*bands), (0.8, 0.2, 0.15), finish="satin")
    fins = [box(0.5, 0.05, 0.8).moved(0.55, 0, 0.35).turned(k * pi / 2) for k in range(4)]
    draft.paint(
        "fins",
        join(*fins, cylinder(0.25, 0.35, 10, 0.18).moved(0, 0, 0.4)).moved(x, y, 0.1),
        (0.2, 0.22, 0.3),
    )
    draft.block_disc("rocket", x, y, 1.45, 4.3)


def shop(kind: SceneKind, layout_seed: int, light: str) -> Draft:
    """A supermarket: shelf rows, fridges, fruit, checkouts, signs from the ceiling."""
    draft = Draft(kind, layout_seed, light, (-11.6, -8.6, 11.6, 8.6), (-6.0, -2.8, 6.0, 2.8))
    rng = draft.rng
    draft.horizon, draft.below = "city", (0.4, 0.4, 0.4)
    front = draft.choose("east", "west")
    brand = draft.pick((0.8, 0.2, 0.15), (0.15, 0.45, 0.7), (0.2, 0.55, 0.3), (0.9, 0.6, 0.15))
    look = RoomLook(
        half_x_m=12,
        half_y_m=9,
        height_m=3.9,
        walls=("plaster", draft.pick((0.93, 0.92, 0.88), (0.85, 0.88, 0.9), (0.92, 0.87, 0.76))),
        ceiling=("ceiling tiles", (0.95, 0.95, 0.94)),
        skirting=None,
        openings={front: window_row(9, 5, 3.0, 0.5, 3.0)},
        frame=(0.35, 0.37, 0.4),
    )
    build_room(draft, look)
    sun_through(draft, front)
    draft.lamps_m += [(0.0, 0.0, 3.5), (-7.0, 0.0, 3.2), (7.0, 0.0, 3.2), (0.0, 5.0, 3.2)]
    tube_lamps(draft, [(x, y) for x in (-9, -4.5, 0, 4.5, 9) for y in (-6, -2, 2, 6)], 3.86, 2.6)
    bands = [box(24, 0.06, 0.5).moved(0, s * 8.96, 2.9) for s in (-1, 1)] + [
        box(0.06, 18, 0.5).moved((-1 if front == "east" else 1) * 11.96, 0, 2.9)
    ]
    draft.paint("brand band", join(*bands), brand)
    images = [draft.show(f"goods {k}", pictures.goods_rows(rng)) for k in range(4)]
    inner = -1 if front == "east" else 1
    _fill_shop_walls(draft, look, front, images)
    _shelf_rows(draft, inner, images)
    for k in range(3):
        _checkout(draft, -inner * 9.0, -5.2 + 5.2 * k, brand)
    for _ in range(4):
        spot = draft.find_spot((-10, -7.5, 10, 7.5), 1.1)
        if spot:
            (_fruit_stand if rng.random() < 0.7 else _promotion)(draft, spot[0], spot[1], rng.uniform(0, pi))
    for _ in range(2):
        spot = draft.find_spot((-10, -7.5, 10, 7.5), 0.7)
        if spot:
            plants.potted_plant(draft, spot[0], spot[1], 1.3)
    for x in (-6.5, 0, 6.5):
        name = draft.show(f"poster {len(draft.images)}", pictures.poster(rng))
        plate = join(panel(1.5, 0.8).moved(0, -0.02), panel(1.5, 0.8).moved(0, -0.02).turned(pi)).turned(
            rng.choice([0.0, pi / 2])
        )
        draft.decal("hanging sign", plate.moved(x, rng.uniform(-2, 2), 2.75), name)
    _draw_shop_floor(draft, brand)
    return draft


def _fill_shop_walls(draft: Draft, look: RoomLook, front: str, images: list[str]) -> None:
    """Shelves and fridges along the three walls without windows."""
    rng = draft.rng
    for side in ("north", "south"):
        for along in (-7.5, -2.5, 2.5, 7.5):
            x, y = at_wall(look, side, along, 0.35)
            if rng.random() < 0.6:
                furniture.book_shelf(draft, x, y, wall_yaw(side), 4.6, 2.2, images[int(rng.integers(4))])
            else:
                _fridge(draft, x, y, wall_yaw(side), images[int(rng.integers(4))])
    back = "west" if front == "east" else "east"
    x, y = at_wall(look, back, 0, 0.35)
    furniture.book_shelf(draft, x, y, wall_yaw(back), 9.0, 2.2, images[int(rng.integers(4))])


def _shelf_rows(draft: Draft, inner: int, images: list[str]) -> None:
    """Free-standing shelves in up to four rows, those nearest to the middle only where there is room behind."""
    rng = draft.rng
    rows = [y for y in (-5.6, -3.6, 3.6, 5.6) if rng.random() < 0.8]
    for y in rows:
        if abs(y) < 4 and any(abs(y - other) < 2.4 and y != other and y * other > 0 for other in rows):
            continue
        length = float(rng.uniform(5, 9))
        furniture.goods_shelf(draft, inner * rng.uniform(0, 2), y, 0, length, images, rng.uniform(1.6, 2.0))


def _draw_shop_floor(draft: Draft, brand: Colour) -> None:
    ground = GroundMap(draft, (-12, -9, 12, 9), 36)
    light_tile = draft.pick((0.88, 0.87, 0.84), (0.82, 0.84, 0.86))
    ground.lay(
        ground.checks(light_tile, draft.pick((0.80, 0.79, 0.76), (0.6, 0.64, 0.68), (0.85, 0.74, 0.6)), 0.6)
    )
    ground.lay(brand, 0.75 * (ground.rect(-11, -3.0, 11, -2.75) + ground.rect(-11, 2.75, 11, 3.0)))
    ground.ground_things(0.35)
    ground.spread(None)


def _fridge(draft: Draft, x: float, y: float, yaw: float, image: str) -> None:
    draft.paint(
        "fridge",
        join(box(4.6, 0.7, 2.2), box(4.6, 0.8, 0.35)).at(x, y, yaw),
        (0.9, 0.91, 0.92),
        finish="satin",
    )
    draft.decal(
        "fridge goods", panel(4.4, 1.7).moved(0, -0.36, 0.4).at(x, y, yaw), image, "glow", (0.85, 0.95, 1.0)
    )
    bars = [box(0.06, 0.04, 1.75).moved(k, -0.38, 0.38) for k in (-2.2, -1.1, 0, 1.1, 2.2)]
    draft.paint(
        "fridge doors", join(*bars, box(4.6, 0.05, 0.2).moved(0, -0.36, 2.0)).at(x, y, yaw), (0.2, 0.3, 0.4)
    )
    draft.block_box("fridge", x, y, (4.7, 0.95), yaw, 2.2)


def _checkout(draft: Draft, x: float, y: float, brand: Colour) -> None:
    draft.paint(
        "checkout",
        join(box(0.75, 2.4, 0.85), box(0.9, 0.7, 1.05).moved(0, 0.9)).moved(x, y),
        (0.78, 0.79, 0.8),
    )
    draft.paint("belt", box(0.5, 1.6, 0.02).moved(x, y - 0.3, 0.85), (0.12, 0.12, 0.13))
    draft.paint(
        "till",
        join(box(0.35, 0.3, 0.35).moved(0, 0.9, 1.05), box(0.08, 0.08, 2.3).moved(0.3, 1.1)).moved(x, y),
        (0.2, 0.2, 0.22),
    )
    draft.paint("checkout lamp", box(0.3, 0.3, 0.3).moved(x + 0.3, y + 1.1, 2.3), brand, finish="glow")
    draft.block_box("checkout", x, y + 0.1, (0.95, 2.7), 0, 2.6)


def _fruit_stand(draft: Draft, x: float, y: float, yaw: float) -> None:
    rng = draft.rng
    draft.textured("fruit stand", box(1.8, 1.0, 0.7).at(x, y, yaw), "planks", (0.62, 0.45, 0.28))
    for k, colour in enumerate(
        rng.permutation(
            [[0.85, 0.15, 0.12], [0.95, 0.6, 0.1], [0.55, 0.7, 0.2], [0.95, 0.85, 0.25], [0.45, 0.2, 0.4]]
        )[:3]
    ):
        heap = [
            sphere(0.08, 0).moved(0.6 * (k - 1) + a, b, 0.68 + 0.07 * (a * b == 0))
            for a in (-0.2, 0, 0.2)
            for b in (-0.35, -0.12, 0.12, 0.35)
        ]
        draft.paint(
            "fruit",
            join(*heap).at(x, y, yaw),
            (float(colour[0]), float(colour[1]), float(colour[2])),
            0.12,
            "satin",
        )
    draft.block_box("fruit stand", x, y, (1.9, 1.1), yaw, 0.9)


def _promotion(draft: Draft, x: float, y: float, yaw: float) -> None:
    """A pyramid of cartons or tins."""
    colour = draft.pick((0.85, 0.2, 0.2), (0.2, 0.4, 0.75), (0.95, 0.75, 0.2))
    tins = [
        cylinder(0.11, 0.26, 9).moved(0.24 * (a - (3 - row) / 2), 0.24 * (b - (3 - row) / 2), 0.26 * row)
        for row in range(4)
        for a in range(4 - row)
        for b in range(4 - row)
    ]
    draft.paint("tins", join(*tins).at(x, y, yaw), colour, 0.1, "satin")
    draft.block_box("promotion", x, y, (1.1, 1.1), yaw, 1.1)
