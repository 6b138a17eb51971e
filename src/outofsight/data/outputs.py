"""Where a command may write: never over what it reads, and never over what was not made by us."""

import os
from collections.abc import Iterable, Iterator, Sequence
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from tempfile import TemporaryFile

from outofsight.errors import OutputError
from outofsight.files import one_writer, remove_unfinished, write_advice

LOCK = ".outofsight.lock"


def check_outputs(writes: Sequence[Path], reads: Iterable[str | Path | None], *, ours: bool = False) -> None:
    """Decide whether a command may write these files and folders, before it computes anything. Makes nothing.

    ``reads``: what it reads; names that are no files (of bundled models, paths in words) and ``None`` are left out.
    ``ours``: what lies at ``writes`` was made by an earlier run of ours, and may be gone on with or replaced.

    Raises:
        OutputError: a file would be written over, or into, an input, also by way of a link; or it is there already
            and was not made by us, which no option permits to replace.
    """
    inputs = [path for path in map(_existing, reads) if path is not None]
    for path in writes:
        _check_name(path)
        for read in inputs:
            if how := _one_in_the_other(path, read):
                raise OutputError(
                    f"{path}: {how} an input ({read}), which is never written over; choose another --out"
                )
        if not ours and os.path.lexists(path) and not _is_empty_folder(path):
            raise OutputError(
                f"{path}: is there already and was not made by outofsight, so it is never replaced; choose another "
                "--out"
            )


@contextmanager
def claimed(out: Path, *, filled: bool = False, new: bool = False) -> Iterator[None]:
    """Prove that ``out`` can be written, and be its only writer. Folders made for it go again if nothing came of it.

    ``filled``: ``out`` is a folder that is filled file by file; otherwise a file, or a folder that comes in one piece.
    ``new``: nothing may be there, also of a process that was quicker.

    Raises:
        OutputError: it cannot be written, another process writes there, or it is there and was to be ``new``.
    """
    folder = out if filled else out.parent
    made = [path for path in (folder, *folder.parents) if not path.exists()]
    try:
        with ExitStack() as held:
            try:
                folder.mkdir(parents=True, exist_ok=True)
                with TemporaryFile(dir=folder):
                    pass
            except OSError as error:
                raise OutputError(f"cannot write to {folder}: {write_advice(error)}") from error
            held.enter_context(one_writer(folder / (LOCK if filled else f".{out.name[:100]}.lock"), out))
            if new and os.path.lexists(out):
                raise OutputError(f"{out} exists already; choose a new --out, so that nothing is overwritten")
            remove_unfinished(folder)
            yield
    finally:
        for path in made:
            with suppress(OSError):  # not empty: something came of it
                path.rmdir()


def _check_name(path: Path) -> None:
    """Refuse names that no file of ours can have. Raises ``OutputError``."""
    check_utf8(path)
    try:
        os.lstat(path)
    except (FileNotFoundError, NotADirectoryError):
        pass
    except (OSError, ValueError) as error:
        reason = write_advice(error) if isinstance(error, OSError) else str(error)
        raise OutputError(f"{str(path)[:80]}: cannot be written: {reason}") from error
    above = next((part for part in path.parents if os.path.lexists(part)), None)
    if above is not None and not above.is_dir():
        raise OutputError(f"cannot write {path}: {above} is no folder; choose another --out")
    if above is not None and not os.access(above, os.W_OK):
        raise OutputError(f"cannot write to {above}: writing is not permitted there; choose another --out")


def check_utf8(path: Path) -> None:
    """Raise ``OutputError`` for a name that holds bytes which are no UTF-8."""
    try:
        str(path).encode()
    except UnicodeEncodeError as error:
        raise OutputError(
            f"{path}: cannot be written: the name holds bytes that are no UTF-8; choose another"
        ) from error


def _existing(read: str | Path | None) -> Path | None:
    try:
        return Path(read) if read and Path(read).exists() else None
    except (OSError, ValueError):  # words too long for a name
        return None


def _one_in_the_other(path: Path, read: Path) -> str:
    """Say how a path and what is read touch, wherever links lead; nothing if they don't."""
    if path.exists() and path.samefile(read):
        return "is"
    ours, theirs = Path(os.path.realpath(path)), Path(os.path.realpath(read))
    return "lies in" if ours.is_relative_to(theirs) else "holds" if theirs.is_relative_to(ours) else ""


def _is_empty_folder(path: Path) -> bool:
    return path.is_dir() and not any(path.iterdir())


def refuse_existing(out: Path, reads: Sequence[str | Path | None], *, is_file: bool = False) -> None:
    """Raise ``OutputError`` if there is something at ``out`` already, or it is what is read.

    ``is_file``: a file is to be made, which an empty folder is in the way of too.
    """
    if out.exists() and (is_file or not _is_empty_folder(out)):
        raise OutputError(f"{out} exists already; choose a new --out, so that nothing is overwritten")
    check_outputs([out], reads)
