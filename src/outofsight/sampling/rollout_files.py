"""A rollout's state on disk: a folder that is whole at every moment, to which a save adds what is new.

::

    harbour/rollout.json                             what it is, readable: model, settings, captions, steps, pieces
    harbour/tensors-00000011-1a2b3c4d.safetensors    pieces of tensors, by their digests, as step 11 left them
    harbour/tensors-00000012-5e6f7a8b.safetensors    those that step 12 changed

The new pieces are written first, into a file of their own; then ``rollout.json``, which says what lies where, takes the
place of the older one in a single rename; only then files go of which nothing is needed any more. What is left of a
file that is needed for less than half is written again, so that a folder is at most twice as large as its state.
"""

import hashlib
import json
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import asdict, dataclass
from math import isfinite
from pathlib import Path
from types import MappingProxyType
from typing import Any

import torch
from safetensors import SafetensorError
from torch import Tensor

from outofsight.codec.latent_tiling import LatentTiling
from outofsight.errors import CheckpointError, InputError, OutputError, first_line
from outofsight.files import TEMPORARY_PREFIX, remove_unfinished, write_bytes
from outofsight.memory.strategies import MEMORY_FIELDS
from outofsight.model_folders import BUNDLED, MODELS
from outofsight.sampling.continuation import SamplingSettings
from outofsight.sampling.piece_files import Known, Layout, layout_of, pieces_along, read_tensors, write_pieces
from outofsight.sampling.rollout_state import RolloutLimits, RolloutState, state_fields
from outofsight.world_model import WorldModelBase

VERSION = 4
"""1 had no tentative subjects, and its digest left out the text encoder; 2 knew no lens; 3 was one file."""

MANIFEST = "rollout.json"
TENSORS = "tensors-"
_NUMBERS = ("step", "num_context_frames", "num_frames", "reach", "prompt")
_AXES = {"banks": 1, "latents": 2, "masks": 2}
"""Along which tensors are cut: a bank's slots, a history's frames. Others stay in one piece."""
_MADE_WITH: Mapping[str, Any] = MappingProxyType(
    {"model": str | None, "weights": str, "memory": dict, "dtype": str, "text_dtype": str, "notes": dict}
)


@dataclass(frozen=True, kw_only=True, eq=False)
class Saved:
    """What a state folder holds. ``moments``: by steps made, the last of them is now. ``texts``: states by caption."""

    moments: Mapping[int, RolloutState]
    texts: Mapping[str, Tensor]
    negative: Tensor | None
    settings: SamplingSettings
    limits: RolloutLimits
    tiling: LatentTiling | None
    notes: Mapping[str, Any]


def save_rollout(folder: Path, saved: Saved, world: WorldModelBase, digest: str, known: Known) -> None:
    """Write what is new of a state; see the module's text for how it stays whole. ``known``: kept between saves.

    Raises:
        OutputError: the folder holds other things, or cannot be written; what was there is untouched.
    """
    _check_place(folder)
    tensors = _named_tensors(saved)
    layouts = {name: layout_of(value, _axis(name), known) for name, value in tensors.items()}
    pieces = {
        piece: part
        for name, layout in layouts.items()
        for piece, part in zip(layout.pieces, pieces_along(tensors[name], layout.axis), strict=True)
    }
    files = _kept_files(folder, pieces)
    there = {piece for inside in files.values() for piece in inside}
    new = {piece: part for piece, part in pieces.items() if piece not in there}
    if new:
        suffix = hashlib.sha256("".join(sorted(new)).encode()).hexdigest()[:8]
        files[f"{TENSORS}{max(saved.moments):08d}-{suffix}.safetensors"] = sorted(new)
    manifest = {
        "version": VERSION,
        "model": _model_name(world),
        "weights": digest,
        "memory": _memory(world),
        "dtype": _plain(world.transformer.dtype),
        "text_dtype": _plain(world.text_encoder.dtype),
        "settings": asdict(saved.settings),
        "limits": {name: _finite(value) for name, value in asdict(saved.limits).items()},
        "tiling": None if saved.tiling is None else asdict(saved.tiling),
        "texts": list(saved.texts),
        "moments": [_facts(moment) for _, moment in sorted(saved.moments.items())],
        "notes": dict(saved.notes),
        "tensors": layouts,
        "files": files,
    }
    try:
        text = json.dumps(manifest, indent=1, ensure_ascii=False, allow_nan=False) + "\n"
    except (TypeError, ValueError) as error:
        raise InputError(f"rollout.notes: expected JSON values ({error})") from error
    try:
        folder.mkdir(parents=True, exist_ok=True)
        if new:
            write_pieces(folder / list(files)[-1], {piece: new[piece] for piece in sorted(new)})
        write_bytes(folder / MANIFEST, text.encode())
    except OSError as error:
        with suppress(OSError, ValueError, KeyError, TypeError):  # of a manifest that was damaged before
            _drop_others(folder)
        raise OutputError(
            f"{folder}: the state could not be written ({error.strerror or error}); the one before is untouched"
        ) from error
    with suppress(OSError):  # what cannot be removed now goes with the next save
        _drop_others(folder)


