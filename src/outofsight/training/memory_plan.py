"""What a training step of a world model needs on each card, by torch's meta device: shapes only."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch

from outofsight.backbone.transformer import HydraTransformer3DModel
from outofsight.nn.live_bytes import checkpointed, peak_bytes_with_gradients
from outofsight.training.models import choose_trainable
from outofsight.training.world_objective import WorldObjective
from outofsight.types import LatentGrid

WEIGHT, GRADIENT, MOMENTS, MEAN, CAST = 4, 4, 8, 4, 2
"""Bytes of a weight: in float32, its gradient, AdamW's two moments, its running mean, and its copy under autocast."""


@dataclass(frozen=True, kw_only=True)
class TrainingMemory:
    """Bytes on each card. ``states``: weights, gradients, moments and means, of which a card has its shard. ``cast``:
    weights as autocast computes with them. ``activations``: of one sample, kept for the backward or made in it."""

    states: int
    cast: int
    activations: int

    @property
    def bytes(self) -> int:
        return self.states + self.cast + self.activations


def training_memory(
    make: Callable[[], HydraTransformer3DModel],
    grid: LatentGrid,
    trainable: tuple[str, ...],
    *,
    checkpointing: bool,
    cards: int = 1,
    text_tokens: int = 512,
) -> TrainingMemory:
    """Count a step of one sample a card under bf16 autocast. ``make``: gives the transformer on meta, in bfloat16.

    ``trainable``: patterns of names (``task.trainable``). With several ``cards`` all is sharded (FSDP2), a block's
    weights are whole while it computes.
    """
    objective = WorldObjective(make(), None).train()
    chosen = choose_trainable(objective, trainable)
    if checkpointing:
        objective.transformer.enable_gradient_checkpointing(checkpointed)
    weights = sum(value.numel() for value in objective.parameters())
    learned = sum(value.numel() for value in chosen.values())
    block = max(sum(p.numel() for p in part.parameters()) for part in objective.transformer.blocks)
    for value in chosen.values():  # gradients are counted above, whole
        value.register_post_accumulate_grad_hook(lambda value: setattr(value, "grad", None))
    batch = _batch(objective.transformer.config, grid, text_tokens)
    activations = peak_bytes_with_gradients(lambda: objective(batch)["loss"].mean().backward())
    states = WEIGHT * weights + (GRADIENT + MOMENTS + MEAN) * learned
    return TrainingMemory(
        states=states // cards,
        cast=CAST * (weights if cards == 1 else 2 * block),
        activations=activations,
    )


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
