"""The scheduler that samples: diffusers' own, made ready for a run. A time step is 1000 · sigma, sigma 1 is noise.

Any scheduler of diffusers that steps along a flow serves: Euler's (the published sampler, and the default), Heun's,
UniPC and DPM++ with ``use_flow_sigmas``.
"""

from copy import deepcopy
from inspect import signature
from typing import Any, TypeAlias

import torch
from diffusers import FlowMatchEulerDiscreteScheduler
from jaxtyping import Float
from torch import Tensor

from outofsight.errors import InputError
from outofsight.flow.matching import NUM_TRAIN_TIMESTEPS, sampling_sigmas, timesteps

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
    num_steps: int,
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
        scheduler.set_timesteps(sigmas=sampling_sigmas(num_steps, shift=1)[:-1].numpy(), device=device)
    else:
        scheduler.set_timesteps(num_steps, device=device)
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
