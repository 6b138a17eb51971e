"""Training the two banks in earnest: runs that stop and go on, what is measured, and that they learn at all."""

import json
from math import isfinite

import pytest
import torch

from models import tiny_inputs, tiny_transformer
from outofsight.errors import CheckpointError, InputError
from outofsight.memory.strategies import strategy
from outofsight.sampling.world import WorldModel
from outofsight.training.bank_objective import mean_tokens
from outofsight.training.config import changed, with_strategy
from outofsight.training.loop import train
from outofsight.training.models import make_world
from outofsight.training.recipes import recipe
from outofsight.training.run_folder import read_log
from outofsight.training.state import load_latest_state
from outofsight.training.world_training import world_task

SMALL = {"archive_slots": 4, "subject_slots": 2, "top_k": 3, "reader_width": 16, "identity_width": 8}
LOSSES = {"split": 1.0, "reading": 1.0, "state": 1.0, "identity": 0.2, "background": 0.5}


@pytest.fixture
def hybrid(world_config):
    """A run of tiny banks on the tests' clips of 3 + 3 latent frames."""

    def make(name="hybrid", **changes):
        task = {"camera_dropout": 0.0, "memory_losses": LOSSES, **changes.pop("task", {})}
        config = with_strategy(world_config(task=task, **changes), name)
        memory = {"task.memory.banks": SMALL} if config.task.memory.get("banks") is not None else {}
        if config.task.memory.get("context_recent"):
            memory["task.memory.context_recent"] = 2
        return changed(config, memory)

    return make


def weights_of(folder):
    return load_latest_state(folder / "states").group("weights")


def test_banks_alone_learn_and_leave_the_rest_as_it_is(hybrid, cache, tmp_path):
    task = {"flow_weight": 0.0, "trainable": ("transformer.two_banks.*",)}
    config = hybrid(task=task, num_steps=30, log_every_steps=1, optimisation={"learning_rate": 1e-2},
                    validation={"every_steps": 30})  # fmt: skip
    problem = world_task(config, cache)
    assert all(name.startswith("transformer.two_banks.") for name in problem.trainable)
    before = {name: value.clone() for name, value in problem.objective.named_parameters()}
    train(config, cache, tmp_path / "run")
    log = read_log(tmp_path / "run")
    steps = [line for line in log if "loss" in line]
    for name in LOSSES:
        assert all(isfinite(line[f"loss/{name}"]) for line in steps), name
    weighted = sum(weight * steps[0][f"loss/{name}"] for name, weight in LOSSES.items())
    assert steps[0]["loss"] == pytest.approx(weighted, rel=1e-5)
    for name in ("split", "reading"):
        assert steps[-1][f"loss/{name}"] < 0.8 * steps[0][f"loss/{name}"], name
    assert any(line["loss/state"] for line in steps)  # subjects were born, and their places are taught
    assert not any("loss/flow" in line for line in steps)
    figures = log[-1]
    assert figures["validation/banks/split_f1"] > 0.5
    assert figures["validation/banks/found"] == 1
    assert figures["validation/banks/seen_error_m"] < 1.6  # of a subject 1.6 m below the cameras
    assert 0 < figures["validation/banks/covered"] <= 1
    assert "validation/loss" not in figures
    exported = WorldModel.from_pretrained(tmp_path / "run" / "export").transformer.state_dict()
    for name, value in before.items():
        if name.startswith("transformer.") and "two_banks" not in name:
            torch.testing.assert_close(exported[name.removeprefix("transformer.")], value)


def test_banks_of_one_model_beside_the_rest_of_another(hybrid, world_config, cache, tmp_path):
    train(hybrid(num_steps=2), cache, tmp_path / "banks")
    train(world_config(num_steps=2, seed=1), cache, tmp_path / "world")
    banks, world = (str(tmp_path / name / "export") for name in ("banks", "world"))
    made = make_world(hybrid(task={"initial": world, "banks": banks}).task, seed=2).transformer.state_dict()
    theirs, rest = (
        WorldModel.from_pretrained(folder, dtype=torch.float32).transformer.state_dict()
        for folder in (banks, world)
    )
    assert all(torch.equal(made[key], theirs[key] if "two_banks" in key else rest[key]) for key in made)
    with pytest.raises(CheckpointError, match="a model without banks"):
        make_world(hybrid(task={"banks": world}).task, seed=2)
    with pytest.raises(InputError, match="this model has none"):
        make_world(world_config(task={"banks": banks}).task, seed=2)
    small = changed(hybrid(task={"banks": banks}), {"task.memory.banks": SMALL | {"identity_width": 4}})
    with pytest.raises(CheckpointError, match="banks of other settings"):
        make_world(small.task, seed=2)


