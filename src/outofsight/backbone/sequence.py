"""What enters the transformer: inputs checked, context frames chosen, and all that the attention layers share.

One forward goes through this file from top to bottom: ``checked_grid``, ``choose_sequence``, ``attention_context``.
"""

from collections import deque
from collections.abc import Iterable, Mapping
from dataclasses import replace
from math import radians
from typing import Any, NamedTuple

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor
from torch.nn.functional import pad

from outofsight.backbone.extra_keys import BankKeys, ExtraTokens, OlderFrames
from outofsight.backbone.kept_context import KeptContext
from outofsight.errors import InputError
from outofsight.memory.banks.state import entries_at
from outofsight.memory.context_choice import ContextSettings, choose_context
from outofsight.memory.rivals import extrapolated_masks
from outofsight.memory.selectors import Kernel, fov_affinity, local_window, memory_grid, slices_inside
from outofsight.memory.settings import MemorySettings
from outofsight.nn.cameras import Lenses, intrinsics_from_fov
from outofsight.nn.rope import RotaryTable, ray_features, rotary_table
from outofsight.types import LatentGrid

CAMERA_DIM = 12  # a 3×4 pose, its rows one after the other


def checked_grid(
    config: Mapping[str, Any], latents: Tensor, context_cameras: Tensor, target_cameras: Tensor
) -> LatentGrid:
    """Return the token grid of a sequence.

    Raises:
        InputError: shapes that do not fit each other or the configuration.
    """
    check_patches(config, latents)
    batch, _, frames, height, width = latents.shape
    for name, cameras in (("context_cameras", context_cameras), ("target_cameras", target_cameras)):
        if cameras.ndim != 3 or cameras.shape[0] != batch or cameras.shape[2] != CAMERA_DIM:
            raise InputError(f"expected {name} [{batch}, frames, {CAMERA_DIM}], got {list(cameras.shape)}")
    if context_cameras.shape[1] + target_cameras.shape[1] != frames:
        raise InputError(
            f"{context_cameras.shape[1]} context and {target_cameras.shape[1]} target cameras do not make up the "
            f"{frames} latent frames; give one for each"
        )
    _, patch_rows, patch_columns = config["patch_size"]
    return LatentGrid(
        frames=frames,
        height=height // patch_rows,
        width=width // patch_columns,
        context_frames=context_cameras.shape[1],
    )


def check_patches(config: Mapping[str, Any], latents: Tensor) -> None:
    """Raise ``InputError`` if these are no latents [b, channels, f, height, width] that the patch divides."""
    if latents.ndim != 5 or latents.shape[1] != config["in_channels"]:
        raise InputError(
            f"expected latents [b, {config['in_channels']}, f, height, width], got {list(latents.shape)}"
        )
    height, width = latents.shape[-2:]
    _, patch_rows, patch_columns = config["patch_size"]
    if height % patch_rows or width % patch_columns:
        raise InputError(
            f"a latent picture must be divisible by the patch {patch_rows}×{patch_columns}, got {height}×{width}"
        )


def checked_timestep(timestep: Tensor, grid: LatentGrid, batch: int) -> Tensor:
    """Return the time step of each batch element [b], or of each of its frames [b, f].

    Raises:
        InputError: it is neither one for the whole batch, nor one for each video or frame.
    """
    if timestep.ndim == 1 and timestep.shape[0] in (1, batch):
        return timestep.expand(batch)
    if timestep.ndim == 2 and timestep.shape == (batch, grid.frames):
        return timestep
    raise InputError(
        f"expected a timestep of shape [1], [{batch}] or [{batch}, {grid.frames}], got {list(timestep.shape)}"
    )


def known_intrinsics(
    config: Mapping[str, Any],
    intrinsics: Lenses | None,
    batch: int,
    size: Iterable[int],
    device: torch.device,
) -> Float[Tensor, "b 4"]:
    """Return each clip's normalised intrinsics: those given, else (``None``, NaN) the configured field of view's.

    ``size``: height and width of the picture in any unit, since pixels are square.

    Raises:
        InputError: not four numbers for each clip.
    """
    height, width = size
    lens = intrinsics_from_fov(radians(config["camera_fov_x_deg"]), height, width, device)
    otherwise = lens.expand(batch, -1)
    if intrinsics is None:
        return otherwise
    if intrinsics.shape != otherwise.shape:
        raise InputError(
            f"expected intrinsics {list(otherwise.shape)} (fx, fy, cx, cy in shares of width and height), got "
            f"{list(intrinsics.shape)}"
        )
    return torch.where(intrinsics.isnan().any(dim=-1, keepdim=True), otherwise, intrinsics.float())


