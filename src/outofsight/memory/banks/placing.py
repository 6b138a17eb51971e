"""Where tokens look and where subjects stand: between places on the token grid and metres in the anchor frame.

Rows and columns are counted in tokens and may be any real number; a whole number is a token's middle. Pixels are
square. A lens is its normalised intrinsics (``nn.intrinsics``), one for each camera or one for all. Products are sums,
never matrix products, which autocast would round.
"""

from typing import NamedTuple

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from outofsight.memory.banks.state import SceneReading

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


def rays_through(
    rows: Float[Tensor, "*batch n"],
    columns: Float[Tensor, "*batch n"],
    pose: Float[Tensor, "*batch 12"],
    size: tuple[int, int],
    intrinsics: Float[Tensor, "*batch 4"],
) -> tuple[Float[Tensor, "*batch n 3"], Float[Tensor, "*batch n 3"]]:
    """Return direction (unit length) and moment (position × direction) of the rays through places on the grid.

    ``pose``: row-flattened 3×4 ``reference_from_camera``; ``size``: rows and columns of the grid.
    """
    fx, fy, cx, cy = intrinsics.float()[..., None, :].unbind(dim=-1)
    x = ((columns + 0.5) / size[1] - cx) / fx
    y = ((rows + 0.5) / size[0] - cy) / fy
    local = torch.stack((x, y, torch.ones_like(x)), dim=-1).float()
    local = local / local.norm(dim=-1, keepdim=True)
    camera = pose.float().unflatten(-1, (3, 4))[..., None, :, :]
    direction = (camera[..., :3] * local[..., None, :]).sum(dim=-1)
    moment = torch.linalg.cross(camera[..., 3].expand_as(direction), direction)
    return direction, moment


def positions_told(
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
    told = away + poses.float().unflatten(-1, (3, 4))[..., None, :, 3]
    return told.unflatten(-2, (height, width))


def token_places(
    height: int, width: int, device: torch.device
) -> tuple[Float[Tensor, "h w"], Float[Tensor, "h w"]]:
    """Return row and column of every token of a grid."""
    rows, columns = torch.meshgrid(
        torch.arange(height, device=device, dtype=torch.float32),
        torch.arange(width, device=device, dtype=torch.float32),
        indexing="ij",
    )
    return rows, columns


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
    fx, fy, cx, cy = intrinsics.float()[..., None, :].unbind(dim=-1)
    tokens_per_metre = size[1] * fx / depth
    across, down = (torch.where(in_front, local[..., axis], 0.0) / depth for axis in (0, 1))
    rows = _kept_near((fy * down + cy) * size[0] - 0.5, size[0])
    columns = _kept_near((fx * across + cx) * size[1] - 0.5, size[1])
    return Projected(rows, columns, in_front, tokens_per_metre)


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
