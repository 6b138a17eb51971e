"""The pipeline in diffusers' own terms: prompts, videos and cameras, in batches → frames."""

import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any, TypeVar

import numpy as np
import torch
from diffusers.utils import BaseOutput
from diffusers.utils.torch_utils import randn_tensor
from diffusers.video_processor import VideoProcessor
from jaxtyping import Float
from numpy.typing import NDArray
from torch import Tensor

from outofsight.codec.placement import synchronize
from outofsight.codec.text import clean_prompt
from outofsight.codec.video_vae import LatentTiling, through_skip
from outofsight.errors import InputError
from outofsight.geometry.conditioning import CameraConditioning
from outofsight.memory.banks.state import RetrievedMemory
from outofsight.sampling.continuation import OnProgress, Retrieval, SamplingSettings
from outofsight.sampling.denoising import Conditions, Watching, denoise_by
from outofsight.sampling.inputs import Cameras, as_pixels, check_prompt, conditioning, latent_subject_masks
from outofsight.sampling.remembered import GivenClip, RenderedTarget, given_lens, retrieve_for_target
from outofsight.types import CameraPath
from outofsight.world_model import WorldModelBase

OUTPUT_TYPES = ("np", "pt", "pil", "latent")
CALLBACK_TENSORS = ("latents", "prompt_embeds", "negative_prompt_embeds")

Generators = torch.Generator | Sequence[torch.Generator] | None
Item = TypeVar("Item")


@dataclass
class WorldModelOutput(BaseOutput):
    """``frames``: the target's alone, as ``output_type`` says: ``np`` float [b, n, height, width, 3] in [0, 1], ``pt``
    [b, n, 3, height, width], ``pil`` a list of pictures for each video, ``latent`` normalised [b, channels, f, h, w].

    ``retrieval``: of each video, if asked for. ``retrieved``: what the two banks gave, of a model that has banks.
    ``rendered`` uint8 [b, n, height, width, 3]: the same frames as memory renders them, of a model that is shown it.
    ``seconds``: spent in each stage.
    """

    frames: Any
    retrieval: tuple[Retrieval, ...] | None = None
    retrieved: RetrievedMemory | None = None
    rendered: NDArray[np.uint8] | None = None
    seconds: dict[str, float] = field(default_factory=dict)


@dataclass(frozen=True, kw_only=True, eq=False)
class Request:
    """What one call asks for, in the words of ``WorldModel.__call__``. Of ``settings``, ``generator`` and
    ``negative_prompt`` stand in for the seed and the negative prompt."""

    prompt: str | Sequence[str] | None
    video: Any
    context_cameras: CameraPath | Sequence[CameraPath | None] | None
    target_cameras: Cameras | Sequence[Cameras]
    settings: SamplingSettings
    negative_prompt: str | Sequence[str] | None = None
    num_videos_per_prompt: int = 1
    generator: Generators = None
    latents: Tensor | None = None
    prompt_embeds: Tensor | None = None
    negative_prompt_embeds: Tensor | None = None
    output_type: str = "np"
    attention_kwargs: dict[str, Any] | None = None
    callback_on_step_end: Any = None
    callback_on_step_end_tensor_inputs: Sequence[str] = ("latents",)
    subject_masks: Any = None
    tiling: LatentTiling | None = None
    record_retrieval: bool = False
    on_progress: OnProgress | None = None


