"""A tiny model with banks whose untrained reader takes every token for a subject: so its tracker holds somebody."""

import torch

from models import tiny_world
from outofsight.memory.strategies import strategy
from outofsight.sampling.world import WorldModel

BANKS = {"archive_slots": 4, "subject_slots": 2, "top_k": 3, "reader_width": 8, "identity_width": 4}


def watchful_world(seed: int = 0) -> WorldModel:
    """Make a tiny ``hybrid`` with two slots for subjects, which it fills at once."""
    world = tiny_world(seed, memory_strategy="hybrid", **{**strategy("hybrid").settings, "banks": BANKS})
    reader = world.transformer.two_banks.reader
    with torch.no_grad():
        reader.told.bias[0] = 4.0  # logit that a token shows a subject
    return world
