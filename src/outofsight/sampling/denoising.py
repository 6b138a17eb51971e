"""From noise to target latents, by Euler steps along the predicted flow."""

from collections.abc import Callable
from typing import NamedTuple

import torch
from jaxtyping import Float, Int
from torch import Tensor

from outofsight.backbone.transformer import HydraTransformer3DModel, HydraTransformerOutput
from outofsight.errors import InputError
from outofsight.flow.matching import euler_step, guide
from outofsight.flow.schedule import NUM_TRAIN_TIMESTEPS, frame_timesteps, timesteps

OnStep = Callable[[int, int, Float[Tensor, "b channels t h w"]], None]
"""Called after each step with the number of steps done, their total and the target latents."""


class Conditions(NamedTuple):
    """What a continuation is conditioned on. ``negative_text`` is needed for guidance other than 1.

    ``subject_masks``: where the model asks for them. ``history_noise``: what stands for no context, needed for history
    guidance other than 1.
    """

    context_latents: Float[Tensor, "b channels c h w"]
    text: Float[Tensor, "b l text_dim"]
    negative_text: Float[Tensor, "b l text_dim"] | None
    context_cameras: Float[Tensor, "b c 12"]
    target_cameras: Float[Tensor, "b t 12"]
    subject_masks: Float[Tensor, "b s frames h w"] | None = None
    history_noise: Float[Tensor, "b channels c h w"] | None = None


@torch.no_grad()
def denoise(
    transformer: HydraTransformer3DModel,
    noise: Float[Tensor, "b channels t h w"],
    conditions: Conditions,
    sigmas: Float[Tensor, " steps_plus_1"],
    guidance_scale: float = 1.0,
    history_guidance: float = 1.0,
    *,
    on_step: OnStep | None = None,
    record_retrieval: bool = False,
) -> tuple[Float[Tensor, "b channels t h w"], Int[Tensor, "steps b layers f k"] | None]:
    """Return the target latents, and what each frame retrieved in each step and layer, if asked for.

    Latents stay float32; the transformer computes in its own dtype. Clean context latents go in front in every
    step. With ``guidance_scale`` and ``history_guidance`` 1 the transformer runs once a step. Retrieval is recorded
    with the caption.

    Source of history guidance: History-Guided Video Diffusion, arXiv 2502.06764: v(∅) + w · (v(history) − v(∅)), where
    a history of pure noise stands for none.

    Raises:
        InputError: history guidance of a model that was not trained with a noise level for each frame.
    """
    if history_guidance != 1 and not transformer.has_frame_noise:
        raise InputError(
            f"history guidance {history_guidance:g} needs a model trained with a noise level for each frame "
            "(strategy dfot); leave it at 1"
        )
    latents, retrieved = noise.float(), []
    num_steps = len(sigmas) - 1
    for step in range(num_steps):
        out = _predict(transformer, latents, sigmas[step], conditions, conditions.text, record_retrieval)
        velocity = _target_velocity(out, conditions)
        if out.retrieved_slices is not None:
            retrieved.append(out.retrieved_slices.cpu())
        if guidance_scale != 1:
            assert conditions.negative_text is not None
            away = _predict(transformer, latents, sigmas[step], conditions, conditions.negative_text)
            captioned, velocity = (
                velocity,
                guide(velocity, _target_velocity(away, conditions), guidance_scale),
            )
        else:
            captioned = velocity
        if history_guidance != 1:
            forgetful = _predict(
                transformer, latents, sigmas[step], conditions, conditions.text, forget_history=True
            )
            pull = captioned - _target_velocity(forgetful, conditions)
            velocity = velocity + (history_guidance - 1) * pull
        latents = euler_step(latents, velocity, sigmas[step], sigmas[step + 1])
        if on_step is not None:
            on_step(step + 1, num_steps, latents)
    return latents, torch.stack(retrieved) if retrieved else None


def _predict(
    transformer: HydraTransformer3DModel,
    latents: Float[Tensor, "b channels t h w"],
    sigma: Float[Tensor, ""],
    conditions: Conditions,
    text: Float[Tensor, "b l text_dim"],
    record_retrieval: bool = False,
    *,
    forget_history: bool = False,
) -> HydraTransformerOutput:
    """Run the transformer on the clean context, or on noise in its place, followed by the noisy target."""
    context, timestep = (
        conditions.context_latents,
        timesteps(sigma).to(latents.device, torch.float32).reshape(1),
    )
    if transformer.has_frame_noise:
        level = NUM_TRAIN_TIMESTEPS if forget_history else 0
        each = timestep.expand(len(latents))
        timestep = frame_timesteps(each, context.shape[2], latents.shape[2], level)
    if forget_history:
        assert conditions.history_noise is not None
        context = conditions.history_noise
    return transformer(
        torch.cat((context, latents), dim=2).to(transformer.dtype),
        timestep,
        text.to(transformer.dtype),
        conditions.context_cameras,
        conditions.target_cameras,
        subject_masks=conditions.subject_masks,
        return_retrieval=record_retrieval,
    )


def _target_velocity(
    out: HydraTransformerOutput, conditions: Conditions
) -> Float[Tensor, "b channels t h w"]:
    return out.sample[:, :, conditions.context_latents.shape[2] :].float()
