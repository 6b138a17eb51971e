"""What learns and what does not; low-rank parts; tensors that are spread over processes."""

import pytest
import torch
import torch.distributed
from torch.distributed.device_mesh import init_device_mesh
from torch.distributed.fsdp import fully_shard
from torch.distributed.tensor import DTensor

from models import tiny_transformer
from outofsight.errors import CheckpointError, InputError
from outofsight.memory.banks.mask_reader import MaskReader
from outofsight.sampling.world import WorldModel
from outofsight.training.config import Optimisation
from outofsight.training.loop import train
from outofsight.training.models import choose_trainable, load_vae, make_world, start_by_likeness
from outofsight.training.optimiser import (
    EMA,
    full_tensor,
    make_optimizers,
    optimizer_tensors,
    restore_optimizers,
)
from outofsight.training.recipes import PAPER_TRAINABLE, finetune_lora
from outofsight.training.state import load_latest_state
from outofsight.training.tasks import LoraSize
from outofsight.training.world_objective import WorldObjective
from outofsight.types import LatentGrid


def test_the_papers_regime_trains_attention_and_nothing_else():
    objective = WorldObjective(tiny_transformer(), None)
    chosen = choose_trainable(objective, PAPER_TRAINABLE)
    parts = {name.split(".attn1.")[1].split(".")[0] for name in chosen}
    assert parts == {"to_q", "to_k", "to_v", "to_out", "norm_q", "norm_k", "context_camera_encoder",
                     "target_camera_encoder", "tokenizer", "projector"}  # fmt: skip
    learning = {name for name, parameter in objective.named_parameters() if parameter.requires_grad}
    assert learning == set(chosen)


def test_a_pattern_without_a_match_is_refused():
    with pytest.raises(InputError, match="no parameter's name matches 'transformer"):
        choose_trainable(WorldObjective(tiny_transformer(), None), ("transformer.blocks.*.atn1",))


def test_fine_tuning_leaves_the_rest_as_it_was(world_config, world_folder, cache_of_world, tmp_path):
    config = world_config(
        num_steps=3, task={"initial": str(world_folder), "vae": None, "trainable": PAPER_TRAINABLE},
        optimisation={"ema_decay": 0.0},
    )  # fmt: skip
    train(config, cache_of_world, tmp_path / "run")
    before = WorldModel.from_pretrained(world_folder).transformer.state_dict()
    after = WorldModel.from_pretrained(tmp_path / "run" / "export").transformer.state_dict()
    moved = {name for name in before if not torch.equal(before[name], after[name])}
    assert moved
    assert all(".attn1." in name for name in moved)
    state = load_latest_state(tmp_path / "run" / "states")
    assert all(".attn1." in name for name in state.tensors)  # the frozen rest is not stored again


def test_low_rank_parts_learn_and_are_merged(world_config, world_folder, cache_of_world, tmp_path):
    config = world_config(
        num_steps=3, optimisation={"ema_decay": 0.0},
        task={"initial": str(world_folder), "vae": None, "trainable": (), "lora": LoraSize(rank=2, alpha=4)},
    )  # fmt: skip
    train(config, cache_of_world, tmp_path / "run")
    weights = load_latest_state(tmp_path / "run" / "states").group("weights")
    assert weights
    assert all(".lora_" in name for name in weights)
    before = WorldModel.from_pretrained(world_folder).transformer.state_dict()
    after = WorldModel.from_pretrained(tmp_path / "run" / "export").transformer.state_dict()
    assert before.keys() == after.keys()
    name = "blocks.0.attn1.to_q"
    a, b = (weights[f"transformer.{name}.lora_{half}.default.weight"] for half in "AB")
    torch.testing.assert_close(
        after[f"{name}.weight"], before[f"{name}.weight"] + 2 * b @ a, rtol=1e-4, atol=1e-6
    )
    assert torch.equal(after["blocks.0.ffn.net.2.weight"], before["blocks.0.ffn.net.2.weight"])


def test_the_lora_recipe_names_parts_that_exist(world_folder):
    task = finetune_lora().task
    parts = make_world(
        type(task)(initial=str(world_folder), lora=task.lora, trainable=task.trainable), seed=0
    )
    chosen = choose_trainable(WorldObjective(parts.transformer, None), task.trainable)
    kinds = {name.split(".attn1.")[1].split(".")[0] for name in chosen}
    assert kinds == {
        "to_q",
        "to_k",
        "to_v",
        "to_out",
        "projector",
        "context_camera_encoder",
        "target_camera_encoder",
    }


def test_impossible_models_are_refused(world_config, tmp_path):
    with pytest.raises(InputError, match="adds to a trained model"):
        make_world(world_config(task={"lora": LoraSize(rank=2)}).task, 0)
    with pytest.raises(InputError, match="name the folder of the VAE"):
        make_world(world_config(task={"vae": None}).task, 0)
    with pytest.raises(CheckpointError, match="expected a VAE folder"):
        load_vae(tmp_path)


@pytest.fixture
def one_process_mesh(tmp_path):
    """A process group of one, so that weights can be spread (over one process) as FSDP2 spreads them."""
    torch.distributed.init_process_group("gloo", init_method=f"file://{tmp_path}/store", rank=0, world_size=1)
    yield init_device_mesh("cpu", (1,))
    torch.distributed.destroy_process_group()


