"""Low-poly closed surfaces in plain numpy: lofts, limbs, ellipsoids, boxes, prisms, wheels.

A shape is a triangle mesh in metres, faces counter-clockwise seen from outside, and one ink (a named palette colour)
per face; many small shapes are merged into the single mesh of a bone, so that a bone costs one geom to render.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from outofsight.errors import WorldError

INKS = (
    *(
        "skin",
        "hair",
        "eye",
        "white",
        "mouth",
        "top",
        "trim",
        "bottom",
        "shoe",
        "coat",
        "hat",
        "gear",
        "strap",
    ),
    *(
        "metal",
        "dark",
        "fur",
        "belly",
        "mark",
        "hoof",
        "nose",
        "horn",
        "paint",
        "stripe",
        "glass",
        "tyre",
        "rim",
    ),
    *("lamp", "brake", "glow", "wood", "seat", "beard"),
)
"""Every palette colour a face may carry, in texture order."""

Floats = NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class Shape:
    """A surface, closed but for cut patches: ``vertices`` [v, 3] in metres, ``faces`` [f, 3] counter-clockwise.

    ``inks`` [f] point into INKS.
    """

    vertices: Floats
    faces: NDArray[np.int32]
    inks: NDArray[np.int32]


def ink_index(ink: str) -> int:
    """Give an ink's place in INKS. Raises: WorldError for an unknown name."""
    if ink not in INKS:
        raise WorldError(f"unknown ink {ink!r}; known inks are {', '.join(INKS)}")
    return INKS.index(ink)


def merge(*shapes: Shape) -> Shape:
    """Put shapes side by side in one mesh (they may overlap)."""
    starts = np.cumsum([0, *(len(shape.vertices) for shape in shapes)])
    return Shape(
        np.concatenate([shape.vertices for shape in shapes]),
        np.concatenate([shape.faces + start for shape, start in zip(shapes, starts, strict=False)]).astype(
            np.int32
        ),
        np.concatenate([shape.inks for shape in shapes]),
    )


def translated(shape: Shape, x: float = 0.0, y: float = 0.0, z: float = 0.0) -> Shape:
    """Shift a shape by metres."""
    return Shape(shape.vertices + np.array([x, y, z]), shape.faces, shape.inks)


def turned(shape: Shape, axis: str, angle_rad: float) -> Shape:
    """Turn a shape about the x, y or z axis through the origin, counter-clockwise seen from the axis' tip."""
    i, j = {"x": (1, 2), "y": (2, 0), "z": (0, 1)}[axis]
    vertices = shape.vertices.copy()
    cos, sin = np.cos(angle_rad), np.sin(angle_rad)
    vertices[:, i] = cos * shape.vertices[:, i] - sin * shape.vertices[:, j]
    vertices[:, j] = sin * shape.vertices[:, i] + cos * shape.vertices[:, j]
    return Shape(vertices, shape.faces, shape.inks)


def mirrored(shape: Shape) -> Shape:
    """Swap left and right (y to −y), faces kept facing outward."""
    return Shape(shape.vertices * np.array([1.0, -1.0, 1.0]), shape.faces[:, ::-1], shape.inks)


def pair(shape: Shape) -> Shape:
    """The shape and its mirror image: two eyes, two ears, two lamps."""
    return merge(shape, mirrored(shape))


def painted(shape: Shape, ink: str, where: Callable[[Floats], NDArray[np.bool_]]) -> Shape:
    """Change the ink of the faces whose middle points [f, 3] satisfy ``where``."""
    middles = shape.vertices[shape.faces].mean(axis=1)
    return Shape(
        shape.vertices, shape.faces, np.where(where(middles), ink_index(ink), shape.inks).astype(np.int32)
    )


def columns_of(shape: Shape, columns: ArrayLike, sides: int) -> NDArray[np.bool_]:
    """Mark the faces [f] of whole columns, numbered from 0 round the axis, of a shape lofted with ``sides`` sides."""
    return np.isin(np.arange(len(shape.faces)) % sides, np.asarray(columns))


def cut(shape: Shape, keep: NDArray[np.bool_]) -> Shape:
    """Keep only the marked faces: an open patch, seen from outside."""
    used, faces = np.unique(shape.faces[keep], return_inverse=True)
    return Shape(shape.vertices[used], faces.reshape(-1, 3).astype(np.int32), shape.inks[keep])


def resized(shape: Shape, x: float, y: float, z: float) -> Shape:
    """Stretch a shape by positive factors about the origin."""
    return Shape(shape.vertices * np.array([x, y, z]), shape.faces, shape.inks)


