"""The four kinds of robots."""

from collections.abc import Mapping
from functools import partial

from outofsight.worlds.subjects import robot_walkers, robots
from outofsight.worlds.subjects.kinds import Habit, Recipe
from outofsight.worlds.subjects.people import gait_of, legs_of, person_pose

HABITS: Mapping[str, Habit] = {
    "delivery_robot": Habit(
        noun="a delivery robot",
        walk_m_s=1.0,
        run_m_s=2.0,
        size_m=(1.25, 1.15, 0.6, 0.7),
        actions=("waiting", "rolling along", "rolling fast"),
    ),
    "robot_dog": Habit(
        noun="a four-legged robot",
        walk_m_s=0.8,
        run_m_s=1.8,
        size_m=(0.7, 1.1, 0.5, 0.55),
        actions=("standing", "walking", "trotting"),
    ),
    "humanoid_robot": Habit(
        noun="a humanoid robot",
        walk_m_s=0.9,
        run_m_s=2.0,
        size_m=(1.6, 0.75, 0.65, 0.45),
        actions=("standing", "walking", "jogging"),
    ),
    "robot_arm": Habit(
        noun="a robot arm on wheels",
        walk_m_s=0.6,
        run_m_s=1.2,
        size_m=(1.4, 1.2, 1.3, 0.8),
        actions=("working", "rolling along", "rolling fast"),
        held_out=True,
    ),
}


def recipes() -> dict[str, Recipe]:
    """Make every robot's recipe, in catalogue order."""
    kinds = {name: habit.kind(name, "robot") for name, habit in HABITS.items()}
    hound, human = HABITS["robot_dog"], HABITS["humanoid_robot"]
    hound_gait = robot_walkers.hound_gait(hound.walk_m_s, hound.run_m_s)
    human_gait = gait_of(robot_walkers.HUMANOID, human.walk_m_s, human.run_m_s)
    made = (
        Recipe(kind=kinds["delivery_robot"], figure=robots.cart_figure, pose=robots.cart_pose),
        Recipe(
            kind=kinds["robot_dog"],
            figure=robot_walkers.hound_figure,
            pose=partial(robot_walkers.hound_pose, hound_gait),
            legs=robot_walkers.hound_legs(),
            gait=hound_gait,
        ),
        Recipe(
            kind=kinds["humanoid_robot"],
            figure=robot_walkers.humanoid_figure,
            pose=partial(person_pose, robot_walkers.HUMANOID, human_gait),
            legs=legs_of(robot_walkers.HUMANOID),
            gait=human_gait,
        ),
        Recipe(kind=kinds["robot_arm"], figure=robots.arm_figure, pose=robots.arm_pose),
    )
    return {recipe.kind.name: recipe for recipe in made}
