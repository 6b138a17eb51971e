"""The worlds that a model is at home in, those it learned from, and what scenes can be asked for."""

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

from outofsight.errors import CheckpointError, WorldError
from outofsight.model_folders import ModelUse, find_model
from outofsight.web.protocol import Choices
from outofsight.worlds.plan_config import PlanConfig
from outofsight.worlds.presets import mini_plan
from outofsight.worlds.scenes import scene_catalogue
from outofsight.worlds.subjects import subject_catalogue

RECORD = "training.json"


def own_worlds(model: str, use: ModelUse) -> PlanConfig:
    """Give the plan of the data that a model was trained on, else the mini's, with the context,
    rate and size of its use, and a target no shorter.

    Raises:
        CheckpointError: the folder's training record is damaged.
    """
    plan = _recorded(Path(find_model(model)) / RECORD) or mini_plan()
    if use.size is None:
        return plan
    return replace(
        plan, num_context_frames=use.num_context_frames, fps=use.fps, height_px=use.size[0], width_px=use.size[1],
        num_target_frames=max(plan.num_target_frames, use.num_target_frames),
    )  # fmt: skip


def _recorded(path: Path) -> PlanConfig | None:
    """Read the plan from a training record; ``None`` where there is no record, or it is of other data than ours."""
    if not path.is_file():
        return None
    try:
        content = json.loads(path.read_bytes())
        plan = ((content.get("data") or {}).get("recipe") or {}).get("plan")
        if plan is None:
            return None
        fields: Any = {key: tuple(value) if isinstance(value, list) else value for key, value in plan.items()}
        return PlanConfig(**fields)
    except (OSError, ValueError, TypeError, AttributeError, WorldError) as error:
        raise CheckpointError(
            f"{path}: does not say which worlds the model learned from ({error})"
        ) from error


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
