"""Rendered memory in the transformer: nothing changes at first, all can be learned, each part is switchable."""

import pytest
import torch
from diffusers.models.transformers.transformer_wan import WanTransformer3DModel

from models import TINY_TRANSFORMER, tiny_inputs, tiny_transformer
from outofsight.backbone.rendered import LEAST_SIGMA, NUM_MASKS, RenderedMemory
from outofsight.backbone.transformer import HydraTransformer3DModel, is_memory_parameter
from outofsight.errors import InputError
from outofsight.memory.settings import RenderingSettings
from outofsight.memory.strategies import strategy
from outofsight.training.models import with_memory

CONTEXT, TARGET, HEIGHT, WIDTH = 4, 4, 8, 12
SMALL = {"archive_slots": 4, "subject_slots": 2, "top_k": 3, "reader_width": 8, "identity_width": 4}


def shown(batch: int = 1, frames: int = TARGET, seed: int = 5) -> torch.Tensor:
    """Rendered latents, then masks from 0 to 1."""
    generator = torch.Generator().manual_seed(seed)
    latents = torch.randn(batch, 16, frames, HEIGHT, WIDTH, generator=generator)
    masks = torch.rand(batch, NUM_MASKS, frames, HEIGHT, WIDTH, generator=generator)
    return torch.cat((latents, masks), dim=1)


def awake(model: HydraTransformer3DModel, seed: int = 3) -> HydraTransformer3DModel:
    """Give the parts that begin at zero weights that have an effect."""
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        memory = model.rendered_memory
        memory.embed.normal_(std=0.1, generator=generator)
        if memory.gate is not None:
            memory.gate.strength.fill_(0.7)
            memory.gate.told.weight.normal_(std=0.3, generator=generator)
    return model


@torch.no_grad()
def sample(model: HydraTransformer3DModel, given: dict, **more) -> torch.Tensor:
    return model(**given, **more).sample


@torch.no_grad()
@pytest.mark.parametrize("batch", [1, 2])
def test_at_first_nothing_changes_whatever_is_shown(batch):
    given = tiny_inputs(batch)
    plain, model = tiny_transformer(), tiny_transformer(rendering={})
    model.load_state_dict(plain.state_dict(), strict=False)
    expected = sample(plain, given)
    assert torch.equal(sample(model, given), expected)
    assert torch.equal(sample(model, given, rendered=shown(batch)), expected)
    assert set(model.state_dict()) - set(plain.state_dict()) == {
        name for name in model.state_dict() if name.startswith("rendered_memory.")
    }


@torch.no_grad()
def test_zeros_are_nothing_shown():
    given, model = tiny_inputs(), awake(tiny_transformer(rendering={}))
    assert torch.equal(sample(model, given, rendered=torch.zeros_like(shown())), sample(model, given))
    assert not torch.allclose(sample(model, given, rendered=shown()), sample(model, given), atol=1e-3)


@torch.no_grad()
def test_what_is_shown_belongs_to_its_own_frame_of_the_target():
    """Its tokens are the embedded sums of both, at the target's places alone."""
    model, given = awake(tiny_transformer(rendering={})), tiny_inputs()
    latents, rendered = given["hidden_states"], shown()
    tokens = model.patch_embedding(latents, rendered, model.rendered_memory.embed)
    more = tokens - model.patch_embedding(latents)
    assert torch.equal(more[:, :, :CONTEXT], torch.zeros_like(more[:, :, :CONTEXT]))
    expected = torch.einsum(
        "bcthiwj,dcij->bdthw",
        rendered[:, :, :].unflatten(3, (-1, 2)).unflatten(5, (-1, 2)),
        model.rendered_memory.embed[:, :, 0],
    )
    torch.testing.assert_close(more[:, :, CONTEXT:], expected, rtol=1e-4, atol=1e-4)


@torch.no_grad()
def test_clips_of_a_batch_do_not_meet():
    model, given, rendered = awake(tiny_transformer(rendering={})), tiny_inputs(2), shown(2)
    given["timestep"] = torch.tensor([700.0, 200.0])
    both = sample(model, given, rendered=rendered)
    for clip in range(2):
        one = {name: value[[clip]] for name, value in given.items()}
        torch.testing.assert_close(
            sample(model, one, rendered=rendered[[clip]]), both[[clip]], rtol=1e-4, atol=1e-4
        )


