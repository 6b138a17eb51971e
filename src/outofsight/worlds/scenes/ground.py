"""The ground as one painted map: every road mark, path and stain of a layout at its own place."""

from collections.abc import Sequence
from itertools import pairwise
from math import cos, sin

import numpy as np
from numpy.typing import NDArray

from outofsight.worlds.scenes.draft import Area, Draft
from outofsight.worlds.scenes.layout import Colour
from outofsight.worlds.scenes.mesh import Mesh, floor, terrain
from outofsight.worlds.scenes.noise import (
    Field,
    blend,
    cell_tone,
    fractal_noise,
    joint_depth,
    lattice_noise,
    shade,
    stock_grain,
    stock_noise,
    waves,
)

_FAR_HALF_M = 260.0
_FAR_PX = 192


class GroundMap:
    """An image over a plan area, drawn layer by layer, then laid at z = 0.

    ``x``, ``y``: metres at every pixel [h, w]. Surfaces return whole images; masks return shares [h, w] in [0, 1].
    """

    def __init__(self, draft: Draft, area: Area, px_per_m: float) -> None:
        self.draft, self.area, self.px_per_m = draft, area, px_per_m
        x0, y0, x1, y1 = area
        self.width, self.height = round((x1 - x0) * px_per_m), round((y1 - y0) * px_per_m)
        self.x = (x0 + (np.arange(self.width, dtype=np.float32) + 0.5) / px_per_m)[None, :]
        self.y = (y1 - (np.arange(self.height, dtype=np.float32) + 0.5) / px_per_m)[:, None]
        self.rng = draft.rng
        self.image: Field = np.ones((self.height, self.width, 3), dtype=np.float32)

    def noise(self, bump_m: float, octaves: int = 4, decay: float = 0.5) -> Field:
        """A smooth random field about in [−1, 1] with bumps of this size."""
        return stock_noise(self.rng, self.height, self.width, bump_m * self.px_per_m, octaves, decay)

    def grain(self, strength: float) -> Field:
        """Fine speckle, faint on purpose."""
        return np.float32(strength) * stock_grain(self.rng, self.height, self.width)

    # surfaces -------------------------------------------------------------------------------------------------

    def mottled(
        self, colour: Colour, patch_m: float = 3.0, amount: float = 0.1, grain: float = 0.03
    ) -> Field:
        """Asphalt, concrete, earth, snow: one colour, worn in patches."""
        return shade(colour, 1 + amount * self.noise(patch_m) + self.grain(grain))

    def meadow(self, colour: Colour, dry: Colour, patch_m: float = 4.0) -> Field:
        """Grass: two greens in patches, blades as grain."""
        share = np.clip(0.5 + 0.9 * self.noise(patch_m, 5, 0.6), 0, 1)
        return blend(shade(colour, 1 + self.grain(0.07)), shade(dry, 1 + self.grain(0.05)), share)

    def paving(
        self, colour: Colour, length_m: float, width_m: float, tone: float = 0.08, bond: float = 0.5
    ) -> Field:
        """Slabs or setts in rows along x, each row shifted by ``bond`` of a stone."""
        row = np.floor(self.y / width_m)
        across = self.x / length_m + bond * row
        stone = cell_tone(self.rng, np.floor(across), row, tone) * (1 + 0.05 * self.noise(1.5))
        blur = 1.0 / (self.px_per_m * length_m), 1.0 / (self.px_per_m * width_m)
        joints = np.maximum(
            joint_depth(across, 0.02 / length_m, blur[0]),
            joint_depth(self.y / width_m, 0.02 / width_m, blur[1]),
        )
        return shade(colour, stone * (1 - 0.35 * joints))

    def boards(self, colour: Colour, width_m: float, length_m: float, tone: float = 0.1) -> Field:
        """Floor boards along x."""
        row = np.floor(self.y / width_m)
        across = self.x / length_m + 0.37 * row
        board = cell_tone(self.rng, np.floor(across), row, tone)
        grain = lattice_noise(
            self.rng, self.height, self.width, max(2, self.height // 3), max(2, self.width // 60)
        )
        seams = np.maximum(
            joint_depth(self.y / width_m, 0.05, 0.5 / (self.px_per_m * width_m)),
            joint_depth(across, 0.005, 0.5 / (self.px_per_m * length_m)),
        )
        return shade(colour, board * (1 + 0.04 * grain) * (1 - 0.3 * seams))

    def checks(self, light: Colour, dark: Colour, size_m: float, joint: float = 0.25) -> Field:
        """Square tiles in two colours, like a chessboard."""
        column, row = np.floor(self.x / size_m), np.floor(self.y / size_m)
        tone = cell_tone(self.rng, column, row, 0.04)
        image = blend(shade(light, tone), shade(dark, tone), ((column + row) % 2).astype(np.float32))
        blur = 0.7 / (self.px_per_m * size_m)
        joints = np.maximum(
            joint_depth(self.x / size_m, 0.02, blur), joint_depth(self.y / size_m, 0.02, blur)
        )
        return image * (1 - joint * joints)[..., None]

    def ripples(self, colour: Colour, length_m: float, amount: float = 0.06) -> Field:
        """Sand blown by the wind."""
        bend = self.noise(6.0, 3)
        crest = waves((self.y + 0.3 * self.x) / length_m + 2.0 * bend)
        return shade(colour, 1 - amount + 2 * amount * crest * (0.6 + 0.4 * bend) + 0.05 * self.noise(9.0))

    # masks ----------------------------------------------------------------------------------------------------

    def within(self, distance_m: Field, soft_m: float = 0.0) -> Field:
        """1 where a signed distance is negative, over an edge at least one pixel wide."""
        edge = max(soft_m, 1.0 / self.px_per_m)
        return np.clip(0.5 - distance_m / edge, 0, 1)

    def rect(self, x0: float, y0: float, x1: float, y1: float, soft_m: float = 0.0) -> Field:
        return self.within(
            np.maximum(np.maximum(x0 - self.x, self.x - x1), np.maximum(y0 - self.y, self.y - y1)), soft_m
        )

    def disc(self, x: float, y: float, radius_m: float, soft_m: float = 0.0) -> Field:
        return self.within(np.hypot(self.x - x, self.y - y) - radius_m, soft_m)

    def line_distance(self, points_m: Sequence[Sequence[float]], reach_m: float) -> Field:
        """Distance of every pixel to a polyline, infinite beyond ``reach_m`` around its pieces."""
        nearest = np.full((self.height, self.width), np.inf, dtype=np.float32)
        for (ax, ay), (bx, by) in pairwise(points_m):
            columns = _span(self.x[0], (ax + bx) / 2, abs(bx - ax) / 2 + reach_m)
            rows = _span(self.y[:, 0], (ay + by) / 2, abs(by - ay) / 2 + reach_m)
            x, y = self.x[:, columns] - np.float32(ax), self.y[rows] - np.float32(ay)
            run_x, run_y = np.float32(bx - ax), np.float32(by - ay)
            share = np.clip((x * run_x + y * run_y) / max(run_x * run_x + run_y * run_y, 1e-9), 0, 1)
            distance = np.hypot(x - share * run_x, y - share * run_y)
            nearest[rows, columns] = np.minimum(nearest[rows, columns], distance)
        return nearest

    def strip(
        self, points_m: Sequence[Sequence[float]], width_m: float, soft_m: float = 0.0, rough_m: float = 0.0
    ) -> Field:
        """A road or path along a polyline; ``rough_m`` frays its edge."""
        distance = self.line_distance(points_m, width_m / 2 + soft_m + 2 * rough_m + 0.1) - width_m / 2
        return self.within(distance + rough_m * self.noise(0.8, 3) if rough_m else distance, soft_m)

    def dashes(
        self, start_m: float, end_m: float, y_m: float, width_m: float, dash_m: float, gap_m: float
    ) -> Field:
        """A broken line along x."""
        phase = (self.x - start_m) % (dash_m + gap_m)
        return self.rect(start_m, y_m - width_m / 2, end_m, y_m + width_m / 2) * (phase < dash_m)

    # laying ---------------------------------------------------------------------------------------------------

    def lay(self, surface: Field | Colour, share: Field | float = 1.0) -> None:
        """Cover what is there, where ``share`` is 1."""
        if isinstance(share, float):
            self.image = np.broadcast_to(np.asarray(surface, np.float32), self.image.shape).copy()
        else:
            covered = np.broadcast_to(share, self.image.shape[:2]).astype(np.float32, copy=False)
            rows, columns = np.flatnonzero(covered.any(axis=1)), np.flatnonzero(covered.any(axis=0))
            if len(rows) and len(columns):
                window = (slice(rows[0], rows[-1] + 1), slice(columns[0], columns[-1] + 1))
                above = surface[window] if isinstance(surface, np.ndarray) else surface
                self.image[window] = blend(self.image[window], above, covered[window])

    def worn(self, surface: Colour, share: Field, wear: float = 0.35) -> None:
        """Lay old paint: thinner in places."""
        self.lay(surface, share * (1 - wear * np.clip(0.5 + self.noise(0.6, 3), 0, 1)))

    def ground_things(self, reach_m: float = 0.45, depth: float = 0.45) -> None:
        """Darken the ground where obstacles stand on it, so that they do not float."""
        for obstacle in self.draft.obstacles:
            c, sn = abs(cos(obstacle.yaw_rad)), abs(sin(obstacle.yaw_rad))
            half_x, half_y = obstacle.half_size_m
            reach_x, reach_y = c * half_x + sn * half_y + reach_m, sn * half_x + c * half_y + reach_m
            rows = _span(self.y[:, 0], obstacle.centre_m[1], reach_y)
            columns = _span(self.x[0], obstacle.centre_m[0], reach_x)
            if rows.start == rows.stop or columns.start == columns.stop:
                continue
            points = np.empty((rows.stop - rows.start, columns.stop - columns.start, 2), dtype=np.float32)
            points[..., 0], points[..., 1] = self.x[:, columns], self.y[rows]
            near = np.clip(1 - obstacle.distance_m(points) / reach_m, 0, 1)
            self.image[rows, columns] *= (1 - depth * near * near)[..., None]

    def spread(self, far: Colour | None, haze: float = 1.0) -> None:
        """Lay the map at z = 0. With a ``far`` colour, fade its border into open ground that runs to the horizon.

        ``haze``: how much of the horizon's pale colour the open ground takes on with distance.
        """
        x0, y0, x1, y1 = self.area
        if far is not None:
            fade = np.clip(
                np.minimum(np.minimum(self.x - x0, x1 - self.x), np.minimum(self.y - y0, y1 - self.y)) / 4,
                0,
                1,
            )
            self.lay(far, 1 - fade.astype(np.float32))
            _open_ground(self.draft, far, haze)
        name = self.draft.show("ground", self.image)
        mesh = floor(x1 - x0, y1 - y0, picture=True).moved((x0 + x1) / 2, (y0 + y1) / 2)
        self.draft.decal("ground", mesh, name)


def _span(places: Field, middle: float, reach: float) -> slice:
    """The run of (sorted) pixel places within reach of a middle."""
    inside = np.flatnonzero(np.abs(places - middle) < reach)
    return slice(int(inside[0]), int(inside[-1]) + 1) if len(inside) else slice(0, 0)


def _open_ground(draft: Draft, colour: Colour, haze: float) -> None:
    """A great plane a little below the map, melting into the horizon's haze."""
    place = (np.arange(_FAR_PX, dtype=np.float32) + 0.5) / _FAR_PX * 2 - 1
    distance = np.hypot(place[None, :], place[:, None]) * _FAR_HALF_M
    veil = haze * np.clip((distance - 40) / 200, 0, 1) ** 0.7
    tone = 1 + 0.09 * fractal_noise(draft.rng, _FAR_PX, _FAR_PX, 24, 3) * np.clip(distance / 60, 0, 1)
    image = blend(shade(colour, tone), draft.haze_colour, veil)
    mesh = floor(2 * _FAR_HALF_M, 2 * _FAR_HALF_M, picture=True).moved(0, 0, -0.04)
    draft.decal("open ground", mesh, draft.show("open ground", image))


def outline_points(
    rng: np.random.Generator, start: Sequence[float], end: Sequence[float], bend_m: float, steps: int = 21
) -> NDArray:
    """A winding line from start to end [steps, 2] that strays by about ``bend_m``."""
    share = np.linspace(0, 1, steps)
    line = np.outer(1 - share, start) + np.outer(share, end)
    ahead = np.asarray(end, dtype=float) - np.asarray(start, dtype=float)
    side = np.array([-ahead[1], ahead[0]]) / max(float(np.linalg.norm(ahead)), 1e-9)
    phase = rng.uniform(0, 2 * np.pi, 2)
    stray = np.sin(share * np.pi * 2 + phase[0]) + 0.5 * np.sin(share * np.pi * 5 + phase[1])
    return line + np.outer(stray * np.sin(np.pi * share) ** 0.5 * bend_m, side)


def shifted(line_m: NDArray[np.float64], aside_m: float) -> list[list[float]]:
    """A line moved along y: the second wheel's rut."""
    return (line_m + np.array([0.0, aside_m])).tolist()


def hills(
    draft: Draft,
    name: str,
    heights: tuple[NDArray[np.float64], NDArray[np.float64]],
    surface: str,
    tint: Colour,
) -> None:
    """Rising land around the map, from (places [n] along x and y, heights [n, n]); what lies below z = 0 is left out.

    It comes as four strips around the middle, so that a ray meets one or two of them and not one box over all.
    """
    places, height = heights
    land = terrain(places, places, height)
    seen = land.corners[..., 2].max(axis=1) > 0
    x, y = np.moveaxis(land.corners.mean(axis=1)[:, :2], -1, 0)
    inner = np.abs(y)[seen & (np.abs(x) < 8)].min(initial=20.0)
    for strip in (y >= inner, y <= -inner, (np.abs(y) < inner) & (x > 0), (np.abs(y) < inner) & (x <= 0)):
        kept = seen & strip
        draft.textured(
            name, Mesh(land.corners[kept], land.normals[kept], land.texcoords[kept]), surface, tint
        )
