"""What a training step of a world model needs on each card, by torch's meta device: shapes only."""

from collections.abc import Callable, Iterable
from copy import deepcopy
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import nn

from outofsight.backbone.transformer import HydraTransformer3DModel
from outofsight.errors import InputError
from outofsight.nn.live_bytes import checkpointed, peak_bytes_with_gradients, shape_of
from outofsight.training.batches import Batch
from outofsight.training.config import TrainConfig
from outofsight.training.models import choose_trainable
from outofsight.training.optimiser import is_hidden
from outofsight.training.recipes import PAPER_TRAINABLE
from outofsight.training.task import Task
from outofsight.training.world_objective import WorldObjective
from outofsight.types import LatentGrid

WEIGHT, GRADIENT, MOMENTS, MEAN, CAST = 4, 4, 8, 4, 2
"""Bytes of a weight: in float32, its gradient, AdamW's two moments, its running mean, and its copy under autocast."""


@dataclass(frozen=True, kw_only=True)
class TrainingMemory:
    """``weights``, ``learned``, ``block``: parameters in all, of those that learn, and of the largest block.
    ``by_muon``: of those that learn, with one moment in place of two. ``activations``: bytes of a card's samples, kept
    for the backward or made in it. ``autocast``: whether there are copies of weights to compute with."""

    weights: int
    learned: int
    block: int
    activations: int
    by_muon: int = 0
    autocast: bool = True

    def bytes(self, cards: int = 1) -> int:
        """Bytes on each card: with several, all is sharded (FSDP2), and two blocks' weights are whole at once."""
        states = WEIGHT * self.weights + (GRADIENT + MOMENTS + MEAN) * self.learned
        states -= MOMENTS // 2 * self.by_muon
        whole = self.weights if cards == 1 else 2 * self.block
        used = CAST * whole if self.autocast else WEIGHT * whole if cards > 1 else 0
        return states // cards + used + self.activations


def training_memory(
    make: Callable[[], HydraTransformer3DModel],
    grid: LatentGrid,
    trainable: tuple[str, ...],
    *,
    checkpointing: bool,
    text_tokens: int = 512,
) -> TrainingMemory:
    """Count a step of one sample a card under bf16 autocast. ``make``: gives the transformer on meta, in bfloat16.

    ``trainable``: patterns of names (``task.trainable``).
    """
    objective = WorldObjective(make(), None).train()
    choose_trainable(objective, trainable)
    batch = _batch(objective.transformer.config, grid, text_tokens)
    return _counted(objective, batch, checkpointing=checkpointing)


def planned_step(task: Task, config: TrainConfig, processes: int) -> int | None:
    """Give the bytes that a step needs on each card; ``None``: of this kind of task it is not known.

    Known is a world model's that asks for no masks and does not unroll the target. Activations of a text encoder that
    learns too are not counted.
    """
    objective = task.objective
    if type(objective) is not WorldObjective or objective.transformer.needs_subject_masks != "none":
        return None
    samples = config.batch.size // processes // config.batch.accumulation
    memory = _step_memory(task, objective, config, samples)
    # DDP sends gradients from copies.
    copies = GRADIENT * memory.learned if processes > 1 and not config.batch.shard else 0
    return memory.bytes(processes if config.batch.shard else 1) + copies


def _step_memory(task: Task, objective: WorldObjective, config: TrainConfig, samples: int) -> TrainingMemory:
    autocast = config.batch.precision != "no"
    dtype = torch.bfloat16 if autocast else torch.float32
    transformer = _on_meta(objective.transformer)
    shape_of(transformer, dtype)
    first = task.batches.make(0, [0])
    _, _, context, height, width = first["context_latents"].shape
    _, rows, columns = transformer.config["patch_size"]
    grid = LatentGrid(
        frames=context + first["target_latents"].shape[2], height=height // rows, width=width // columns,
        context_frames=context,
    )  # fmt: skip
    batch = _batch(transformer.config, grid, objective.text_tokens, samples=samples, dtype=dtype)
    alone = WorldObjective(transformer, None).train()
    by_muon = [
        value
        for name, value in task.trainable.items()
        if config.optimisation.optimizer == "muon" and is_hidden(name, value)
    ]
    return replace(
        _counted(alone, batch, checkpointing=config.batch.gradient_checkpointing),
        weights=_numbers(objective.parameters()), learned=_numbers(task.trainable.values()),
        by_muon=_numbers(by_muon), autocast=autocast,
    )  # fmt: skip


