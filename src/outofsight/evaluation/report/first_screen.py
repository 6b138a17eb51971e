"""What the report answers first: who is better, by how much, on six metrics."""

from collections.abc import Sequence
from html import escape

from outofsight.evaluation.evidence import Metric
from outofsight.evaluation.results import Results, Summary, format_number, interval, shown_metrics

ANSWERS = ("psnr", "fg_psnr", "fg_psnr_reentered", "detection_rate", "identity_accuracy", "dsc_gt")
"""Pictures as a whole, subjects, subjects after their return; whether they are there, themselves, and consistent."""
NUM_ANSWERS = 6


def first_metrics(results: Results) -> list[Metric]:
    """Choose the six: those of ``ANSWERS`` that have a number; of other measurements, the first that have."""
    return shown_metrics(results, ANSWERS)[:NUM_ANSWERS]


def verdict(results: Results, leader: str) -> str:
    """Say in a sentence on how many metrics the leader is better than the baseline, and on how many surely."""
    group = next(iter(results.groups))
    if results.baseline is None or leader == results.baseline:
        return f"{leader}, on {len(results.groups[group])} clips"
    told: dict[str, list[str]] = {"better": [], "worse": [], "not told apart": []}
    for metric in first_metrics(results):
        told[_outcome(results.summaries[group][leader][metric.name], metric)].append(metric.name)
    words = [f"{outcome} on {', '.join(names)}" for outcome, names in told.items() if names]
    return (
        f"{leader} against {results.baseline}, on {len(results.groups[group])} clips: {'; '.join(words)} "
        "(95% intervals of the difference on the same clips)"
    )


def first_screen(results: Results, leader: str, worst_median_best: Sequence[tuple[str, str]]) -> str:
    """Make the first screen. ``worst_median_best``: a word and the section of a clip, whose videos play."""
    group = next(iter(results.groups))
    metrics = first_metrics(results)
    heads = "".join(f"<th>{escape(metric.name.replace('_', ' '))}</th>" for metric in metrics)
    rows = []
    for method in results.methods:
        row = results.summaries[group][method.name]
        cells = "".join(_cell(row[metric.name], metric) for metric in metrics)
        rows.append(f'<tr class="{method.kind}"><th>{escape(method.name)}</th>{cells}</tr>')
    clips = "".join(
        f'<div class="first"><h3>{escape(word)}</h3>{part}</div>' for word, part in worst_median_best
    )
    return (
        f'<section id="first"><p class="verdict">{escape(verdict(results, leader))}.</p>\n'
        f'<div class="wide"><table><thead><tr><th>method</th>{heads}</tr></thead><tbody>{"".join(rows)}</tbody>'
        f"</table></div>{clips}</section>"
    )


def _cell(summary: Summary, metric: Metric) -> str:
    difference = summary.difference
    if summary.mean is None:
        return '<td class="undefined">–</td>'
    text = format_number(summary.mean)
    if difference is not None and difference.mean is not None:
        sign = "+" if difference.mean > 0 else ""
        outcome = _outcome(summary, metric)
        text += (
            f'<br><small title="{interval(difference)}, n = {difference.n}">{sign}{format_number(difference.mean)} '
            f"{outcome}</small>"
        )
    return f"<td>{text}</td>"


def _outcome(summary: Summary, metric: Metric) -> str:
    difference: Summary | None = summary.difference
    if difference is None or difference.mean is None or difference.low is None or difference.high is None:
        return "not told apart"
    if difference.low * difference.high <= 0 or metric.higher_is_better is None:
        return "not told apart"
    return "better" if (difference.mean > 0) == metric.higher_is_better else "worse"
