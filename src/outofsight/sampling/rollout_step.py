"""One step of a rollout: from where it stands and the cameras to come, to new frames and where it then stands."""

import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from typing import Any, NamedTuple

import numpy as np
import torch
from jaxtyping import Float, Int
from numpy.typing import NDArray
from torch import Tensor

from outofsight.backbone.bank_memory import BankRemembering
from outofsight.backbone.extra_keys import BankKeys
from outofsight.codec.latent_tiling import LatentTiling
from outofsight.codec.placement import synchronize
from outofsight.codec.stream_decoding import decode_more
from outofsight.codec.video_vae import spatial_factor, through_skip
from outofsight.memory.banks.pictures import Pictures
from outofsight.memory.banks.state import Archive, Banks, RetrievedMemory, Tracks
from outofsight.memory.banks.two_banks import Observed
from outofsight.memory.rivals import extrapolated_masks
from outofsight.sampling.continuation import OnProgress, SamplingSettings
from outofsight.sampling.denoising import Conditions, Watching, denoise_by
from outofsight.sampling.inputs import to_uint8
from outofsight.sampling.remembered import Coming, RenderedTarget, render_target, see_pictures, to_pictures
from outofsight.sampling.rollout_state import RolloutState, flat_poses
from outofsight.types import CameraPath, LatentGrid
from outofsight.world_model import WorldModelBase


class Texts(NamedTuple):
    """Text states of the caption in force, and of what guidance leads away from (``None`` at guidance 1)."""

    caption: Float[Tensor, "1 l text_dim"]
    negative: Float[Tensor, "1 l text_dim"] | None


@dataclass(frozen=True, kw_only=True, eq=False)
class Sampler:
    """How a rollout makes frames: the same in every step."""

    world: WorldModelBase
    settings: SamplingSettings
    tiling: LatentTiling | None = None
    record_retrieval: bool = False
    on_progress: OnProgress | None = None


@dataclass(frozen=True, kw_only=True, eq=False)
class StepRecord:
    """What one step did, for whoever wants to see it.

    ``first_frame``, ``num_frames``: its video frames, counted from the first one shown. ``seconds``: by stage
    (``retrieve``, ``keys``, ``denoise``, ``observe``, ``decode``; without banks ``denoise`` and ``decode``).
    ``cameras`` [f, 12] ``anchor_from_camera`` and ``times`` [f] (video frames) of its latent frames.

    With banks: ``scores`` [f, archive slots + subject slots], ``slots``: those chosen; ``archive``: as retrieved from,
    ``tracks``: after each latent frame (batch axis: latent frames); both without tokens. ``slices`` [denoising steps,
    layers, frames, k]: memory slices retrieved, if asked for. ``rendered`` uint8 [num_frames, height, width, 3]: the
    same frames as memory renders them.
    """

    step: int
    prompt: str
    first_frame: int
    num_frames: int
    seconds: Mapping[str, float]
    cameras: Float[Tensor, "f 12"]
    times: Float[Tensor, " f"]
    scores: Float[Tensor, "f n"] | None = None
    slots: tuple[int, ...] = ()
    archive: Archive | None = None
    tracks: Tracks | None = None
    slices: Int[Tensor, "steps layers f k"] | None = None
    rendered: NDArray[np.uint8] | None = None


@dataclass
class Clock:
    """Adds up the seconds of each stage, and reports where a step is."""

    on_progress: OnProgress | None
    device: torch.device
    seconds: dict[str, float] = field(default_factory=dict)

    @contextmanager
    def stage(self, name: str) -> Iterator[None]:
        if self.on_progress is not None:
            self.on_progress(name, 0, 1)
        start = time.perf_counter()
        yield
        synchronize(self.device)
        self.seconds[name] = self.seconds.get(name, 0.0) + time.perf_counter() - start
        if self.on_progress is not None:
            self.on_progress(name, 1, 1)


