"""Chance as a pure function of (seed, purpose, place): nothing to save, nothing that depends on the world size.

What sample a run sees, and every random number it draws for it, follows from the run's seed and the position of
the sample in the run alone::

    position   0 1 2 3 | 4 5 6 7 | ...        step s of batch size b sees positions s·b ... s·b + b − 1
    epoch      └── 0 ──┴─┘└─ 1 ...            each epoch is one shuffled pass over the data

So a run that is stopped and goes on, or goes on with another number of processes, draws the same.
"""

from functools import lru_cache
from hashlib import blake2b

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

SEED_BYTES = 8


def derived_seed(*parts: int | str) -> int:
    """Mix names and numbers to a seed in [0, 2⁶³)."""
    digest = blake2b("/".join(map(str, parts)).encode(), digest_size=SEED_BYTES).digest()
    return int.from_bytes(digest, "little") >> 1


def generator_for(*parts: int | str) -> np.random.Generator:
    """A numpy generator of its own for one purpose and place."""
    return np.random.Generator(np.random.Philox(derived_seed(*parts)))


def normal(shape: tuple[int, ...], *parts: int | str) -> Tensor:
    """Draw float32 normal numbers on the CPU, so that a seed means the same on every device."""
    generator = torch.Generator().manual_seed(derived_seed(*parts))
    return torch.randn(shape, generator=generator)


def sample_index(seed: int, position: int, num_samples: int) -> int:
    """Tell which sample stands at a position of the run."""
    epoch, place = divmod(position, num_samples)
    return int(_order(seed, epoch, num_samples)[place])


@lru_cache(maxsize=4)
def _order(seed: int, epoch: int, num_samples: int) -> NDArray[np.int64]:
    return generator_for(seed, "order", epoch).permutation(num_samples)
