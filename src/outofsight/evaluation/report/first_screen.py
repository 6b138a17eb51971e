"""What the report answers first: who is better, by how much, on six measures."""

from collections.abc import Sequence
from html import escape

from outofsight.evaluation.evidence import Measure
from outofsight.evaluation.results import Results, Standing, Summary, figure, interval, shown_measures

ANSWERS = ("psnr", "fg_psnr", "fg_psnr_reentered", "detection_rate", "identity_accuracy", "dsc_gt")
"""Pictures as a whole, subjects, subjects after their return; whether they are there, themselves, and consistent."""
NUM_ANSWERS = 6


def first_measures(results: Results) -> list[Measure]:
    """Choose the six: those of ``ANSWERS`` that have a number; of other measurements, the first that have."""
    return shown_measures(results, ANSWERS)[:NUM_ANSWERS]


def verdict(results: Results, leader: str) -> str:
    """Say in a sentence on how many measures the leader is better than the baseline, and on how many surely."""
    group = next(iter(results.groups))
    if results.baseline is None or leader == results.baseline:
        return f"{leader}, on {len(results.groups[group])} clips"
    told: dict[str, list[str]] = {"better": [], "worse": [], "not told apart": []}
    for measure in first_measures(results):
        told[_outcome(results.standings[group][leader][measure.name], measure)].append(measure.name)
    words = [f"{outcome} on {', '.join(names)}" for outcome, names in told.items() if names]
    return (
        f"{leader} against {results.baseline}, on {len(results.groups[group])} clips: {'; '.join(words)} "
        "(95% intervals of the difference on the same clips)"
    )


def first_screen(results: Results, leader: str, worst_median_best: Sequence[tuple[str, str]]) -> str:
    """Make the first screen. ``worst_median_best``: a word and the section of a clip, whose videos play."""
    group = next(iter(results.groups))
    measures = first_measures(results)
    heads = "".join(f"<th>{escape(measure.name.replace('_', ' '))}</th>" for measure in measures)
    rows = []
    for contender in results.contenders:
        row = results.standings[group][contender.name]
        cells = "".join(_cell(row[measure.name], measure) for measure in measures)
        rows.append(f'<tr class="{contender.kind}"><th>{escape(contender.name)}</th>{cells}</tr>')
    clips = "".join(
        f'<div class="first"><h3>{escape(word)}</h3>{part}</div>' for word, part in worst_median_best
    )
    return (
        f'<section id="first"><p class="verdict">{escape(verdict(results, leader))}.</p>\n'
        f'<div class="wide"><table><thead><tr><th>contender</th>{heads}</tr></thead><tbody>{"".join(rows)}</tbody>'
        f"</table></div>{clips}</section>"
    )


def _cell(standing: Standing, measure: Measure) -> str:
    summary, difference = standing.summary, standing.difference
    if summary.mean is None:
        return '<td class="gated">–</td>'
    text = figure(summary.mean)
    if difference is not None and difference.mean is not None:
        sign = "+" if difference.mean > 0 else ""
        outcome = _outcome(standing, measure)
        text += (
            f'<br><small title="{interval(difference)}, n = {difference.n}">{sign}{figure(difference.mean)} '
            f"{outcome}</small>"
        )
    return f"<td>{text}</td>"


def _outcome(standing: Standing, measure: Measure) -> str:
    difference: Summary | None = standing.difference
    if difference is None or difference.mean is None or difference.low is None or difference.high is None:
        return "not told apart"
    if difference.low * difference.high <= 0 or measure.higher_is_better is None:
        return "not told apart"
    return "better" if (difference.mean > 0) == measure.higher_is_better else "worse"
