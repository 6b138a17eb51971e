"""The scene reader: what every video token of clean latents shows of subjects, and which place in the world that tells.

It is the split into static and dynamic that needs no masks when the model is used. It is learned against the engine's
truth, which can stand in for it (``reading_from_truth``).
"""

from math import log
from typing import NamedTuple

import torch
from jaxtyping import Bool, Float
from torch import Tensor, nn
from torch.nn.functional import normalize, pad

from outofsight.errors import InputError
from outofsight.geometry.frustum import picture_of
from outofsight.memory.banks.state import SceneReading
from outofsight.nn.cameras import Lenses
from outofsight.nn.rope import rays_through, token_places

TOKEN_BLOCKS = 3
"""Residual blocks on tokens. Each looks one latent frame further back."""

UNLIKELY = -3.0
"""Logit of ``dynamic`` before anything is learned: 5%, too little for a birth."""

COMMON_DISTANCE_M, COMMON_NOISE = 6.0, 0.2
"""Distance and noise that are read before anything is learned."""

NEAREST_M, FARTHEST_M = 0.3, 300.0
LEAST_NOISE, MOST_NOISE = 0.005, 2.0
"""What is read is kept within these."""

PLACE_CHANNELS = 2


class SceneReader(nn.Module):
    """Read clean latents frame by frame, looking back at most ``history`` latent frames and never ahead.

    One convolution and one residual block on latent pixels, then ``TOKEN_BLOCKS`` on tokens (``patch`` latent pixels),
    each of which mixes in its own frame before; beside the latents it is given where in the picture a token lies, as
    tangents of angles, so that one set of weights reads any size and any lens.

    An untrained reader says of every token that it shows a subject with 5%, which gives birth to none.
    """

    history = TOKEN_BLOCKS

    def __init__(self, channels: int, width: int, identity_width: int, patch: tuple[int, int]) -> None:
        super().__init__()
        self.patch = patch
        self.enter = nn.Conv2d(channels, width, 3, padding=1)
        self.pixels = ResidualBlock(width)
        self.patches = nn.Conv2d(width, width, patch, stride=patch)
        self.where = nn.Conv2d(PLACE_CHANNELS, width, 1)
        self.tokens = nn.ModuleList(ResidualBlock(width, looks_back=True) for _ in range(TOKEN_BLOCKS))
        self.norm = nn.GroupNorm(1, width)
        self.identity = nn.Conv2d(width, identity_width, 1)
        self.told = nn.Conv2d(width, 6, 1)
        nn.init.normal_(self.told.weight, std=0.02)
        begin = (UNLIKELY, log(COMMON_DISTANCE_M), 0.0, 0.0, 1.0, log(COMMON_NOISE))
        self.told.bias = nn.Parameter(torch.tensor(begin))

    def forward(self, latents: Float[Tensor, "b c f H W"], intrinsics: Lenses) -> SceneReading:
        """Return what every token shows. ``intrinsics``: normalised. Fed with ``history`` earlier frames, later frames
        are read as in the whole.

        Raises:
            InputError: latents that are no whole number of tokens.
        """
        frames, (height, width) = latents.shape[2], latents.shape[3:]
        rows, columns = height // self.patch[0], width // self.patch[1]
        if (rows * self.patch[0], columns * self.patch[1]) != (height, width):
            raise InputError(
                f"latents of {height}×{width} pixels are no whole number of tokens of {self.patch[0]}×{self.patch[1]}"
            )
        states = self.pixels(self.enter(latents.movedim(2, 1).flatten(0, 1)), frames)
        states = self.patches(states) + self.where(
            self._places(rows, columns, intrinsics).to(latents.dtype)
        ).repeat_interleave(frames, dim=0)
        for block in self.tokens:
            states = block(states, frames)
        states = self.norm(states)
        read = self.told(states).float().unflatten(0, (-1, frames))
        identity = self.identity(states).float().unflatten(0, (-1, frames)).movedim(2, -1)
        dynamic, distance, across, down, clarity, noise = read.unbind(dim=2)
        return SceneReading(
            dynamic=dynamic,
            distance=distance.clamp(log(NEAREST_M), log(FARTHEST_M)),
            offset=torch.stack((across, down), dim=-1),
            identity=normalize(identity, dim=-1, eps=1e-6),
            clarity=clarity,
            noise=noise.clamp(log(LEAST_NOISE), log(MOST_NOISE)),
        )

    def _places(self, rows: int, columns: int, intrinsics: Lenses) -> Float[Tensor, "b 2 rows columns"]:
        """Return x and y of every token's middle as tangents of the angles from the optical axis."""
        down, across = token_places(rows, columns, intrinsics.device)
        shares = torch.stack(((across + 0.5) / columns, (down + 0.5) / rows))
        focal, centre = intrinsics.float()[:, :, None, None].tensor_split(2, dim=1)
        return (shares - centre) / focal


