"""Houses: walls with windows, doors and shop fronts, roofs of several kinds, and blocks along a line."""

from dataclasses import dataclass
from math import cos, pi, sin

import numpy as np

from outofsight.worlds.scenes.draft import Draft
from outofsight.worlds.scenes.layout import Colour
from outofsight.worlds.scenes.mesh import Mesh, box, cylinder, gable_roof, hexahedron, join, panel, quad
from outofsight.worlds.scenes.noise import Field, blend

WALLS: tuple[tuple[str, Colour], ...] = (
    ("brick", (0.72, 0.42, 0.33)),
    ("brick", (0.60, 0.38, 0.32)),
    ("brick", (0.83, 0.70, 0.50)),
    ("plaster", (0.93, 0.83, 0.62)),
    ("plaster", (0.86, 0.62, 0.50)),
    ("plaster", (0.72, 0.79, 0.82)),
    ("plaster", (0.93, 0.91, 0.86)),
    ("stone blocks", (0.78, 0.74, 0.66)),
    ("concrete", (0.75, 0.74, 0.72)),
)
ROOFS: tuple[Colour, ...] = ((0.62, 0.30, 0.22), (0.45, 0.25, 0.21), (0.34, 0.35, 0.38))
_WINDOW_PX = 48
_VIEW_REACH_M = 18.0
_GLASS: Colour = (0.30, 0.40, 0.50)


@dataclass(frozen=True, kw_only=True)
class HouseLook:
    """Size and dress of one house. ``shop`` gives the ground floor a shop front, ``pitched`` a ridged roof."""

    width_m: float
    depth_m: float
    floors: int
    wall: tuple[str, Colour]
    floor_m: float = 3.1
    shop: bool = False
    pitched: bool = False
    roof: Colour = (0.5, 0.3, 0.25)
    frame: Colour = (0.95, 0.95, 0.93)
    window_m: tuple[float, float] = (1.15, 1.6)

    @property
    def wall_m(self) -> float:
        return self.floors * self.floor_m + (0.6 if self.shop else 0.2)


def _window_image(frame: Colour, glass: Colour, lit: bool) -> Field:
    """A window with frame and cross bars; the pane shows a bright sky above, or lamplight and curtains."""
    place = (np.arange(_WINDOW_PX, dtype=np.float32) + 0.5) / _WINDOW_PX
    x, y = np.meshgrid(place, place)
    pane = np.broadcast_to(
        np.asarray((1.0, 0.86, 0.55) if lit else glass, np.float32), (_WINDOW_PX, _WINDOW_PX, 3)
    )
    if lit:
        pane = blend(pane, (0.95, 0.62, 0.35), (np.abs(x - 0.5) > 0.3).astype(np.float32) * 0.7)
    else:
        pane = blend(pane, (0.66, 0.76, 0.85), np.clip(1.1 - 1.9 * y - 0.3 * x, 0, 1))
    bars = np.minimum.reduce([x, 1 - x, y, 1 - y]) < 0.09
    bars |= (np.abs(x - 0.5) < 0.045) | (np.abs(y - 0.36) < 0.035)
    return blend(pane, frame, bars.astype(np.float32))


def _shop_image(draft: Draft, lit: bool) -> Field:
    """A shop front: sign above, goods behind glass, a door at the side."""
    rng = np.random.default_rng([draft.layout_seed, len(draft.images)])
    size = 96
    place = (np.arange(size, dtype=np.float32) + 0.5) / size
    x, y = np.meshgrid(place, place)
    sign = rng.uniform(0.15, 0.75, 3)
    inside = (1.0, 0.85, 0.58) if lit else (0.36, 0.40, 0.43)
    image = np.broadcast_to(np.asarray(inside, np.float32), (size, size, 3)).copy()
    for _ in range(12):
        cx, width, height = rng.uniform(0.05, 0.7), rng.uniform(0.03, 0.09), rng.uniform(0.08, 0.25)
        good = (np.abs(x - cx) < width / 2) & (y > 0.85 - height) & (y < 0.86)
        image = blend(image, tuple(rng.uniform(0.2, 0.95, 3)), good.astype(np.float32))
    image = blend(image, (0.25, 0.2, 0.18), ((x > 0.78) & (x < 0.96) & (y > 0.3)).astype(np.float32))
    image = blend(image, inside, ((x > 0.8) & (x < 0.94) & (y > 0.36) & (y < 0.75)).astype(np.float32))
    image = blend(image, tuple(sign), ((y < 0.24) | (y > 0.9)).astype(np.float32))
    letters = (np.abs(y - 0.12) < 0.05) & (np.abs(x - 0.5) < 0.33) & (np.sin(x * 90 + 9 * sign[0]) > -0.3)
    return blend(image, (0.97, 0.95, 0.88), letters.astype(np.float32))


