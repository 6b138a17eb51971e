"""From noise to target latents, by a scheduler's steps along the predicted flow.

A time step is 1000 · sigma, sigma 1 is noise. Any scheduler of diffusers that steps along a flow serves: Euler's (the
published sampler, and the default), Heun's, UniPC and DPM++ with ``use_flow_sigmas``.
"""

from collections.abc import Callable, Mapping
from copy import deepcopy
from dataclasses import dataclass
from inspect import signature
from typing import Any, NamedTuple, TypeAlias

import torch
from diffusers import FlowMatchEulerDiscreteScheduler
from jaxtyping import Float, Int
from torch import Tensor

from outofsight.backbone.extra_keys import BankKeys
from outofsight.backbone.kept_context import KeptContext
from outofsight.backbone.transformer import HydraTransformer3DModel, HydraTransformerOutput
from outofsight.errors import InputError
from outofsight.flow.matching import NUM_TRAIN_TIMESTEPS, frame_timesteps, guide, sampling_sigmas, timesteps
from outofsight.memory.banks.state import RetrievedMemory
from outofsight.sampling.continuation import SamplingSettings
from outofsight.world_model import WorldModelBase

Scheduler: TypeAlias = Any
"""diffusers' schedulers share no type that tells what they do."""


def check_flow(scheduler: Scheduler) -> None:
    """Raise ``InputError`` unless a scheduler steps along a flow, at noise levels of its own."""
    config, name = scheduler.config, type(scheduler).__name__
    if config.get("use_dynamic_shifting"):
        raise InputError(
            f"{name} shifts its noise levels by the size of the picture (use_dynamic_shifting); set it to False"
        )
    if name.startswith("FlowMatch"):
        return
    if not config.get("use_flow_sigmas") or config.get("prediction_type") != "flow_prediction":
        raise InputError(
            f"{name} makes no flow as it is set (prediction_type={config.get('prediction_type')!r}); this model "
            "predicts a flow: give FlowMatchEulerDiscreteScheduler, or UniPCMultistepScheduler(prediction_type="
            "'flow_prediction', use_flow_sigmas=True, flow_shift=3.0)"
        )


def ready(
    scheduler: Scheduler,
    num_inference_steps: int,
    *,
    shift: float | None = None,
    strength: float = 1.0,
    device: Any = None,
) -> Scheduler:
    """Return a copy of a scheduler set to a run's noise levels; it serves one run, for models may share the scheduler.

    ``shift``: in place of the scheduler's own. ``strength``: the noise level of the first step, to which
    all are scaled.

    Raises:
        InputError: the scheduler makes no flow.
    """
    check_flow(scheduler)
    if shift is None:
        scheduler = deepcopy(scheduler)
    else:
        name = "shift" if "shift" in scheduler.config else "flow_shift"
        scheduler = type(scheduler).from_config(scheduler.config, **{name: shift})
    if isinstance(scheduler, FlowMatchEulerDiscreteScheduler):
        # The published levels; diffusers' own end before 0, and are shifted twice.
        scheduler.set_timesteps(
            sigmas=sampling_sigmas(num_inference_steps, shift=1)[:-1].numpy(), device=device
        )
    else:
        scheduler.set_timesteps(num_inference_steps, device=device)
    if strength != 1:
        _scale(scheduler, strength)
    scheduler.set_begin_index(0)
    return scheduler


def euler(sigmas: Float[Tensor, " steps_plus_1"]) -> FlowMatchEulerDiscreteScheduler:
    """Return Euler's scheduler that steps between these noise levels."""
    scheduler = FlowMatchEulerDiscreteScheduler()
    scheduler.set_timesteps(len(sigmas) - 1)
    scheduler.sigmas, scheduler.timesteps = sigmas, timesteps(sigmas[:-1])
    scheduler.set_begin_index(0)
    return scheduler


def _scale(scheduler: Scheduler, strength: float) -> None:
    """Begin at a lower noise level: all levels shrink alike, so that the number of steps stays."""
    scheduler.sigmas = scheduler.sigmas * strength
    scaled = scheduler.timesteps * strength
    if isinstance(scheduler, FlowMatchEulerDiscreteScheduler):
        scaled = scheduler.sigmas[:-1] * NUM_TRAIN_TIMESTEPS
    scheduler.timesteps = scaled.to(torch.float32)


def takes_generator(scheduler: Scheduler) -> bool:
    """Tell whether a scheduler's steps may draw noise of their own."""
    return "generator" in signature(scheduler.step).parameters


OnStep = Callable[[int, int, Float[Tensor, "b channels t h w"]], None]
"""Called after each step with the number of steps done, their total and the target latents."""


