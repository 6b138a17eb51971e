"""Rollouts to time: a model with any strategy's memory, a clip to begin with, and a camera that swings without end."""

import resource
from collections.abc import Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch

from outofsight.codec.stream_decoding import Decoded
from outofsight.demo.unseen_clip import UnseenRequest, unseen_clip
from outofsight.geometry.poses import pose
from outofsight.memory.strategies import strategy
from outofsight.model_folders import read_use
from outofsight.sampling.continuation import SamplingSettings
from outofsight.sampling.rollout import Rollout
from outofsight.sampling.rollout_state import RolloutState
from outofsight.sampling.world import WorldModel
from outofsight.training.models import with_memory
from outofsight.types import CameraPath, Clip
from outofsight.worlds.plan_config import PlanConfig
from outofsight.worlds.presets import mini_plan

SWING_DEG, PERIOD_FRAMES = 50.0, 160
"""The camera turns so far to either side, there and back in so many video frames: at most 2° a frame."""


def remembering(model: str, name: str, banks: Mapping[str, Any] | None = None) -> WorldModel:
    """Load a model and give it a strategy's memory. Weights it lacks begin untrained: for time and memory alone.

    ``banks``: settings of the two banks, where the strategy has them.
    """
    world = WorldModel.from_pretrained(model, dtype=torch.float32)
    if world.transformer.config["memory_strategy"] != name or banks:
        settings = dict(strategy(name).settings)
        if settings.get("banks") is not None:
            settings["banks"] = {**settings["banks"], **(banks or {})}
        world.register_modules(transformer=with_memory(world.transformer, name, settings, seed=0).eval())
    world.set_progress_bar_config(disable=True)
    return world


def begun(world: WorldModel, clip: Clip, num_steps: int) -> Rollout:
    """Start a rollout from a clip's context, with so many denoising steps; nothing is kept to go back to."""
    split = clip.num_context_frames
    settings = SamplingSettings(num_inference_steps=num_steps, guidance_scale=1.0)
    return world.start(
        clip.video[:split], clip.cameras[:split], clip.caption, settings=settings,
        subject_masks=clip.masks[:split] if clip.masks is not None else None,
        on_progress=lambda stage, done, total: None,
    )  # fmt: skip


def plan_for(model: str) -> PlanConfig:
    """Give worlds of the picture size, frames and rate that a model says it is used with, else the mini's."""
    use, plan = read_use(model), mini_plan()
    if use.size is None:
        return plan
    return replace(
        plan, num_context_frames=use.num_context_frames, num_target_frames=use.num_target_frames, fps=use.fps,
        height_px=use.size[0], width_px=use.size[1],
    )  # fmt: skip


def clip_for(model: str, seed: int = 7) -> Clip:
    """Render a clip for a model to begin with."""
    return unseen_clip(UnseenRequest(seed=seed), plan_for(model))


def swinging(start: np.ndarray, latent_frames: int) -> Iterator[CameraPath]:
    """Give the cameras of one step after another: a swing about the vertical from a pose [3, 4], without end."""
    frame = 0
    while True:
        count = 4 * latent_frames - 3 if frame == 0 else 4 * latent_frames
        angle = np.radians(SWING_DEG) * np.sin(2 * np.pi * (frame + 1 + np.arange(count)) / PERIOD_FRAMES)
        c, s, zero, one = np.cos(angle), np.sin(angle), np.zeros(count), np.ones(count)
        turns = np.stack([c, -s, zero, s, c, zero, zero, zero, one], axis=-1).reshape(count, 3, 3)
        yield CameraPath(world_from_camera=pose(turns @ start[:, :3], np.tile(start[:, 3], (count, 1))))
        frame += count


def forth_and_back(count: int, turn: int) -> range:
    """Give the order of a round: 0 1 2 in even ones, 2 1 0 in odd ones, so that nobody always comes after another."""
    return range(count) if turn % 2 == 0 else range(count - 1, -1, -1)


def state_bytes(state: RolloutState) -> int:
    """Count the bytes of the tensors that a rollout stands on."""
    return _bytes(vars(state).values())


def _bytes(parts: Any) -> int:
    total = 0
    for part in parts:
        if hasattr(part, "element_size"):
            total += part.numel() * part.element_size()
        elif isinstance(part, Decoded):
            total += _bytes(vars(part).values() if hasattr(part, "__dict__") else part)
        elif isinstance(part, list | tuple):
            total += _bytes(part)
        elif isinstance(part, Mapping):
            total += _bytes(part.values())
    return total


def resident_bytes() -> int:
    """Tell how much memory the process holds now (Linux), else the most it held."""
    status = Path("/proc/self/statm")
    if status.is_file():
        return int(status.read_text(encoding="ascii").split()[1]) * resource.getpagesize()
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
