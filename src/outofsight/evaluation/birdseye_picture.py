"""The map, drawn: the camera and what it sees, seen subjects solid, hidden ones dotted with their uncertainty.

::

      ╲       ╱      grey wedge: what the camera sees; grey line: its way until then
       ╲  ●  ╱       filled: a held subject that is seen      circle, dotted: one that is hidden; its radius is two
        ╲ + ╱  ◌     cross: where a subject truly is          standard deviations of its position
          ▲          small angles: the archivist's views, dark where retrieved
"""

from dataclasses import dataclass
from math import ceil, cos, pi, sin

import numpy as np
from matplotlib.ticker import MaxNLocator
from numpy.typing import NDArray
from PIL import Image, ImageDraw

from outofsight.errors import InputError
from outofsight.evaluation.birdseye import BirdsEye, FiledViews, Floats, TrackedSubjects, TrueSubjects
from outofsight.evaluation.case import Video
from outofsight.evaluation.drawing import colour, font

MAP_PX, HEAD_PX, GAP_PX, KEY_PX = 240, 20, 6, 46
FINER = 3  # drawn so many times as large, and made smaller with smooth edges
DEVIATIONS = 2.0
DOT_GAP_PX, LEAST_DOTS = 5, 12  # of a dotted circle
LEAST_WIDTH_M = 2.0
MOST_MARKS = 6  # of the grid, each way
HELD_REACH = 3.0  # held subjects farther out than so many times the rest's extent are drawn at the edge
INK, FAINT, LINE, WEDGE = "#222222", "#777777", "#dddddd", "#eeeeea"
VIEW, RETRIEVED = "#c9ccd1", "#31549a"

Point = tuple[float, float]


@dataclass(frozen=True, kw_only=True)
class MapScale:
    """Maps metres (x right, z ahead) onto a square of ``size_px``: the middle of the map and metres across."""

    middle_m: Point
    width_m: float
    size_px: float = MAP_PX

    def __call__(self, place_m: Floats) -> Point:
        share = self.size_px / self.width_m
        x = self.size_px / 2 + (float(place_m[0]) - self.middle_m[0]) * share
        y = self.size_px / 2 - (float(place_m[2]) - self.middle_m[1]) * share
        return x, y

    def inside(self, place_m: Floats) -> tuple[Point, bool]:
        """Give the place, moved to the map's edge where it lies beyond, and whether it lies within."""
        x, y = self(place_m)
        edge = 6.0
        moved = (min(max(x, edge), self.size_px - edge), min(max(y, edge), self.size_px - edge))
        return moved, 0 <= x <= self.size_px and 0 <= y <= self.size_px


def map_scale(scene: BirdsEye) -> MapScale:
    """Choose one scale for all moments: whatever there is, but for held subjects that are lost far out."""
    firm = [scene.cameras[:, :, 3]]
    if scene.truth is not None:
        true_m = scene.truth.position_m.reshape(-1, 3)
        firm.append(true_m[np.isfinite(true_m).all(axis=1)])
    places = np.concatenate(firm)[:, [0, 2]]
    if scene.held is not None and scene.held.held.any():
        held = scene.held.position_m[scene.held.held][:, [0, 2]]
        middle = (places.min(axis=0) + places.max(axis=0)) / 2
        reach = max(float(np.ptp(places, axis=0).max()), LEAST_WIDTH_M) / 2 * HELD_REACH
        known = scene.truth is None or (np.abs(held - middle) <= reach).all(axis=1)
        places = np.concatenate([places, held[known].reshape(-1, 2)])
    low, high = places.min(axis=0), places.max(axis=0)
    width = max(float((high - low).max()) * 1.25, LEAST_WIDTH_M)
    middle = (low + high) / 2
    return MapScale(middle_m=(float(middle[0]), float(middle[1])), width_m=width)


def draw_moment(scene: BirdsEye, index: int, scale: MapScale) -> Image.Image:
    """Draw one moment's map, without words but for the metres of its grid and the subjects' numbers."""
    large = MapScale(middle_m=scale.middle_m, width_m=scale.width_m, size_px=scale.size_px * FINER)
    picture = Image.new("RGB", (round(large.size_px),) * 2, "white")
    pen = ImageDraw.Draw(picture)
    _grid(pen, large)
    _camera(pen, scene, index, large)
    if scene.filed:
        _views(pen, scene.filed[index], large)
    if scene.truth is not None:
        _true(pen, scene.truth, index, large)
    if scene.held is not None:
        _held(pen, scene.held, index, large)
    pen.rectangle((0, 0, large.size_px - 1, large.size_px - 1), outline=VIEW, width=FINER)
    return picture.resize((round(scale.size_px),) * 2, Image.Resampling.LANCZOS)


