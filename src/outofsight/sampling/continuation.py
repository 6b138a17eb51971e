"""One-shot continuation: a context video, its cameras, the cameras to come and a caption → the video that follows."""

import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from math import inf
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from jaxtyping import Float, Int
from numpy.typing import NDArray
from pydantic import ConfigDict, ValidationError, model_validator
from pydantic.dataclasses import dataclass as validated_dataclass
from torch import Tensor

from outofsight.backbone.inputs import known_intrinsics
from outofsight.codec.checkpoint_files import save_state_dict
from outofsight.codec.video_vae import LatentTiling, spatial_factor, through_skip
from outofsight.data.latent_annotation import clip_spans, half_spans, latent_masks, subject_shares
from outofsight.errors import CameraError, InputError, VideoError
from outofsight.flow.schedule import sampling_sigmas
from outofsight.geometry.conditioning import CameraConditioning, camera_conditioning, latent_frames
from outofsight.memory.banks.state import Recall
from outofsight.memory.banks.two_banks import latent_times
from outofsight.sampling.denoising import Conditions, begin, denoise
from outofsight.sampling.remembered import (
    Coming,
    RenderedTarget,
    render_target,
    see_pictures,
    subject_share,
    to_pictures,
)
from outofsight.types import CameraPath
from outofsight.world_model import WorldModelBase

OnProgress = Callable[[str, int, int], None]
"""Called with a stage's name ("text", "encode", "recall" where there are banks, "denoise", "decode"), how much of it is
done, and the total."""

Cameras = CameraPath | CameraConditioning

MOST_STEPS = 10_000
SEEDS = 2**63


@validated_dataclass(frozen=True, kw_only=True, config=ConfigDict(extra="forbid"))
class SamplingSettings:
    """How to sample. The defaults are the published ones.

    ``shift``, ``history_guidance``: ``None`` takes the model's own. ``history_guidance``: how far a model with a noise
    level for each frame is led away from having no context; 1 is plain conditioning.
    ``negative_prompt``: what guidance leads away from. ``strength``: the noise level at which sampling begins from
    rendered memory, where the model is shown it; 1: from noise alone.
    """

    num_steps: int = 50
    guidance_scale: float = 5.0
    shift: float | None = None
    seed: int = 42
    negative_prompt: str = ""
    history_guidance: float | None = None
    strength: float = 1.0

    @model_validator(mode="after")
    def _check(self) -> "SamplingSettings":
        if not 1 <= self.num_steps <= MOST_STEPS:
            raise ValueError(f"num_steps must be 1 to {MOST_STEPS}, got {self.num_steps}")
        if not 0 <= self.guidance_scale < inf:
            raise ValueError(f"guidance_scale must be ≥ 0, got {self.guidance_scale}")
        if self.history_guidance is not None and not 0 <= self.history_guidance < inf:
            raise ValueError(f"history_guidance must be ≥ 0, got {self.history_guidance}")
        if not 0 < self.strength <= 1:
            raise ValueError(f"strength must lie in (0, 1], got {self.strength}")
        if self.shift is not None and not 0 < self.shift < inf:
            raise ValueError(f"shift must be > 0, got {self.shift}")
        if not -SEEDS <= self.seed < SEEDS:
            raise ValueError(f"seed must be a number of at most 63 bits, got {self.seed}")
        return self


@dataclass(frozen=True, kw_only=True)
class Retrieval:
    """Which memory slices each latent frame retrieved. Slice j covers latent frames [j·n, (j+1)·n)."""

    slices: Int[Tensor, "steps layers f k"]
    frames_per_slice: int
    num_context_latent_frames: int

    def save(self, path: Path) -> None:
        """Write a safetensors file: ``slices``, and the other fields as metadata."""
        metadata = {
            name: str(getattr(self, name)) for name in ("frames_per_slice", "num_context_latent_frames")
        }
        save_state_dict(path, {"slices": self.slices}, metadata)