def looks_at_lens(config: Mapping[str, Any]) -> bool:
    """Tell whether anything in a model depends on the lens: rays, banks, overlap of views, masks carried on.

    Published models are given poses alone.
    """
    return bool(
        config["camera_ray_octaves"]
        or config["banks"] is not None
        or config["memory_affinity"] == "fov_overlap"
        or config["context_rule"] == "views"
        or config["subject_mask"] == "extrapolated"
    )


class Inputs(NamedTuple):
    """What a forward is given, checked. ``timestep``: [b], or one for each frame [b, f]. ``rendered``: rendered memory
    of the target that is shown as channels; ``history``: that is shown as tokens."""

    latents: Float[Tensor, "b channels f height width"]
    timestep: Tensor
    context_cameras: Float[Tensor, "b c 12"]
    target_cameras: Float[Tensor, "b t 12"]
    intrinsics: Lenses
    subject_masks: Float[Tensor, "b s frames height width"] | None
    rendered: Float[Tensor, "b n t height width"] | None
    history: Float[Tensor, "b n t height width"] | None
    grid: LatentGrid


class Sequence(NamedTuple):
    """The frames that the transformer works on.

    ``chosen``: the context frames among them, or ``None`` for all. ``times``: each frame's time in latent frames, for
    rotation.
    """

    latents: Float[Tensor, "b channels f height width"]
    timestep: Tensor
    context_cameras: Float[Tensor, "b c 12"]
    grid: LatentGrid
    chosen: Int[Tensor, "b c"] | None
    times: Float[Tensor, "b_or_1 f"]


def choose_sequence(given: Inputs, settings: ContextSettings) -> Sequence:
    """Leave out the context frames that the rule does not keep."""
    latents, timestep, context_cameras, target_cameras, intrinsics = given[:5]
    grid = given.grid
    if settings.rule == "all" or grid.context_frames == 0:
        times = torch.arange(grid.frames, device=latents.device)[None]
        return Sequence(latents, timestep, context_cameras, grid, None, times.float())
    poses = torch.cat((context_cameras, target_cameras), dim=1)
    chosen = choose_context(poses, intrinsics, grid, settings)
    whole, num_chosen = grid.context_frames, chosen.shape[1]
    target = torch.arange(whole, grid.frames, device=latents.device).expand(chosen.shape[0], -1)
    frames = torch.cat((chosen, target), dim=1)
    times = frames if settings.times == "kept" else torch.arange(frames.shape[1], device=frames.device)
    return Sequence(
        latents=kept_frames(latents, chosen, whole),
        timestep=entries_at(timestep, frames) if timestep.ndim == 2 else timestep,
        context_cameras=entries_at(context_cameras, chosen),
        grid=LatentGrid(
            frames=frames.shape[1], height=grid.height, width=grid.width, context_frames=num_chosen
        ),
        chosen=chosen,
        times=times.expand_as(frames).float(),
    )


def kept_frames(
    video: Float[Tensor, "b channels f height width"], chosen: Int[Tensor, "b c"] | None, num_context: int
) -> Float[Tensor, "b channels kept height width"]:
    """Return the chosen context frames (``None``: all) and all frames after the context."""
    if chosen is None:
        return video
    frames = video.movedim(2, 1)
    return torch.cat((entries_at(frames, chosen), frames[:, num_context:]), dim=1).movedim(1, 2)


def whole_again(
    sample: Float[Tensor, "b channels f height width"], sequence: Sequence, whole: LatentGrid
) -> Float[Tensor, "b channels whole height width"]:
    """Put frames back to their places in the whole video; zeros where a context frame was left out."""
    if sample.shape[2] == whole.frames:
        return sample
    if sequence.grid.context_frames == 0 or sequence.chosen is None:
        return pad(sample, (0, 0, 0, 0, whole.frames - sample.shape[2], 0))
    frames, chosen = sample.movedim(2, 1), sequence.chosen
    context = frames.new_zeros(frames.shape[0], whole.context_frames, *frames.shape[2:])
    places = chosen[:, :, None, None, None].expand(-1, -1, *frames.shape[2:])
    context = context.scatter(1, places, frames[:, : chosen.shape[1]])
    return torch.cat((context, frames[:, chosen.shape[1] :]), dim=1).movedim(1, 2)