class Ahead(NamedTuple):
    """The latent frames of a step. ``shown`` [f]: which of the step's video frames each lies at; ``poses`` [f, 3, 4]:
    ``world_from_camera`` there; ``anchored``: the same as ``anchor_from_camera``; ``times``: in video frames."""

    shown: NDArray[np.int64]
    poses: NDArray[np.float64]
    anchored: Float[Tensor, "1 f 12"]
    times: Float[Tensor, "1 f"]


def take_step(
    sampler: Sampler, state: RolloutState, cameras: CameraPath, num_latent: int, texts: Texts
) -> tuple[RolloutState, NDArray[np.uint8], StepRecord]:
    """Show the coming frames. ``state`` is left as it is; if anything fails, nothing has happened.

    Ask the banks what matters for the coming cameras and render it, denoise, decode, let the banks see what was made,
    and move the state on.
    """
    world, two_banks = sampler.world, sampler.world.transformer.two_banks
    clock = Clock(sampler.on_progress, world.work_device)
    ahead = _ahead(world, state, cameras)
    generator = torch.Generator()
    generator.set_state(state.generator)
    retrieved, rendered, seen, banks = None, None, None, state.banks
    if state.banks is not None:
        with clock.stage("retrieve"):
            retrieved = _retrieved(world.transformer, state, state.banks, ahead)
            banks = two_banks.note_use(state.banks, retrieved)
        if state.banks.views is not None and world.transformer.shows_rendered:
            with clock.stage("render"):
                rendered = _rendered(sampler, state, state.banks, cameras, generator)
    conditions = _conditions(sampler, state, ahead, texts, retrieved, rendered)
    if retrieved is not None and two_banks.settings.top_k and not world.transformer.shows_history:
        with clock.stage("keys"):
            conditions = conditions._replace(bank_keys=_keys(world.transformer, retrieved, texts))
    with clock.stage("denoise"):
        latents, slices = _denoised(sampler, conditions, num_latent, generator)
    after = _later(state, latents, ahead, conditions)
    with clock.stage("decode"), torch.no_grad():
        video, decoded = decode_more(world.decoder, latents, state.decoded, sampler.tiling)
        video = through_skip(world.vae, video, None if rendered is None else rendered.given)
        frames = to_uint8(video[0])
    if banks is not None:
        with clock.stage("observe"):
            banks, seen = _observed(world, banks, after, video, ahead, rendered)
    after = replace(
        trimmed(world.transformer, after), step=state.step + 1, num_frames=state.num_frames + len(frames),
        last_pose=torch.from_numpy(cameras.world_from_camera[-1].copy()), generator=generator.get_state(),
        decoded=decoded, banks=banks,
    )  # fmt: skip
    record = StepRecord(
        step=after.step, prompt=state.prompt, first_frame=state.num_frames, num_frames=len(frames),
        seconds=clock.seconds, cameras=ahead.anchored[0].cpu(), times=ahead.times[0].cpu(),
        slices=None if slices is None or slices.shape[-1] == 0 else slices[:, 0].cpu(),
        rendered=None if rendered is None else rendered.pixels, **_remembered(state, retrieved, seen),
    )  # fmt: skip
    return after, frames, record


def _ahead(world: WorldModelBase, state: RolloutState, cameras: CameraPath) -> Ahead:
    device = world.work_device
    shown = world.clock.frames(len(cameras), goes_on=state.goes_on)
    poses = cameras.world_from_camera[shown]
    times = torch.from_numpy(state.num_context_frames + state.num_frames + shown)[None]
    return Ahead(shown, poses, state.anchored(poses).to(device), times.to(device, torch.float32))


