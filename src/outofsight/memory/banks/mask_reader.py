"""Who is a subject, pixel by pixel, without the truth: what a picture looks like, and what moved in it.

A camera that turns sees the same wall again and again: where a frame differs from what the other views show at its
place, something moved. The network sees both, so that subjects that stand still are found by their looks, and unknown
ones by their motion.
"""

from itertools import pairwise
from math import gcd

import numpy as np
import torch
from jaxtyping import Bool, Float, UInt8
from scipy import ndimage
from torch import Tensor, nn
from torch.nn.functional import interpolate, pad, pixel_shuffle, pixel_unshuffle, silu

from outofsight.memory.banks.state import Views
from outofsight.memory.rendering import nearness, warped
from outofsight.nn.cameras import Lenses

NUM_WITNESSES = 8
"""So many other views, the nearest, testify what a frame's place looks like."""

EVIDENCE_CHANNELS = 9
"""The frame, the median of the witnesses, how far the frame is from it, how far they are, and the share of them that
see the place."""

TOKEN_PX = 2
NUM_GROUPS = 8

UNLIKELY = -2.0

SURELY_STATIC, SURELY_SUBJECT = 0.2, 0.5
"""Probabilities by which a pixel is taken for the static world, and for a subject."""


LEAST_PART_MOVED = 0.06
"""With a reader: a connected part that differs from the witnesses' median by less (of 2), in the mean, stands still."""

IN_FRAME = np.array([np.zeros((3, 3)), np.ones((3, 3)), np.zeros((3, 3))])
"""Pixels hang together with their eight neighbours, in one frame."""

LEAST_MOVED = 0.1
"""Without a reader: a difference of this much (of 2) is none yet, twice as much is a subject."""


class MaskReader(nn.Module):
    """Tell of every pixel of a frame whether it shows a subject: a U-Net over ``evidence``, in tokens of 2×2 pixels.

    ``width``: channels at the finest of three resolutions; twice and three times as many at the coarser ones.
    """

    def __init__(self, width: int) -> None:
        super().__init__()
        widths = (width, 2 * width, 3 * width)
        steps = list(pairwise(widths))
        self.enter = nn.Conv2d(EVIDENCE_CHANNELS * TOKEN_PX**2, width, 3, padding=1)
        self.down = nn.ModuleList(nn.Conv2d(fine, coarse, 3, 2, 1) for fine, coarse in steps)
        self.inner = nn.ModuleList(_Residual(own) for own in widths)
        self.up = nn.ModuleList(nn.Conv2d(coarse, fine, 1) for fine, coarse in steps)
        self.outer = nn.ModuleList(_Residual(own) for own in widths)
        self.logits = nn.Conv2d(width, TOKEN_PX**2, 1)
        nn.init.normal_(self.logits.weight, std=0.02)
        self.logits.bias = nn.Parameter(torch.full((TOKEN_PX**2,), UNLIKELY))

    def forward(self, evidence: Float[Tensor, "n 9 height width"]) -> Float[Tensor, "n height width"]:
        """Return logits, for pictures of any size."""
        height, width = evidence.shape[-2:]
        whole = pad(evidence, (0, -width % TOKEN_PX, 0, -height % TOKEN_PX), mode="replicate")
        states = self.inner[0](self.enter(pixel_unshuffle(whole, TOKEN_PX)))
        kept = [states]
        for down, inner in zip(self.down, self.inner[1:], strict=True):
            kept.append(states := inner(down(states)))
        states = self.outer[-1](states)
        for up, outer, finer in zip(
            reversed(self.up), reversed(self.outer[:-1]), reversed(kept[:-1]), strict=True
        ):
            states = outer(finer + interpolate(up(states), size=finer.shape[-2:], mode="bilinear"))
        return pixel_shuffle(self.logits(states), TOKEN_PX)[:, 0, :height, :width]

    @torch.no_grad()
    def shares(self, evidence: Float[Tensor, "n 9 height width"]) -> Float[Tensor, "n height width"]:
        """Return the share, 0 to 1, to which each pixel counts as a subject's: 0 up to ``SURELY_STATIC``, 1 from
        ``SURELY_SUBJECT`` on, since a half-believed subject leaves a ghost in a view and a veil in a cut-out; and 0 in
        what did not move."""
        chance = self(evidence).sigmoid()
        shares = ((chance - SURELY_STATIC) / (SURELY_SUBJECT - SURELY_STATIC)).clamp(0, 1)
        return shares.masked_fill(_still_parts(shares > 0, evidence), 0)


