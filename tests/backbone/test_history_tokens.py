"""Rendered memory as history: tokens at the target's own times, where memory knows the place, without weights."""

import pytest
import torch
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.utils.flop_counter import FlopCounterMode

from models import tiny_inputs, tiny_transformer
from outofsight.backbone.cost import forward_cost
from outofsight.backbone.history_tokens import history_tokens
from outofsight.backbone.rendered import NUM_MASKS
from outofsight.backbone.transformer import HydraTransformer3DModel
from outofsight.errors import InputError
from outofsight.memory.strategies import STRATEGIES, strategy
from outofsight.nn.cameras import intrinsics_from_fov
from outofsight.types import LatentGrid

CONTEXT, TARGET, HEIGHT, WIDTH = 4, 4, 8, 12
TOKENS = HEIGHT * WIDTH // 4
HISTORIES = [name for name in STRATEGIES if "history" in name]


def shown(known: float = 1.0, batch: int = 1) -> torch.Tensor:
    """Rendered latents, and as much of every place covered."""
    generator = torch.Generator().manual_seed(5)
    latents = torch.randn(batch, 16, TARGET, HEIGHT, WIDTH, generator=generator)
    return torch.cat((latents, torch.full((batch, NUM_MASKS, TARGET, HEIGHT, WIDTH), known)), dim=1)


def sample(model, given, **more):
    with torch.no_grad():
        return model(**given, **more)


def tokens_of(rendered):
    model, given = tiny_transformer(**strategy("history").settings), tiny_inputs(1, CONTEXT, TARGET)
    lens = intrinsics_from_fov(1.5, HEIGHT, WIDTH).expand(1, -1)
    with torch.no_grad():
        return model, history_tokens(model, rendered, given["target_cameras"], lens, CONTEXT)


def test_tokens_lie_at_the_coming_frames_own_places():
    model, reported = tokens_of(shown())
    assert reported.places.shape == (1, TARGET * TOKENS, 3)
    assert reported.places[0, 0].tolist() == [4, 0, 0]
    assert reported.places[0, TOKENS + 7].tolist() == [5, 1, 1]  # rows of 6 tokens
    with torch.no_grad():
        embedded = model.patch_embedding(shown()[:, :16])
    torch.testing.assert_close(reported.tokens[0, TOKENS + 7], embedded[0, :, 1, 1, 1])
    assert reported.known.all()


def test_what_memory_has_not_seen_is_dropped():
    rendered = shown(0.0)
    rendered[:, 16:20, 1, 2:4, 4:6] = 1.0  # the token in row 1 and column 2 of frame 1
    _, reported = tokens_of(rendered)
    assert reported.known[0].nonzero().tolist() == [[TOKENS + 6 + 2]]


@pytest.mark.parametrize("name", HISTORIES)
def test_nothing_known_changes_nothing_and_what_is_known_does(name):
    base = strategy(name).base
    plain, given = tiny_transformer(**strategy(base).settings), tiny_inputs(1, CONTEXT, TARGET)
    model = tiny_transformer(**strategy(base).settings)
    model.set_memory(name, strategy(name).settings)
    torch.testing.assert_close(sample(model, given).sample, sample(plain, given).sample)
    unseen = sample(model, given, rendered=shown(0.0)).sample
    torch.testing.assert_close(unseen, sample(plain, given).sample, rtol=1e-4, atol=1e-5)
    seen = sample(model, given, rendered=shown())
    assert not torch.allclose(seen.sample[:, :, CONTEXT:], unseen[:, :, CONTEXT:], rtol=1e-2)
    again = sample(model, given, rendered=shown(), bank_keys=seen.bank_keys).sample
    assert torch.equal(again, seen.sample)  # the keys serve every step


def test_banks_and_history_tokens_go_together():
    settings = {**strategy("hybrid").settings, "banks": {"shown": "history", "top_k": 2}}
    model, given = tiny_transformer(**settings, rendering={}), tiny_inputs(1, CONTEXT, TARGET)
    alone, both = sample(model, given).bank_keys, sample(model, given, rendered=shown()).bank_keys
    assert both.known.shape[1] > alone.known.shape[1]
    model.set_memory("channels", {"banks": {"top_k": 2}})
    assert sample(model, given, rendered=shown()).bank_keys.known.shape == alone.known.shape


def test_a_training_step_reaches_the_weights_that_make_the_tokens():
    model, given = tiny_transformer(**strategy("history").settings).train(), tiny_inputs(2, CONTEXT, TARGET)
    model.zero_grad()
    model(**given, rendered=shown(batch=2)).sample[:, :, CONTEXT:].square().mean().backward()
    assert model.blocks[0].attn1.to_k.weight.grad.abs().sum() > 0
    assert all(parameter.grad is None for parameter in model.two_banks.parameters())


@pytest.mark.parametrize("octaves", [0, 2])
def test_the_keys_cost_what_is_said(octaves):
    model = tiny_transformer(**strategy("history").settings, camera_ray_octaves=octaves)
    given = tiny_inputs(1, CONTEXT, TARGET)
    grid = LatentGrid(frames=CONTEXT + TARGET, height=HEIGHT // 2, width=WIDTH // 2, context_frames=CONTEXT)
    cost = forward_cost(model.config, grid, text_tokens=6)
    _, reported = tokens_of(shown())
    with FlopCounterMode(display=False) as counter, sdpa_kernel(SDPBackend.MATH), torch.no_grad():
        model.memory_keys(reported, given["encoder_hidden_states"])
    assert counter.get_total_flops() == cost.keys_flops
    assert cost.bank_keys_per_query == TARGET * TOKENS


def test_saved_and_loaded(tmp_path):
    model, given = tiny_transformer(), tiny_inputs(1, CONTEXT, TARGET)
    model.set_memory("hydra+history", strategy("hydra+history").settings)
    model.save_pretrained(tmp_path)
    again = HydraTransformer3DModel.from_pretrained(tmp_path)
    assert again.shows_history
    reported = {"rendered": shown()}
    torch.testing.assert_close(
        sample(again, given, **reported).sample, sample(model, given, **reported).sample
    )


def test_what_does_not_fit_is_refused():
    model, given = tiny_transformer(**strategy("history").settings), tiny_inputs(1, CONTEXT, TARGET)
    with pytest.raises(InputError, match="expected rendered memory"):
        sample(model, given, rendered=shown()[:, :, :2])
    plain = tiny_transformer()
    with pytest.raises(InputError, match="needs banks"):
        plain.set_memory("hybrid", strategy("hybrid").settings)