def loft(
    rings: ArrayLike,
    ink: str | Sequence[str],
    *,
    start: ArrayLike | None = None,
    end: ArrayLike | None = None,
) -> Shape:
    """Skin a stack of rings [k, sides, 3] and close it by fans to the poles (default: the end rings' middles).

    ``ink``: one for all, or one for each of the k + 1 bands (start cap, k − 1 bands, end cap).
    """
    stack = np.asarray(rings, dtype=np.float64)
    k, sides, _ = stack.shape
    poles = [
        stack[0].mean(axis=0) if start is None else start,
        stack[-1].mean(axis=0) if end is None else end,
    ]
    vertices = np.concatenate([stack.reshape(-1, 3), np.asarray(poles, dtype=np.float64)])
    here = np.arange(sides)
    after = (here + 1) % sides
    fan = np.stack([np.full(sides, k * sides), after, here], axis=1)
    bands, bands_inks = [fan], [0]
    for band in range(k - 1):
        low, high = band * sides, (band + 1) * sides
        bands.append(np.stack([low + here, low + after, high + after], axis=1))
        bands.append(np.stack([low + here, high + after, high + here], axis=1))
        bands_inks += [band + 1, band + 1]
    last = (k - 1) * sides
    bands.append(np.stack([last + here, last + after, np.full(sides, k * sides + 1)], axis=1))
    names = [ink] * (k + 1) if isinstance(ink, str) else list(ink)
    if len(names) != k + 1:
        raise WorldError(f"a loft of {k} rings needs {k + 1} inks (two caps and the bands), got {len(names)}")
    inks = np.repeat([ink_index(names[i]) for i in (*bands_inks, k)], sides).astype(np.int32)
    return outward(Shape(vertices, np.concatenate(bands).astype(np.int32), inks))


def outward(shape: Shape) -> Shape:
    """Flip all faces where the enclosed volume comes out negative."""
    a, b, c = np.moveaxis(shape.vertices[shape.faces], 1, 0)
    if np.einsum("fi,fi->", a, np.cross(b, c)) < 0:
        return Shape(shape.vertices, np.ascontiguousarray(shape.faces[:, ::-1]), shape.inks)
    return shape


def ring(sides: int, power: float = 2.0) -> Floats:
    """A unit superellipse [sides, 2]: power 2 is a circle, larger is boxier."""
    angles = 2 * np.pi * (np.arange(sides) + 0.5) / sides
    cos, sin = np.cos(angles), np.sin(angles)
    return np.stack(
        [np.sign(cos) * np.abs(cos) ** (2 / power), np.sign(sin) * np.abs(sin) ** (2 / power)], axis=1
    )


def pillar(sections: ArrayLike, ink: str | Sequence[str], *, sides: int = 10, power: float = 2.0) -> Shape:
    """Loft upright sections [k, (z, half_x, half_y, x, y)] (x and y of the middle may be left out)."""
    rows = _rows(sections)
    unit = ring(sides, power)
    rings = np.zeros((len(rows), sides, 3))
    rings[:, :, 0] = rows[:, 3:4] + rows[:, 1:2] * unit[:, 0]
    rings[:, :, 1] = rows[:, 4:5] + rows[:, 2:3] * unit[:, 1]
    rings[:, :, 2] = rows[:, 0:1]
    return loft(rings, ink)


def hull(sections: ArrayLike, ink: str | Sequence[str], *, sides: int = 10, power: float = 2.0) -> Shape:
    """Loft sections along x [k, (x, half_y, half_z, z, y)] (z and y of the middle may be left out)."""
    rows = _rows(sections)
    unit = ring(sides, power)
    rings = np.zeros((len(rows), sides, 3))
    rings[:, :, 0] = rows[:, 0:1]
    rings[:, :, 1] = rows[:, 4:5] + rows[:, 1:2] * unit[:, 0]
    rings[:, :, 2] = rows[:, 3:4] + rows[:, 2:3] * unit[:, 1]
    return loft(rings, ink)


def rounded(sections: ArrayLike, count: int) -> Floats:
    """Run a smooth curve through loft sections [k, columns] and give ``count`` of them, ends kept.

    Source: cubic Hermite curve with slopes limited so that it never overshoots (Fritsch and Butland, 1984).
    """
    rows = np.asarray(sections, dtype=np.float64)
    step = np.diff(rows[:, 0])[:, None]
    secant = np.diff(rows, axis=0) / step
    product = secant[1:] * secant[:-1]
    inner = np.where(product > 0, 2 * product / (secant[1:] + secant[:-1] + 1e-12), 0.0)
    slope = np.concatenate([secant[:1], inner, secant[-1:]])
    even = np.linspace(0.0, 1.0, count)
    dense_ends = 0.6 * even + 0.4 * (0.5 - 0.5 * np.cos(np.pi * even))
    at = rows[0, 0] + (rows[-1, 0] - rows[0, 0]) * dense_ends
    place = np.clip(np.searchsorted(rows[:, 0], at, side="right") - 1, 0, len(rows) - 2)
    t = ((at - rows[place, 0]) / step[place, 0])[:, None]
    low, high = rows[place], rows[place + 1]
    curve = low * (1 + 2 * t) * (1 - t) ** 2 + high * t**2 * (3 - 2 * t)
    curve += step[place] * (slope[place] * t * (1 - t) ** 2 - slope[place + 1] * t**2 * (1 - t))
    curve[:, 0] = at
    return curve


