"""The straight path between a clean latent and noise, and moving along it.

Sigmas are 0-dimensional, [b], or anything that broadcasts after trailing axes are added.
"""

import torch
from torch import Tensor


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


def velocity_between(sample: Tensor, clean: Tensor, sigma: Tensor | float) -> Tensor:
    """Return the velocity that leads from ``clean`` at σ = 0 to ``sample`` at ``sigma``."""
    return (sample - clean) / _like(sigma, sample)


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