def kept_history(transformer: BankRemembering, reach: int) -> int:
    """Return how many latent frames of the past a model looks at: what its sequence holds of a context of ``reach``
    frames, and what its scene reader needs to read new ones."""
    config, context = transformer.config, transformer.context_settings  # type: ignore[attr-defined]
    whole = any(config[name] is not None for name in ("state_grid", "identity_grid", "state_space_every"))
    if whole or config["subject_mask"] != "none" or context.rule != "ends" or context.first > 0:
        return reach
    reader = transformer.two_banks.history if transformer.two_banks is not None else 0
    return min(reach, max(context.recent, reader, 1))


@torch.no_grad()
def observe_frames(
    transformer: BankRemembering,
    latents: Float[Tensor, "1 channels f h w"],
    anchored: Float[Tensor, "1 new 12"],
    times: Float[Tensor, "1 new"],
    banks: Banks | None,
    intrinsics: Float[Tensor, " 4"],
    pictures: Pictures | None = None,
) -> tuple[Banks, Observed]:
    """Show the newest of ``latents`` to the banks; those before them only help to read them."""
    needed = anchored.shape[1] + transformer.needed_banks().history
    return transformer.observe_context(
        latents[:, :, -needed:], anchored, times, banks, intrinsics.to(latents.device)[None], pictures
    )


@torch.no_grad()
def _retrieved(
    transformer: BankRemembering, state: RolloutState, banks: Banks, ahead: Ahead
) -> RetrievedMemory:
    """Ask the banks what matters for the coming cameras."""
    _, rows, columns = transformer.config["patch_size"]
    height, width = state.latents.shape[-2] // rows, state.latents.shape[-1] // columns
    grid = LatentGrid(frames=len(ahead.shown), height=height, width=width)
    lens = state.intrinsics.to(ahead.anchored.device)[None]
    return transformer.retrieve_for(
        banks, ahead.anchored, ahead.times, grid, state.latents.shape[2], state.reach, intrinsics=lens
    )


@torch.no_grad()
def _keys(transformer: BankRemembering, retrieved: RetrievedMemory, texts: Texts) -> dict[str, BankKeys]:
    """Make what is retrieved into keys and values, for the caption and for what guidance leads away from."""
    dtype = transformer.dtype
    keys = {"cond": transformer.memory_keys(retrieved, texts.caption.to(dtype))}
    if texts.negative is not None:
        keys["uncond"] = transformer.memory_keys(retrieved, texts.negative.to(dtype))
    return keys


def _rendered(
    sampler: Sampler, state: RolloutState, banks: Banks, cameras: CameraPath, generator: torch.Generator
) -> RenderedTarget | None:
    """Render what memory says of a step's video frames, in the picture's own size."""
    first = state.num_context_frames + state.num_frames
    coming = Coming(
        world_from_camera=cameras.world_from_camera,
        times=first + torch.arange(len(cameras), dtype=torch.float32),
        before=None if state.step == 0 else state.last_pose.numpy(),
        anchor=state.anchor.numpy(),
    )
    factor = spatial_factor(sampler.world.vae)
    size = (factor * state.latents.shape[-2], factor * state.latents.shape[-1])
    lens = state.intrinsics[None].to(sampler.world.work_device)
    return render_target(sampler.world, banks, coming, lens, size, generator, sampler.tiling)


def _conditions(
    sampler: Sampler,
    state: RolloutState,
    ahead: Ahead,
    texts: Texts,
    retrieved: RetrievedMemory | None,
    rendered: RenderedTarget | None,
) -> Conditions:
    """Poses are relative to the first camera of the step, as in training to that of the target."""
    device = sampler.world.work_device
    return Conditions(
        state.latents.to(device),
        texts.caption,
        texts.negative,
        flat_poses(state.poses, ahead.poses[0]).to(device),
        flat_poses(ahead.poses, ahead.poses[0]).to(device),
        intrinsics=state.intrinsics[None].to(device),
        subject_masks=None if state.masks is None else state.masks.to(device),
        retrieved=retrieved,
        rendered=None if rendered is None else rendered.condition,
    )


