"""A contact sheet: the best, the median and the worst clips, frame by frame, every method below the truth."""

from collections.abc import Sequence
from pathlib import Path
from textwrap import fill

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw

from outofsight.evaluation.case import PHASE_WORDS, Phase, Video
from outofsight.evaluation.drawing import PHASE_COLOURS, font, save_png
from outofsight.evaluation.evidence import Metric
from outofsight.evaluation.report import ClipView, read_view
from outofsight.evaluation.results import Results, format_number, leading_method, ranked_clips, ranking_metric

NUM_COLUMNS, PICTURE_PX, NAME_PX, GAP_PX, BAR_PX, HEAD_PX = 8, 128, 130, 4, 6, 30
NAME_CHARACTERS = 16
"""A method's name goes on in the next line after so many."""

INK, FAINT = (30, 30, 30), (120, 120, 120)


def write_sheet(path: Path, results: Results) -> None:
    """Draw the clips that the first model did best, middling and worst. Raises ``OutputError``."""
    metric, leader = ranking_metric(results), leading_method(results)
    blocks = []
    for word, name in chosen_clips(results, leader, metric).items():
        clip = next(clip for clip in results.clips if clip.name == name)
        blocks.append(_block(read_view(results, clip), _heading(results, word, name, leader, metric)))
    save_png(_stacked([*blocks, _legend(blocks[0].width)]), path)


def chosen_clips(results: Results, method: str, metric: Metric | None) -> dict[str, str]:
    """Choose the best, median and worst clip among those that could be measured; fewer where there are fewer."""
    ranked = ranked_clips(results, method, metric)
    if metric is not None:
        known = [name for name in ranked if results.records[method][name].value(metric.name) is not None]
        ranked = known or ranked
    chosen = {"best": ranked[-1], "median": ranked[len(ranked) // 2], "worst": ranked[0]}
    return {word: name for word, name in chosen.items() if len(ranked) >= 3 or word != "median"}


def _heading(results: Results, word: str, name: str, leader: str, metric: Metric | None) -> str:
    group = next(clip.group for clip in results.clips if clip.name == name)
    if metric is None:
        return f"{name} ({group})"
    value = format_number(results.records[leader][name].value(metric.name))
    return f"{word} of {leader}: {name} ({group}), {metric.name} {value} {metric.unit}".rstrip()


def _block(view: ClipView, heading: str) -> Image.Image:
    """Draw one clip: its heading, then a strip of frames for the context, the truth and each method."""
    case = view.case
    rows: list[tuple[str, Video, NDArray[np.int_], int]] = []
    target = _spread(case.num_target_frames)
    if view.clip.has_context:
        rows.append(("context", case.context, _spread(case.num_context_frames), 0))
    if case.has_truth:
        rows.append(("truth", case.truth, target, case.num_context_frames))
    rows += [(name, video, target, case.num_context_frames) for name, video in view.answers.items()]
    height = round(PICTURE_PX * case.truth.shape[1] / case.truth.shape[2])
    row_px = height + BAR_PX + GAP_PX
    size = (NAME_PX + NUM_COLUMNS * (PICTURE_PX + GAP_PX), HEAD_PX + 14 * 2 + row_px * len(rows) + 8)
    block = Image.new("RGB", size, "white")
    draw = ImageDraw.Draw(block)
    draw.text((8, 8), heading, INK, font(15))
    y = HEAD_PX
    for index, (name, video, frames, start) in enumerate(rows):
        if index == 0 or rows[index - 1][3] != start:
            _number(draw, frames, start, y)
            y += 14
        draw.text((8, y + height / 2), fill(name, NAME_CHARACTERS), INK, font(13), anchor="lm")
        for column, frame in enumerate(frames.tolist()):
            x = NAME_PX + column * (PICTURE_PX + GAP_PX)
            picture = Image.fromarray(video[frame]).resize((PICTURE_PX, height), Image.Resampling.LANCZOS)
            block.paste(picture, (x, y))
            if view.phases is not None:
                colour = PHASE_COLOURS[Phase(int(view.phases[start + frame]))]
                draw.rectangle((x, y + height, x + PICTURE_PX - 1, y + height + BAR_PX - 2), colour)
        y += row_px
    return block


def _spread(num_frames: int) -> NDArray[np.int_]:
    """Choose frames evenly, the first and the last among them."""
    return np.linspace(0, num_frames - 1, NUM_COLUMNS).round().astype(int)


def _number(draw: ImageDraw.ImageDraw, frames: NDArray[np.int_], start: int, y: int) -> None:
    for column, frame in enumerate(frames.tolist()):
        x = NAME_PX + column * (PICTURE_PX + GAP_PX)
        draw.text((x, y), f"frame {start + frame}", FAINT, font(11))


def _legend(width: int) -> Image.Image:
    legend = Image.new("RGB", (width, 28), "white")
    draw = ImageDraw.Draw(legend)
    x = NAME_PX
    for phase, colour in PHASE_COLOURS.items():
        draw.rectangle((x, 9, x + 22, 15), colour)
        draw.text((x + 28, 4), PHASE_WORDS[phase], INK, font(13))
        x += 140
    return legend


def _stacked(pictures: Sequence[Image.Image]) -> Image.Image:
    sheet = Image.new("RGB", (max(p.width for p in pictures), sum(p.height for p in pictures)), "white")
    y = 0
    for picture in pictures:
        sheet.paste(picture, (0, y))
        y += picture.height
    return sheet
