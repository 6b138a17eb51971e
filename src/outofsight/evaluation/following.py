"""What a model's tracker holds while a clip is answered, latent frame by latent frame.

::

    at once     context: seen | target: foretold from the context's end
    by a walk   context: seen | target: seen in the model's own frames
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch

from outofsight.codec.checkpoint_files import load_state_dict, save_state_dict
from outofsight.codec.video_vae import LatentTiling
from outofsight.errors import CheckpointError, InputError
from outofsight.evaluation.birdseye import Floats, HeldSubjects, held_subjects, joined_held
from outofsight.evaluation.case import ClipCase, Video
from outofsight.evaluation.held_places import Tracked
from outofsight.evaluation.memory_pictures import MemoryStep
from outofsight.memory.banks.dynamics import PredictedSubjects
from outofsight.memory.banks.state import Banks, Tracks
from outofsight.memory.banks.two_banks import latent_times
from outofsight.sampling.inputs import as_pixels
from outofsight.sampling.rollout_state import flat_poses
from outofsight.types import CameraPath
from outofsight.world_model import WorldModelBase

PARTS = ("position_m", "velocity_m", "deviation_m", "held", "seen", "numbers")


@dataclass(frozen=True, kw_only=True, eq=False)
class SeenContext:
    """A context as the tracker saw it: ``banks`` at its end, ``held`` at ``times`` [c], one for each latent frame."""

    banks: Banks
    times: Floats
    held: HeldSubjects
    world_from_anchor: Floats


@torch.no_grad()
def seen_context(
    world: WorldModelBase,
    video: Video,
    cameras: CameraPath,
    world_from_anchor: Floats,
    tiling: LatentTiling | None = None,
) -> SeenContext:
    """Show a context to empty banks, exactly as a continuation and a rollout do, and keep what they held on the way.

    Raises:
        InputError: the model has no banks.
    """
    transformer, device = world.transformer, world.work_device
    latents = world.encode_video(as_pixels(video, world), tiling)
    poses = flat_poses(cameras.world_from_camera[:: world.temporal_stride], world_from_anchor)
    lens = (
        None
        if cameras.intrinsics is None
        else torch.from_numpy(cameras.intrinsics.normalized)[None].to(device)
    )
    banks, seen = transformer.observe_context(latents, poses.to(device), intrinsics=lens)
    times = latent_times(latents.shape[2], 0)[0].double().numpy()
    held = held_subjects(Tracks(*(part[0] for part in seen.tracks)), times)
    return SeenContext(banks=banks, times=times, held=held, world_from_anchor=world_from_anchor)


def foretold(world: WorldModelBase, case: ClipCase, tiling: LatentTiling | None = None) -> Tracked | None:
    """Say what the tracker holds while a whole target is made at once: what it foretells when the context ends.

    ``None``: the model has no tracker.
    """
    memory = world.transformer.two_banks
    if not world.transformer.has_banks or memory is None:
        return None
    assert case.cameras is not None
    split = case.num_context_frames
    anchor = case.cameras.world_from_camera[split]
    context = seen_context(world, case.context, case.cameras[:split], anchor, tiling)
    num_target = (case.num_target_frames - 1) // world.temporal_stride + 1
    later = latent_times(len(context.times), num_target)[1]
    tracks = context.banks.tracks
    with torch.no_grad():
        told = memory.tracker.predict(tracks, context.banks.time, later[None].to(context.banks.time))
    held = joined_held([context.held, unseen_subjects(told, tracks)])
    times = np.concatenate((context.times, later.double().numpy()))
    return Tracked(times=times, num_context=len(context.times), held=held, world_from_anchor=anchor)


def tracked_walk(context: SeenContext, steps: Sequence[MemoryStep]) -> Tracked:
    """Join what the tracker held in the context and in a rollout's steps.

    Raises:
        InputError: a step of a model without banks.
    """
    times, held = [context.times], [context.held]
    for number, step in enumerate(steps, 1):
        if step.tracks is None:
            raise InputError(f"step {number}: holds no tracks; only models with banks have them")
        times.append(np.asarray(step.times, dtype=np.float64))
        held.append(held_subjects(step.tracks, times[-1]))
    return Tracked(
        times=np.concatenate(times), num_context=len(context.times), held=joined_held(held),
        world_from_anchor=context.world_from_anchor,
    )  # fmt: skip


def save_tracked(path: Path, tracked: Tracked) -> None:
    """Write what a tracker held as a safetensors file. Raises ``OutputError``."""
    parts = {name: torch.from_numpy(np.ascontiguousarray(getattr(tracked.held, name))) for name in PARTS}
    parts |= {
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
            times=parts["times"], num_context=int(parts["num_context"][0]),
            held=HeldSubjects(**{name: parts[name] for name in PARTS}), world_from_anchor=parts["world_from_anchor"],
        )  # fmt: skip
    except KeyError as error:
        raise CheckpointError(f"{path}: expected what a tracker held, {error} is missing") from error


def unseen_subjects(told: PredictedSubjects, tracks: Tracks) -> HeldSubjects:
    """Read a prediction (batch of one): whoever was held when it was made is held at every coming moment, unseen."""
    moments = told.position.shape[1]
    held = told.filled[0].cpu().numpy()[None].repeat(moments, axis=0)
    return HeldSubjects(
        position_m=told.position[0].double().cpu().numpy(), velocity_m=told.velocity[0].double().cpu().numpy(),
        deviation_m=told.variance[0].clamp(min=0).sqrt().double().cpu().numpy(), held=held,
        seen=np.zeros_like(held), numbers=tracks.number[0].cpu().numpy()[None].repeat(moments, axis=0),
    )  # fmt: skip
