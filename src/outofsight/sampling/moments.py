"""Moments that a rollout can go back to, kept where there is room: in main memory, or in files that are mapped."""

import tempfile
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from types import MappingProxyType

import torch
from safetensors.torch import load_file
from torch import Tensor

from outofsight.memory.banks.state import bank_tensors, banks_from_tensors
from outofsight.sampling.piece_files import write_pieces
from outofsight.sampling.rollout_state import RolloutState

MAPPED = ("latents", "masks")


def on_device(state: RolloutState, device: torch.device) -> RolloutState:
    """Bring what the model works with to its device; poses and the generator stay on the CPU."""
    return _with_tensors(state, lambda tensors: {name: part.to(device) for name, part in tensors.items()})


def put_aside(state: RolloutState, keep_in: str) -> RolloutState:
    """Return the same moment in main memory (``memory``), or mapped from a file that has no name any more (``disk``).

    The file goes with the process, however it ends; ``TMPDIR`` says where it lies.
    """
    state = on_device(state, torch.device("cpu"))
    return _with_tensors(state, _mapped) if keep_in == "disk" else state


def _mapped(tensors: dict[str, Tensor]) -> dict[str, Tensor]:
    with tempfile.TemporaryDirectory(prefix="outofsight-") as folder:
        path = Path(folder) / "moment.safetensors"
        write_pieces(path, tensors)
        return load_file(path)


def _with_tensors(
    state: RolloutState, change: Callable[[dict[str, Tensor]], dict[str, Tensor]]
) -> RolloutState:
    """Change the large tensors of a state all together: history, banks and what the decoder keeps."""
    named = {name: value for name in MAPPED if (value := getattr(state, name)) is not None}
    named |= {f"decoded.{name}": value for name, value in state.decoded.kept.items()}
    if state.banks is not None:
        named |= {f"banks.{name}": value for name, value in bank_tensors(state.banks).items()}
    named = change(named)

    def group(mark: str) -> dict[str, Tensor]:
        return {name.removeprefix(mark): value for name, value in named.items() if name.startswith(mark)}

    return replace(
        state,
        latents=named["latents"],
        masks=named.get("masks"),
        decoded=state.decoded._replace(kept=MappingProxyType(group("decoded."))),
        banks=None if state.banks is None else banks_from_tensors(group("banks.")),
    )
