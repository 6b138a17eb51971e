"""Answers made by a rollout, a few latent frames at a time, and what a model's tracker holds meanwhile.

::

    target video frames   0 ... 8 | 9 ... 20 | 21 ... 32 | 33 ... 40      steps of 3 latent frames, 41 frames
    latent frames         0  1  2 | 3  4  5  | 6  7  8   | 9  10          the last step is as long as what is left

    tracker, at once      context: seen | target: predicted from the context's end
    tracker, rolled out   context: seen | target: seen in the model's own frames
"""

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

from outofsight.codec.checkpoint_files import load_state_dict, save_state_dict
from outofsight.codec.video_vae import LatentTiling
from outofsight.errors import CheckpointError, InputError
from outofsight.evaluation.birdseye import (
    Floats,
    MemoryStep,
    TrackedSubjects,
    joined_subjects,
    tracked_subjects,
)
from outofsight.evaluation.case import ClipCase, Video
from outofsight.evaluation.clips import Sample
from outofsight.evaluation.tracked_positions import Tracked
from outofsight.memory.banks.dynamics import PredictedSubjects
from outofsight.memory.banks.state import Banks, Tracks
from outofsight.memory.banks.two_banks import latent_times
from outofsight.sampling.continuation import Retrieval, SamplingSettings
from outofsight.sampling.inputs import as_pixels
from outofsight.sampling.rollout_state import RolloutLimits, flat_poses
from outofsight.sampling.rollout_step import StepRecord
from outofsight.sampling.world import WorldModel
from outofsight.types import WAN_CLOCK, CameraPath, LatentClock
from outofsight.world_model import WorldModelBase


@dataclass(frozen=True, kw_only=True, eq=False)
class Answer:
    """What a method shows for a clip: ``video`` uint8 [t, h, w, 3]; ``seconds`` by stage, where it was timed.

    ``tracked``: what its tracker held meanwhile; ``None``: it has none.
    """

    video: Video
    seconds: Mapping[str, float] = field(default_factory=dict)
    retrieval: Retrieval | None = None
    tracked: Tracked | None = None


@torch.no_grad()
def seen_context(
    world: WorldModelBase,
    video: Video,
    cameras: CameraPath,
    world_from_anchor: Floats,
    tiling: LatentTiling | None = None,
) -> tuple[Banks, Tracked]:
    """Show a context to empty banks, exactly as a continuation and a rollout do.

    Gives the banks at its end, and what the tracker held on the way, once for each latent frame.

    Raises ``InputError`` if the model has no banks.
    """
    transformer, device = world.transformer, world.work_device
    latents = world.encode_video(as_pixels(video, world), tiling)
    poses = flat_poses(cameras.world_from_camera[:: world.temporal_stride], world_from_anchor)
    lens = None
    if cameras.intrinsics is not None:
        lens = torch.from_numpy(cameras.intrinsics.normalized)[None].to(device)
    banks, seen = transformer.observe_context(latents, poses.to(device), intrinsics=lens)
    times = latent_times(latents.shape[2], 0)[0].double().numpy()
    held = tracked_subjects(Tracks(*(part[0] for part in seen.tracks)), times)
    return banks, Tracked(times=times, num_context=len(times), held=held, world_from_anchor=world_from_anchor)


def predicted_tracks(
    world: WorldModelBase, case: ClipCase, tiling: LatentTiling | None = None
) -> Tracked | None:
    """Say what the tracker holds while a whole target is made at once: what it predicts when the context ends.

    ``None``: the model has no tracker.
    """
    memory = world.transformer.two_banks
    if not world.transformer.has_banks or memory is None:
        return None
    assert case.cameras is not None
    split = case.num_context_frames
    anchor = case.cameras.world_from_camera[split]
    banks, seen = seen_context(world, case.context, case.cameras[:split], anchor, tiling)
    later = latent_times(seen.num_context, world.clock.num_latent(case.num_target_frames))[1]
    with torch.no_grad():
        predicted = memory.tracker.predict(banks.tracks, banks.time, later[None].to(banks.time))
    held = joined_subjects([seen.held, unseen_subjects(predicted, banks.tracks)])
    return replace(seen, times=np.concatenate((seen.times, later.double().numpy())), held=held)


def tracked_rollout(context: Tracked, steps: Sequence[StepRecord | MemoryStep]) -> Tracked:
    """Join what the tracker held in the context and in a rollout's steps.
    Raises ``InputError`` if a step is of a model without banks."""
    times, held = [context.times], [context.held]
    for number, step in enumerate(steps, 1):
        if step.tracks is None:
            raise InputError(f"step {number}: holds no tracks; only models with banks have them")
        times.append(np.asarray(step.times, dtype=np.float64))
        held.append(tracked_subjects(step.tracks, times[-1]))
    return replace(context, times=np.concatenate(times), held=joined_subjects(held))


