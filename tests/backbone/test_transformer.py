"""The model as its users handle it: any split and grid, saving, training aids, refusals."""

import json
from typing import get_args

import pytest
import torch
from accelerate import cpu_offload
from diffusers import WanTransformer3DModel
from diffusers.models.transformers.transformer_wan import WanAttnProcessor

from models import TINY_TRANSFORMER, tiny_inputs, tiny_transformer
from outofsight.backbone.attention import HydraAttnProcessor
from outofsight.backbone.official import transformer_to_official
from outofsight.backbone.transformer import HydraTransformer3DModel, is_memory_parameter
from outofsight.errors import CheckpointError, InputError
from outofsight.memory.selectors import Affinity
from reference import retrieval as plain


@pytest.fixture
def model():
    return tiny_transformer()


@pytest.mark.parametrize("split", [(4, 4), (1, 7), (5, 2), (3, 6), (0, 4), (4, 0)])
@pytest.mark.parametrize("size", [(8, 12), (6, 4), (10, 14)])
@torch.no_grad()
def test_any_split_and_grid(model, split, size):
    inputs = tiny_inputs(1, *split, *size)
    assert model(**inputs).sample.shape == inputs["hidden_states"].shape


@pytest.mark.parametrize("affinity", get_args(Affinity))
@pytest.mark.parametrize("source", ["all", "context"])
@pytest.mark.parametrize("kernel", [(2, 2, 2), (1, 2, 2), (2, 1, 1), (3, 2, 3)])
@torch.no_grad()
def test_every_memory_setting_runs_and_stays_in_its_source(affinity, source, kernel):
    model = tiny_transformer(memory_affinity=affinity, memory_source=source, memory_kernel=kernel)
    out = model(**tiny_inputs(batch=2, context=6, target=3), return_retrieval=True)
    slices = out.retrieved_slices
    available = (6 if source == "context" else 9) // kernel[0]
    assert slices.shape == (2, 2, 9, available if affinity == "all" else min(2, available))
    assert slices.min() >= 0
    assert slices.max() < available


@torch.no_grad()
def test_retrieved_slices_avoid_the_window(model):
    retrieved = model(**tiny_inputs(), return_retrieval=True).retrieved_slices
    for frame in range(8):
        assert set(retrieved[0, :, frame].flatten().tolist()) <= set(plain.allowed_slices(frame, 8, 3, 4, 2))


@torch.no_grad()
def test_fov_overlap_chooses_the_same_in_every_layer():
    model = tiny_transformer(memory_affinity="fov_overlap")
    inputs = tiny_inputs()
    for half in ("context_cameras", "target_cameras"):
        inputs[half] = torch.eye(3, 4).flatten().repeat(1, 4, 1)
    retrieved = model(**inputs, return_retrieval=True).retrieved_slices
    assert torch.equal(retrieved[:, 0], retrieved[:, 1])


@torch.no_grad()
def test_rays_add_nothing_before_they_are_learned_and_tell_places_in_a_frame_apart_after():
    inputs = tiny_inputs()
    plain_model, model = tiny_transformer(), tiny_transformer(camera_ray_octaves=3)
    missing, unexpected = model.load_state_dict(plain_model.state_dict(), strict=False)
    assert missing
    assert all(".ray_encoder." in name and is_memory_parameter(name) for name in missing)
    assert not unexpected
    assert torch.equal(model(**inputs).sample, plain_model(**inputs).sample)
    for block in model.blocks:
        torch.nn.init.normal_(block.attn1.ray_encoder.weight, std=0.2)
    narrow = tiny_transformer(camera_ray_octaves=3, camera_fov_x_deg=40.0)
    narrow.load_state_dict(model.state_dict())
    assert not torch.allclose(model(**inputs).sample, plain_model(**inputs).sample)
    assert not torch.allclose(model(**inputs).sample, narrow(**inputs).sample)


def test_a_model_that_reads_rays_has_no_official_form():
    with pytest.raises(CheckpointError, match="camera_ray_octaves"):
        transformer_to_official(tiny_transformer(camera_ray_octaves=1))


@torch.no_grad()
def test_context_memory_does_not_see_the_target():
    """A context frame far from the border changes with the noise when memory holds the target, and only then."""
    inputs = tiny_inputs(context=8, target=4)
    other = {**inputs, "hidden_states": inputs["hidden_states"].clone()}
    other["hidden_states"][:, :, -1] += 1
    for source, changes in (("all", True), ("context", False)):
        model = tiny_transformer(memory_source=source, num_layers=1, memory_affinity="all")
        first = [model(**each).sample[:, :, 0] for each in (inputs, other)]
        assert (not torch.equal(*first)) == changes


