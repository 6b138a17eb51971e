"""How far a long piece of work is: a bar on a terminal, a line now and then in a file or a pipe."""

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
)

Show = Callable[[int, int, str], None]
"""Called with (done, of how many, what was done last)."""

FIRST_LINE_S, NEXT_LINE_S = 10.0, 30.0


def say(line: str) -> None:
    """Tell people a line; what programs read goes to standard output."""
    Console(stderr=True).print(line, soft_wrap=True, markup=False)


@contextmanager
def shown_progress(console: Console, what: str, total: int | None = None) -> Iterator[Show]:
    """Give a function that is told how far the work is, and shows it."""
    if not console.is_terminal:
        yield _lines(console, what)
        return
    columns = (
        TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn(), TimeRemainingColumn()
    )  # fmt: skip
    with Progress(*columns, console=console, transient=True) as bar:
        task = bar.add_task(what, total=total)
        yield lambda done, of, name: bar.update(
            task, completed=done, total=of, description=name.replace("[", r"\[")
        )


def _lines(console: Console, what: str) -> Show:
    begun = time.monotonic()
    due = begun + FIRST_LINE_S

    def show(done: int, of: int, name: str) -> None:
        nonlocal due
        now = time.monotonic()
        if now < due:
            return
        due = now + NEXT_LINE_S
        minutes, seconds = divmod(round(now - begun), 60)
        console.print(
            f"{what} {done} of {of} ({minutes}:{seconds:02d}): {name}", soft_wrap=True, markup=False
        )

    return show
