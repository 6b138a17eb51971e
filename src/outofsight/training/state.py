"""The complete state of a run, put together and taken up again; on disk whole or absent, in files of a size one can
choose.

::

    states/state-00000400/
      state.json              step, samples seen, configuration, optimizer steps, files and their checksums
      tensors-00000.safetensors ...    weights/NAME, ema/NAME, first_moment/NAME, second_moment/NAME

A state is written to a temporary folder, flushed to the disk, and renamed; only then are older ones removed.
Where one model is cut among many processes (FSDP2), each writes its own part in place of these files, and reads what it
needs, also as one of another number of processes: torch.distributed.checkpoint knows which numbers lie where.
A tensor larger than a file may be is cut: NAME#0, NAME#1, ... Random generators need no keeping: all chance is a
function of seed and position (``randomness``).
"""

import json
import os
import warnings
import zlib
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, nullcontext, suppress
from dataclasses import dataclass, replace
from itertools import count, takewhile
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
import torch.distributed.checkpoint as dcp
from accelerate import Accelerator
from accelerate.utils import broadcast_object_list
from safetensors import SafetensorError
from safetensors.torch import load, save
from torch import Tensor, nn
from torch.distributed.device_mesh import init_device_mesh
from torch.distributed.fsdp import fully_shard
from torch.distributed.tensor import DTensor

from outofsight.errors import CheckpointError, InputError, OutputError, first_line
from outofsight.files import remove_folder, remove_unfinished, replaced_folder
from outofsight.training.optimiser import full_tensor, optimizer_tensors, redistribute, restore_optimizers
from outofsight.training.run_folder import STATES

if TYPE_CHECKING:
    from outofsight.training.loop import Run

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
    read from there (``read_shards``), by ``names``.
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


def shard(objective: nn.Module, accelerator: Accelerator) -> nn.Module:
    """Cut a model's parameters among the processes (FSDP2), and let autocast hold where it would; returns the model.

    Blocks gather their weights one after the other; those of models with banks all at once, as banks and their keys
    are asked outside the blocks.

    Raises:
        InputError: there is one process alone.
    """
    if accelerator.num_processes == 1:
        raise InputError(
            "batch.shard cuts a model among processes, and this is the only one; begin several by `accelerate launch` "
            "or torchrun, or leave it out"
        )
    mesh = init_device_mesh(accelerator.device.type, (accelerator.num_processes,))
    transformer = getattr(objective, "transformer", None)
    if transformer is not None and not getattr(transformer, "has_banks", False):
        for block in transformer.blocks:
            fully_shard(block, mesh=mesh)
    fully_shard(objective.to(accelerator.device), mesh=mesh)
    # "Evaluation": without DDP around it.
    return accelerator.prepare_model(objective, evaluation_mode=True)


def is_sharded(tensors: Mapping[str, Tensor]) -> bool:
    """Tell whether any of these lies cut among processes."""
    return any(isinstance(value, DTensor) for value in tensors.values())


def save_shards(
    folder: Path, facts: dict[str, Any], tensors: Mapping[str, Tensor], *, keep: int, accelerator: Accelerator
) -> None:
    """Write a state, every process its part; all of them call. It takes its name when all are done.

    Raises:
        OutputError: a part cannot be written; earlier states are untouched.
    """
    main = accelerator.is_main_process
    try:
        with new_state(folder, int(facts["step"]), keep) if main else nullcontext() as temporary:
            place = [str(temporary)]
            broadcast_object_list(place)
            dcp.save(dict(tensors), checkpoint_id=place[0])
            if temporary is not None:
                sizes = {path.name: path.stat().st_size for path in temporary.iterdir()}
                write_manifest(temporary, facts, parts=sizes, names=sorted(tensors))
    except (OSError, dcp.api.CheckpointException) as error:
        raise unwritten(error) from error
    accelerator.wait_for_everyone()


