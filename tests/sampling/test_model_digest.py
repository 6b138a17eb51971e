"""A model's weights are read once a folder, and told apart."""

import pytest
import torch

from models import tiny_world
from outofsight.sampling import model_digest
from outofsight.sampling.model_digest import world_digest
from outofsight.sampling.world import WorldModel


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    place = tmp_path_factory.mktemp("models") / "tiny"
    tiny_world().save_pretrained(place)
    return place


@pytest.fixture
def computed(monkeypatch, tmp_path):
    """How often weights were read."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    calls, compute = [], model_digest._computed
    monkeypatch.setattr(model_digest, "_computed", lambda world: calls.append(world) or compute(world))
    return calls


def load(folder):
    return WorldModel.from_pretrained(folder, dtype=torch.float32)


def test_a_folder_is_read_once(folder, computed):
    assert world_digest(load(folder)) == world_digest(load(folder))
    assert len(computed) == 1


def test_what_was_changed_since_is_another_model(folder, computed):
    world = load(folder)
    before = world_digest(world)
    with torch.no_grad():
        world.vae.decoder.conv_in.bias[3] += 1  # in place
    after = world_digest(world)
    world.transformer.proj_out.bias.data.fill_(0.5)  # unknown to torch's count
    assert len({before, after, world_digest(world)}) == 3
    world.save_pretrained(folder.with_name("changed"))
    assert world_digest(load(folder.with_name("changed"))) == world_digest(world)
    assert world_digest(load(folder)) == before


def test_a_model_without_a_folder_and_a_place_that_cannot_be_written(folder, computed, monkeypatch, tmp_path):
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "file"))
    assert world_digest(load(folder)) == world_digest(tiny_world()) == world_digest(load(folder))
    assert len(computed) == 3
