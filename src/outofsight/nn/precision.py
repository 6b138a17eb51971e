"""Arithmetic that autocast must leave alone."""

import torch


def full_precision(device: torch.device) -> torch.autocast:
    """Return a context in which nothing is rounded to a lower precision, also on the meta device.

    Geometry and filters need it: bfloat16 knows directions to 1/256 and metres to 1%.
    """
    return torch.autocast("cpu" if device.type == "meta" else device.type, enabled=False)
