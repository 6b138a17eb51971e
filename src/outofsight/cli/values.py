"""Reading the values that command-line options take."""

import json
import os
import re
import tempfile
from pathlib import Path
from typing import Any

from outofsight.errors import InputError, OutputError


def parse_size(text: str) -> tuple[int, int]:
    """Read "480x832" (height × width)."""
    match = re.fullmatch(r"(\d+)[x×](\d+)", text.strip())
    if not match:
        raise InputError(f"--size: expected HEIGHTxWIDTH such as 480x832, got {text!r}")
    return int(match[1]), int(match[2])


def check_fov(fov_x_deg: float | None) -> None:
    """Raise ``InputError`` if no lens is so many degrees wide."""
    if fov_x_deg is not None and not 0 < fov_x_deg < 180:
        raise InputError(f"--fov: expected degrees between 0 and 180, got {fov_x_deg:g}")


def parse_frames(text: str) -> tuple[int, int]:
    """Read "77+77" (context + target frames)."""
    match = re.fullmatch(r"(\d+)\+(\d+)", text.strip())
    if not match:
        raise InputError(f"--frames: expected CONTEXT+TARGET such as 77+77, got {text!r}")
    return int(match[1]), int(match[2])


def parse_settings(pairs: list[str]) -> dict[str, Any]:
    """Read "key=value" pairs; a value that is JSON is typed (3, 0.5, true, null, [1, 2]), any other is text."""
    settings: dict[str, Any] = {}
    for pair in pairs:
        key, equals, value = pair.partition("=")
        if not equals or not key:
            raise InputError(f"--set: expected KEY=VALUE, got {pair!r}")
        try:
            settings[key.strip()] = json.loads(value)
        except json.JSONDecodeError:
            settings[key.strip()] = value
    return settings


def text_or_file(value: str, option: str) -> str:
    """Return the text, or the contents of the file that it names.

    Raises:
        InputError: the text, or the file, is empty.
    """
    text = value
    if len(value) < 4096 and "\n" not in value and Path(value).is_file():
        try:
            text = Path(value).read_text(encoding="utf-8")
        except (OSError, UnicodeDecodeError) as error:
            raise InputError(f"{option}: {value} is not a readable text file ({error})") from error
    if not text.strip():
        raise InputError(f"{option}: the caption is empty; describe the scene and who is in it")
    return text.strip()


def require_writable(folder: Path) -> None:
    """Make a folder and prove that it can be written to, before any long work begins.

    Raises:
        OutputError: it cannot.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=folder):
            pass
    except OSError as error:
        raise OutputError(
            f"cannot write to {folder}: {error.strerror or error}; choose another --out"
        ) from error


def write_text_atomically(path: Path, text: str) -> None:
    """Write a file under a temporary name and rename it, so that it is whole or absent."""
    temporary = path.with_name(f".{path.name}.{os.getpid()}.partial")
    try:
        temporary.write_text(text, encoding="utf-8")
        os.replace(temporary, path)
    except OSError as error:
        temporary.unlink(missing_ok=True)
        raise OutputError(f"cannot write {path}: {error.strerror or error}") from error
