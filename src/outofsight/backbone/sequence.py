"""What enters the transformer's sequence: the chosen context frames, the target, their times, and masks beside them."""

from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any, NamedTuple, Protocol

import torch
from jaxtyping import Float, Int
from torch import Tensor

from outofsight.backbone.attention import OlderFrames
from outofsight.errors import InputError
from outofsight.memory.context_choice import ContextSettings, choose_context
from outofsight.memory.rivals import extrapolated_masks
from outofsight.memory.selectors import Kernel
from outofsight.nn.rope import RotaryTable, ray_features, rotary_table
from outofsight.types import LatentGrid


class Sequence(NamedTuple):
    """The frames that the transformer works on.

    ``chosen``: the context frames among them, or ``None`` for all. ``times``: each frame's time in latent frames, for
    rotation, or ``None`` for 0, 1, 2, ...
    """

    latents: Float[Tensor, "b channels f height width"]
    timestep: Tensor
    context_cameras: Float[Tensor, "b c 12"]
    grid: LatentGrid
    chosen: Int[Tensor, "b c"] | None
    times: Float[Tensor, "b f"] | None


def choose_sequence(
    latents: Float[Tensor, "b channels f height width"],
    timestep: Tensor,
    context_cameras: Float[Tensor, "b c 12"],
    target_cameras: Float[Tensor, "b t 12"],
    intrinsics: Float[Tensor, "b 4"],
    grid: LatentGrid,
    settings: ContextSettings,
) -> Sequence:
    """Leave out the context frames that the rule does not keep. ``timestep``: [b], or one for each frame [b, f]."""
    if settings.rule == "all" or grid.context_frames == 0:
        return Sequence(latents, timestep, context_cameras, grid, None, None)
    poses = torch.cat((context_cameras, target_cameras), dim=1)
    chosen = choose_context(poses, intrinsics, grid, settings)
    whole, num_chosen = grid.context_frames, chosen.shape[1]
    target = torch.arange(whole, grid.frames, device=latents.device).expand(chosen.shape[0], -1)
    frames = torch.cat((chosen, target), dim=1)
    batch = torch.arange(chosen.shape[0], device=latents.device)[:, None]
    times = frames if settings.times == "kept" else torch.arange(frames.shape[1], device=frames.device)
    return Sequence(
        latents=kept_frames(latents, chosen, whole),
        timestep=timestep[batch, frames] if timestep.ndim == 2 else timestep,
        context_cameras=context_cameras[batch, chosen],
        grid=LatentGrid(
            frames=frames.shape[1], height=grid.height, width=grid.width, context_frames=num_chosen
        ),
        chosen=chosen,
        times=times.expand_as(frames).double(),
    )


def kept_frames(
    video: Float[Tensor, "b channels f height width"], chosen: Int[Tensor, "b c"], num_context: int
) -> Float[Tensor, "b channels kept height width"]:
    """Return the chosen context frames and all frames after the context."""
    frames = video.movedim(2, 1)
    batch = torch.arange(chosen.shape[0], device=video.device)[:, None]
    return torch.cat((frames[batch, chosen], frames[:, num_context:]), dim=1).movedim(1, 2)


def whole_again(
    sample: Float[Tensor, "b channels f height width"],
    chosen: Int[Tensor, "b c"],
    num_context: int,
) -> Float[Tensor, "b channels whole height width"]:
    """Put frames back to their places in the whole video; zeros where a context frame was left out."""
    frames = sample.movedim(2, 1)
    num_chosen = chosen.shape[1]
    context = frames.new_zeros(frames.shape[0], num_context, *frames.shape[2:])
    places = chosen[:, :, None, None, None].expand(-1, -1, *frames.shape[2:])
    context = context.scatter(1, places, frames[:, :num_chosen])
    return torch.cat((context, frames[:, num_chosen:]), dim=1).movedim(1, 2)