@torch.no_grad()
def generate_clips(world: WorldModelBase, request: Request) -> WorldModelOutput:
    """Make the videos that are asked for. See ``WorldModel.__call__``."""
    _check(request)
    world._interrupt = False  # an interruption was another call's
    clock = _Stages(world, request.on_progress)
    texts, clips = _spread(world, request)
    each, device = request.num_videos_per_prompt, world.work_device
    with clock.stage("text"):
        text, negative = texts()
    with clock.stage("encode"):
        context = torch.cat([world.encode_video(clip.pixels, request.tiling) for clip in clips])
        context = context.repeat_interleave(each, dim=0)
    clips = [clip for clip in clips for _ in range(each)]
    drawing = _Drawing(request.generator, len(clips))
    placing = drawing.copies()
    num_target = len(clips[0].cameras.target)
    noise = drawing.noise([len(clips), context.shape[1], num_target, *context.shape[3:]], device)
    if request.latents is not None:
        noise = request.latents.to(noise)
    conditions = _conditions(clips, context, text, negative)
    if request.settings.history_guidance_of(world.transformer.config) != 1:
        conditions = conditions._replace(history_noise=drawing.noise(list(context.shape), device))
    rendered: list[RenderedTarget] = []
    if world.transformer.has_banks:
        with clock.stage("retrieve"):
            retrieved, rendered = _retrieve(world, clips, context, placing, request.tiling)
            shown = torch.cat([part.condition for part in rendered]) if rendered else None
            conditions = conditions._replace(retrieved=retrieved, rendered=shown)
    with clock.stage("denoise"):
        latents, slices = denoise_by(
            world, noise, conditions, request.settings, watching=_watching(world, request, clock),
            generator=request.generator, attention_kwargs=request.attention_kwargs,
        )  # fmt: skip
    with clock.stage("decode"):
        frames = _frames(world, latents, rendered, request)
    world.maybe_free_model_hooks()
    return WorldModelOutput(
        frames=frames,
        retrieval=_retrieval(world, slices, num_target),
        retrieved=conditions.retrieved,
        rendered=np.stack([part.pixels for part in rendered]) if rendered else None,
        seconds=clock.seconds,
    )


def _check(request: Request) -> None:
    if request.output_type not in OUTPUT_TYPES:
        raise InputError(
            f"output_type: expected one of {', '.join(OUTPUT_TYPES)}, got {request.output_type!r}"
        )
    if request.num_videos_per_prompt < 1:
        raise InputError(f"num_videos_per_prompt: expected ≥ 1, got {request.num_videos_per_prompt}")
    unknown = [name for name in request.callback_on_step_end_tensor_inputs if name not in CALLBACK_TENSORS]
    if unknown:
        raise InputError(
            f"callback_on_step_end_tensor_inputs: expected some of {', '.join(CALLBACK_TENSORS)}, got {unknown[0]!r}"
        )
    if (request.prompt is None) == (request.prompt_embeds is None):
        raise InputError("give either prompt or prompt_embeds")
    if request.negative_prompt is not None and request.negative_prompt_embeds is not None:
        raise InputError("give either negative_prompt or negative_prompt_embeds, not both")


