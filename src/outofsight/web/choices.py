"""What scenes can be asked for, and which of their parts a model's training knew."""

from outofsight.web.protocol import Choices
from outofsight.worlds.plan_config import PlanConfig
from outofsight.worlds.scenes import scene_catalogue
from outofsight.worlds.subjects import subject_catalogue


def choices_of(plan: PlanConfig) -> Choices:
    """List all scenes, lights and subjects of the engine; known are those of the plan that are not held out."""
    scenes, kinds = scene_catalogue(), subject_catalogue()
    known = [name for name in plan.scenes or scenes if not scenes[name].held_out]
    known += [name for name in plan.kinds or kinds if not kinds[name].held_out]
    return Choices(
        scenes={name: scene.noun for name, scene in scenes.items()},
        lights={name: list(scene.lights) for name, scene in scenes.items()},
        subjects={name: kind.category for name, kind in kinds.items()},
        known=known,
        sheds=[name for name, kind in kinds.items() if kind.removable],
    )
