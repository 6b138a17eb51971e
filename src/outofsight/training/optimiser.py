"""AdamW and Muon over named parameters, their state by the parameters' names, and the EMA of the weights."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn
from torch.distributed.tensor import DTensor, distribute_tensor

from outofsight.training.config import Optimisation

MOMENTS = {"first_moment": "exp_avg", "second_moment": "exp_avg_sq"}
MUON_MOMENTS = {"first_moment": "momentum_buffer"}
NARROWEST = 64
"""Matrices with a shorter side are embeddings of something small, and stay AdamW's."""


def make_optimizers(
    parameters: Mapping[str, nn.Parameter], settings: Optimisation
) -> list[torch.optim.Optimizer]:
    """Make AdamW, and Muon where the settings ask for it; only matrices and larger decay, not biases and norms."""
    by_muon: list[nn.Parameter] = []
    rest: list[nn.Parameter] = []
    for name, value in parameters.items():
        (by_muon if settings.optimizer == "muon" and is_hidden(name, value) else rest).append(value)
    groups = [
        {"params": [value for value in rest if value.ndim > 1], "weight_decay": settings.weight_decay},
        {"params": [value for value in rest if value.ndim <= 1], "weight_decay": 0.0},
    ]
    made: list[torch.optim.Optimizer] = []
    if by_muon:
        made.append(
            KernelMuon(
                by_muon,
                lr=settings.learning_rate,
                weight_decay=settings.weight_decay,
                adjust_lr_fn="match_rms_adamw",  # so that one rate serves both
            )
        )
    if rest:
        made.append(
            torch.optim.AdamW(
                [group for group in groups if group["params"]],
                lr=settings.learning_rate,
                betas=settings.betas,
                eps=settings.epsilon,
            )
        )
    return made


def is_hidden(name: str, parameter: Tensor) -> bool:
    """Tell whether Muon is made for a parameter: a matrix inside the transformer's blocks, or a kernel inside the mask
    reader."""
    if parameter.ndim == 4:
        return "masks." in name and not name.endswith(("enter.weight", "logits.weight"))
    return parameter.ndim == 2 and min(parameter.shape) >= NARROWEST and "blocks." in name


class KernelMuon(torch.optim.Muon):
    """torch's Muon, which takes matrices alone, for kernels of convolutions too: a row for each output channel."""

    def __init__(self, parameters: Sequence[nn.Parameter], **settings: Any) -> None:
        with _as_matrices(parameters):
            super().__init__(parameters, **settings)

    @torch.no_grad()
    def step(self, closure: Any = None) -> Any:
        with _as_matrices([value for group in self.param_groups for value in group["params"]]):
            return super().step(closure)


@contextmanager
def _as_matrices(parameters: Sequence[nn.Parameter]) -> Iterator[None]:
    """Give kernels and their gradients the shape of matrices for a while; the numbers stay where they are."""
    kernels = [(value, value.data, value.grad) for value in parameters if value.ndim > 2]
    for parameter, data, gradient in kernels:
        parameter.grad = None
        parameter.data = data.flatten(1)
        parameter.grad = None if gradient is None else gradient.flatten(1)
    try:
        yield
    finally:
        for parameter, data, gradient in kernels:
            parameter.grad = None
            parameter.data = data
            parameter.grad = gradient


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


def full_tensor(tensor: Tensor) -> Tensor:
    """Give the whole of a tensor that may be spread over processes; all of them must call."""
    return tensor.full_tensor() if isinstance(tensor, DTensor) else tensor


def redistribute(value: Tensor, like: Tensor) -> Tensor:
    """Give a whole tensor in the place, dtype and spread of another; what is spread already stays as it is."""
    value = value.to(like.device, like.dtype)
    if isinstance(value, DTensor):
        return value
    return distribute_tensor(value, like.device_mesh, like.placements) if isinstance(like, DTensor) else value


def optimizer_tensors(
    optimizers: Sequence[torch.optim.Optimizer],
    parameters: Mapping[str, nn.Parameter],
    gathered: Callable[[Tensor], Tensor] = full_tensor,
) -> tuple[dict[str, Tensor], dict[str, int]]:
    """Give moments by name (Muon has no second one), and the number of steps that each parameter has taken."""
    tensors, steps = {}, {}
    for name, parameter in parameters.items():
        own = next((found for optimizer in optimizers if (found := optimizer.state.get(parameter))), None)
        if not own:
            continue  # it never had a gradient
        steps[name] = int(own.get("step", 0))  # Muon does not count
        for kind, key in _moments(own).items():
            tensors[f"{kind}/{name}"] = gathered(own[key])
    return tensors, steps


def _moments(own: Mapping[str, Any]) -> dict[str, str]:
    return MUON_MOMENTS if MUON_MOMENTS["first_moment"] in own else MOMENTS


def restore_optimizers(
    optimizers: Sequence[torch.optim.Optimizer],
    parameters: Mapping[str, nn.Parameter],
    moments: Mapping[str, Mapping[str, Tensor]],
    steps: Mapping[str, int],
) -> None:
    """Put moments and steps back; ``moments`` holds ``first_moment`` and ``second_moment`` by parameter name.

    A parameter that another optimizer learns by now begins anew: one's moments mean nothing to the other.
    """
    owners = {
        parameter: optimizer
        for optimizer in optimizers
        for group in optimizer.param_groups
        for parameter in group["params"]
    }
    for name, count in steps.items():
        parameter = parameters[name]
        optimizer = owners[parameter]
        kinds = MUON_MOMENTS if isinstance(optimizer, torch.optim.Muon) else MOMENTS
        if {kind for kind in MOMENTS if name in moments.get(kind, {})} != set(kinds):
            continue
        own: dict[str, Any] = {
            key: redistribute(moments[kind][name].float(), parameter) for kind, key in kinds.items()
        }
        if kinds is MOMENTS:
            own["step"] = torch.tensor(float(count))
        optimizer.state[parameter] = own


class EMA:
    """mean ← d · mean + (1 − d) · weight, with d = min(decay, (1 + step) / (10 + step)); float32.

    A decay of 0 is the weights themselves.
    """

    def __init__(self, parameters: Mapping[str, nn.Parameter], decay: float) -> None:
        self.decay = decay
        self.means = {name: weight.detach().clone().float() for name, weight in parameters.items()}

    @torch.no_grad()
    def update(self, parameters: Mapping[str, nn.Parameter], step: int) -> None:
        """Take in the weights after ``step`` steps."""
        share = 1 - min(self.decay, (1 + step) / (10 + step))
        for name, weight in parameters.items():
            self.means[name].lerp_(weight.detach().float(), share)

    @contextmanager
    def in_place_of(self, parameters: Mapping[str, nn.Parameter]) -> Iterator[None]:
        """Within the block, the parameters hold the means."""
        weights = {name: weight.detach().clone() for name, weight in parameters.items()}
        _put(self.means, parameters)
        try:
            yield
        finally:
            _put(weights, parameters)


@torch.no_grad()
def _put(values: Mapping[str, Tensor], parameters: Mapping[str, nn.Parameter]) -> None:
    for name, weight in parameters.items():
        weight.copy_(values[name])
