"""Colours, letters and enlarged frames, the same in all the demo's pictures."""

from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from textwrap import wrap

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont

from outofsight.data.files import explained, written_whole
from outofsight.evaluation.case import Phase

Rgb = tuple[int, int, int]
Box = tuple[int, int, int, int]

PAPER: Rgb = (20, 23, 28)
INK: Rgb = (236, 236, 230)
FAINT: Rgb = (150, 156, 166)
LINE: Rgb = (58, 63, 72)
PHASE_COLOURS: dict[Phase, Rgb] = {
    Phase.VISIBLE: (72, 176, 112),
    Phase.HIDDEN: (132, 139, 152),
    Phase.REENTERED: (240, 150, 44),
}
PHASE_WORDS = {Phase.VISIBLE: "visible", Phase.HIDDEN: "hidden", Phase.REENTERED: "re-entered"}


@cache
def font(size_px: int) -> ImageFont.FreeTypeFont | ImageFont.ImageFont:
    """Give the font that comes with Pillow. It has no dash longer than a hyphen."""
    return ImageFont.load_default(size_px)


@contextmanager
def in_one_piece(path: Path) -> Iterator[Path]:
    """Give a temporary name that becomes ``path`` if all goes well. Raises ``OutputError``."""
    with explained(path), written_whole(path) as temporary:
        yield temporary


def mixed(colour: Rgb, other: Rgb, share: float) -> Rgb:
    """Mix two colours; ``share`` of the second."""
    red, green, blue = (round(a + (b - a) * share) for a, b in zip(colour, other, strict=True))
    return red, green, blue


def enlarged(frame: NDArray[np.uint8], width_px: int) -> Image.Image:
    """Scale a frame [h, w, 3] smoothly to a width, its shape kept."""
    height = round(frame.shape[0] * width_px / frame.shape[1])
    return Image.fromarray(frame).resize((width_px, height), Image.Resampling.LANCZOS)


def text_lines(text: str, num_letters: int, most_lines: int) -> list[str]:
    """Break a text into at most so many lines; an ellipsis stands for what does not fit."""
    lines = wrap(text, num_letters)
    if len(lines) <= most_lines:
        return lines
    return [*lines[: most_lines - 1], lines[most_lines - 1][: num_letters - 4].rstrip(" ,.") + " ..."]


def phase_bar(pen: ImageDraw.ImageDraw, box: Box, phases: NDArray[np.int8], dimmed: float = 0.0) -> None:
    """Fill a box from left to right with the phases of frames; ``dimmed``: share of paper in the colours."""
    x0, y0, x1, y1 = box
    edges = np.linspace(x0, x1, len(phases) + 1).round().astype(int)
    for phase, left, right in zip(phases, edges[:-1], edges[1:], strict=True):
        colour = mixed(PHASE_COLOURS[Phase(int(phase))], PAPER, dimmed)
        pen.rectangle((int(left), y0, int(right) - 1, y1 - 1), fill=colour)
