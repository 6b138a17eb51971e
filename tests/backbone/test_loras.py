"""LoRAs of six layouts say the same, and what is none is refused in one line."""

import pytest
import torch

from models import tiny_inputs, tiny_transformer, tiny_world
from outofsight.backbone.loras import merge_lora, parse_lora, read_lora, to_original, write_lora
from outofsight.backbone.official_names import official_name
from outofsight.errors import CheckpointError

DOWN, UP = torch.randn(2, 48, generator=torch.Generator().manual_seed(0)), torch.ones(48, 2)
LAYER = "blocks.0.attn1.to_q.weight"
LAYOUTS = {
    "diffusers": (
        "transformer.blocks.0.attn1.to_q.lora_A.weight",
        "transformer.blocks.0.attn1.to_q.lora_B.weight",
    ),
    "original": (
        "diffusion_model.blocks.0.self_attn.q.lora_A.weight",
        "diffusion_model.blocks.0.self_attn.q.lora_B.weight",
    ),
    "original, down and up": (
        "diffusion_model.blocks.0.self_attn.q.lora_down.weight",
        "diffusion_model.blocks.0.self_attn.q.lora_up.weight",
    ),
    "kohya": (
        "lora_unet_blocks_0_self_attn_q.lora_down.weight",
        "lora_unet_blocks_0_self_attn_q.lora_up.weight",
    ),
    "VideoX-Fun": (
        "lora_unet__blocks_0_self_attn_q.lora_down.weight",
        "lora_unet__blocks_0_self_attn_q.lora_up.weight",
    ),
    "DiffSynth": (
        "pipe.dit.blocks.0.self_attn.q.lora_A.default.weight",
        "pipe.dit.blocks.0.self_attn.q.lora_B.default.weight",
    ),
    "DiffSynth, bare": (
        "blocks.0.self_attn.q.lora_A.default.weight",
        "blocks.0.self_attn.q.lora_B.default.weight",
    ),
}


@pytest.fixture(scope="module")
def model():
    return tiny_transformer()


def names(model):
    return list(model.state_dict())


@pytest.mark.parametrize("layout", LAYOUTS)
def test_every_layout_names_the_same_layer(layout, model):
    down, up = LAYOUTS[layout]
    lora = parse_lora({down: DOWN, up: UP}, names(model))
    assert list(lora.parts) == [LAYER]
    assert torch.equal(lora.parts[LAYER].delta(), UP @ DOWN)


def test_alpha_is_divided_by_the_rank(model):
    stem = "lora_unet_blocks_0_self_attn_q"
    state = {
        f"{stem}.lora_down.weight": DOWN,
        f"{stem}.lora_up.weight": UP,
        f"{stem}.alpha": torch.tensor(1.0),
    }
    lora = parse_lora(state, names(model))
    assert torch.equal(lora.parts[LAYER].delta(), UP @ DOWN / 2)
    out = to_original(lora)
    assert set(out) == set(LAYOUTS["original"])
    assert torch.equal(out[LAYOUTS["original"][1]], UP / 2)


def test_kohya_names_of_every_linear_layer(model):
    """Underscores stand for dots and for themselves; every layer must come back, the feed-forward and head too."""
    layers = [
        n
        for n in names(model)
        if (n.endswith(".weight") and ".norm" not in n and "attn1.t" in n) or "ffn" in n
    ]
    linear = [name for name, module in model.named_modules() if isinstance(module, torch.nn.Linear)]
    layers = [f"{name}.weight" for name in linear]
    assert len(layers) > 20
    for name in layers:
        stem = "lora_unet_" + official_name(name).removesuffix(".weight").replace(".", "_")
        state = {f"{stem}.lora_down.weight": DOWN, f"{stem}.lora_up.weight": UP}
        assert list(parse_lora(state, names(model)).parts) == [name]


def test_merging_adds_it_with_its_strength(model):
    changed = tiny_transformer()
    lora = parse_lora(dict(zip(LAYOUTS["kohya"], (DOWN, UP), strict=True)), names(model))
    merge_lora(changed, lora, 0.5)
    before, after = model.state_dict(), changed.state_dict()
    assert torch.allclose(after[LAYER], before[LAYER] + UP @ DOWN / 2, atol=1e-6)
    assert all(torch.equal(after[name], before[name]) for name in before if name != LAYER)


def test_whole_differences_of_distillation(model):
    changed = tiny_transformer()
    state = {
        "diffusion_model.blocks.1.norm3.diff": torch.ones(48),
        "diffusion_model.blocks.1.self_attn.o.diff_b": torch.full((48,), 2.0),
        "diffusion_model.blocks.1.diff_m": torch.full((1, 6, 48), 3.0),
    }
    lora = parse_lora(state, names(model))
    merge_lora(changed, lora)
    before, after = model.state_dict(), changed.state_dict()
    for name, more in (("norm2.weight", 1), ("attn1.to_out.0.bias", 2), ("scale_shift_table", 3)):
        name = f"blocks.1.{name}"
        assert torch.allclose(after[name], before[name] + more)
    assert to_original(lora).keys() == state.keys()


