"""A run's complete state: put together to be written, and taken up again."""

from dataclasses import replace
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from outofsight.errors import CheckpointError
from outofsight.training.optimiser import full_tensor, optimizer_tensors, redistribute, restore_optimizers
from outofsight.training.run_folder import STATES
from outofsight.training.sharding import is_sharded, read_shards, save_shards
from outofsight.training.state import State, save_state

if TYPE_CHECKING:
    from outofsight.training.loop import Run


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
