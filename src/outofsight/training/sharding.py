"""One model over many processes: weights, gradients and moments are cut among them, and so is the state on disk.

Every process writes its own part of a state, and reads of one what it needs, also as one of another number of
processes: torch.distributed.checkpoint knows which numbers lie where.
"""

import warnings
from collections.abc import Mapping
from contextlib import nullcontext
from pathlib import Path
from typing import Any

import torch
import torch.distributed.checkpoint as dcp
from accelerate import Accelerator
from accelerate.utils import broadcast_object_list
from torch import Tensor, nn
from torch.distributed.device_mesh import init_device_mesh
from torch.distributed.fsdp import fully_shard
from torch.distributed.tensor import DTensor

from outofsight.errors import CheckpointError, InputError, first_line
from outofsight.training.state import State, new_state, unwritten, write_manifest


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
