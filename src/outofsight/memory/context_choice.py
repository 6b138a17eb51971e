"""Which context frames enter the sequence: rules that look at cameras and time alone.

What a rule leaves out is nowhere in the model: not as a key, not in a memory slice. ``views`` keeps, of the context::

    latent frame   0 1 2 3 4 5 6 7 8 9 10 │ target ...      first 1, recent 2, clips 1 of 2 frames
    kept           0       [4 5]     9 10 │                 4 5: the clip that sees most of what the target sees
"""

from collections.abc import Callable
from typing import Literal

import torch
from jaxtyping import Float, Int
from pydantic import ConfigDict, Field, field_validator
from pydantic.dataclasses import dataclass
from torch import Tensor

from outofsight.errors import InputError
from outofsight.memory.selectors import view_overlap
from outofsight.nn.cameras import Lenses
from outofsight.types import LatentGrid

MOST_LATENT_FRAMES = 1_000_000

ContextTimes = Literal["kept", "contiguous"]
"""Whether chosen frames are rotated by their own times, or by 0, 1, 2, ... as if nothing lay between them."""


@dataclass(frozen=True, kw_only=True, config=ConfigDict(extra="forbid"))
class ContextSettings:
    """Which clean context frames the transformer sees.

    ``rule``: a name in ``CONTEXT_RULES``. ``first``, ``recent``: latent frames at both ends that are always kept.
    ``clips``: runs of ``clip_frames`` frames that are kept of the rest. ``duplicate_overlap``: a run whose view is
    shared to more than this part by one that is kept is taken last.
    """

    rule: str = "all"
    first: int = Field(default=0, ge=0, le=MOST_LATENT_FRAMES)
    recent: int = Field(default=5, ge=0, le=MOST_LATENT_FRAMES)
    clips: int = Field(default=0, ge=0, le=MOST_LATENT_FRAMES)
    clip_frames: int = Field(default=1, ge=1, le=MOST_LATENT_FRAMES)
    duplicate_overlap: float = Field(default=0.95, gt=0, le=1)
    times: ContextTimes = "kept"

    @field_validator("rule")
    @classmethod
    def _known(cls, rule: str) -> str:
        if rule not in CONTEXT_RULES:
            raise ValueError(
                f"known are {', '.join(CONTEXT_RULES)}, and a rule of your own once the module that registers it is "
                f"imported, got {rule!r}"
            )
        return rule


ContextRule = Callable[
    [Float[Tensor, "b f 12"], Float[Tensor, "b 4"], LatentGrid, ContextSettings], Int[Tensor, "b kept"]
]
"""From every frame's pose (row-flattened 3×4, context first) and the normalised intrinsics to the context frames that
are kept: increasing indices, as many for every batch element, their number a function of grid and settings alone."""


def all_frames(
    poses: Float[Tensor, "b f 12"], intrinsics: Lenses, grid: LatentGrid, settings: ContextSettings
) -> Int[Tensor, "b kept"]:
    """Keep the whole context."""
    return torch.arange(grid.context_frames, device=poses.device).expand(poses.shape[0], -1)


def ends(
    poses: Float[Tensor, "b f 12"], intrinsics: Lenses, grid: LatentGrid, settings: ContextSettings
) -> Int[Tensor, "b kept"]:
    """Keep the ``first`` and the ``recent`` frames; all where there are no more."""
    first, recent = _ends(grid.context_frames, settings)
    return torch.tensor(first + recent, dtype=torch.long, device=poses.device).expand(poses.shape[0], -1)