def birdseye_sheet(scene: BirdsEye, pictures: Video | None = None, num_columns: int = 6) -> Image.Image:
    """Draw all moments side by side, each under its time and, where given, its video frame [n, h, w, 3]."""
    panels = _panels(scene, pictures)
    width, height = panels[0].size
    columns = min(num_columns, len(panels))
    rows = ceil(len(panels) / columns)
    size = (columns * (width + GAP_PX) + GAP_PX, rows * (height + GAP_PX) + GAP_PX + KEY_PX)
    sheet = Image.new("RGB", size, "white")
    for index, panel in enumerate(panels):
        row, column = divmod(index, columns)
        sheet.paste(panel, (GAP_PX + column * (width + GAP_PX), GAP_PX + row * (height + GAP_PX)))
    _key(ImageDraw.Draw(sheet), size[1] - KEY_PX, size[0])
    return sheet


def birdseye_video(scene: BirdsEye, pictures: Video | None = None) -> Video:
    """Draw every moment as a frame of a video, uint8 [n, h, w, 3], height and width even."""
    frames = np.stack([np.asarray(panel) for panel in _panels(scene, pictures)])
    height, width = (side // 2 * 2 for side in frames.shape[1:3])
    return np.ascontiguousarray(frames[:, :height, :width])


def _panels(scene: BirdsEye, pictures: Video | None) -> list[Image.Image]:
    if pictures is not None and len(pictures) != scene.num_moments:
        raise InputError(
            f"expected a picture for each of {scene.num_moments} moments, got {len(pictures)}; give all or none"
        )
    scale = map_scale(scene)
    return [
        _panel(scene, index, scale, None if pictures is None else pictures[index])
        for index in range(scene.num_moments)
    ]


def _panel(scene: BirdsEye, index: int, scale: MapScale, frame: NDArray[np.uint8] | None) -> Image.Image:
    above = 0 if frame is None else round(MAP_PX * frame.shape[0] / frame.shape[1])
    panel = Image.new("RGB", (MAP_PX, HEAD_PX + above + MAP_PX), "white")
    ImageDraw.Draw(panel).text((2, 2), f"frame {scene.times[index]:g}", INK, font(13))
    if frame is not None:
        panel.paste(Image.fromarray(frame).resize((MAP_PX, above), Image.Resampling.LANCZOS), (0, HEAD_PX))
    panel.paste(draw_moment(scene, index, scale), (0, HEAD_PX + above))
    return panel


def _grid(pen: ImageDraw.ImageDraw, scale: MapScale) -> None:
    """Rule the map in round metres, and write how far apart the lines are."""
    half = scale.width_m / 2
    for axis in (0, 1):
        low = scale.middle_m[axis] - half
        for value in _marks(low, low + scale.width_m):
            place = scale(np.array([value, 0, value]))[axis]
            ends = (place, 0, place, scale.size_px) if axis == 0 else (0, place, scale.size_px, place)
            pen.line(ends, fill=LINE, width=FINER // 2 + 1)
    marks = _marks(scale.middle_m[0] - half, scale.middle_m[0] + half)
    if len(marks) > 1:
        step = marks[1] - marks[0]
        pen.text((6, scale.size_px - 15 * FINER), f"grid {step:g} m", FAINT, font(11 * FINER))


def _marks(low: float, high: float) -> list[float]:
    """Choose round values within [low, high]."""
    marks = (float(mark) for mark in MaxNLocator(MOST_MARKS).tick_values(low, high))
    return [mark for mark in marks if low <= mark <= high]


def _camera(pen: ImageDraw.ImageDraw, scene: BirdsEye, index: int, scale: MapScale) -> None:
    """Draw what the camera sees, its way until now, and itself."""
    pose = scene.cameras[index]
    here = scale(pose[:, 3])
    pen.polygon([here, *_edges(pose, scene.fov_x_rad, scale, scale.width_m * 2)], fill=WEDGE)
    _grid(pen, scale)
    for before, after in zip(scene.cameras[:index], scene.cameras[1 : index + 1], strict=True):
        pen.line((*scale(before[:, 3]), *scale(after[:, 3])), fill=FAINT, width=FINER)
    pen.polygon([here, *_edges(pose, scene.fov_x_rad, scale, scale.width_m * 0.05)], fill=INK)


def _edges(pose: Floats, fov_x_rad: float, scale: MapScale, length_m: float) -> list[Point]:
    """Give the far corners of a camera's view at a distance, seen from above."""
    half = fov_x_rad / 2
    rays = [pose[:, :3] @ np.array([side * sin(half), 0.0, cos(half)]) for side in (-1, 1)]
    return [scale(pose[:, 3] + length_m * ray) for ray in rays]


def _views(pen: ImageDraw.ImageDraw, filed: FiledViews, scale: MapScale) -> None:
    """Draw the archivist's views as short angles, those retrieved dark and on top."""
    for index in np.argsort(filed.retrieved, kind="stable").tolist():
        pose, chosen = filed.cameras[index], bool(filed.retrieved[index])
        left, right = _edges(pose, 0.5, scale, scale.width_m * (0.16 if chosen else 0.12))
        corners = [left, scale(pose[:, 3]), right]
        pen.line(corners, fill=RETRIEVED if chosen else VIEW, width=FINER * (2 if chosen else 1))


def _true(pen: ImageDraw.ImageDraw, truth: TrueSubjects, index: int, scale: MapScale) -> None:
    """Draw where subjects truly are as crosses, and the way that each went; nothing where that is not known."""
    reach = 6.0 * FINER
    for subject in range(truth.seen.shape[1]):
        went = truth.position_m[: index + 1, subject]
        trajectory = [scale(place) for place in went[np.isfinite(went).all(axis=1)]]
        if len(trajectory) > 1:
            pen.line(trajectory, fill=FAINT, width=FINER // 2 + 1)
        if not np.isfinite(went[-1]).all():
            continue
        x, y = trajectory[-1]
        fill = INK if truth.seen[index, subject] else FAINT
        pen.line((x - reach, y, x + reach, y), fill=fill, width=FINER)
        pen.line((x, y - reach, x, y + reach), fill=fill, width=FINER)


def _held(pen: ImageDraw.ImageDraw, held: TrackedSubjects, index: int, scale: MapScale) -> None:
    """Draw the tracker's subjects: solid where seen, dotted where hidden; a dash shows the way of 4 frames."""
    for slot in np.flatnonzero(held.held[index]).tolist():
        place, moving = held.position_m[index, slot], held.velocity_m[index, slot]
        number = int(held.numbers[index, slot])
        (x, y), within = scale.inside(place)
        fill, seen = colour(number), bool(held.seen[index, slot])
        radius = DEVIATIONS * float(held.deviation_m[index, slot]) * scale.size_px / scale.width_m
        _circle(pen, (x, y), max(radius, 5.0 * FINER), fill, dotted=not seen)
        if seen:
            reach = 4.0 * FINER
            pen.ellipse((x - reach, y - reach, x + reach, y + reach), fill=fill)
        if within:
            pen.line((x, y, *scale(place + 4 * moving)), fill=fill, width=FINER)
        words = str(number) if within else f"{number} (far)"
        pen.text((x + 6 * FINER, y - 16 * FINER), words, fill, font(12 * FINER))


def _circle(pen: ImageDraw.ImageDraw, middle: Point, radius: float, fill: str, *, dotted: bool) -> None:
    x, y = middle
    if not dotted:
        pen.ellipse((x - radius, y - radius, x + radius, y + radius), outline=fill, width=FINER)
        return
    dot = 1.2 * FINER
    num_dots = max(LEAST_DOTS, round(2 * pi * radius / (DOT_GAP_PX * FINER)))
    for angle in np.arange(num_dots) * 2 * pi / num_dots:
        a, b = x + radius * cos(angle), y + radius * sin(angle)
        pen.ellipse((a - dot, b - dot, a + dot, b + dot), fill=fill)


def _key(pen: ImageDraw.ImageDraw, top: int, width: int) -> None:
    """Say what the signs mean; in two lines, since a sheet may be narrow."""
    signs = "filled: held and seen   dotted: held, hidden (2 deviations)   cross: truth"
    lines = "wedge: camera's view   angles: filed views, dark: retrieved"
    for down, words in ((4, signs), (22, lines)):
        pen.text((GAP_PX, top + down), words, INK, font(12 if width >= 620 else 10))
