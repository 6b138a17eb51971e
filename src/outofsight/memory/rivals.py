"""What HyDRA's rivals remember by: pictures of subjects, a recurrent state, masks carried on.

* identity tokens: the last crop in which each subject was seen, that every frame may look at. No pose and no motion:
  what someone looked like, not where they are.
* state tokens: a recurrent network reads the context frame by frame and leaves a few tokens, whatever its length.
* extrapolated masks: where a subject's mask would be if it went on as it was last seen to move. Motion is a change of
  direction in the reference camera's frame, so that a turning camera is not taken for a moving subject. A camera's
  own displacement, and distance, are not known from masks and are left out.
"""

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor, nn
from torch.nn.functional import adaptive_avg_pool2d, grid_sample, scaled_dot_product_attention

from outofsight.geometry.frustum import picture_of, tangents_of
from outofsight.nn.cameras import Lenses
from outofsight.nn.rope import token_places

SEEN_SHARE = 0.25
"""A subject counts as seen in a latent frame where it covers at least so much of one latent pixel, all in all."""


def last_seen(masks: Float[Tensor, "b s c h w"]) -> tuple[Int[Tensor, "b s"], Bool[Tensor, "b s"]]:
    """Return the last frame in which each subject is seen (0 where none), and whether there is one.

    ``masks``: the share, 0 to 1, of every latent pixel that the subject covers.
    """
    seen = _seen(masks)
    return _last(seen), seen.any(dim=2)


def _seen(masks: Float[Tensor, "b s c h w"]) -> Bool[Tensor, "b s c"]:
    return masks.flatten(3).sum(dim=3) >= SEEN_SHARE


def mask_boxes(masks: Float[Tensor, "... h w"]) -> Float[Tensor, "... 4"]:
    """Return x0, y0, x1, y1 of the pixels that are not 0, in pixels with edges at whole numbers; zeros for none."""
    filled = masks > 0
    edges = []
    for along in (filled.any(dim=-2), filled.any(dim=-1)):  # columns, rows
        size = along.shape[-1]
        places = torch.arange(size, device=masks.device)
        low = torch.where(along, places, size).amin(dim=-1)
        high = torch.where(along, places + 1, 0).amax(dim=-1)
        edges.append((torch.minimum(low, high), high))
    (left, right), (top, bottom) = edges
    return torch.stack((left, top, right, bottom), dim=-1).float()


def identity_crops(
    context: Float[Tensor, "b channels c h w"], masks: Float[Tensor, "b s c h w"], grid: tuple[int, int]
) -> tuple[Float[Tensor, "b s channels rows columns"], Bool[Tensor, "b s"]]:
    """Cut each subject out of the last context frame that shows it, scaled to ``grid`` rows and columns.

    What is not the subject is faded by its mask. Also tells which subjects were seen at all; the crops of others are
    zeros.
    """
    frame, seen = last_seen(masks)
    batch = torch.arange(masks.shape[0], device=masks.device)[:, None]
    mask = _at(masks, frame)
    picture = context.movedim(2, 1)[batch, frame] * mask[:, :, None].to(context.dtype)
    height, width = context.shape[-2:]
    places = _crop_places(mask_boxes(mask), (height, width), grid)
    crops = grid_sample(
        picture.flatten(0, 1).float(), places.flatten(0, 1), mode="bilinear", align_corners=False
    )
    crops = crops.unflatten(0, masks.shape[:2]).to(context.dtype)
    return crops * seen[:, :, None, None, None], seen


def _crop_places(
    boxes: Float[Tensor, "b s 4"], size: tuple[int, int], grid: tuple[int, int]
) -> Float[Tensor, "b s rows columns 2"]:
    """Spread ``grid`` points over each box, at the middles of its cells, in ``grid_sample``'s units (−1 to 1)."""
    rows = (torch.arange(grid[0], device=boxes.device) + 0.5) / grid[0]
    columns = (torch.arange(grid[1], device=boxes.device) + 0.5) / grid[1]
    x = boxes[..., 0:1] + (boxes[..., 2:3] - boxes[..., 0:1]) * columns
    y = boxes[..., 1:2] + (boxes[..., 3:4] - boxes[..., 1:2]) * rows
    x, y = 2 * x / size[1] - 1, 2 * y / size[0] - 1
    return torch.stack(
        (x[..., None, :].expand(*x.shape[:2], *grid), y[..., None].expand(*y.shape[:2], *grid)), dim=-1
    )


