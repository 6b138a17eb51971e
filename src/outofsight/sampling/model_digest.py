"""Which weights a model has, as a number; remembered for a model folder, since reading them all takes long."""

import hashlib
import json
import os
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import torch
from torch import Tensor

from outofsight.codec.checkpoint_files import plain_parts
from outofsight.errors import InputError
from outofsight.files import write_bytes
from outofsight.world_model import WorldModelBase

PARTS = ("transformer", "vae", "text_encoder")
SAMPLED = 16
"""Numbers of a tensor that are looked at to see that a model is still as its folder has it."""
REMEMBERED = 64
"""Models; the longest unused are forgotten."""


def world_digest(world: WorldModelBase) -> str:
    """Tell by a number which transformer, VAE and text encoder these are: names, shapes and values of their weights.

    A model that is as it was loaded from its folder is looked up, if it was digested before.

    Raises:
        InputError: weights that are not in memory (sequential offloading).
    """
    for _, value in _weights(world):
        if value.is_meta:
            raise InputError(
                "the weights are offloaded one by one and cannot be digested; save rollouts without "
                "sequential offloading"
            )
    key = _key(world)
    if key is None:
        return _computed(world)
    known = _remembered()
    digest = known.pop(key, None) or _computed(world)
    _remember({**known, key: digest})
    return digest


def _weights(world: WorldModelBase) -> Iterator[tuple[str, Tensor]]:
    for part in PARTS:
        named = getattr(world, part).state_dict(keep_vars=True)
        for name in sorted(named):
            for piece in plain_parts(named[name]):
                yield f"{part}.{name}", piece


def _computed(world: WorldModelBase) -> str:
    digest = hashlib.sha256()
    for name, value in _weights(world):
        value = value.detach().to("cpu", torch.float32).contiguous()
        digest.update(f"{name}{list(value.shape)}".encode())
        digest.update(value.flatten().view(torch.uint8).numpy())  # type: ignore[arg-type]  # numpy's arrays are buffers
    return digest.hexdigest()


def _key(world: WorldModelBase) -> str | None:
    """Tell a folder's files, and that the model in memory is what they give; ``None`` where there is no folder.

    What has been changed since is seen by torch's count of changes in place, and by some numbers of every tensor.
    """
    folder = Path(str(world.config.get("_name_or_path") or ""))
    files = [path for part in PARTS for path in sorted((folder / part).glob("*")) if path.is_file()]
    if not files:
        return None
    key = hashlib.sha256(str(folder.resolve()).encode())
    for path in files:
        facts = path.stat()
        key.update(f"{path.name}:{facts.st_size}:{facts.st_mtime_ns}".encode())
    for name, value in _weights(world):
        some = value.detach().flatten()[:: max(1, value.numel() // SAMPLED)].to("cpu", torch.float32)
        key.update(f"{name}{list(value.shape)}{value.dtype}{value._version}{some.tolist()}".encode())
    return key.hexdigest()


def _place() -> Path:
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "outofsight" / "weights.json"


def _remembered() -> dict[str, str]:
    try:
        known = json.loads(_place().read_bytes())
        return {str(key): str(value) for key, value in known.items()}
    except (OSError, ValueError, AttributeError, RuntimeError):
        return {}


def _remember(known: dict[str, str]) -> None:
    """Write them down; a place that cannot be written is none of the caller's business."""
    with suppress(OSError, RuntimeError):
        if known != _remembered():
            place = _place()
            place.parent.mkdir(parents=True, exist_ok=True)
            write_bytes(place, json.dumps(dict(list(known.items())[-REMEMBERED:]), indent=1).encode())
