"""The report's HTML, piece by piece. Everything that came from outside is escaped."""

import json
from collections.abc import Mapping, Sequence
from html import escape
from typing import Any

from outofsight.evaluation.case import Phase
from outofsight.evaluation.evidence import Metric
from outofsight.evaluation.report.looks import SCRIPT, STYLE
from outofsight.evaluation.results import Results, Summary, format_number, interval, shown_metrics
from outofsight.evaluation.retrieval import PHASE_COLOURS, PHASE_WORDS
from outofsight.evaluation.svg import XMLNS
from outofsight.evaluation.views import View


def page(*, title: str, parts: Sequence[str], plots: Sequence[str], settings: str) -> str:
    """Put the page together."""
    legend = "".join(
        f'<span class="key"><i style="background:{PHASE_COLOURS[phase]}"></i>{PHASE_WORDS[phase]}</span>'
        for phase in Phase
    )
    figures = _figures(plots)
    return (
        f'<!doctype html>\n<html lang="en"><head><meta charset="utf-8"><title>{escape(title)}</title>\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        f"<style>{STYLE}</style></head><body>\n<h1>{escape(title)}</h1>\n"
        f'<p class="legend">phases of the target: {legend}</p>\n'
        + "\n".join(parts)
        + f'\n<details><summary>Plots</summary><div class="plots">{figures}</div></details>\n{settings}\n'
        + f"<script>{SCRIPT}</script></body></html>\n"
    )


def group_section(results: Results, group: str) -> str:
    """Make the table of one group: a row a method, a column a metric; what differs from the baseline is marked."""
    metrics = shown_metrics(results, [metric.name for metric in results.metrics])
    heads = "".join(f'<th title="{escape(_about(m))}">{_head(m)}</th>' for m in metrics)
    rows = []
    for method in results.methods:
        summaries = results.summaries[group][method.name]
        cells = "".join(_summary_cell(summaries[m.name], m, results, group, method.name) for m in metrics)
        cost = results.cost(method.name)
        seconds = "" if cost is None else format_number(cost.per_video_second.mean)
        note = (
            ""
            if cost is None
            else "; ".join(f"{stage} {value:.2f} s" for stage, value in cost.seconds.items())
        )
        refused = results.refusals(method.name)
        missing = sum(name in refused for name in results.groups[group])
        mark = f'<br><small class="bad">{missing} not answered</small>' if missing else ""
        rows.append(
            f'<tr class="{method.kind}"><th>{escape(method.name)}{mark}</th>{cells}'
            f'<td title="{escape(note)}">{seconds}</td></tr>'
        )
    baseline = (
        f", differences to <b>{escape(results.baseline)}</b> on the same clips" if results.baseline else ""
    )
    return (
        f"<h2>{escape(group)} <small>n = {len(results.groups[group])}</small></h2>\n"
        f'<div class="wide"><table class="sortable"><thead><tr><th>method</th>{heads}'
        '<th title="device-seconds for a second of video, all stages, loading excluded">s per s</th>'
        f"</tr></thead><tbody>{''.join(rows)}</tbody></table></div>\n"
        f"<p><small>Mean, below it the 95% bootstrap interval over clips{baseline} (Δ; bold: its interval is "
        "without 0). (n) where fewer clips than all could be measured.</small></p>"
    )


def clip_table(
    results: Results, ranked: Sequence[str], shown: Sequence[str], leader: str, metric: Metric | None
) -> str:
    """Make the table of all clips, the worst first; a method can be chosen, and any column sorted by."""
    metrics = shown_metrics(results, [m.name for m in results.metrics])
    groups = {clip.name: clip.group for clip in results.clips}
    bodies = []
    for method in results.methods:
        rows = "".join(
            _clip_row(results, method.name, name, groups[name], metrics, name in shown) for name in ranked
        )
        hidden = "" if method.name == leader else " hidden"
        bodies.append(f'<tbody data-method="{escape(method.name)}"{hidden}>{rows}</tbody>')
    options = "".join(
        f"<option{' selected' if c.name == leader else ''}>{escape(c.name)}</option>" for c in results.methods
    )
    heads = "".join(f'<th title="{escape(_about(m))}">{_head(m)}</th>' for m in metrics)
    by = "" if metric is None else f", by {escape(metric.name)} of {escape(leader)}"
    return (
        f"<h2>Clips <small>the worst first{by}; click a head to sort</small></h2>\n"
        f'<label>method <select id="method">{options}</select></label>\n'
        '<div class="wide"><table class="sortable" id="clips"><thead><tr><th>clip</th><th>group</th>'
        f"{heads}</tr></thead>{''.join(bodies)}</table></div>"
    )


def clip_section(
    results: Results, view: View, context: str | None, videos: Mapping[str, str], pictures: Sequence[str]
) -> str:
    """Make one clip's section. ``context``, ``videos``: data URIs; ``pictures``: SVG of what was retrieved."""
    case, name = view.case, view.clip.name
    panels = _panel("context", context, "context", "") if context else ""
    for method, uri in videos.items():
        panels += _panel(method, uri, "target", "" if method == "truth" else _numbers(results, method, name))
    for row in results.methods:
        refused = results.records[row.name][name].refused
        if refused is not None:
            panels += (
                f'<figure class="panel"><figcaption>{escape(row.name)}<br>'
                f'<small class="bad">{escape(refused)}</small></figcaption></figure>'
            )
    context_seconds = case.num_context_frames / case.fps if context else 0.0
    caption = f"<p>{escape(view.caption)}</p>" if view.caption else ""
    drawn = _figures(pictures)
    retrieval = (
        f'<details><summary>retrieval</summary><div class="plots">{drawn}</div></details>' if drawn else ""
    )
    return (
        f'<section class="clip" id="clip-{escape(name)}" data-context="{context_seconds:.4f}" '
        f'data-target="{case.num_target_frames / case.fps:.4f}">'
        f"<h3>{escape(name)} <small>{escape(view.clip.group)}</small></h3>{caption}"
        f'<div class="controls"><button type="button">play</button>{_timeline(view)}</div>'
        f'<div class="panels">{panels}</div>{retrieval}</section>'
    )


