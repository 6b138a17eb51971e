"""Reading the values that command-line options take."""

import json
import re
import sys
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from outofsight.errors import InputError
from outofsight.files import read_text

if TYPE_CHECKING:
    from outofsight.model_folders import ModelUse
    from outofsight.sampling.continuation import SamplingSettings

FILE_NAME = re.compile(r".*\.(txt|text|md|json|srt|csv)", re.IGNORECASE)
"""Words that end so are meant as the name of a file: no caption does."""
NAME_BYTES = 256
MOST_PX, MOST_FRAMES = 8192, 100_000
"""Beyond these a number is taken for a slip."""


def refuse_empty_values(command: Any) -> None:
    """Have a command, and those below it, refuse ``--option ""``: an empty path would be the current folder."""
    for inner in getattr(command, "commands", {}).values():
        refuse_empty_values(inner)
    for parameter in command.params:
        parameter.process_value = partial(_filled, parameter.process_value, parameter)


def _filled(process: Callable[[Any, Any], Any], parameter: Any, context: Any, value: Any) -> Any:
    if "" in (value if isinstance(value, list | tuple) else [value]):
        name = parameter.opts[0] if parameter.opts[0].startswith("-") else parameter.name.upper()
        raise InputError(f"{name}: is empty; give a value, or leave it out")
    return process(context, value)


def parse_size(text: str) -> tuple[int, int]:
    """Read "480x832" (height × width)."""
    match = re.fullmatch(r"(\d{1,9})[x×](\d{1,9})", text.strip())
    if not match:
        raise InputError(f"--size: expected HEIGHTxWIDTH such as 480x832, got {text!r}")
    height, width = int(match[1]), int(match[2])
    if not (1 <= height <= MOST_PX and 1 <= width <= MOST_PX):
        raise InputError(f"--size: expected 1 to {MOST_PX} pixels each way, got {text!r}")
    return height, width


def check_fov(fov_x_deg: float | None) -> float | None:
    """Raise ``InputError`` if no lens is so many degrees wide; an option's callback."""
    if fov_x_deg is not None and not 0 < fov_x_deg < 180:
        raise InputError(f"--fov: expected degrees between 0 and 180, got {fov_x_deg:g}")
    return fov_x_deg


def parse_frames(text: str) -> tuple[int, int]:
    """Read "77+77" (context + target frames)."""
    match = re.fullmatch(r"(\d{1,9})\+(\d{1,9})", text.strip())
    if not match:
        raise InputError(f"--frames: expected CONTEXT+TARGET such as 77+77, got {text!r}")
    context, target = int(match[1]), int(match[2])
    if max(context, target) > MOST_FRAMES:
        raise InputError(f"--frames: expected at most {MOST_FRAMES} frames each, got {text!r}")
    return context, target


def parse_settings(pairs: list[str]) -> dict[str, Any]:
    """Read "key=value" pairs; a value that is JSON is typed (3, 0.5, true, null, [1, 2]), any other is text."""
    settings: dict[str, Any] = {}
    for pair in pairs:
        key, equals, value = pair.partition("=")
        if not equals or not key:
            raise InputError(f"--set: expected KEY=VALUE, got {pair!r}")
        try:
            settings[key.strip()] = json.loads(value)
        except (ValueError, RecursionError):
            settings[key.strip()] = value
    return settings


def sampling_settings(
    use: "ModelUse", options: Mapping[str, Any], others: Mapping[str, Any] | None = None
) -> "SamplingSettings":
    """Gather how to sample: by options (``None``: not given), by ``--set``, and for the rest as the model says.

    Raises:
        InputError: a setting that has an option of its own is set by ``--set``, or that is impossible.
    """
    from outofsight.sampling.continuation import SamplingSettings

    twice = sorted(options.keys() & (others or {}).keys())
    if twice:
        raise InputError(f"--set {twice[0]}: this setting has an option of its own; see --help")
    given = {name: value for name, value in options.items() if value is not None}
    return SamplingSettings(**{**use.sampling, **given, **(others or {})})


def text_or_file(value: str, option: str) -> str:
    """Return the text, or the contents of the file that it names.

    Raises:
        InputError: the text, or the file, is empty or no text; or it names a file that is not there.
    """
    named = "\n" not in value and names_file(value)
    if not named and FILE_NAME.fullmatch(value) and len(value.encode(errors="surrogateescape")) < NAME_BYTES:
        raise InputError(
            f"{option}: there is no file {value}; a caption is given as words, or in a text file"
        )
    text = read_text(Path(value)) if named else value
    if not text.strip():
        raise InputError(f"{option}: the caption is empty; describe the scene and who is in it")
    try:
        text.encode()
    except UnicodeEncodeError as error:
        raise InputError(f"{option}: expected text in UTF-8, got other bytes") from error
    return text.strip()


def names_file(value: str) -> bool:
    """Tell whether words are the name of a file that is there."""
    try:
        return Path(value).is_file()
    except (OSError, ValueError):  # too long for a name, or not one
        return False


def tell_broken(broken: Sequence[str]) -> None:
    """List at the end what was left out because it cannot be read."""
    for line in broken:
        print(f"left out: {line}", file=sys.stderr)
    if broken:
        print(f"{len(broken)} left out because they cannot be read", file=sys.stderr)