def rotary_at(
    times: Float[Tensor, "b f"], grid: LatentGrid, head_dim: int, kernel: Kernel = (1, 1, 1)
) -> RotaryTable:
    """Tabulate each batch element's rotation: tokens [b, f · rows · columns] of a grid of video tokens, or of the
    memory tokens of ``kernel``: the middle of their time, the top-left corner of their space.

    Source: the published code (time 2j + 0.5, row 2p, column 2q for kernel 2×2×2).
    """
    tokens = memory_grid(grid, kernel)
    middles = times[:, : tokens.frames * kernel[0]].unflatten(1, (tokens.frames, kernel[0])).mean(dim=2)
    rows = torch.arange(tokens.height, device=times.device) * kernel[1]
    columns = torch.arange(tokens.width, device=times.device) * kernel[2]
    table = rotary_table(middles.flatten(), rows, columns, head_dim)
    shape = (times.shape[0], tokens.num_tokens)
    return RotaryTable(table.cos.unflatten(0, shape), table.sin.unflatten(0, shape))


def mask_channel(given: Inputs, form: str) -> Float[Tensor, "b 1 f height width"]:
    """Return the share of every latent pixel that any subject covers: as seen in the context, and in the target as
    ``form`` says (``extrapolated``, or ``true``: as given).

    Raises:
        InputError: no masks, or not those of the frames that the form needs.
    """
    masks, grid = given.subject_masks, given.grid
    needed = grid.frames if form == "true" else grid.context_frames
    if masks is None or masks.shape[2] < needed:
        got = "none" if masks is None else f"masks of {masks.shape[2]} latent frames"
        raise InputError(
            f"this model needs subject masks: expected subject_masks [b, subjects, {needed}, height, width] "
            f"(share of each latent pixel, 0 to 1), got {got}"
        )
    if form == "extrapolated":
        context = masks[:, :, : grid.context_frames]
        later = extrapolated_masks(
            context.float(), given.context_cameras, given.target_cameras, given.intrinsics
        )
        masks = torch.cat((context, later.to(context.dtype)), dim=2)
    return masks[:, :, : grid.frames].sum(dim=1, keepdim=True).clamp(max=1)


def older_frames(transformer: Any, given: Inputs, chosen: Int[Tensor, "b kept"] | None) -> OlderFrames | None:
    """Embed the context frames that are not among ``chosen`` (``None``: all are), oldest first; ``None``: none is left
    out."""
    grid = given.grid
    if chosen is None or chosen.shape[1] == grid.context_frames:
        return None
    left = torch.ones(len(chosen), grid.context_frames, dtype=torch.bool, device=chosen.device)
    left = left.scatter(1, chosen, False)
    count = grid.context_frames - chosen.shape[1]
    # The left-out frames' indices: those marked, moved to the front in order. No nonzero, which meta cannot tell.
    frames = left.long().argsort(dim=1, descending=True, stable=True)[:, :count]
    pictures = entries_at(given.latents.movedim(2, 1), frames).movedim(1, 2)
    poses = entries_at(given.context_cameras, frames)
    tokens = transformer.patch_embedding(pictures).flatten(3).permute(0, 2, 3, 1)
    octaves = transformer.config["camera_ray_octaves"]
    there = replace(grid, frames=count, context_frames=count)
    rays = ray_features(poses, there, given.intrinsics, octaves).to(tokens.dtype) if octaves else None
    return OlderFrames(tokens, poses.to(tokens.dtype), rays)


class SliceContext(NamedTuple):
    """What the layers of one forward share about memory slices.

    ``source``: the part of the sequence that slices are made of, from its first frame on. ``excluded``: slices that a
    frame must not choose. ``camera_scores``: scores that depend on cameras alone, or ``None`` where each layer
    scores by itself.
    """

    source: LatentGrid
    rotary: RotaryTable
    excluded: Bool[Tensor, "f m"]
    camera_scores: Float[Tensor, "b f m"] | None