def _axis(name: str) -> int | None:
    return _AXES.get(name.split("/")[-1].split(".")[0])


def _kept_files(folder: Path, needed: Mapping[str, Tensor]) -> dict[str, list[str]]:
    """Give the files of an older state that stay, with their pieces: those that are needed for half or more."""
    try:
        before = _read_manifest(folder)["files"]
    except (CheckpointError, KeyError):
        return {}
    kept = {}
    for name, inside in before.items():
        path = folder / str(name)
        if not path.is_file():
            continue
        useful = [piece for piece in inside if piece in needed]
        if useful and 2 * sum(needed[piece].nbytes for piece in useful) >= path.stat().st_size:
            kept[name] = useful
    return kept


def load_rollout(folder: Path) -> tuple[Saved, Mapping[str, Any]]:
    """Read a state and its manifest. Nothing is written.

    Raises:
        CheckpointError: there is none, it is damaged, or it is something else.
    """
    manifest = _read_manifest(folder)
    try:
        if odd := [name for name, kind in _MADE_WITH.items() if not isinstance(manifest[name], kind)]:
            raise TypeError(f"{odd[0]} is {manifest[odd[0]]!r}")
        layouts = {name: Layout(axis, tuple(pieces)) for name, (axis, pieces) in manifest["tensors"].items()}
        tensors = read_tensors(folder, manifest["files"], layouts)
        texts = {prompt: tensors[f"text.{index}"] for index, prompt in enumerate(manifest["texts"])}
        moments = {facts["step"]: _moment(facts, tensors) for facts in manifest["moments"]}
        if not moments:
            raise ValueError("it holds no moment")
        tiling = manifest["tiling"]
        saved = Saved(
            moments=MappingProxyType(moments),
            texts=texts,
            negative=tensors.get("negative"),
            settings=SamplingSettings(**manifest["settings"]),
            limits=RolloutLimits(**manifest["limits"]),
            tiling=None if tiling is None else LatentTiling(**{k: tuple(v) for k, v in tiling.items()}),
            notes=manifest["notes"],
        )
    except CheckpointError:
        raise
    except FileNotFoundError as error:
        raise CheckpointError(f"{error}: missing; the state is not whole, use another copy") from error
    except (InputError, OSError, KeyError, TypeError, ValueError, AttributeError, SafetensorError) as error:
        raise CheckpointError(
            f"{folder}: a damaged state of a rollout ({first_line(error)}); use another copy"
        ) from error
    return saved, manifest


def check_model(folder: Path, manifest: Mapping[str, Any], world: WorldModelBase, digest: str) -> None:
    """Raise ``CheckpointError`` if a state belongs to another model, or to this one used in another way."""
    if manifest["text_dtype"] != (text_dtype := _plain(world.text_encoder.dtype)):
        raise CheckpointError(
            f"{folder}: made with a text encoder in {manifest['text_dtype']}, this model's is in {text_dtype}; resume "
            "it by WorldModel.resume(path)"
        )
    if manifest["weights"] != digest:
        raise CheckpointError(
            f"{folder}: the state of another model ({manifest['model'] or 'of unknown place'}, weights "
            f"{manifest['weights'][:12]}), these weights are {digest[:12]}; resume it with its own model"
        )
    dtype = _plain(world.transformer.dtype)
    if manifest["dtype"] != dtype:
        raise CheckpointError(
            f"{folder}: made in {manifest['dtype']}, this model is in {dtype}; load it with dtype="
            f"torch.{manifest['dtype']}"
        )
    memory = _memory(world)
    if other := [name for name, value in manifest["memory"].items() if memory.get(name) != value]:
        raise CheckpointError(
            f"{folder}: made with {other[0]}={manifest['memory'][other[0]]!r}, this model has "
            f"{memory.get(other[0])!r}; resume by WorldModel.resume(path), or call set_memory first"
        )


