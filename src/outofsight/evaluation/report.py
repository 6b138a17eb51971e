"""One HTML file with everything in it: who is better and by how much, tables, plots, videos side by side.

It needs no network and no other file. The first screen answers; the parts come below it.
"""

import base64
import json
import os
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from importlib.resources import files
from itertools import groupby
from pathlib import Path
from typing import Any

import jinja2
import numpy as np
from numpy.typing import NDArray

from outofsight.data.video import read_video, write_video
from outofsight.evaluation.case import PHASE_WORDS, ClipCase, Phase, Video, phases_of
from outofsight.evaluation.clips import EvalClip
from outofsight.evaluation.drawing import PHASE_COLOURS
from outofsight.evaluation.evidence import Metric
from outofsight.evaluation.methods import Method
from outofsight.evaluation.records import Record, RecordStore
from outofsight.evaluation.results import (
    Results,
    Summary,
    format_number,
    interval,
    leading_method,
    ranked_clips,
    ranking_metric,
    shown_metrics,
)
from outofsight.evaluation.retrieval import frequencies, load_retrieval, timeline
from outofsight.files import write_text

TITLE = "What was out of sight: an evaluation"

LEAST_HEIGHT_PX = 128
"""Smaller videos are enlarged in whole steps: players smooth what they enlarge."""

ANSWERS = ("psnr", "fg_psnr", "fg_psnr_reentered", "detection_rate", "identity_accuracy", "dsc_gt")
"""Images as a whole, subjects, subjects after their return; whether they are there, themselves, and consistent."""
NUM_ANSWERS = 6

FIRST_MODELS, FIRST_METHODS = 4, 5
"""Models and others' videos on the first screen, and all its rows."""

LISTED_METRICS = ("psnr", "fg_psnr", "fg_psnr_reentered")
"""What stands below a video."""


@dataclass(frozen=True, kw_only=True, eq=False)
class ClipView:
    """One clip with everybody's answers: the target frames of every method that answered, in the methods' order.

    ``phases`` int8 [c + t] of ``Phase``, of the whole frames; ``None``: visibility is not annotated.
    """

    clip: EvalClip
    case: ClipCase
    caption: str | None
    answers: dict[str, Video]
    phases: NDArray[np.int8] | None

    @property
    def target_phases(self) -> list[int]:
        """Phases of the target frames; empty where they are not known."""
        return [] if self.phases is None else self.phases[self.case.num_context_frames :].tolist()


def read_view(results: Results, clip: EvalClip) -> ClipView:
    """Gather a clip and all answers to it: as they were written down, or made again where that costs nothing."""
    sample, answers = clip.read(), {}
    for method in results.methods:
        if method.name == "truth" or results.records[method.name][clip.name].refused is not None:
            continue
        if method.is_kept:
            answers[method.name] = read_video(results.store.video(method.name, clip.name)).frames
        else:
            answers[method.name] = method.answer(clip, sample, None).video
    case = sample.case
    phases = None if case.visibility is None else phases_of(case.visibility, case.num_context_frames).frames
    return ClipView(clip=clip, case=case, caption=sample.caption, answers=answers, phases=phases)


def write_report(
    path: Path, results: Results, made: Mapping[str, Any], plots: Mapping[str, str], *, num_shown: int = 24
) -> None:
    """Write the report.

    ``made``: settings, versions, commit. ``plots``: SVG by name. ``num_shown``: how many clips' videos are in it, half
    of them the worst, the others spread; the worst, the median and the best of the leading method come first.

    Raises ``OutputError`` if the file cannot be written.
    """
    metric, leader = ranking_metric(results), leading_method(results)
    ranked = ranked_clips(results, leader, metric)
    by_name = {clip.name: clip for clip in results.clips}
    first = worst_median_best(ranked) if num_shown else {}
    shown = dict.fromkeys((*first.values(), *shown_clips(ranked, num_shown)))
    parts = {name: clip_part(read_view(results, by_name[name]), results.store) for name in shown}
    settings = {**made, "methods": {method.name: method.settings for method in results.methods}}
    text = _template().render(
        title=TITLE, results=results, group=next(iter(results.groups)), leader=leader, measured=metric,
        verdict=verdict(results), first_metrics=first_metrics(results), first_methods=first_methods(results),
        first_clips=[(word, parts[name]) for word, name in first.items()], clips=list(parts.values()), shown=shown,
        ranked=[by_name[name] for name in ranked],
        metrics=shown_metrics(results, [metric.name for metric in results.metrics]),
        plots={name: svg_uri(picture) for name, picture in plots.items()},
        phases=[(PHASE_COLOURS[phase], PHASE_WORDS[phase]) for phase in Phase],
        settings=json.dumps(settings, indent=1, ensure_ascii=False),
    )  # fmt: skip
    write_text(path, text)


