"""Triangle meshes made from nothing: boxes, lathes, tubes, blobs, roofs and terrain, as unshared triangles.

Every primitive stands on z = 0 with its middle over the origin unless it says otherwise, lengths in metres,
faces counter-clockwise seen from outside. Surface coordinates are in metres too, so that one texture keeps its
true size on every shape: u runs to the right seen from outside, v runs down.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from math import cos, pi, sin
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from outofsight.errors import WorldError

Floats = NDArray[np.float64]
_NO_AREA = 1e-9
_QUAD_ORDER = (0, 1, 2, 0, 2, 3)
_UNIT_SURFACE = ((0.0, 1.0), (1.0, 1.0), (1.0, 0.0), (0.0, 0.0))
_SIGNS = ((-1.0, -1.0), (1.0, -1.0), (1.0, 1.0), (-1.0, 1.0))
_BOX_FACES = (
    (0, 1, 5, 4),
    (1, 2, 6, 5),
    (2, 3, 7, 6),
    (3, 0, 4, 7),
    (4, 5, 6, 7),
    (1, 0, 3, 2),
)  # of 4 low + 4 high corners


_ICOSAHEDRON_FACES = (
    *((0, 11, 5), (0, 5, 1), (0, 1, 7), (0, 7, 10), (0, 10, 11)),  # the five around corner 0
    *((1, 5, 9), (5, 11, 4), (11, 10, 2), (10, 7, 6), (7, 1, 8)),  # their neighbours
    *((3, 9, 4), (3, 4, 2), (3, 2, 6), (3, 6, 8), (3, 8, 9)),  # the five around the opposite corner 3
    *((4, 9, 5), (2, 4, 11), (6, 2, 10), (8, 6, 7), (9, 8, 1)),  # their neighbours
)


@dataclass(frozen=True, eq=False)
class Mesh:
    """Triangles that share no corners: ``corners`` and ``normals`` [f, 3, 3], ``texcoords`` [f, 3, 2] (metres)."""

    corners: Floats
    normals: Floats
    texcoords: Floats

    def __post_init__(self) -> None:
        count = len(self.corners)
        if not (
            self.corners.shape == self.normals.shape == (count, 3, 3)
            and self.texcoords.shape == (count, 3, 2)
        ):
            raise WorldError(
                f"mesh: expected corners and normals [f, 3, 3] and texcoords [f, 3, 2], got "
                f"{self.corners.shape}, {self.normals.shape}, {self.texcoords.shape}"
            )

    def __len__(self) -> int:
        return len(self.corners)

    def moved(self, x_m: float = 0.0, y_m: float = 0.0, z_m: float = 0.0) -> "Mesh":
        return Mesh(self.corners + np.array([x_m, y_m, z_m]), self.normals, self.texcoords)

    def rotated(self, rotation: Floats) -> "Mesh":
        return Mesh(self.corners @ rotation.T, self.normals @ rotation.T, self.texcoords)

    def turned(self, yaw_rad: float) -> "Mesh":
        """Turn about the vertical, counter-clockwise seen from above."""
        c, s = cos(yaw_rad), sin(yaw_rad)
        return self.rotated(np.array([[c, -s, 0.0], [s, c, 0.0], [0.0, 0.0, 1.0]]))

    def pitched(self, angle_rad: float) -> "Mesh":
        """Turn about the y axis; a positive angle tips the top towards +x."""
        c, s = cos(angle_rad), sin(angle_rad)
        return self.rotated(np.array([[c, 0.0, s], [0.0, 1.0, 0.0], [-s, 0.0, c]]))

    def rolled(self, angle_rad: float) -> "Mesh":
        """Turn about the x axis; a positive angle tips the top towards -y."""
        c, s = cos(angle_rad), sin(angle_rad)
        return self.rotated(np.array([[1.0, 0.0, 0.0], [0.0, c, -s], [0.0, s, c]]))

    def scaled(self, x: float, y: float, z: float) -> "Mesh":
        """Stretch along the axes by positive factors; surface coordinates stay."""
        factors = np.array([x, y, z])
        normals = self.normals / factors
        normals = normals / np.linalg.norm(normals, axis=-1, keepdims=True)
        return Mesh(self.corners * factors, normals, self.texcoords)

    def at(self, x_m: float, y_m: float, yaw_rad: float = 0.0, z_m: float = 0.0) -> "Mesh":
        """Turn, then move: how a prop made at the origin is put in its place."""
        return self.turned(yaw_rad).moved(x_m, y_m, z_m)


def from_corners(corners: ArrayLike, texcoords: ArrayLike | None = None) -> Mesh:
    """Make a flat-shaded mesh from triangles [f, 3, 3]; triangles without area are dropped."""
    triangles = np.asarray(corners, dtype=np.float64).reshape(-1, 3, 3)
    surface = (
        _plan_texcoords(triangles)
        if texcoords is None
        else np.asarray(texcoords, dtype=np.float64).reshape(-1, 3, 2)
    )
    normals, lengths = _facing(triangles)
    if lengths.min(initial=1.0) <= _NO_AREA:
        solid = lengths > _NO_AREA
        triangles, normals, surface = triangles[solid], normals[solid], surface[solid]
    return Mesh(triangles, np.repeat(normals[:, None], 3, axis=1), surface)


def _facing(triangles: Floats) -> tuple[Floats, Floats]:
    """Unit normals [f, 3] and doubled areas [f]; the sums are written out since props have few faces each."""
    a, b = triangles[:, 1] - triangles[:, 0], triangles[:, 2] - triangles[:, 0]
    ax, ay, az, bx, by, bz = a[:, 0], a[:, 1], a[:, 2], b[:, 0], b[:, 1], b[:, 2]
    normals = np.empty_like(a)
    normals[:, 0], normals[:, 1], normals[:, 2] = ay * bz - az * by, az * bx - ax * bz, ax * by - ay * bx
    lengths = np.sqrt((normals * normals).sum(axis=1))
    normals /= np.maximum(lengths, _NO_AREA)[:, None]
    return normals, lengths


def _plan_texcoords(triangles: Floats) -> Floats:
    """Lay the texture on each face from its steepest side, in metres (box projection)."""
    axis = np.abs(_facing(triangles)[0]).argmax(axis=1)
    u = np.where((axis == 0)[:, None], triangles[..., 1], triangles[..., 0])
    v = np.where((axis == 2)[:, None], -triangles[..., 1], -triangles[..., 2])
    return np.stack([u, v], axis=-1)


def join(*meshes: Mesh) -> Mesh:
    if not meshes:
        raise WorldError("join: expected at least one mesh, got none")
    return Mesh(
        np.concatenate([m.corners for m in meshes]),
        np.concatenate([m.normals for m in meshes]),
        np.concatenate([m.texcoords for m in meshes]),
    )


def quad(corners: ArrayLike, *, picture: bool = False) -> Mesh:
    """A four-cornered face: lower left, lower right, upper right, upper left seen from its front.

    ``picture`` stretches one whole texture over it (surface coordinates 0 to 1) instead of metres.
    """
    return quads(np.asarray(corners, dtype=np.float64)[None], picture=picture)


def quads(corners: ArrayLike, *, picture: bool = False) -> Mesh:
    """Many four-cornered faces [n, 4, 3] at once; see ``quad``."""
    p = np.asarray(corners, dtype=np.float64)
    surface = np.empty((len(p), 4, 2))
    surface[:] = _UNIT_SURFACE
    if not picture:
        along, rise = p[:, 1] - p[:, 0], p[:, 3] - p[:, 0]
        surface[..., 0] *= np.sqrt((along * along).sum(axis=1))[:, None]
        surface[..., 1] *= np.sqrt((rise * rise).sum(axis=1))[:, None]
    return from_corners(p[:, _QUAD_ORDER], surface[:, _QUAD_ORDER])


def panel(width_m: float, height_m: float, *, picture: bool = True) -> Mesh:
    """An upright face in the plane y = 0 looking towards -y, standing on z = 0."""
    half = width_m / 2
    return quad([[-half, 0, 0], [half, 0, 0], [half, 0, height_m], [-half, 0, height_m]], picture=picture)


def floor(width_m: float, depth_m: float, *, picture: bool = False) -> Mesh:
    """A face on the ground looking up; its texture's top row lies at +y."""
    x, y = width_m / 2, depth_m / 2
    return quad([[-x, -y, 0], [x, -y, 0], [x, y, 0], [-x, y, 0]], picture=picture)