def window_images(draft: Draft, frame: Colour = (0.95, 0.95, 0.93)) -> tuple[str, str]:
    """Names of the layout's dark and lit window images with this frame colour, drawn once."""
    tag = "-".join(f"{round(100 * c)}" for c in frame)
    for lit in (False, True):
        name = f"window {'lit' if lit else 'dark'} {tag}"
        if name not in draft.images:
            draft.show(name, _window_image(frame, _GLASS, lit))
    return f"window dark {tag}", f"window lit {tag}"


def add_windows(draft: Draft, panes: list[Mesh], frame: Colour, lit_share: float = 0.4) -> None:
    """Hang window images on panes; some are lit in the evening."""
    dark, lit = window_images(draft, frame)
    glow = draft.rng.random(len(panes)) < lit_share
    lit_panes = [pane for pane, on in zip(panes, glow, strict=True) if on and draft.windows_lit]
    dark_panes = [pane for pane, on in zip(panes, glow, strict=True) if not (on and draft.windows_lit)]
    if dark_panes:
        draft.decal("windows", join(*dark_panes), dark, "gloss")
    if lit_panes:
        draft.decal("lit windows", join(*lit_panes), lit, "glow")


def _front_panes(look: HouseLook, rng: np.random.Generator) -> tuple[list[Mesh], list[Mesh]]:
    """Windows of the front (y = −depth/2, looking to −y) and of the back and sides."""
    width, height = look.window_m
    lift = 0.5 * (look.floor_m - height) + 0.1
    sides = []
    for turn, span, out in (
        (0.0, look.width_m, look.depth_m / 2),
        (pi / 2, look.depth_m, look.width_m / 2),
        (pi, look.width_m, look.depth_m / 2),
        (-pi / 2, look.depth_m, look.width_m / 2),
    ):
        count = max(1, int(span / (width + rng.uniform(0.8, 1.3))))
        panes = []
        for level in range(1 if look.shop and turn == 0 else 0, look.floors):
            for k in range(count):
                offset = (k + 0.5) / count * span - span / 2
                pane = panel(width, height).moved(
                    offset, -out - 0.03, level * look.floor_m + lift + (0.4 if look.shop else 0)
                )
                panes.append(pane.turned(turn))
        sides.append(panes)
    return sides[0], sides[1] + sides[2] + sides[3]


def house(draft: Draft, look: HouseLook, x: float, y: float, yaw: float, *, all_sides: bool = False) -> None:
    """Build a house whose front looks to −y before turning; windows on the front alone unless asked."""
    rng = draft.rng
    body = box(look.width_m, look.depth_m, look.wall_m)
    draft.textured("house wall", body.at(x, y, yaw), *look.wall)
    front, others = _front_panes(look, rng)
    if not look.shop:
        middle = len(front) // look.floors // 2
        door = panel(1.15, 2.2).moved(front[middle].corners[:, :, 0].mean(), -look.depth_m / 2 - 0.04, 0)
        del front[middle]
        draft.paint(
            "door",
            door.at(x, y, yaw),
            draft.pick((0.35, 0.2, 0.13), (0.16, 0.3, 0.24), (0.2, 0.25, 0.4), (0.5, 0.13, 0.12)),
        )
    panes = front + (others if all_sides else [])
    add_windows(draft, [pane.at(x, y, yaw) for pane in panes], look.frame)
    trim = [
        box(pane_width + 0.25, 0.16, 0.1).moved(offset, -look.depth_m / 2 - 0.04, sill)
        for pane_width, offset, sill in _sills(front)
    ]
    if trim:
        draft.paint("window sills", join(*trim).at(x, y, yaw), (0.82, 0.8, 0.76))
    if look.shop:
        lit = draft.windows_lit
        name = draft.show(f"shop {len(draft.images)}", _shop_image(draft, lit))
        shop_panel = panel(0.94 * look.width_m, look.floor_m + 0.25).moved(0, -look.depth_m / 2 - 0.04, 0)
        draft.decal("shop front", shop_panel.at(x, y, yaw), name, "glow" if lit else "satin")
        if rng.random() < 0.6:
            awning = quad([[-0.46, -1.35, 2.55], [0.46, -1.35, 2.55], [0.46, 0, 3.1], [-0.46, 0, 3.1]])
            awning = awning.scaled(look.width_m, 1, 1).moved(0, -look.depth_m / 2 - 0.04, 0)
            under = Mesh(awning.corners[:, ::-1], -awning.normals[:, ::-1], awning.texcoords[:, ::-1]).moved(
                0, 0, -0.02
            )
            draft.paint(
                "awning",
                join(awning, under).at(x, y, yaw),
                draft.pick((0.75, 0.2, 0.18), (0.15, 0.4, 0.35), (0.85, 0.7, 0.3)),
            )
    _roof(draft, look, x, y, yaw)
    draft.block_box("house", x, y, (look.width_m + 0.15, look.depth_m + 0.3), yaw, look.wall_m)


