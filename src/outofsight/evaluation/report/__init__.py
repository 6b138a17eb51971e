"""One HTML file with everything in it: tables, plots, videos side by side. It needs no network and no other file."""

import base64
import os
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from outofsight.data.files import write_text
from outofsight.data.video import write_video
from outofsight.evaluation.case import Video
from outofsight.evaluation.plots import frame_plot, interval_plot, retrieved_by, sweeps
from outofsight.evaluation.report.first_screen import first_screen
from outofsight.evaluation.report.page import clip_section, clip_table, group_section, page, settings_section
from outofsight.evaluation.results import (
    Results,
    leading_method,
    ranked_clips,
    ranking_metric,
    shown_metrics,
)
from outofsight.evaluation.retrieval import bubble_plot, frequencies, load_retrieval, timeline
from outofsight.evaluation.run import Evaluation
from outofsight.evaluation.views import View, view_of

LEAST_HEIGHT_PX = 128
"""Smaller videos are enlarged in whole steps: players smooth what they enlarge."""


def write_report(
    path: Path, results: Results, evaluation: Evaluation, made: Mapping[str, Any], *, num_shown: int = 24
) -> None:
    """Write the report. ``num_shown``: how many clips' videos are in it, half of them the worst, the others spread.

    Raises:
        OutputError: the file cannot be written.
    """
    metric, leader = ranking_metric(results), leading_method(results)
    ranked = ranked_clips(results, leader, metric)
    shown = shown_clips(ranked, num_shown)
    by_name = {clip.name: clip for clip in results.clips}
    sections = [group_section(results, group) for group in results.groups]
    plots = [frame_plot(results), *sweeps(results).values()]
    plots += [interval_plot(results, metric) for metric in shown_metrics(results)]
    for method in results.methods:
        counts = retrieved_by(results, evaluation.config.store, method.name)
        if counts is not None:
            plots.append(bubble_plot(counts, f"{method.name}: how often target frames retrieved each slice"))
    first = worst_median_best(ranked) if shown else {}
    clips = {
        name: _clip(results, evaluation, view_of(evaluation, by_name[name]), leader)
        for name in dict.fromkeys((*first.values(), *shown))
    }
    opening = first_screen(results, leader, [(word, clips.pop(name)) for word, name in first.items()])
    table = clip_table(results, ranked, [*first.values(), *shown], leader, metric)
    text = page(
        title="What was out of sight: an evaluation",
        parts=[opening, *sections, table, *clips.values()],
        plots=plots,
        settings=settings_section(results, made),
    )
    write_text(path, text)


def worst_median_best(ranked: list[str]) -> dict[str, str]:
    """Name the clips of the first screen, which are fewer where there are fewer."""
    chosen: dict[str, str] = {}
    for word, name in (("worst", ranked[0]), ("best", ranked[-1]), ("median", ranked[len(ranked) // 2])):
        if name not in chosen.values():
            chosen[word] = name
    return {word: chosen[word] for word in ("worst", "median", "best") if word in chosen}


def shown_clips(ranked: list[str], number: int) -> list[str]:
    """Choose the clips whose videos are shown: half the number from the worst end, the rest spread over the others."""
    if len(ranked) <= number:
        return ranked
    worst = ranked[: (number + 1) // 2]
    others, places = ranked[len(worst) :], number - len(worst)
    return [*worst, *(others[(2 * place + 1) * len(others) // (2 * places)] for place in range(places))]


def _clip(results: Results, evaluation: Evaluation, view: View, leader: str) -> str:
    """Make one clip's part of the page: videos, timeline, numbers, and what was retrieved."""
    videos = {"truth": view.case.truth, **view.answers}
    embedded = {name: video_uri(video, view.case.fps) for name, video in videos.items()}
    context = video_uri(view.case.context, view.case.fps) if view.has_context else None
    pictures = []
    for method in results.methods:
        stored = evaluation.config.store.retrieval(method.name, view.clip.name)
        if stored.is_file():
            counts = frequencies(load_retrieval(stored))
            title = f"{method.name}: which slices each target frame used"
            pictures.append(timeline(counts, view.target_phases, title))
    return clip_section(results, view, context, embedded, pictures)


def video_uri(video: Video, fps: float) -> str:
    """Encode a video as a data URI that every browser plays."""
    scale = max(1, -(-LEAST_HEIGHT_PX // video.shape[1]))
    if video.shape[1] * scale % 2 or video.shape[2] * scale % 2:
        scale *= 2  # players need an even height and width
    enlarged = video.repeat(scale, axis=1).repeat(scale, axis=2)
    with tempfile.TemporaryDirectory(prefix=f"outofsight-{os.getpid()}-") as folder:
        path = Path(folder) / "video.mp4"
        write_video(path, enlarged, fps, quality="medium")
        return "data:video/mp4;base64," + base64.b64encode(path.read_bytes()).decode("ascii")