@torch.no_grad()
def test_a_context_that_is_chosen_from_is_no_matter():
    """A strategy that leaves context frames out shows the render to the same target frames."""
    window = {**strategy("window").settings, "context_recent": 2}
    model, given, rendered = awake(tiny_transformer(rendering={}, **window)), tiny_inputs(), shown()
    short = {
        **given,
        "hidden_states": given["hidden_states"][:, :, 2:],
        "context_cameras": given["context_cameras"][:, 2:],
    }
    whole = sample(model, given, rendered=rendered)[:, :, CONTEXT:]
    torch.testing.assert_close(sample(model, short, rendered=rendered)[:, :, 2:], whole, rtol=1e-4, atol=1e-4)


def test_gradients_reach_the_new_parts():
    model, given = tiny_transformer(rendering={}).train(), tiny_inputs()
    model(**given, rendered=shown()).sample[:, :, CONTEXT:].square().mean().backward()
    memory = model.rendered_memory
    assert memory.embed.grad.abs().sum() > 0
    assert memory.gate.strength.grad.abs() > 0
    memory.gate.strength.data.fill_(0.3)
    model(**given, rendered=shown()).sample[:, :, CONTEXT:].square().mean().backward()
    assert memory.gate.told.weight.grad.abs().sum() > 0
    assert memory.gate.strength.grad.abs() > 0


def test_gradients_reach_the_new_parts_with_checkpointing():
    grads = []
    for saves in (False, True):
        model = awake(tiny_transformer(rendering={})).train()
        if saves:
            model.enable_gradient_checkpointing()
        model(**tiny_inputs(), rendered=shown()).sample[:, :, CONTEXT:].square().mean().backward()
        grads.append(model.rendered_memory.embed.grad)
    torch.testing.assert_close(grads[1], grads[0], rtol=1e-4, atol=1e-6)


# The gate


@torch.no_grad()
@pytest.mark.parametrize("sigma", [0.9, 0.3, LEAST_SIGMA / 2])
def test_a_gate_of_one_leads_to_the_render_and_never_in_a_hole(sigma):
    memory = RenderedMemory(RenderingSettings(mask_width=0), 16, 48, (1, 2, 2))
    memory.gate.strength.fill_(1.0)
    memory.gate.told.bias.fill_(50.0)  # its sigmoid is 1
    rendered, noisy, velocity = (
        shown(),
        torch.randn(1, 16, TARGET, HEIGHT, WIDTH),
        torch.randn(1, 16, TARGET, HEIGHT, WIDTH),
    )
    rendered[:, 16:20, :, :, :6], rendered[:, 16:20, :, :, 6:] = 1, 0
    leaned = memory.lean(velocity, noisy, rendered, torch.tensor([sigma]))
    towards = (noisy - rendered[:, :16]) / max(sigma, LEAST_SIGMA)
    torch.testing.assert_close(leaned[..., :6], towards[..., :6], rtol=1e-4, atol=1e-4)
    assert torch.equal(leaned[..., 6:], velocity[..., 6:])
    if sigma > LEAST_SIGMA:  # a step along it to noise level 0 ends at the render
        torch.testing.assert_close(
            (noisy - sigma * leaned)[..., :6], rendered[:, :16, ..., :6], rtol=0, atol=1e-4
        )


@torch.no_grad()
def test_a_latent_pixel_that_is_half_covered_is_half_believed():
    memory = RenderedMemory(RenderingSettings(mask_width=0), 16, 48, (1, 2, 2))
    memory.gate.strength.fill_(1.0)
    memory.gate.told.bias.fill_(50.0)
    rendered = shown()
    rendered[:, 16:18], rendered[:, 18:20] = 1, 0  # two of four video frames
    share = memory.gate(torch.randn(1, 16, TARGET, HEIGHT, WIDTH), rendered, torch.tensor([0.5]))
    torch.testing.assert_close(share, torch.full_like(share, 0.5))


@torch.no_grad()
def test_every_clip_leans_by_its_own_noise_level():
    model, given = awake(tiny_transformer(rendering={})), tiny_inputs(2)
    calls = []
    model.rendered_memory.gate.register_forward_hook(lambda _module, seen, _out: calls.append(seen[2]))
    sample(model, {**given, "timestep": torch.tensor([250.0, 750.0])}, rendered=shown(2))
    torch.testing.assert_close(calls[0], torch.tensor([0.25, 0.75]))
    sample(model, {**given, "timestep": torch.tensor([500.0])}, rendered=shown(2))
    torch.testing.assert_close(calls[1], torch.tensor([0.5, 0.5]))


