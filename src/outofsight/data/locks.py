"""One writer an output: a lock that the kernel frees when its process ends, however it ends."""

import errno
import fcntl
import json
import os
import socket
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from outofsight.errors import OutputError

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
            told = _holder(handle)
            os.close(handle)
            raise OutputError(f"{out}: {told} writes there; wait until it has ended, or choose another --out")
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
        told = json.loads(os.pread(handle, 10_000, 0))
        return f"another process ({told['process']} on {told['host']}, since {told['since']})"
    except (OSError, ValueError, KeyError, TypeError):
        return "another process"
