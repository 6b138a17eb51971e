"""The model behind all walks: loaded once, and remembering in several ways at a time."""

import copy
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import torch
from numpy.typing import NDArray

from outofsight.errors import CheckpointError, InputError
from outofsight.memory.strategies import STRATEGIES, check_without_training, strategy
from outofsight.model_folders import ModelUse
from outofsight.sampling.continuation import SamplingSettings
from outofsight.sampling.inputs import to_uint8
from outofsight.sampling.rollout import Rollout
from outofsight.sampling.rollout_files import load_rollout
from outofsight.sampling.rollout_start import rival_of
from outofsight.sampling.rollout_state import RolloutLimits
from outofsight.sampling.world import WorldModel
from outofsight.types import LatentClock
from outofsight.web.scene import Scene

Watch = Callable[[str, int, int], None]
"""Told of each stage of a step; what it raises ends the step as if it had never begun."""

KEEP_STEPS = 40
LATENTS_BEFORE = 4
"""Latent frames that a single frame is decoded from."""


class Mind(Protocol):
    """What walks ask of a model. Tests have one without weights."""

    name: str
    strategy: str
    keep_steps: int
    clock: LatentClock
    fov_deg: float

    @property
    def strategies(self) -> Mapping[str, str]: ...
    def start(self, scene: Scene, strategy: str, watch: Watch) -> Any: ...
    def resume(self, folder: Path, watch: Watch) -> tuple[Any, str]: ...
    def rival(self, rollout: Any, strategy: str) -> Any: ...
    def last_frame(self, rollout: Any) -> NDArray[np.uint8]: ...


class ModelMind:
    """A world model, and the same weights remembering by other strategies, made when they are first asked for.

    ``strategy``: by which walks remember; ``None``: the model's own.
    """

    def __init__(
        self,
        name: str,
        world: WorldModel,
        use: ModelUse,
        sampling: SamplingSettings,
        keep_steps: int = KEEP_STEPS,
        strategy: str | None = None,
    ) -> None:
        self.name, self.use, self.sampling, self.keep_steps = name, use, sampling, keep_steps
        self._own: str = world.transformer.config["memory_strategy"]
        self._worlds = {self._own: world}
        self._strategies = {self._own: _what(self._own), **usable_strategies(world)}
        self.strategy = strategy or self._own
        self.world_of(self.strategy)  # say now if the model cannot
        self.clock = world.clock
        self.fov_deg = float(world.transformer.config["camera_fov_x_deg"])

    @property
    def strategies(self) -> Mapping[str, str]:
        """What this model can remember by without training, and what that is."""
        return self._strategies

    def world_of(self, name: str) -> WorldModel:
        """Return the model that remembers by a strategy. Raises ``InputError`` where it cannot."""
        if name not in self.strategies:
            raise InputError(f"strategy {name!r}: this model can remember by {', '.join(self.strategies)}")
        if name not in self._worlds:
            self._worlds[name] = with_shared_weights(self._worlds[self._own], name)
        return self._worlds[name]

    def start(self, scene: Scene, strategy: str, watch: Watch) -> Rollout:
        """Begin a rollout from a scene's context."""
        assert scene.video is not None
        assert scene.cameras is not None
        return self.world_of(strategy).start(
            scene.video, scene.cameras, scene.caption, settings=self.sampling,
            limits=RolloutLimits(keep_steps=self.keep_steps), on_progress=watch,
        )  # fmt: skip

    def resume(self, folder: Path, watch: Watch) -> tuple[Rollout, str]:
        """Go on with a saved rollout, by the strategy that it was saved with.

        Raises:
            CheckpointError: no state, a damaged one, or another model's.
        """
        _, manifest = load_rollout(folder)
        name = manifest["memory"]["memory_strategy"]
        if name not in self.strategies:
            raise CheckpointError(
                f"{folder}: remembers by {name}, which this model does not; name its own --model"
            )
        return self.world_of(name).resume(folder, on_progress=watch), name

    def last_frame(self, rollout: Rollout) -> NDArray[np.uint8]:
        """Decode the last frame [h, w, 3] that a resumed rollout knows of: nearly the one that was shown, where it had
        no skip from a render and the decoder did not look farther back."""
        with torch.inference_mode():
            latents = rollout.state.latents[:, :, -LATENTS_BEFORE:].to(rollout.world.work_device)
            return to_uint8(rollout.world.decode_latents(latents)[0, -1:])[0]

    def rival(self, rollout: Rollout, strategy: str) -> Rollout:
        """Let the same walk be remembered by another strategy from now on."""
        return rival_of(rollout, self.world_of(strategy))


def with_shared_weights(world: WorldModel, name: str) -> WorldModel:
    """Return a model of the same weights, not copied, that remembers by another strategy.

    Raises:
        InputError: the strategy needs weights that this model has not learned.
    """
    weights = world.transformer.state_dict(keep_vars=True).values()
    transformer = copy.deepcopy(world.transformer, {id(weight): weight for weight in weights})
    other = WorldModel(**{**world.components, "transformer": transformer})
    other.set_progress_bar_config(disable=True)
    other.set_memory(name)
    return other


def usable_strategies(world: WorldModel) -> dict[str, str]:
    """List the strategies that a model can be walked with as it is, and what each remembers."""
    trained = world.transformer._trained_memory
    usable = {}
    for name, each in STRATEGIES.items():
        whole = each.whole(trained)
        if whole["subject_mask"] != "none" or whole["identity_grid"] is not None:
            continue  # it is told where subjects are, which a walk does not know
        try:
            check_without_training(each, trained)
        except InputError:
            continue
        usable[name] = each.what
    return usable


def _what(name: str) -> str:
    return strategy(name).what if name in STRATEGIES else "a strategy of its own"
