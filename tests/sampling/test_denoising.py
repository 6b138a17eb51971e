"""The sampler, against the authors' loop step by step."""

import pytest
import torch
from diffusers import FlowMatchEulerDiscreteScheduler

from golden import hydra, load_golden, relative_difference
from models import tiny_inputs, tiny_transformer
from outofsight.errors import InputError
from outofsight.flow.matching import euler_step, sampling_sigmas, timesteps
from outofsight.sampling.continuation import SamplingSettings
from outofsight.sampling.denoising import Conditions, Watching, begin, denoise, euler, ready


@pytest.mark.parametrize(("name", "scale"), [("cfg5", 5.0), ("cfg1", 1.0)])
def test_every_step_is_the_published_one(name, scale):
    case = load_golden("sampler_6steps")
    model = hydra(case, load_golden("dit_A"))
    sigmas = sampling_sigmas(6)
    assert relative_difference(timesteps(sigmas[:-1]), case["timesteps"]) <= 1e-6
    conditions = Conditions(
        case["in.source_latents"],
        case["in.context_pos"],
        case["in.context_neg"],
        case["in.cam_emb_con"],
        case["in.cam_emb_tgt"],
    )
    after = []
    final, _ = denoise(
        model,
        case["in.noise"],
        conditions,
        euler(sigmas),
        scale,
        watching=Watching(on_step=lambda done, total, x: after.append((done, total, x))),
    )
    assert [(done, total) for done, total, _ in after] == [(step, 6) for step in range(1, 7)]
    for step, (_, _, latents) in enumerate(after):
        assert relative_difference(latents, case[f"{name}.latents_after_step{step}"]) <= 1e-5
    assert torch.equal(final, after[-1][2])


def test_retrieval_is_recorded_for_every_step_and_layer():
    inputs = tiny_inputs(context=5, target=3)
    conditions = Conditions(
        inputs["hidden_states"][:, :, :5],
        inputs["encoder_hidden_states"],
        torch.zeros_like(inputs["encoder_hidden_states"]),
        inputs["context_cameras"],
        inputs["target_cameras"],
    )
    model, noise = tiny_transformer(), inputs["hidden_states"][:, :, 5:]
    recorded, retrieved = denoise(
        model, noise, conditions, euler(sampling_sigmas(3)), 2.0, watching=Watching(record_retrieval=True)
    )
    assert retrieved.shape == (3, 1, 2, 8, 2)
    silent, nothing = denoise(model, noise, conditions, euler(sampling_sigmas(3)), 2.0)
    assert nothing is None
    assert torch.equal(recorded, silent)


@pytest.mark.parametrize(
    ("num_inference_steps", "shift", "strength"), [(50, 5.0, 1.0), (8, 3.0, 1.0), (7, 3.7, 0.6)]
)
def test_the_scheduler_steps_between_the_published_noise_levels_to_the_bit(
    num_inference_steps, shift, strength
):
    scheduler = ready(
        FlowMatchEulerDiscreteScheduler(shift=3.0), num_inference_steps, shift=shift, strength=strength
    )
    sigmas = sampling_sigmas(num_inference_steps, shift) * strength
    assert torch.equal(scheduler.sigmas, sigmas)
    assert torch.equal(scheduler.timesteps, timesteps(sigmas[:-1]))
    sample, velocity = torch.randn(2, 1, 16, 3, 4, 6, generator=torch.Generator().manual_seed(0))
    for step, timestep in enumerate(scheduler.timesteps):
        expected = euler_step(sample, velocity, sigmas[step], sigmas[step + 1])
        sample = scheduler.step(velocity, timestep, sample, return_dict=False)[0]
        assert torch.equal(sample, expected)


NOISE = torch.randn(1, 16, 2, 4, 6, generator=torch.Generator().manual_seed(0))
RENDERED = torch.randn(1, 24, 2, 4, 6, generator=torch.Generator().manual_seed(1))


@pytest.mark.parametrize(("rendered", "strength"), [(RENDERED, 1.0), (None, 0.5), (None, 1.0)])
def test_without_a_render_or_at_full_strength_it_is_noise_alone(rendered, strength):
    assert begin(NOISE, rendered, strength) is NOISE


def test_below_it_is_the_render_noised_to_the_first_level():
    start = begin(NOISE, RENDERED, 0.6)
    sigmas = ready(FlowMatchEulerDiscreteScheduler(shift=5.0), 4, strength=0.6).sigmas
    torch.testing.assert_close(start, 0.4 * RENDERED[:, :16] + 0.6 * NOISE)
    torch.testing.assert_close(sigmas, 0.6 * sampling_sigmas(4, 5.0))
    assert sigmas[0] == pytest.approx(0.6)
    assert sigmas[-1] == 0
    # A velocity that leads to the render ends there.
    towards = (start - RENDERED[:, :16]) / sigmas[0]
    torch.testing.assert_close(start - sigmas[0] * towards, RENDERED[:, :16], rtol=0, atol=1e-5)


@pytest.mark.parametrize("strength", [0.0, -0.1, 1.2])
def test_impossible_strengths_are_refused(strength):
    with pytest.raises(InputError, match=r"strength: expected (greater|less) than"):
        SamplingSettings(strength=strength)