class ResidualBlock(nn.Module):
    """x + a 3×3 convolution of the normalised x; with ``looks_back`` of x and its frame before, mixed by a 1×1 one.

    Nothing goes before the first frame: zeros.
    """

    def __init__(self, width: int, *, looks_back: bool = False) -> None:
        super().__init__()
        self.norm = nn.GroupNorm(1, width)
        self.mix = nn.Conv2d(2 * width, width, 1) if looks_back else None
        self.spread = nn.Conv2d(width, width, 3, padding=1)
        self.out = nn.Conv2d(width, width, 1)

    def forward(self, states: Float[Tensor, "bf width h w"], frames: int) -> Float[Tensor, "bf width h w"]:
        inner = self.norm(states)
        if self.mix is not None:
            before = pad(inner.unflatten(0, (-1, frames))[:, :-1], (0, 0, 0, 0, 0, 0, 1, 0)).flatten(0, 1)
            inner = self.mix(torch.cat((inner, before), dim=1))
        grown: Tensor = self.out(nn.functional.silu(self.spread(nn.functional.silu(inner))))
        return states + grown


def frame_of(reading: SceneReading, index: int) -> SceneReading:
    """Take one latent frame of a reading; its tensors lose the axis of frames."""
    return SceneReading(*(part[:, index] for part in reading))


NEAR_M = 0.1
"""What lies less far along the optical axis than this is not in front of a camera."""

FARTHEST_OFFSET = 1.0
"""Places are kept within so many pictures beyond each edge, so that they stay finite beside the camera."""


class SubjectPlaces(NamedTuple):
    """Where a camera sees k identity tokens of each subject, spread over its box.

    ``rows``, ``columns``: in tokens. ``directions``, ``moments``: the rays through them, as Plücker coordinates in the
    frame that the camera's pose refers to. ``in_view``: the box overlaps the picture, in front of the camera.
    """

    rows: Float[Tensor, "*batch s k"]
    columns: Float[Tensor, "*batch s k"]
    directions: Float[Tensor, "*batch s k 3"]
    moments: Float[Tensor, "*batch s k 3"]
    in_view: Bool[Tensor, "*batch s"]


class Projected(NamedTuple):
    """Where a camera sees points. ``tokens_per_metre``: size of a metre there, facing the camera."""

    rows: Float[Tensor, "*batch s"]
    columns: Float[Tensor, "*batch s"]
    in_front: Bool[Tensor, "*batch s"]
    tokens_per_metre: Float[Tensor, "*batch s"]


def read_positions(
    reading: SceneReading, poses: Float[Tensor, "*batch 12"], intrinsics: Float[Tensor, "*batch 4"]
) -> Float[Tensor, "*batch h w 3"]:
    """Return where each token says that its subject's origin is: metres in the frame that the poses refer to.

    ``reading`` holds frames ([b, f, h, w], poses [b, f, 12]) or is of one ([b, h, w], [b, 12]).
    """
    height, width = reading.dynamic.shape[-2:]
    rows, columns = token_places(height, width, reading.dynamic.device)
    columns = (columns + reading.offset[..., 0].float()).flatten(-2)
    rows = (rows + reading.offset[..., 1].float()).flatten(-2)
    directions, _ = rays_through(rows, columns, poses, (height, width), intrinsics)
    away = reading.distance.float().exp().flatten(-2)[..., None] * directions
    position = away + poses.float().unflatten(-1, (3, 4))[..., None, :, 3]
    return position.unflatten(-2, (height, width))


