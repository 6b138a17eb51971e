"""How a rollout is begun: from a video, a state on the disk, or the moment of a rollout with another memory."""

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from outofsight.backbone.sequence import known_intrinsics
from outofsight.codec.stream_decoding import Decoded
from outofsight.errors import CameraError, InputError
from outofsight.memory.banks.state import Banks
from outofsight.sampling.inputs import (
    as_pixels,
    check_cameras,
    check_lens,
    check_prompt,
    latent_subject_masks,
)
from outofsight.sampling.model_digest import world_digest
from outofsight.sampling.moments import on_device, put_aside
from outofsight.sampling.remembered import see_pictures, subject_share, to_pictures
from outofsight.sampling.rollout import Rollout, encode_texts
from outofsight.sampling.rollout_files import Saved, check_model
from outofsight.sampling.rollout_state import RolloutLimits, RolloutState
from outofsight.sampling.rollout_step import Sampler, Texts, observe_frames, trimmed
from outofsight.types import CameraPath, LatentClock, LatentGrid
from outofsight.world_model import WorldModelBase


def start_rollout(
    sampler: Sampler,
    limits: RolloutLimits,
    prompt: str,
    video: NDArray[np.uint8] | Tensor,
    context_cameras: CameraPath,
    subject_masks: NDArray[np.uint8] | None = None,
) -> Rollout:
    """Begin a rollout. See ``WorldModel.start``."""
    world = sampler.world
    check_prompt(prompt)
    check_cameras(context_cameras, "the context's cameras")
    pixels = as_pixels(video, world)
    _check_start(world, pixels.shape[1], context_cameras)
    check_lens(context_cameras, pixels)
    _check_bank(world, (pixels.shape[-2], pixels.shape[-1]))
    masks = latent_subject_masks(world, subject_masks, pixels.shape[1], 0)
    text = encode_texts(sampler, prompt)
    latents = world.encode_video(pixels, sampler.tiling)
    given = subject_masks if world.transformer.shows_rendered else None
    share = subject_share(given, pixels, world.temporal_stride)
    state = _first_state(sampler, prompt, latents, masks, context_cameras)
    if world.transformer.has_banks:
        shown = to_pictures(pixels[:, :: world.temporal_stride])
        state = replace(state, banks=_banks_of_history(world, state, shown, share))
    return Rollout(sampler, limits, trimmed(world.transformer, state), texts={prompt: text})


def _first_state(
    sampler: Sampler, prompt: str, latents: Tensor, masks: Tensor | None, cameras: CameraPath
) -> RolloutState:
    """Stand at the end of the context, of which the banks have seen nothing yet."""
    world, last = sampler.world, torch.from_numpy(cameras.world_from_camera[-1].copy())
    given = None if cameras.intrinsics is None else torch.from_numpy(cameras.intrinsics.normalized)[None]
    cpu = torch.device("cpu")
    return RolloutState(
        step=0,
        num_context_frames=len(cameras),
        num_frames=0,
        reach=latents.shape[2],
        prompt=prompt,
        latents=latents,
        poses=torch.from_numpy(cameras.world_from_camera[:: world.temporal_stride].copy()),
        last_pose=last,
        anchor=last,
        intrinsics=known_intrinsics(world.transformer.config, given, 1, latents.shape[-2:], cpu)[0].clone(),
        generator=torch.Generator().manual_seed(sampler.settings.seed).get_state(),
        decoded=Decoded(),
        masks=masks,
    )


def _check_start(world: WorldModelBase, num_context: int, cameras: CameraPath) -> None:
    if len(cameras) != num_context:
        raise CameraError(
            f"the context video has {num_context} frames, its camera path {len(cameras)}; give one each"
        )
    if world.transformer.needs_subject_masks == "all":
        name = world.transformer.config["memory_strategy"]
        raise InputError(
            f"this model ({name}) needs masks of where subjects will be; a rollout has none, so choose another "
            "strategy, or continue_video with the masks of the target"
        )
    memory = world.transformer.rendered_memory
    if world.transformer.shows_rendered and memory is not None and memory.masks is None:
        raise InputError(
            "this model shows rendered memory and does not read who is a subject (rendering.mask_width is 0), so a "
            "rollout could remember none of its own frames; choose a strategy that renders nothing, such as window, or "
            "continue_video"
        )


