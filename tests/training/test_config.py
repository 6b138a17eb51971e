"""Settings: what is known, what is refused, recipes, chance by position."""

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from outofsight.errors import InputError
from outofsight.training.config import Optimisation, changed, differences, from_dict, to_dict
from outofsight.training.models import cast_for_export, make_vae, new_world
from outofsight.training.optimiser import learning_rate
from outofsight.training.randomness import normal, sample_index
from outofsight.training.recipes import RECIPES, recipe
from outofsight.training.tasks import VaeTask, WorldTask


@pytest.mark.parametrize("name", sorted(RECIPES))
def test_recipes_survive_being_written_down(name):
    config = recipe(name)
    assert config.recipe == name
    assert from_dict(to_dict(config)) == config
    documentation = RECIPES[name].__doc__ or ""
    assert "ime" in documentation
    assert "easured" in documentation  # what was, or that it is not yet


def test_dotted_settings():
    config = changed(
        recipe("mini_world"), {"task.size.ffn_dim": 64, "task.lora.rank": 4, "num_steps": 70_000}
    )
    assert (config.task.size.ffn_dim, config.task.lora.rank, config.num_steps) == (64, 4, 70_000)
    assert differences(to_dict(recipe("mini_world")), to_dict(config)) == {
        "num_steps": 70_000, "task.lora.rank": 4, "task.size.ffn_dim": 64,
    }  # fmt: skip


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"task.size.fnn_dim": 3}, "no such setting; known here are num_heads"),
        ({"tusk.size": 3}, "no such setting; known here are recipe"),
        ({"batch.size.x": 3}, "no such setting"),
        ({"batch.size": 0}, "batch.size: .*greater than 0"),
        ({"batch.size": "many"}, "batch.size: expected a whole number, got 'many'"),
        ({"optimisation.ema_decay": 1.0}, "less than 1"),
        ({"validation.sigmas": [0.5, 1.5]}, r"sigmas must lie in \(0, 1\]"),
        ({"task.kind": "video"}, "task"),
        ({"num_steps": 100}, "are 21000 steps together, the run has num_steps 100; make them shorter"),
    ],
)
def test_bad_settings_are_refused(settings, message):
    with pytest.raises(InputError, match=message):
        changed(recipe("mini_world"), settings)


@pytest.mark.parametrize(
    "task", [{"num_frames": 4}, {"crop_px": (12, 16)}, {"l1_weight": 0.0, "mse_weight": 0.0}]
)
def test_impossible_vae_tasks_are_refused(task):
    with pytest.raises(ValueError, match=r"num_frames|crop_px|nothing would be learned"):
        VaeTask(**task)


def test_the_mini_fits_its_weight_budget():
    """VAE, transformer and text encoder, cast as they are exported: less than 20 MB."""
    vae = make_vae(recipe("mini_vae").task, seed=0)
    parts = new_world(recipe("mini_world").task.size, vae, seed=0)
    total = 0
    for network in (vae, parts.transformer, parts.text_encoder):
        cast_for_export(network, torch.bfloat16)
        total += sum(parameter.nbytes for parameter in network.parameters())
    assert 19e6 < total < 19.9e6  # config files and headers take the rest


def test_the_rate_rises_stays_and_falls():
    settings = Optimisation(learning_rate=4.0, warmup_steps=2, cooldown_steps=3)
    assert [learning_rate(settings, step, 10) for step in range(10)] == [2, 4, 4, 4, 4, 4, 4, 3, 2, 1]


@given(st.integers(0, 2**40), st.integers(1, 40), st.integers(0, 5))
def test_every_epoch_is_a_pass_over_all_samples(seed, count, epoch):
    seen = [sample_index(seed, epoch * count + place, count) for place in range(count)]
    assert sorted(seen) == list(range(count))


def test_epochs_differ_and_noise_belongs_to_its_place():
    orders = [[sample_index(3, epoch * 50 + place, 50) for place in range(50)] for epoch in (0, 1)]
    assert orders[0] != orders[1]
    assert torch.equal(normal((4,), 1, "noise", 7), normal((4,), 1, "noise", 7))
    many = torch.cat([normal((1000,), 1, "noise", place) for place in range(20)]).numpy()
    assert abs(many.mean()) < 0.03
    assert np.isclose(many.std(), 1, atol=0.02)


def test_world_tasks_do_not_share_defaults():
    assert WorldTask(vae="a").size is not None
    assert WorldTask(vae="a") == WorldTask(vae="a")


def test_the_config_of_an_earlier_run_is_read_under_the_present_names():
    content = to_dict(recipe("laptop_hybrid"))
    chunks = content["task"]["chunks"]
    names = {"self_forcing_probability": "own_share", "self_forcing_max_sigma": "own_max_sigma",
             "noise_augmentation": "history_noise"}  # fmt: skip
    content["task"]["chunks"] = {"sizes": chunks["sizes"], **{names[key]: 0.25 for key in names}}
    read = from_dict(content).task.chunks
    assert [getattr(read, name) for name in names] == [0.25, 0.25, 0.25]
    content = to_dict(recipe("mini_recogniser"))
    content["task"]["spoiling"] = content["task"].pop("augmentation") | {"zoom": 0.5}
    assert from_dict(content).task.augmentation.zoom == 0.5
