"""Answers made by a rollout: the target shown a few latent frames at a time, as an endless world would be.

::

    target video frames   0 ... 8 | 9 ... 20 | 21 ... 32 | 33 ... 40      steps of 3 latent frames, 41 frames
    latent frames         0  1  2 | 3  4  5  | 6  7  8   | 9  10          the last step is as long as what is left
"""

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from outofsight.codec.video_vae import LatentTiling
from outofsight.errors import InputError
from outofsight.evaluation.case import ClipCase, Video
from outofsight.evaluation.clips import Material
from outofsight.evaluation.following import seen_context, tracked_walk
from outofsight.evaluation.held_places import Tracked
from outofsight.evaluation.memory_pictures import MemoryStep
from outofsight.geometry.conditioning import latent_frames
from outofsight.sampling.continuation import SamplingSettings
from outofsight.sampling.rollout import Rollout
from outofsight.sampling.rollout_state import RolloutLimits
from outofsight.sampling.rollout_step import StepRecord
from outofsight.sampling.world import WorldModel


@dataclass(frozen=True, kw_only=True, eq=False)
class Rolled:
    """A rollout's answer: ``video`` uint8 [t, h, w, 3]; ``seconds`` by stage, all steps together; ``tracked``: what its
    tracker held, ``None`` without banks."""

    video: Video
    seconds: Mapping[str, float]
    tracked: Tracked | None = None


def roll(
    world: WorldModel,
    material: Material,
    settings: SamplingSettings,
    frames_per_step: int,
    tiling: LatentTiling | None = None,
) -> Rolled:
    """Continue a clip's context along its target cameras, ``frames_per_step`` latent frames at a time.

    Raises:
        InputError: the clip has no cameras or caption, or its target is not 4·k + 1 frames.
    """
    case = material.case
    if case.cameras is None or material.caption is None:
        raise InputError("a model needs the clip's cameras and caption, and there are none")
    spans = step_spans(case.num_target_frames, frames_per_step, world.temporal_stride)
    split = case.num_context_frames
    start = time.perf_counter()
    # nothing is taken back, and the data set's own cameras are taken as they are
    limits = RolloutLimits(keep_steps=0, max_move_m=np.inf, max_turn_deg=180.0)
    with world.start(
        case.context, case.cameras[:split], material.caption, settings=settings, limits=limits,
        subject_masks=asked_masks(world, material), tiling=tiling,
    ) as rollout:  # fmt: skip
        seconds = {"start": time.perf_counter() - start}
        videos, records = _all_steps(rollout, case, spans, seconds)
        tracked = None
        if world.transformer.has_banks:
            context = seen_context(world, case.context, case.cameras[:split], rollout.anchor, tiling)
            tracked = tracked_walk(context, [memory_step(record) for record in records])
        return Rolled(video=np.concatenate(videos), seconds=seconds, tracked=tracked)


def asked_masks(world: WorldModel, material: Material) -> NDArray[np.uint8] | None:
    """Give a model the true masks only where it asks for them; one that reads them itself is not told."""
    return material.instances if world.transformer.needs_subject_masks != "none" else None


def _all_steps(
    rollout: Rollout, case: ClipCase, spans: Sequence[slice], seconds: dict[str, float]
) -> tuple[list[Video], list[StepRecord]]:
    assert case.cameras is not None
    videos, records = [], []
    for span in spans:
        ahead = slice(case.num_context_frames + span.start, case.num_context_frames + span.stop)
        videos.append(rollout.step(case.cameras[ahead]))
        records.append(rollout.records[-1])
        for stage, spent in records[-1].seconds.items():
            seconds[stage] = seconds.get(stage, 0.0) + spent
    return videos, records


def step_spans(num_frames: int, frames_per_step: int, temporal_stride: int = 4) -> list[slice]:
    """Cut a target of video frames into steps of ``frames_per_step`` latent frames; the last may be shorter.

    Raises:
        InputError: steps of no frame, or a number of video frames that is not temporal_stride · k + 1.
    """
    if frames_per_step < 1:
        raise InputError(f"a rollout's step needs ≥ 1 latent frame, got {frames_per_step}")
    num_latent = len(latent_frames(num_frames, temporal_stride))
    firsts = range(0, num_latent, frames_per_step)
    ends = [temporal_stride * (min(first + frames_per_step, num_latent) - 1) + 1 for first in firsts]
    return [slice(start, end) for start, end in zip([0, *ends[:-1]], ends, strict=True)]


def memory_step(record: StepRecord, frames: Video | None = None) -> MemoryStep:
    """Take what a map shows from a rollout's record; ``frames``: the step's video frames, [n, h, w, 3].

    A latent frame is shown by the video frame that it stands for: its last one.
    """
    times = record.times.double().numpy()
    pictures = None
    if frames is not None:
        pictures = frames[(len(frames) - 1 - (times[-1] - times)).round().astype(int)]
    return MemoryStep(
        cameras=record.cameras, times=record.times, tracks=record.tracks, archive=record.archive,
        scores=record.scores, slots=record.slots, pictures=pictures,
    )  # fmt: skip
