"""The model computes what the authors' code computes."""

from contextlib import contextmanager

import pytest
import torch

from golden import Golden, golden_path, hydra, load_golden, relative_difference, true_grid_latents
from outofsight.backbone.official import from_official
from outofsight.flow.matching import add_noise, target_loss, velocity_target

TOLERANCE = 2e-6
GRADIENT_TOLERANCE = 2e-6

CASES = [  # case, file with its weights, file with its inputs
    ("dit_A", "dit_A", "dit_A"),
    ("dit_A_topk2", "dit_A", "dit_A"),
    ("dit_A_topk5_overflow", "dit_A", "dit_A"),
    ("dit_B", "dit_B_weights", "dit_B"),
    ("dit_B_odd", "dit_B_odd", "dit_B_odd"),
    ("dit_B_oddframes", "dit_B_oddframes", "dit_B_oddframes"),
    ("dit_C", "dit_C_weights", "dit_C"),
]


def here(*names: str) -> bool:
    return all(golden_path(name) for name in names)


def present(*names: str) -> None:
    if not here(*names):
        pytest.skip(f"{names} are not in this checkout")


@contextmanager
def recorded(model):
    """Record what every self-attention receives and returns."""
    seen, handles = {}, []

    def keep(key, take):
        def hook(_module, inputs, output):
            seen[key] = take(inputs, output)

        return hook

    for index, block in enumerate(model.blocks):
        name, attn = f"block{index}", block.attn1
        for module, key, take in (
            (attn.to_q, "self_attn_in", lambda inputs, _: inputs[0]),
            (attn.to_out[1], "self_attn_out", lambda _, output: output),
            (attn.tokenizer.conv, "memory_tokens", lambda _, output: output),
            (block, "out", lambda _, output: output),
        ):
            handles.append(module.register_forward_hook(keep(f"{name}.{key}", take)))
    handles.append(model.patch_embedding.register_forward_hook(keep("patch_embed", lambda _, output: output)))
    yield seen
    for handle in handles:
        handle.remove()


def run(model, inputs: Golden, **changes):
    arguments = {
        "hidden_states": inputs.tensors.get("in.x"),
        "timestep": inputs["in.timestep"],
        "encoder_hidden_states": inputs.tensors.get("in.context"),
        "context_cameras": inputs["in.cam_emb_con"],
        "target_cameras": inputs["in.cam_emb_tgt"],
        **changes,
    }
    return model(**arguments, return_retrieval=True)


@pytest.mark.parametrize(("name", "weights", "inputs"), CASES)
@torch.no_grad()
def test_forward(name, weights, inputs):
    present(name, weights, inputs)
    case, given = load_golden(name), load_golden(inputs)
    model = hydra(case, load_golden(weights))
    with recorded(model) as seen:
        out = run(model, given)
    assert relative_difference(out.sample, case["out.model_output"]) <= TOLERANCE
    compared = [key for key in seen if key in case.tensors]
    assert (
        name != "dit_A" or len(compared) == 4 * len(model.blocks) + 1
    )  # the largest files are kept without these
    for key in compared:
        assert relative_difference(seen[key], case[key]) <= TOLERANCE, key


@pytest.mark.parametrize(("name", "weights", "inputs"), CASES)
@torch.no_grad()
def test_selections_are_identical(name, weights, inputs):
    present(name, weights, inputs)
    case = load_golden(name)
    retrieved = run(hydra(case, load_golden(weights)), load_golden(inputs)).retrieved_slices
    for layer in range(retrieved.shape[1]):
        expected = case[f"block{layer}.topk_indices"]
        # When top_k asks for more than is allowed, which masked slice fills up is left to the sort: compare the rest.
        allowed = case[f"block{layer}.similarity_masked"].gather(-1, expected) > -1e8
        for got, want, real in zip(
            retrieved[:, layer].flatten(0, 1), expected.flatten(0, 1), allowed.flatten(0, 1), strict=True
        ):
            assert set(want[real].tolist()) <= set(got.tolist())
            assert len(set(got.tolist())) == len(want)