def save_tracked(path: Path, tracked: Tracked) -> None:
    """Write what a tracker held as a safetensors file. Raises ``OutputError``."""
    parts = {
        **{name: torch.from_numpy(np.ascontiguousarray(part)) for name, part in vars(tracked.held).items()},
        "times": torch.from_numpy(tracked.times.copy()),
        "num_context": torch.tensor([tracked.num_context]),
        "world_from_anchor": torch.from_numpy(np.array(tracked.world_from_anchor)),
    }
    save_state_dict(path, parts)


def load_tracked(path: Path) -> Tracked:
    """Read it back. Raises ``CheckpointError`` if the file is missing or damaged."""
    parts = {name: value.numpy() for name, value in load_state_dict(path).items()}
    try:
        return Tracked(
            times=parts.pop("times"), num_context=int(parts.pop("num_context")[0]),
            world_from_anchor=parts.pop("world_from_anchor"), held=TrackedSubjects(**parts),
        )  # fmt: skip
    except (KeyError, TypeError) as error:
        raise CheckpointError(f"{path}: lacks a part of what a tracker held ({error})") from error


def unseen_subjects(predicted: PredictedSubjects, tracks: Tracks) -> TrackedSubjects:
    """Read a prediction (batch of one): whoever was held when it was made is held at every coming moment, unseen."""
    moments = predicted.position.shape[1]
    held = predicted.filled[0].cpu().numpy()[None].repeat(moments, axis=0)
    return TrackedSubjects(
        position_m=predicted.position[0].double().cpu().numpy(),
        velocity_m=predicted.velocity[0].double().cpu().numpy(),
        deviation_m=predicted.variance[0].clamp(min=0).sqrt().double().cpu().numpy(), held=held,
        seen=np.zeros_like(held), numbers=tracks.number[0].cpu().numpy()[None].repeat(moments, axis=0),
    )  # fmt: skip


def roll_clip(
    world: WorldModel,
    sample: Sample,
    settings: SamplingSettings,
    frames_per_step: int,
    tiling: LatentTiling | None = None,
) -> Answer:
    """Continue a clip's context along its target cameras, ``frames_per_step`` latent frames at a time.
    Raises ``InputError`` if the clip has no cameras or caption, or its target is not 4·k + 1 frames."""
    case, (cameras, ahead, caption) = sample.case, sample.asked_of_models()
    spans = step_spans(case.num_target_frames, frames_per_step, world.clock)
    start = time.perf_counter()
    # nothing is taken back, and the data set's own cameras are taken as they are
    limits = RolloutLimits(keep_steps=0, max_move_m=np.inf, max_turn_deg=180.0)
    with world.start(
        case.context, cameras, caption, settings=settings, limits=limits,
        subject_masks=asked_masks(world, sample), tiling=tiling,
    ) as rollout:  # fmt: skip
        seconds = {"start": time.perf_counter() - start}
        videos, records = [], []
        for span in spans:
            videos.append(rollout.step(ahead[span]))
            records.append(rollout.records[-1])
            for stage, spent in records[-1].seconds.items():
                seconds[stage] = seconds.get(stage, 0.0) + spent
        tracked = None
        if world.transformer.has_banks:
            _, seen = seen_context(world, case.context, cameras, rollout.anchor, tiling)
            tracked = tracked_rollout(seen, records)
        return Answer(video=np.concatenate(videos), seconds=seconds, tracked=tracked)


def asked_masks(world: WorldModel, sample: Sample) -> NDArray[np.uint8] | None:
    """Give a model the true masks only where it asks for them; one that reads them itself gets none."""
    return sample.instances if world.transformer.needs_subject_masks != "none" else None


def step_spans(num_frames: int, frames_per_step: int, clock: LatentClock = WAN_CLOCK) -> list[slice]:
    """Cut a target of video frames into steps of ``frames_per_step`` latent frames; the last may be shorter.
    Raises ``InputError`` if steps have no frame, or the video frames make no whole latent frames."""
    if frames_per_step < 1:
        raise InputError(f"a rollout's step needs ≥ 1 latent frame, got {frames_per_step}")
    num_latent = clock.num_latent(num_frames)
    firsts = range(0, num_latent, frames_per_step)
    ends = [clock.num_frames(min(first + frames_per_step, num_latent)) for first in firsts]
    return [slice(start, end) for start, end in zip([0, *ends[:-1]], ends, strict=True)]


def latent_pictures(record: StepRecord, frames: Video) -> Video:
    """Choose the video frames of a step [n, h, w, 3] that stand for its latent frames: the last one of each."""
    times = record.times.double().numpy()
    return frames[(len(frames) - 1 - (times[-1] - times)).round().astype(int)]
