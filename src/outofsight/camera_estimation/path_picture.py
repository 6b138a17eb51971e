"""A picture of a camera path: from above, with views as wedges; and its turns and way over time."""

from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw

from outofsight.files import file_in_one_piece
from outofsight.types import CameraPath

SIDE_PX, MARGIN_PX, WEDGES = 480, 40, 9
PAPER, INK, FAINT = (255, 255, 255), (40, 40, 40), (200, 200, 200)
BEGIN, END = np.array([40, 90, 200]), np.array([220, 90, 30])
CURVES = (("turn to the left, °", (40, 90, 200)), ("tilt up, °", (30, 150, 80)), ("roll, °", (160, 60, 170)))
USUAL_HALF_FOV_RAD = 0.6


def write_path_picture(path: Path, cameras: CameraPath, title: str) -> None:
    """Draw a path as PNG. Blue is its beginning, orange its end. Raises ``OutputError``."""
    picture = Image.new("RGB", (2 * SIDE_PX, SIDE_PX + MARGIN_PX), PAPER)
    pen = ImageDraw.Draw(picture)
    pen.text((12, 12), title, fill=INK)
    _from_above(pen, cameras)
    _over_time(pen, cameras)
    with file_in_one_piece(path) as temporary:
        picture.save(temporary, format="PNG")


def _colour(share: float) -> tuple[int, int, int]:
    red, green, blue = (BEGIN + share * (END - BEGIN)).astype(int).tolist()
    return red, green, blue


def _from_above(pen: ImageDraw.ImageDraw, cameras: CameraPath) -> None:
    ground = cameras.world_from_camera[:, :2, 3]
    middle, size = (ground.min(0) + ground.max(0)) / 2, max(float(np.ptp(ground, axis=0).max()), 0.5)
    scale = (SIDE_PX - 6 * MARGIN_PX) / size
    places = np.column_stack(
        [SIDE_PX / 2 - scale * (ground[:, 1] - middle[1]), SIDE_PX / 2 - scale * (ground[:, 0] - middle[0])]
    )
    places[:, 1] += MARGIN_PX
    half = USUAL_HALF_FOV_RAD if cameras.intrinsics is None else cameras.intrinsics.fov_x_rad / 2
    count = len(places)
    for frame in np.linspace(0, count - 1, min(WEDGES, count)).astype(int).tolist():
        ahead = cameras.world_from_camera[frame, :2, 2]
        heading = np.arctan2(-ahead[0], -ahead[1])  # up the page is +x, to the left +y
        corners = [
            tuple(places[frame] + 2 * MARGIN_PX * np.array([np.cos(a), np.sin(a)]))
            for a in (heading - half, heading + half)
        ]
        pen.polygon([tuple(places[frame]), *corners], outline=_colour(frame / max(count - 1, 1)))
    for frame in range(1, count):
        pen.line([tuple(places[frame - 1]), tuple(places[frame])], fill=_colour(frame / (count - 1)), width=3)
    bar = 10 ** np.floor(np.log10(size))
    pen.line([(MARGIN_PX, SIDE_PX), (MARGIN_PX + bar * scale, SIDE_PX)], fill=INK, width=2)
    pen.text((MARGIN_PX, SIDE_PX + 6), f"{bar:g} m, if its scale is known; seen from above", fill=INK)


def _over_time(pen: ImageDraw.ImageDraw, cameras: CameraPath) -> None:
    turns = _turns_deg(cameras)
    low, high = float(min(turns.min(), -1)), float(max(turns.max(), 1))
    left, right, top, bottom = (
        SIDE_PX + MARGIN_PX,
        2 * SIDE_PX - MARGIN_PX,
        2 * MARGIN_PX,
        SIDE_PX - MARGIN_PX,
    )
    across = np.linspace(left, right, len(turns))
    for level in (low, 0.0, high):
        height = bottom - (level - low) / (high - low) * (bottom - top)
        pen.line([(left, height), (right, height)], fill=FAINT)
        pen.text((left - 34, height - 6), f"{level:.0f}°", fill=INK)
    for number, (name, colour) in enumerate(CURVES):
        heights = bottom - (turns[:, number] - low) / (high - low) * (bottom - top)
        pen.line(list(zip(across.tolist(), heights.tolist(), strict=True)), fill=colour, width=2)
        pen.text((left + 140 * number, SIDE_PX), name, fill=colour)
    pen.text((left, SIDE_PX + 18), f"frames 0 to {len(turns) - 1}", fill=INK)


def _turns_deg(cameras: CameraPath) -> NDArray[np.float64]:
    """Give pan, tilt and roll over frames [n, 3], in degrees from the first."""
    right, down, ahead = (cameras.world_from_camera[:, :, axis] for axis in range(3))
    pan = np.unwrap(np.arctan2(ahead[:, 1], ahead[:, 0]))
    tilt = np.arcsin(np.clip(ahead[:, 2], -1, 1))
    roll = np.arctan2(-right[:, 2], -down[:, 2])
    angles = np.degrees(np.column_stack([pan, tilt, roll]))
    return np.asarray(angles - angles[0])