@torch.no_grad()
def test_each_element_may_have_its_own_timestep():
    """The published head mixes the elements of a batch; ours equals the two right outputs."""
    present("dit_C", "dit_C_weights", "dit_C_timestep_per_element")
    case, given = load_golden("dit_C"), load_golden("dit_C_timestep_per_element")
    model = hydra(case, load_golden("dit_C_weights"))
    out = run(model, case, timestep=given["in.timestep_unequal"]).sample
    for index in range(2):
        expected = given[f"out.elem{index}_own_t"]
        assert relative_difference(out[index], expected[index if len(expected) > 1 else 0]) <= TOLERANCE


@pytest.mark.parametrize(
    ("name", "weights"),
    [("dit_A", "dit_A"), ("dit_B", "dit_B_weights"), ("dit_B_odd", "dit_B_odd")],
)
def test_training_loss_and_gradients(name, weights):
    present(name, weights)
    case = load_golden(name)
    model = hydra(case, load_golden(weights))
    latents, noise, sigma = case["train.latents"], case["train.noise"], case["train.sigma"]
    context = case.metadata["cfg"]["ctx"]
    noisy = add_noise(latents, noise, sigma)
    noisy[:, :, :context] = latents[:, :, :context]
    predicted = run(model, case, hidden_states=noisy, timestep=case["train.timestep"]).sample
    loss = target_loss(predicted, velocity_target(latents, noise), case["train.weight"], context)
    assert relative_difference(loss.detach().reshape(1), case["train.loss"]) <= TOLERANCE
    loss.backward()

    gradients = official_gradients(model)
    whole, heads, norms = case.under("grad."), case.under("grad_first8."), case.under("grad_norm.")
    assert whole or heads
    for key, expected in whole.items():
        assert relative_difference(gradients[key], expected) <= GRADIENT_TOLERANCE, key
    for key, expected in heads.items():
        assert relative_difference(gradients[key][:8], expected) <= GRADIENT_TOLERANCE, key
        assert (
            relative_difference(gradients[key].norm().reshape(1), norms[key].reshape(1)) <= GRADIENT_TOLERANCE
        ), key


def official_gradients(model):
    from outofsight.backbone.official import transformer_to_official  # noqa: PLC0415 - beside its one use

    with torch.no_grad():
        for parameter in model.parameters():
            parameter.data = parameter.grad
    return transformer_to_official(model)


@torch.no_grad()
def test_true_grid():
    """40 frames of 30 × 52 tokens, the published size."""
    case = load_golden("dit_D")
    model = hydra(case, case)
    model.attention_frames_per_chunk = 5
    latents = true_grid_latents()
    assert torch.equal(latents.flatten()[::40009], case["in.x_sample"])
    text = torch.zeros(1, 512, case["in.context_first100"].shape[-1])
    text[:, :100] = case["in.context_first100"]
    with recorded(model) as seen:
        out = run(model, case, hidden_states=latents, encoder_hidden_states=text)
    assert relative_difference(out.sample.flatten()[::97], case["out.model_output_strided"]) <= TOLERANCE
    memory = seen["block0.memory_tokens"].flatten()[::197]
    assert relative_difference(memory, case["block0.memory_tokens_flat_stride197"].flatten()) <= TOLERANCE
    expected = case["block0.topk_indices"].sort(dim=-1).values
    assert torch.equal(out.retrieved_slices[:, 0].sort(dim=-1).values, expected)


@torch.no_grad()
def test_without_memory_and_with_a_window_over_everything_it_is_plain_wan():
    case = load_golden("dit_plain_wan")
    cfg = case.metadata["cfg"]
    model = from_official(
        case.under("weights."),
        num_attention_heads=cfg["heads"],
        memory_top_k=0,
        local_window=cfg["f"],
        untrained_memory=True,
    ).eval()
    x = case["in.x"]
    cameras = torch.zeros(1, cfg["f"], 12)
    out = model(x, case["in.timestep"], case["in.context"], cameras[:, :2], cameras[:, 2:]).sample
    assert relative_difference(out, case["out.model_output"]) <= TOLERANCE