def _read_manifest(folder: Path) -> Mapping[str, Any]:
    path = folder / MANIFEST
    if not path.is_file():
        raise CheckpointError(f"{folder}: expected the folder of a saved rollout, found no {MANIFEST} in it")
    try:
        manifest = json.loads(path.read_bytes())
    except (OSError, ValueError) as error:
        raise CheckpointError(f"{path}: damaged ({first_line(error)}); use another copy") from error
    if not isinstance(manifest, dict) or manifest.get("version") != VERSION:
        version = manifest.get("version") if isinstance(manifest, dict) else None
        raise CheckpointError(
            f"{path}: expected a rollout's state of version {VERSION}, got version {version}; begin the rollout anew"
        )
    return manifest


def _plain(dtype: torch.dtype) -> str:
    return str(dtype).removeprefix("torch.")


def _finite(value: float | str) -> float | str:
    """JSON has no infinity; "inf" is read as one."""
    return str(value) if isinstance(value, float) and not isfinite(value) else value


def _memory(world: WorldModelBase) -> dict[str, Any]:
    """Give the settings of the memory as JSON keeps them."""
    config = world.transformer.config
    names = ("memory_strategy", *MEMORY_FIELDS)
    return json.loads(json.dumps({name: config[name] for name in names if name in config}, default=dict))


def _model_name(world: WorldModelBase) -> str | None:
    """Give the name that the model was loaded by: a bundled one's own, a path, a hub id; ``None``: never loaded."""
    name = world.config.get("_name_or_path")
    if not name or not Path(name).is_dir():
        return name
    folder = Path(name).resolve()
    return next((known for known in BUNDLED if folder == MODELS / known), str(folder))


def _facts(moment: RolloutState) -> dict[str, Any]:
    facts = {name: getattr(moment, name) for name in _NUMBERS}
    return {**facts, "decoded_latent_frames": moment.decoded.num_latent_frames}


def _named_tensors(saved: Saved) -> dict[str, Tensor]:
    named: dict[str, Tensor] = {f"text.{index}": text for index, text in enumerate(saved.texts.values())}
    if saved.negative is not None:
        named["negative"] = saved.negative
    for step, moment in saved.moments.items():
        named |= {f"{step}/{name}": value for name, value in moment.tensors().items()}
    return named


def _moment(facts: Mapping[str, Any], tensors: Mapping[str, Tensor]) -> RolloutState:
    mark = f"{facts['step']}/"
    own = {name.removeprefix(mark): value for name, value in tensors.items() if name.startswith(mark)}
    numbers = {name: facts[name] for name in _NUMBERS}
    return RolloutState(**numbers, **state_fields(own, facts["decoded_latent_frames"]))


def _check_place(folder: Path) -> None:
    """Refuse a place where something else lies."""
    if folder.exists() and not folder.is_dir():
        raise OutputError(f"{folder}: is a file; a rollout is saved into a folder of its own")
    if folder.is_dir() and not (folder / MANIFEST).exists():
        strangers = [
            entry.name for entry in folder.iterdir() if not entry.name.startswith((TENSORS, TEMPORARY_PREFIX))
        ]
        if strangers:
            raise OutputError(
                f"{folder}: holds other things ({strangers[0]}); a rollout is saved into a folder of its own"
            )


def _drop_others(folder: Path) -> None:
    """Remove tensors that the manifest does not name, and what a crash left behind."""
    try:
        named = set(json.loads((folder / MANIFEST).read_bytes())["files"])
    except FileNotFoundError:
        named = set()
    for entry in folder.iterdir():
        if entry.name.startswith(TENSORS) and entry.name not in named:
            entry.unlink(missing_ok=True)
    remove_unfinished(folder)
