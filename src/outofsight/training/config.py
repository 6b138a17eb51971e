"""What a training run is, as data: frozen, validated, printed, saved beside the result.

A run's result is a function of ``seed``, ``task``, ``optimisation``, ``batch`` and the data. The other parts
(``validation``, ``state``) say what is looked at and kept on the way, and change no weight.
"""

from collections.abc import Mapping
from typing import Any, Literal, TypeVar

from pydantic import Field, TypeAdapter, ValidationError, model_validator
from pydantic.dataclasses import dataclass

from outofsight.errors import InputError, fault
from outofsight.memory.strategies import MEMORY_FIELDS, strategy
from outofsight.training.tasks import STRICT, PixelTask, RecogniserTask, VaeTask, WorldTask

SomeTask = TypeVar("SomeTask", VaeTask, WorldTask, RecogniserTask, PixelTask)
StoredDtype = Literal["float32", "bfloat16"]
EARLIER_NAMES = {
    "task.chunks.own_share": "self_forcing_probability",
    "task.chunks.own_max_sigma": "self_forcing_max_sigma",
    "task.chunks.history_noise": "noise_augmentation",
    "task.spoiling": "augmentation",
}
"""Of settings, as the runs of earlier versions have saved them."""


@dataclass(frozen=True, kw_only=True, config=STRICT)
class Optimisation:
    """AdamW, its rate warmed up over ``warmup_steps`` and brought to 0 over the last ``cooldown_steps``.

    ``optimizer="muon"``: the matrices inside the transformer's blocks, and the kernels inside the mask reader, learn by
    Muon, whose steps are orthogonalised momentum, scaled so that AdamW's rates fit (Source: arXiv 2502.16982, section
    2.2); all else by AdamW.
    ``max_gradient_norm``: longer gradients are shortened to it. ``ema_decay``: of the running mean of the weights
    that is validated and exported (in its first steps it follows faster: at most (1 + step) / (10 + step)).
    """

    optimizer: Literal["adamw", "muon"] = "adamw"
    learning_rate: float = Field(default=1e-4, gt=0)
    betas: tuple[float, float] = (0.9, 0.999)
    weight_decay: float = Field(default=0.01, ge=0)
    epsilon: float = Field(default=1e-8, gt=0)
    warmup_steps: int = Field(default=0, ge=0)
    cooldown_steps: int = Field(default=0, ge=0)
    max_gradient_norm: float = Field(default=1.0, gt=0)
    ema_decay: float = Field(default=0.999, ge=0, lt=1)


@dataclass(frozen=True, kw_only=True, config=STRICT)
class Batch:
    """How much a step sees, and how it is computed.

    ``size``: samples a step, over all processes; each process takes ``size`` / processes of them, in
    ``accumulation`` parts. ``precision``: ``bf16`` computes under autocast, weights stay float32; ``auto`` measures
    once, when a run begins, which of both this machine is faster in, and keeps to it.
    ``prefetch``: batches that are read ahead, each by its own thread. ``skip_broken``: leave out samples that cannot be
    read; all are looked through for it before the first step. ``shard``: cut weights, gradients and moments among the
    processes (FSDP2), and let each write its part of a state.
    """

    size: int = Field(default=8, gt=0)
    accumulation: int = Field(default=1, gt=0)
    precision: Literal["no", "bf16", "auto"] = "no"
    gradient_checkpointing: bool = False
    compile: bool = False
    prefetch: int = Field(default=2, gt=0)
    skip_broken: bool = False
    shard: bool = False


@dataclass(frozen=True, kw_only=True, config=STRICT)
class Validation:
    """What is measured on the way, with the running mean of the weights. 0 steps: never.

    ``num_samples``: the first ones of the validation part. ``sigmas``: noise levels of the world model's loss.
    ``num_videos``, ``video_steps``: sample videos, and Euler steps for each.
    """

    every_steps: int = Field(default=500, ge=0)
    num_samples: int = Field(default=32, gt=0)
    sigmas: tuple[float, ...] = (0.25, 0.5, 0.75, 0.9, 0.98)
    videos_every_steps: int = Field(default=2000, ge=0)
    num_videos: int = Field(default=2, gt=0)
    video_steps: int = Field(default=16, gt=0)

    @model_validator(mode="after")
    def _check(self) -> "Validation":
        if not self.sigmas or any(not 0 < sigma <= 1 for sigma in self.sigmas):
            raise ValueError(f"sigmas must lie in (0, 1], got {list(self.sigmas)}")
        return self


