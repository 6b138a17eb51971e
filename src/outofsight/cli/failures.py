"""What is said of a failure: one line, in words that a user can act on, and the exit code."""

import errno
import os
import re

import typer

from outofsight.errors import OutOfSightError
from outofsight.files import write_advice

OS_ERROR = re.compile(r"\(os error (\d+)\)")
SAID_OF_WRITING = (errno.ENOSPC, errno.EDQUOT, errno.EACCES, errno.EPERM, errno.EROFS, errno.ENAMETOOLONG)
STOPPED = 130
"""What shells give a command that was stopped by Ctrl-C."""


def exit_line(error: BaseException) -> tuple[int, str]:
    """Give an exit code and a line: 2 for what a user can mend, 1 for what only we can."""
    if isinstance(error, OutOfSightError):
        return 2, str(error)
    if hasattr(error, "format_message"):  # of click's, of which typer has a copy of its own
        verb = getattr(getattr(error, "ctx", None), "command_path", "outofsight")
        said = error.format_message().replace("Input should be", "expected").partition(", unable to parse")[0]
        return 2, f"{said.rstrip('.')}; see {verb} --help"
    if isinstance(error, typer.Abort) or _was_interrupted(error):
        return STOPPED, "stopped; what is finished is kept, and the same command goes on"
    if isinstance(error, MemoryError) or "out of memory" in str(error) or "can't allocate" in str(error):
        return 2, (
            "there is not enough memory; take fewer frames, a smaller --size, --tile-vae or --attention-chunk 1"
        )
    if isinstance(error, UnicodeEncodeError):  # a name of bytes, where a library wants text
        near = error.object[max(0, error.start - 40) : error.end + 20]
        return 2, f"{near!a}: expected text in UTF-8, got other bytes; give another name"
    if isinstance(error, ValueError) and "null byte" in str(error):
        return 2, "a name holds a null byte; give another"
    if isinstance(error, OSError):
        return 2, f"{error.filename or 'a file'}: {_reason(error)}"
    if found := OS_ERROR.search(str(error)):  # of libraries that write by themselves
        number = int(found[1])
        return 2, f"could not be written: {write_advice(OSError(number, os.strerror(number)))}"
    what = f"{type(error).__name__}: {error}"
    return (
        1,
        f"this is a mistake of ours ({what}); OUTOFSIGHT_DEBUG=1 shows where it happened: please report it",
    )


def _was_interrupted(error: BaseException | None) -> bool:
    """Tell whether Ctrl-C is behind an error: a library that is being imported makes an ImportError of it."""
    while error is not None and not isinstance(error, KeyboardInterrupt):
        error = error.__cause__ or error.__context__
    return error is not None


def _reason(error: OSError) -> str:
    if error.errno in (errno.EPIPE, errno.ESHUTDOWN):
        return "the reader of our output has gone"
    if error.errno in SAID_OF_WRITING:
        return write_advice(error)
    return error.strerror or str(error)