@dataclass(frozen=True, kw_only=True)
class Continuation:
    """``video`` uint8 [n, height, width, 3]: the target frames alone. ``seconds``: spent in each stage.
    ``recall``: what the two banks recalled, of a model that has banks. ``rendered``: the same frames as memory renders
    them, of a model that is shown it; holes filled softly."""

    video: NDArray[np.uint8]
    settings: SamplingSettings
    seconds: dict[str, float] = field(default_factory=dict)
    retrieval: Retrieval | None = None
    recall: Recall | None = None
    rendered: NDArray[np.uint8] | None = None


def continue_video(
    world: WorldModelBase,
    video: NDArray[np.uint8] | Tensor,
    context_cameras: CameraPath | None,
    target_cameras: Cameras,
    prompt: str,
    settings: SamplingSettings,
    *,
    subject_masks: NDArray[np.uint8] | None = None,
    tiling: LatentTiling | None = None,
    record_retrieval: bool = False,
    on_progress: OnProgress | None = None,
) -> Continuation:
    """Show what follows ``video`` along ``target_cameras``. See ``WorldModel.continue_video``."""
    check_prompt(prompt)
    clock = _Stages(world, on_progress)
    pixels = as_pixels(video, world)
    cameras = _conditioning(world, pixels, context_cameras, target_cameras)
    device = world.work_device
    num_target = (len(cameras.target) - 1) * world.temporal_stride + 1
    masks = latent_subject_masks(world, subject_masks, pixels.shape[1], num_target)
    history_guidance = settings.history_guidance
    if history_guidance is None:
        history_guidance = float(world.transformer.config["history_guidance"])

    with clock.stage("text"):
        text = world.encode_text([prompt])
        guided = settings.guidance_scale != 1
        negative = world.encode_text([settings.negative_prompt], allow_empty=True) if guided else None
    with clock.stage("encode"):
        context = world.encode_video(pixels, tiling)
    conditions = Conditions(
        context,
        text,
        negative,
        torch.from_numpy(cameras.context)[None].to(device),
        torch.from_numpy(cameras.target)[None].to(device),
        intrinsics=_told_lens(cameras, device),
        subject_masks=None if masks is None else masks.to(device),
        history_noise=history_noise(context, cameras.target.shape[0], settings.seed),
    )
    rendered: RenderedTarget | None = None
    if world.transformer.has_banks:
        with clock.stage("recall"):
            seen = _Seen(pixels, context_cameras, target_cameras, subject_masks, settings.seed, tiling)
            recall, rendered = _recalled(world, context, cameras, seen)
            conditions = conditions._replace(
                recall=recall, rendered=None if rendered is None else rendered.condition
            )
    with clock.stage("denoise"):
        noise = target_noise(context, cameras.target.shape[0], settings.seed)
        sigmas = sampling_sigmas(
            settings.num_steps, world.shift if settings.shift is None else settings.shift
        )
        noise, sigmas = begin(noise, conditions.rendered, sigmas, settings.strength)
        latents, retrieved = denoise(
            world.transformer,
            noise,
            conditions,
            sigmas,
            settings.guidance_scale,
            history_guidance,
            on_step=lambda done, total, _: clock.report("denoise", done, total),
            record_retrieval=record_retrieval,
        )
    with clock.stage("decode"):
        given = None if rendered is None else rendered.given
        decoded = to_uint8(through_skip(world.vae, world.decode_latents(latents, tiling), given)[0])
    return Continuation(
        video=decoded,
        settings=settings,
        seconds=clock.seconds,
        retrieval=_retrieval(world, retrieved, cameras.target.shape[0]),
        recall=conditions.recall,
        rendered=None if rendered is None else rendered.pixels,
    )


def rendered_memory(
    world: WorldModelBase,
    video: NDArray[np.uint8] | Tensor,
    context_cameras: CameraPath,
    target_cameras: CameraPath,
    seed: int = 0,
    *,
    subject_masks: NDArray[np.uint8] | None = None,
    tiling: LatentTiling | None = None,
) -> NDArray[np.uint8]:
    """Render the target from a model's memory: uint8 [n, height, width, 3], holes filled softly; nothing is
    generated.

    Raises:
        InputError: the model's memory is not rendered.
    """
    if not world.transformer.shows_rendered:
        raise InputError(
            f"this model ({world.transformer.config['memory_strategy']}) renders no memory; choose one that does"
        )
    pixels = as_pixels(video, world)
    cameras = _conditioning(world, pixels, context_cameras, target_cameras)
    seen = _Seen(pixels, context_cameras, target_cameras, subject_masks, seed, tiling)
    _, rendered = _recalled(world, world.encode_video(pixels, tiling), cameras, seen)
    assert rendered is not None
    return rendered.pixels