@dataclass(frozen=True, kw_only=True, config=STRICT)
class StateFiles:
    """What is kept to go on from. ``keep``: newest states kept. ``shard_mb``: largest file, in 10⁶ bytes.

    A run goes on exactly only from float32 weights, running mean and optimizer. bfloat16 halves the size;
    ``optimizer="omit"`` leaves the moments out, and a run that goes on begins them at zero.
    """

    every_steps: int = Field(default=500, ge=0)
    keep: int = Field(default=2, gt=0)
    shard_mb: float = Field(default=1000.0, ge=0.001)
    weights: StoredDtype = "float32"
    ema: StoredDtype = "float32"
    optimizer: Literal["float32", "bfloat16", "omit"] = "float32"
    export_dtype: Literal["float32", "bfloat16", "float16"] = "float32"


@dataclass(frozen=True, kw_only=True, config=STRICT)
class TrainConfig:
    """One training run. ``tracker``: also report to it; ``log.jsonl`` is always written."""

    recipe: str
    task: VaeTask | WorldTask | RecogniserTask | PixelTask = Field(discriminator="kind")
    seed: int = Field(default=0, ge=0)
    num_steps: int = Field(gt=0)
    log_every_steps: int = Field(default=10, gt=0)
    tracker: Literal["tensorboard"] | None = None
    optimisation: Optimisation = Optimisation()
    batch: Batch = Batch()
    validation: Validation = Validation()
    state: StateFiles = StateFiles()

    @model_validator(mode="after")
    def _check(self) -> "TrainConfig":
        bent = self.optimisation.warmup_steps + self.optimisation.cooldown_steps
        if bent > self.num_steps:
            raise ValueError(
                f"optimisation.warmup_steps and cooldown_steps are {bent} steps together, the run has num_steps "
                f"{self.num_steps}; make them shorter"
            )
        return self

    def task_of(self, kind: type[SomeTask]) -> SomeTask:
        """Give the task to what trains this kind alone."""
        assert isinstance(self.task, kind)
        return self.task


def to_dict(config: TrainConfig) -> dict[str, Any]:
    """Give the config as plain JSON values."""
    return dict(TypeAdapter(TrainConfig).dump_python(config, mode="json"))


def from_dict(content: Mapping[str, Any], source: str = "training config") -> TrainConfig:
    """Make a config of plain JSON values. Raises ``InputError`` naming what is unknown or impossible."""
    try:
        return TypeAdapter(TrainConfig).validate_python(_present_names(content))
    except ValidationError as error:
        raise InputError(f"{source}: {'; '.join(map(_fault, error.errors()))}") from error


def _present_names(content: Mapping[str, Any], path: str = "") -> dict[str, Any]:
    """Return a config that an earlier version saved under the names that its settings have now."""
    return {
        EARLIER_NAMES.get(f"{path}{name}", name): (
            _present_names(value, f"{path}{name}.") if isinstance(value, Mapping) else value
        )
        for name, value in content.items()
    }


def _fault(found: Mapping[str, Any]) -> str:
    """Say what is wrong, and with which key where it is one key."""
    key = ".".join(str(part) for part in found["loc"] if part not in ("vae", "world", "recogniser", "pixels"))
    return fault(found, key)


def changed(config: TrainConfig, settings: Mapping[str, Any]) -> TrainConfig:
    """Return the config with dotted settings applied, such as ``{"optimisation.learning_rate": 1e-3}``.

    Raises:
        InputError: an unknown key, with the known ones, or a value that does not fit.
    """
    content = to_dict(config)
    for key, value in settings.items():
        *parents, name = key.split(".")
        place: Any = content
        for depth, parent in enumerate(parents, start=1):
            place = _inside(place, parent, ".".join(parents[:depth]))
        # The memory's settings hold only what differs from the model's; any of them may.
        _inside(dict(MEMORY_FIELDS) if parents == ["task", "memory"] else place, name, key)
        place[name] = value
    return from_dict(content, "--set")


def with_strategy(config: TrainConfig, name: str) -> TrainConfig:
    """Return the config with a memory strategy's settings.

    Raises:
        InputError: there is no such strategy, or nothing that remembers is trained.
    """
    if not isinstance(config.task, WorldTask):
        raise InputError(f"--strategy: {config.recipe} trains no world model, so it has no memory to choose")
    chosen = strategy(name)
    return changed(config, {"task.strategy": chosen.name, "task.memory": dict(chosen.settings)})


def _inside(place: Any, name: str, path: str) -> Any:
    if not isinstance(place, dict) or name not in place:
        known = ", ".join(place) if isinstance(place, dict) else "none"
        raise InputError(f"--set {path}: no such setting; known here are {known}")
    return place[name]


def differences(before: Mapping[str, Any], after: Mapping[str, Any], path: str = "") -> dict[str, Any]:
    """Give the dotted keys whose values differ, each with its value in ``after``."""
    found: dict[str, Any] = {}
    for name in sorted({*before, *after}):
        old, new = before.get(name), after.get(name)
        if isinstance(old, Mapping) and isinstance(new, Mapping):
            found.update(differences(old, new, f"{path}{name}."))
        elif old != new:
            found[f"{path}{name}"] = new
    return found