@torch.no_grad()
def test_chunks_change_nothing(model):
    inputs = tiny_inputs(batch=2)
    whole = model(**inputs).sample
    model.attention_frames_per_chunk = 3
    torch.testing.assert_close(model(**inputs).sample, whole, rtol=1e-5, atol=1e-6)


@torch.no_grad()
def test_a_batch_equals_its_elements(model):
    inputs = tiny_inputs(batch=3)
    inputs["timestep"] = torch.tensor([900.0, 500.0, 20.0])
    together = model(**inputs).sample
    for index in range(3):
        alone = model(**{key: value[index : index + 1] for key, value in inputs.items()}).sample
        torch.testing.assert_close(together[index : index + 1], alone, rtol=1e-4, atol=1e-5)


@torch.no_grad()
def test_a_timestep_for_each_frame(model):
    inputs = tiny_inputs(batch=2)
    once = model(**inputs).sample
    per_frame = {**inputs, "timestep": inputs["timestep"][:, None].expand(2, 8)}
    torch.testing.assert_close(model(**per_frame).sample, once, rtol=1e-5, atol=1e-6)
    per_frame["timestep"] = per_frame["timestep"].clone()
    per_frame["timestep"][:, :4] = 0  # a clean context
    assert not torch.allclose(model(**per_frame).sample, once, atol=1e-3)


@torch.no_grad()
def test_bf16_rounding_of_the_timestep():
    inputs = tiny_inputs()
    rounded, exact = tiny_transformer(round_timestep_to_bf16=True), tiny_transformer()
    inputs["timestep"] = torch.tensor([701.0])  # between 700 and 704
    assert not torch.equal(rounded(**inputs).sample, exact(**inputs).sample)
    assert torch.equal(
        rounded(**inputs).sample, exact(**{**inputs, "timestep": torch.tensor([700.0])}).sample
    )


def test_save_and_load(model, tmp_path):
    model.save_pretrained(tmp_path)
    assert json.loads((tmp_path / "config.json").read_text())["memory_top_k"] == 2
    loaded = HydraTransformer3DModel.from_pretrained(tmp_path)
    assert loaded.memory_settings == model.memory_settings
    with torch.no_grad():
        assert torch.equal(loaded(**tiny_inputs()).sample, model(**tiny_inputs()).sample)


def test_gradient_checkpointing_gives_the_same_gradients(model):
    inputs = tiny_inputs()

    def gradients():
        model.zero_grad()
        model(**inputs).sample[:, :, 4:].square().mean().backward()
        return {name: parameter.grad.clone() for name, parameter in model.named_parameters()}

    plain_gradients = gradients()
    model.train()
    model.enable_gradient_checkpointing()
    for name, gradient in gradients().items():
        torch.testing.assert_close(gradient, plain_gradients[name], rtol=1e-4, atol=1e-7)


def test_lora_trains_its_own_weights_alone(model):
    peft = pytest.importorskip("peft")
    inputs = tiny_inputs()
    with torch.no_grad():
        before = model(**inputs).sample
    model.requires_grad_(False)
    model.add_adapter(
        peft.LoraConfig(r=2, target_modules=["attn1.to_q", "attn1.to_k", "attn1.to_v", "attn1.to_out.0"])
    )
    after = model(**inputs).sample
    torch.testing.assert_close(after, before)  # LoRA starts at nothing
    after.square().mean().backward()
    trained = {name for name, parameter in model.named_parameters() if parameter.grad is not None}
    assert len(trained) == 2 * 4 * 2  # layers × projections × (A, B)
    assert all("lora_" in name for name in trained)


@torch.no_grad()
def test_offload_hooks_carry_the_cameras(model):
    inputs = tiny_inputs()
    expected = model(**inputs).sample
    cpu_offload(model, execution_device=torch.device("cpu"))
    assert next(model.parameters()).device.type == "meta"  # weights lie elsewhere between calls
    assert torch.equal(model(**inputs).sample, expected)


@torch.no_grad()
def test_fused_projections_compute_the_same(model):
    expected = model(**tiny_inputs()).sample
    for block in model.blocks:
        block.attn1.fuse_projections()
    torch.testing.assert_close(model(**tiny_inputs()).sample, expected)