@pytest.mark.parametrize("alone", [True, False])
def test_a_run_that_stops_and_goes_on_is_the_same_run(alone, hybrid, cache, tmp_path, forget_accelerate):
    task = (
        {"flow_weight": 0.0} if alone else {"chunks": {"sizes": [[3], [1, 2]], "self_forcing_max_sigma": 1.0}}
    )
    config = hybrid(task=task, num_steps=4)
    train(config, cache, tmp_path / "whole")
    forget_accelerate()
    train(config, cache, tmp_path / "parts", stop=iter([False, True]).__next__)
    forget_accelerate()
    train(config, cache, tmp_path / "parts", resume=True)
    whole, parts = weights_of(tmp_path / "whole"), weights_of(tmp_path / "parts")
    assert all(torch.equal(value, parts[name]) for name, value in whole.items())


@pytest.mark.parametrize("name", ["hybrid", "hybrid+hydra", "hydra", "dfot", "identity", "segmentation"])
def test_every_strategy_may_be_unrolled(name, hybrid, cache, tmp_path):
    task = {"chunks": {"sizes": [[1, 2]]}, "subject_weight": 2.0, "trainable": ("*",)}
    if "hybrid" not in name:
        task["memory_losses"] = {}
    config = hybrid(name, task=task, num_steps=1, log_every_steps=1)
    train(config, cache, tmp_path / "run")
    line = read_log(tmp_path / "run")[-1]
    assert isfinite(line["loss"])
    assert line["loss/flow"] > 0
    assert ("loss/background" in line) == ("hybrid" in name)


def test_the_flow_teaches_the_banks_too(hybrid, cache):
    config = hybrid(task={"memory_losses": {}, "chunks": {"sizes": [[1, 2]]}})
    problem = world_task(config, cache)
    with torch.no_grad():  # an untrained camera encoder adds nothing, an untrained output predicts nothing
        problem.objective.transformer.proj_out.weight.normal_(std=0.2)
    problem.objective(problem.batches.make(0, [0, 1]))["loss"].sum().backward()
    tokenizer = problem.objective.transformer.two_banks.tokenizer.conv.weight
    assert tokenizer.grad is not None
    assert float(tokenizer.grad.abs().max()) > 0


def test_recipes_of_the_banks_say_what_they_do():
    banks, joint = recipe("laptop_banks"), recipe("laptop_hybrid")
    assert (banks.task.strategy, joint.task.strategy) == ("hybrid", "hybrid+hydra")
    assert joint.task.memory["memory_kernel"] == [1, 1, 1]  # as the mini's
    assert joint.task.memory["banks"] == banks.task.memory["banks"]
    assert banks.task.flow_weight == 0
    assert joint.task.flow_weight == 1
    assert {sum(sizes) for sizes in joint.task.chunks.sizes} == {11}
    assert set(banks.task.memory_losses.weights()) == set(LOSSES)


def test_settings_that_contradict_each_other_are_refused(world_config):
    with pytest.raises(ValueError, match="camera_dropout to 0"):
        world_config(task={"chunks": {"sizes": [[3]]}})
    with pytest.raises(ValueError, match="nothing would be learned"):
        world_config(task={"flow_weight": 0.0})


def test_an_older_run_goes_on_though_it_knows_no_chunks(world_config, cache, tmp_path):
    config = world_config(num_steps=1)
    train(config, cache, tmp_path / "run")
    path = tmp_path / "run" / "config.json"
    content = json.loads(path.read_text())
    for young in ("memory_losses", "chunks", "flow_weight"):
        del content["config"]["task"][young]
    path.write_text(json.dumps(content))
    train(changed(config, {"num_steps": 2}), cache, tmp_path / "run", resume=True)
    assert json.loads(path.read_text())["changes"][0]["changed"] == {"num_steps": 2}


def test_what_is_rebuilt_is_judged_by_video_tokens_whatever_the_tokenizer_makes():
    banks = {**SMALL, "kernel": (1, 2, 2)}
    transformer = tiny_transformer(**{**strategy("hybrid").settings, "banks": banks})
    latents = tiny_inputs()["hidden_states"]
    with torch.no_grad():
        tokens = transformer.patch_embedding(latents)  # [b, d, f, rows, columns]
        means, grid = mean_tokens(transformer, transformer.two_banks, latents)
        transformer.two_banks.tokenizer.conv.weight.mul_(3)
        again, _ = mean_tokens(transformer, transformer.two_banks, latents)
    assert (grid.height, grid.width) == (tokens.shape[3] // 2, tokens.shape[4] // 2)
    assert torch.allclose(means[:, :, 0], tokens[:, :, :, :2, :2].mean(dim=(3, 4)).transpose(1, 2), atol=1e-6)
    assert torch.equal(means, again)