def _template() -> jinja2.Template:
    environment = jinja2.Environment(autoescape=True, undefined=jinja2.StrictUndefined, trim_blocks=True)
    environment.filters.update(
        number=format_number, signed=signed, interval=interval, outcome=outcome, reasons=_reasons,
        undefined_because=_undefined_because, listed_metrics=_listed_metrics,
    )  # fmt: skip
    environment.tests["clear"] = is_clear
    return environment.from_string(
        files("outofsight.evaluation").joinpath("report.html").read_text(encoding="utf-8")
    )


def first_metrics(results: Results) -> list[Metric]:
    """Choose the six: those of ``ANSWERS`` that have a number; of other measurements, the first that have."""
    return shown_metrics(results, ANSWERS)[:NUM_ANSWERS]


def first_methods(results: Results) -> list[Method]:
    """Choose the first screen's rows: models and others' videos, best first, whom they are compared with, baselines."""
    judged = [m for m in results.methods if m.kind in ("model", "videos") and m.name != results.baseline]
    metric, group = ranking_metric(results), next(iter(results.groups))
    if metric is not None:
        sign = -1.0 if metric.higher_is_better is False else 1.0
        means = {method.name: results.summaries[group][method.name][metric.name].mean for method in judged}
        judged.sort(
            key=lambda method: -np.inf if (mean := means[method.name]) is None else sign * mean, reverse=True
        )
    reference = [method for method in results.methods if method.name == results.baseline]
    others = [m for m in results.methods if m.kind == "baseline" and m.name != results.baseline]
    chosen = [*judged[:FIRST_MODELS], *reference, *others] or list(results.methods)
    return chosen[:FIRST_METHODS]


def verdict(results: Results) -> str:
    """Say in a sentence who is best, and on how many metrics it is surely better than the baseline."""
    best, group = first_methods(results)[0].name, next(iter(results.groups))
    clips = f"{len(results.groups[group])} clips"
    if results.baseline is None or best == results.baseline:
        return f"{best}, on {clips}; there is nothing to compare it with."
    outcomes: dict[str, list[str]] = {"better": [], "worse": [], "not significant": [], "not comparable": []}
    for metric in first_metrics(results):
        word = outcome(results.summaries[group][best][metric.name], metric)
        outcomes[word].append(metric.name.replace("_", " "))
    number = sum(map(len, outcomes.values()))
    others = [f"{word} on {', '.join(names)}" for word, names in list(outcomes.items())[1:] if names]
    return (
        f"{best} is better than {results.baseline} on {len(outcomes['better'])} of {number} metrics, on {clips}"
        f"{''.join(f'; {other}' for other in others)}."
    )


def outcome(summary: Summary, metric: Metric) -> str:
    """Say what a paired difference says: better, worse, not significant, since its interval holds 0, or not comparable,
    since no clip gives both a number."""
    difference = summary.difference
    if difference is None or difference.mean is None:
        return "not comparable"
    if metric.higher_is_better is None or not is_clear(difference):
        return "not significant"
    return "better" if (difference.mean > 0) == metric.higher_is_better else "worse"


def is_clear(difference: Summary) -> bool:
    """Tell whether a difference's interval is without 0."""
    return difference.low is not None and difference.high is not None and difference.low * difference.high > 0