class Conditions(NamedTuple):
    """What a continuation is conditioned on. ``negative_text`` is needed for guidance other than 1.

    ``intrinsics``: normalised; ``None``: as the model is configured. ``subject_masks``: where the model asks for them.
    ``history_noise``: what stands for no context, needed for history guidance other than 1. ``retrieved``: what the two
    banks give for the target; ``None``: a model that has banks lets them see the context. ``bank_keys``: what that is
    to the layers, where it is made already: for the caption (``cond``), and for no caption (``uncond``).
    """

    context_latents: Float[Tensor, "b channels c h w"]
    text: Float[Tensor, "b l text_dim"]
    negative_text: Float[Tensor, "b l text_dim"] | None
    context_cameras: Float[Tensor, "b c 12"]
    target_cameras: Float[Tensor, "b t 12"]
    intrinsics: Float[Tensor, "b 4"] | None = None
    subject_masks: Float[Tensor, "b s frames h w"] | None = None
    history_noise: Float[Tensor, "b channels c h w"] | None = None
    retrieved: RetrievedMemory | None = None
    bank_keys: Mapping[str, BankKeys] | None = None
    rendered: Float[Tensor, "b n t h w"] | None = None


AfterStep = Callable[[int, Tensor, Tensor, Conditions], tuple[Tensor, Conditions]]
"""Called after each step with its number, its time step, the target latents and the conditions; returns those to go on
with."""


def begin(
    noise: Float[Tensor, "b channels t h w"], rendered: Float[Tensor, "b n t h w"] | None, strength: float
) -> Float[Tensor, "b channels t h w"]:
    """Return what denoising begins from: noise alone, or the render noised to ``strength``.

    Source: SDEdit (arXiv 2108.01073), the "denoising strength" of image-to-image sampling.
    """
    if rendered is None or strength >= 1:
        return noise
    picture = rendered[:, : noise.shape[1]].to(noise)
    return (1 - strength) * picture + strength * noise


@dataclass(frozen=True, kw_only=True, eq=False)
class Watching:
    """Who looks on while a video is denoised, and may change it. ``interrupted``: asked before each step."""

    on_step: OnStep | None = None
    after_step: AfterStep | None = None
    interrupted: Callable[[], bool] | None = None
    record_retrieval: bool = False


def denoise_by(
    world: WorldModelBase,
    noise: Float[Tensor, "b channels t h w"],
    conditions: Conditions,
    settings: SamplingSettings,
    *,
    watching: Watching,
    generator: Any = None,
    attention_kwargs: dict[str, Any] | None = None,
) -> tuple[Float[Tensor, "b channels t h w"], Int[Tensor, "steps b layers f k"] | None]:
    """``denoise`` by a model's scheduler as the settings say, from what memory renders where the model is shown it."""
    strength = settings.strength if conditions.rendered is not None else 1.0
    scheduler = ready(
        world.scheduler, settings.num_inference_steps, shift=settings.shift, strength=strength, device=noise.device
    )  # fmt: skip
    world._num_timesteps = len(scheduler.timesteps)
    return denoise(
        world.transformer, begin(noise, conditions.rendered, strength), conditions, scheduler,
        settings.guidance_scale, settings.history_guidance_of(world.transformer.config), watching=watching,
        generator=generator, attention_kwargs=attention_kwargs, context_once=settings.context_once,
    )  # fmt: skip


