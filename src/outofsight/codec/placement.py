"""Where a borrowed network does its work, also when an offloading hook keeps its weights elsewhere."""

from collections.abc import Iterable
from typing import Any, Protocol

import torch


class Placed(Protocol):
    """A network of diffusers or transformers: both tell the device they are on."""

    @property
    def device(self) -> torch.device: ...

    def modules(self) -> Iterable[Any]: ...


def work_device(network: Placed) -> torch.device:
    """Tell the device that ``network`` computes on.

    That is where its weights lie, unless accelerate holds them elsewhere between calls: whole (the hook sits
    on the network) or layer by layer (hooks sit on the layers). diffusers' own group offloading already answers
    with the computing device.
    """
    for module in network.modules():
        device = getattr(getattr(module, "_hf_hook", None), "execution_device", None)
        if device is not None:
            return torch.device(device)
    return network.device


def bring_weights(network: object) -> None:
    """Bring weights to where they work, if accelerate keeps them elsewhere: for work outside ``forward``."""
    hook = getattr(network, "_hf_hook", None)
    if hook is not None and hasattr(hook, "pre_forward"):
        hook.pre_forward(network)


def synchronize(device: torch.device) -> None:
    """Wait until a GPU has done what it was told; so a stage's time is its own."""
    if device.type == "cuda":
        torch.cuda.synchronize(device)
