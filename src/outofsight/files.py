"""Writing that is all or nothing: a temporary name in the same place, then a rename; reading what editors write.

A temporary file or folder is locked by the process that fills it, and the kernel frees the lock however that process
ends. So what is locked is somebody's work, and what is not was left by a kill and may go. In the same way a
lock keeps an output to one writer.
"""

import codecs
import errno
import fcntl
import json
import os
import re
import secrets
import shutil
import socket
import stat
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from outofsight.errors import DatasetError, InputError, OutputError

NO_LOCKS = (errno.ENOTSUP, errno.ENOLCK, errno.EINVAL, errno.ENOSYS)
"""What file systems say that know no locks; on those nobody can be told from anybody."""


def lock(handle: int) -> bool:
    """Lock an open file or folder; tell whether it is ours now."""
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    except OSError as error:
        if error.errno not in NO_LOCKS:
            raise
    return True


def unlock(handle: int) -> None:
    """Free what ``lock`` locked."""
    with suppress(OSError):
        os.close(handle)


@contextmanager
def one_writer(place: Path, out: Path) -> Iterator[None]:
    """Be the only one who writes ``out``; ``place``: the lock's file, which is gone afterwards.

    Raises:
        OutputError: another process writes there; it says which, and since when. Or ``place`` cannot be written.
    """
    handle = _locked(place, out)
    try:
        yield
    finally:
        place.unlink(missing_ok=True)
        unlock(handle)


def _locked(place: Path, out: Path) -> int:
    while True:
        try:
            handle = os.open(place, os.O_RDWR | os.O_CREAT, 0o666)
        except OSError as error:
            raise OutputError(
                f"cannot write to {place.parent}: {error.strerror or error}; choose another --out"
            ) from error
        if not lock(handle):
            holder = _holder(handle)
            os.close(handle)
            raise OutputError(
                f"{out}: {holder} writes there; wait until it has ended, or choose another --out"
            )
        # Whoever held it before may have removed the file between our opening and our locking.
        if place.exists() and os.path.samestat(os.fstat(handle), place.stat()):
            break
        os.close(handle)
    with suppress(OSError):  # a full disk: the lock holds without its text
        text = {"process": os.getpid(), "host": socket.gethostname(), "since": time.strftime("%F %T")}
        os.ftruncate(handle, 0)
        os.pwrite(handle, json.dumps({**text, "command": sys.argv[1:3]}).encode(), 0)
    return handle


def _holder(handle: int) -> str:
    """Say who holds a lock."""
    try:
        holder = json.loads(os.pread(handle, 10_000, 0))
        return f"another process ({holder['process']} on {holder['host']}, since {holder['since']})"
    except (OSError, ValueError, KeyError, TypeError):
        return "another process"


TEMPORARY_PREFIX = ".unfinished-"
REPLACED_PREFIX = f"{TEMPORARY_PREFIX}replaced-"
LEFTOVER = re.compile(r"\.unfinished-([0-9a-f]{12}$|replaced-|\d+-)")
"""Names of ours alone: digits of chance, or a process's number, as earlier versions had it."""


@contextmanager
def explained(path: Path) -> Iterator[None]:
    """Turn an ``OSError`` while writing ``path`` into an ``OutputError`` that says what to do."""
    try:
        yield
    except OSError as error:
        raise OutputError(f"{path}: could not be written: {write_advice(error)}") from error


def write_advice(error: OSError) -> str:
    """Say why writing failed, and what helps."""
    if error.errno in (errno.ENOSPC, errno.EDQUOT):
        return "the disk is full; free some space and run again, finished work is kept"
    if error.errno in (errno.EACCES, errno.EPERM, errno.EROFS):
        return "writing is not permitted there; choose another place"
    if error.errno == errno.ENAMETOOLONG:
        return "the name is too long for the file system; choose a shorter one"
    if error.errno in (errno.EEXIST, errno.ENOTEMPTY):
        return "it is there already; choose another place"
    return f"{error.strerror or error}; nothing half-written was left behind"


@contextmanager
def written_whole(path: Path) -> Iterator[Path]:
    """Give a name to write under; what was written there takes ``path`` when it is whole, or is removed.

    It lies in a folder of its own, since libraries put another file in the place of the one that they are given.
    Raises ``OSError`` as it comes.
    """
    with _scratch(path.parent) as scratch:
        yield scratch / path.name
        os.replace(scratch / path.name, path)


@contextmanager
def _scratch(parent: Path) -> Iterator[Path]:
    """Give an empty folder of our own, locked while we are in it, and removed in the end."""
    while True:
        folder = parent / f"{TEMPORARY_PREFIX}{secrets.token_hex(6)}"
        folder.mkdir()
        handle = os.open(folder, os.O_RDONLY)
        if lock(handle) and folder.exists():  # between the two somebody may have taken it for a leftover
            break
        os.close(handle)
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)
        unlock(handle)


@contextmanager
def file_in_one_piece(path: Path) -> Iterator[Path]:
    """Do as ``written_whole`` does. Raises ``OutputError`` for what the file system refuses."""
    with explained(path), written_whole(path) as temporary:
        yield temporary


