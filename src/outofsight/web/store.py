"""Walks on the disk: what a session stands on (it survives a kill), and what was saved under a name.

::

    STORE/sessions/<id>/about.json      what the session is, its panes, how long their films are, where their states lie
                        state0a/, state0b/, state1a/ ...    rollouts: one of two is written while the other counts
                        pane0.mp4, pane0.jsonl, pane1.mp4 ...    what was shown; cameras and seconds of each step
    STORE/saves/<id>/   the same, whole or absent
"""

import json
import re
import secrets
import shutil
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

from outofsight.errors import CheckpointError, InputError
from outofsight.files import explained, folder_in_one_piece, remove_folder, remove_unfinished, write_json

ABOUT = "about.json"
STATE = re.compile(r"state[a-z0-9]{0,8}")
ID = re.compile(r"[A-Za-z0-9_-]{22}")
KEPT_SESSIONS, MOST_SAVES = 32, 200


def new_id() -> str:
    """Make an id that nobody guesses."""
    return secrets.token_urlsafe(16)


class WalkStore:
    """A folder of walks. Ids are checked before they become names; no other part of a path comes from outside."""

    def __init__(self, root: Path) -> None:
        self.root = root
        with explained(root):
            for part in ("sessions", "saves"):
                (root / part).mkdir(parents=True, exist_ok=True)
        for part in ("sessions", "saves"):
            remove_unfinished(root / part)
        self._forget_oldest()

    def session(self, session: str) -> Path:
        """Give a session's folder. Raises ``InputError`` for what is no id."""
        return self._folder("sessions", session)

    def save(self, saved: str) -> Path:
        """Give a saved walk's folder. Raises ``InputError`` for what is no id."""
        return self._folder("saves", saved)

    def has_session(self, session: str) -> bool:
        return (self.session(session) / ABOUT).is_file()

    def saves(self) -> list[dict[str, Any]]:
        """Read what is told of every saved walk, newest first; damaged ones are left out."""
        found = []
        for folder in (self.root / "saves").iterdir():
            if ID.fullmatch(folder.name):
                with suppress(CheckpointError):
                    found.append({"id": folder.name, **read_about(folder)})
        return sorted(found, key=lambda about: str(about.get("date", "")), reverse=True)

    def keep(
        self, session: Path, write_states: Sequence[Callable[[Path], None]], about: Mapping[str, Any]
    ) -> str:
        """Save a session's walk under a new id: all of it, or nothing. ``write_states``: one for each pane, called with
        its state's folder.

        Raises:
            InputError: there are too many.
            OutputError: the disk is full.
        """
        if len(list((self.root / "saves").iterdir())) >= MOST_SAVES:
            raise InputError(f"{MOST_SAVES} walks are saved already; remove some from {self.root / 'saves'}")
        saved = new_id()
        with folder_in_one_piece(self.save(saved)) as temporary:
            for number, write_state in enumerate(write_states):
                for name in film_names(number):
                    shutil.copyfile(session / name, temporary / name)
                write_state(temporary / state_name(number))
            write_json(temporary / ABOUT, about)
        return saved

    def _folder(self, part: str, name: str) -> Path:
        if not ID.fullmatch(name):
            raise InputError(f"{part}: expected an id of 22 letters, got something else")
        return self.root / part / name

    def _forget_oldest(self) -> None:
        folders = [path for path in (self.root / "sessions").iterdir() if ID.fullmatch(path.name)]
        folders.sort(key=lambda path: path.stat().st_mtime, reverse=True)
        for folder in folders[KEPT_SESSIONS:]:
            with suppress(OSError):
                remove_folder(folder)


def state_name(number: int, turn: int = 0) -> str:
    """Name the folder of a pane's state. ``turn``: 0 or 1, the one of two that is not in use."""
    return f"state{number}{'ab'[turn]}"


def film_names(number: int) -> tuple[str, str]:
    """Name a pane's film and its log."""
    return f"pane{number}.mp4", f"pane{number}.jsonl"


def states_of(folder: Path) -> list[Path]:
    """Say where the states of a walk's panes lie. Raises ``CheckpointError`` where its description is damaged."""
    names = read_about(folder).get("states", ["state"])  # earlier versions kept one pane
    if (
        not isinstance(names, list)
        or not 1 <= len(names) <= 2
        or not all(isinstance(name, str) and STATE.fullmatch(name) for name in names)
    ):
        raise CheckpointError(f"{folder}: does not say where its states lie; it is damaged")
    return [folder / name for name in names]


def read_about(folder: Path) -> dict[str, Any]:
    """Read what is told of a walk. Raises ``CheckpointError`` where it is missing or damaged."""
    try:
        about = json.loads((folder / ABOUT).read_bytes())
        if not isinstance(about, dict):
            raise ValueError("not an object")
        return about
    except (OSError, ValueError) as error:
        raise CheckpointError(f"{folder}: is no walk of the explorer, or a damaged one ({error})") from error
