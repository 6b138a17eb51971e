"""A clip of the mini's world that its training never saw."""

from dataclasses import dataclass

from outofsight.errors import WorldError
from outofsight.sampling.plan import VideoSize
from outofsight.types import Clip
from outofsight.worlds.clip import ClipMaker, cast_plan
from outofsight.worlds.plan_config import PlanConfig
from outofsight.worlds.presets import mini_plan
from outofsight.worlds.render import RenderSettings, check_rendering

MOST_SEEDS = 1_000_000
"""Clips of data sets with seed 1 and more are drawn from seeds above this one; the mini learned from such."""


@dataclass(frozen=True, kw_only=True)
class UnseenRequest:
    """Asks a maker of clips for one by its seed. ``casting``: known, held_out_scene or held_out_subjects."""

    seed: int
    casting: str = "known"

    def __post_init__(self) -> None:
        if not 0 <= self.seed < MOST_SEEDS:
            raise WorldError(
                f"the demo's seed must be 0 to {MOST_SEEDS - 1}, got {self.seed}; from larger ones training clips come"
            )

    @property
    def name(self) -> str:
        return f"seed_{self.seed}"


def check_unseen(request: UnseenRequest) -> None:
    """Refuse what ``unseen_clip`` would refuse of the mini's world, short of drawing it."""
    cast_plan(mini_plan(), request.casting)
    check_rendering(RenderSettings())


def unseen_size() -> VideoSize:
    """Give the frames and pixels of such a clip."""
    plan = mini_plan()
    return VideoSize(
        height=plan.height_px, width=plan.width_px, context_frames=plan.num_context_frames,
        target_frames=plan.num_target_frames,
    )  # fmt: skip


def unseen_clip(request: UnseenRequest, plan: PlanConfig | None = None) -> Clip:
    """Plan, render and confirm a clip; ``plan``: another world than the mini's."""
    return ClipMaker(plan=plan or mini_plan(), render=RenderSettings())(request)
