"""Where a model folder may be written: nowhere where something is already."""

from collections.abc import Sequence
from pathlib import Path

from outofsight.data.outputs import check_outputs
from outofsight.errors import OutputError


def refuse_existing(out: Path, reads: Sequence[str | Path | None]) -> None:
    """Raise ``OutputError`` if there is something at ``out`` already, or it is what is read."""
    if out.exists() and (not out.is_dir() or any(out.iterdir())):
        raise OutputError(f"{out} exists already; choose a new --out, so that nothing is overwritten")
    check_outputs([out], reads)