def _told_lens(cameras: CameraConditioning, device: torch.device) -> Float[Tensor, "1 4"] | None:
    return None if cameras.intrinsics is None else torch.from_numpy(cameras.intrinsics)[None].to(device)


class _Seen(NamedTuple):
    """What the banks' pictures are made of, beside latents."""

    pixels: Float[Tensor, "1 t 3 height width"]
    context: CameraPath | None
    target: Cameras
    masks: NDArray[np.uint8] | None
    seed: int
    tiling: LatentTiling | None


@torch.no_grad()
def _recalled(
    world: WorldModelBase, context: Float[Tensor, "1 c f h w"], cameras: CameraConditioning, seen: _Seen
) -> tuple[Recall, RenderedTarget | None]:
    """Let the two banks see the context, and ask them what matters for the target, and what it will look like."""
    transformer, device = world.transformer, context.device
    past, ahead = (torch.from_numpy(poses)[None].to(device) for poses in (cameras.context, cameras.target))
    lens = known_intrinsics(transformer.config, _told_lens(cameras, device), context)
    frames, coming = context.shape[2], ahead.shape[1]
    times, later = (part[None] for part in latent_times(frames, coming, context.device))
    shown = to_pictures(seen.pixels[:, :: world.temporal_stride])
    told = seen.masks if transformer.shows_rendered else None
    share = subject_share(told, seen.pixels, world.temporal_stride)
    pictures = see_pictures(world, None, shown, past, times, lens, share)
    banks, _ = transformer.observe_context(context, past, times, None, lens, pictures)
    grid = transformer.picture_grid(context)
    recall = transformer.recall(banks, ahead, later, grid, frames, intrinsics=lens)
    if pictures is None:
        return recall, None
    if not isinstance(seen.target, CameraPath):
        raise CameraError(
            "this model is shown rendered memory, which needs the pose of every video frame: give camera paths, not "
            "the conditioning of latent frames"
        )
    first = seen.pixels.shape[1]
    path = Coming(
        world_from_camera=seen.target.world_from_camera,
        times=first + torch.arange(len(seen.target), dtype=torch.float32),
        before=None,
        anchor=seen.target.world_from_camera[0],
    )
    height, width = seen.pixels.shape[-2:]
    generator = torch.Generator().manual_seed(seen.seed)
    return recall, render_target(world, banks, path, lens, (height, width), generator, seen.tiling)


def target_noise(
    context: Float[Tensor, "b c f h w"], num_frames: int, seed: int
) -> Float[Tensor, "b c t h w"]:
    """Draw the published starting noise: float32, on the CPU, so that a seed means the same on every device.

    Each batch element has the noise it would have alone with seed, seed + 1, ...
    """
    batch, channels, _, height, width = context.shape
    shape = (1, channels, num_frames, height, width)
    drawn = [
        torch.randn(shape, generator=torch.Generator().manual_seed(seed + index)) for index in range(batch)
    ]
    return torch.cat(drawn).to(context.device)


def history_noise(
    context: Float[Tensor, "b c n h w"], num_target: int, seed: int
) -> Float[Tensor, "b c n h w"]:
    """Draw the noise that stands for no context, from the same generators, after the target's starting noise."""
    batch, channels, frames, height, width = context.shape
    drawn = []
    for index in range(batch):
        generator = torch.Generator().manual_seed(seed + index)
        torch.randn((1, channels, num_target, height, width), generator=generator)
        drawn.append(torch.randn((1, channels, frames, height, width), generator=generator))
    return torch.cat(drawn).to(context.device)


