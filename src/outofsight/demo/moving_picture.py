"""The demo's moving picture: truth, what memory renders and what the model makes of it, side by side, and on a timeline
when the subject is hidden and back.

::

    caption
    +----------------+ +------------------+ +----------------+
    |  what happens  | | what is rendered | | what is shown  |     the middle one where memory is rendered
    +----------------+ +------------------+ +----------------+
    what truly happens  what memory renders  what the model shows
    [ context: visible, hidden | target: hidden, re-entered ]   with a hand at the frame that is shown
"""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from textwrap import wrap

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw

from outofsight.data.video import write_video
from outofsight.evaluation.case import PHASE_WORDS, ClipCase, Phase, Video, phases_of
from outofsight.evaluation.drawing import font
from outofsight.files import file_in_one_piece

Rgb = tuple[int, int, int]
Box = tuple[int, int, int, int]

PAPER: Rgb = (20, 23, 28)
INK: Rgb = (236, 236, 230)
FAINT: Rgb = (150, 156, 166)
LINE: Rgb = (58, 63, 72)
PHASES_ON_DARK: dict[Phase, Rgb] = {
    Phase.VISIBLE: (72, 176, 112),
    Phase.HIDDEN: (132, 139, 152),
    Phase.REENTERED: (240, 150, 44),
}


def blended(colour: Rgb, other: Rgb, share: float) -> Rgb:
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
        colour = blended(PHASES_ON_DARK[Phase(int(phase))], PAPER, dimmed)
        pen.rectangle((int(left), y0, int(right) - 1, y1 - 1), fill=colour)


TWO_PANELS, THREE_PANELS, GAP = 336, 288, 20
"""Width of a panel where there are two, and three; and between them."""

TOP, UNDER, BAR = 62, 34, 16
BOTTOM = 40
CAPTION_LETTERS = 98  # on a line
LAST_FRAME_S = 1.2  # how long the last frame stays before the picture begins again
WEBP_QUALITY = 60


@dataclass(frozen=True, kw_only=True, eq=False)
class SideBySide:
    """What is shown. ``generated`` uint8 [t, h, w, 3]; ``caption`` as the model reads it; ``maker``: who generated.
    ``rendered``: what memory renders of the same frames, where it does."""

    case: ClipCase
    generated: Video
    caption: str
    maker: str
    rendered: Video | None = None

    @property
    def num_panels(self) -> int:
        return 2 if self.rendered is None else 3

    @property
    def panel_width(self) -> int:
        return TWO_PANELS if self.rendered is None else THREE_PANELS

    @property
    def inner_width(self) -> int:
        """From the first panel's left edge to the last one's right."""
        return self.num_panels * (self.panel_width + GAP) - GAP

    @property
    def phases(self) -> NDArray[np.int8]:
        """Phase of every frame, context and target."""
        assert self.case.visibility is not None
        return phases_of(self.case.visibility, self.case.num_context_frames).frames

    @property
    def subject(self) -> str:
        return " and ".join(name.replace("_", " ") for name in self.case.subject_names) or "subject"


def draw_frames(shown: SideBySide) -> Iterator[Image.Image]:
    """Draw every frame of the moving picture."""
    ground = _ground(shown)
    for frame in range(shown.case.num_frames):
        picture = ground.copy()
        _put_panels(picture, shown, frame)
        _put_hand(picture, shown, frame)
        yield picture


def write_moving_picture(shown: SideBySide, mp4: Path, webp: Path) -> None:
    """Write the moving picture as a video file and as an animated picture for a page.

    Raises:
        OutputError: a file cannot be written.
    """
    fps = shown.case.fps
    pictures = list(draw_frames(shown))
    shown_longer = [*pictures, *[pictures[-1]] * round(LAST_FRAME_S * fps)]
    write_video(mp4, map(np.asarray, shown_longer), fps=fps)
    durations_ms = [round(1000 / fps)] * len(pictures)
    durations_ms[-1] = round(1000 * LAST_FRAME_S)
    with file_in_one_piece(webp) as temporary:
        pictures[0].save(
            temporary,
            format="webp",
            save_all=True,
            append_images=pictures[1:],
            duration=durations_ms,
            loop=0,
            quality=WEBP_QUALITY,
            method=4,
        )