def _sills(front: list[Mesh]) -> list[tuple[float, float, float]]:
    boxes = []
    for pane in front:
        left, right = pane.corners[..., 0].min(), pane.corners[..., 0].max()
        boxes.append((float(right - left), float(left + right) / 2, float(pane.corners[..., 2].min()) - 0.1))
    return boxes


def _roof(draft: Draft, look: HouseLook, x: float, y: float, yaw: float) -> None:
    top = look.wall_m
    if look.pitched:
        slopes, gables = gable_roof(look.width_m, look.depth_m, 0.38 * look.depth_m, 0.35)
        draft.textured("roof", slopes.moved(0, 0, top).at(x, y, yaw), "roof tiles", look.roof)
        draft.textured("gable", gables.moved(0, 0, top).at(x, y, yaw), *look.wall)
        chimney = box(0.7, 0.7, 1.6).moved(0.3 * look.width_m, 0.12 * look.depth_m, top + 0.2 * look.depth_m)
        draft.textured("chimney", chimney.at(x, y, yaw), "brick", (0.6, 0.4, 0.34))
        return
    cornice = box(look.width_m + 0.3, look.depth_m + 0.5, 0.35).moved(0, 0, top - 0.1)
    draft.textured("cornice", cornice.at(x, y, yaw), "plaster", (0.8, 0.78, 0.74))


def random_look(
    draft: Draft, width_m: float, floors: tuple[int, int], *, shop: float = 0.5, pitched: float = 0.4
) -> HouseLook:
    """A house look from the layout's own dice; ``shop`` and ``pitched`` are chances."""
    rng = draft.rng
    surface, tint = WALLS[int(rng.integers(len(WALLS)))]
    return HouseLook(
        width_m=width_m,
        depth_m=float(rng.uniform(8, 10)),
        floors=int(rng.integers(floors[0], floors[1] + 1)),
        wall=(surface, draft.pick(tint)),
        floor_m=float(rng.uniform(2.9, 3.4)),
        shop=bool(rng.random() < shop),
        pitched=bool(rng.random() < pitched),
        roof=draft.pick(*ROOFS),
        frame=((0.95, 0.95, 0.93), (0.30, 0.24, 0.2), (0.25, 0.33, 0.3))[int(rng.integers(3))],
    )


def row_of_houses(
    draft: Draft,
    start: tuple[float, float],
    end: tuple[float, float],
    floors: tuple[int, int],
    *,
    shop: float = 0.5,
    pitched: float = 0.4,
) -> None:
    """Fill the line from start to end with houses whose fronts stand on it, looking to its right."""
    run = np.hypot(end[0] - start[0], end[1] - start[1])
    yaw = float(np.arctan2(end[1] - start[1], end[0] - start[0]))
    done = 0.0
    while done < run - 1e-6:
        width = float(draft.rng.uniform(7, 11))
        if run - done - width < 5.5:
            width = run - done
        look = random_look(draft, min(width, 14.0), floors, shop=shop, pitched=pitched)
        along, back = done + width / 2, look.depth_m / 2
        x = start[0] + along * cos(yaw) - back * sin(yaw)
        y = start[1] + along * sin(yaw) + back * cos(yaw)
        house(draft, look, x, y, yaw)
        done += width