def hexahedron(
    bottom_m: Sequence[float], top_m: Sequence[float], height_m: float, shift_m: float = 0.0
) -> Mesh:
    """A box whose top rectangle differs from its bottom one; ``shift_m`` moves the top along x."""
    corners = np.zeros((8, 3))
    corners[:4, :2] = np.multiply(_SIGNS, np.divide(bottom_m, 2))
    corners[4:, :2] = np.multiply(_SIGNS, np.divide(top_m, 2))
    corners[4:, 0] += shift_m
    corners[4:, 2] = height_m
    return quads(corners[np.array(_BOX_FACES)])


def box(x_m: float, y_m: float, z_m: float) -> Mesh:
    return hexahedron((x_m, y_m), (x_m, y_m), z_m)


def lathe(profile: ArrayLike, sides: int = 12) -> Mesh:
    """Turn a profile of (radius, height) points, given from the bottom up, about the z axis; round shading."""
    radius, height = np.asarray(profile, dtype=np.float64).T
    angle = np.linspace(0, 2 * pi, sides + 1)
    ring = np.stack([np.cos(angle), np.sin(angle), np.zeros_like(angle)], axis=-1)
    rows = radius[:, None, None] * ring + height[:, None, None] * np.array([0, 0, 1.0])
    run = np.r_[0, np.cumsum(np.hypot(np.diff(radius), np.diff(height)))]
    u = angle * max(float(radius.max()), 1e-6)
    surface = np.stack(np.broadcast_arrays(u[None, :], -run[:, None]), axis=-1)
    slope = np.arctan2(-np.diff(radius), np.diff(height))  # each band's tilt from upright
    normals = np.cos(slope)[:, None, None] * ring + np.sin(slope)[:, None, None] * np.array([0, 0, 1.0])
    corners, texcoords, band_normals = [], [], []
    for (i, j), (k, m) in (((0, 0), (0, 1)), ((1, 1), (1, 0))):  # two triangles a cell: (lower, upper)
        first = rows[i : len(rows) - 1 + i, j : sides + j]
        second = rows[k : len(rows) - 1 + k, m : sides + m]
        last = rows[1:, 1:] if i == 0 else rows[:-1, :-1]
        corners.append(np.stack([first, second, last], axis=2))
        ends = [(i, j), (k, m), (1, 1) if i == 0 else (0, 0)]
        texcoords.append(np.stack([surface[a : len(rows) - 1 + a, b : sides + b] for a, b in ends], axis=2))
        band_normals.append(np.stack([normals[:, b : sides + b] for _, b in ends], axis=2))
    mesh = Mesh(
        np.concatenate([part.reshape(-1, 3, 3) for part in corners]),
        np.concatenate([part.reshape(-1, 3, 3) for part in band_normals]),
        np.concatenate([part.reshape(-1, 3, 2) for part in texcoords]),
    )
    area = np.linalg.norm(
        np.cross(mesh.corners[:, 1] - mesh.corners[:, 0], mesh.corners[:, 2] - mesh.corners[:, 0]), axis=1
    )
    solid = area > 1e-9
    return Mesh(mesh.corners[solid], mesh.normals[solid], mesh.texcoords[solid])


