"""The recogniser's network: where subjects are, what they are, who they are. Any picture size, one frame at a time.

::

    picture   h × w      ┌─ mask logits, by four sub-pixels a place
    stem      h/2 ── 16 ─┴──────────────────┐
    stage 1   h/4 ── 32 ───────────── up ───┘─ kind logits and identities, dense
    stage 2   h/8 ── 64 ─────── up ───┘
    stage 3   h/16 ─ 128 ─ up ──┘ ─ picture vector

Sides that a halving does not divide are rounded up there and cut back on the way up.
"""

from dataclasses import dataclass

from jaxtyping import Float, UInt8
from torch import Tensor, nn
from torch.nn.functional import interpolate, normalize, pixel_shuffle, silu

from outofsight.errors import InputError
from outofsight.perception.kinds import KINDS

CHANNELS_PER_GROUP = 8
SMALLEST_SIDE_PX = 16
PATCH_PX = 4
"""Side of the square of pixels that one dense kind and identity stand for."""


@dataclass(frozen=True, kw_only=True)
class RecogniserSize:
    """The network's sizes and words. ``widths``: channels at 1/2, 1/4, 1/8, 1/16 of the picture's size."""

    kinds: tuple[str, ...] = KINDS
    widths: tuple[int, int, int, int] = (16, 32, 64, 128)
    num_blocks: int = 2
    identity_dim: int = 64
    picture_dim: int = 64

    def __post_init__(self) -> None:
        if len(self.widths) != 4 or any(width < 1 or width % CHANNELS_PER_GROUP for width in self.widths):
            raise InputError(
                f"expected four widths, multiples of {CHANNELS_PER_GROUP}, got {list(self.widths)}"
            )
        if not self.kinds or len(set(self.kinds)) < len(self.kinds):
            raise InputError(f"expected at least one kind, each once, got {list(self.kinds)}")
        if min(self.num_blocks, self.identity_dim, self.picture_dim) < 1:
            raise InputError(f"num_blocks, identity_dim and picture_dim must be at least 1, got {self}")


@dataclass(frozen=True, kw_only=True, eq=False)
class Seen:
    """What the network makes of n pictures; rows and columns are the picture's sides over 4, rounded up.

    ``identities`` are not of length 1 yet: their mean over a subject's patches is brought to it.
    """

    mask_logits: Float[Tensor, "n height width"]
    kind_logits: Float[Tensor, "n kinds rows columns"]
    identities: Float[Tensor, "n d rows columns"]
    pictures: Float[Tensor, "n p"]  # length 1