def latent_subject_masks(
    world: WorldModelBase, masks: NDArray[np.uint8] | None, num_context: int, num_target: int
) -> Float[Tensor, "1 s f h w"] | None:
    """Bring instance ids [n, height, width] to the share of each latent pixel that each subject covers, if the model
    asks for it: of the context's frames, or of the target's as well.

    Raises:
        InputError: the model asks for masks and there are none, or not of all frames that it asks for.
    """
    asked = world.transformer.needs_subject_masks
    if asked == "none":
        return None
    needed = num_context + (num_target if asked == "all" else 0)
    if masks is None or masks.ndim != 3 or len(masks) < needed:
        got = "none" if masks is None else f"an array {list(masks.shape)}"
        raise InputError(
            f"this model ({world.transformer.config['memory_strategy']}) is told where subjects are: expected "
            f"subject_masks uint8 [{needed}, height, width] of instance ids (0: no subject), got {got}"
        )
    spans = half_spans(num_context, world.temporal_stride)
    if asked == "all":
        spans = clip_spans(num_context, num_target, world.temporal_stride)
    ids, share = latent_masks(masks[:needed], spans, spatial_factor(world.vae))
    return torch.from_numpy(subject_shares(ids, share))[None]


def to_uint8(video: Float[Tensor, "t 3 height width"]) -> NDArray[np.uint8]:
    """Turn a video in [−1, 1] into pixels [t, height, width, 3]."""
    scaled = (video.float() + 1) * 127.5
    return scaled.round().clamp(0, 255).to(torch.uint8).permute(0, 2, 3, 1).cpu().numpy()


def as_pixels(
    video: NDArray[np.uint8] | Tensor, world: WorldModelBase
) -> Float[Tensor, "1 t 3 height width"]:
    """Check a context video and bring it to [1, t, 3, height, width] in [−1, 1]."""
    if isinstance(video, Tensor):
        if video.ndim == 4:
            video = video[None]
        if video.ndim != 5 or video.shape[0] != 1 or video.shape[2] != 3 or not video.is_floating_point():
            raise VideoError(
                f"expected a float video [t, 3, height, width] in [−1, 1], got {list(video.shape)}"
            )
        pixels = video.float()
    else:
        video = _as_array(video)
        if video.ndim != 4 or video.shape[-1] != 3 or video.dtype != np.uint8:
            raise VideoError(
                f"expected a uint8 video [t, height, width, 3], got {video.dtype} {list(video.shape)}"
            )
        pixels = torch.from_numpy(np.ascontiguousarray(video)).permute(0, 3, 1, 2)[None].float() / 127.5 - 1
    height, width = pixels.shape[-2:]
    step = world.size_step
    if height % step or width % step:
        near = f"{max(round(height / step), 1) * step}×{max(round(width / step), 1) * step}"
        raise VideoError(
            f"this model needs a height and width divisible by {step}, got {height}×{width}; try {near}"
        )
    latent_frames(pixels.shape[1], world.temporal_stride)
    return pixels


def check_lens(cameras: CameraPath, pixels: Float[Tensor, "1 t 3 height width"]) -> None:
    """Raise ``CameraError`` if the cameras' lens is of a picture of another shape."""
    if cameras.intrinsics is not None:
        cameras.intrinsics.scaled_to(width_px=pixels.shape[-1], height_px=pixels.shape[-2])


def _as_array(video: Any) -> NDArray[Any]:
    """Take a list of pictures (arrays, or PIL's) for a video. Raises ``VideoError`` for anything else."""
    if isinstance(video, np.ndarray):
        return video
    try:
        frames = [np.asarray(frame.convert("RGB") if hasattr(frame, "convert") else frame) for frame in video]
        return np.stack(frames)
    except (TypeError, ValueError) as error:
        raise VideoError(
            "expected a video as an array or tensor, or a list of pictures of one size, got a "
            f"{type(video).__name__}"
        ) from error


def check_prompt(prompt: object) -> None:
    """Raise ``InputError`` unless this is one caption."""
    if not isinstance(prompt, str):
        raise InputError(
            f"expected one caption as text, got a {type(prompt).__name__}; ask once for each caption"
        )


