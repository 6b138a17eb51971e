"""The one error family. The command line prints the message on one line and exits with code 2."""

import re
from collections.abc import Mapping
from typing import Any


class OutOfSightError(Exception):
    """Something the user can mend. The message says what was expected, what came and what to do."""


class InputError(OutOfSightError):
    """A file, an argument or a setting is not what it must be."""


class CameraError(InputError):
    """A camera path is missing frames, malformed, or not made of rotations."""


class VideoError(InputError):
    """A video is missing, damaged, too short or of the wrong size."""


class CheckpointError(InputError):
    """A checkpoint is truncated, unreadable, or belongs to another model."""


class OutputError(OutOfSightError):
    """A result could not be written; nothing half-written was left behind."""


class WorldError(InputError):
    """A world was asked for that cannot be built."""


class DatasetError(InputError):
    """A data-set folder or one of its files is damaged or incomplete."""


CALLED = re.compile(r"^[\w.]+\(\) ")
PYTHONS_OWN = re.compile(r"object (is|has|does|of)|indices must be|cannot unpack|unsupported operand")
"""What Python says of a value of another kind: "list indices must be integers" tells nobody what a file lacks."""


def first_line(error: BaseException) -> str:
    """Take the first line of an error's text: messages here are one line."""
    if isinstance(error, KeyError) and error.args:
        return f"{error.args[0]!r} is missing"  # its text is the key alone
    said = (str(error).strip().splitlines() or ["no reason was given"])[0]
    if isinstance(error, AttributeError | TypeError) and PYTHONS_OWN.search(said):
        return "it is of another form"
    return CALLED.sub("", said)


def in_words(kind: object) -> str:
    """Call a kind of value by what people who write settings and files call it; "another kind" where there is no name.

    ``kind``: a type, such as ``int`` or that of a value.
    """
    return WORDS.get(kind, "another kind")  # type: ignore[call-overload]


def fault(found: Mapping[str, Any], name: str) -> str:
    """Say what is wrong with a setting, without the validator's own words for it.

    ``found``: one of a pydantic error's ``errors()``; ``name``: what the setting is called; "" for several at once.
    """
    said = str(found["msg"]).removeprefix("Value error, ").partition(", unable to parse")[0]
    for theirs, ours in FAULTS.items():
        said = re.sub(theirs, ours, said)
    if not name:
        return said
    ours_says_it = found["type"] in ("value_error", "missing", "unexpected_keyword_argument")
    shown = "" if ours_says_it or not isinstance(found["input"], str | int | float | None) else found["input"]
    got = "nothing" if shown is None else f"{shown!r:.80}"
    return f"{name}: {said}" + ("" if shown == "" else f", got {got}")


FAULTS = {
    "^Input should be": "expected", "a valid integer.*": "a whole number", "a valid number": "a number",
    "a valid boolean": "true or false", "a valid string": "text", "a valid (tuple|list|array)": "a list",
    r"a (valid )?dictionary or (an )?instance of \w+": "an object", "^Field required": "is missing",
    "^Unexpected keyword argument": "no such setting",
    r"^Invalid JSON: .* at (line \d+ column \d+)$": r"it is damaged or cut short, at \1",
    r"^\w+ should have (at \w+ \d+ items?) after validation, not (\w+)": r"expected \1, got \2",
}  # fmt: skip
"""pydantic's words, and what people call it."""

WORDS = {bool: "true or false", int: "a whole number", float: "a number", str: "text", list: "a list", tuple: "a list",
         dict: "an object", type(None): "nothing"}  # fmt: skip
