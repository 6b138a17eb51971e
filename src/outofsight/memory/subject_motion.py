"""Where a subject's mask would be if it went on as it was last seen to move: guidance for segmentation-led models.

Motion is measured as a change of direction in the reference camera's frame, so that a turning camera is not taken
for a moving subject. A camera's own displacement, and distance, are not known from masks and are left out.
"""

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor
from torch.nn.functional import grid_sample

from outofsight.memory.identity import SEEN_SHARE

FITTED_FRAMES = 3
"""A subject's angular velocity is a straight line through so many of its last frames."""


def extrapolated_masks(
    masks: Float[Tensor, "b s c h w"],
    context_poses: Float[Tensor, "b c 12"],
    target_poses: Float[Tensor, "b t 12"],
    intrinsics: Float[Tensor, "b 4"],
) -> Float[Tensor, "b s t h w"]:
    """Carry each subject's last seen mask on along its last visible motion, into every target frame.

    ``masks``: the share, 0 to 1, of every latent pixel that a subject covers in the context. ``poses``: row-flattened
    3×4 ``reference_from_camera`` of every latent frame. ``intrinsics``: normalised. Frames in which a mask touches the
    picture's edge are used only where there are fewer than two others, since a cut mask's middle is not the subject's.
    A subject that is never seen stays absent; one that is behind the camera is not shown.
    """
    height, width = masks.shape[-2:]
    used = _usable(masks)
    middles = _middles(masks)  # [b, s, c, 2] in pixels
    angles = _angles(_directions(middles, context_poses, intrinsics, (height, width)))
    last = _last(used)
    frames = torch.arange(masks.shape[2], device=masks.device, dtype=torch.float32)
    speed = _slope(angles, frames, used, last)
    later = masks.shape[2] + torch.arange(target_poses.shape[1], device=masks.device, dtype=torch.float32)
    start = _at(angles, last)
    ahead = (later - last[..., None].float())[..., None]  # [b, s, t, 1] latent frames since last seen
    places, in_front = _pixels(
        start[:, :, None] + speed[:, :, None] * ahead, target_poses, intrinsics, (height, width)
    )
    moved = _shifted(_at(masks, last), places - _at(middles, last)[:, :, None])
    return moved * (in_front & used.any(dim=2)[..., None])[..., None, None]


def _usable(masks: Float[Tensor, "b s c h w"]) -> Bool[Tensor, "b s c"]:
    """Choose the frames that motion is read from: at most ``FITTED_FRAMES``, whole ones if there are two."""
    seen = masks.flatten(3).sum(dim=3) >= SEEN_SHARE
    touched = [masks[..., 0, :], masks[..., -1, :], masks[..., 0], masks[..., -1]]
    cut = torch.stack([(edge > 0).any(dim=-1) for edge in touched]).any(dim=0)
    whole = seen & ~cut
    good = torch.where(whole.sum(dim=2, keepdim=True) >= 2, whole, seen)
    from_end = good.flip(2).cumsum(dim=2).flip(2)  # how many good frames from here to the end
    return good & (from_end <= FITTED_FRAMES)


def _middles(masks: Float[Tensor, "b s c h w"]) -> Float[Tensor, "b s c 2"]:
    """Return the centre of mass of each mask, x and y in pixels with edges at whole numbers."""
    total = masks.flatten(3).sum(dim=3).clamp(min=1e-6)
    x = torch.arange(masks.shape[-1], device=masks.device) + 0.5
    y = torch.arange(masks.shape[-2], device=masks.device) + 0.5
    across = (masks.sum(dim=3) * x).sum(dim=3) / total
    down = (masks.sum(dim=4) * y).sum(dim=3) / total
    return torch.stack((across, down), dim=-1)


def _directions(
    pixels: Float[Tensor, "b s f 2"],
    poses: Float[Tensor, "b f 12"],
    intrinsics: Float[Tensor, "b 4"],
    size: tuple[int, int],
) -> Float[Tensor, "b s f 3"]:
    """Return the direction, in the reference's frame, in which each frame's camera sees a pixel."""
    fx, fy, cx, cy = intrinsics.float()[:, None, None].unbind(dim=-1)
    x = (pixels[..., 0] / size[1] - cx) / fx
    y = (pixels[..., 1] / size[0] - cy) / fy
    local = torch.stack((x, y, torch.ones_like(x)), dim=-1)
    rotations = poses.float().unflatten(-1, (3, 4))[..., :3]
    return torch.einsum("bfij,bsfj->bsfi", rotations, local)


