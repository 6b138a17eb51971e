"""Pictures of a world for people: a contact sheet of its frames, and a bird's-eye map of what happens."""

from pathlib import Path

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Circle, Polygon, Rectangle
from numpy.typing import NDArray
from PIL import Image, ImageDraw

from outofsight.files import file_in_one_piece
from outofsight.types import Clip, SubjectTrack, is_seen
from outofsight.worlds.model import World

COLOURS = ("#d1495b", "#2f7fc1", "#2e9e4f", "#c98a00", "#8e5bb5", "#008a8a", "#a0522d", "#e377c2")
GAP_PX = 4
NUM_FRUSTA = 9
FRUSTUM_M = 2.2  # drawn length, times the scene's scale


def contact_sheet(clip: Clip, columns: int = 6, rows: int = 4, zoom: int = 1) -> NDArray[np.uint8]:
    """Lay frames evenly spread over the clip on one sheet [h, w, 3]; a bar marks context (grey) and target (orange)."""
    frames = np.linspace(0, len(clip.video) - 1, columns * rows).round().astype(int)
    height, width = clip.video.shape[1] * zoom, clip.video.shape[2] * zoom
    sheet = Image.new(
        "RGB", (columns * (width + GAP_PX) + GAP_PX, rows * (height + 3 * GAP_PX) + GAP_PX), "white"
    )
    pen = ImageDraw.Draw(sheet)
    for place, frame in enumerate(frames):
        x = GAP_PX + place % columns * (width + GAP_PX)
        y = GAP_PX + place // columns * (height + 3 * GAP_PX)
        picture = Image.fromarray(clip.video[frame]).resize((width, height), Image.Resampling.NEAREST)
        sheet.paste(picture, (x, y))
        in_target = frame >= clip.num_context_frames
        pen.rectangle(
            (x, y + height, x + width - 1, y + height + GAP_PX - 1), "#ee8800" if in_target else "#999999"
        )
        for index, subject in enumerate(clip.subjects):
            if is_seen(subject.visibility)[frame]:
                dot = x + 2 + 8 * index
                pen.rectangle((dot, y + height - 7, dot + 5, y + height - 2), COLOURS[index % len(COLOURS)])
    return np.asarray(sheet)


def draw_map(world: World, subjects: tuple[SubjectTrack, ...], path: Path) -> None:
    """Draw the ground from above: obstacles, the camera's way and views, and each subject's way, dotted while hidden.

    Raises ``OutputError`` if the picture cannot be written.
    """
    figure = Figure(figsize=(8, 8), layout="constrained")
    axes = figure.subplots()
    _draw_ground(axes, world)
    _draw_camera(axes, world)
    for index, subject in enumerate(subjects):
        _draw_path(axes, subject, COLOURS[index % len(COLOURS)], world.spec.num_context_frames)
    axes.legend(loc="upper right", fontsize=8)
    axes.set(
        aspect="equal",
        xlabel="x (m)",
        ylabel="y (m)",
        title=f"{world.spec.scene}, {world.spec.camera.trajectory}",
    )
    _zoom(axes, world)
    with file_in_one_piece(path) as temporary:
        figure.savefig(temporary, dpi=110, format="png", metadata={"Software": None})


def _draw_ground(axes: Axes, world: World) -> None:
    x0, y0, x1, y1 = world.layout.free_area
    axes.add_patch(Rectangle((x0, y0), x1 - x0, y1 - y0, facecolor="#f4f1e8", edgecolor="#bbbbbb"))
    for obstacle in world.layout.obstacles:
        if obstacle.kind == "disc":
            shape: Circle | Polygon = Circle(obstacle.centre_m, obstacle.half_size_m[0], facecolor="#b9b4a5")
        else:
            c, s = np.cos(obstacle.yaw_rad), np.sin(obstacle.yaw_rad)
            corners = np.array([[1, 1], [-1, 1], [-1, -1], [1, -1]]) * np.asarray(obstacle.half_size_m)
            shape = Polygon(corners @ np.array([[c, s], [-s, c]]) + obstacle.centre_m, facecolor="#b9b4a5")
        axes.add_patch(shape)


def _draw_camera(axes: Axes, world: World) -> None:
    poses, spec = world.motion.world_from_camera, world.spec
    axes.plot(poses[:, 0, 3], poses[:, 1, 3], color="black", linewidth=1.2, label="camera")
    axes.plot(*poses[0, :2, 3], marker="^", color="black")
    half = spec.camera.fov_x_rad / 2
    reach = FRUSTUM_M * world.layout.subject_scale
    for frame in np.linspace(0, spec.num_frames - 1, NUM_FRUSTA).round().astype(int):
        yaw = np.arctan2(poses[frame, 1, 2], poses[frame, 0, 2])
        eye = poses[frame, :2, 3]
        sides = [eye + reach * np.array([np.cos(yaw + turn), np.sin(yaw + turn)]) for turn in (half, -half)]
        colour = "#ee8800" if frame >= spec.num_context_frames else "#777777"
        axes.add_patch(Polygon([eye, *sides], facecolor=colour, alpha=0.18, edgecolor=colour))


def _draw_path(axes: Axes, subject: SubjectTrack, colour: str, split: int) -> None:
    if subject.world_from_subject is None:
        return
    place, seen = subject.world_from_subject[:, :2, 3], is_seen(subject.visibility)
    axes.plot(*np.where(seen[:, None], place, np.nan).T, color=colour, linewidth=2.5, label=subject.name)
    axes.plot(*np.where(seen[:, None], np.nan, place).T, color=colour, linewidth=1.8, linestyle=":")
    axes.plot(*place[0], marker="o", color=colour)
    axes.plot(*place[split], marker="|", markersize=12, color=colour)
    axes.plot(*place[-1], marker="s", color=colour)


def _zoom(axes: Axes, world: World) -> None:
    """Show what moves, with room around, rather than the whole scene."""
    places = [world.motion.world_from_camera[:, :2, 3], *(path.position_m for path in world.motion.paths)]
    points = np.concatenate(places)
    middle, reach = (points.min(0) + points.max(0)) / 2, np.ptp(points, axis=0).max() / 2
    reach = max(reach, 1.0 * world.layout.subject_scale) * 1.2 + 2.0 * world.layout.subject_scale
    axes.set_xlim(middle[0] - reach, middle[0] + reach)
    axes.set_ylim(middle[1] - reach, middle[1] + reach)


def save_picture(pixels: NDArray[np.uint8], path: Path) -> None:
    """Write a picture [h, w, 3] as PNG. Raises ``OutputError`` if it cannot be written."""
    with file_in_one_piece(path) as temporary:
        Image.fromarray(pixels).save(temporary, format="png", optimize=True)
