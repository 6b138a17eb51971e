"""Where a borrowed network does its work, also when an offloading hook keeps its weights elsewhere."""

from typing import Protocol

import torch


class Placed(Protocol):
    """A network of diffusers or transformers: both tell the device they are on."""

    @property
    def device(self) -> torch.device: ...


def work_device(network: Placed) -> torch.device:
    """Tell the device that ``network`` computes on.

    That is where its weights lie, unless accelerate holds them on the CPU between calls; diffusers'
    own group offloading already answers with the computing device.
    """
    device = getattr(getattr(network, "_hf_hook", None), "execution_device", None)
    return network.device if device is None else torch.device(device)