def _angles(directions: Float[Tensor, "b s f 3"]) -> Float[Tensor, "b s f 2"]:
    """Return yaw (to the right) and pitch (down) of directions, radians."""
    x, y, z = directions.unbind(dim=-1)
    return torch.stack((torch.atan2(x, z), torch.atan2(y, torch.hypot(x, z))), dim=-1)


def _last(used: Bool[Tensor, "b s c"]) -> Int[Tensor, "b s"]:
    frames = torch.arange(used.shape[2], device=used.device)
    return torch.where(used, frames, 0).amax(dim=2)


def _at(values: Tensor, frame: Int[Tensor, "b s"]) -> Tensor:
    """Take values [b, s, f, ...] at one frame of each subject."""
    batch = torch.arange(values.shape[0], device=values.device)[:, None]
    subject = torch.arange(values.shape[1], device=values.device)[None]
    return values[batch, subject, frame]


def _slope(
    angles: Float[Tensor, "b s c 2"],
    frames: Float[Tensor, " c"],
    used: Bool[Tensor, "b s c"],
    last: Int[Tensor, "b s"],
) -> Float[Tensor, "b s 2"]:
    """Fit a straight line through the used frames: radians a latent frame; 0 where one frame alone is used."""
    weights = used.float()
    number = weights.sum(dim=2, keepdim=True).clamp(min=1)
    time = frames - (weights * frames).sum(dim=2, keepdim=True) / number
    spread = (weights * time**2).sum(dim=2)[..., None]
    away = angles - _at(angles, last)[:, :, None]
    away = away - 2 * torch.pi * torch.round(away / (2 * torch.pi))  # the short way round
    covariance = ((weights * time)[..., None] * away).sum(dim=2)
    return torch.where(spread > 0, covariance / spread.clamp(min=1e-6), torch.zeros_like(covariance))


def _pixels(
    angles: Float[Tensor, "b s t 2"],
    poses: Float[Tensor, "b t 12"],
    intrinsics: Float[Tensor, "b 4"],
    size: tuple[int, int],
) -> tuple[Float[Tensor, "b s t 2"], Bool[Tensor, "b s t"]]:
    """Return where each target camera sees a direction, in pixels, and whether it is in front of it."""
    yaw, pitch = angles.unbind(dim=-1)
    direction = torch.stack((yaw.sin() * pitch.cos(), pitch.sin(), yaw.cos() * pitch.cos()), dim=-1)
    rotations = poses.float().unflatten(-1, (3, 4))[..., :3]
    local = torch.einsum("bfij,bsfi->bsfj", rotations, direction)
    in_front = local[..., 2] > 1e-3
    depth = torch.where(in_front, local[..., 2], 1.0)
    fx, fy, cx, cy = intrinsics.float()[:, None, None].unbind(dim=-1)
    x = (fx * local[..., 0] / depth + cx) * size[1]
    y = (fy * local[..., 1] / depth + cy) * size[0]
    return torch.stack((x, y), dim=-1), in_front


def _shifted(masks: Float[Tensor, "b s h w"], shift: Float[Tensor, "b s t 2"]) -> Float[Tensor, "b s t h w"]:
    """Move each mask by a number of pixels (x, y), which need not be whole; what leaves the picture is gone."""
    batch, subjects, frames = shift.shape[:3]
    height, width = masks.shape[-2:]
    y, x = torch.meshgrid(
        torch.arange(height, device=masks.device) + 0.5, torch.arange(width, device=masks.device) + 0.5, indexing="ij"
    )  # fmt: skip
    from_x = 2 * (x - shift[..., 0, None, None]) / width - 1
    from_y = 2 * (y - shift[..., 1, None, None]) / height - 1
    places = torch.stack((from_x, from_y), dim=-1).flatten(0, 2)
    source = masks[:, :, None].expand(-1, -1, frames, -1, -1).flatten(0, 2)[:, None]
    moved = grid_sample(source.float(), places, mode="bilinear", padding_mode="zeros", align_corners=False)
    return moved[:, 0].unflatten(0, (batch, subjects, frames))
