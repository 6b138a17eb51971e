"""What training needs is counted on shapes alone."""

import torch

from models import tiny_transformer
from outofsight.sampling.plan import shape_of
from outofsight.training.memory_plan import training_memory, training_ways
from outofsight.types import LatentGrid

GRID = LatentGrid(frames=8, height=8, width=12, context_frames=4)


def make():
    return shape_of(tiny_transformer().to("meta"), torch.bfloat16)


def test_checkpointing_keeps_less_and_cards_share():
    kept = training_memory(make, GRID, ("*",), checkpointing=False, text_tokens=6)
    again = training_memory(make, GRID, ("*",), checkpointing=True, text_tokens=6)
    assert 0 < again.activations < 0.8 * kept.activations
    assert kept.weights == kept.learned == sum(p.numel() for p in make().parameters())
    assert kept.bytes() == 22 * kept.weights + kept.activations  # 4 + 4 + 8 + 4, and 2 to compute with
    assert kept.bytes(4) == 5 * kept.weights + 4 * kept.block + kept.activations


def test_who_learns_less_needs_less():
    reported = training_ways(make, GRID, 6)
    assert reported[""].learned < reported[""].weights
    assert reported[""].bytes() < min(reported[flags].bytes() for flags in reported if flags)
