"""The two-legged animals: chicken, goose, kangaroo."""

from collections.abc import Mapping
from functools import partial

from outofsight.worlds.subjects.bipeds import BipedPlan, biped_figure, biped_pose, gait_of, legs_of
from outofsight.worlds.subjects.kinds import Habit, Recipe

PLANS: Mapping[str, BipedPlan] = {
    "chicken": BipedPlan(
        noun="a {coat} chicken",
        body=(
            (-0.15, 0.05, 0.05, 0.33),
            (-0.10, 0.09, 0.09, 0.29),
            (0.0, 0.115, 0.125, 0.26),
            (0.09, 0.10, 0.115, 0.27),
            (0.15, 0.045, 0.055, 0.30),
        ),
        hip_m=(0.0, 0.055, 0.19),
        ankle_m=(-0.038, 0.03),
        leg_radii_m=(0.055, 0.016, 0.012),
        neck_from=(0.10, 0.30),
        neck_to=(0.165, 0.43),
        neck_radii=(0.075, 0.042),
        coats={
            "white": {
                "fur": (0.95, 0.93, 0.88),
                "belly": (0.90, 0.88, 0.83),
                "hair": (0.86, 0.84, 0.80),
                "mark": (0.85, 0.12, 0.10),
                "nose": (0.95, 0.70, 0.20),
                "skin": (0.93, 0.68, 0.24),
            },
            "brown": {
                "fur": (0.66, 0.36, 0.15),
                "belly": (0.76, 0.48, 0.22),
                "hair": (0.26, 0.14, 0.10),
                "mark": (0.86, 0.12, 0.10),
                "nose": (0.90, 0.70, 0.30),
                "skin": (0.88, 0.66, 0.26),
            },
            "black": {
                "fur": (0.13, 0.13, 0.15),
                "belly": (0.20, 0.20, 0.22),
                "hair": (0.08, 0.18, 0.17),
                "mark": (0.88, 0.12, 0.12),
                "nose": (0.80, 0.66, 0.34),
                "skin": (0.80, 0.62, 0.30),
            },
        },
        nod_rad=0.28,
        peck_rad=1.2,
    ),
    "goose": BipedPlan(
        noun="a {coat} goose",
        body=(
            (-0.32, 0.05, 0.05, 0.42),
            (-0.22, 0.12, 0.11, 0.38),
            (-0.02, 0.165, 0.165, 0.34),
            (0.14, 0.145, 0.15, 0.36),
            (0.24, 0.06, 0.07, 0.41),
        ),
        hip_m=(-0.03, 0.085, 0.25),
        ankle_m=(-0.064, 0.04),
        leg_radii_m=(0.075, 0.026, 0.020),
        neck_from=(0.18, 0.42),
        neck_to=(0.27, 0.82),
        neck_radii=(0.085, 0.046),
        coats={
            "white": {
                "fur": (0.96, 0.95, 0.92),
                "belly": (0.93, 0.92, 0.90),
                "hair": (0.88, 0.88, 0.88),
                "mark": (0.95, 0.94, 0.9),
                "nose": (0.96, 0.56, 0.12),
                "skin": (0.95, 0.54, 0.12),
            },
            "grey": {
                "fur": (0.52, 0.47, 0.42),
                "belly": (0.86, 0.84, 0.80),
                "hair": (0.36, 0.32, 0.29),
                "mark": (0.5, 0.46, 0.42),
                "nose": (0.95, 0.52, 0.14),
                "skin": (0.92, 0.52, 0.16),
            },
        },
        waddle_rad=0.15,
        nod_rad=0.08,
        peck_rad=0.4,
    ),
    "kangaroo": BipedPlan(
        noun="a {coat} kangaroo",
        body=(
            (-0.27, 0.10, 0.10, 0.60),
            (-0.20, 0.185, 0.18, 0.66),
            (-0.08, 0.215, 0.2, 0.78),
            (0.03, 0.18, 0.2, 0.94),
            (0.11, 0.145, 0.12, 1.08),
            (0.17, 0.10, 0.05, 1.19),
        ),
        hip_m=(-0.06, 0.16, 0.60),
        ankle_m=(-0.26, 0.10),
        heel_x_m=-0.30,
        leg_radii_m=(0.15, 0.075, 0.045),
        upper_share=0.46,
        straight=0.72,
        neck_from=(0.17, 1.16),
        neck_to=(0.26, 1.42),
        neck_radii=(0.10, 0.065),
        coats={
            "red-brown": {
                "fur": (0.68, 0.40, 0.22),
                "belly": (0.92, 0.80, 0.64),
                "mark": (0.34, 0.20, 0.13),
                "skin": (0.90, 0.66, 0.58),
            },
            "grey": {
                "fur": (0.52, 0.50, 0.48),
                "belly": (0.84, 0.82, 0.78),
                "mark": (0.26, 0.24, 0.24),
                "skin": (0.82, 0.64, 0.60),
            },
        },
        nod_rad=0.08,
        hops=True,
    ),
}

HABITS: Mapping[str, Habit] = {
    "chicken": Habit(
        noun="a chicken",
        walk_m_s=0.45,
        run_m_s=1.3,
        size_m=(0.55, 0.6, 0.3, 0.35),
        actions=("pecking", "strutting", "scurrying"),
    ),
    "goose": Habit(
        noun="a goose",
        walk_m_s=0.5,
        run_m_s=1.3,
        size_m=(0.95, 0.95, 0.45, 0.55),
        actions=("standing", "waddling", "hurrying"),
        held_out=True,
    ),
    "kangaroo": Habit(
        noun="a kangaroo",
        walk_m_s=1.1,
        run_m_s=3.6,
        size_m=(1.75, 1.9, 0.65, 1.3),
        actions=("standing", "hopping", "bounding"),
    ),
}


def recipes() -> dict[str, Recipe]:
    """Make every two-legged animal's recipe, in catalogue order."""
    return {name: _recipe(name, plan, HABITS[name]) for name, plan in PLANS.items()}


def _recipe(name: str, plan: BipedPlan, habit: Habit) -> Recipe:
    gait = gait_of(plan, habit.walk_m_s, habit.run_m_s)
    return Recipe(
        kind=habit.kind(name, "animal"),
        figure=partial(biped_figure, plan),
        pose=partial(biped_pose, plan, gait),
        legs=legs_of(plan),
        gait=gait,
    )