def _panel_height(shown: SideBySide) -> int:
    height, width = shown.case.truth.shape[1:3]
    return round(height * shown.panel_width / width)


def _ground(shown: SideBySide) -> Image.Image:
    """Draw what stays: caption, words under the panels, the timeline."""
    width = shown.inner_width + 2 * GAP
    bar_top = TOP + _panel_height(shown) + UNDER
    height = bar_top + BAR + BOTTOM
    picture = Image.new("RGB", (width, height + height % 2), PAPER)
    pen = ImageDraw.Draw(picture)
    for line, text in enumerate(text_lines(shown.caption, CAPTION_LETTERS, 2)):
        pen.text((GAP, 14 + 20 * line), text, fill=INK, font=font(15))
    split, phases = shown.case.num_context_frames, shown.phases
    middle = _hand_x(shown, split)
    phase_bar(pen, (GAP, bar_top, middle - 2, bar_top + BAR), phases[:split], dimmed=0.45)
    phase_bar(pen, (middle + 2, bar_top, width - GAP, bar_top + BAR), phases[split:])
    below = bar_top + BAR + 10
    pen.text((GAP, below), "context, given to the model", fill=FAINT, font=font(14))
    pen.text((middle + 2, below), "target", fill=FAINT, font=font(14))
    _put_legend(pen, width - GAP, below)
    return picture


def _put_legend(pen: ImageDraw.ImageDraw, right: int, y: int) -> None:
    for phase in (Phase.REENTERED, Phase.HIDDEN, Phase.VISIBLE):
        word = PHASE_WORDS[phase]
        right -= round(pen.textlength(word, font=font(14)))
        pen.text((right, y), word, fill=FAINT, font=font(14))
        right -= 16
        pen.rectangle((right, y + 4, right + 10, y + 14), fill=PHASES_ON_DARK[phase])
        right -= 14


def _put_panels(picture: Image.Image, shown: SideBySide, frame: int) -> None:
    split = shown.case.num_context_frames
    in_target = frame >= split
    truth = shown.case.truth[frame - split] if in_target else shown.case.context[frame]
    pen, phase = ImageDraw.Draw(picture), Phase(int(shown.phases[frame]))
    words_y = TOP + _panel_height(shown) + 8
    state = f"{shown.subject} {PHASE_WORDS[phase]}"
    panels = [(truth, "what truly happens", state)]
    if shown.rendered is not None:
        panels.append(
            (shown.rendered[frame - split], "what memory renders", "remembered")
            if in_target
            else (truth, "what memory is shown", "")
        )
    panels.append(
        (shown.generated[frame - split], f"what {shown.maker} shows", "generated")
        if in_target
        else (truth, "what the model is given", "")
    )
    for place, (pixels, words, remark) in enumerate(panels):
        left = GAP + place * (shown.panel_width + GAP)
        panel = enlarged(pixels, shown.panel_width)
        colour = PHASES_ON_DARK[phase] if in_target else LINE
        pen.rectangle((left - 3, TOP - 3, left + shown.panel_width + 2, TOP + panel.height + 2), fill=colour)
        picture.paste(panel, (left, TOP))
        pen.text((left, words_y), words, fill=INK, font=font(16))
        right = left + shown.panel_width - round(pen.textlength(remark, font=font(16)))
        pen.text((right, words_y), remark, fill=PHASES_ON_DARK[phase], font=font(16))


def _hand_x(shown: SideBySide, frame: int) -> int:
    """Give the left edge of a frame on the timeline, in pixels."""
    return GAP + round(shown.inner_width * frame / shown.case.num_frames)


def _put_hand(picture: Image.Image, shown: SideBySide, frame: int) -> None:
    """Mark the frame that is shown, its number above the timeline's end."""
    top = TOP + _panel_height(shown) + UNDER
    x = (_hand_x(shown, frame) + _hand_x(shown, frame + 1)) // 2
    ImageDraw.Draw(picture).rectangle((x - 2, top - 5, x + 1, top + BAR + 4), fill=INK)