def _rows(sections: ArrayLike) -> Floats:
    rows = np.asarray(sections, dtype=np.float64)
    return np.pad(rows, ((0, 0), (0, 5 - rows.shape[1])))


def limb(
    start: ArrayLike, end: ArrayLike, radius_start: float, radius_end: float, ink: str, *, sides: int = 8
) -> Shape:
    """A round-ended tapered tube between two points; its ends bulge by the radii."""
    a, b = np.asarray(start, dtype=np.float64), np.asarray(end, dtype=np.float64)
    along = (b - a) / np.linalg.norm(b - a)
    helper = np.array([0.0, 1.0, 0.0]) if abs(along[1]) < 0.9 else np.array([1.0, 0.0, 0.0])
    u = np.cross(helper, along)
    u /= np.linalg.norm(u)
    v = np.cross(along, u)
    unit = ring(sides)
    directions = unit[:, :1] * u + unit[:, 1:] * v
    middles = [a - 0.72 * radius_start * along, a, b, b + 0.72 * radius_end * along]
    radii = [0.7 * radius_start, radius_start, radius_end, 0.7 * radius_end]
    rings = [middle + radius * directions for middle, radius in zip(middles, radii, strict=True)]
    return loft(rings, ink, start=a - radius_start * along, end=b + radius_end * along)


def strand(points: ArrayLike, radii: ArrayLike, ink: str | Sequence[str], *, sides: int = 8) -> Shape:
    """A tube through points in the xz plane (tails, necks, trunks, hoses), ring planes across the path."""
    path = np.asarray(points, dtype=np.float64)
    along = np.gradient(path, axis=0)
    along /= np.linalg.norm(along, axis=1, keepdims=True)
    across = np.cross(np.array([0.0, 1.0, 0.0]), along)
    across /= np.linalg.norm(across, axis=1, keepdims=True)
    unit = ring(sides)
    directions = unit[None, :, :1] * across[:, None] + unit[None, :, 1:] * np.array([0.0, 1.0, 0.0])
    sizes = np.asarray(radii, dtype=np.float64)
    rings = path[:, None] + sizes[:, None, None] * directions
    return loft(
        rings, ink, start=path[0] - 0.5 * sizes[0] * along[0], end=path[-1] + 0.5 * sizes[-1] * along[-1]
    )


def ball(middle: ArrayLike, radii: ArrayLike, ink: str, *, sides: int = 10, rows: int = 5) -> Shape:
    """An ellipsoid with its poles up and down; ``radii`` one number or three."""
    angles = np.pi * (np.arange(rows) + 1) / (rows + 1)
    unit = ring(sides)
    rings = np.concatenate(
        [
            np.sin(angles)[:, None, None] * unit[None],
            np.repeat(-np.cos(angles)[:, None, None], sides, axis=1),
        ],
        axis=2,
    )
    size, centre = (
        np.broadcast_to(np.asarray(radii, dtype=np.float64), 3),
        np.asarray(middle, dtype=np.float64),
    )
    pole = np.array([0.0, 0.0, size[2]])
    return loft(rings * size + centre, ink, start=centre - pole, end=centre + pole)


def box(middle: ArrayLike, half: ArrayLike, ink: str, *, taper: float = 1.0) -> Shape:
    """An upright box; ``taper`` is the size of the top relative to the bottom."""
    x, y, z = np.asarray(half, dtype=np.float64)
    corners = np.array([[1, 1], [-1, 1], [-1, -1], [1, -1]]) * np.array([x, y])
    rings = [np.column_stack([corners * f, np.full(4, h)]) for f, h in ((1.0, -z), (taper, z))]
    return translated(loft(np.array(rings), ink), *np.asarray(middle, dtype=np.float64))


def prism(profile: ArrayLike, half_widths: float | Sequence[float], ink: str) -> Shape:
    """Push a convex xz profile [k, 2] out to both sides; one half width, or one for each profile point."""
    outline = np.asarray(profile, dtype=np.float64)
    widths = np.broadcast_to(np.asarray(half_widths, dtype=np.float64), len(outline))
    rings = [np.column_stack([outline[:, 0], side * widths, outline[:, 1]]) for side in (-1.0, 1.0)]
    return loft(np.array(rings), ink)


def wheel(radius: float, half_width: float, *, hub: float = 0.55, sides: int = 16) -> Shape:
    """A tyre with a rim about the y axis, spokes painted so that turning can be seen."""
    rows = [(-half_width, hub), (-half_width, 1.0), (half_width, 1.0), (half_width, hub)]
    unit = ring(sides) * radius
    rings = [np.column_stack([unit[:, 0] * size, np.full(sides, y), unit[:, 1] * size]) for y, size in rows]
    shape = loft(np.array(rings), ("rim", "tyre", "tyre", "tyre", "rim"))
    rim = ink_index("rim")
    faces = np.flatnonzero(shape.inks == rim)
    dark = faces[(np.arange(len(faces)) % 4) >= 2]
    inks = shape.inks.copy()
    inks[dark] = ink_index("metal")
    return Shape(shape.vertices, shape.faces, inks)
