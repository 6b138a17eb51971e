"""A running mean of the weights that learn."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager

import torch
from torch import Tensor, nn


class RunningMean:
    """mean ← d · mean + (1 − d) · weight, with d = min(decay, (1 + step) / (10 + step)); float32.

    A decay of 0 is the weights themselves.
    """

    def __init__(self, parameters: Mapping[str, nn.Parameter], decay: float) -> None:
        self.decay = decay
        self.means: dict[str, Tensor] = {
            name: weight.detach().clone().float() for name, weight in parameters.items()
        }

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
        with torch.no_grad():
            for name, weight in parameters.items():
                weight.copy_(self.means[name])
        try:
            yield
        finally:
            with torch.no_grad():
                for name, weight in parameters.items():
                    weight.copy_(weights[name])
