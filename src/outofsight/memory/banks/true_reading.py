"""What a perfect scene reader would say: readings made of the truth, for tests and studies that need no weights."""

from math import log

import torch
from jaxtyping import Float
from torch import Tensor
from torch.nn.functional import normalize

from outofsight.errors import InputError
from outofsight.memory.banks.placing import project_points, token_places
from outofsight.memory.banks.state import SceneReading

CERTAIN = 6.0
"""Logit of what is known: 99.8%."""


def reading_from_truth(
    position: Float[Tensor, "b s f 3"],
    identity: Float[Tensor, "b s f e"],
    shares: Float[Tensor, "b s f h w"],
    poses: Float[Tensor, "b f 12"],
    intrinsics: Float[Tensor, "b 4"],
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
    intrinsics: Float[Tensor, "b 4"],
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