@torch.no_grad()
def test_the_context_never_leans():
    model, given = awake(tiny_transformer(rendering={"gate_width": 8})), tiny_inputs()
    with_gate = sample(model, given, rendered=shown())
    model.rendered_memory.gate.strength.zero_()
    without = sample(model, given, rendered=shown())
    assert torch.equal(with_gate[:, :, :CONTEXT], without[:, :, :CONTEXT])
    assert not torch.allclose(with_gate[:, :, CONTEXT:], without[:, :, CONTEXT:], atol=1e-3)


# Settings, files, precision


def test_parts_may_be_left_out():
    model = tiny_transformer(rendering={"gate_width": 0, "mask_width": 0})
    assert model.rendered_memory.gate is None
    assert model.rendered_memory.masks is None
    given = tiny_inputs()
    assert torch.equal(sample(model, given, rendered=shown()), sample(model, given))


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"rendering": {"gate_width": -1}}, "rendering: gate_width: .*, got -1"),
        ({"rendering": {"gate": 3}}, "gate"),
        ({"rendering": {"mask_width": "wide"}}, "mask_width"),
        ({"rendering": {}, "subject_mask": "true"}, "subject_mask='none'"),
        ({"rendering": {}, "frame_noise": "independent"}, "frame_noise='shared'"),
    ],
)
def test_impossible_settings_are_refused(changes, says):
    with pytest.raises(InputError, match=says) as caught:
        tiny_transformer(**changes)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    "wrong",
    [shown()[:, 1:], shown(frames=3), shown()[..., :-1], shown(2), shown()[0]],
    ids=["channels", "frames", "width", "batch", "dimensions"],
)
def test_shapes_that_do_not_fit_are_refused(wrong):
    model = tiny_transformer(rendering={})
    with pytest.raises(InputError, match=r"expected rendered memory \[1, 24, 4, 8, 12\]") as caught:
        sample(model, tiny_inputs(), rendered=wrong)
    assert "\n" not in str(caught.value)


def test_a_model_that_is_not_shown_anything_says_so():
    with pytest.raises(InputError, match="not shown rendered memory"):
        sample(tiny_transformer(), tiny_inputs(), rendered=shown())


def test_folders_carry_rendered_memory(tmp_path):
    model, given = awake(tiny_transformer(rendering={"gate_width": 8, "mask_width": 4})), tiny_inputs()
    model.save_pretrained(tmp_path)
    again = HydraTransformer3DModel.from_pretrained(tmp_path)
    assert dict(again.config["rendering"]) == {"gate_width": 8, "mask_width": 4}
    assert all(torch.equal(value, again.state_dict()[name]) for name, value in model.state_dict().items())
    # To rounding: products of matrices may round otherwise where weights lie otherwise in memory.
    torch.testing.assert_close(sample(again, given, rendered=shown()), sample(model, given, rendered=shown()))


def low(given: dict) -> dict:
    return {key: value.bfloat16() if "states" in key else value for key, value in given.items()}


def test_rendered_memory_stays_float32_beside_bfloat16(tmp_path):
    model, given = awake(tiny_transformer(rendering={})), tiny_inputs()
    expected = sample(model, given, rendered=shown())
    model.save_pretrained(tmp_path)
    loaded = HydraTransformer3DModel.from_pretrained(tmp_path, dtype=torch.bfloat16)
    for half in (loaded, model.to(torch.bfloat16)):
        assert half.patch_embedding.weight.dtype == torch.bfloat16
        assert {part.dtype for part in half.rendered_memory.parameters()} == {torch.float32}
        found = sample(half, low(given), rendered=shown())
        torch.testing.assert_close(found.float(), expected, rtol=0.1, atol=0.3)


@torch.no_grad()
def test_autocast_leaves_the_gate_alone():
    memory = awake(tiny_transformer(rendering={})).rendered_memory
    velocity, noisy = (torch.randn(1, 16, TARGET, HEIGHT, WIDTH) for _ in range(2))
    expected = memory.lean(velocity, noisy, shown(), torch.tensor([0.5]))
    with torch.autocast("cpu", dtype=torch.bfloat16):
        assert torch.equal(memory.lean(velocity, noisy, shown(), torch.tensor([0.5])), expected)


def test_a_plain_wan_model_may_be_shown_it():
    wan_size = {
        name: value
        for name, value in TINY_TRANSFORMER.items()
        if name not in ("memory_top_k", "local_window")
    }
    wan = WanTransformer3DModel(**wan_size)
    model = HydraTransformer3DModel.from_wan(wan, rendering={})
    assert torch.equal(model.patch_embedding.weight, wan.patch_embedding.weight)
    assert all(
        is_memory_parameter(name)
        for name, _ in model.named_parameters()
        if name.startswith("rendered_memory.")
    )


