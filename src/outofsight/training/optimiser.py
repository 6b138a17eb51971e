"""AdamW over named parameters: its rate, and its state by the parameters' names."""

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor, nn
from torch.distributed.tensor import DTensor, distribute_tensor

from outofsight.training.config import Optimisation

MOMENTS = {"first_moment": "exp_avg", "second_moment": "exp_avg_sq"}


def make_optimizer(parameters: Mapping[str, nn.Parameter], settings: Optimisation) -> torch.optim.AdamW:
    """Make AdamW; only matrices and larger decay, not biases and norms."""
    matrices = [parameter for parameter in parameters.values() if parameter.ndim > 1]
    vectors = [parameter for parameter in parameters.values() if parameter.ndim <= 1]
    groups = [
        {"params": matrices, "weight_decay": settings.weight_decay},
        {"params": vectors, "weight_decay": 0.0},
    ]
    return torch.optim.AdamW(
        [group for group in groups if group["params"]],
        lr=settings.learning_rate,
        betas=settings.betas,
        eps=settings.epsilon,
    )


def learning_rate(settings: Optimisation, step: int, num_steps: int) -> float:
    """Return the rate of a step (from 0): a line up, a plateau, a line down that would reach 0 after the last step.

    ::

        10 steps, warmup 2, cooldown 3
        step    0    1   2 ... 6    7    8    9  (10)
        rate   1/2   1   1     1   3/4  2/4  1/4  0
    """
    share = 1.0
    if settings.warmup_steps:
        share = min(share, (step + 1) / settings.warmup_steps)
    if settings.cooldown_steps:
        share = min(share, (num_steps - step) / (settings.cooldown_steps + 1))
    return settings.learning_rate * max(share, 0.0)


def whole(tensor: Tensor) -> Tensor:
    """Give the whole of a tensor that may be spread over processes; all of them must call."""
    return tensor.full_tensor() if isinstance(tensor, DTensor) else tensor


def spread_as(value: Tensor, like: Tensor) -> Tensor:
    """Give a whole tensor in the place, dtype and spread of another."""
    value = value.to(like.device, like.dtype)
    return distribute_tensor(value, like.device_mesh, like.placements) if isinstance(like, DTensor) else value


def optimizer_tensors(
    optimizer: torch.optim.Optimizer, parameters: Mapping[str, nn.Parameter]
) -> tuple[dict[str, Tensor], dict[str, int]]:
    """Give both moments by name, whole, and the number of steps that each parameter has taken."""
    tensors, steps = {}, {}
    for name, parameter in parameters.items():
        own = optimizer.state.get(parameter)
        if not own:
            continue  # it never had a gradient
        steps[name] = int(own["step"])
        for kind, key in MOMENTS.items():
            tensors[f"{kind}/{name}"] = whole(own[key])
    return tensors, steps


def restore_optimizer(
    optimizer: torch.optim.Optimizer,
    parameters: Mapping[str, nn.Parameter],
    moments: Mapping[str, Mapping[str, Tensor]],
    steps: Mapping[str, int],
) -> None:
    """Put moments and steps back; ``moments`` holds ``first_moment`` and ``second_moment`` by parameter name."""
    for name, count in steps.items():
        parameter = parameters[name]
        own: dict[str, Any] = {"step": torch.tensor(float(count))}
        for kind, key in MOMENTS.items():
            own[key] = spread_as(moments[kind][name].float(), parameter)
        optimizer.state[parameter] = own
