"""Rollouts: a world shown a few latent frames at a time, for as long as one walks on."""

from collections import deque
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from math import atan
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from outofsight.backbone.inputs import known_intrinsics
from outofsight.codec.latent_tiling import LatentTiling
from outofsight.codec.stream_decoding import Decoded
from outofsight.codec.text import clean_prompt
from outofsight.errors import CameraError, InputError
from outofsight.memory.banks.state import Banks, bank_tensors, banks_from_tensors
from outofsight.nn.turns import takes_turns
from outofsight.sampling.continuation import SamplingSettings
from outofsight.sampling.inputs import (
    as_pixels,
    check_cameras,
    check_lens,
    check_prompt,
    latent_subject_masks,
)
from outofsight.sampling.remembered import see_pictures, subject_share, to_pictures
from outofsight.sampling.rollout_files import Saved, check_model, save_rollout, weights_digest
from outofsight.sampling.rollout_memory import RolloutMemory
from outofsight.sampling.rollout_state import RolloutLimits, RolloutState, coming_latents
from outofsight.sampling.rollout_step import (
    OnProgress,
    Sampler,
    StepRecord,
    Texts,
    kept_history,
    observe,
    take_step,
)
from outofsight.types import CameraPath, LatentGrid
from outofsight.world_model import WorldModelBase

NUM_RECORDS = 1000
"""Records of steps that are kept; older ones are let go, so that an endless rollout stays bounded."""


@dataclass(frozen=True, kw_only=True)
class RolloutRequest:
    """How a rollout is begun; see ``WorldModel.start``."""

    prompt: str
    settings: SamplingSettings = field(default_factory=SamplingSettings)
    limits: RolloutLimits = field(default_factory=RolloutLimits)
    tiling: LatentTiling | None = None
    record_retrieval: bool = False
    on_progress: OnProgress | None = None