def cylinder(radius_m: float, height_m: float, sides: int = 10, top_radius_m: float | None = None) -> Mesh:
    """A closed cylinder, cone or frustum."""
    top = radius_m if top_radius_m is None else top_radius_m
    return lathe([(0, 0), (radius_m, 0), (top, height_m), (0, height_m)], sides)


def wheel(radius_m: float, width_m: float, sides: int = 14) -> Mesh:
    """A cylinder lying along y, its middle at the origin."""
    return cylinder(radius_m, width_m, sides).moved(0, 0, -width_m / 2).rolled(pi / 2)


def _icosahedron(detail: int) -> Floats:
    """Unit-sphere triangles [20·4^detail, 3, 3]."""
    golden = (1 + 5**0.5) / 2
    points = np.zeros((12, 3))
    for axis, plane in enumerate(((1, 0), (2, 1), (0, 2))):  # three golden rectangles, each across the next
        points[4 * axis : 4 * axis + 4, plane] = [[golden, -1], [golden, 1], [-golden, -1], [-golden, 1]]
    faces = np.array(_ICOSAHEDRON_FACES)
    triangles = points[faces] / np.linalg.norm(points[0])
    for _ in range(detail):
        a, b, c = triangles[:, 0], triangles[:, 1], triangles[:, 2]
        ab, bc, ca = (unit_rows(p + q) for p, q in ((a, b), (b, c), (c, a)))
        triangles = np.concatenate(
            [np.stack(t, axis=1) for t in ((a, ab, ca), (ab, b, bc), (ca, bc, c), (ab, bc, ca))]
        )
    return triangles


