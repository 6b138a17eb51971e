"""Worlds that have a name, because something was trained or is measured in them."""

from collections.abc import Callable
from dataclasses import replace

from outofsight.errors import WorldError
from outofsight.worlds.plan_config import PlanConfig


def mini_plan() -> PlanConfig:
    """The bundled mini's world: one large subject, two plain places, slow pans, 64×96 pixels, 10 frames a second.

    41 + 41 frames are 11 + 11 latent frames of 4×6 tokens. Harbour and museum, camel, tractor and wizard are held out
    as everywhere: they come up in the test part alone (*daylight* is the museum's light).
    """
    return PlanConfig(
        scenes=("desert", "snow village", "harbour", "museum"),
        lights=("noon", "morning", "golden hour", "overcast", "daylight"),
        kinds=(
            "elephant", "horse", "cow", "bear", "king", "car", "van", "bus",
            "camel", "tractor", "wizard",
        ),
        trajectories=("pan_left_right", "pan_right_left", "pan_left_hold", "pan_right_hold"),
        max_subjects=1,
        num_context_frames=41,
        num_target_frames=41,
        fps=10.0,
        height_px=64,
        width_px=96,
        max_turn_deg_per_frame=3.0,
        shed_share=0.0,
    )  # fmt: skip


def mini_wide_plan() -> PlanConfig:
    """The world that the bundled mini learns from: the mini's own two places every other time, else eight more.

    More kinds, two subjects in half of the clips, pictures, rates and pans as in the mini's own world. Held-out scenes
    and subjects come up in the test part alone.
    """
    return replace(
        mini_plan(),
        scenes=(
            *("desert", "snow village") * 4, "street", "plaza", "park", "car park", "forest", "farmyard",
            "playground", "warehouse", "harbour", "museum",
        ),
        kinds=(
            *mini_plan().kinds, "deer", "kangaroo", "sheep", "scooter", "forklift", "delivery_robot", "humanoid_robot",
            "cowboy", "knight", "astronaut", "farmer",
        ),
        max_subjects=2,
    )  # fmt: skip


def mini_long_plan() -> PlanConfig:
    """The mini's world with absences about three times as long: 41 + 121 frames, hidden for at least 84.

    The mini's subjects are hidden for 31.5 frames in the mean of 100 plans (9 to 53), these for 93 of 60 plans (84 to
    121); a plan is found in 5 draws in the median. Speeds, places and subjects are the mini's own.
    """
    return replace(mini_plan(), num_target_frames=121, min_hidden_frames=84)


PRESETS: dict[str, Callable[[], PlanConfig]] = {
    "mini": mini_plan,
    "mini_wide": mini_wide_plan,
    "mini_long": mini_long_plan,
}


def preset(name: str) -> PlanConfig:
    """Return a named plan. Raises ``WorldError`` with the names there are."""
    if name not in PRESETS:
        raise WorldError(f"unknown preset {name!r}; known are {', '.join(PRESETS)}")
    return PRESETS[name]()