class Rollout:
    """A world that goes on, one step at a time. Made by ``WorldModel.start`` and ``WorldModel.resume``.

    ::

        with world.start(video, context_cameras, "A bus drives by.", seed=7) as rollout:
            frames = rollout.step(cameras)  # 4·(k − 1) + 1 cameras the first time, 4·k every later time
            rollout.prompt = "Snow begins to fall."
            rollout.save("walk")

    ``records``: of the last steps (``StepRecord``). ``notes``: JSON values of one's own, saved with the state.
    """

    def __init__(
        self,
        sampler: Sampler,
        limits: RolloutLimits,
        state: RolloutState,
        past: Mapping[int, RolloutState] | None = None,
        texts: Mapping[str, Texts] | None = None,
    ) -> None:
        self._sampler, self.limits = sampler, limits
        self._state: RolloutState | None = state
        self._past = dict(past or {})
        self._texts = dict(texts or {})
        self._digest: str | None = None
        self._strategy: str = sampler.world.transformer.config["memory_strategy"]
        self.records: deque[StepRecord] = deque(maxlen=NUM_RECORDS)
        self.notes: dict[str, Any] = {}

    @property
    def state(self) -> RolloutState:
        """Where the rollout stands. Raises ``InputError`` after ``close``."""
        if self._state is None:
            raise InputError("this rollout is closed; resume it from a saved state, or start another")
        return self._state

    @property
    def world(self) -> WorldModelBase:
        """The model that shows it."""
        return self._sampler.world

    @property
    def settings(self) -> SamplingSettings:
        """How its frames are sampled."""
        return self._sampler.settings

    @property
    def num_steps(self) -> int:
        """Steps made so far."""
        return self.state.step

    @property
    def num_frames(self) -> int:
        """Video frames shown so far, without the context's."""
        return self.state.num_frames

    @property
    def num_context_frames(self) -> int:
        """Video frames of the context."""
        return self.state.num_context_frames

    @property
    def last_pose(self) -> NDArray[np.float64]:
        """The camera of the last frame, ``world_from_camera`` [3, 4]: where the path goes on."""
        return self.state.last_pose.numpy().copy()

    @property
    def anchor(self) -> NDArray[np.float64]:
        """``world_from_anchor`` [3, 4]: the frame of reference of what the banks hold."""
        return self.state.anchor.numpy().copy()

    @property
    def fov_x_rad(self) -> float:
        """The camera's horizontal field of view: the context's, or the model's default."""
        return 2 * atan(0.5 / float(self.state.intrinsics[0]))

    @property
    def memory(self) -> RolloutMemory:
        """The two banks, to look at and to touch. Raises ``InputError`` where the model has none."""
        return RolloutMemory(self)

    @property
    def prompt(self) -> str:
        """The caption in force; a new one counts from the next step on."""
        return self.state.prompt

    @prompt.setter
    def prompt(self, prompt: str) -> None:
        check_prompt(prompt)
        state = self.state
        self._encoded(prompt)  # refuses an empty one
        self._state = replace(state, prompt=prompt)

    @takes_turns("world.transformer")
    def step(self, cameras: CameraPath) -> NDArray[np.uint8]:
        """Show what the coming cameras see: uint8 [n, height, width, 3], a frame for each.

        ``cameras``: of every coming video frame, in the world of the context's cameras; 4·(k − 1) + 1 of them in the
        first step, 4·k in every later one (for a VAE that makes 4 frames one). k latent frames are made at once.

        Raises:
            CameraError: another number of cameras, or one that does not go on with the path.
            InputError: the rollout is closed, or the model remembers in another way by now.
        """
        check_cameras(cameras, "the coming cameras")
        state = self.state
        self._check_strategy()
        stride = self.world.temporal_stride
        num_latent = coming_latents(state, cameras, self.limits, stride)
        after, frames, record = take_step(
            self._sampler, state, cameras, num_latent, self._encoded(state.prompt)
        )
        if self.limits.keep_steps:
            self._past[state.step] = state
            self._past.pop(after.step - self.limits.keep_steps - 1, None)
        self._state = after
        self.records.append(record)
        return frames

    def rewind(self, step: int) -> None:
        """Go back to the moment after ``step`` steps; the last ``limits.keep_steps`` steps can be taken back.

        The caption, the banks and the random generator are again what they were.

        Raises:
            InputError: that moment is not kept, or has not come yet.
        """
        state = self.state
        if step == state.step:
            return
        if step not in self._past:
            kept = sorted(self._past)
            reach = f"{kept[0]} to {state.step}" if kept else f"{state.step} alone"
            raise InputError(
                f"cannot rewind to step {step}: moments {reach} are kept (limits.keep_steps is "
                f"{self.limits.keep_steps}); save a state, or keep more steps"
            )
        self._state = self._past[step]
        self._past = {number: past for number, past in self._past.items() if number < step}
        while self.records and self.records[-1].step > step:
            self.records.pop()

    @property
    def first_kept(self) -> int:
        """The earliest step whose end can be gone back to."""
        return min(self._past, default=self.num_steps)

    def fork(self) -> "Rollout":
        """Return another rollout that stands at the same moment; the two then go their own ways."""
        other = Rollout(self._sampler, self.limits, self.state, self._past, self._texts)
        other.records.extend(self.records)
        other.notes, other._digest, other._strategy = dict(self.notes), self._digest, self._strategy
        return other

    def save(self, path: str | Path, *, with_past: bool = True) -> None:
        """Write the complete state into the folder ``path``: tensors as safetensors, the rest as JSON.

        An older state there is replaced at once or not at all; a crash leaves one of the two whole. Moments that can
        be rewound to are saved too, if ``with_past``. Records are not.

        Raises:
            OutputError: the folder holds other things, or cannot be written.
            InputError: ``notes`` are no JSON, the rollout is closed, or the model remembers in another way by now.
        """
        state = self.state
        self._check_strategy()
        if self._digest is None:
            self._digest = weights_digest(self.world)
        moments = {**(self._past if with_past else {}), state.step: state}
        texts = {moment.prompt: self._encoded(moment.prompt) for moment in moments.values()}
        saved = Saved(
            moments=moments,
            texts={prompt: text.caption for prompt, text in texts.items()},
            negative=texts[state.prompt].negative,
            settings=self.settings,
            limits=self.limits,
            tiling=self._sampler.tiling,
            notes=self.notes,
        )
        save_rollout(Path(path), saved, self.world, self._digest)

    def close(self) -> None:
        """Let go of everything; every later call is refused in one line."""
        self._state, self._past, self._texts = None, {}, {}
        self.records.clear()

    def __enter__(self) -> "Rollout":
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def replace_banks(self, banks: Banks) -> None:
        """Go on with other banks; ``memory`` makes them."""
        self._state = replace(self.state, banks=banks)

    def _check_strategy(self) -> None:
        """Refuse a state that was kept for another memory: it has other banks, or too short a history."""
        now = self.world.transformer.config["memory_strategy"]
        if now != self._strategy:
            raise InputError(
                f"this rollout remembers by {self._strategy}, its model by {now} since; call "
                f"world.remember_by({self._strategy!r}), or start another rollout"
            )

    def _encoded(self, prompt: str) -> Texts:
        """Encode a caption once; those of moments that cannot be come back to are forgotten."""
        if prompt not in self._texts:
            in_force = {moment.prompt for moment in (*self._past.values(), self.state)}
            self._texts = {kept: text for kept, text in self._texts.items() if kept in in_force}
            negative = next((text.negative for text in self._texts.values()), None)
            self._texts[prompt] = encode(self._sampler, prompt, negative)
        return self._texts[prompt]