def unit_rows(vectors: Floats) -> Floats:
    return vectors / np.linalg.norm(vectors, axis=-1, keepdims=True)


def sphere(radius_m: float, detail: int = 2) -> Mesh:
    """A round-shaded ball standing on z = 0."""
    triangles = _icosahedron(detail)
    surface = (
        np.stack([np.arctan2(triangles[..., 1], triangles[..., 0]), -triangles[..., 2]], axis=-1) * radius_m
    )
    return Mesh(triangles * radius_m + np.array([0, 0, radius_m]), triangles, surface)


def blob(rng: np.random.Generator, radii_m: Sequence[float], roughness: float, detail: int = 1) -> Mesh:
    """A lumpy ball with its middle at the origin, flat-shaded: rocks, bushes, crowns.

    ``roughness`` is the largest share by which a corner is pushed in or out.
    """
    triangles = _icosahedron(detail)
    return from_corners(
        triangles * _bumps(rng, triangles, roughness)[..., None] * np.asarray(radii_m, dtype=float)
    )


def _bumps(rng: np.random.Generator, directions: Floats, roughness: float) -> Floats:
    """Factors around 1 for directions [..., 3]; a corner is moved alike in all its faces."""
    axes = unit_rows(rng.normal(size=(7, 3)))
    phase = rng.uniform(0, 2 * pi, 7)
    lift = np.cos(3 * np.arccos(np.clip(directions @ axes.T, -1, 1)) + phase).mean(axis=-1)
    jitter = np.sin(directions @ np.array([37.0, 61.0, 23.0]) * 3.1)
    return 1 + roughness * np.clip(1.6 * lift + 0.45 * jitter, -1, 1)


def cloud(
    rng: np.random.Generator, centres_m: ArrayLike, radii_m: ArrayLike, roughness: float, detail: int
) -> Mesh:
    """The outer skin of overlapping balls [n, 3] and [n], seen from the origin, which lies in all that matter.

    One skin instead of n balls: a ray has no hidden faces to search.
    """
    centres, radii = np.asarray(centres_m, dtype=np.float64), np.asarray(radii_m, dtype=np.float64)
    directions = _icosahedron(detail)
    along = directions @ centres.T
    inside = along**2 - (centres**2).sum(axis=1) + radii**2
    reach = np.where(inside > 0, along + np.sqrt(np.maximum(inside, 0)), 0.0).max(axis=-1)
    return from_corners(directions * (reach * _bumps(rng, directions, roughness))[..., None])


def prism(outline_m: ArrayLike, height_m: float) -> Mesh:
    """Raise a convex outline, given counter-clockwise [n, 2], to a height."""
    points = np.asarray(outline_m, dtype=np.float64)
    low, high = np.c_[points, np.zeros(len(points))], np.c_[points, np.full(len(points), height_m)]
    n = len(points)
    sides = quads([[low[i], low[(i + 1) % n], high[(i + 1) % n], high[i]] for i in range(n)])
    fan = [[high[0], high[i], high[i + 1]] for i in range(1, n - 1)]
    under = [[low[0], low[i + 1], low[i]] for i in range(1, n - 1)]
    return join(sides, from_corners(fan), from_corners(under))


