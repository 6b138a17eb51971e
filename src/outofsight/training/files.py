"""Replacing a result folder as a whole."""

import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from outofsight.errors import OutputError


@contextmanager
def replaced_folder(folder: Path) -> Iterator[Path]:
    """Give an empty temporary folder that takes the place of ``folder`` if all goes well, and is removed if not.

    Raises:
        OutputError: it cannot be written; what is there is untouched.
    """
    temporary = folder.with_name(f".unfinished-{os.getpid()}-{folder.name}")
    old = folder.with_name(f".replaced-{folder.name}")
    try:
        shutil.rmtree(temporary, ignore_errors=True)
        temporary.mkdir(parents=True)
        yield temporary
        shutil.rmtree(old, ignore_errors=True)
        if folder.exists():
            os.rename(folder, old)
        os.rename(temporary, folder)
        shutil.rmtree(old, ignore_errors=True)
    except OSError as error:
        raise OutputError(
            f"{folder}: could not be written ({error.strerror or error}); free some space"
        ) from error
    finally:
        shutil.rmtree(temporary, ignore_errors=True)