def project_points(
    points: Float[Tensor, "*batch s 3"],
    pose: Float[Tensor, "*batch 12"],
    size: tuple[int, int],
    intrinsics: Float[Tensor, "*batch 4"],
) -> Projected:
    """Return where a camera sees points of the frame that its pose refers to.

    A point that is not in front has no picture: it is given as if at the middle, one metre ahead.
    """
    camera = pose.float().unflatten(-1, (3, 4))[..., None, :, :]
    away = points.float() - camera[..., 3]
    local = (camera[..., :3] * away[..., :, None]).sum(dim=-2)
    in_front = local[..., 2] > NEAR_M
    depth = torch.where(in_front, local[..., 2], 1.0)
    lens = intrinsics.float()[..., None, :]
    tangents = torch.where(in_front[..., None], local[..., :2], 0.0) / depth[..., None]
    across, down = picture_of(tangents, lens).unbind(dim=-1)
    rows, columns = _kept_near(down * size[0] - 0.5, size[0]), _kept_near(across * size[1] - 0.5, size[1])
    return Projected(rows, columns, in_front, size[1] * lens[..., 0] / depth)


def _kept_near(places: Tensor, count: int) -> Tensor:
    beyond = FARTHEST_OFFSET * count + 0.5
    return places.clamp(-beyond, count - 1 + beyond)


def place_subjects(
    position: Float[Tensor, "*batch s 3"],
    box: Float[Tensor, "*batch s 4"],
    pose: Float[Tensor, "*batch 12"],
    size: tuple[int, int],
    intrinsics: Float[Tensor, "*batch 4"],
    subject_grid: tuple[int, int],
) -> SubjectPlaces:
    """Spread ``subject_grid`` (rows, columns) identity tokens over each subject's box, as a camera sees it.

    ``position``, ``box``: as in ``Tracks``; ``size``: rows and columns of the token grid. Tokens stand at the middles
    of the box's cells. A subject that is not in front of the camera lies at the middle of the picture, not in view.
    """
    seen = project_points(position, pose, size, intrinsics)
    centre_x, centre_y, half_width, half_height = (box.float() * seen.tokens_per_metre[..., None]).unbind(-1)
    column, row = seen.columns + centre_x, seen.rows + centre_y
    down, across = _cell_middles(subject_grid, box.device)
    rows = _kept_near(row[..., None] + half_height[..., None] * down, size[0])
    columns = _kept_near(column[..., None] + half_width[..., None] * across, size[1])
    directions, moments = rays_through(rows.flatten(-2), columns.flatten(-2), pose, size, intrinsics)
    shape = rows.shape[-2:]
    overlaps = ((column + half_width > -0.5) & (column - half_width < size[1] - 0.5)) & (
        (row + half_height > -0.5) & (row - half_height < size[0] - 0.5)
    )
    return SubjectPlaces(
        rows, columns, directions.unflatten(-2, shape), moments.unflatten(-2, shape), seen.in_front & overlaps
    )


def _cell_middles(grid: tuple[int, int], device: torch.device) -> tuple[Tensor, Tensor]:
    """Return the middles of a grid's cells, −1 to 1, rows then columns, row by row: [k] each."""
    rows, columns = token_places(*grid, device)
    return ((2 * rows + 1) / grid[0] - 1).flatten(), ((2 * columns + 1) / grid[1] - 1).flatten()


CERTAIN = 6.0
"""Logit of what is known: 99.8%."""