def encode(sampler: Sampler, prompt: str, negative: Tensor | None = None) -> Texts:
    """Encode a caption, and what guidance leads away from where it is not given and needed.

    Raises:
        InputError: the caption is empty.
    """
    if not clean_prompt(prompt):
        raise InputError("the prompt is empty; describe the scene and who is in it")
    world, settings = sampler.world, sampler.settings
    if settings.guidance_scale == 1 or negative is not None:
        return Texts(world.encode_text([prompt]), negative)
    both = world.encode_text([prompt, settings.negative_prompt], allow_empty=True)  # one visit to the GPU
    return Texts(both[:1], both[1:])


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
    text = encode(sampler, request.prompt)
    latents = world.encode_video(pixels, request.tiling)
    shown = to_pictures(pixels[:, :: world.temporal_stride])
    told = subject_masks if world.transformer.shows_rendered else None
    share = subject_share(told, pixels, world.temporal_stride)
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
        banks, _ = observe(
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
    told = None if cameras.intrinsics is None else torch.from_numpy(cameras.intrinsics.normalized)[None]
    return known_intrinsics(world.transformer.config, told, latents.cpu()[:1])[0].clone()


def _check_start(world: WorldModelBase, num_context: int, cameras: CameraPath) -> None:
    if len(cameras) != num_context:
        raise CameraError(
            f"the context video has {num_context} frames, its camera path {len(cameras)}; give one each"
        )
    if world.transformer.needs_subject_masks == "all":
        name = world.transformer.config["memory_strategy"]
        raise InputError(
            f"this model ({name}) is told where subjects will be; a rollout does not know it, so choose another "
            "strategy, or continue_video with the masks of the target"
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
    digest = weights_digest(world)
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
    moments = {step: _placed(moment, device) for step, moment in saved.moments.items()}
    now = moments.pop(max(moments))
    rollout = Rollout(sampler, saved.limits, now, moments, texts)
    rollout.notes, rollout._digest = dict(saved.notes), digest
    return rollout


def _placed(state: RolloutState, device: torch.device) -> RolloutState:
    """Bring what the model works with to its device; poses and the generator stay on the CPU."""
    banks = state.banks
    if banks is not None:
        banks = banks_from_tensors({name: part.to(device) for name, part in bank_tensors(banks).items()})
    masks = None if state.masks is None else state.masks.to(device)
    return replace(state, latents=state.latents.to(device), masks=masks, banks=banks)
