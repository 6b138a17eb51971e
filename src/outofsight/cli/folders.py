"""Folders that appear whole or not at all."""

import shutil
from collections.abc import Callable
from pathlib import Path

from outofsight.errors import OutputError


def refuse_existing(out: Path) -> None:
    """Raise ``OutputError`` if there is something at ``out`` already."""
    if out.exists() and (not out.is_dir() or any(out.iterdir())):
        raise OutputError(f"{out} exists already; choose a new --out, so that nothing is overwritten")


def save_folder(out: Path, save: Callable[[Path], object]) -> None:
    """Let ``save`` fill a temporary folder, and give it its name when it is whole."""
    temporary = out.with_name(f".{out.name}.partial")
    shutil.rmtree(temporary, ignore_errors=True)
    try:
        save(temporary)
        if out.is_dir():
            out.rmdir()
        temporary.rename(out)
    except OSError as error:
        raise OutputError(f"cannot write {out}: {error.strerror or error}") from error
    finally:
        shutil.rmtree(temporary, ignore_errors=True)
