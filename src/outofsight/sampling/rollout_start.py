"""How a rollout is begun: from a video, a state on the disk, or the moment of a rollout with another memory."""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from outofsight.backbone.sequence import known_intrinsics
from outofsight.codec.latent_tiling import LatentTiling
from outofsight.codec.stream_decoding import Decoded
from outofsight.errors import CameraError, InputError
from outofsight.memory.banks.state import Banks
from outofsight.sampling.continuation import SamplingSettings
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
from outofsight.sampling.rollout_step import (
    OnProgress,
    Sampler,
    Texts,
    kept_history,
    observe_frames,
)
from outofsight.types import CameraPath, LatentClock, LatentGrid
from outofsight.world_model import WorldModelBase


@dataclass(frozen=True, kw_only=True)
class RolloutRequest:
    """How a rollout is begun; see ``WorldModel.start``."""

    prompt: str
    settings: SamplingSettings = field(default_factory=SamplingSettings)
    limits: RolloutLimits = field(default_factory=RolloutLimits)
    tiling: LatentTiling | None = None
    record_retrieval: bool = False
    on_progress: OnProgress | None = None


def start_rollout(
    world: WorldModelBase,
    video: NDArray[np.uint8] | Tensor,
    context_cameras: CameraPath,
    request: RolloutRequest,
    subject_masks: NDArray[np.uint8] | None = None,
) -> Rollout:
    """Begin a rollout. See ``WorldModel.start``."""
    sampler = Sampler(
        world=world,
        settings=request.settings,
        tiling=request.tiling,
        record_retrieval=request.record_retrieval,
        on_progress=request.on_progress,
    )
    check_prompt(request.prompt)
    check_cameras(context_cameras, "the context's cameras")
    pixels = as_pixels(video, world)
    num_context = pixels.shape[1]
    _check_start(world, num_context, context_cameras)
    check_lens(context_cameras, pixels)
    _check_bank(world, (pixels.shape[-2], pixels.shape[-1]))
    masks = latent_subject_masks(world, subject_masks, num_context, 0)
    text = encode_texts(sampler, request.prompt)
    latents = world.encode_video(pixels, request.tiling)
    shown = to_pictures(pixels[:, :: world.temporal_stride])
    given = subject_masks if world.transformer.shows_rendered else None
    share = subject_share(given, pixels, world.temporal_stride)
    seen = _Begun(latents, masks, context_cameras, shown, share)
    state = _first_state(sampler, seen, request.prompt)
    return Rollout(sampler, request.limits, state, texts={request.prompt: text})


class _Begun(NamedTuple):
    """A context: latents, masks where the model asks for them, cameras, the pictures that stand for latent frames, and
    the share to which each of their pixels shows a subject, where a user says so."""

    latents: Tensor
    masks: Tensor | None
    cameras: CameraPath
    pictures: Tensor
    subject: Tensor | None


def _first_state(sampler: Sampler, begun: _Begun, prompt: str) -> RolloutState:
    """Stand at the end of the context, all of which the banks have seen."""
    latents, masks, cameras = begun.latents, begun.masks, begun.cameras
    world, transformer = sampler.world, sampler.world.transformer
    poses = torch.from_numpy(cameras.world_from_camera[:: world.temporal_stride].copy())
    last = torch.from_numpy(cameras.world_from_camera[-1].copy())
    state = RolloutState(
        step=0,
        num_context_frames=len(cameras),
        num_frames=0,
        reach=latents.shape[2],
        prompt=prompt,
        latents=latents,
        poses=poses,
        last_pose=last,
        anchor=last,
        intrinsics=_lens(world, cameras, latents),
        generator=torch.Generator().manual_seed(sampler.settings.seed).get_state(),
        decoded=Decoded(),
        masks=masks,
    )
    banks = None
    if transformer.has_banks:
        times = world.temporal_stride * torch.arange(latents.shape[2], dtype=torch.float32)[None]
        anchored = state.anchored(poses.numpy())
        lens = state.intrinsics[None].to(latents)
        pictures = see_pictures(
            world, None, begun.pictures, anchored.to(latents), times.to(latents), lens, begun.subject
        )
        banks, _ = observe_frames(
            transformer, latents, anchored.to(latents), times.to(latents), None, state.intrinsics, pictures
        )
    kept = kept_history(transformer, state.reach)
    return replace(
        state,
        latents=latents[:, :, -kept:].clone(),
        poses=poses[-kept:].clone(),
        masks=None if masks is None else masks[:, :, -kept:].clone(),
        banks=banks,
    )


def _lens(world: WorldModelBase, cameras: CameraPath, latents: Tensor) -> Tensor:
    """Return the context's normalised intrinsics [4], on the CPU; the model's default where they are unknown."""
    given = None if cameras.intrinsics is None else torch.from_numpy(cameras.intrinsics.normalized)[None]
    return known_intrinsics(world.transformer.config, given, 1, latents.shape[-2:], torch.device("cpu"))[
        0
    ].clone()


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


def resume_rollout(
    world: WorldModelBase,
    folder: Path,
    saved: Saved,
    manifest: Mapping[str, Any],
    *,
    record_retrieval: bool = False,
    on_progress: OnProgress | None = None,
) -> Rollout:
    """Stand where a saved rollout stood.

    Raises:
        CheckpointError: the state is another model's.
    """
    digest = world_digest(world)
    check_model(folder, manifest, world, digest)
    device = world.work_device
    sampler = Sampler(
        world=world,
        settings=saved.settings,
        tiling=saved.tiling,
        record_retrieval=record_retrieval,
        on_progress=on_progress,
    )
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
    times = history_times(state, world.clock).to(latents)
    banks, _ = observe_frames(world.transformer, latents, anchored, times, None, state.intrinsics)
    return banks


def history_times(state: RolloutState, clock: LatentClock) -> Tensor:
    """Give the video frame of every latent frame of the history, [1, f]; the context's first is frame 0."""
    shown = clock.num_latent(state.num_frames) if state.num_frames else 0
    back = torch.arange(state.latents.shape[2] - 1, -1, -1, dtype=torch.float32)
    of_rollout = state.num_context_frames + clock.stride * (shown - 1 - back)
    of_context = state.num_context_frames - 1 - clock.stride * (back - shown)
    return torch.where(back < shown, of_rollout, of_context)[None]
