"""What each target frame retrieved: a row for each target latent frame, a column for each memory slice.

::

                       slice 0    slice 1   ...
                      [picture]  [picture]         and under it, when the subject was seen
    target 0 [picture]   ▒▒ ●       ░░             shade: in how many of all steps and layers it was retrieved
    target 1 [picture]   ░░         ▓▓ •           dot: how often it was the first choice

Outlined: the window of full-resolution frames that the row attends to anyway.
"""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw

from outofsight.demo.moving_picture import (
    FAINT,
    INK,
    LINE,
    PAPER,
    Rgb,
    SideBySide,
    blended,
    enlarged,
    phase_bar,
)
from outofsight.evaluation.drawing import font
from outofsight.files import file_in_one_piece
from outofsight.sampling.continuation import Retrieval
from outofsight.types import WAN_CLOCK

CELL, ROW = 84, 50  # a column's width and a row's height, pixels
LEFT, TOP, BOTTOM, EDGE = 196, 186, 64, 20
RETRIEVED: Rgb = (64, 128, 214)
WINDOW: Rgb = (200, 204, 210)


@dataclass(frozen=True, kw_only=True, eq=False)
class MemoryUse:
    """How target latent frames used memory slices, over all steps and layers of a run.

    ``chosen`` float64 [t, m]: share of steps and layers in which row t retrieved slice m; ``first``: in which the
    slice was its first choice. ``windows`` int [t, 2]: first and last latent frame (context counted) that the row
    sees in full. ``frames_per_slice``, ``num_context_latent_frames``: in latent frames.
    """

    chosen: NDArray[np.float64]
    first: NDArray[np.float64]
    windows: NDArray[np.int64]
    frames_per_slice: int
    num_context_latent_frames: int

    @property
    def num_slices(self) -> int:
        return self.chosen.shape[1]

    @property
    def num_retrieved(self) -> int:
        """How many slices every frame retrieves."""
        return round(float(self.chosen[0].sum()))


def memory_use(retrieval: Retrieval, num_slices: int, windows: NDArray[np.int64]) -> MemoryUse:
    """Count a run's retrievals. ``windows`` int [f, 2]: first and last latent frame of every frame's window."""
    split = retrieval.num_context_latent_frames
    slices = retrieval.slices[:, :, split:].cpu().numpy()  # [steps, layers, t, k], best first
    every = np.arange(num_slices)
    return MemoryUse(
        chosen=(slices[..., None] == every).any(axis=3).mean(axis=(0, 1)),
        first=(slices[..., :1] == every).mean(axis=(0, 1)),
        windows=windows[split:],
        frames_per_slice=retrieval.frames_per_slice,
        num_context_latent_frames=split,
    )


def video_frames_of(latent: int, num_context_latent: int, num_context: int, num_target: int) -> range:
    """Give the video frames, context and target counted together, that a latent frame stands for."""
    in_target = latent >= num_context_latent
    start, num_frames = (num_context, num_target) if in_target else (0, num_context)
    place = latent - num_context_latent if in_target else latent
    span = WAN_CLOCK.spans(num_frames)[place]
    return range(start + span.start, start + span.stop)


def subject_slices(
    use: MemoryUse, case_frames: tuple[int, int], seen: NDArray[np.bool_]
) -> NDArray[np.bool_]:
    """Tell which slices [m] show the subject, from the frames [n] in which it is seen; context and target lengths."""
    return np.array(
        [seen[_frames_of_slice(use, index, case_frames)].any() for index in range(use.num_slices)]
    )


def _frames_of_slice(use: MemoryUse, index: int, case_frames: tuple[int, int]) -> list[int]:
    span = range(index * use.frames_per_slice, (index + 1) * use.frames_per_slice)
    return [
        frame
        for latent in span
        for frame in video_frames_of(latent, use.num_context_latent_frames, *case_frames)
    ]


def draw_memory(shown: SideBySide, use: MemoryUse) -> Image.Image:
    """Draw what every target latent frame retrieved."""
    num_rows, num_slices = use.chosen.shape
    size = (LEFT + num_slices * CELL + EDGE, TOP + num_rows * ROW + BOTTOM)
    picture = Image.new("RGB", size, PAPER)
    pen = ImageDraw.Draw(picture)
    pen.text((EDGE, 14), "What each generated frame retrieved from memory", fill=INK, font=font(20))
    pen.text(
        (EDGE, 42),
        f"Columns: memory slices, {use.num_retrieved} of {num_slices} retrieved by each frame. Rows: generated frames. "
        f"Bars: {shown.subject} visible, hidden, re-entered.",
        fill=FAINT,
        font=font(14),
    )
    frames = (shown.case.num_context_frames, shown.case.num_target_frames)
    phases, video = shown.phases, np.concatenate((shown.case.context, shown.generated))
    for index in range(num_slices):
        _put_slice(picture, index, _frames_of_slice(use, index, frames), video, phases)
    for row in range(num_rows):
        latent = use.num_context_latent_frames + row
        own = list(video_frames_of(latent, use.num_context_latent_frames, *frames))
        _put_row(picture, row, own, video, phases)
        for index in range(num_slices):
            _put_cell(pen, row, index, use)
        _put_window(pen, row, use)
    _put_border(pen, use, size[1] - BOTTOM)
    _put_key(pen, size[1] - BOTTOM + 22)
    return picture


