"""What a caller gives, checked and brought to what models take: pixels, cameras, subjects' masks."""

from typing import Any

import numpy as np
import torch
from jaxtyping import Float
from numpy.typing import NDArray
from torch import Tensor

from outofsight.codec.video_vae import spatial_factor
from outofsight.data.latent_annotation import clip_spans, latent_masks, subject_shares
from outofsight.errors import CameraError, InputError, VideoError
from outofsight.geometry.conditioning import CameraConditioning, camera_conditioning
from outofsight.types import CameraPath
from outofsight.world_model import WorldModelBase

Cameras = CameraPath | CameraConditioning


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
    world.clock.num_latent(pixels.shape[1])
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


def check_cameras(cameras: object, what: str) -> None:
    """Raise ``CameraError`` unless this is a camera path."""
    if not isinstance(cameras, CameraPath | CameraConditioning):
        raise CameraError(
            f"{what}: expected a CameraPath, got a {type(cameras).__name__}; make one of poses [n, 3, 4] by "
            "CameraPath(world_from_camera=poses), or read a file by read_cameras"
        )


def conditioning(
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
        expected = world.clock.num_latent(num_context)
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
            f"this model ({world.transformer.config['memory_strategy']}) needs subject masks: expected "
            f"subject_masks uint8 [{needed}, height, width] of instance ids (0: no subject), got {got}"
        )
    spans = world.clock.spans(num_context)
    if asked == "all":
        spans = clip_spans(num_context, num_target, world.clock)
    ids, share = latent_masks(masks[:needed], spans, spatial_factor(world.vae))
    return torch.from_numpy(subject_shares(ids, share))[None]


def to_uint8(video: Float[Tensor, "t 3 height width"]) -> NDArray[np.uint8]:
    """Turn a video in [−1, 1] into pixels [t, height, width, 3]."""
    scaled = (video.float() + 1) * 127.5
    return scaled.round().clamp(0, 255).to(torch.uint8).permute(0, 2, 3, 1).cpu().numpy()
