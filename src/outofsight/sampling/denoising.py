"""From noise to target latents, by Euler steps along the predicted flow."""

from collections.abc import Callable, Mapping
from typing import NamedTuple

import torch
from jaxtyping import Float, Int
from torch import Tensor

from outofsight.backbone.attention import BankKeys
from outofsight.backbone.transformer import HydraTransformer3DModel, HydraTransformerOutput
from outofsight.errors import InputError
from outofsight.flow.matching import euler_step, guide
from outofsight.flow.schedule import NUM_TRAIN_TIMESTEPS, frame_timesteps, timesteps
from outofsight.memory.banks.state import Recall

OnStep = Callable[[int, int, Float[Tensor, "b channels t h w"]], None]
"""Called after each step with the number of steps done, their total and the target latents."""


class Conditions(NamedTuple):
    """What a continuation is conditioned on. ``negative_text`` is needed for guidance other than 1.

    ``intrinsics``: normalised; ``None``: as the model is configured. ``subject_masks``: where the model asks for them.
    ``history_noise``: what stands for no context, needed for history guidance other than 1. ``recall``: what the two
    banks recall for the target; ``None``: a model that has banks lets them see the context. ``bank_keys``: what that is
    to the layers, where it is made already: for the caption (``captioned``), and for no caption (``uncaptioned``).
    """

    context_latents: Float[Tensor, "b channels c h w"]
    text: Float[Tensor, "b l text_dim"]
    negative_text: Float[Tensor, "b l text_dim"] | None
    context_cameras: Float[Tensor, "b c 12"]
    target_cameras: Float[Tensor, "b t 12"]
    intrinsics: Float[Tensor, "b 4"] | None = None
    subject_masks: Float[Tensor, "b s frames h w"] | None = None
    history_noise: Float[Tensor, "b channels c h w"] | None = None
    recall: Recall | None = None
    bank_keys: Mapping[str, BankKeys] | None = None
    rendered: Float[Tensor, "b n t h w"] | None = None


def begin(
    noise: Float[Tensor, "b channels t h w"],
    rendered: Float[Tensor, "b n t h w"] | None,
    sigmas: Float[Tensor, " steps_plus_1"],
    strength: float,
) -> tuple[Float[Tensor, "b channels t h w"], Float[Tensor, " steps_plus_1"]]:
    """Return what denoising begins from, and its noise levels: noise alone, or the render noised to ``strength``.

    Source: SDEdit (arXiv 2108.01073), the "denoising strength" of image-to-image sampling.
    """
    if rendered is None or strength >= 1:
        return noise, sigmas
    picture = rendered[:, : noise.shape[1]].to(noise)
    return (1 - strength) * picture + strength * noise, sigmas * strength


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
    asking = _Asking(transformer, conditions)
    for step in range(num_steps):
        out = asking.captioned(latents, sigmas[step], record_retrieval)
        velocity = captioned = _target_velocity(out, conditions)
        if out.retrieved_slices is not None:
            retrieved.append(out.retrieved_slices.cpu())
        if guidance_scale != 1:
            away = _target_velocity(asking.uncaptioned(latents, sigmas[step]), conditions)
            velocity = guide(velocity, away, guidance_scale)
        if history_guidance != 1:
            pull = captioned - _target_velocity(asking.forgetful(latents, sigmas[step]), conditions)
            velocity = velocity + (history_guidance - 1) * pull
        latents = euler_step(latents, velocity, sigmas[step], sigmas[step + 1])
        if on_step is not None:
            on_step(step + 1, num_steps, latents)
    return latents, torch.stack(retrieved) if retrieved else None


class _Asking:
    """The transformer, asked with a caption, without, and without the context. What the two banks are to its layers is
    made in the first step, for each caption, and kept."""

    def __init__(self, transformer: HydraTransformer3DModel, conditions: Conditions) -> None:
        self.transformer, self.conditions = transformer, conditions
        self.kept: dict[str, BankKeys] = dict(conditions.bank_keys or {})

    def captioned(self, latents: Tensor, sigma: Tensor, record_retrieval: bool) -> HydraTransformerOutput:
        return self._ask("captioned", latents, sigma, self.conditions.text, record_retrieval)

    def uncaptioned(self, latents: Tensor, sigma: Tensor) -> HydraTransformerOutput:
        assert self.conditions.negative_text is not None
        return self._ask("uncaptioned", latents, sigma, self.conditions.negative_text)

    def forgetful(self, latents: Tensor, sigma: Tensor) -> HydraTransformerOutput:
        """Ask with noise in the context's place; what the banks know counts as context, and is hidden."""
        known = self.kept.get("captioned")
        keys = None if known is None else known._replace(known=torch.zeros_like(known.known))
        return _predict(
            self.transformer, latents, sigma, self.conditions, self.conditions.text, keys, forget_history=True
        )

    def _ask(
        self, name: str, latents: Tensor, sigma: Tensor, text: Tensor, record_retrieval: bool = False
    ) -> HydraTransformerOutput:
        out = _predict(
            self.transformer, latents, sigma, self.conditions, text, self.kept.get(name), record_retrieval
        )
        if out.bank_keys is not None:
            self.kept[name] = out.bank_keys
        return out


def _predict(
    transformer: HydraTransformer3DModel,
    latents: Float[Tensor, "b channels t h w"],
    sigma: Float[Tensor, ""],
    conditions: Conditions,
    text: Float[Tensor, "b l text_dim"],
    bank_keys: BankKeys | None = None,
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
        intrinsics=conditions.intrinsics,
        subject_masks=conditions.subject_masks,
        rendered=conditions.rendered,
        recall=conditions.recall,
        bank_keys=bank_keys,
        return_retrieval=record_retrieval,
    )


def _target_velocity(
    out: HydraTransformerOutput, conditions: Conditions
) -> Float[Tensor, "b channels t h w"]:
    return out.sample[:, :, conditions.context_latents.shape[2] :].float()