def tower_block(
    draft: Draft, x: float, y: float, size_m: tuple[float, float, float], yaw: float, base_m: float = 0.0
) -> None:
    """A plain high-rise seen from far: concrete or glass, windows as one repeated image."""
    rng = draft.rng
    width, depth, height = size_m
    tint = draft.pick(
        (0.72, 0.72, 0.74), (0.62, 0.66, 0.72), (0.75, 0.66, 0.58), (0.55, 0.47, 0.43), (0.8, 0.78, 0.7)
    )
    draft.paint("tower", box(width, depth, height).at(x, y, yaw, base_m), tint)
    step = float(rng.uniform(3.0, 4.2))
    panes = []
    for turn, span, out in (
        (0.0, width, depth / 2),
        (pi / 2, depth, width / 2),
        (pi, width, depth / 2),
        (-pi / 2, depth, width / 2),
    ):
        away = np.array([sin(yaw + turn), -cos(yaw + turn)])  # the face's outward direction
        if away @ np.array([x, y]) + out > _VIEW_REACH_M:  # nobody on the roof can see this face
            continue
        for level in range(int(height / step)):
            strip = panel(0.9 * span, 0.5 * step).moved(0, -out - 0.05, (level + 0.3) * step)
            panes.append(strip.turned(turn).at(x, y, yaw, base_m))
    dark = draft.rng.random(len(panes)) < 0.55
    bands = [pane for pane, off in zip(panes, dark, strict=True) if off or not draft.windows_lit]
    lit = [pane for pane, off in zip(panes, dark, strict=True) if not off and draft.windows_lit]
    if bands:
        draft.paint(
            "window bands", join(*bands), draft.pick((0.24, 0.31, 0.39), (0.33, 0.42, 0.5)), 0.12, "gloss"
        )
    if lit:
        draft.paint("lit window bands", join(*lit), (0.95, 0.78, 0.45), 0.25, "glow")


def church(draft: Draft, x: float, y: float, yaw: float, *, snow: bool = False) -> None:
    """A nave with a pitched roof and a tower with a spire; front to −y before turning."""
    wall = ("plaster", (0.93, 0.9, 0.83))
    roof = ("snow", (1.0, 1.0, 1.0)) if snow else ("roof tiles", (0.5, 0.27, 0.21))
    nave = box(7, 12, 5.5).moved(0, 6, 0)
    slopes, gables = gable_roof(12, 7, 3.6, 0.3)
    draft.textured("nave", nave.at(x, y, yaw), *wall)
    draft.textured("nave roof", slopes.turned(pi / 2).moved(0, 6, 5.5).at(x, y, yaw), *roof)
    draft.textured("nave gable", gables.turned(pi / 2).moved(0, 6, 5.5).at(x, y, yaw), *wall)
    draft.textured("tower", box(3.6, 3.6, 12).moved(0, -1.2, 0).at(x, y, yaw), *wall)
    draft.textured("spire", hexahedron((4.1, 4.1), (0.1, 0.1), 6).moved(0, -1.2, 12).at(x, y, yaw), *roof)
    clock = cylinder(0.85, 0.1, 16).pitched(pi / 2).turned(-pi / 2).moved(0, -3.08, 9.8)
    draft.paint("clock", clock.at(x, y, yaw), (0.95, 0.94, 0.88))
    hands = join(box(0.1, 0.05, 0.65).moved(0, -3.12, 9.8), box(0.5, 0.05, 0.1).moved(0.2, -3.12, 9.75))
    draft.paint("clock hands", hands.at(x, y, yaw), (0.1, 0.1, 0.12))
    panes = [panel(0.9, 1.6).moved(0, -3.05, 6.2)]
    panes += [panel(0.9, 2.6).turned(-pi / 2).moved(-3.54, k, 1.6) for k in (3.0, 6.0, 9.0)]
    panes += [panel(0.9, 2.6).turned(pi / 2).moved(3.54, k, 1.6) for k in (3.0, 6.0, 9.0)]
    add_windows(draft, [pane.at(x, y, yaw) for pane in panes], (0.35, 0.3, 0.26), 0.8)
    draft.paint("church door", panel(1.7, 2.9).moved(0, -3.04, 0).at(x, y, yaw), (0.33, 0.2, 0.12))
    c, s = cos(yaw), sin(yaw)
    draft.block_box("church", x - 4.5 * s, y + 4.5 * c, (7.6, 15.4), yaw, 18)