class IdentityEncoder(nn.Module):
    """Turn crops into tokens: a linear map of each latent pixel, and a learned place. One more stands for none."""

    def __init__(self, channels: int, grid: tuple[int, int], dim: int) -> None:
        super().__init__()
        self.projection = nn.Linear(channels, dim)
        self.places = nn.Parameter(torch.randn(grid[0] * grid[1], dim) * 0.02)
        self.nobody = nn.Parameter(torch.zeros(1, dim))

    def forward(
        self, crops: Float[Tensor, "b s channels rows columns"], seen: Bool[Tensor, "b s"]
    ) -> tuple[Float[Tensor, "b n dim"], Bool[Tensor, "b n"]]:
        """Return the tokens of all subjects, and which of them count (the one for none always does)."""
        tokens = self.projection(crops.flatten(3).transpose(2, 3)) + self.places
        none = self.nobody.expand(crops.shape[0], -1, -1).to(tokens.dtype)
        known = seen.repeat_interleave(self.places.shape[0], dim=1)
        always = known.new_ones(crops.shape[0], 1)
        return torch.cat((none, tokens.flatten(1, 2)), dim=1), torch.cat((always, known), dim=1)


class IdentityAttention(nn.Module):
    """Cross-attention from video tokens to identity tokens. Its output begins at zero.

    Source: image prompts by a cross-attention of their own, as in IP-Adapter (arXiv 2308.06721).
    """

    def __init__(self, dim: int, heads: int) -> None:
        super().__init__()
        self.heads = heads
        self.to_q, self.to_k, self.to_v = (nn.Linear(dim, dim) for _ in range(3))
        self.to_out = nn.Linear(dim, dim)
        nn.init.zeros_(self.to_out.weight)
        nn.init.zeros_(self.to_out.bias)

    def forward(
        self, states: Float[Tensor, "b s d"], tokens: Float[Tensor, "b n d"], known: Bool[Tensor, "b n"]
    ) -> Float[Tensor, "b s d"]:
        query, key, value = (
            linear(given).unflatten(-1, (self.heads, -1)).transpose(1, 2)
            for linear, given in ((self.to_q, states), (self.to_k, tokens), (self.to_v, tokens))
        )
        attended = scaled_dot_product_attention(query, key, value, attn_mask=known[:, None, None])
        mixed: Tensor = self.to_out(attended.transpose(1, 2).flatten(2))
        return mixed


def identity_flops(
    channels: int, grid: tuple[int, int], dim: int, subjects: int, tokens: int, layers: int
) -> int:
    """Count encoder and every layer's cross-attention for one video; a multiply-add counts as two."""
    crops = subjects * grid[0] * grid[1]
    known = crops + 1
    layer = 2 * dim * dim * (2 * tokens + 2 * known) + 4 * tokens * known * dim
    return 2 * crops * channels * dim + layers * layer


POSE_NUMBERS = 12


class ConvGRU(nn.Module):
    """One step of a gated recurrent unit whose products are 3×3 convolutions.

    Source: Ballas et al., Delving Deeper into Convolutional Networks for Learning Video Representations (2016), eq. 2.
    """

    def __init__(self, in_channels: int, width: int) -> None:
        super().__init__()
        self.width = width
        self.gates = nn.Conv2d(in_channels + width, 2 * width, 3, padding=1)
        self.candidate = nn.Conv2d(in_channels + width, width, 3, padding=1)

    def forward(
        self, frame: Float[Tensor, "b channels rows columns"], state: Float[Tensor, "b width rows columns"]
    ) -> Float[Tensor, "b width rows columns"]:
        """Return the state after the frame."""
        update, reset = self.gates(torch.cat((frame, state), dim=1)).sigmoid().chunk(2, dim=1)
        proposed = self.candidate(torch.cat((frame, reset * state), dim=1)).tanh()
        return (1 - update) * state + update * proposed


class StateMemory(nn.Module):
    """Read every context frame, oldest first, with its pose; give the final state as rows × columns tokens.

    ``grid``: rows and columns that frames are pooled to, and the number of tokens, whatever the length and size of
    the context. The last projection begins at zero: every token then is the same blank one.
    """

    def __init__(self, channels: int, width: int, grid: tuple[int, int], dim: int) -> None:
        super().__init__()
        self.grid = grid
        self.step = ConvGRU(channels + POSE_NUMBERS, width)
        self.norm = nn.LayerNorm(width)
        self.projection = nn.Linear(width, dim)
        nn.init.zeros_(self.projection.weight)
        nn.init.zeros_(self.projection.bias)

    def forward(
        self, context: Float[Tensor, "b channels c height width"], poses: Float[Tensor, "b c 12"]
    ) -> Float[Tensor, "b tokens dim"]:
        """Return the state after the last context frame; zeros went before the first."""
        state = context.new_zeros(context.shape[0], self.step.width, *self.grid)
        for frame in range(context.shape[2]):
            picture = adaptive_avg_pool2d(context[:, :, frame], self.grid)
            pose = poses[:, frame, :, None, None].to(picture.dtype).expand(-1, -1, *self.grid)
            state = self.step(torch.cat((picture, pose), dim=1), state)
        tokens: Tensor = self.projection(self.norm(state.flatten(2).transpose(1, 2)))
        return tokens


