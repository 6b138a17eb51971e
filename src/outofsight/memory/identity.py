"""Identity of subjects as a picture: the last crop in which each was seen, as tokens that every frame may look at.

No pose and no motion: what someone looked like, not where they are.
"""

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor, nn
from torch.nn.functional import grid_sample, scaled_dot_product_attention

SEEN_SHARE = 0.25
"""A subject counts as seen in a latent frame where it covers at least so much of one latent pixel, all in all."""


def last_seen(masks: Float[Tensor, "b s c h w"]) -> tuple[Int[Tensor, "b s"], Bool[Tensor, "b s"]]:
    """Return the last frame in which each subject is seen (0 where none), and whether there is one.

    ``masks``: the share, 0 to 1, of every latent pixel that the subject covers.
    """
    seen = masks.flatten(3).sum(dim=3) >= SEEN_SHARE
    frames = torch.arange(masks.shape[2], device=masks.device)
    return torch.where(seen, frames, 0).amax(dim=2), seen.any(dim=2)


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
    subject = torch.arange(masks.shape[1], device=masks.device)[None]
    mask = masks[batch, subject, frame]
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
    """Turn crops into tokens: a linear map of each latent pixel, and a learned place. One more token says "nobody"."""

    def __init__(self, channels: int, grid: tuple[int, int], dim: int) -> None:
        super().__init__()
        self.projection = nn.Linear(channels, dim)
        self.places = nn.Parameter(torch.randn(grid[0] * grid[1], dim) * 0.02)
        self.nobody = nn.Parameter(torch.zeros(1, dim))

    def forward(
        self, crops: Float[Tensor, "b s channels rows columns"], seen: Bool[Tensor, "b s"]
    ) -> tuple[Float[Tensor, "b n dim"], Bool[Tensor, "b n"]]:
        """Return the tokens of all subjects, and which of them stand for someone ("nobody" always counts)."""
        tokens = self.projection(crops.flatten(3).transpose(2, 3)) + self.places
        nobody = self.nobody.expand(crops.shape[0], -1, -1).to(tokens.dtype)
        known = seen.repeat_interleave(self.places.shape[0], dim=1)
        always = known.new_ones(crops.shape[0], 1)
        return torch.cat((nobody, tokens.flatten(1, 2)), dim=1), torch.cat((always, known), dim=1)


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