def _spread(
    world: WorldModelBase, request: Request
) -> tuple[Callable[[], tuple[Tensor, Tensor | None]], list[GivenClip]]:
    """Bring what is given once or for each video to one for each video; returns how to encode the texts, and clips."""
    prompts = [] if request.prompt is None else _listed(request.prompt, str)
    negatives = [""] if request.negative_prompt is None else _listed(request.negative_prompt, str)
    for name, captions in (("prompt", prompts), ("negative_prompt", negatives)):
        for index, caption in enumerate(captions):
            check_prompt(caption)
            if name == "prompt" and not clean_prompt(caption):
                raise InputError(f"prompt {index} is empty; describe the scene and who is in it")
    parts: dict[str, Sequence[Any]] = {
        "prompt": prompts if request.prompt_embeds is None else list(request.prompt_embeds),
        "negative_prompt": negatives,
        "video": _listed_videos(request.video),
        "context_cameras": _listed(request.context_cameras, CameraPath | None),
        "target_cameras": _listed(request.target_cameras, CameraPath | CameraConditioning),
        "subject_masks": _listed_masks(request.subject_masks),
    }
    count = max(len(part) for part in parts.values())
    for name, part in parts.items():
        if len(part) not in (1, count):
            raise InputError(f"{name}: expected one, or one for each of {count} videos, got {len(part)}")
    wide = {name: list(part) * (count // len(part)) for name, part in parts.items()}
    given = [wide[name] for name in ("video", "context_cameras", "target_cameras", "subject_masks")]
    clips = [_clip(world, *each) for each in zip(*given, strict=True)]
    if len({(clip.pixels.shape, len(clip.cameras.target)) for clip in clips}) > 1:
        raise InputError("videos of one batch must have one size and as many frames, in context and target")

    def spread(states: Tensor) -> Tensor:
        wide = states.to(world.work_device).expand(count, -1, -1)
        return wide.repeat_interleave(request.num_videos_per_prompt, dim=0)

    def encode() -> tuple[Tensor, Tensor | None]:
        text, negative = request.prompt_embeds, request.negative_prompt_embeds
        away = negatives if request.settings.guidance_scale != 1 and negative is None else []
        if prompts or away:  # one visit of the text encoder to the GPU
            states = world.encode_text([*prompts, *away], allow_empty=True)
            text = states[: len(prompts)] if prompts else text
            negative = states[len(prompts) :] if away else negative
        assert text is not None
        return spread(text), None if negative is None else spread(negative)

    return encode, clips


def _listed(given: Any, single: Any) -> list[Any]:
    """Take one or several for several; what is neither is one, and refused where it is looked at."""
    return [given] if isinstance(given, single) or not isinstance(given, Iterable) else list(given)


def _listed_videos(video: Any) -> list[Any]:
    """Take a list of videos, an array of one or more, or one video as a list of pictures."""
    if isinstance(video, np.ndarray | Tensor):
        return list(video) if video.ndim == 5 else [video]
    if not isinstance(video, Sequence) or (len(video) > 0 and _is_picture(video[0])):
        return [video]
    return list(video)


def _is_picture(item: Any) -> bool:
    return hasattr(item, "convert") or (isinstance(item, np.ndarray) and item.ndim == 3)


def _listed_masks(masks: Any) -> list[Any]:
    if not isinstance(masks, Sequence) and getattr(masks, "ndim", 0) != 4:
        return [masks]
    return list(masks)


def _clip(
    world: WorldModelBase,
    video: Any,
    context: CameraPath | None,
    target: Cameras,
    ids: NDArray[np.uint8] | None,
) -> GivenClip:
    pixels = as_pixels(video, world)
    cameras = conditioning(world, pixels, context, target)
    num_target = world.clock.num_frames(len(cameras.target))
    masks = latent_subject_masks(world, ids, pixels.shape[1], num_target)
    return GivenClip(pixels, cameras, target, ids, masks)


def _conditions(
    clips: list[GivenClip], context: Float[Tensor, "b c f h w"], text: Tensor, negative: Tensor | None
) -> Conditions:
    device = context.device

    def poses(part: str) -> Tensor:
        return torch.stack([torch.from_numpy(getattr(clip.cameras, part)) for clip in clips]).to(device)

    lenses = [given_lens(clip.cameras, device) for clip in clips]
    known = [lens for lens in lenses if lens is not None]
    unknown = None if not known else torch.full_like(known[0], torch.nan)
    masks = [clip.masks for clip in clips if clip.masks is not None]
    return Conditions(
        context, text, negative, poses("context"), poses("target"),
        intrinsics=torch.cat([unknown if lens is None else lens for lens in lenses]) if known else None,  # type: ignore[misc]
        subject_masks=_padded(masks).to(device) if masks else None,
    )  # fmt: skip


def _padded(masks: list[Tensor]) -> Tensor:
    """Lay masks beside each other; clips with fewer subjects get empty ones."""
    most = max(mask.shape[1] for mask in masks)
    return torch.cat([torch.cat((m, m.new_zeros(1, most - m.shape[1], *m.shape[2:])), dim=1) for m in masks])


def _retrieve(
    world: WorldModelBase,
    clips: list[GivenClip],
    context: Tensor,
    placing: list[torch.Generator],
    tiling: LatentTiling | None,
) -> tuple[RetrievedMemory, list[RenderedTarget]]:
    """Ask each clip's banks by themselves, so that no result depends on the batch that it came in."""
    found, rendered = [], []
    for index, (clip, generator) in enumerate(zip(clips, placing, strict=True)):
        retrieved, shown = retrieve_for_target(world, context[index : index + 1], clip, generator, tiling)
        found.append(retrieved)
        rendered += [] if shown is None else [shown]
    return RetrievedMemory(*(torch.cat(parts) for parts in zip(*found, strict=True))), rendered


class _Drawing:
    """Draws noise by the caller's generators: one for all videos, or one for each."""

    def __init__(self, generators: Generators, count: int) -> None:
        if not isinstance(generators, torch.Generator | None) and len(generators) != count:
            raise InputError(
                f"generator: expected one, or one for each of {count} videos, got {len(generators)}"
            )
        self._given, self._count = generators, count

    def noise(self, shape: list[int], device: torch.device) -> Tensor:
        """Draw float32 noise where the generator lies; so a seed on the CPU means the same on every device."""
        given = self._given
        generator = list(given) if isinstance(given, Sequence) else given
        return randn_tensor(tuple(shape), generator=generator, device=device, dtype=torch.float32)

    def copies(self) -> list[torch.Generator]:
        """Return one generator a video, on the CPU, to draw where memory puts subjects; the caller's stand still."""
        given = self._given
        if isinstance(given, Sequence):
            return [_copy(generator) for generator in given]
        return [_copy(torch.default_generator if given is None else given)] * self._count


def _copy(generator: torch.Generator) -> torch.Generator:
    copy = torch.Generator()
    if generator.device.type == "cpu":
        copy.set_state(generator.get_state())
    else:
        copy.manual_seed(generator.initial_seed())
    return copy


def _watching(world: WorldModelBase, request: Request, clock: "_Stages") -> Watching:
    """Let the caller's callback see each step, and change it, as diffusers does."""
    callback = request.callback_on_step_end

    def after_step(
        step: int, timestep: Tensor, latents: Tensor, conditions: Conditions
    ) -> tuple[Tensor, Conditions]:
        tensors = {
            "latents": latents,
            "prompt_embeds": conditions.text,
            "negative_prompt_embeds": conditions.negative_text,
        }
        named = {name: tensors[name] for name in request.callback_on_step_end_tensor_inputs}
        changed: Mapping[str, Any] = callback(world, step, timestep, named) or {}
        text = changed.get("prompt_embeds", conditions.text)
        away = changed.get("negative_prompt_embeds", conditions.negative_text)
        return changed.get("latents", latents), conditions._replace(text=text, negative_text=away)

    return Watching(
        on_step=lambda done, total, _: clock.report("denoise", done, total),
        after_step=None if callback is None else after_step,
        interrupted=lambda: world.interrupt,
        record_retrieval=request.record_retrieval,
    )


def _frames(world: WorldModelBase, latents: Tensor, rendered: list[RenderedTarget], request: Request) -> Any:
    if request.output_type == "latent":
        return latents
    given = torch.cat([part.given for part in rendered]) if rendered else None
    video = through_skip(world.vae, world.decode_latents(latents, request.tiling), given)
    return VideoProcessor().postprocess_video(video.transpose(1, 2), output_type=request.output_type)


def _retrieval(
    world: WorldModelBase, retrieved: Tensor | None, num_target: int
) -> tuple[Retrieval, ...] | None:
    if retrieved is None or retrieved.shape[-1] == 0:
        return None  # nothing is retrieved where every frame sees all there is
    return tuple(
        Retrieval(
            slices=retrieved[:, index],
            frames_per_slice=world.transformer.memory_settings.kernel[0],
            num_context_latent_frames=retrieved.shape[3] - num_target,  # those that the strategy let in
        )
        for index in range(retrieved.shape[1])
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

    @contextmanager
    def stage(self, name: str) -> Iterator[None]:
        start = time.perf_counter()
        if name != "denoise":
            self.report(name, 0, 1)
        try:
            yield
        finally:
            if self._bar is not None:
                self._bar.close()
        synchronize(self._world.work_device)
        self.seconds[name] = time.perf_counter() - start
        if name != "denoise":
            self.report(name, 1, 1)
