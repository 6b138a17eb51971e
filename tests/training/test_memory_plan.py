"""What training needs is counted on shapes alone."""

import pytest
import torch

from models import tiny_transformer
from outofsight.errors import InputError
from outofsight.nn.live_bytes import peak_bytes_with_gradients, shape_of
from outofsight.training.config import changed
from outofsight.training.memory_plan import check_step, planned_step, training_memory, training_ways
from outofsight.training.optimiser import is_hidden
from outofsight.training.world_objective import WorldObjective
from outofsight.training.world_training import world_task
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


def test_a_step_is_counted_as_it_is_trained(world_config, cache, monkeypatch):
    """What is counted without numbers is what tensors hold; half as many samples hold half; Muon has one moment."""
    config = world_config()
    task = world_task(config, cache)
    learned = sum(value.numel() for value in task.trainable.values())
    whole, half = (
        planned_step(task, config, 1) - 20 * learned, planned_step(task, config, 2) - 24 * learned,  # DDP's copies
    )  # fmt: skip
    assert half == pytest.approx(whole / 2, rel=0.1)
    objective = WorldObjective(task.objective.transformer, None).train()
    batch = task.batches.make(0, range(4))
    tokens = task.objective.text_tokens
    batch["text_states"] = torch.zeros(4, tokens, objective.transformer.config["text_dim"])
    for value in task.trainable.values():
        value.register_post_accumulate_grad_hook(lambda value: setattr(value, "grad", None))
    held = peak_bytes_with_gradients(lambda: objective(batch)["loss"].mean().backward())
    assert whole == pytest.approx(held, rel=0.1)
    rounded = planned_step(task, changed(config, {"batch.precision": "bf16"}), 1)
    assert rounded - 22 * learned < 0.8 * whole
    monkeypatch.setattr("outofsight.training.optimiser.NARROWEST", 8)
    by_muon = sum(value.numel() for name, value in task.trainable.items() if is_hidden(name, value))
    assert planned_step(task, changed(config, {"optimisation.optimizer": "muon"}), 1) == (
        20 * learned + whole - 4 * by_muon
    )
    assert by_muon > 0


def test_too_little_memory_is_foreseen(world_config, cache, monkeypatch):
    monkeypatch.setattr(torch.cuda, "mem_get_info", lambda _: (2**20, 2**30))
    config, gpu = world_config(), torch.device("cuda:0")
    with pytest.raises(
        InputError,
        match=r"^cuda:0: a training step needs about 0\.\d GiB .* --set batch\.gradient_checkpointing=true,",
    ):
        check_step(world_task(config, cache), config, 1, gpu)
    monkeypatch.setattr(torch.cuda, "mem_get_info", lambda _: (2**30, 2**30))
    check_step(world_task(config, cache), config, 1, gpu)
