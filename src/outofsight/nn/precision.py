"""Arithmetic that autocast must leave alone."""

import time
from collections.abc import Callable
from typing import Self

import torch
from torch import Tensor, nn

MEASURED_SIZE = 512
"""Rows and columns of the matrices by which precisions are compared."""


def full_precision(device: torch.device) -> torch.autocast:
    """Return a context in which nothing is rounded to a lower precision, also on the meta device.

    Geometry and filters need it: bfloat16 knows directions to 1/256 and metres to 1%.
    """
    return torch.autocast("cpu" if device.type == "meta" else device.type, enabled=False)


class UncastModule(nn.Module):
    """A module that ``to`` and its kin move, but do not cast: it stays float32 whatever the model around becomes."""

    def _apply(self, fn: Callable[[Tensor], Tensor], recurse: bool = True) -> Self:
        def moved(tensor: Tensor) -> Tensor:
            other = fn(tensor)
            return other if other.dtype == tensor.dtype else tensor.to(other.device)

        super()._apply(moved, recurse)
        return self


def faster_in_bfloat16(device: torch.device) -> bool:
    """Tell whether a device multiplies matrices faster in bfloat16 than in float32: GPUs do, CPUs are measured.

    CPUs differ: with AMX bfloat16 is several times faster, without it up to five times slower.
    """
    if device.type != "cpu":
        return True
    seconds = {}
    for dtype in (torch.float32, torch.bfloat16):
        a, b = (torch.ones(MEASURED_SIZE, MEASURED_SIZE, dtype=dtype) for _ in range(2))
        times = []
        for _ in range(5):
            start = time.perf_counter()
            a @ b
            times.append(time.perf_counter() - start)
        seconds[dtype] = min(times)
    return seconds[torch.bfloat16] < seconds[torch.float32]