def check_step(task: Task, config: TrainConfig, processes: int, device: torch.device) -> None:
    """Refuse a run whose step needs more than its GPU has free, before anything is moved there.

    Raises:
        InputError: it does; the message says what helps.
    """
    needed = planned_step(task, config, processes)
    free, whole = torch.cuda.mem_get_info(device)
    if needed is not None and needed > free:
        helps = "" if config.batch.gradient_checkpointing else "--set batch.gradient_checkpointing=true, "
        raise InputError(
            f"{device}: a training step needs about {needed / 2**30:.1f} GiB there at once, {free / 2**30:.1f} of "
            f"{whole / 2**30:.1f} GiB are free; {helps}a smaller batch.size or more batch.accumulation, or more "
            "cards with --set batch.shard=true"
        )


def _numbers(parameters: Iterable[nn.Parameter]) -> int:
    return sum(value.numel() for value in parameters)


def _counted(objective: WorldObjective, batch: Batch, *, checkpointing: bool) -> TrainingMemory:
    """Run an objective on meta, forward and back."""
    if checkpointing:
        objective.transformer.enable_gradient_checkpointing(checkpointed)
    chosen = [value for value in objective.parameters() if value.requires_grad]
    for value in chosen:  # gradients are counted whole, in float32
        value.register_post_accumulate_grad_hook(lambda value: setattr(value, "grad", None))
    return TrainingMemory(
        weights=_numbers(objective.parameters()),
        learned=_numbers(chosen),
        block=max(_numbers(block.parameters()) for block in objective.transformer.blocks),
        activations=peak_bytes_with_gradients(lambda: objective(batch)["loss"].mean().backward()),
    )


def _on_meta(module: Any) -> Any:
    """Copy a module without its numbers."""
    weights = {
        id(value): nn.Parameter(value.detach().to("meta"), value.requires_grad)
        for value in module.parameters()
    }
    return deepcopy(module, weights | {id(value): value.to("meta") for value in module.buffers()})


def training_ways(
    make: Callable[[], HydraTransformer3DModel], grid: LatentGrid, text_tokens: int = 512
) -> dict[str, TrainingMemory]:
    """Count the ways to fine-tune, by the command line's words: all weights, or those of ``finetune_hydra``."""
    ways = {
        "--set batch.gradient_checkpointing=false": (PAPER_TRAINABLE, False),
        "--set 'task.trainable=[\"*\"]'": (("*",), True),
        "": (PAPER_TRAINABLE, True),
    }
    return {
        way: training_memory(make, grid, trainable, checkpointing=checkpointing, text_tokens=text_tokens)
        for way, (trainable, checkpointing) in ways.items()
    }


def _batch(
    config: Any, grid: LatentGrid, text_tokens: int, *, samples: int = 1, dtype: torch.dtype = torch.bfloat16
) -> Batch:
    _, rows, columns = config["patch_size"]
    context, target = grid.context_frames, grid.frames - grid.context_frames
    size = (grid.height * rows, grid.width * columns)

    def latents(frames: int) -> torch.Tensor:
        return torch.empty(samples, config["in_channels"], frames, *size, dtype=dtype, device="meta")

    return {
        "context_latents": latents(context),
        "target_latents": latents(target),
        "noise": latents(target),
        "levels": torch.empty(samples, 3, device="meta"),
        "context_cameras": torch.empty(samples, context, 12, device="meta"),
        "target_cameras": torch.empty(samples, target, 12, device="meta"),
        "text_states": torch.empty(samples, text_tokens, config["text_dim"], dtype=dtype, device="meta"),
    }
