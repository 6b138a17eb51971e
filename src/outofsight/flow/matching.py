"""Flow matching: the noise schedule, the straight path from a clean latent to noise, and moving along it.

Sigma 1 is pure noise, sigma 0 the clean latent; a time step is 1000 · sigma. Sigmas are 0-dimensional, [b], or anything
that broadcasts after trailing axes are added.
"""

import torch
from jaxtyping import Float, Int
from torch import Tensor

from outofsight.errors import InputError


def _like(sigma: Tensor | float, sample: Tensor) -> Tensor:
    """Give sigma [b] as many trailing axes as the sample has."""
    sigma = torch.as_tensor(sigma, dtype=sample.dtype, device=sample.device)
    return sigma.reshape(*sigma.shape, *[1] * (sample.ndim - sigma.ndim)) if sigma.ndim else sigma


def add_noise(clean: Tensor, noise: Tensor, sigma: Tensor | float) -> Tensor:
    """Return (1 − σ) · clean + σ · noise."""
    sigma = _like(sigma, clean)
    return (1 - sigma) * clean + sigma * noise


def velocity_target(clean: Tensor, noise: Tensor) -> Tensor:
    """Return what the model learns to predict: noise − clean."""
    return noise - clean


def euler_step(sample: Tensor, velocity: Tensor, sigma: Tensor | float, next_sigma: Tensor | float) -> Tensor:
    """Move from ``sigma`` to ``next_sigma`` along the predicted velocity."""
    return sample + velocity * (_like(next_sigma, sample) - _like(sigma, sample))


def clean_estimate(sample: Tensor, velocity: Tensor, sigma: Tensor | float) -> Tensor:
    """Return the clean latent that the predicted velocity points at."""
    return sample - velocity * _like(sigma, sample)


def guide(conditional: Tensor, unconditional: Tensor, scale: float) -> Tensor:
    """Apply classifier-free guidance: unconditional + scale · (conditional − unconditional)."""
    return unconditional + scale * (conditional - unconditional)


def target_loss(predicted: Tensor, target: Tensor, weight: Tensor | float, context_frames: int) -> Tensor:
    """Return the weighted mean squared error on the target frames of [b, c, f, h, w]; a scalar.

    ``weight``: a number, or one for each batch element [b].

    Source: the published training script; the context is clean in the input and bears no loss.
    """
    error = (predicted[:, :, context_frames:].float() - target[:, :, context_frames:].float()) ** 2
    weight = torch.as_tensor(weight, dtype=error.dtype, device=error.device)
    return (error.flatten(1).mean(dim=1) * weight).mean()


NUM_TRAIN_TIMESTEPS = 1000


def shift_sigmas(sigmas: Float[Tensor, " n"], shift: float) -> Float[Tensor, " n"]:
    """Move the schedule towards noise: shift · s / (1 + (shift − 1) · s). A shift of 1 changes nothing."""
    return shift * sigmas / (1 + (shift - 1) * sigmas)


def sampling_sigmas(
    num_inference_steps: int, shift: float = 5.0, start: float = 1.0
) -> Float[Tensor, " n_plus_1"]:
    """Return the sigmas between which the sampler steps, from noise to an appended 0.

    ``start``: the unshifted sigma of the first step (the published "denoising strength"); 1 is pure noise.

    Raises:
        InputError: fewer than one step, or a start outside (0, 1].
    """
    if num_inference_steps < 1 or not 0 < start <= 1 or shift <= 0:
        raise InputError(
            "a schedule needs ≥ 1 steps, 0 < start ≤ 1 and shift > 0; "
            f"got {num_inference_steps} steps, start {start}, shift {shift}"
        )
    return shift_sigmas(torch.linspace(start, 0.0, num_inference_steps + 1), shift)


def timesteps(sigmas: Float[Tensor, "..."]) -> Float[Tensor, "..."]:
    """Return the time steps that the model is given: 1000 · sigma."""
    return sigmas * NUM_TRAIN_TIMESTEPS


def frame_timesteps(
    timestep: Float[Tensor, " b"], num_context: int, num_target: int, context_timestep: float = 0.0
) -> Float[Tensor, "b f"]:
    """Give every frame its time step: the context's (0: clean), and the target's."""
    context = timestep.new_full((timestep.shape[0], num_context), context_timestep)
    return torch.cat((context, timestep[:, None].expand(-1, num_target)), dim=1)


def training_weights(train_timesteps: Float[Tensor, " n"]) -> Float[Tensor, " n"]:
    """Return the loss weight of each training time step: a Gaussian bump around 500 less its minimum, of mean 1.

    Source: the published training script (0 at the extremes, at most 2.08 for shift 5).
    """
    half = NUM_TRAIN_TIMESTEPS / 2
    bump = torch.exp(-2 * ((train_timesteps - half) / NUM_TRAIN_TIMESTEPS) ** 2)
    bump = bump - bump.min()
    return bump * (len(bump) / bump.sum())


def nearest_timestep(
    train_timesteps: Float[Tensor, " n"], timestep: Float[Tensor, " b"]
) -> Int[Tensor, " b"]:
    """Return the index of the training time step nearest to each given one.

    The published script rounds a time step to bfloat16 first, and then looks up sigma and weight like this.
    """
    return (train_timesteps[None] - timestep[:, None]).abs().argmin(dim=1)


def round_to_bf16(timestep: Tensor) -> Tensor:
    """Round as the published scripts do before the time embedding (multiples of 4 above 512); keep the dtype."""
    return timestep.to(torch.bfloat16).to(timestep.dtype)