@torch.no_grad()
def denoise(
    transformer: HydraTransformer3DModel,
    noise: Float[Tensor, "b channels t h w"],
    conditions: Conditions,
    scheduler: Scheduler,
    guidance_scale: float = 1.0,
    history_guidance: float = 1.0,
    *,
    watching: Watching = Watching(),
    generator: Any = None,
    attention_kwargs: dict[str, Any] | None = None,
    context_once: bool = False,
) -> tuple[Float[Tensor, "b channels t h w"], Int[Tensor, "steps b layers f k"] | None]:
    """Return the target latents, and what each frame retrieved in each step and layer, if asked for.

    ``scheduler``: made ready (``sampling.denoising``). Latents stay float32; the transformer computes in its own dtype.
    Clean context latents go in front in every step. With ``guidance_scale`` and ``history_guidance`` 1 the transformer
    runs once a step. Retrieval is recorded with the caption. ``generator``: of schedulers that draw noise.
    ``context_once``: the context goes through the transformer in the first step alone (``backbone.kept_context``).

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
    latents, retrieved, steps = noise.float(), [], scheduler.timesteps
    if transformer.is_cache_enabled:  # a step cache of diffusers: what it holds is another video's
        transformer._reset_stateful_cache()
    drawing = {"generator": generator} if takes_generator(scheduler) else {}
    denoiser = _Denoiser(transformer, conditions, attention_kwargs, context_once)
    for step, timestep in enumerate(steps):
        if watching.interrupted is not None and watching.interrupted():
            break
        out = denoiser.ask("cond", latents, timestep, watching.record_retrieval)
        velocity = cond = _target_velocity(out, conditions)
        if out.retrieved_slices is not None:
            retrieved.append(out.retrieved_slices.cpu())
        if guidance_scale != 1:
            away = _target_velocity(denoiser.ask("uncond", latents, timestep), conditions)
            velocity = guide(velocity, away, guidance_scale)
        if history_guidance != 1:
            pull = cond - _target_velocity(denoiser.no_history(latents, timestep), conditions)
            velocity = velocity + (history_guidance - 1) * pull
        (latents,) = scheduler.step(velocity, timestep, latents, return_dict=False, **drawing)[:1]
        if watching.after_step is not None:
            latents, conditions = watching.after_step(step, timestep, latents, conditions)
            denoiser.change(conditions)
        if watching.on_step is not None:
            watching.on_step(step + 1, len(steps), latents)
    return latents, torch.stack(retrieved) if retrieved else None


class _Denoiser:
    """The transformer, asked with a caption, without, and without the context. What the two banks are to its layers is
    made in the first step, for each caption, and kept."""

    def __init__(
        self,
        transformer: HydraTransformer3DModel,
        conditions: Conditions,
        attention_kwargs: dict[str, Any] | None,
        context_once: bool,
    ) -> None:
        self.transformer, self.conditions = transformer, conditions
        self.options, self.context_once = attention_kwargs, context_once
        self.kept: dict[str, BankKeys] = dict(conditions.bank_keys or {})
        self.contexts: dict[str, KeptContext] = {}

    def change(self, conditions: Conditions) -> None:
        """Go on with other conditions; what was made of captions that changed is made anew."""
        before, self.conditions = self.conditions, conditions
        if conditions is not before:
            self.contexts.clear()
        if conditions.text is not before.text:
            self.kept.pop("cond", None)
        if conditions.negative_text is not before.negative_text:
            self.kept.pop("uncond", None)

    def no_history(self, latents: Tensor, timestep: Tensor) -> HydraTransformerOutput:
        """Ask with noise in the context's place; what the banks know counts as context, and is hidden."""
        known = self.kept.get("cond")
        keys = None if known is None else known._replace(known=torch.zeros_like(known.known))
        text = self.conditions.text.to(self.transformer.dtype)
        inputs = _inputs(self.transformer, latents, timestep, self.conditions, forget_history=True)
        with self.transformer.cache_context("no_history"):
            return self.transformer(
                **inputs, encoder_hidden_states=text, bank_keys=keys, attention_kwargs=self.options
            )

    def ask(
        self, name: str, latents: Tensor, timestep: Tensor, record_retrieval: bool = False
    ) -> HydraTransformerOutput:
        """Ask with the caption (``cond``), or with what guidance leads away from (``uncond``)."""
        given, retrieved = self.conditions, self.conditions.retrieved
        text = given.text if name == "cond" else given.negative_text
        assert text is not None
        text = text.to(self.transformer.dtype)
        if self.transformer.is_cache_enabled and retrieved is not None and name not in self.kept:
            # What is retrieved goes through the blocks too, and must not be taken for the video's own first step.
            with self.transformer.cache_context(f"keys, {name}"):
                self.kept[name] = self.transformer.memory_keys(retrieved, text)
        inputs = _inputs(self.transformer, latents, timestep, self.conditions)
        kept = self.contexts.setdefault(name, KeptContext()) if self.context_once else None
        with self.transformer.cache_context(name):  # step caches of diffusers keep the two apart by it
            out: HydraTransformerOutput = self.transformer(
                **inputs, encoder_hidden_states=text, bank_keys=self.kept.get(name), kept_context=kept,
                return_retrieval=record_retrieval, attention_kwargs=self.options,
            )  # fmt: skip
        if out.bank_keys is not None:
            self.kept[name] = out.bank_keys
        return out


def _inputs(
    transformer: HydraTransformer3DModel,
    latents: Float[Tensor, "b channels t h w"],
    timestep: Float[Tensor, ""],
    conditions: Conditions,
    *,
    forget_history: bool = False,
) -> dict[str, Any]:
    """Put the clean context, or noise in its place, in front of the noisy target, and what both are seen by beside."""
    # One time step for the whole video: the context is clean, yet the model hears the target's, as it did in training.
    context, levels = conditions.context_latents, timestep.to(latents.device, torch.float32).reshape(1)
    if transformer.has_frame_noise:
        level = NUM_TRAIN_TIMESTEPS if forget_history else 0
        levels = frame_timesteps(levels.expand(len(latents)), context.shape[2], latents.shape[2], level)
    if forget_history:
        assert conditions.history_noise is not None
        context = conditions.history_noise
    return {
        "hidden_states": torch.cat((context, latents), dim=2).to(transformer.dtype),
        "timestep": levels,
        "context_cameras": conditions.context_cameras,
        "target_cameras": conditions.target_cameras,
        "intrinsics": conditions.intrinsics,
        "subject_masks": conditions.subject_masks,
        "rendered": conditions.rendered,
        "retrieved": conditions.retrieved,
    }


def _target_velocity(
    out: HydraTransformerOutput, conditions: Conditions
) -> Float[Tensor, "b channels t h w"]:
    return out.sample[:, :, conditions.context_latents.shape[2] :].float()
