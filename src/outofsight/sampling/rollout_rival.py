"""The same walk remembered in another way: a second rollout that goes on from the first one's moment."""

from dataclasses import replace

import torch
from torch import Tensor

from outofsight.errors import InputError
from outofsight.memory.banks.state import Banks
from outofsight.sampling.rollout import Rollout
from outofsight.sampling.rollout_state import RolloutState
from outofsight.sampling.rollout_step import kept_history, observe
from outofsight.world_model import WorldModelBase


def rival_of(rollout: Rollout, world: WorldModelBase) -> Rollout:
    """Return a rollout that stands where ``rollout`` stands and goes on with ``world``: the same VAE and text encoder,
    another memory.

    Its past is the same, as far as its own memory holds it: the history is cut to what its sequence looks at; banks
    that there were go on, banks that there were not see the history that was kept.

    Raises:
        InputError: the other memory needs masks of subjects, which a walk does not know.
    """
    transformer, state = world.transformer, rollout.state
    if transformer.needs_subject_masks != "none" and state.masks is None:
        name = transformer.config["memory_strategy"]
        raise InputError(
            f"{name} is told where subjects are, and this walk does not know; choose another strategy"
        )
    banks = None
    if transformer.has_banks:
        banks = state.banks if state.banks is not None else _banks_of_history(world, state)
    kept = kept_history(transformer, state.reach)
    moment = replace(
        state,
        latents=state.latents[:, :, -kept:].clone(),
        poses=state.poses[-kept:].clone(),
        masks=None if state.masks is None else state.masks[:, :, -kept:].clone(),
        banks=banks,
    )
    other = Rollout(replace(rollout._sampler, world=world), rollout.limits, moment, texts=rollout._texts)
    other.notes = dict(rollout.notes)
    return other


def _banks_of_history(world: WorldModelBase, state: RolloutState) -> Banks:
    latents = state.latents
    anchored = state.anchored(state.poses.numpy()).to(latents)
    times = history_times(state, world.temporal_stride).to(latents)
    banks, _ = observe(world.transformer, latents, anchored, times, None, state.intrinsics)
    return banks


def history_times(state: RolloutState, stride: int) -> Tensor:
    """Give the video frame of every latent frame of the history, [1, f]; the context's first is frame 0."""
    shown = 0 if state.num_frames == 0 else (state.num_frames - 1) // stride + 1
    back = torch.arange(state.latents.shape[2] - 1, -1, -1, dtype=torch.float32)
    of_walk = state.num_context_frames + stride * (shown - 1 - back)
    of_context = state.num_context_frames - 1 - stride * (back - shown)
    return torch.where(back < shown, of_walk, of_context)[None]