def read_shards(state: State, like: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Read a sharded state into tensors as those given: cut as they are, whole where they are.

    Raises:
        CheckpointError: it is damaged, or of another model.
    """
    assert state.parts is not None
    own = {name: torch.zeros_like(value.detach(), dtype=torch.float32) for name, value in like.items()}
    try:
        with warnings.catch_warnings():
            warnings.filterwarnings(
                "ignore", message="torch.distributed is disabled"
            )  # one process reads alone
            dcp.load(own, checkpoint_id=str(state.parts), no_dist=not torch.distributed.is_initialized())
    except (OSError, ValueError, RuntimeError, KeyError, dcp.api.CheckpointException) as error:
        raise CheckpointError(
            f"{state.parts}: the state cannot be read ({first_line(error)}); remove {state.parts} to go on "
            "from the state before it"
        ) from error
    return own


def save_run(run: "Run") -> None:
    """Save the complete state: the main process writes it, or each its part where the model is cut among them."""
    files = run.config.state
    apart = is_sharded(run.parameters)
    gathered = (lambda tensor: tensor) if apart else full_tensor
    tensors: dict[str, Tensor] = {}
    for group, values, stored in (
        ("weights", run.parameters, files.weights),
        ("ema", run.mean.means, files.ema),
    ):
        dtype = getattr(torch, stored)
        tensors |= {f"{group}/{name}": gathered(value.detach()).to(dtype) for name, value in values.items()}
    steps: dict[str, int] = {}
    if files.optimizer != "omit":
        moments, steps = optimizer_tensors(_inner(run), run.parameters, gathered)
        tensors |= {name: value.to(getattr(torch, files.optimizer)) for name, value in moments.items()}
    facts = {
        "step": run.step, "samples_seen": run.samples_seen, "optimizer_steps": steps,
        "data": run.task.batches.identity, "sources": run.task.sources,
    }  # fmt: skip
    if apart:
        save_shards(run.out / STATES, facts, tensors, keep=files.keep, accelerator=run.accelerator)
    elif run.accelerator.is_main_process:
        state = State(facts=facts, tensors=tensors)
        save_state(run.out / STATES, state, shard_mb=files.shard_mb, keep=files.keep)
    run.accelerator.wait_for_everyone()


def _inner(run: "Run") -> list[torch.optim.Optimizer]:
    """The optimizers without accelerate's covers."""
    return [cover.optimizer for cover in run.optimizers]


def _of_another_model(run: "Run", group: str) -> CheckpointError:
    return CheckpointError(f"{run.out}: the state's {group} are of another model; they do not fit this one")


def _read(run: "Run", state: State) -> State:
    """Read what many processes wrote, as this one needs it; another state is read already."""
    if state.parts is None:
        return state
    like = {}
    for name in state.names:
        group, _, parameter = name.partition("/")
        targets = run.mean.means if group == "ema" else run.parameters
        if parameter not in targets:
            raise _of_another_model(run, group)
        like[name] = targets[parameter]
    return replace(state, tensors=read_shards(state, like))


def restore_run(run: "Run", state: State) -> None:
    """Take up a state. Raises ``CheckpointError`` if it is of other data or another model."""
    for what, own in (("data", run.task.batches.identity), ("sources", run.task.sources)):
        if state.facts[what] != own:
            raise CheckpointError(
                f"{run.out}: the run was trained on other {'data' if what == 'data' else 'frozen weights'}; give "
                "the same, or begin a new run from its export (task.initial)"
            )
    state = _read(run, state)
    for group, targets in (("weights", run.parameters), ("ema", run.mean.means)):
        stored = state.group(group)
        if set(stored) != set(targets):
            raise _of_another_model(run, group)
        with torch.no_grad():
            for name, target in targets.items():
                target.copy_(redistribute(stored[name], target))
    moments = {kind: state.group(kind) for kind in ("first_moment", "second_moment")}
    steps = state.facts["optimizer_steps"]
    restore_optimizers(_inner(run), run.parameters, moments, steps)
    run.step, run.samples_seen = state.step, int(state.facts["samples_seen"])