def recurrence_flops(channels: int, width: int, grid: tuple[int, int], dim: int, context_frames: int) -> int:
    """Count ``StateMemory``'s forward for one video; a multiply-add counts as two."""
    places = grid[0] * grid[1]
    step = 2 * 9 * (channels + POSE_NUMBERS + width) * 3 * width * places
    return context_frames * step + 2 * places * width * dim


FITTED_FRAMES = 3
"""A subject's angular velocity is a straight line through so many of its last frames."""


def extrapolated_masks(
    masks: Float[Tensor, "b s c h w"],
    context_poses: Float[Tensor, "b c 12"],
    target_poses: Float[Tensor, "b t 12"],
    intrinsics: Lenses,
) -> Float[Tensor, "b s t h w"]:
    """Carry each subject's last seen mask on along its last visible motion, into every target frame.

    ``masks``: the share, 0 to 1, of every latent pixel that a subject covers in the context. ``poses``: row-flattened
    3×4 ``reference_from_camera`` of every latent frame. Frames in which a mask touches the picture's edge are used only
    where there are fewer than two others, since a cut mask's middle is not the subject's.
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
    ahead = (later - last[..., None].float())[..., None]  # [b, s, t, 1] latent frames since last seen
    directions = _at(angles, last)[:, :, None] + speed[:, :, None] * ahead
    places, in_front = _pixels(directions, target_poses, intrinsics, (height, width))
    moved = _shifted(_at(masks, last), places - _at(middles, last)[:, :, None])
    return moved * (in_front & used.any(dim=2)[..., None])[..., None, None]


def _usable(masks: Float[Tensor, "b s c h w"]) -> Bool[Tensor, "b s c"]:
    """Choose the frames that motion is read from: at most ``FITTED_FRAMES``, whole ones if there are two."""
    seen = _seen(masks)
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
    intrinsics: Lenses,
    size: tuple[int, int],
) -> Float[Tensor, "b s f 3"]:
    """Return the direction, in the reference's frame, in which each frame's camera sees a pixel."""
    tangents = tangents_of(pixels / pixels.new_tensor(size[::-1]), intrinsics.float()[:, None, None])
    local = torch.cat((tangents, torch.ones_like(tangents[..., :1])), dim=-1)
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
    intrinsics: Lenses,
    size: tuple[int, int],
) -> tuple[Float[Tensor, "b s t 2"], Bool[Tensor, "b s t"]]:
    """Return where each target camera sees a direction, in pixels, and whether it is in front of it."""
    yaw, pitch = angles.unbind(dim=-1)
    direction = torch.stack((yaw.sin() * pitch.cos(), pitch.sin(), yaw.cos() * pitch.cos()), dim=-1)
    rotations = poses.float().unflatten(-1, (3, 4))[..., :3]
    local = torch.einsum("bfij,bsfi->bsfj", rotations, direction)
    in_front = local[..., 2] > 1e-3
    tangents = local[..., :2] / torch.where(in_front, local[..., 2], 1.0)[..., None]
    return picture_of(tangents, intrinsics.float()[:, None, None]) * angles.new_tensor(size[::-1]), in_front


def _shifted(masks: Float[Tensor, "b s h w"], shift: Float[Tensor, "b s t 2"]) -> Float[Tensor, "b s t h w"]:
    """Move each mask by a number of pixels (x, y), which need not be whole; what leaves the picture is gone."""
    batch, subjects, frames = shift.shape[:3]
    height, width = masks.shape[-2:]
    rows, columns = token_places(height, width, masks.device)
    from_x = 2 * (columns + 0.5 - shift[..., 0, None, None]) / width - 1
    from_y = 2 * (rows + 0.5 - shift[..., 1, None, None]) / height - 1
    places = torch.stack((from_x, from_y), dim=-1).flatten(0, 2)
    source = masks[:, :, None].expand(-1, -1, frames, -1, -1).flatten(0, 2)[:, None]
    moved = grid_sample(source.float(), places, mode="bilinear", padding_mode="zeros", align_corners=False)
    return moved[:, 0].unflatten(0, (batch, subjects, frames))
