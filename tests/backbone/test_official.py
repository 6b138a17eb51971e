"""Published names and ours, both ways, and checkpoints that are something else."""

import pytest
import torch

from golden import load_golden
from models import tiny_transformer
from outofsight.backbone.official import from_official, infer_config, split_inputs, transformer_to_official
from outofsight.backbone.transformer import HydraTransformer3DModel
from outofsight.errors import CheckpointError


@pytest.fixture(scope="module")
def official():
    return load_golden("dit_A").under("weights.")


def same(one, other):
    return one.keys() == other.keys() and all(torch.equal(one[key], other[key]) for key in one)


def test_there_and_back_is_bit_exact(official):
    assert same(transformer_to_official(from_official(official, num_attention_heads=2)), official)


def test_there_and_back_through_a_folder_is_bit_exact(official, tmp_path):
    from_official(official, num_attention_heads=2).save_pretrained(tmp_path)
    assert same(transformer_to_official(HydraTransformer3DModel.from_pretrained(tmp_path)), official)


def test_bf16_weights_stay_bf16(official):
    narrow = {name: tensor.bfloat16() for name, tensor in official.items()}
    assert same(transformer_to_official(from_official(narrow, num_attention_heads=2)), narrow)


def test_a_prefix_that_all_names_share_is_dropped(official):
    wrapped = {f"pipe.dit.{name}": tensor for name, tensor in official.items()}
    assert same(transformer_to_official(from_official(wrapped, num_attention_heads=2)), official)


def test_sizes_are_read_off_the_weights():
    model = tiny_transformer(num_attention_heads=1, attention_head_dim=128, memory_kernel=(1, 2, 4))
    inferred = infer_config(transformer_to_official(model))
    assert inferred.pop("width") == 128
    assert {key: model.config[key] for key in inferred} == inferred


def test_published_heads_are_128_wide():
    model = from_official(
        transformer_to_official(tiny_transformer(num_attention_heads=2, attention_head_dim=128))
    )
    assert model.config["num_attention_heads"] == 2


def test_plain_wan_needs_leave(official):
    plain = {
        name: tensor
        for name, tensor in official.items()
        if not any(part in name for part in ("cam_encoder", "projector", "tokenizer"))
    }
    with pytest.raises(CheckpointError, match="plain Wan model without HyDRA's memory"):
        from_official(plain, num_attention_heads=2)
    model = from_official(plain, num_attention_heads=2, untrained_memory=True)
    assert torch.equal(model.blocks[0].attn1.projector.weight, torch.eye(48))
    assert not model.blocks[1].attn1.target_camera_encoder.weight.any()


def test_adapters_have_no_official_name():
    peft = pytest.importorskip("peft")
    model = tiny_transformer()
    model.add_adapter(peft.LoraConfig(r=2, target_modules=["attn1.to_q"]))
    with pytest.raises(CheckpointError, match="fuse and unload adapters"):
        transformer_to_official(model)


def without(state, name):
    return {key: value for key, value in state.items() if key != name}


@pytest.mark.parametrize(
    ("change", "config", "says"),
    [
        (lambda s: {"encoder.conv1.weight": torch.zeros(1)}, {}, "is missing among 1 tensors"),
        (lambda s: {}, {}, "is missing among 0 tensors"),
        (lambda s: without(s, "blocks.1.ffn.0.bias"), {}, "1 missing: blocks.1.ffn.0.bias"),
        (
            lambda s: without(s, "blocks.1.projector.bias"),
            {"untrained_memory": False},
            "1 missing: blocks.1.projector.bias",
        ),
        (lambda s: {**s, "img_emb.proj.0.weight": torch.zeros(1)}, {}, "img_emb"),
        (
            lambda s: {**s, "head.modulation": torch.zeros(1, 2, 7)},
            {},
            r"head.modulation \[1, 2, 7\] instead of \[1, 2, 48\]",
        ),
        (lambda s: s, {"num_layers": 3}, "num_layers=3 was asked for, but the weights have 2"),
        (lambda s: s, {"num_attention_heads": 5}, "give num_attention_heads"),
    ],
)
def test_other_checkpoints_are_refused(official, change, config, says):
    with pytest.raises(CheckpointError, match=says):
        from_official(change(dict(official)), **{"num_attention_heads": 2, **config})


def test_diffusers_names(official):
    model = from_official(official, num_attention_heads=2)
    again = from_official(dict(model.state_dict()), num_attention_heads=2)
    assert same(transformer_to_official(again), official)


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
    assert same(transformer_to_official(model), state)
    with torch.no_grad():
        model.rendered_memory.embed[:, 20:] = 1
    with pytest.raises(CheckpointError, match="subject masks"):
        transformer_to_official(model)


def test_a_gate_has_no_official_place():
    with pytest.raises(CheckpointError, match="rendering"):
        transformer_to_official(tiny_transformer(rendering={}))


def test_what_is_of_no_convention(official):
    with pytest.raises(CheckpointError, match="33 input channels"):
        from_official(widened(official, filled(17, 1.0)), num_attention_heads=2)
    with pytest.raises(CheckpointError, match="img_emb"):
        from_official({**official, "img_emb.proj.0.weight": torch.ones(2)}, num_attention_heads=2)


def test_48_channels_of_noise_stay():
    state = {"patch_embedding.weight": filled(48, 1.0), "head.head.weight": torch.ones(192, 48)}
    assert split_inputs(state)[1] is None