def signed(value: float) -> str:
    return f"{'+' if value > 0 else ''}{format_number(value)}"


def worst_median_best(ranked: Sequence[str]) -> dict[str, str]:
    """Name the clips of the first screen, which are fewer where there are fewer."""
    chosen: dict[str, str] = {}
    for word, name in (("worst", ranked[0]), ("best", ranked[-1]), ("median", ranked[len(ranked) // 2])):
        if name not in chosen.values():
            chosen[word] = name
    return {word: chosen[word] for word in ("worst", "median", "best") if word in chosen}


def shown_clips(ranked: Sequence[str], number: int) -> Sequence[str]:
    """Choose the clips whose videos are shown: half the number from the worst end, the rest spread over the others."""
    if len(ranked) <= number:
        return ranked
    worst = ranked[: (number + 1) // 2]
    others, places = ranked[len(worst) :], number - len(worst)
    return [*worst, *(others[(2 * place + 1) * len(others) // (2 * places)] for place in range(places))]


def clip_part(view: ClipView, store: RecordStore) -> dict[str, Any]:
    """Give what the template asks of one clip: videos and pictures as data URIs, and the spans of its timeline."""
    case, encoded = view.case, partial(video_uri, fps=view.case.fps)
    truth = {"truth": case.truth} if case.has_truth else {}
    return {
        "name": view.clip.name,
        "group": view.clip.group,
        "caption": view.caption,
        "context": encoded(case.context) if view.clip.has_context else None,
        "context_seconds": case.num_context_frames / case.fps if view.clip.has_context else 0.0,
        "target_seconds": case.num_target_frames / case.fps,
        "videos": {name: encoded(video) for name, video in (truth | view.answers).items()},
        "spans": timeline_spans(view),
        "pictures": [svg_uri(picture) for picture in _retrievals(view, store)],
    }


def _retrievals(view: ClipView, store: RecordStore) -> list[str]:
    """Draw which slices each method's target frames used, where it was recorded."""
    stored = {name: store.retrieval(name, view.clip.name) for name in view.answers}
    return [
        timeline(
            frequencies(load_retrieval(path)), view.target_phases, f"{name}: which slices each target frame used"
        )
        for name, path in stored.items() if path.is_file()
    ]  # fmt: skip


def timeline_spans(view: ClipView) -> list[dict[str, Any]]:
    """Part a clip's time, in percent: the context, then the target by its phases."""
    split = view.case.num_context_frames if view.clip.has_context else 0
    share = 100 / (split + view.case.num_target_frames)
    parts, start = [], 0
    if split:
        parts.append({"left": 0.0, "width": split * share, "colour": "var(--line)", "words": "context"})
    for number, run in groupby(view.target_phases):
        length = len(list(run))
        words = f"{PHASE_WORDS[Phase(number)]}: target frames {start} to {start + length - 1}"
        parts.append({"left": (split + start) * share, "width": length * share,
                      "colour": PHASE_COLOURS[Phase(number)], "words": words})  # fmt: skip
        start += length
    return parts


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


def svg_uri(picture: str) -> str:
    """Give SVG as a data URI: in a document of its own, its ids meet no other picture's."""
    return "data:image/svg+xml;base64," + base64.b64encode(picture.encode()).decode("ascii")


def _listed_metrics(record: Record) -> str:
    named = [(name, record.value(name)) for name in LISTED_METRICS]
    return ", ".join(f"{name} {format_number(value)}" for name, value in named if value is not None)


def _reasons(results: Results, method: str, metric: str, clips: Sequence[str]) -> str:
    return "; ".join(sorted({results.records[method][clip].reason(metric) or "" for clip in clips}))


def _undefined_because(results: Results, metric: str) -> str:
    """Gather the reasons why a metric has no number, with how often."""
    every = [record.reason(metric) for rows in results.records.values() for record in rows.values()]
    reasons = [reason for reason in every if reason is not None]
    return "; ".join(f"{reason} ({reasons.count(reason)}×)" for reason in dict.fromkeys(reasons))
