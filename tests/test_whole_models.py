"""A model that is not whole is refused, whatever part of it lacks what."""

import json
import shutil

import pytest
import torch

from models import tiny_world
from outofsight.codec.checkpoint_files import load_state_dict, save_state_dict
from outofsight.errors import CheckpointError
from outofsight.sampling.world import WorldModel
from outofsight.training.models import load_vae
from outofsight.whole_models import check_whole

FILES = {
    "transformer": "transformer/diffusion_pytorch_model.safetensors",
    "vae": "vae/diffusion_pytorch_model.safetensors",
    "text_encoder": "text_encoder/model.safetensors",
}


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    folder = tmp_path_factory.mktemp("model") / "tiny"
    tiny_world().save_pretrained(folder)
    return folder


@pytest.fixture
def folder(whole, tmp_path):
    return shutil.copytree(whole, tmp_path / "tiny")


def spoil(path, fault):
    """Change a weight file; gives what the message must say."""
    state = load_state_dict(path)
    name = sorted(state)[0]
    if fault == "missing":
        del state[name]
        reported = f"1 missing: {name}"
    elif fault == "unexpected":
        state["stranger.weight"] = torch.zeros(2)
        reported = "1 unexpected: stranger.weight"
    elif fault == "shape":
        state[name] = torch.zeros(3, 1, 7)
        reported = f"1 of another shape: {name}"
    else:
        state[name] = torch.full_like(state[name], float("nan"))
        reported = f"not finite: {name}"
    save_state_dict(path, state)
    return reported


def test_a_whole_model_is_taken(whole):
    check_whole(whole, values=True)
    assert isinstance(WorldModel.from_pretrained(whole), WorldModel)


@pytest.mark.parametrize("part", FILES)
@pytest.mark.parametrize("fault", ["missing", "unexpected", "shape", "nan"])
def test_each_part_and_each_fault(folder, part, fault):
    reported = spoil(folder / FILES[part], fault)
    with pytest.raises(CheckpointError) as refused:
        WorldModel.from_pretrained(folder)
    assert reported in str(refused.value)
    with pytest.raises(CheckpointError, match=part):
        check_whole(folder, values=True)
    if part == "vae":
        with pytest.raises(CheckpointError) as refused:
            load_vae(folder)
        assert reported in str(refused.value)


def test_weights_that_are_not_there(folder):
    (folder / FILES["vae"]).unlink()
    with pytest.raises(CheckpointError, match="vae: holds no weights"):
        WorldModel.from_pretrained(folder)


def test_a_shard_that_is_not_there(folder):
    part = folder / "transformer"
    state = load_state_dict(part / "diffusion_pytorch_model.safetensors")
    (part / "diffusion_pytorch_model.safetensors").unlink()
    index = {"metadata": {}, "weight_map": dict.fromkeys(state, "one-of-two.safetensors")}
    index["weight_map"][sorted(state)[0]] = "two-of-two.safetensors"
    (part / "diffusion_pytorch_model.safetensors.index.json").write_text(json.dumps(index))
    save_state_dict(part / "one-of-two.safetensors", state)
    with pytest.raises(CheckpointError, match=r"lacks two-of-two\.safetensors"):
        check_whole(folder)


def test_a_file_that_is_cut_short(folder):
    content = (folder / FILES["text_encoder"]).read_bytes()
    (folder / FILES["text_encoder"]).write_bytes(content[: len(content) // 2])
    with pytest.raises(CheckpointError, match=r"model\.safetensors: truncated or damaged"):
        WorldModel.from_pretrained(folder)
