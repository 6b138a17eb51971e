"""What every attention layer of a forward needs, computed once."""

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import torch
from jaxtyping import Float, Int
from torch import Tensor

from outofsight.backbone.attention import AttentionGuide, BankKeys, ExtraTokens, MemoryGuide
from outofsight.backbone.sequence import Sequence, rotary_at, slice_times
from outofsight.memory.selectors import (
    fov_affinity,
    local_window,
    memory_grid,
    memory_rotary_table,
    slices_inside,
    video_rotary_table,
)
from outofsight.memory.settings import MemorySettings
from outofsight.nn.rope import ray_features


def attention_guide(
    config: Mapping[str, Any],
    settings: MemorySettings,
    sequence: Sequence,
    target_cameras: Float[Tensor, "b t 12"],
    intrinsics: Float[Tensor, "b 4"],
    extra: ExtraTokens,
    banks: BankKeys | None,
) -> AttentionGuide:
    """Make the guide of a forward; ``frames_per_chunk`` and ``log`` are left unset."""
    grid, latents, times = sequence.grid, sequence.latents, sequence.times
    windows = local_window(grid.frames, settings.local_window, latents.device)
    poses = torch.cat((sequence.context_cameras, target_cameras), dim=1)
    octaves = config["camera_ray_octaves"]
    rays = ray_features(poses, grid, intrinsics, octaves).to(latents.dtype) if octaves else None
    head_dim = config["attention_head_dim"]
    return AttentionGuide(
        grid=grid,
        settings=settings,
        rotary=video_rotary_table(grid, head_dim, latents.device)
        if times is None
        else rotary_at(times, grid, head_dim),
        context_cameras=sequence.context_cameras.to(latents.dtype),
        target_cameras=target_cameras.to(latents.dtype),
        windows=windows,
        memory=_memory_guide(settings, head_dim, sequence, windows, poses, intrinsics)
        if settings.retrieves
        else None,
        rays=rays,
        extra=extra,
        banks=banks,
        frames_per_chunk=None,
        log=None,
    )


def _memory_guide(
    settings: MemorySettings,
    head_dim: int,
    sequence: Sequence,
    windows: Int[Tensor, "f w"],
    poses: Float[Tensor, "b f 12"],
    intrinsics: Float[Tensor, "b 4"],
) -> MemoryGuide:
    """Compute what every layer needs to make and choose memory slices."""
    grid, kernel = sequence.grid, settings.kernel
    source = grid if settings.source == "all" else replace(grid, frames=grid.context_frames)
    slices = memory_grid(source, kernel)
    scores = None
    if settings.affinity == "fov_overlap":
        scores = fov_affinity(poses, intrinsics, slices.frames, kernel[0])
    if sequence.times is None:
        rotary = memory_rotary_table(source, kernel, head_dim, poses.device)
    else:
        times = slice_times(sequence.times, source.frames, kernel)
        rotary = rotary_at(times, slices, head_dim, kernel[1:])
    return MemoryGuide(source, rotary, slices_inside(windows, slices.frames, kernel[0]), scores)
