"""The 23 kinds of people and their manners."""

from collections.abc import Mapping
from functools import partial
from types import MappingProxyType

from outofsight.worlds.subjects.kinds import Habit, Recipe
from outofsight.worlds.subjects.measures import PersonPlan
from outofsight.worlds.subjects.people import gait_of, legs_of, person_figure, person_pose
from outofsight.worlds.subjects.professions import PROFESSIONS
from outofsight.worlds.subjects.townspeople import TOWNSPEOPLE

PLANS: Mapping[str, PersonPlan] = MappingProxyType({**TOWNSPEOPLE, **PROFESSIONS})


HABITS: Mapping[str, Habit] = {
    "hiker": Habit(
        noun="a hiker",
        walk_m_s=1.35,
        run_m_s=3.2,
        size_m=(1.75, 1.0, 1.0, 0.55),
        removable=("backpack", "sun hat", "stick"),
    ),
    "businessman": Habit(
        noun="a businessman",
        walk_m_s=1.45,
        run_m_s=3.2,
        size_m=(1.8, 1.0, 0.9, 0.6),
        removable=("coat", "briefcase"),
    ),
    "office_worker": Habit(
        noun="an office worker",
        walk_m_s=1.25,
        run_m_s=2.6,
        size_m=(1.7, 0.8, 0.75, 0.5),
        removable=("coat", "handbag"),
    ),
    "builder": Habit(
        noun="a builder",
        walk_m_s=1.3,
        run_m_s=2.8,
        size_m=(1.8, 1.0, 0.95, 0.6),
        removable=("hard hat", "vest", "toolbox"),
    ),
    "chef": Habit(
        noun="a chef", walk_m_s=1.2, run_m_s=2.6, size_m=(1.85, 1.0, 0.65, 0.6), removable=("toque", "apron")
    ),
    "knight": Habit(
        noun="a knight",
        walk_m_s=1.15,
        run_m_s=2.4,
        size_m=(1.95, 0.9, 1.25, 0.65),
        actions=("standing guard", "marching", "charging"),
        removable=("shield",),
    ),
    "monk": Habit(
        noun="a monk",
        walk_m_s=0.95,
        run_m_s=2.0,
        size_m=(1.7, 0.85, 0.65, 0.5),
        actions=("standing in thought", "walking slowly", "hurrying"),
    ),
    "schoolchild": Habit(
        noun="a schoolchild",
        walk_m_s=1.1,
        run_m_s=2.6,
        size_m=(1.25, 0.65, 0.5, 0.4),
        removable=("backpack", "cap"),
    ),
    "girl_with_balloon": Habit(
        noun="a girl with a balloon",
        walk_m_s=0.9,
        run_m_s=2.1,
        size_m=(1.7, 0.75, 0.65, 0.5),
        removable=("balloon",),
    ),
    "grandmother": Habit(
        noun="an old woman",
        walk_m_s=0.7,
        run_m_s=1.3,
        size_m=(1.6, 0.7, 0.8, 0.4),
        actions=("resting", "shuffling", "hurrying"),
        removable=("shawl", "cane"),
    ),
    "grandfather": Habit(
        noun="an old man",
        walk_m_s=0.75,
        run_m_s=1.4,
        size_m=(1.7, 0.75, 0.9, 0.45),
        actions=("resting", "strolling", "hurrying"),
        removable=("coat", "cap"),
    ),
    "woman_with_umbrella": Habit(
        noun="a woman with an umbrella",
        walk_m_s=1.2,
        run_m_s=2.6,
        size_m=(2.3, 1.25, 1.5, 0.85),
        removable=("umbrella", "coat"),
    ),
    "jogger": Habit(
        noun="a jogger",
        walk_m_s=1.5,
        run_m_s=3.6,
        size_m=(1.75, 1.05, 0.7, 0.6),
        actions=("standing", "walking briskly", "jogging"),
        removable=("headband",),
    ),
    "farmer": Habit(
        noun="a farmer",
        walk_m_s=1.2,
        run_m_s=2.6,
        size_m=(1.95, 1.0, 1.05, 0.6),
        removable=("straw hat", "pitchfork"),
    ),
    "firefighter": Habit(
        noun="a firefighter",
        walk_m_s=1.35,
        run_m_s=3.0,
        size_m=(1.85, 1.0, 0.75, 0.6),
        removable=("fire helmet",),
        held_out=True,
    ),
    "doctor": Habit(
        noun="a doctor", walk_m_s=1.4, run_m_s=3.0, size_m=(1.7, 0.95, 0.7, 0.55), removable=("coat",)
    ),
    "astronaut": Habit(
        noun="an astronaut",
        walk_m_s=0.9,
        run_m_s=2.0,
        size_m=(1.95, 1.0, 1.05, 0.6),
        actions=("standing", "plodding", "bounding"),
        removable=("space helmet",),
    ),
    "courier": Habit(
        noun="a courier", walk_m_s=1.45, run_m_s=3.0, size_m=(1.75, 1.0, 0.75, 0.6), removable=("box", "cap")
    ),
    "ball_guest": Habit(
        noun="a woman in a ball gown",
        walk_m_s=0.95,
        run_m_s=2.0,
        size_m=(1.75, 0.85, 0.85, 0.5),
        actions=("standing", "strolling", "hurrying"),
    ),
    "king": Habit(
        noun="a king",
        walk_m_s=0.95,
        run_m_s=2.2,
        size_m=(1.8, 1.0, 0.7, 0.55),
        actions=("standing proudly", "striding", "running"),
        removable=("crown", "cape"),
    ),
    "cowboy": Habit(
        noun="a cowboy",
        walk_m_s=1.25,
        run_m_s=3.2,
        size_m=(1.85, 1.05, 0.85, 0.6),
        removable=("cowboy hat", "vest"),
    ),
    "wizard": Habit(
        noun="a wizard",
        walk_m_s=0.95,
        run_m_s=2.2,
        size_m=(2.15, 1.0, 1.05, 0.65),
        removable=("wizard hat", "staff"),
        held_out=True,
    ),
    "winter_walker": Habit(
        noun="a walker in a parka",
        walk_m_s=1.1,
        run_m_s=2.4,
        size_m=(1.75, 0.95, 0.85, 0.55),
        actions=("standing", "trudging", "running"),
        removable=("coat", "scarf"),
    ),
}


def recipes() -> dict[str, Recipe]:
    """Make every person's recipe, in catalogue order."""
    return {name: _recipe(name, plan, HABITS[name]) for name, plan in PLANS.items()}


def _recipe(name: str, plan: PersonPlan, habit: Habit) -> Recipe:
    gait = gait_of(plan, habit.walk_m_s, habit.run_m_s)
    return Recipe(
        kind=habit.kind(name, "person"),
        figure=partial(person_figure, plan),
        pose=partial(person_pose, plan, gait),
        legs=legs_of(plan),
        gait=gait,
    )