def reading_from_truth(
    position: Float[Tensor, "b s f 3"],
    identity: Float[Tensor, "b s f e"],
    shares: Float[Tensor, "b s f h w"],
    poses: Float[Tensor, "b f 12"],
    intrinsics: Lenses,
    *,
    noise: float = 0.01,
    least_share: float = 0.1,
) -> SceneReading:
    """Tell what every token shows, from where subjects are and which share, 0 to 1, of each token they cover.

    A token shows the subject that covers most of it, if that is at least ``least_share``. ``position``: of origins,
    in the anchor frame, as ``poses``; ``identity``: unit vectors, which may change with time. ``noise``: what the
    reading says of its own error, as a share of the distance; nothing is added.

    Raises:
        InputError: shapes that do not belong together.
    """
    batch, subjects, frames, height, width = shares.shape
    if position.shape != (batch, subjects, frames, 3) or identity.shape[:3] != position.shape[:3]:
        raise InputError(
            f"a true reading needs positions [b, s, f, 3] and identities [b, s, f, e] for shares {list(shares.shape)}, "
            f"got {list(position.shape)} and {list(identity.shape)}"
        )
    most, subject = shares.max(dim=1)
    origin = project_points(position.transpose(1, 2), poses, (height, width), intrinsics[:, None])
    camera = poses.unflatten(-1, (3, 4))[:, None, :, :, 3]
    distance = (position - camera).norm(dim=-1).clamp(min=1e-3).log()

    def of_subject(values: Tensor) -> Tensor:
        """Take values [b, s, f, ...] of the subject that each token shows: [b, f, h, w, ...]."""
        by_token = values[:, :, :, None, None].expand(-1, -1, -1, height, width, *values.shape[3:])
        index = subject[:, None].view(batch, 1, frames, height, width, *[1] * (values.ndim - 3))
        return by_token.gather(1, index.expand(-1, -1, -1, -1, -1, *values.shape[3:]))[:, 0]

    rows, columns = token_places(height, width, shares.device)
    across = of_subject(origin.columns.transpose(1, 2)) - columns
    down = of_subject(origin.rows.transpose(1, 2)) - rows
    shown = most >= least_share
    return SceneReading(
        dynamic=torch.where(shown, CERTAIN, -CERTAIN),
        distance=of_subject(distance),
        offset=torch.stack((across, down), dim=-1),
        identity=normalize(of_subject(identity), dim=-1, eps=1e-6),
        clarity=torch.full_like(most, CERTAIN),
        noise=torch.full_like(most, log(noise)),
    )


def shares_of_boxes(
    position: Float[Tensor, "b s f 3"],
    box: Float[Tensor, "b s 4"],
    poses: Float[Tensor, "b f 12"],
    size: tuple[int, int],
    intrinsics: Lenses,
) -> Float[Tensor, "b s f h w"]:
    """Tell which share of each token each subject covers, were it a board that faces the camera; nearer ones in front.

    ``box``: as in ``Tracks``. A nearer board hides what is behind it in proportion to the share that it covers.
    """
    origin = project_points(position.transpose(1, 2), poses, size, intrinsics[:, None])
    measured = box[:, None] * origin.tokens_per_metre[..., None]  # [b, f, s, 4]
    covered = []
    for axis, place in ((1, origin.rows), (0, origin.columns)):
        middle, half = place + measured[..., axis], measured[..., 2 + axis]
        cells = torch.arange(size[1 - axis], device=position.device) - 0.5
        low = torch.maximum(cells, (middle - half)[..., None])
        covered.append((torch.minimum(cells + 1, (middle + half)[..., None]) - low).clamp(min=0))
    alone = covered[0][..., :, None] * covered[1][..., None, :] * origin.in_front[..., None, None]
    camera = poses.unflatten(-1, (3, 4))[:, None, :, :, 3]
    order = (position - camera).norm(dim=-1).transpose(1, 2).argsort(dim=-1)  # nearest first
    index = order[..., None, None].expand_as(alone)
    sorted_shares = alone.gather(2, index)
    free = (1 - sorted_shares).cumprod(dim=2)
    free = torch.cat((torch.ones_like(free[:, :, :1]), free[:, :, :-1]), dim=2)
    return torch.zeros_like(alone).scatter(2, index, sorted_shares * free).transpose(1, 2)
