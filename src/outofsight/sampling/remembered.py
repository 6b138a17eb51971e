"""What a continuation is shown of memory: the banks look at the past, are asked for what comes, and it is rendered."""

from typing import NamedTuple

import numpy as np
import torch
from jaxtyping import Bool, Float, UInt8
from numpy.typing import NDArray
from torch import Tensor
from torch.nn.functional import max_pool2d

from outofsight.backbone.sequence import known_intrinsics
from outofsight.codec.latent_tiling import LatentTiling
from outofsight.codec.video_vae import spatial_factor
from outofsight.errors import CameraError, InputError
from outofsight.geometry.conditioning import CameraConditioning
from outofsight.memory.banks.pictures import MARGIN_PX, Pictures
from outofsight.memory.banks.state import Banks, RetrievedMemory
from outofsight.memory.banks.two_banks import latent_times
from outofsight.memory.rendering import Rendered, condition_masks, given_to_skip
from outofsight.sampling.inputs import Cameras, to_uint8
from outofsight.sampling.rollout_state import flat_poses
from outofsight.types import CameraPath
from outofsight.world_model import WorldModelBase


class RenderedTarget(NamedTuple):
    """Coming frames as memory renders them. ``condition``: latents and masks, as the transformer takes them;
    ``given``: colours in [−1, 1], coverage and subject, as the decoder's skip takes them."""

    condition: Float[Tensor, "b n t h w"]
    given: Float[Tensor, "b frames 5 height width"]

    @property
    def pixels(self) -> NDArray[np.uint8]:
        """The pictures of the first clip: uint8 [frames, height, width, 3], holes filled softly."""
        return to_uint8(self.given[0, :, :3])

    @property
    def remembered(self) -> Bool[Tensor, "b frames height width"]:
        """Where memory knew what is to be seen, and around the subjects that it puts there."""
        coverage, subject = self.given[:, :, 3], self.given[:, :, 4]
        return (coverage > 0.5) | (max_pool2d(subject, 4 * MARGIN_PX + 1, 1, 2 * MARGIN_PX) > 0)


class Coming(NamedTuple):
    """The cameras of coming video frames [f, 3, 4] (``world_from_camera``), their times in video frames, the camera
    before them where there is one, and the frame of reference of the banks."""

    world_from_camera: NDArray[np.float64]
    times: Float[Tensor, " frames"]
    before: NDArray[np.float64] | None
    anchor: NDArray[np.float64]


def to_pictures(pixels: Float[Tensor, "b t 3 height width"]) -> UInt8[Tensor, "b t 3 height width"]:
    """Turn a video in [−1, 1] into bytes, as memory keeps them."""
    return ((pixels.float() + 1) * 127.5).round().clamp(0, 255).to(torch.uint8)


def subject_share(
    masks: NDArray[np.uint8] | None, pixels: Float[Tensor, "1 t 3 height width"], stride: int
) -> Float[Tensor, "1 f height width"] | None:
    """Tell of every latent frame's picture where subjects are, from instance ids of all frames of a video, or more.

    Raises:
        InputError: masks of fewer frames, or of another size.
    """
    if masks is None:
        return None
    frames, height, width = pixels.shape[1], pixels.shape[-2], pixels.shape[-1]
    if masks.ndim != 3 or len(masks) < frames or masks.shape[1:] != (height, width):
        raise InputError(
            f"expected subject_masks uint8 [{frames}, {height}, {width}] of instance ids (0: no subject), got "
            f"{list(masks.shape)}; give one for each frame of the context, of its size"
        )
    return torch.from_numpy((masks[:frames:stride] > 0).astype(np.float32))[None]


@torch.no_grad()
def see_pictures(
    world: WorldModelBase,
    banks: Banks | None,
    frames: UInt8[Tensor, "1 f 3 height width"],
    anchored: Float[Tensor, "1 f 12"],
    times: Float[Tensor, "1 f"],
    intrinsics: Float[Tensor, "1 4"],
    subject: Float[Tensor, "1 f height width"] | None = None,
) -> Pictures | None:
    """Read who is a subject in the frames that stand for new latent frames; ``None`` where memory is not rendered.

    ``subject``: where a user says so, it is believed.
    """
    transformer = world.transformer
    if not transformer.shows_rendered:
        return None
    frames = frames.to(world.work_device)
    if subject is not None:
        return Pictures(frames, subject.to(frames.device))
    views = None if banks is None else banks.views
    return transformer.read_pictures(views, frames, anchored, times, intrinsics)


