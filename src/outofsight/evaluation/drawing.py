"""How plots look, drawn by matplotlib and given as SVG text, and what pictures drawn by PIL share."""

import io
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any

import matplotlib
from matplotlib.figure import Figure
from PIL import Image, ImageFont

from outofsight.evaluation.case import Phase
from outofsight.files import file_in_one_piece

PALETTE = (
    "#2f6fb0", "#d1495b", "#3a8f5c", "#8a5fb5", "#d98324", "#4aa3a2", "#8c6b4f", "#6c757d", "#b5478f", "#5b7c1f",
)  # fmt: skip
"""Colours of rows and curves, in order, again from the start where there are more."""

PHASE_COLOURS = {Phase.VISIBLE: "#4c8c4a", Phase.HIDDEN: "#9aa0a6", Phase.REENTERED: "#d9822b"}

INK, FAINT = "#222222", "#d9d9d9"
DOTS_PER_INCH = 100

STYLE: Any = {
    "font.size": 8,
    "axes.titlesize": 9,
    "axes.titlelocation": "left",
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.edgecolor": FAINT,
    "axes.axisbelow": True,
    "grid.color": FAINT,
    "grid.linewidth": 0.6,
    "svg.fonttype": "none",  # words stay words: small files that can be searched
    "svg.hashsalt": "outofsight",  # the same plot is the same bytes
}


def colour(index: int) -> str:
    """Give the n-th colour."""
    return PALETTE[index % len(PALETTE)]


def svg(draw: Callable[[Figure], None], width_px: float, height_px: float) -> str:
    """Let ``draw`` fill a figure of this size. Gives SVG."""
    with matplotlib.rc_context(STYLE), io.StringIO() as text:
        figure = Figure(
            figsize=(width_px / DOTS_PER_INCH, height_px / DOTS_PER_INCH),
            dpi=DOTS_PER_INCH,
            layout="constrained",
        )
        draw(figure)
        figure.savefig(text, format="svg", metadata={"Date": None})
        return text.getvalue()


def save_png(picture: Image.Image, path: Path) -> None:
    """Write a PNG in one piece. Raises ``OutputError``."""
    with file_in_one_piece(path) as temporary:
        picture.save(temporary, format="PNG", optimize=True)


@cache
def font(size_px: int) -> ImageFont.ImageFont | ImageFont.FreeTypeFont:
    """Give the font that comes with Pillow. It has no dash longer than a hyphen."""
    return ImageFont.load_default(size_px)