def write_bytes(path: Path, content: bytes) -> None:
    """Write a file atomically, flushed to the disk before it has its name. Raises ``OSError`` as it comes."""
    with written_whole(path) as temporary, temporary.open("wb") as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())


def write_text(path: Path, text: str) -> None:
    """Write a text file atomically. Raises ``OutputError``."""
    with file_in_one_piece(path) as temporary:
        temporary.write_text(text, encoding="utf-8")


def write_json(path: Path, value: Any, indent: int | None = None) -> None:
    """Write a JSON file atomically. Names of files that are no UTF-8 are escaped. Raises ``OutputError``."""
    text = json.dumps(value, indent=indent, ensure_ascii=False, allow_nan=False)
    try:
        text.encode()
    except UnicodeEncodeError:
        text = json.dumps(value, indent=indent, allow_nan=False)
    write_text(path, text + "\n")


def read_json(path: Path) -> Any:
    """Read a JSON file. Raises ``DatasetError`` naming it if it is missing or damaged."""
    try:
        return json.loads(path.read_bytes())  # of bytes, JSON finds byte-order marks and UTF-16 by itself
    except FileNotFoundError as error:
        raise DatasetError(f"{path}: missing; the sample is incomplete") from error
    except (ValueError, OSError, RecursionError) as error:
        raise DatasetError(f"{path}: expected JSON, got something damaged ({error})") from error


def read_text(path: Path) -> str:
    """Read a text file in UTF-8, or in UTF-16 with a byte-order mark; the mark is left out, lines end in a line feed.

    Raises:
        InputError: it is missing, cannot be read, or is in another encoding.
    """
    try:
        content = path.read_bytes()
        wide = content.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE))
        text = content.decode("utf-16" if wide else "utf-8-sig")
        return text.replace("\r\n", "\n").replace("\r", "\n")
    except OSError as error:
        raise InputError(f"{path}: cannot be read: {error.strerror or error}") from error
    except UnicodeDecodeError as error:
        raise InputError(
            f"{path}: expected text in UTF-8, got other bytes (the first at {error.start}); save it as UTF-8"
        ) from error


@contextmanager
def folder_in_one_piece(folder: Path, *, others_too: bool = False) -> Iterator[Path]:
    """Give a temporary folder that becomes ``folder`` if all goes well, and is removed if not.

    ``others_too``: another process may make the same folder with the same content; the first one stands.

    Raises ``OutputError`` for what the file system refuses; other errors pass through after the removal.
    """
    with explained(folder):
        folder.parent.mkdir(parents=True, exist_ok=True)
        with _scratch(folder.parent) as scratch:
            temporary = scratch / folder.name
            temporary.mkdir()
            yield temporary
            try:
                os.rename(temporary, folder)  # an empty folder makes way
            except OSError as error:
                if not (others_too and error.errno in (errno.EEXIST, errno.ENOTEMPTY)):
                    raise


@contextmanager
def replaced_folder(folder: Path) -> Iterator[Path]:
    """Give an empty temporary folder that takes the place of ``folder`` if all goes well, and is removed if not.

    Raises:
        OutputError: it cannot be written; what is there is untouched.
    """
    old = folder.with_name(f"{REPLACED_PREFIX}{folder.name}")
    with explained(folder):
        folder.parent.mkdir(parents=True, exist_ok=True)
        with _scratch(folder.parent) as scratch:
            temporary = scratch / folder.name
            temporary.mkdir()
            _put_back(old)
            yield temporary
            if folder.exists():
                os.rename(folder, old)
            try:
                os.rename(temporary, folder)
            except OSError:
                _put_back(old)
                raise
            shutil.rmtree(old, ignore_errors=True)


def remove_folder(folder: Path) -> None:
    """Remove a folder that a kill must not leave in part: it loses its name first. Raises ``OSError`` as it comes."""
    with _scratch(folder.parent) as scratch:
        os.rename(folder, scratch / folder.name)


def _put_back(old: Path) -> None:
    """Give a folder that was moved out of the way its name again, or remove it where another has that name by now."""
    place = old.with_name(old.name.removeprefix(REPLACED_PREFIX))
    if old.exists() and not place.exists():
        os.rename(old, place)
    shutil.rmtree(old, ignore_errors=True)


def remove_unfinished(folder: Path) -> int:
    """Remove what killed processes left behind in a folder, and nobody's work; give the number of things removed."""
    removed = 0
    with suppress(OSError):  # a folder that cannot be looked through has nothing for us
        for path in sorted(folder.iterdir()):
            removed += bool(LEFTOVER.match(path.name)) and _removed(path)
    return removed


def _removed(path: Path) -> bool:
    """Remove a leftover, unless a process holds it, or it is not ours to remove."""
    try:
        handle = os.open(path, os.O_RDONLY | os.O_NOFOLLOW)
    except OSError:
        return False
    try:
        if not lock(handle):
            return False
        if path.name.startswith(REPLACED_PREFIX):  # a kill came between two renames
            _put_back(path)
        elif stat.S_ISDIR(os.fstat(handle).st_mode):
            shutil.rmtree(path, ignore_errors=True)
        else:
            path.unlink(missing_ok=True)
        return not path.exists()
    except OSError:
        return False
    finally:
        unlock(handle)