def rotary_at(
    times: Float[Tensor, "b f"], grid: LatentGrid, head_dim: int, step: tuple[int, int] = (1, 1)
) -> RotaryTable:
    """Tabulate each batch element's rotation: tokens [b, f · rows · columns]. ``step``: tokens between positions."""
    rows = torch.arange(grid.height, device=times.device) * step[0]
    columns = torch.arange(grid.width, device=times.device) * step[1]
    table = rotary_table(times.flatten(), rows, columns, head_dim)
    shape = (times.shape[0], times.shape[1] * grid.tokens_per_frame)
    return RotaryTable(table.cos.unflatten(0, shape), table.sin.unflatten(0, shape))


def slice_times(times: Float[Tensor, "b f"], source_frames: int, kernel: Kernel) -> Float[Tensor, "b m"]:
    """Return the middle of each memory slice's time."""
    num_slices = source_frames // kernel[0]
    return times[:, : num_slices * kernel[0]].unflatten(1, (num_slices, kernel[0])).mean(dim=2)


def mask_channel(
    masks: Float[Tensor, "b s f height width"] | None,
    grid: LatentGrid,
    context_cameras: Tensor,
    target_cameras: Tensor,
    form: str,
    intrinsics: Float[Tensor, "b 4"],
) -> Float[Tensor, "b 1 f height width"]:
    """Return the share of every latent pixel that any subject covers: as seen in the context, and in the target as
    ``form`` says (``extrapolated``, or ``true``: as given).

    Raises:
        InputError: no masks, or not those of the frames that the form needs.
    """
    needed = grid.frames if form == "true" else grid.context_frames
    if masks is None or masks.shape[2] < needed:
        got = "none" if masks is None else f"masks of {masks.shape[2]} latent frames"
        raise InputError(
            f"this model is told where subjects are: expected subject_masks [b, subjects, {needed}, height, width] "
            f"(share of each latent pixel, 0 to 1), got {got}"
        )
    if form == "extrapolated":
        context = masks[:, :, : grid.context_frames]
        later = extrapolated_masks(context.float(), context_cameras, target_cameras, intrinsics)
        masks = torch.cat((context, later.to(context.dtype)), dim=2)
    return masks[:, :, : grid.frames].sum(dim=1, keepdim=True).clamp(max=1)


class _Embedding(Protocol):
    config: Mapping[str, Any]
    patch_embedding: Callable[[Tensor], Tensor]


def older_frames(
    transformer: _Embedding,
    latents: Float[Tensor, "b channels f height width"],
    cameras: Float[Tensor, "b c 12"],
    intrinsics: Float[Tensor, "b 4"],
    grid: LatentGrid,
    chosen: Int[Tensor, "b kept"] | None,
) -> OlderFrames | None:
    """Embed the context frames that are not among ``chosen`` (``None``: all are), oldest first; ``None``: none is left
    out."""
    if chosen is None or chosen.shape[1] == grid.context_frames:
        return None
    left = torch.ones(len(chosen), grid.context_frames, dtype=torch.bool, device=chosen.device)
    left = left.scatter(1, chosen, False)
    count = grid.context_frames - chosen.shape[1]
    # The left-out frames' indices: those marked, moved to the front in order. No nonzero, which meta cannot tell.
    frames = left.long().argsort(dim=1, descending=True, stable=True)[:, :count]
    batch = torch.arange(len(chosen), device=chosen.device)[:, None]
    pictures = latents.movedim(2, 1)[batch, frames].movedim(1, 2)
    poses = cameras[batch, frames]
    tokens = transformer.patch_embedding(pictures).flatten(3).permute(0, 2, 3, 1)
    octaves = transformer.config["camera_ray_octaves"]
    there = replace(grid, frames=count, context_frames=count)
    rays = ray_features(poses, there, intrinsics, octaves).to(tokens.dtype) if octaves else None
    return OlderFrames(tokens, poses.to(tokens.dtype), rays)
