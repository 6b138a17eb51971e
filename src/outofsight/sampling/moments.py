"""Moments that a rollout can go back to, kept where there is room: in main memory, or in files that are mapped."""

import tempfile
from pathlib import Path

import torch
from safetensors.torch import load_file
from torch import Tensor

from outofsight.sampling.piece_files import write_pieces
from outofsight.sampling.rollout_state import SMALL_TENSORS, RolloutState


def on_device(state: RolloutState, device: torch.device) -> RolloutState:
    """Bring what the model works with to its device; poses and the generator stay on the CPU."""
    return state.with_tensors({name: part.to(device) for name, part in _large(state).items()})


def put_aside(state: RolloutState, keep_in: str) -> RolloutState:
    """Return the same moment in main memory (``memory``), or mapped from a file that has no name any more (``disk``).

    The file goes with the process, however it ends; ``TMPDIR`` says where it lies.
    """
    state = on_device(state, torch.device("cpu"))
    if keep_in != "disk":
        return state
    with tempfile.TemporaryDirectory(prefix="outofsight-") as folder:
        path = Path(folder) / "moment.safetensors"
        write_pieces(path, _large(state))
        return state.with_tensors(load_file(path))


def _large(state: RolloutState) -> dict[str, Tensor]:
    return {name: part for name, part in state.tensors().items() if name not in SMALL_TENSORS}