def gable_roof(length_m: float, depth_m: float, rise_m: float, overhang_m: float = 0.3) -> tuple[Mesh, Mesh]:
    """A pitched roof, ridge along x: its two slopes (with undersides), and its two gable triangles."""
    x, y = length_m / 2 + overhang_m, depth_m / 2
    drop = rise_m * overhang_m / y
    out = y + overhang_m
    front = quad([[-x, -out, -drop], [x, -out, -drop], [x, 0, rise_m], [-x, 0, rise_m]])
    under = quad([[x, -out, -drop], [-x, -out, -drop], [-x, 0, rise_m], [x, 0, rise_m]]).moved(0, 0, -0.03)
    slopes = join(front, under, front.turned(pi), under.turned(pi))
    gx = length_m / 2
    gable = from_corners([[[gx, -y, 0], [gx, y, 0], [gx, 0, rise_m]]])
    return slopes, join(gable, gable.turned(pi))


def tube(path_m: Any, radius_m: float, sides: int = 6) -> Mesh:
    """A round bar along a polyline [n, 3], open joints mitred, ends closed."""
    path = np.asarray(path_m, dtype=np.float64)
    ahead = unit_rows(np.diff(path, axis=0))
    tangent = unit_rows(np.concatenate([ahead[:1], ahead[:-1] + ahead[1:], ahead[-1:]]))
    helper = np.array([0, 0, 1.0]) if abs(ahead[:, 2]).max() < 0.9 else np.array([0.577, 0.577, -0.577])
    side = unit_rows(np.cross(tangent, helper))
    up = np.cross(side, tangent)
    angle = np.arange(sides) * 2 * pi / sides
    spokes = np.cos(angle)[:, None] * side[:, None] + np.sin(angle)[:, None] * up[:, None]
    rings = path[:, None] + radius_m * spokes
    walls, normals = [], []
    for j in range(sides):
        k = (j + 1) % sides
        walls += [np.stack([rings[:-1, k], rings[:-1, j], rings[1:, j]], axis=1)]
        walls += [np.stack([rings[:-1, k], rings[1:, j], rings[1:, k]], axis=1)]
        normals += [np.stack([spokes[:-1, k], spokes[:-1, j], spokes[1:, j]], axis=1)]
        normals += [np.stack([spokes[:-1, k], spokes[1:, j], spokes[1:, k]], axis=1)]
    corners = np.concatenate(walls)
    body = Mesh(corners, np.concatenate(normals), _plan_texcoords(corners))
    caps = [[rings[0, 0], rings[0, j + 1], rings[0, j]] for j in range(1, sides - 1)]
    caps += [[rings[-1, 0], rings[-1, j], rings[-1, j + 1]] for j in range(1, sides - 1)]
    lids = from_corners(caps)
    outward = np.einsum("fi,fi->f", lids.normals[:, 0], lids.corners.mean(axis=1) - path.mean(axis=0))
    flipped = Mesh(lids.corners[:, ::-1], -lids.normals[:, ::-1], lids.texcoords[:, ::-1])
    wrong = (outward < 0)[:, None, None]
    closed = Mesh(
        np.where(wrong, flipped.corners, lids.corners),
        np.where(wrong, flipped.normals, lids.normals),
        lids.texcoords,
    )
    return join(body, closed)


def terrain(x_m: Floats, y_m: Floats, z_m: Floats) -> Mesh:
    """A surface over a plan grid: ``x_m`` [nx], ``y_m`` [ny], heights ``z_m`` [ny, nx]; round shading."""
    gx, gy = np.meshgrid(x_m, y_m)
    points = np.stack([gx, gy, z_m], axis=-1)
    dz_dy, dz_dx = np.gradient(z_m, y_m, x_m)
    normal = unit_rows(np.stack([-dz_dx, -dz_dy, np.ones_like(z_m)], axis=-1))
    surface = np.stack([gx, -gy], axis=-1)

    def triangles(grid: Floats) -> Floats:
        a, b, c, d = grid[:-1, :-1], grid[:-1, 1:], grid[1:, 1:], grid[1:, :-1]
        cells = np.concatenate([np.stack([a, b, c], axis=2), np.stack([a, c, d], axis=2)])
        return cells.reshape(-1, 3, grid.shape[-1])

    return Mesh(triangles(points), triangles(normal), triangles(surface))