def test_spread_weights_are_averaged_saved_and_restored(one_process_mesh):
    torch.manual_seed(0)
    model = torch.nn.Linear(3, 2)
    fully_shard(model, mesh=one_process_mesh)
    parameters = dict(model.named_parameters())
    assert isinstance(parameters["weight"], DTensor)
    optimizers, mean = make_optimizers(parameters, Optimisation()), EMA(parameters, 0.5)
    start = full_tensor(parameters["weight"].detach()).clone()
    model(torch.ones(1, 3)).sum().backward()
    optimizers[0].step()
    mean.update(parameters, step=100)
    moved = full_tensor(parameters["weight"].detach()).clone()
    torch.testing.assert_close(full_tensor(mean.means["weight"]), (start + moved) / 2)
    with mean.in_place_of(parameters):
        torch.testing.assert_close(full_tensor(parameters["weight"].detach()), (start + moved) / 2)
    assert torch.equal(full_tensor(parameters["weight"].detach()), moved)

    tensors, steps = optimizer_tensors(optimizers, parameters)
    groups = {
        kind: {name: tensors[f"{kind}/{name}"] for name in parameters}
        for kind in ("first_moment", "second_moment")
    }
    other = make_optimizers(parameters, Optimisation())
    restore_optimizers(other, parameters, groups, steps)
    again, steps_again = optimizer_tensors(other, parameters)
    assert steps == steps_again == {"weight": 1, "bias": 1}
    assert all(torch.equal(tensors[name], again[name]) for name in tensors)


def test_muon_takes_a_kernel_for_the_matrix_of_its_outputs_by_all_else():
    """The mask reader's inner kernels learn as matrices of the same numbers would; its first and last by AdamW."""
    torch.manual_seed(0)
    masks = MaskReader(4)
    parameters = {f"masks.{name}": value for name, value in masks.named_parameters()}
    muon, adamw = make_optimizers(parameters, Optimisation(optimizer="muon", learning_rate=1e-2))
    kernel = masks.inner[0].spread.weight
    owned = {value for group in muon.param_groups for value in group["params"]}
    assert kernel in owned
    assert masks.enter.weight not in owned
    assert masks.logits.weight not in owned
    matrix = torch.nn.Parameter(kernel.detach().flatten(1).clone())
    plain = torch.optim.Muon([matrix], lr=1e-2, weight_decay=0.01, adjust_lr_fn="match_rms_adamw")
    for _ in range(3):
        gradient = torch.randn(kernel.shape)
        kernel.grad, matrix.grad = gradient, gradient.flatten(1)
        muon.step()
        plain.step()
        assert kernel.grad is gradient
    assert torch.equal(kernel.flatten(1), matrix)
    tensors, steps = optimizer_tensors([muon, adamw], parameters)
    moments = {
        "first_moment": {"masks.inner.0.spread.weight": tensors["first_moment/masks.inner.0.spread.weight"]}
    }
    again = make_optimizers(parameters, Optimisation(optimizer="muon"))
    restore_optimizers(again, parameters, moments, steps)
    assert torch.equal(again[0].state[kernel]["momentum_buffer"], plain.state[matrix]["momentum_buffer"])


def test_the_running_mean_by_hand():
    weight = torch.nn.Parameter(torch.tensor([0.0]))
    mean = EMA({"w": weight}, decay=0.9)
    with torch.no_grad():
        weight.fill_(11.0)
    mean.update({"w": weight}, step=1)  # follows fast at first: decay (1+1)/(10+1)
    assert mean.means["w"].item() == pytest.approx(9.0)
    mean.update({"w": weight}, step=1000)
    assert mean.means["w"].item() == pytest.approx(9.2)


def test_what_is_frozen_does_not_learn_whatever_else_is_said():
    network = torch.nn.ModuleDict({"one": torch.nn.Linear(2, 2), "other": torch.nn.Linear(2, 2)})
    chosen = choose_trainable(network, ("*",), ("other.*",))
    assert set(chosen) == {"one.weight", "one.bias"}
    assert not network["other"].weight.requires_grad


def test_tokens_look_most_at_those_that_hold_the_same():
    model = tiny_transformer(memory_kernel=(1, 2, 2), camera_ray_octaves=3)
    start_by_likeness(model)
    attention = model.blocks[0].attn1
    tokens = torch.randn(1, 2 * 4 * 6, 48, generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        query, key, _ = attention.project(tokens)
        memory = attention.tokenizer(tokens, LatentGrid(frames=2, height=4, width=6, context_frames=1))
    assert torch.equal(query, key)
    likeness = query[0] @ key[0].T
    assert torch.equal(likeness.argmax(dim=1), torch.arange(48))
    squares = tokens.unflatten(1, (2, 2, 2, 3, 2)).mean(dim=(3, 5)).flatten(2, 3)
    torch.testing.assert_close(memory, squares)


def test_rays_count_as_much_as_content():
    model = tiny_transformer(camera_ray_octaves=4)
    start_by_likeness(model)
    encoder = model.blocks[0].attn1.ray_encoder
    features = torch.randn(500, encoder.in_features, generator=torch.Generator().manual_seed(1)) / 2**0.5
    assert 0.8 < float(encoder(features).detach().std()) < 1.25
