"""The complete state of a run on disk: whole or absent, in files of a size one can choose.

::

    states/state-00000400/
      state.json              step, samples seen, configuration, optimizer steps, files and their checksums
      tensors-00000.safetensors ...    weights/NAME, ema/NAME, first_moment/NAME, second_moment/NAME

A state is written to a temporary folder, flushed to the disk, and renamed; only then are older ones removed.
A tensor larger than a file may be is cut: NAME#0, NAME#1, ... Random generators need no keeping: all chance is a
function of seed and position (``randomness``).
"""

import json
import os
import zlib
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from itertools import count, takewhile
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load, save
from torch import Tensor

from outofsight.errors import CheckpointError, OutputError, first_line
from outofsight.files import remove_folder, remove_unfinished, replaced_folder

STATE_VERSION = 1
PREFIX = "state-"
MANIFEST = "state.json"
MEGABYTE = 10**6
HEADER_ENTRY = 128
"""Bytes that safetensors needs beside a tensor's name and numbers, and for the header itself; generously."""


@dataclass(frozen=True, kw_only=True)
class State:
    """``facts``: JSON values, ``step`` among them. ``tensors``: by the names given above.

    ``parts``: the folder of a state that was written by many processes, each its part; then ``tensors`` are to be
    read from there (``sharding.read_shards``), by ``names``.
    """

    facts: dict[str, Any]
    tensors: dict[str, Tensor]
    parts: Path | None = None
    names: tuple[str, ...] = ()

    @property
    def step(self) -> int:
        return int(self.facts["step"])

    def group(self, name: str) -> dict[str, Tensor]:
        """The tensors whose names begin with ``name/``, by the rest of their names."""
        mark = f"{name}/"
        return {key.removeprefix(mark): value for key, value in self.tensors.items() if key.startswith(mark)}


def save_state(folder: Path, state: State, *, shard_mb: float, keep: int) -> Path:
    """Write a state into ``folder``. Raises as ``new_state``."""
    with new_state(folder, state.step, keep) as temporary:
        files = {}
        for number, shard in enumerate(_shards(state.tensors, int(shard_mb * MEGABYTE))):
            content = save(shard)
            name = f"tensors-{number:05d}.safetensors"
            _write_flushed(temporary / name, content)
            files[name] = zlib.crc32(content)
        shapes = {name: list(value.shape) for name, value in state.tensors.items()}
        write_manifest(temporary, state.facts, files=files, shapes=shapes)
    return state_folder(folder, state.step)


def state_folder(folder: Path, step: int) -> Path:
    return folder / f"{PREFIX}{step:08d}"


@contextmanager
def new_state(folder: Path, step: int, keep: int) -> Iterator[Path]:
    """Give a temporary folder that becomes the state of a step in ``folder``; then all but the newest ``keep`` go.

    Raises:
        OutputError: it cannot be written (a full disk); the states that are there are untouched.
    """
    remove_unfinished(folder)
    try:
        with replaced_folder(state_folder(folder, step)) as temporary:
            yield temporary
            _flush_folder(temporary)
        _flush_folder(folder)
    except (OSError, OutputError) as error:
        raise unwritten(error) from error
    drop_old_states(folder, keep)


def unwritten(error: BaseException) -> OutputError:
    return OutputError(
        f"the state could not be written, earlier states are untouched; go on with --resume: {error}"
    )


def write_manifest(folder: Path, facts: dict[str, Any], **content: Any) -> None:
    """Write what a state is; last of all, since a folder without it is no state."""
    manifest = {"version": STATE_VERSION, "facts": facts, **content}
    _write_flushed(folder / MANIFEST, json.dumps(manifest, indent=1).encode())


def drop_old_states(folder: Path, keep: int) -> None:
    """Remove all finished states but the newest; one that cannot be removed stays."""
    for old in finished_states(folder)[:-keep]:
        with suppress(OSError):
            remove_folder(old)


def finished_states(folder: Path) -> list[Path]:
    """Give the finished states of a folder, oldest first."""
    return sorted(path for path in folder.glob(f"{PREFIX}*") if (path / MANIFEST).is_file())


def load_latest_state(folder: Path) -> State | None:
    """Read the newest finished state; ``None`` if there is none. Raises as ``load_state``."""
    states = finished_states(folder)
    return load_state(states[-1]) if states else None


def load_state(path: Path) -> State:
    """Read one state.

    Raises:
        CheckpointError: it is damaged, or of another version; the message says how to go on.
    """
    advice = f"remove {path} to go on from the state before it"
    try:
        manifest = json.loads((path / MANIFEST).read_bytes())
        if manifest["version"] != STATE_VERSION:
            raise CheckpointError(
                f"{path}: a state of version {manifest['version']}, this program reads {STATE_VERSION}; {advice}"
            )
        if "parts" in manifest:
            return _in_parts(path, manifest, advice)
        pieces: dict[str, Tensor] = {}
        for name, checksum in manifest["files"].items():
            content = (path / name).read_bytes()
            if zlib.crc32(content) != checksum:
                raise CheckpointError(f"{path / name}: its checksum differs, so it is damaged; {advice}")
            pieces.update(load(content))
        tensors = {name: _joined(pieces, name, shape) for name, shape in manifest["shapes"].items()}
        return State(facts=manifest["facts"], tensors=tensors)
    except (OSError, ValueError, KeyError, TypeError, RuntimeError, SafetensorError) as error:
        raise CheckpointError(f"{path}: the state cannot be read ({first_line(error)}); {advice}") from error


def _in_parts(path: Path, manifest: Mapping[str, Any], advice: str) -> State:
    """See that every process's part is whole."""
    for name, size in manifest["parts"].items():
        if not (path / name).is_file() or (path / name).stat().st_size != size:
            raise CheckpointError(f"{path / name}: missing or cut short, so it is damaged; {advice}")
    return State(facts=manifest["facts"], tensors={}, parts=path, names=tuple(manifest["names"]))


def _shards(tensors: Mapping[str, Tensor], limit: int) -> Iterator[dict[str, Tensor]]:
    """Pack pieces of tensors, in order, into files of at most ``limit`` bytes, the file's own header included."""
    shard: dict[str, Tensor] = {}
    used = HEADER_ENTRY
    for name, piece in _pieces(tensors, limit):
        cost = piece.nbytes + len(name) + HEADER_ENTRY
        if shard and used + cost > limit:
            yield shard
            shard, used = {}, HEADER_ENTRY
        shard[name] = piece
        used += cost
    if shard:
        yield shard


def _pieces(tensors: Mapping[str, Tensor], limit: int) -> Iterator[tuple[str, Tensor]]:
    for name, tensor in tensors.items():
        flat = tensor.detach().cpu().contiguous().flatten()
        most = max(1, (limit - len(name) - 2 * HEADER_ENTRY) // flat.element_size())
        for number, piece in enumerate(flat.split(most) if flat.numel() else [flat]):
            yield f"{name}#{number}", piece.clone()


def _joined(pieces: Mapping[str, Tensor], name: str, shape: list[int]) -> Tensor:
    numbered = takewhile(pieces.__contains__, (f"{name}#{number}" for number in count()))
    return torch.cat([pieces[piece] for piece in numbered]).reshape(shape)


def _write_flushed(path: Path, content: bytes) -> None:
    with path.open("wb") as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())


def _flush_folder(path: Path) -> None:
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