@torch.no_grad()
def render_target(
    world: WorldModelBase,
    banks: Banks,
    coming: Coming,
    intrinsics: Float[Tensor, "1 4"],
    size: tuple[int, int],
    generator: torch.Generator,
    tiling: LatentTiling | None = None,
) -> RenderedTarget | None:
    """Render what memory says of coming frames; ``None`` where memory is not rendered.

    A chunk that goes on with a video is encoded behind one frame more, the one before it, so that its latent frames
    stand for four video frames each. ``generator``: draws where the tracker puts subjects, if it draws.
    """
    transformer, stride = world.transformer, world.temporal_stride
    if not transformer.shows_rendered:
        return None
    device = world.work_device
    cameras, times = coming.world_from_camera, coming.times
    if coming.before is not None:
        cameras, times = np.concatenate((coming.before[None], cameras)), torch.cat((times[:1] - 1, times))
    anchored = flat_poses(cameras, coming.anchor).to(device)
    drawn = transformer.render(banks, anchored, times[None].to(device), intrinsics, size, generator)
    latents = world.encode_video(drawn.pixels, tiling)
    masks = condition_masks(drawn, spatial_factor(world.vae), stride=stride)
    first = 0 if coming.before is None else 1
    condition = torch.cat((latents, masks.to(latents)), dim=1)[:, :, first:]
    return RenderedTarget(condition, given_to_skip(Rendered(*(part[:, first:] for part in drawn))))


def given_lens(cameras: CameraConditioning, device: torch.device) -> Float[Tensor, "1 4"] | None:
    return None if cameras.intrinsics is None else torch.from_numpy(cameras.intrinsics)[None].to(device)


class GivenClip(NamedTuple):
    """A video to go on with: the context's pixels, cameras as the model reads them, the target's as they were given.
    Where a user says who is a subject: instance ids [n, height, width], and as masks where the model asks for them."""

    pixels: Float[Tensor, "1 t 3 height width"]
    cameras: CameraConditioning
    target: Cameras
    ids: NDArray[np.uint8] | None
    masks: Float[Tensor, "1 s f h w"] | None = None


@torch.no_grad()
def retrieve_for_target(
    world: WorldModelBase,
    context: Float[Tensor, "1 c f h w"],
    clip: GivenClip,
    generator: torch.Generator,
    tiling: LatentTiling | None,
) -> tuple[RetrievedMemory, RenderedTarget | None]:
    """Let the two banks see the context, and ask them what matters for the target, and what it will look like."""
    transformer, device, cameras, target = world.transformer, context.device, clip.cameras, clip.target
    past, ahead = (torch.from_numpy(poses)[None].to(device) for poses in (cameras.context, cameras.target))
    lens = known_intrinsics(transformer.config, given_lens(cameras, device), 1, context.shape[-2:], device)
    frames, coming = context.shape[2], ahead.shape[1]
    times, later = (part[None] for part in latent_times(frames, coming, context.device))
    shown = to_pictures(clip.pixels[:, :: world.temporal_stride])
    ids = clip.ids if transformer.shows_rendered else None
    share = subject_share(ids, clip.pixels, world.temporal_stride)
    pictures = see_pictures(world, None, shown, past, times, lens, share)
    banks, _ = transformer.observe_context(context, past, times, None, lens, pictures)
    grid = transformer.picture_grid(context)
    retrieved = transformer.retrieve_for(banks, ahead, later, grid, frames, intrinsics=lens)
    if pictures is None:
        return retrieved, None
    if not isinstance(target, CameraPath):
        raise CameraError(
            "this model is shown rendered memory, which needs the pose of every video frame: give camera paths, not "
            "the conditioning of latent frames"
        )
    poses = target.world_from_camera
    later = clip.pixels.shape[1] + torch.arange(len(poses), dtype=torch.float32)
    path = Coming(world_from_camera=poses, times=later, before=None, anchor=poses[0])
    height, width = clip.pixels.shape[-2:]
    return retrieved, render_target(world, banks, path, lens, (height, width), generator, tiling)
