"""``WorldModel``: a world model together with what it can do."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from outofsight.codec.video_vae import LatentTiling
from outofsight.errors import CheckpointError
from outofsight.memory.strategies import strategy
from outofsight.nn.turns import takes_turns
from outofsight.sampling.continuation import Continuation, OnProgress, SamplingSettings, as_settings
from outofsight.sampling.inputs import Cameras, check_prompt
from outofsight.sampling.pipeline import Generators, Request, WorldModelOutput, generate_clips
from outofsight.sampling.rollout import Rollout
from outofsight.sampling.rollout_files import load_rollout
from outofsight.sampling.rollout_start import resume_rollout, start_rollout
from outofsight.sampling.rollout_state import RolloutLimits, as_limits
from outofsight.sampling.rollout_step import Sampler
from outofsight.types import CameraPath
from outofsight.world_model import WorldModelBase


class _Resume:
    """``WorldModel.resume(path)`` loads the model that a state names; ``world.resume(path)`` goes on with ``world``."""

    def __get__(
        self, world: "WorldModel | None", kind: "type[WorldModel]"
    ) -> Callable[..., Rollout]:  # called by Python
        def resume(
            path: str | Path,
            *,
            record_retrieval: bool = False,
            on_progress: OnProgress | None = None,
            **loading: Any,
        ) -> Rollout:
            """Go on with a saved rollout, bit for bit where the same machine goes on.

            ``loading``: of ``from_pretrained``, where the model is yet to be loaded (``dtype`` is as it was).

            Raises:
                CheckpointError: no state, a damaged one, or another model's. The state is left as it is.
            """
            saved, manifest = load_rollout(Path(path))
            model = world if world is not None else _load_named(kind, Path(path), manifest, loading)
            sampler = Sampler(
                world=model, settings=saved.settings, tiling=saved.tiling, record_retrieval=record_retrieval,
                on_progress=on_progress,
            )  # fmt: skip
            return resume_rollout(sampler, Path(path), saved, manifest)

        return resume


class WorldModel(WorldModelBase):
    """A world model that shows what comes next: at once, or step by step.

    ::

        world = WorldModel.from_pretrained("path/to/model", dtype=torch.bfloat16).to("cuda")
        result = world.continue_video(video, context_path, target_path, "A man walks down a street.")

        rollout = world.start(video, context_path, "A man walks down a street.", seed=7)
        frames = rollout.step(target_path)
        rollout.save("harbour")
        rollout = WorldModel.resume("harbour")
    """

    resume = _Resume()

    @takes_turns("transformer")
    def __call__(
        self,
        prompt: str | Sequence[str] | None = None,
        negative_prompt: str | Sequence[str] | None = None,
        *,
        video: Any,
        context_cameras: CameraPath | Sequence[CameraPath] | None,
        target_cameras: Cameras | Sequence[Cameras],
        num_inference_steps: int = 50,
        guidance_scale: float = 5.0,
        num_videos_per_prompt: int = 1,
        generator: Generators = None,
        latents: Tensor | None = None,
        prompt_embeds: Tensor | None = None,
        negative_prompt_embeds: Tensor | None = None,
        output_type: str = "np",
        return_dict: bool = True,
        attention_kwargs: dict[str, Any] | None = None,
        callback_on_step_end: Callable[..., Mapping[str, Any]] | None = None,
        callback_on_step_end_tensor_inputs: Sequence[str] = ("latents",),
        subject_masks: Any = None,
        shift: float | None = None,
        strength: float = 1.0,
        history_guidance: float | None = None,
        tiling: LatentTiling | None = None,
        record_retrieval: bool = False,
        on_progress: OnProgress | None = None,
    ) -> WorldModelOutput | tuple[Any, ...]:
        """Show what follows each video, in the terms of diffusers' pipelines.

        Prompts, videos, camera paths and masks are given once, or once for each video of the batch; one size and one
        number of frames for all. ``video``, ``context_cameras``, ``target_cameras``, ``subject_masks``, ``tiling``,
        ``record_retrieval``, ``on_progress``: as in ``continue_video``. ``generator``: one, or one for each video (a
        list); on the CPU a seed means the same on every device. ``latents``: starting noise of the target. ``shift``,
        ``strength``, ``history_guidance``: as in ``SamplingSettings``. ``output_type``: ``np``, ``pt``, ``pil`` or
        ``latent``. ``callback_on_step_end(pipe, step, timestep, tensors)`` returns the tensors that it changes
        (``latents``, ``prompt_embeds``, ``negative_prompt_embeds``); ``pipe._interrupt = True`` stops after that step.
        What samples is ``scheduler``; assign another of diffusers' flow schedulers to it.

        Raises:
            VideoError, CameraError, InputError: as ``continue_video``; or parts of another number than the batch, or a
                scheduler that makes no flow.
        """
        settings = SamplingSettings(
            num_inference_steps=num_inference_steps, guidance_scale=guidance_scale, shift=shift, strength=strength,
            history_guidance=history_guidance,
        )  # fmt: skip
        request = Request(
            prompt=prompt, video=video, context_cameras=context_cameras, target_cameras=target_cameras,
            settings=settings, negative_prompt=negative_prompt, num_videos_per_prompt=num_videos_per_prompt,
            generator=generator, latents=latents, prompt_embeds=prompt_embeds,
            negative_prompt_embeds=negative_prompt_embeds, output_type=output_type,
            attention_kwargs=attention_kwargs, callback_on_step_end=callback_on_step_end,
            callback_on_step_end_tensor_inputs=callback_on_step_end_tensor_inputs, subject_masks=subject_masks,
            tiling=tiling, record_retrieval=record_retrieval, on_progress=on_progress,
        )  # fmt: skip
        made = generate_clips(self, request)
        return made if return_dict else (made.frames,)

    @takes_turns("transformer")
    def start(
        self,
        video: NDArray[np.uint8] | Tensor,
        context_cameras: CameraPath,
        prompt: str,
        *,
        seed: int | None = None,
        settings: SamplingSettings | Mapping[str, Any] | None = None,
        limits: RolloutLimits | Mapping[str, Any] | None = None,
        subject_masks: NDArray[np.uint8] | None = None,
        tiling: LatentTiling | None = None,
        record_retrieval: bool = False,
        on_progress: OnProgress | None = None,
    ) -> Rollout:
        """Begin a rollout: a video that is shown a few latent frames at a time, without end.

        ``video``, ``context_cameras``, ``subject_masks``, ``tiling``: as in ``continue_video``; masks of the context
        alone, which are carried on as subjects were last seen to move. ``seed``: in place of ``settings.seed``.
        ``limits``: how many steps can be taken back, and how far a camera may jump. ``on_progress``: told of each
        stage of each step.

        Raises:
            VideoError, CameraError, InputError: as ``continue_video``; or a bank that is too small for a frame, or a
                strategy that needs masks of where subjects will be.
        """
        settings = as_settings(settings)
        sampler = Sampler(
            world=self,
            settings=settings if seed is None else replace(settings, seed=seed),
            tiling=tiling,
            record_retrieval=record_retrieval,
            on_progress=on_progress,
        )
        return start_rollout(sampler, as_limits(limits), prompt, video, context_cameras, subject_masks)

    @takes_turns("transformer")
    def continue_video(
        self,
        video: NDArray[np.uint8] | Tensor,
        context_cameras: CameraPath | None,
        target_cameras: Cameras,
        prompt: str,
        settings: SamplingSettings | Mapping[str, Any] | None = None,
        *,
        subject_masks: NDArray[np.uint8] | None = None,
        tiling: LatentTiling | None = None,
        record_retrieval: bool = False,
        on_progress: OnProgress | None = None,
    ) -> Continuation:
        """Show what follows ``video`` along ``target_cameras``.

        ``video``: uint8 [n, height, width, 3], or float [n, 3, height, width] in [−1, 1]; any n = 4k + 1, published
        77. ``context_cameras``, ``target_cameras``: one world pose for each video frame, any 4k + 1 target frames;
        a ``CameraConditioning`` in place of the target holds both halves already and leaves the context ``None``.
        Their ``intrinsics``, of the video at any size of its shape, are the lens; where neither has them, the model's
        default stands in (``transformer.config["camera_fov_x_deg"]``).
        ``subject_masks``: uint8 [n, height, width], which subject (0: none) each pixel of the context shows, or of the
        whole clip; models of some strategies ask for it (``transformer.needs_subject_masks``), others do not look.
        ``tiling``: encode and decode in overlapping tiles, for less memory. ``record_retrieval``: keep which memory
        slices each frame retrieved, at each layer and step. ``on_progress``: replaces the progress bar.

        Raises:
            VideoError: a size or type that the model cannot take.
            CameraError: cameras that do not fit the video, or two lenses.
            InputError: a number of frames that is not 4k + 1, or an empty prompt.
        """
        settings = as_settings(settings)
        check_prompt(prompt)
        request = Request(
            prompt=prompt, video=[video], context_cameras=[context_cameras], target_cameras=[target_cameras],
            settings=settings, negative_prompt=settings.negative_prompt, output_type="pt",
            # On the CPU, so that a seed means the same on every device.
            generator=torch.Generator().manual_seed(settings.seed), subject_masks=[subject_masks], tiling=tiling,
            record_retrieval=record_retrieval, on_progress=on_progress,
        )  # fmt: skip
        made = generate_clips(self, request)
        pixels = (made.frames[0] * 255).round().clamp(0, 255).to(torch.uint8)
        return Continuation(
            video=pixels.permute(0, 2, 3, 1).cpu().numpy(), settings=settings, seconds=made.seconds,
            retrieval=None if made.retrieval is None else made.retrieval[0], retrieved=made.retrieved,
            rendered=None if made.rendered is None else made.rendered[0],
        )  # fmt: skip

    def set_memory(self, name: str) -> None:
        """Remember by another strategy, with the weights as they are.

        Raises:
            InputError: there is no such strategy, or it needs weights that this model has not learned.
        """
        chosen = strategy(name)
        self.transformer.set_memory(chosen.name, chosen.settings)


def _load_named(
    kind: type[WorldModel], path: Path, manifest: Mapping[str, Any], loading: dict[str, Any]
) -> WorldModel:
    """Load the model that a state names, as it was loaded then."""
    if not manifest["model"]:
        raise CheckpointError(
            f"{path}: does not say where its model is; load the model, then world.resume({str(path)!r})"
        )
    dtype = getattr(torch, manifest["dtype"])
    world = kind.from_pretrained(manifest["model"], **{"dtype": dtype, **loading})
    assert isinstance(world, WorldModel)
    if "dtype" not in loading:  # a text encoder may be in a precision of its own, as it lies on disk
        world.text_encoder.to(getattr(torch, manifest["text_dtype"]))
    wanted = manifest["memory"]["memory_strategy"]
    if world.transformer.config["memory_strategy"] != wanted:
        world.set_memory(wanted)
    return world