def test_the_size_of_wan_1_3b_fits():
    """Shapes alone, on the meta device: one of its 30 layers, pictures of 480×832."""
    with torch.device("meta"):
        model = HydraTransformer3DModel.from_config(
            {"num_layers": 1, "rendering": {"mask_width": 0}, **strategy("hybrid").settings}
        )
        given = {
            "hidden_states": torch.empty(1, 16, 2, 60, 104),
            "timestep": torch.empty(1),
            "encoder_hidden_states": torch.empty(1, 512, 4096),
            "context_cameras": torch.empty(1, 1, 12),
            "target_cameras": torch.empty(1, 1, 12),
        }
        out = model(**given, rendered=torch.empty(1, 24, 1, 60, 104))
    assert model.rendered_memory.embed.shape == (1536, 24, 1, 2, 2)
    assert out.sample.shape == (1, 16, 2, 60, 104)
    assert out.sample.is_meta
    added = sum(part.numel() for part in model.rendered_memory.parameters())
    assert added == 1536 * 24 * 4 + (41 * 9 + 1) * 32 + (32 * 9 + 1) * 32 + (32 + 1) * 16 + 1


# Strategies


def test_each_strategy_shows_its_own_share_of_memory_with_the_same_weights():
    settings = {**strategy("hybrid+hydra").settings, "banks": SMALL}
    model = tiny_transformer(rendering={}, memory_strategy="hybrid+hydra", **settings)
    weights = {name: value.clone() for name, value in model.state_dict().items()}
    reported = {}
    for name in ("hydra", "warp", "hybrid", "hybrid+hydra", "window", "hydra"):
        chosen = dict(strategy(name).settings)
        if chosen["banks"] is not None:
            chosen["banks"] = {**SMALL, **chosen["banks"]}
        model.set_memory(name, chosen)
        banks = model.two_banks.settings if model.has_banks else None
        reported[name] = (model.shows_rendered, None if banks is None else (banks.rendered, banks.top_k))
    assert reported == {
        "hydra": (False, None),
        "warp": (True, ("scenery", 0)),
        "hybrid": (True, ("all", 3)),
        "hybrid+hydra": (True, ("all", 3)),
        "window": (False, None),
    }
    assert all(torch.equal(value, weights[name]) for name, value in model.state_dict().items())
    model.set_memory("off", {"banks": {**SMALL, "rendered": "none"}})
    assert not model.shows_rendered
    with pytest.raises(InputError, match="rendered"):
        model.set_memory("odd", {"banks": {**SMALL, "rendered": "subjects"}})
    with pytest.raises(InputError, match="needs rendering="):
        model.set_memory("without", {"rendering": None})


def test_a_memory_of_which_the_model_would_see_nothing_is_refused():
    """Banks that give no tokens, of a model that takes no rendered channels in, would be the window alone."""
    model = tiny_transformer(memory_strategy="hybrid", **{**strategy("hybrid").settings, "banks": SMALL})
    warp = {**strategy("warp").settings, "banks": {**SMALL, **strategy("warp").settings["banks"]}}
    with pytest.raises(
        InputError, match=r"'warp' shows memory as rendered pictures .* task.memory.rendering={}"
    ):
        model.set_memory("warp", warp)
    with pytest.raises(InputError, match=r"'warp' shows memory as rendered pictures"):
        with_memory(model, "warp", warp, seed=1)
    assert model.config["memory_strategy"] == "hybrid"
    assert model.two_banks.settings.top_k == 3
    with_memory(model, "warp", {**warp, "rendering": {}}, seed=1)


@torch.no_grad()
def test_warp_makes_no_tokens_of_its_banks():
    given = tiny_inputs()
    settings = {**strategy("warp").settings, "banks": {**SMALL, **strategy("warp").settings["banks"]}}
    warp = tiny_transformer(rendering={}, memory_strategy="warp", **settings)
    window = tiny_transformer(memory_strategy="window", **strategy("window").settings)
    window.load_state_dict({k: v for k, v in warp.state_dict().items() if k in window.state_dict()})
    out = warp(**given)
    assert out.bank_keys is None
    assert torch.equal(out.sample, sample(window, given))
    banks, _ = warp.observe_context(given["hidden_states"][:, :, :CONTEXT], given["context_cameras"])
    retrieved = warp.retrieve_for(banks, given["target_cameras"], 17 + 4 * torch.arange(4.0)[None],
                         warp.picture_grid(given["hidden_states"]), CONTEXT)  # fmt: skip
    assert not retrieved.known.any()
    assert warp(**given, retrieved=retrieved).bank_keys is None