def _denoised(
    sampler: Sampler, conditions: Conditions, num_latent: int, generator: torch.Generator
) -> tuple[Tensor, Tensor | None]:
    """Draw noise on the CPU, so that a seed means the same on every device, and make latents of it."""
    world, settings, history = sampler.world, sampler.settings, conditions.context_latents
    shape = list(history.shape)
    noise = torch.randn([*shape[:2], num_latent, *shape[3:]], generator=generator).to(history.device)
    if settings.history_guidance_of(world.transformer.config) != 1:
        drawn = torch.randn(shape, generator=generator).to(history.device)
        conditions = conditions._replace(history_noise=drawn)
    report = sampler.on_progress
    watching = Watching(
        on_step=lambda done, total, _: report("denoise", done, total) if report is not None else None,
        record_retrieval=sampler.record_retrieval,
    )
    return denoise_by(world, noise, conditions, settings, watching=watching, generator=generator)


def _later(state: RolloutState, latents: Tensor, ahead: Ahead, conditions: Conditions) -> RolloutState:
    """Put new latent frames behind the history. Subjects' masks go on as they were last seen to move."""
    masks = state.masks
    if masks is not None:
        given = (conditions.context_cameras.to(masks), conditions.target_cameras.to(masks))
        masks = torch.cat((masks, extrapolated_masks(masks, *given, state.intrinsics[None].to(masks))), dim=2)
    return replace(
        state,
        latents=torch.cat((state.latents, latents.to(state.latents)), dim=2),
        poses=torch.cat((state.poses, torch.from_numpy(ahead.poses.copy()))),
        masks=masks,
    )


def _observed(
    world: WorldModelBase,
    banks: Banks,
    state: RolloutState,
    video: Tensor,
    ahead: Ahead,
    rendered: RenderedTarget | None,
) -> tuple[Banks, Observed]:
    """Show the banks the newest frames of a state, as latents and as pictures [1, n, 3, height, width].

    What is invented where memory was a hole is scenery: no view can tell yet whether it moved, and taken for subjects
    by its looks it would be left out of the views, invented anew at each visit, and never settle.
    """
    pictures = see_pictures(
        world, banks, to_pictures(video[:, torch.from_numpy(ahead.shown)]), ahead.anchored, ahead.times,
        state.intrinsics[None].to(world.work_device),
    )  # fmt: skip
    if pictures is not None:
        shares = pictures.subject
        if rendered is not None:
            shares = shares * rendered.remembered[:, torch.from_numpy(ahead.shown)].to(shares)
        pictures = Pictures(pictures.frames, shares, generated=True)
    return observe_frames(
        world.transformer, state.latents, ahead.anchored, ahead.times, banks, state.intrinsics, pictures
    )


def trimmed(transformer: BankRemembering, state: RolloutState) -> RolloutState:
    """Leave out the history that is no longer looked at."""
    kept = kept_history(transformer, state.reach)
    return replace(
        state,
        latents=state.latents[:, :, -kept:].clone(),
        poses=state.poses[-kept:].clone(),
        masks=None if state.masks is None else state.masks[:, :, -kept:].clone(),
    )


def _remembered(
    state: RolloutState, retrieved: RetrievedMemory | None, seen: Observed | None
) -> dict[str, Any]:
    """Gather what the banks retrieved and saw, on the CPU, without tokens: records must stay small."""
    if retrieved is None or seen is None or state.banks is None:
        return {}
    chosen = retrieved.slots[0][retrieved.known[0]].unique()
    archive = Archive(*(part.cpu() for part in state.banks.archive._replace(tokens=torch.empty(1, 0, 0, 0))))
    tracks = Tracks(*(part[0].cpu() for part in seen.tracks._replace(tokens=torch.empty(1, 0, 0, 0, 0))))
    return {
        "scores": retrieved.scores[0].float().cpu(),
        "slots": tuple(chosen.tolist()),
        "archive": archive,
        "tracks": tracks,
    }