def _still_parts(
    masks: Bool[Tensor, "n height width"], evidence: Float[Tensor, "n 9 height width"]
) -> Bool[Tensor, "n height width"]:
    """Tell which connected parts of masks did not move, by the word of witnesses of more than half of them.

    In places that the network never saw it takes exhibits and woodpiles for subjects. They look the same in every view;
    and whoever stands still all the while may as well be scenery, which shows them where they stand.
    """
    labels, count = ndimage.label(masks.cpu().numpy(), structure=IN_FRAME)
    moved, witnessed = evidence[:, 6].cpu().numpy(), evidence[:, 8].cpu().numpy() > 0
    parts = np.arange(1, count + 1)
    size, seen = (ndimage.sum_labels(of, labels, parts) for of in (np.ones_like(moved), witnessed))
    still = (ndimage.sum_labels(moved * witnessed, labels, parts) < LEAST_PART_MOVED * seen) & (
        2 * seen > size
    )
    return torch.from_numpy(np.concatenate(([False], still))[labels]).to(masks.device)


def moved_shares(evidence: Float[Tensor, "n 9 height width"]) -> Float[Tensor, "n height width"]:
    """Tell without weights who moved: a pixel counts as a subject's, 0 to 1, by how much farther it is from the
    witnesses' median than they are themselves. Whoever stands still all the while is taken for the static world."""
    moved, apart = evidence[:, 6], evidence[:, 7]
    return ((moved - apart - LEAST_MOVED) / LEAST_MOVED).clamp(0, 1)


class _Residual(nn.Module):
    def __init__(self, width: int) -> None:
        super().__init__()
        self.norm = nn.GroupNorm(gcd(NUM_GROUPS, width // 2), width)
        self.spread = nn.Conv2d(width, width, 3, padding=1)
        self.out = nn.Conv2d(width, width, 3, padding=1)

    def forward(self, states: Tensor) -> Tensor:
        grown: Tensor = self.out(silu(self.spread(silu(self.norm(states)))))
        return states + grown


def evidence(
    views: Views,
    frames: UInt8[Tensor, "b f 3 height width"],
    cameras: Float[Tensor, "b f 12"],
    intrinsics: Lenses,
    times: Float[Tensor, "b f"],
) -> Float[Tensor, "b f 9 height width"]:
    """Lay what ``views`` show at each frame's place beside it. A view of the frame's own time is no witness."""
    made = []
    for index in range(frames.shape[1]):
        others = views._replace(filled=views.filled & (views.times != times[:, index, None]))
        near = nearness(others, cameras[:, index])
        chosen = near.topk(min(NUM_WITNESSES, near.shape[1]), dim=1)
        size = (frames.shape[-2], frames.shape[-1])
        seen = warped(others.at(chosen.indices), cameras[:, index], intrinsics, size)
        made.append(_testimony(frames[:, index].float() / 127.5 - 1, seen.pixels, seen.known > 0.5))
    return torch.stack(made, dim=1)


def _testimony(frame: Tensor, pixels: Float[Tensor, "b k 3 h w"], known: Float[Tensor, "b k h w"]) -> Tensor:
    """Return the frame, the witnesses' median, both's deviation from it and their share; where there is none, the frame
    stands for them, as if nothing had moved."""
    unseen = ~known.any(dim=1)
    witnessed = pixels.masked_fill(~known[:, :, None], torch.nan)
    median = torch.where(unseen[:, None], frame, witnessed.nanmedian(dim=1).values.nan_to_num())
    apart = ((pixels - median[:, None]).abs().mean(dim=2) * known).sum(dim=1) / known.sum(dim=1).clamp(min=1)
    moved = (frame - median).abs().mean(dim=1, keepdim=True)
    return torch.cat((frame, median, moved, apart[:, None], known.float().mean(dim=1, keepdim=True)), dim=1)