class AttentionContext(NamedTuple):
    """All that the attention layers of one forward share: a block hands it on where Wan's has rotary embeddings.

    ``memory``: ``None`` where no slices are made. ``rays``: what ``ray_features`` says of every token, or ``None``.
    ``banks``: what the two banks give, or ``None``. ``log``: receives each layer's slices [b, f, k]; no list, which
    offloading hooks would copy. ``kept``: where the layers keep what the context is to them, or,
    once it is made, find it: then the sequence is the target alone.
    """

    grid: LatentGrid
    settings: MemorySettings
    rotary: RotaryTable
    context_cameras: Float[Tensor, "b c 12"]
    target_cameras: Float[Tensor, "b t 12"]
    windows: Int[Tensor, "f w"]
    memory: SliceContext | None
    rays: Float[Tensor, "b s n"] | None
    extra: ExtraTokens = ExtraTokens()
    banks: BankKeys | None = None
    frames_per_chunk: int | None = None
    log: deque[Tensor] | None = None
    kept: KeptContext | None = None

    @property
    def keeps_slices(self) -> bool:
        """Whether slices are of the context alone; others change with the target."""
        return self.memory is not None and self.memory.source.frames <= self.grid.context_frames


def attention_context(
    config: Mapping[str, Any], settings: MemorySettings, given: Inputs, sequence: Sequence
) -> AttentionContext:
    """Compute, once for a forward, what every layer needs of the sequence."""
    grid, latents = sequence.grid, sequence.latents
    windows = local_window(grid.frames, settings.local_window, latents.device)
    poses = torch.cat((sequence.context_cameras, given.target_cameras), dim=1)
    octaves, head_dim, memory = config["camera_ray_octaves"], config["attention_head_dim"], None
    if settings.retrieves:
        memory = _slice_context(settings, head_dim, sequence, windows, poses, given.intrinsics)
    return AttentionContext(
        grid=grid,
        settings=settings,
        rotary=rotary_at(sequence.times, grid, head_dim),
        context_cameras=sequence.context_cameras.to(latents.dtype),
        target_cameras=given.target_cameras.to(latents.dtype),
        windows=windows,
        memory=memory,
        rays=ray_features(poses, grid, given.intrinsics, octaves).to(latents.dtype) if octaves else None,
    )


def _slice_context(
    settings: MemorySettings,
    head_dim: int,
    sequence: Sequence,
    windows: Int[Tensor, "f w"],
    poses: Float[Tensor, "b f 12"],
    intrinsics: Lenses,
) -> SliceContext:
    """Compute what every layer needs to make and choose memory slices."""
    grid, kernel = sequence.grid, settings.kernel
    # "all": of the noisy target's frames too, as in the published code; so a target frame can retrieve another.
    source = grid if settings.source == "all" else replace(grid, frames=grid.context_frames)
    num_slices, scores = memory_grid(source, kernel).frames, None
    if settings.affinity == "fov_overlap":
        scores = fov_affinity(poses, intrinsics, num_slices, kernel[0])
    rotary = rotary_at(sequence.times, source, head_dim, kernel)
    return SliceContext(source, rotary, slices_inside(windows, num_slices, kernel[0]), scores)


def target_context(context: AttentionContext) -> AttentionContext:
    """Return what the layers need where the sequence is the target alone."""
    begins = context.grid.context_frames
    tokens = begins * context.grid.tokens_per_frame
    memory = context.memory
    if memory is not None:
        scores = None if memory.camera_scores is None else memory.camera_scores[:, begins:]
        memory = memory._replace(excluded=memory.excluded[begins:], camera_scores=scores)
    return context._replace(
        grid=target_grid(context.grid),
        rotary=RotaryTable(*(part[..., tokens:, :] for part in context.rotary)),
        context_cameras=context.context_cameras[:, :0],
        windows=context.windows[begins:],
        memory=memory,
        rays=None if context.rays is None else context.rays[:, tokens:],
    )


def target_sequence(sequence: Sequence) -> Sequence:
    """Leave the context out of a sequence."""
    begins, timestep = sequence.grid.context_frames, sequence.timestep
    return sequence._replace(
        latents=sequence.latents[:, :, begins:],
        timestep=timestep[:, begins:] if timestep.ndim == 2 else timestep,
        context_cameras=sequence.context_cameras[:, :0],
        grid=target_grid(sequence.grid),
    )


def target_grid(grid: LatentGrid) -> LatentGrid:
    return replace(grid, frames=grid.frames - grid.context_frames, context_frames=0)
