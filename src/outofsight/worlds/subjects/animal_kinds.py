"""The four-legged kinds: twelve species and their manners."""

from collections.abc import Mapping
from functools import partial
from types import MappingProxyType

from outofsight.worlds.subjects.animals import (
    AnimalPlan,
    animal_figure,
    animal_pose,
    gait_of,
    legs_of,
)
from outofsight.worlds.subjects.kinds import Habit, Recipe
from outofsight.worlds.subjects.tame_animals import TAME
from outofsight.worlds.subjects.wild_animals import WILD

PLANS: Mapping[str, AnimalPlan] = MappingProxyType({**TAME, **WILD})


HABITS: Mapping[str, Habit] = {
    "dog": Habit(
        noun="a dog",
        walk_m_s=1.2,
        run_m_s=3.6,
        size_m=(0.9, 1.25, 0.4, 0.75),
        actions=("standing", "walking", "galloping"),
    ),
    "cat": Habit(
        noun="a cat",
        walk_m_s=0.7,
        run_m_s=2.4,
        size_m=(0.6, 0.75, 0.25, 0.4),
        actions=("standing", "prowling", "bounding"),
    ),
    "fox": Habit(
        noun="a fox",
        walk_m_s=0.9,
        run_m_s=2.4,
        size_m=(0.75, 1.4, 0.3, 0.85),
        actions=("standing", "stalking", "trotting"),
    ),
    "horse": Habit(
        noun="a horse",
        walk_m_s=1.5,
        run_m_s=5.0,
        size_m=(2.1, 2.55, 0.85, 1.45),
        actions=("grazing", "walking", "galloping"),
    ),
    "cow": Habit(
        noun="a cow",
        walk_m_s=1.0,
        run_m_s=2.4,
        size_m=(1.55, 2.5, 0.9, 1.45),
        actions=("grazing", "ambling", "trotting"),
    ),
    "sheep": Habit(
        noun="a sheep",
        walk_m_s=0.8,
        run_m_s=2.0,
        size_m=(1.05, 1.4, 0.6, 0.75),
        actions=("grazing", "walking", "trotting"),
    ),
    "pig": Habit(
        noun="a pig",
        walk_m_s=0.8,
        run_m_s=2.0,
        size_m=(0.85, 1.65, 0.6, 0.95),
        actions=("rooting about", "walking", "trotting"),
    ),
    "deer": Habit(
        noun="a deer",
        walk_m_s=1.2,
        run_m_s=4.2,
        size_m=(1.85, 1.7, 0.6, 1.0),
        actions=("grazing", "walking", "bounding"),
    ),
    "bear": Habit(
        noun="a bear",
        walk_m_s=1.1,
        run_m_s=3.4,
        size_m=(1.3, 2.1, 1.0, 1.25),
        actions=("standing", "lumbering", "galloping"),
    ),
    "elephant": Habit(
        noun="an elephant",
        walk_m_s=1.2,
        run_m_s=2.6,
        size_m=(2.8, 3.9, 1.7, 2.4),
        actions=("standing", "walking", "striding fast"),
    ),
    "camel": Habit(
        noun="a camel",
        walk_m_s=1.2,
        run_m_s=3.0,
        size_m=(2.1, 2.75, 0.75, 1.65),
        actions=("standing", "walking", "pacing"),
        held_out=True,
    ),
    "tortoise": Habit(
        noun="a giant tortoise",
        walk_m_s=0.25,
        run_m_s=0.45,
        size_m=(0.55, 1.3, 0.75, 0.7),
        actions=("resting", "crawling", "crawling fast"),
    ),
}


def recipes() -> dict[str, Recipe]:
    """Make every four-legged animal's recipe, in catalogue order."""
    return {name: _recipe(name, plan, HABITS[name]) for name, plan in PLANS.items()}


def _recipe(name: str, plan: AnimalPlan, habit: Habit) -> Recipe:
    gait = gait_of(plan, habit.walk_m_s, habit.run_m_s)
    return Recipe(
        kind=habit.kind(name, "animal"),
        figure=partial(animal_figure, plan),
        pose=partial(animal_pose, plan, gait),
        legs=legs_of(plan),
        gait=gait,
    )
