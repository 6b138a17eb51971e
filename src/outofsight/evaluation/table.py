"""Results as tables for a terminal, one a group."""

from collections.abc import Sequence

from rich.console import Console
from rich.table import Table

from outofsight.evaluation.evidence import Measure
from outofsight.evaluation.results import Results, Standing
from outofsight.evaluation.statistics import Summary, paired_difference

COLUMNS = (
    "psnr", "ssim", "lpips", "fg_psnr", "fg_psnr_reentered", "return_gate", "detection_rate", "liveness",
    "identity_accuracy", "dsc_gt",
)  # fmt: skip
"""The measures that are printed, where any clip has them; all others are in the report and in results.json."""


PLACE_COLUMNS = ("held_at_return", "held_place_error", "still_place_error", "straight_place_error")
"""The measures of trackers, in a table of their own."""


def print_tables(results: Results, console: Console) -> None:
    """Print one table a group: means with their 95% intervals, and on how many clips."""
    for group in results.groups:
        console.print(group_table(results, group))
        places = place_table(results, group)
        if places is not None:
            console.print(places)
    console.print(
        "mean, 95% bootstrap interval over clips below it; (n) where fewer clips than all could be measured",
        style="dim",
    )


def group_table(results: Results, group: str) -> Table:
    """Make the table of one group."""
    clips = results.groups[group]
    table = Table(title=f"{group} (n = {len(clips)})", title_justify="left")
    table.add_column("contender", no_wrap=True)
    shown = shown_measures(results)
    for measure in shown:
        table.add_column(_head(measure), justify="right", overflow="fold")
    costs = {contender.name: results.cost(contender.name) for contender in results.contenders}
    if any(costs.values()):
        table.add_column("s per s", justify="right")
    for contender in results.contenders:
        row = results.standings[group][contender.name]
        cells = [_cell(row[measure.name], len(clips)) for measure in shown]
        cost = costs[contender.name]
        if any(costs.values()):
            cells.append("" if cost is None else figure(cost.per_video_second.mean))
        refused = sum(clip in results.refusals(contender.name) for clip in clips)
        name = f"{contender.name}\n({refused} not answered)" if refused else contender.name
        table.add_row(name, *cells)
    return table


def place_table(results: Results, group: str) -> Table | None:
    """Make the table of where trackers take subjects to be at their return; ``None`` where no row has a tracker."""
    clips = results.groups[group]
    table = Table(title=f"{group}: where trackers take subjects to be at their return", title_justify="left")
    for head in (
        "contender",
        "held ↑",
        "error, m ↓",
        "standing still, m",
        "straight on, m",
        "Δ still",
        "Δ straight",
    ):
        table.add_column(
            head, justify="left" if head == "contender" else "right", no_wrap=head == "contender"
        )
    for contender in results.contenders:
        row = results.standings[group][contender.name]
        if not all(name in row for name in PLACE_COLUMNS) or row["held_at_return"].summary.n == 0:
            continue
        values = {name: results.values(contender.name, name, clips) for name in PLACE_COLUMNS}
        less = [paired_difference(values["held_place_error"], values[name]) for name in PLACE_COLUMNS[2:]]
        cells = [_cell(row[name], len(clips)) for name in PLACE_COLUMNS]
        cells += [_cell(Standing(summary=summary, difference=None), len(clips)) for summary in less]
        table.add_row(contender.name, *cells)
    return table if table.row_count else None


def shown_measures(results: Results, names: Sequence[str] = COLUMNS) -> list[Measure]:
    """Choose the measures that have a number anywhere; without any of those named, all that have one."""
    with_numbers = [
        measure
        for measure in results.measures
        if any(
            record.value(measure.name) is not None
            for rows in results.records.values()
            for record in rows.values()
        )
    ]
    return [measure for measure in with_numbers if measure.name in names] or with_numbers


def figure(value: float | None) -> str:
    """Write a number with as many digits as it deserves; a dash where there is none."""
    if value is None:
        return "–"
    size = abs(value)
    return f"{value:.0f}" if size >= 100 else f"{value:.2f}" if size >= 10 else f"{value:.3f}"


def interval(summary: Summary) -> str:
    """Write an interval, or nothing where there is none."""
    return "" if summary.low is None else f"{figure(summary.low)}…{figure(summary.high)}"


def _head(measure: Measure) -> str:
    arrow = {True: " ↑", False: " ↓", None: ""}[measure.higher_is_better]
    unit = f", {measure.unit}" if measure.unit else ""
    return f"{measure.name}{unit}{arrow}".replace("_", "\n", 1)


def _cell(standing: Standing, num_clips: int) -> str:
    summary = standing.summary
    if summary.n == 0:
        return "–"
    some = f" ({summary.n})" if summary.n < num_clips else ""
    return f"{figure(summary.mean)}{some}\n[dim]{interval(summary)}[/dim]"