def save_memory_picture(shown: SideBySide, use: MemoryUse, path: Path) -> None:
    """Draw and write a PNG. Raises ``OutputError`` if it cannot be written."""
    with file_in_one_piece(path) as temporary:
        draw_memory(shown, use).save(temporary, format="png", optimize=True)


def _put_slice(
    picture: Image.Image, index: int, frames: list[int], video: NDArray[np.uint8], phases: NDArray[np.int8]
) -> None:
    """Draw a column's head: its middle frame, when its frames were, and the subject's phases in them."""
    left, pen = LEFT + index * CELL, ImageDraw.Draw(picture)
    pen.text((left + 3, TOP - 92), _span(frames), fill=FAINT, font=font(13))
    picture.paste(enlarged(video[frames[len(frames) // 2]], CELL - 6), (left + 3, TOP - 74))
    phase_bar(pen, (left + 3, TOP - 14, left + CELL - 3, TOP - 6), phases[frames])


def _span(frames: list[int]) -> str:
    return f"{frames[0]}" if len(frames) == 1 else f"{frames[0]}-{frames[-1]}"


def _put_row(
    picture: Image.Image, row: int, frames: list[int], video: NDArray[np.uint8], phases: NDArray[np.int8]
) -> None:
    top, pen = TOP + row * ROW, ImageDraw.Draw(picture)
    pen.text((EDGE, top + 16), _span(frames), FAINT, font(13))
    thumb = enlarged(video[frames[len(frames) // 2]], 66)
    picture.paste(thumb, (EDGE + 74, top + (ROW - thumb.height) // 2))
    phase_bar(pen, (EDGE + 146, top + 3, EDGE + 154, top + ROW - 3), phases[frames[-1:]])


def _put_cell(pen: ImageDraw.ImageDraw, row: int, index: int, use: MemoryUse) -> None:
    left, top = LEFT + index * CELL, TOP + row * ROW
    share, first = float(use.chosen[row, index]), float(use.first[row, index])
    pen.rectangle(
        (left + 3, top + 3, left + CELL - 4, top + ROW - 4),
        fill=blended(PAPER, RETRIEVED, 0.06 + 0.84 * share),
    )
    radius = 15 * first**0.5
    if radius >= 1:
        x, y = left + CELL / 2, top + ROW / 2
        pen.ellipse((x - radius, y - radius, x + radius, y + radius), fill=INK)


def _put_window(pen: ImageDraw.ImageDraw, row: int, use: MemoryUse) -> None:
    """Outline the columns' parts that lie in the row's window; windows need not begin with a slice."""
    edges = np.array([use.windows[row, 0], use.windows[row, 1] + 1]) / use.frames_per_slice
    left, right = (LEFT + round(CELL * float(np.clip(edge, 0, use.num_slices))) for edge in edges)
    top = TOP + row * ROW
    if right > left:
        pen.rectangle((left + 1, top + 1, right - 2, top + ROW - 2), outline=WINDOW, width=1)


def _put_border(pen: ImageDraw.ImageDraw, use: MemoryUse, bottom: int) -> None:
    """Draw where the context ends among the columns, and name both sides."""
    border = LEFT + round(CELL * use.num_context_latent_frames / use.frames_per_slice)
    pen.text((LEFT + 3, TOP - 112), "frames given", fill=INK, font=font(14))
    if border < LEFT + use.num_slices * CELL:
        pen.text((border + 5, TOP - 112), "frames being generated", fill=INK, font=font(14))
        pen.line((border, TOP - 110, border, bottom), fill=FAINT, width=1)


def _put_key(pen: ImageDraw.ImageDraw, top: int) -> None:
    x = LEFT + 3
    for share, words in ((0.0, "never"), (0.5, "half of all steps and layers"), (1.0, "always retrieved")):
        pen.rectangle(
            (x, top, x + 22, top + 16), fill=blended(PAPER, RETRIEVED, 0.06 + 0.84 * share), outline=LINE
        )
        pen.text((x + 30, top), words, fill=FAINT, font=font(14))
        x += 46 + round(pen.textlength(words, font=font(14)))
    pen.ellipse((x, top, x + 16, top + 16), fill=INK)
    pen.text((x + 24, top), "first choice (area: how often)", fill=FAINT, font=font(14))
    x += 42 + round(pen.textlength("first choice (area: how often)", font=font(14)))
    pen.rectangle((x, top, x + 22, top + 16), outline=WINDOW)
    pen.text((x + 30, top), "window, seen in full anyway", fill=FAINT, font=font(14))
