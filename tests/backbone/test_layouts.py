"""The same weights under other names and with more input channels."""

import pytest
import torch

from golden import load_golden
from models import tiny_transformer
from outofsight.backbone.input_channels import split_inputs
from outofsight.backbone.official import from_official, to_official
from outofsight.errors import CheckpointError


@pytest.fixture(scope="module")
def official():
    return load_golden("dit_A").under("weights.")


def same(one, other):
    return one.keys() == other.keys() and all(torch.equal(one[key], other[key]) for key in one)


def test_diffusers_names(official):
    model = from_official(official, num_attention_heads=2)
    again = from_official(dict(model.state_dict()), num_attention_heads=2)
    assert same(to_official(again), official)


def widened(official, *parts):
    return {
        **official,
        "patch_embedding.weight": torch.cat([official["patch_embedding.weight"], *parts], dim=1),
    }


def filled(channels, value):
    return torch.full((48, channels, 1, 2, 2), value)


def test_what_each_channel_becomes(official):
    picture, known, first = filled(16, 2.0), filled(4, 3.0), filled(16, 5.0)
    for state, coverage in (
        (widened(official, picture), 0.0),
        (widened(official, known, picture), 3.0),
        (widened(official, picture, first), 0.0),
    ):
        model = from_official(state, num_attention_heads=2)
        embed = model.rendered_memory.embed
        assert torch.equal(model.patch_embedding.weight, official["patch_embedding.weight"])
        assert (embed[:, :16] == 2).all()
        assert (embed[:, 16:20] == coverage).all()
        assert not embed[:, 20:].any()


def test_36_channels_there_and_back(official):
    state = widened(official, filled(4, 3.0), filled(16, 2.0))
    model = from_official(state, num_attention_heads=2)
    assert same(to_official(model), state)
    with torch.no_grad():
        model.rendered_memory.embed[:, 20:] = 1
    with pytest.raises(CheckpointError, match="subject masks"):
        to_official(model)


def test_a_gate_has_no_official_place():
    with pytest.raises(CheckpointError, match="rendering"):
        to_official(tiny_transformer(rendering={}))


def test_what_is_of_no_convention(official):
    with pytest.raises(CheckpointError, match="33 input channels"):
        from_official(widened(official, filled(17, 1.0)), num_attention_heads=2)
    with pytest.raises(CheckpointError, match="img_emb"):
        from_official({**official, "img_emb.proj.0.weight": torch.ones(2)}, num_attention_heads=2)


def test_48_channels_of_noise_stay():
    state = {"patch_embedding.weight": filled(48, 1.0), "head.head.weight": torch.ones(192, 48)}
    assert split_inputs(state)[1] is None
