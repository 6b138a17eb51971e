"""Writing that is all or nothing: a temporary name in the same place, then a rename."""

import errno
import json
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from outofsight.errors import DatasetError, OutputError

TEMPORARY_PREFIX = ".unfinished-"


@contextmanager
def explained(path: Path) -> Iterator[None]:
    """Turn an ``OSError`` while writing ``path`` into an ``OutputError`` that says what to do."""
    try:
        yield
    except OSError as error:
        raise OutputError(f"{path}: could not be written: {_advice(error)}") from error


def _advice(error: OSError) -> str:
    if error.errno == errno.ENOSPC:
        return "the disk is full; free some space and run again, finished clips are kept"
    if error.errno in (errno.EACCES, errno.EPERM, errno.EROFS):
        return "writing is not permitted there; choose another folder"
    return f"{error.strerror or error}; nothing half-written was left behind"


@contextmanager
def _renamed_to(path: Path) -> Iterator[Path]:
    """Give a name to write under; what was written there takes ``path`` when it is whole, or is removed."""
    temporary = path.with_name(f"{TEMPORARY_PREFIX}{os.getpid()}-{path.name}")
    try:
        yield temporary
        os.replace(temporary, path)
    finally:
        temporary.unlink(missing_ok=True)


def write_bytes(path: Path, content: bytes) -> None:
    """Write a file atomically, flushed to the disk before it has its name. Raises ``OSError`` as it comes."""
    with _renamed_to(path) as temporary, temporary.open("wb") as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())


def write_text(path: Path, text: str) -> None:
    """Write a text file atomically. Raises ``OutputError``."""
    with explained(path), _renamed_to(path) as temporary:
        temporary.write_text(text, encoding="utf-8")


def write_json(path: Path, value: Any, indent: int | None = None) -> None:
    """Write a JSON file atomically. Raises ``OutputError``."""
    write_text(path, json.dumps(value, indent=indent, ensure_ascii=False, allow_nan=False) + "\n")


def read_json(path: Path) -> Any:
    """Read a JSON file. Raises ``DatasetError`` naming it if it is missing or damaged."""
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError as error:
        raise DatasetError(f"{path}: missing; the sample is incomplete") from error
    except (json.JSONDecodeError, UnicodeDecodeError, OSError) as error:
        raise DatasetError(f"{path}: expected JSON, got something damaged ({error})") from error


@contextmanager
def folder_in_one_piece(folder: Path) -> Iterator[Path]:
    """Give a temporary folder that becomes ``folder`` if all goes well, and is removed if not.

    Raises ``OutputError`` for what the file system refuses; other errors pass through after the removal.
    """
    temporary = folder.with_name(f"{TEMPORARY_PREFIX}{os.getpid()}-{folder.name}")
    with explained(folder):
        folder.parent.mkdir(parents=True, exist_ok=True)
        shutil.rmtree(temporary, ignore_errors=True)
        temporary.mkdir()
    try:
        with explained(folder):
            yield temporary
            os.rename(temporary, folder)
    finally:
        shutil.rmtree(temporary, ignore_errors=True)


def remove_unfinished(folder: Path) -> int:
    """Remove what a killed build left behind in a folder; give the number of things removed."""
    leftovers = [path for path in folder.glob(f"{TEMPORARY_PREFIX}*") if path.exists()]
    for path in leftovers:
        if path.is_dir():
            shutil.rmtree(path, ignore_errors=True)
        else:
            path.unlink(missing_ok=True)
    return len(leftovers)