def test_it_is_written_and_read_again(model, tmp_path):
    lora = parse_lora(dict(zip(LAYOUTS["VideoX-Fun"], (DOWN, UP), strict=True)), names(model))
    write_lora(tmp_path / "lora.safetensors", lora)
    again = read_lora(tmp_path / "lora.safetensors", names(model))
    assert torch.equal(again.parts[LAYER].delta(), lora.parts[LAYER].delta())


LORA = dict(zip(LAYOUTS["original"], (DOWN, UP), strict=True))


@pytest.mark.parametrize(
    ("state", "said"),
    [
        ({LAYOUTS["kohya"][0]: DOWN}, "only down of blocks.0.attn1.to_q.weight"),
        ({"blocks.0.self_attn.q.weight": DOWN}, "no LoRA that is known here"),
        ({"lora_unet_x.hada_w1_a": DOWN}, r"another kind \(hada_w\)"),
        ({name.replace("0", "77", 1): DOWN for name in LAYOUTS["kohya"]}, "belong to no layer"),
        ({**LORA, "blocks.0.self_attn.q.dora_scale": DOWN}, r"another kind \(dora_scale\)"),
        (
            {**LORA, "diffusion_model.patch_embedding.reshape_weight": DOWN},
            r"another kind \(reshape_weight\)",
        ),
        ({"blocks.0.self_attn.q.lokr_w1": DOWN}, r"another kind \(lokr_w\)"),
    ],
)
def test_what_is_none_is_said(state, said, model):
    with pytest.raises(CheckpointError, match=said):
        parse_lora(state, names(model))


def test_another_width_adds_nothing(model):
    lora = parse_lora(
        dict(zip(LAYOUTS["kohya"], (torch.ones(2, 64), torch.ones(64, 2)), strict=True)), names(model)
    )
    before = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    with pytest.raises(CheckpointError, match="another width"):
        merge_lora(model, lora)
    assert all(torch.equal(tensor, before[name]) for name, tensor in model.state_dict().items())


@pytest.mark.parametrize("layout", LAYOUTS)
def test_adapters_are_never_silently_ignored(layout):
    pytest.importorskip("peft")
    adapted, merged = tiny_transformer(), tiny_transformer()
    state = dict(zip(LAYOUTS[layout], (DOWN, UP), strict=True))
    other = LAYOUTS[layout][0].replace("self_attn_q", "self_attn_k").replace("self_attn.q", "self_attn.k")
    other = other.replace("to_q", "to_k")
    state |= {other: DOWN[:1], other.replace("lora_A", "lora_B").replace("lora_down", "lora_up"): UP[:, :1]}
    merge_lora(merged, parse_lora(state, names(merged)))
    adapted.load_lora_adapter(state, prefix="transformer")
    assert sum("lora_A" in name for name, _ in adapted.named_parameters()) == 2
    with torch.no_grad():
        one, two = (m(**tiny_inputs(), return_dict=False)[0] for m in (adapted, merged))
    assert torch.allclose(one, two, atol=1e-5)


def test_an_adapter_cannot_change_norms():
    pytest.importorskip("peft")
    with pytest.raises(CheckpointError, match="merge it"):
        tiny_transformer().load_lora_adapter({"diffusion_model.blocks.1.norm3.diff": torch.ones(48)})


@pytest.mark.filterwarnings("ignore:Already found a")
def test_a_second_adapter_finds_its_layers():
    pytest.importorskip("peft")
    model = tiny_transformer()
    for layout in ("original", "kohya"):
        model.load_lora_adapter(dict(zip(LAYOUTS[layout], (DOWN, UP), strict=True)), adapter_name=layout)
    assert sum("lora_A" in name for name, _ in model.named_parameters()) == 2


def test_a_pipeline_takes_a_lora_and_gives_it_back():
    pytest.importorskip("peft")
    world = tiny_world()
    before = set(world.transformer.state_dict())
    world.load_lora_weights(dict(zip(LAYOUTS["kohya"], (DOWN, UP), strict=True)), adapter_name="fox")
    assert world.transformer.active_adapters() == ["fox"]
    world.unload_lora_weights()
    assert set(world.transformer.state_dict()) == before
    with pytest.raises(CheckpointError) as refused:
        world.load_lora_weights(dict(zip(LAYOUTS["kohya"], (DOWN[:, :32], UP), strict=True)))
    assert "\n" not in str(refused.value)