def _check_bank(world: WorldModelBase, size: tuple[int, int]) -> None:
    """Refuse banks whose slices are larger than a frame."""
    memory = world.transformer.two_banks
    if not world.transformer.has_banks or memory is None:
        return
    _, rows, columns = world.transformer.config["patch_size"]
    factor = world.size_step // max(rows, columns)
    grid = LatentGrid(frames=1, height=size[0] // factor // rows, width=size[1] // factor // columns)
    kernel = memory.settings.kernel
    if kernel[1] > grid.height or kernel[2] > grid.width:
        raise InputError(
            f"a slice of the bank is made of {kernel[1]}×{kernel[2]} tokens, a frame of {size[0]}×{size[1]} pixels has "
            f"{grid.height}×{grid.width}; give a larger video, or a smaller kernel of the banks"
        )


def resume_rollout(sampler: Sampler, folder: Path, saved: Saved, manifest: Mapping[str, Any]) -> Rollout:
    """Stand where a saved rollout stood. ``sampler``: of the state's own settings.

    Raises:
        CheckpointError: the state is another model's.
    """
    digest = world_digest(sampler.world)
    check_model(folder, manifest, sampler.world, digest)
    device = sampler.world.work_device
    negative = None if saved.negative is None else saved.negative.to(device)
    texts = {prompt: Texts(text.to(device), negative) for prompt, text in saved.texts.items()}
    moments = dict(saved.moments)
    now = on_device(moments.pop(max(moments)), device)
    moments = {step: put_aside(moment, saved.limits.keep_in) for step, moment in moments.items()}
    rollout = Rollout(sampler, saved.limits, now, moments, texts)
    rollout.notes, rollout._digest = dict(saved.notes), digest
    return rollout


def rival_of(rollout: Rollout, world: WorldModelBase) -> Rollout:
    """Return a rollout that stands where ``rollout`` stands and goes on with ``world``: the same VAE and text encoder,
    another memory.

    Its past is the same, as far as its own memory holds it: the history is cut to what its sequence looks at; banks
    that there were go on, banks that there were not see the history that was kept.

    Raises:
        InputError: the other memory needs masks of subjects, which a rollout does not know.
    """
    transformer, state = world.transformer, rollout.state
    if transformer.needs_subject_masks != "none" and state.masks is None:
        name = transformer.config["memory_strategy"]
        raise InputError(f"{name} needs subject masks, which this rollout has not; choose another strategy")
    banks = None
    if transformer.has_banks:
        banks = state.banks if state.banks is not None else _banks_of_history(world, state)
    moment = trimmed(transformer, replace(state, banks=banks))
    other = Rollout(replace(rollout._sampler, world=world), rollout.limits, moment, texts=rollout._texts)
    other.notes = dict(rollout.notes)
    return other


def _banks_of_history(
    world: WorldModelBase, state: RolloutState, frames: Tensor | None = None, subject: Tensor | None = None
) -> Banks:
    """Let banks that hold nothing yet see the history; ``frames`` [1, f, 3, height, width]: its pictures."""
    latents = state.latents
    anchored = state.anchored(state.poses.numpy()).to(latents)
    times = history_times(state, world.clock).to(latents)
    pictures = None
    if frames is not None:
        lens = state.intrinsics[None].to(latents)
        pictures = see_pictures(world, None, frames, anchored, times, lens, subject)
    banks, _ = observe_frames(world.transformer, latents, anchored, times, None, state.intrinsics, pictures)
    return banks


def history_times(state: RolloutState, clock: LatentClock) -> Tensor:
    """Give the video frame of every latent frame of the history, [1, f]; the context's first is frame 0."""
    shown = clock.num_latent(state.num_frames) if state.num_frames else 0
    back = torch.arange(state.latents.shape[2] - 1, -1, -1, dtype=torch.float32)
    of_rollout = state.num_context_frames + clock.stride * (shown - 1 - back)
    of_context = state.num_context_frames - 1 - clock.stride * (back - shown)
    return torch.where(back < shown, of_rollout, of_context)[None]