@torch.no_grad()
def test_a_chosen_attention_backend_is_used(model):
    expected = model(**tiny_inputs()).sample
    try:
        model.set_attention_backend("_native_math")
        assert model.blocks[0].attn1.processor._attention_backend is not None
        torch.testing.assert_close(model(**tiny_inputs()).sample, expected, rtol=1e-4, atol=1e-5)
    finally:
        model.set_attention_backend("native")  # diffusers keeps the choice for the whole process


@torch.no_grad()
def test_compiles_as_one_graph(model):
    expected = model(**tiny_inputs()).sample
    compiled = torch.compile(model, backend="eager", fullgraph=True)  # raises where the graph would break
    torch.testing.assert_close(compiled(**tiny_inputs()).sample, expected)


def test_a_processor_that_would_drop_the_memory_is_refused(model):
    before = dict(model.attn_processors)
    mixed = {**before, "blocks.1.attn1.processor": WanAttnProcessor()}
    for processor in (WanAttnProcessor(), mixed):
        with pytest.raises(InputError, match="silently drop HyDRA's memory"):
            model.set_attn_processor(processor)
        assert model.attn_processors == before
    with pytest.raises(InputError, match="silently drop"):
        model.blocks[0].attn1.set_processor(WanAttnProcessor())


def test_a_processor_that_remembers_is_accepted(model):
    class Counting(HydraAttnProcessor):
        calls = 0

        def __call__(self, *args, **kwargs):
            Counting.calls += 1
            return super().__call__(*args, **kwargs)

    chosen = {
        name: Counting() if ".attn1." in name else processor
        for name, processor in model.attn_processors.items()
    }
    model.set_attn_processor(chosen)
    with torch.no_grad():
        model(**tiny_inputs())
    assert Counting.calls == 2


def test_starting_from_wan_changes_nothing_but_the_reach():
    """With a fresh memory, cameras add nothing and the projector is the identity."""
    torch.manual_seed(0)
    config = {
        key: value for key, value in TINY_TRANSFORMER.items() if key not in ("memory_top_k", "local_window")
    }
    wan = WanTransformer3DModel(**config).eval()
    model = HydraTransformer3DModel.from_wan(wan, memory_top_k=0, local_window=99).eval()
    inputs = tiny_inputs()
    with torch.no_grad():
        expected = wan(inputs["hidden_states"], inputs["timestep"], inputs["encoder_hidden_states"]).sample
        torch.testing.assert_close(model(**inputs).sample, expected, rtol=1e-4, atol=1e-4)
    own = {name for name, _ in model.named_parameters() if is_memory_parameter(name)}
    assert len(own) == 2 * 8


def test_image_to_video_wan_is_refused():
    wan = WanTransformer3DModel(**{**TINY_WAN, "in_channels": 36, "image_dim": 8, "added_kv_proj_dim": 48})
    with pytest.raises(InputError, match="image-to-video"):
        HydraTransformer3DModel.from_wan(wan)


TINY_WAN = {
    key: value for key, value in TINY_TRANSFORMER.items() if key not in ("memory_top_k", "local_window")
}


def change(**changes):
    return {**tiny_inputs(), **changes}


@pytest.mark.parametrize(
    ("inputs", "says"),
    [
        (change(context_cameras=None), "context_cameras"),
        (change(context_cameras=torch.zeros(1, 3, 12)), "3 context and 4 target cameras"),
        (change(target_cameras=torch.zeros(1, 4, 16)), r"expected target_cameras \[1, frames, 12\]"),
        (change(hidden_states=torch.zeros(1, 8, 8, 8, 12)), "expected latents"),
        (change(hidden_states=torch.zeros(1, 16, 8, 7, 12)), "divisible by the patch"),
        (change(timestep=torch.zeros(3)), "expected a timestep"),
    ],
)
def test_inputs_that_do_not_fit_are_refused(model, inputs, says):
    with pytest.raises(InputError, match=says):
        model(**inputs)


def test_one_context_frame_holds_no_memory_of_two():
    with pytest.raises(InputError, match="a memory token covers 2 frames"):
        tiny_transformer(memory_source="context")(**tiny_inputs(context=1, target=4))


@pytest.mark.parametrize(
    "bad", [{"memory_top_k": -1}, {"memory_affinity": "magic"}, {"memory_kernel": (0, 2, 2)}]
)
def test_impossible_memory_is_refused(bad):
    with pytest.raises(InputError, match=r"^memory_(top_k|affinity|kernel)") as caught:
        tiny_transformer(**bad)
    assert "\n" not in str(caught.value)
