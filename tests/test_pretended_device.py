"""The pretended accelerator refuses what a real one refuses, else it would prove nothing."""

import numpy as np
import pytest
import torch

from pretended_device import MixedDevices, Pretended, pretended


@pytest.mark.parametrize(
    "mixed",
    [
        lambda here, there: here + there,
        lambda here, there: torch.cat((here, there)),
        lambda here, there: torch.nn.functional.linear(there[None], here[None]),
        lambda here, there: here[(there > 0).long()],
        lambda here, there: there.index_put((torch.tensor([0, 1]),), here[:2]),
        lambda here, there: there.numpy(),
        lambda here, there: np.asarray(there),
        lambda here, there: torch.randn(3, device=there.device, generator=torch.Generator()),
        lambda here, there: torch.nn.Linear(3, 2)(there),
    ],
)
def test_what_a_real_device_refuses(mixed):
    with pretended() as device, pytest.raises(MixedDevices):
        mixed(torch.ones(3), torch.ones(3, device=device))


def test_what_a_real_device_does():
    with pretended() as device:
        layer = torch.nn.Linear(3, 2).to(device)
        out = layer(torch.ones(4, 3, device=device))
        out.sum().backward()
        assert isinstance(layer.weight.grad, Pretended)
        assert torch.equal(layer.weight.grad.cpu(), torch.full((2, 3), 4.0))
        picked = out.detach()[torch.tensor([0, 2])] * torch.tensor(
            2.0
        )  # indices and numbers may come from here
        assert picked.device == device
        assert type(picked.cpu()) is torch.Tensor
