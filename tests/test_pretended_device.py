"""The pretended accelerator refuses what a real one refuses, else it would prove nothing."""

import numpy as np
import pytest
import torch

from pretended_device import MixedDevices, pretended


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