class Residual(nn.Module):
    """Two 3×3 convolutions around which the input passes unchanged."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.first = _convolution(width, width)
        self.norm = _norm(width)
        self.second = _convolution(width, width)
        self.last_norm = _norm(width)

    def forward(self, x: Tensor) -> Tensor:
        inner = silu(self.norm(self.first(x)))
        return silu(x + self.last_norm(self.second(inner)))


class Down(nn.Module):
    """Halve the picture, then look again ``num_blocks`` times."""

    def __init__(self, width_in: int, width: int, num_blocks: int) -> None:
        super().__init__()
        self.halve = _convolution(width_in, width, stride=2)
        self.norm = _norm(width)
        self.blocks = nn.Sequential(*(Residual(width) for _ in range(num_blocks)))

    def forward(self, x: Tensor) -> Tensor:
        return self.blocks(silu(self.norm(self.halve(x))))


class Up(nn.Module):
    """Bring what is known of the whole back to the finer picture."""

    def __init__(self, width_coarse: int, width: int) -> None:
        super().__init__()
        self.carry = nn.Conv2d(width_coarse, width, 1)
        self.merge = _convolution(width, width)
        self.norm = _norm(width)

    def forward(self, coarse: Tensor, fine: Tensor) -> Tensor:
        carried = interpolate(self.carry(coarse), scale_factor=2, mode="nearest")
        height, width = fine.shape[-2:]
        return silu(self.norm(self.merge(fine + carried[..., :height, :width])))


class RecogniserNetwork(nn.Module):
    """Frames in, ``Seen`` out; weights alone, for training and inside ``Recogniser``."""

    def __init__(self, size: RecogniserSize) -> None:
        super().__init__()
        self.size = size
        half, quarter, eighth, sixteenth = size.widths
        self.stem = _convolution(3, half, stride=2)
        self.stem_norm = _norm(half)
        self.stage1 = Down(half, quarter, 1)
        self.stage2 = Down(quarter, eighth, size.num_blocks)
        self.stage3 = Down(eighth, sixteenth, size.num_blocks)
        self.surroundings = nn.Linear(sixteenth, sixteenth)
        self.up2 = Up(sixteenth, eighth)
        self.up1 = Up(eighth, quarter)
        self.up0 = Up(quarter, half)
        self.mask_head = nn.Conv2d(half, 4, 1)
        self.look = nn.Conv2d(quarter, eighth, 1)
        self.kind_head = nn.Conv2d(eighth, len(size.kinds), 1)
        self.identity_head = nn.Conv2d(eighth, size.identity_dim, 1)
        self.picture_head = nn.Linear(sixteenth, size.picture_dim)

    def forward(self, frames: UInt8[Tensor, "n height width 3"]) -> Seen:
        """Look at frames. Raises ``InputError`` for pictures with a side below 16 pixels."""
        height, width = frames.shape[1:3]
        if min(height, width) < SMALLEST_SIDE_PX:
            raise InputError(
                f"the recogniser needs pictures of at least {SMALLEST_SIDE_PX}×{SMALLEST_SIDE_PX} pixels, "
                f"got {height}×{width}"
            )
        signal = frames.permute(0, 3, 1, 2).to(self.stem.weight.dtype) / 127.5 - 1
        half = silu(self.stem_norm(self.stem(signal)))
        quarter = self.stage1(half)
        eighth = self.stage2(quarter)
        sixteenth = self.stage3(eighth)
        whole = sixteenth.mean(dim=(2, 3))
        sixteenth = sixteenth + self.surroundings(whole)[..., None, None]
        eighth = self.up2(sixteenth, eighth)
        quarter = self.up1(eighth, quarter)
        half = self.up0(quarter, half)
        look = silu(self.look(quarter))
        return Seen(
            mask_logits=pixel_shuffle(self.mask_head(half), 2)[:, 0, :height, :width],
            kind_logits=self.kind_head(look),
            identities=self.identity_head(look),
            pictures=normalize(self.picture_head(whole).float(), dim=-1),
        )


def pooled(
    dense: Float[Tensor, "n c rows columns"], masks: Float[Tensor, "n height width"]
) -> Float[Tensor, "n c"]:
    """Average dense vectors over masks of full-size pictures, each patch by the share of it that the mask covers.

    An empty mask gives zeros.
    """
    rows, columns = dense.shape[-2:]
    height, width = masks.shape[-2:]
    padded = nn.functional.pad(masks, (0, columns * PATCH_PX - width, 0, rows * PATCH_PX - height))
    shares = nn.functional.avg_pool2d(padded[:, None].float(), PATCH_PX)
    total = shares.sum(dim=(2, 3))
    mean: Tensor = (dense.float() * shares).sum(dim=(2, 3)) / total.clamp(min=1e-6)
    return mean


def _convolution(width_in: int, width: int, *, stride: int = 1) -> nn.Conv2d:
    return nn.Conv2d(width_in, width, 3, stride=stride, padding=1, bias=False)


def _norm(width: int) -> nn.GroupNorm:
    return nn.GroupNorm(width // CHANNELS_PER_GROUP, width)


def num_parameters(network: nn.Module) -> int:
    return sum(parameter.numel() for parameter in network.parameters())