def views(
    poses: Float[Tensor, "b f 12"], intrinsics: Lenses, grid: LatentGrid, settings: ContextSettings
) -> Int[Tensor, "b kept"]:
    """Keep both ends, and of the rest the runs whose cameras see most of what the target's cameras see.

    The rest is cut into runs from its newest frame back; what does not fill a run is left out. Near-duplicates of
    what is kept come last, later runs win ties.

    Source: Context-as-Memory's rule (arXiv 2506.03141, runs of one frame), and WorldPlay's (runs of several).
    """
    first, recent = _ends(grid.context_frames, settings)
    size = settings.clip_frames
    between = grid.context_frames - len(first) - len(recent)
    num_runs = between // size
    start = len(first) + between - num_runs * size
    count = min(settings.clips, num_runs)
    fixed = ends(poses, intrinsics, grid, settings)
    if count == 0:
        return fixed
    overlap = view_overlap(poses, intrinsics)
    context = slice(0, grid.context_frames)
    runs = slice(start, start + num_runs * size)
    scores = overlap[:, grid.context_frames :, runs].mean(dim=1).unflatten(1, (num_runs, size)).mean(dim=2)
    shared = torch.minimum(overlap, overlap.transpose(1, 2))[:, context, context]
    among = shared[:, runs, runs].unflatten(2, (num_runs, size)).mean(dim=3)
    among = among.unflatten(1, (num_runs, size)).mean(dim=2)
    to_fixed = shared[:, runs].gather(2, fixed[:, None].expand(-1, num_runs * size, -1))
    kept_already = torch.zeros_like(scores)
    if fixed.shape[1]:
        kept_already = to_fixed.unflatten(1, (num_runs, size)).mean(dim=2).amax(dim=2)
    chosen = _best_unlike(scores, among, kept_already, count, settings.duplicate_overlap)
    frames = start + chosen[..., None] * size + torch.arange(size, device=poses.device)
    return torch.cat((fixed, frames.flatten(1)), dim=1).sort(dim=1).values


CONTEXT_RULES: dict[str, ContextRule] = {"all": all_frames, "ends": ends, "views": views}


def register_context_rule(name: str, rule: ContextRule) -> None:
    """Make a rule of one's own known by name. Raises ``InputError`` if the name is another rule's."""
    if CONTEXT_RULES.get(name, rule) is not rule:
        raise InputError(f"context rule {name!r} is there already; choose another name")
    CONTEXT_RULES[name] = rule


def choose_context(
    poses: Float[Tensor, "b f 12"], intrinsics: Lenses, grid: LatentGrid, settings: ContextSettings
) -> Int[Tensor, "b kept"]:
    """Apply the rule. Raises ``InputError`` if a rule's answer has another shape than it must have."""
    chosen = CONTEXT_RULES[settings.rule](poses, intrinsics, grid, settings)
    if chosen.ndim != 2 or chosen.shape[0] != poses.shape[0] or chosen.shape[1] > grid.context_frames:
        raise InputError(
            f"context rule {settings.rule!r} must give indices [{poses.shape[0]}, at most {grid.context_frames}], "
            f"got {list(chosen.shape)}"
        )
    return chosen


def num_kept(grid: LatentGrid, settings: ContextSettings) -> int:
    """Return how many context frames a rule keeps, whatever the cameras."""
    poses = torch.eye(3, 4).flatten().expand(1, grid.frames, -1)
    lens = torch.tensor([[1.0, 1.0, 0.5, 0.5]])
    return choose_context(poses, lens, grid, settings).shape[1]


def _ends(num_context: int, settings: ContextSettings) -> tuple[list[int], list[int]]:
    """Return the first and the most recent frames that are always kept; recent ones come before first ones."""
    recent = list(range(max(num_context - settings.recent, 0), num_context))
    return list(range(min(settings.first, num_context - len(recent)))), recent


def _best_unlike(
    scores: Float[Tensor, "b n"],
    alike: Float[Tensor, "b n n"],
    kept_already: Float[Tensor, "b n"],
    count: int,
    limit: float,
) -> Int[Tensor, "b count"]:
    """Take the best again and again, those that are like a taken one only when no others are left."""
    num = scores.shape[1]
    scores = scores + 1e-5 * torch.arange(num, device=scores.device) / num
    like = kept_already > limit
    taken = torch.zeros_like(like)
    chosen = []
    for _ in range(count):
        best = (scores - 2.0 * like - 4.0 * taken).argmax(dim=1)
        chosen.append(best)
        taken = taken.scatter(1, best[:, None], True)
        like = like | (alike.gather(1, best[:, None, None].expand(-1, 1, num))[:, 0] > limit)
    return torch.stack(chosen, dim=1)
