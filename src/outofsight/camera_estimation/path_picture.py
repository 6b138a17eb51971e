"""A picture of a camera path: from above, with views as wedges; and its turns and way over time."""

from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from outofsight.files import file_in_one_piece
from outofsight.types import CameraPath

WEDGES = 9
CURVES = ("turn to the left", "tilt up", "roll")
USUAL_HALF_FOV_RAD = 0.6


def write_path_picture(path: Path, cameras: CameraPath, title: str) -> None:
    """Draw a path as PNG. Blue is its beginning, orange its end. Raises ``OutputError``."""
    from matplotlib.figure import Figure  # noqa: PLC0415

    figure = Figure(figsize=(10, 5.4), layout="constrained")
    figure.suptitle(title, fontsize="small", wrap=True, parse_math=False)
    above, over_time = figure.subplots(1, 2)
    _draw_from_above(above, cameras)
    over_time.plot(_turns_deg(cameras), label=CURVES)
    over_time.set(xlabel="frame", ylabel="degrees from the first")
    over_time.legend()
    with file_in_one_piece(path) as temporary:
        figure.savefig(temporary, format="png")


def _draw_from_above(axes: Any, cameras: CameraPath) -> None:
    from matplotlib.colors import LinearSegmentedColormap  # noqa: PLC0415

    # Up the page is +x, to the left +y.
    places, ahead = (cameras.world_from_camera[:, 1::-1, column] * (-1, 1) for column in (3, 2))
    half = USUAL_HALF_FOV_RAD if cameras.intrinsics is None else cameras.intrinsics.fov_x_rad / 2
    length = max(float(np.ptp(places, axis=0).max()), 0.5) / 5
    colours = LinearSegmentedColormap.from_list("way", ["#285ac8", "#dc5a1e"])(np.linspace(0, 1, len(places)))
    axes.scatter(*places.T, s=9, c=colours)
    for frame in np.linspace(0, len(places) - 1, min(WEDGES, len(places))).astype(int).tolist():
        heading = np.arctan2(ahead[frame, 1], ahead[frame, 0])
        edges = heading + np.array([-half, half])
        corners = places[frame] + length * np.column_stack([np.cos(edges), np.sin(edges)])
        axes.fill(*np.vstack([places[frame], corners]).T, fill=False, edgecolor=colours[frame])
    axes.set_aspect("equal", adjustable="datalim")
    axes.set(title="seen from above", ylabel="metres, if the scale is known")


def _turns_deg(cameras: CameraPath) -> NDArray[np.float64]:
    """Give pan, tilt and roll over frames [n, 3], in degrees from the first."""
    right, down, ahead = (cameras.world_from_camera[:, :, axis] for axis in range(3))
    pan = np.unwrap(np.arctan2(ahead[:, 1], ahead[:, 0]))
    tilt = np.arcsin(np.clip(ahead[:, 2], -1, 1))
    roll = np.arctan2(-right[:, 2], -down[:, 2])
    angles = np.degrees(np.column_stack([pan, tilt, roll]))
    return np.asarray(angles - angles[0])