def settings_section(results: Results, made: Mapping[str, Any]) -> str:
    """Say what all was made with, and what each metric is."""
    told = {**made, "methods": {c.name: c.settings for c in results.methods}}
    rows = "".join(
        f"<tr><th>{escape(m.name)}</th><td>{escape(m.what)}</td><td>{escape(m.unit)}</td><td>{escape(m.source)}</td>"
        f"<td>{escape(_undefined_because(results, m))}</td></tr>"
        for m in results.metrics
    )
    return (
        "<details><summary>Metrics</summary><table><thead><tr><th>metric</th><th>what</th><th>unit</th>"
        f"<th>source</th><th>not measured because</th></tr></thead><tbody>{rows}</tbody></table></details>\n"
        f"<details><summary>Settings</summary><pre>{escape(json.dumps(told, indent=1, ensure_ascii=False))}</pre>"
        "</details>"
    )


def _figures(pictures: Sequence[str]) -> str:
    """Put SVG into the page, without the namespace that only a file of its own needs."""
    return "".join(f"<figure>{picture.replace(XMLNS, '')}</figure>" for picture in pictures)


def _timeline(view: View) -> str:
    """Draw the clip's time: context grey, then the target in the colours of its phases, with a hand to move."""
    case = view.case
    split = case.num_context_frames if view.has_context else 0
    total = split + case.num_target_frames
    parts = (
        f'<i style="left:0;width:{100 * split / total:.2f}%;background:#e3e6ea" title="context"></i>'
        if split
        else ""
    )
    phases = view.target_phases
    start = 0
    for frame in range(1, len(phases) + 1):
        if frame == len(phases) or phases[frame] != phases[start]:
            phase = Phase(phases[start])
            left, width = 100 * (split + start) / total, 100 * (frame - start) / total
            parts += (
                f'<i style="left:{left:.2f}%;width:{width:.2f}%;background:{PHASE_COLOURS[phase]}" '
                f'title="{PHASE_WORDS[phase]}: target frames {start} to {frame - 1}"></i>'
            )
            start = frame
    return f'<div class="timeline">{parts}<b></b></div>'


def _panel(name: str, uri: str, part: str, note: str) -> str:
    return (
        f'<figure class="panel"><video muted playsinline preload="metadata" data-part="{part}" src="{uri}"></video>'
        f"<figcaption>{escape(name)}<br><small>{note}</small></figcaption></figure>"
    )


def _numbers(results: Results, method: str, clip: str) -> str:
    """Give the two or three numbers that stand below a video."""
    record = results.records[method][clip]
    named = [(name, record.value(name)) for name in ("psnr", "fg_psnr", "fg_psnr_reentered")]
    return escape(", ".join(f"{name} {format_number(value)}" for name, value in named if value is not None))


def _summary_cell(summary: Summary, metric: Metric, results: Results, group: str, method: str) -> str:
    clips = results.groups[group]
    if summary.mean is None:
        reasons = {results.records[method][clip].reason(metric.name) or "" for clip in clips}
        return f'<td class="undefined" title="{escape("; ".join(sorted(reasons)))}">–</td>'
    some = f" <small>({summary.n})</small>" if summary.n < len(clips) else ""
    text = f'<td data-value="{summary.mean!r}">{format_number(summary.mean)}{some}<br>'
    text += f"<small>{interval(summary)}</small>"
    difference = summary.difference
    if difference is not None and difference.mean is not None:
        clear = (
            difference.low is not None
            and difference.high is not None
            and difference.low * difference.high > 0
        )
        shown = f"{'+' if difference.mean > 0 else ''}{format_number(difference.mean)}"
        title = f"difference {shown}, {interval(difference)}, n = {difference.n}"
        text += f'<br><small title="{title}">Δ {f"<b>{shown}</b>" if clear else shown}</small>'
    return text + "</td>"


def _clip_row(
    results: Results, method: str, clip: str, group: str, metrics: Sequence[Metric], is_shown: bool
) -> str:
    record = results.records[method][clip]
    name = f'<a href="#clip-{escape(clip)}">{escape(clip)}</a>' if is_shown else escape(clip)
    cells = ""
    for metric in metrics:
        value = record.value(metric.name)
        if value is None:
            cells += f'<td class="undefined" title="{escape(record.reason(metric.name) or "")}">–</td>'
        else:
            cells += f'<td data-value="{value!r}">{format_number(value)}</td>'
    return f"<tr><th>{name}</th><td>{escape(group)}</td>{cells}</tr>"


def _undefined_because(results: Results, metric: Metric) -> str:
    """Gather the reasons why a metric has no number, with how often."""
    counted: dict[str, int] = {}
    for rows in results.records.values():
        for record in rows.values():
            reason = record.reason(metric.name)
            if reason is not None:
                counted[reason] = counted.get(reason, 0) + 1
    return "; ".join(f"{reason} ({number}×)" for reason, number in counted.items())


def _head(metric: Metric) -> str:
    arrow = {True: "↑", False: "↓", None: ""}[metric.higher_is_better]
    return f"{escape(metric.name.replace('_', ' '))} {arrow}"


def _about(metric: Metric) -> str:
    unit = f" ({metric.unit})" if metric.unit else ""
    return f"{metric.what}{unit}. {metric.source}"
