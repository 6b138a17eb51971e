"""The schedule and the step, against the authors' scheduler."""

from itertools import pairwise

import pytest
import torch

from golden import load_golden, relative_difference
from outofsight.errors import InputError
from outofsight.flow.matching import (
    add_noise,
    clean_estimate,
    euler_step,
    guide,
    nearest_timestep,
    round_to_bf16,
    sampling_sigmas,
    target_loss,
    timesteps,
    training_weights,
    velocity_target,
)

EXACT = 1e-6


@pytest.fixture(scope="module")
def golden():
    return load_golden("scheduler")


@pytest.mark.parametrize("steps", [50, 20, 4])
def test_sampling_schedule(golden, steps):
    sigmas = sampling_sigmas(steps)
    assert sigmas[-1] == 0
    assert relative_difference(sigmas[:-1], golden[f"infer{steps}.sigmas"]) <= EXACT
    assert relative_difference(timesteps(sigmas[:-1]), golden[f"infer{steps}.timesteps"]) <= EXACT


def test_schedule_that_starts_below_pure_noise(golden):
    expected = golden["infer50_ds0.6.timesteps"]
    assert relative_difference(timesteps(sampling_sigmas(50, start=0.6)[:-1]), expected) <= EXACT


def test_noise_and_steps(golden):
    sample, noise, sigmas = golden["in.sample"], golden["in.noise"], sampling_sigmas(50)
    for step in (0, 13, 49):
        assert (
            relative_difference(
                add_noise(sample, noise, sigmas[step]), golden[f"infer50.add_noise.step{step}"]
            )
            <= EXACT
        )
        moved = euler_step(sample, noise, sigmas[step], sigmas[step + 1])
        assert relative_difference(moved, golden[f"infer50.step.step{step}"]) <= EXACT
    assert relative_difference(velocity_target(sample, noise), golden["training_target"]) <= EXACT


def test_whole_trajectory(golden):
    latents, sigmas = golden["in.noise"], sampling_sigmas(50)
    for sigma, next_sigma in pairwise(sigmas):
        latents = euler_step(latents, 0.3 * latents + 0.1 * golden["in.sample"], sigma, next_sigma)
    assert relative_difference(latents, golden["infer50.trajectory_end"]) <= EXACT


def test_training_schedule_and_weights(golden):
    train = timesteps(sampling_sigmas(1000)[:-1])
    assert relative_difference(train, golden["train1000.timesteps"]) <= EXACT
    weights = training_weights(train)
    assert (
        relative_difference(weights, golden["train1000.weights"]) <= 1e-5
    )  # small differences of near numbers
    assert weights.mean() == pytest.approx(1, abs=1e-4)
    rounded = round_to_bf16(golden["train1000.timesteps"])
    assert torch.equal(rounded, golden["train1000.bf16_timesteps_as_f32"])
    assert torch.equal(
        nearest_timestep(golden["train1000.timesteps"], rounded), golden["train1000.bf16_resolved_id"]
    )


def test_the_clean_estimate_undoes_the_noise():
    clean, noise = torch.randn(2, 3, generator=torch.Generator().manual_seed(0)), torch.ones(2, 3)
    sigma = torch.tensor([0.3, 0.9])
    noisy = add_noise(clean, noise, sigma)
    torch.testing.assert_close(clean_estimate(noisy, velocity_target(clean, noise), sigma), clean)


def test_guidance_of_one_is_the_conditional_prediction():
    conditional, unconditional = torch.tensor([3.0]), torch.tensor([1.0])
    assert guide(conditional, unconditional, 1.0) == conditional
    assert guide(conditional, unconditional, 5.0) == 11


def test_loss_counts_target_frames_alone():
    predicted, target = torch.zeros(2, 1, 3, 1, 1), torch.zeros(2, 1, 3, 1, 1)
    predicted[:, :, 0] = 100
    predicted[1, :, 2] = 2  # mean squared error of element 1 over its two target frames: 2
    assert target_loss(predicted, target, 1.0, context_frames=1) == 1
    assert target_loss(predicted, target, torch.tensor([9.0, 3.0]), context_frames=1) == 3


@pytest.mark.parametrize(
    "bad",
    [
        {"num_inference_steps": 0},
        {"num_inference_steps": 4, "start": 0.0},
        {"num_inference_steps": 4, "shift": 0.0},
    ],
)
def test_impossible_schedules_are_refused(bad):
    with pytest.raises(InputError, match="a schedule needs"):
        sampling_sigmas(**bad)
