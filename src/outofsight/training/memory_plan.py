"""What a training step of a world model needs on each card, by torch's meta device: shapes only."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch

from outofsight.backbone.transformer import HydraTransformer3DModel
from outofsight.nn.live_bytes import checkpointed, peak_bytes_with_gradients
from outofsight.training.models import choose_trainable
from outofsight.training.recipes import PAPER_TRAINABLE
from outofsight.training.world_objective import WorldObjective
from outofsight.types import LatentGrid

WEIGHT, GRADIENT, MOMENTS, MEAN, CAST = 4, 4, 8, 4, 2
"""Bytes of a weight: in float32, its gradient, AdamW's two moments, its running mean, and its copy under autocast."""


@dataclass(frozen=True, kw_only=True)
class TrainingMemory:
    """``weights``, ``learned``, ``block``: parameters in all, of those that learn, and of the largest block.
    ``activations``: bytes of one sample, kept for the backward or made in it."""

    weights: int
    learned: int
    block: int
    activations: int

    def bytes(self, cards: int = 1) -> int:
        """Bytes on each card: with several, all is sharded (FSDP2), and two blocks' weights are whole at once."""
        states = WEIGHT * self.weights + (GRADIENT + MOMENTS + MEAN) * self.learned
        cast = CAST * (self.weights if cards == 1 else 2 * self.block)
        return states // cards + cast + self.activations


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
    chosen = choose_trainable(objective, trainable)
    if checkpointing:
        objective.transformer.enable_gradient_checkpointing(checkpointed)
    for value in chosen.values():  # gradients are counted whole, in float32
        value.register_post_accumulate_grad_hook(lambda value: setattr(value, "grad", None))
    batch = _batch(objective.transformer.config, grid, text_tokens)
    blocks = objective.transformer.blocks
    return TrainingMemory(
        weights=sum(value.numel() for value in objective.parameters()),
        learned=sum(value.numel() for value in chosen.values()),
        block=max(sum(value.numel() for value in block.parameters()) for block in blocks),
        activations=peak_bytes_with_gradients(lambda: objective(batch)["loss"].mean().backward()),
    )


def training_ways(
    make: Callable[[], HydraTransformer3DModel], grid: LatentGrid, text_tokens: int = 512
) -> dict[str, TrainingMemory]:
    """Count the ways to fine-tune, by the command line's words: all weights, or those of ``finetune_hydra``."""
    every, paper = ("*",), PAPER_TRAINABLE
    off, all_learn = "--set batch.gradient_checkpointing=false", "--set 'task.trainable=[\"*\"]'"

    def counted(trainable: tuple[str, ...], checkpointing: bool) -> TrainingMemory:
        return training_memory(make, grid, trainable, checkpointing=checkpointing, text_tokens=text_tokens)

    return {
        off: counted(paper, checkpointing=False),
        all_learn: counted(every, checkpointing=True),
        "": counted(paper, checkpointing=True),
    }


def _batch(config: Any, grid: LatentGrid, text_tokens: int) -> dict[str, torch.Tensor]:
    _, rows, columns = config["patch_size"]
    context, target = grid.context_frames, grid.frames - grid.context_frames
    size = (grid.height * rows, grid.width * columns)

    def latents(frames: int) -> torch.Tensor:
        return torch.empty(1, config["in_channels"], frames, *size, dtype=torch.bfloat16, device="meta")

    return {
        "context_latents": latents(context),
        "target_latents": latents(target),
        "noise": latents(target),
        "levels": torch.empty(1, 3, device="meta"),
        "context_cameras": torch.empty(1, context, 12, device="meta"),
        "target_cameras": torch.empty(1, target, 12, device="meta"),
        "text_states": torch.empty(1, text_tokens, config["text_dim"], dtype=torch.bfloat16, device="meta"),
    }
