"""Rooms: walls with real openings, ceilings, windows through which sun and sky come in, lamps."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from math import pi

import numpy as np

from outofsight.worlds.scenes.draft import Draft
from outofsight.worlds.scenes.layout import Colour
from outofsight.worlds.scenes.mesh import Mesh, box, join, quad
from outofsight.worlds.scenes.street_things import LAMP

SIDES: Mapping[str, float] = {"north": 0.0, "west": pi / 2, "south": pi, "east": -pi / 2}
"""Turn of each wall from the north one, which stands at +y and looks to −y."""


@dataclass(frozen=True, kw_only=True)
class Opening:
    """A hole in a wall: its middle along the wall (to the right seen from inside), width, sill and head heights."""

    middle_m: float
    width_m: float
    sill_m: float
    head_m: float


@dataclass(frozen=True, kw_only=True)
class RoomLook:
    """A box room around the origin, from −half to +half; ``walls`` and ``ceiling`` are (surface, tint)."""

    half_x_m: float
    half_y_m: float
    height_m: float
    walls: tuple[str, Colour]
    ceiling: tuple[str, Colour] = ("plaster", (0.97, 0.96, 0.94))
    skirting: Colour | None = (0.9, 0.89, 0.86)
    frame: Colour = (0.95, 0.95, 0.94)
    openings: Mapping[str, tuple[Opening, ...]] = field(default_factory=dict)

    def wall_size(self, side: str) -> tuple[float, float]:
        """(half length, distance from the middle) of a wall."""
        along_x = side in ("north", "south")
        return (self.half_x_m, self.half_y_m) if along_x else (self.half_y_m, self.half_x_m)


def build_room(draft: Draft, look: RoomLook) -> None:
    """Put up walls and ceiling; the ground map is the floor. Walls take a thin strip of ground."""
    pieces, frames, boards = [], [], []
    for side, turn in SIDES.items():
        half, away = look.wall_size(side)
        openings = sorted(look.openings.get(side, ()), key=lambda hole: hole.middle_m)
        pieces += [piece.moved(0, away).turned(turn) for piece in _wall(half, look.height_m, openings)]
        frames += [piece.moved(0, away).turned(turn) for hole in openings for piece in _frame(hole)]
        boards.append(box(2 * half, 0.03, 0.1).moved(0, away - 0.015).turned(turn))
    draft.textured("walls", join(*pieces), *look.walls)
    if frames:
        draft.paint("window frames", join(*frames), look.frame)
    if look.skirting is not None and not any(
        h.sill_m < 0.1 for holes in look.openings.values() for h in holes
    ):
        draft.paint("skirting", join(*boards), look.skirting)
    x, y, z = look.half_x_m, look.half_y_m, look.height_m
    draft.textured("ceiling", quad([[x, -y, z], [-x, -y, z], [-x, y, z], [x, y, z]]), *look.ceiling)


def _wall(half_m: float, height_m: float, openings: list[Opening]) -> list[Mesh]:
    """Pieces of a wall at y = 0 that looks to −y, around its openings."""

    def piece(x0: float, x1: float, z0: float, z1: float) -> list[Mesh]:
        if x1 - x0 < 1e-6 or z1 - z0 < 1e-6:
            return []
        flat = quad([[x0, 0, z0], [x1, 0, z0], [x1, 0, z1], [x0, 0, z1]])
        return [
            Mesh(flat.corners, flat.normals, np.stack([flat.corners[..., 0], -flat.corners[..., 2]], axis=-1))
        ]

    pieces, done = [], -half_m
    for hole in openings:
        left, right = hole.middle_m - hole.width_m / 2, hole.middle_m + hole.width_m / 2
        pieces += (
            piece(done, left, 0, height_m)
            + piece(left, right, 0, hole.sill_m)
            + piece(left, right, hole.head_m, height_m)
        )
        done = right
    return pieces + piece(done, half_m, 0, height_m)


def _frame(hole: Opening) -> list[Mesh]:
    """Bars around and across an opening, and its sill board."""
    tall = hole.head_m - hole.sill_m
    left, right = hole.middle_m - hole.width_m / 2, hole.middle_m + hole.width_m / 2
    bars = [
        box(0.09, 0.12, tall).moved(k, 0.02, hole.sill_m)
        for k in np.linspace(left, right, max(2, round(hole.width_m / 1.3) + 1))
    ]
    bars += [
        box(hole.width_m, 0.12, 0.09).moved(hole.middle_m, 0.02, z) for z in (hole.sill_m, hole.head_m - 0.09)
    ]
    if hole.sill_m > 0.3:
        bars.append(box(hole.width_m + 0.2, 0.22, 0.05).moved(hole.middle_m, -0.08, hole.sill_m - 0.05))
    return bars


def window_row(
    half_m: float, count: int, width_m: float, sill_m: float, head_m: float
) -> tuple[Opening, ...]:
    """Equal windows spread along a wall."""
    step = 2 * half_m / count
    return tuple(
        Opening(
            middle_m=(k + 0.5) * step - half_m, width_m=min(width_m, step - 0.4), sill_m=sill_m, head_m=head_m
        )
        for k in range(count)
    )


def sun_through(draft: Draft, side: str) -> None:
    """Let the sun stand outside a wall, somewhat to one side."""
    draft.sun_azimuth_rad = pi / 2 + SIDES[side] + float(draft.sky_rng.uniform(-0.6, 0.6))


def tube_lamps(
    draft: Draft,
    places_m: list[tuple[float, float]],
    height_m: float,
    length_m: float,
    *,
    along_x: bool = True,
) -> None:
    """Long ceiling lamps."""
    size = (length_m, 0.28) if along_x else (0.28, length_m)
    bodies = [box(size[0], size[1], 0.07).moved(x, y, height_m - 0.08) for x, y in places_m]
    draft.paint(
        "ceiling lamps",
        join(*bodies),
        (1.0, 0.99, 0.95) if draft.light != "evening lamps" else LAMP,
        finish="glow",
    )


def hung_picture(
    draft: Draft,
    side: str,
    look: RoomLook,
    along_m: float,
    size_m: tuple[float, float],
    low_m: float,
    image: str,
    frame: Colour,
) -> None:
    """A framed picture on a wall, ``along_m`` to the right of its middle seen from inside."""
    _, away = look.wall_size(side)
    border = box(size_m[0] + 0.16, 0.05, size_m[1] + 0.16).moved(along_m, away - 0.03, low_m - 0.08)
    draft.paint("picture frame", border.turned(SIDES[side]), frame, finish="satin")
    half = size_m[0] / 2
    canvas = quad(
        [
            [along_m - half, 0, low_m],
            [along_m + half, 0, low_m],
            [along_m + half, 0, low_m + size_m[1]],
            [along_m - half, 0, low_m + size_m[1]],
        ],
        picture=True,
    )
    draft.decal("picture", canvas.moved(0, away - 0.06).turned(SIDES[side]), image)


def wall_yaw(side: str) -> float:
    """Yaw of furniture whose front looks to −y so that its back stands at a wall."""
    return SIDES[side]


def at_wall(look: RoomLook, side: str, along_m: float, out_m: float) -> tuple[float, float]:
    """The plan point ``out_m`` in front of a wall, ``along_m`` to the right of its middle seen from inside."""
    _, away = look.wall_size(side)
    turn = SIDES[side]
    x, y = along_m, away - out_m
    return float(x * np.cos(turn) - y * np.sin(turn)), float(x * np.sin(turn) + y * np.cos(turn))