def as_settings(settings: "SamplingSettings | Mapping[str, Any] | None") -> SamplingSettings:
    """Take nothing, a dictionary or settings for settings. Raises ``InputError`` for anything else."""
    if settings is None or isinstance(settings, Mapping):
        return check_settings(**(settings or {}))
    if not isinstance(settings, SamplingSettings):
        raise InputError(
            f"expected SamplingSettings, or a dictionary of them, got a {type(settings).__name__}"
        )
    return settings


def check_cameras(cameras: object, what: str) -> None:
    """Raise ``CameraError`` unless this is a camera path."""
    if not isinstance(cameras, CameraPath | CameraConditioning):
        raise CameraError(
            f"{what}: expected a CameraPath, got a {type(cameras).__name__}; make one of poses [n, 3, 4] by "
            "CameraPath(world_from_camera=poses), or read a file by read_cameras"
        )


def _conditioning(
    world: WorldModelBase,
    pixels: Float[Tensor, "1 t 3 height width"],
    context: CameraPath | None,
    target: Cameras,
) -> CameraConditioning:
    """Check the cameras against the video and bring them to what the model reads."""
    num_context = pixels.shape[1]
    check_cameras(target, "the target's cameras")
    if context is not None:
        check_cameras(context, "the context's cameras")
    if isinstance(target, CameraConditioning):
        cameras = target
        expected = len(latent_frames(num_context, world.temporal_stride))
        if len(cameras.context) != expected:
            raise CameraError(
                f"{num_context} context frames are {expected} latent frames, but {len(cameras.context)} context "
                "cameras were given"
            )
        return cameras
    if context is None:
        raise CameraError(
            "expected the context's camera path beside the target's; give one pose for each frame"
        )
    if len(context) != num_context:
        raise CameraError(
            f"the context video has {num_context} frames, its camera path {len(context)}; give one each"
        )
    for path in (context, target):
        check_lens(path, pixels)
    return camera_conditioning(context, target, world.temporal_stride)


def _retrieval(world: WorldModelBase, retrieved: Tensor | None, num_target: int) -> Retrieval | None:
    if retrieved is None or retrieved.shape[-1] == 0:
        return None  # nothing is retrieved where every frame sees all there is
    return Retrieval(
        slices=retrieved[:, 0],
        frames_per_slice=world.transformer.memory_settings.kernel[0],
        num_context_latent_frames=retrieved.shape[3] - num_target,  # those that the strategy let in
    )


class _Stages:
    """Times the stages and reports how far they are."""

    def __init__(self, world: WorldModelBase, on_progress: OnProgress | None) -> None:
        self.seconds: dict[str, float] = {}
        self._world = world
        self._on_progress = on_progress
        self._bar: Any = None

    def report(self, stage: str, done: int, total: int) -> None:
        if self._on_progress is not None:
            self._on_progress(stage, done, total)
        elif stage == "denoise":
            self._bar = self._bar or self._world.progress_bar(total=total)
            self._bar.update(done - self._bar.n)
            if done == total:
                self._bar.close()

    @contextmanager
    def stage(self, name: str) -> Iterator[None]:
        start = time.perf_counter()
        if name != "denoise":
            self.report(name, 0, 1)
        yield
        if torch.cuda.is_available():
            torch.cuda.synchronize()
        self.seconds[name] = time.perf_counter() - start
        if name != "denoise":
            self.report(name, 1, 1)


def check_settings(**given: object) -> SamplingSettings:
    """Make settings, or say in one line what is wrong with them.

    Raises:
        InputError: an unknown or impossible setting.
    """
    try:
        return SamplingSettings(**given)  # type: ignore[arg-type]
    except ValidationError as error:
        reasons = [_fault(fault) for fault in error.errors()]
        raise InputError(f"sampling settings: {'; '.join(reasons)}") from error
    except TypeError as error:  # keys that are no words
        raise InputError(f"sampling settings: expected names and values ({error})") from error


def _fault(fault: Mapping[str, Any]) -> str:
    """Say what is wrong with a setting, without the validator's own words for it."""
    said = str(fault["msg"]).removeprefix("Value error, ").replace("Input should be", "expected")
    said = said.partition(", unable to parse")[0].replace("Unexpected keyword argument", "no such setting")
    name = ".".join(map(str, fault["loc"]))
    return f"{name}: {said}, got {fault['input']!r}" if name else said
