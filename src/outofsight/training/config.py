"""What a training run is, as data: frozen, validated, printed, saved beside the result.

A run's result is a function of ``seed``, ``task``, ``optimisation``, ``batch`` and the data. The other parts
(``validation``, ``state``) say what is looked at and kept on the way, and change no weight.
"""

from collections.abc import Mapping
from typing import Any, Literal

from pydantic import ConfigDict, Field, TypeAdapter, ValidationError, model_validator
from pydantic.dataclasses import dataclass

from outofsight.errors import InputError
from outofsight.memory.strategies import MEMORY_FIELDS, strategy
from outofsight.training.memory_config import Chunks, MemoryLosses
from outofsight.training.pixel_task import PixelTask
from outofsight.training.recogniser_task import RecogniserTask

STRICT = ConfigDict(extra="forbid")
StoredDtype = Literal["float32", "bfloat16"]


@dataclass(frozen=True, kw_only=True, config=STRICT)
class VaeSize:
    """The sizes of a video VAE. ``is_residual``: the form with shortcuts around every change of size.

    Space shrinks 8 times in both forms: plain by three halvings, residual by patches of 2×2 and two halvings.
    """

    base_dim: int = 16
    num_res_blocks: int = 1
    is_residual: bool = False
    z_dim: int = 16

    def arguments(self) -> dict[str, Any]:
        """The arguments of diffusers' ``AutoencoderKLWan``, latents not yet normalised (mean 0, std 1)."""
        form: dict[str, Any] = {}
        if self.is_residual:
            form = {
                "is_residual": True, "patch_size": 2, "in_channels": 12, "out_channels": 12,
                "dim_mult": [1, 2, 2], "temperal_downsample": [True, True],
            }  # fmt: skip
        return {
            "base_dim": self.base_dim, "num_res_blocks": self.num_res_blocks, "z_dim": self.z_dim,
            "latents_mean": [0.0] * self.z_dim, "latents_std": [1.0] * self.z_dim, **form,
        }  # fmt: skip


@dataclass(frozen=True, kw_only=True, config=STRICT)
class PatchSize:
    """The sizes of a ``PatchVideoAutoencoder``: principal components of blocks of 4×8×8, and layers over blocks.

    ``fit_clips``: clips whose blocks the components are found from.
    """

    z_dim: int = Field(default=16, gt=0)
    width: int = Field(default=160, gt=0)
    num_layers: int = Field(default=3, gt=0)
    fit_clips: int = Field(default=64, gt=0)

    def arguments(self) -> dict[str, Any]:
        """The arguments of ``PatchVideoAutoencoder``, latents not yet normalised (mean 0, std 1)."""
        return {
            "z_dim": self.z_dim, "width": self.width, "num_layers": self.num_layers,
            "latents_mean": [0.0] * self.z_dim, "latents_std": [1.0] * self.z_dim,
        }  # fmt: skip


@dataclass(frozen=True, kw_only=True, config=STRICT)
class VaeTask:
    """Train a video VAE on pictures and short clips cut from a data set's videos.

    ``initial``: a VAE folder to go on from; ``None`` begins with random weights of ``size``. A step is either of
    single frames (a share ``single_frame_share`` of the steps) or of ``num_frames`` consecutive ones, cut to
    ``crop_px`` (height, width; ``None``: whole pictures). The loss of a pixel counts 1 + ``subject_weight`` times
    where a subject is, on a scale that leaves the mean weight of every sample at 1.
    ``kl_weight``: per latent number, against the reconstruction loss per pixel and colour.
    ``clips_in_memory``: decoded clips that are kept (7 MB each at 77 + 77 frames of 96×160, masks not counted).
    ``patch``: begin a ``PatchVideoAutoencoder`` of that size instead, from the principal components of the clips.
    ``whitening``: how far the export evens out the latents' channels: 1 gives each a deviation of 1, 0 leaves
    their proportions; the mean variance is 1 in any case.
    ``statistics_clips``: clips over which the latents' mean and deviation are measured for the export.
    """

    kind: Literal["vae"] = "vae"
    initial: str | None = None
    size: VaeSize = VaeSize()
    patch: PatchSize | None = None
    num_frames: int = 17
    single_frame_share: float = Field(default=0.2, ge=0, le=1)
    crop_px: tuple[int, int] | None = None
    flip_share: float = Field(default=0.5, ge=0, le=1)
    l1_weight: float = Field(default=1.0, ge=0)
    mse_weight: float = Field(default=1.0, ge=0)
    kl_weight: float = Field(default=1e-6, ge=0)
    subject_weight: float = Field(default=4.0, ge=0)
    clips_in_memory: int = Field(default=512, gt=0)
    whitening: float = Field(default=1.0, ge=0, le=1)
    statistics_clips: int = Field(default=32, gt=0)

    @model_validator(mode="after")
    def _check(self) -> "VaeTask":
        if self.num_frames < 1 or (self.num_frames - 1) % 4:
            raise ValueError(f"num_frames must be 4·k + 1, got {self.num_frames}")
        if self.crop_px is not None and any(side < 8 or side % 8 for side in self.crop_px):
            raise ValueError(f"crop_px must be multiples of 8, got {list(self.crop_px)}")
        if self.l1_weight == self.mse_weight == 0:
            raise ValueError("l1_weight and mse_weight are both 0; nothing would be learned")
        return self


@dataclass(frozen=True, kw_only=True, config=STRICT)
class WorldSize:
    """The sizes of a world model that begins with random weights. Its text encoder reads bytes.

    ``start_by_likeness``: self-attention begins by looking at tokens on like rays with like content (see
    ``training.likeness``), not by chance.
    ``camera_ray_octaves``, ``camera_fov_x_deg``: the rays that tokens know (78° is the middle of what our worlds draw).
    ``text_tokens``: most bytes of a caption that are read, the end mark included.
    """

    num_heads: int = 6
    head_dim: int = 32
    num_layers: int = 8
    ffn_dim: int = 384
    freq_dim: int = 256
    memory_kernel: tuple[int, int, int] = (2, 2, 2)
    memory_top_k: int = 10
    local_window: int = 5
    memory_affinity: str = "mean_pooled"
    memory_source: str = "all"
    camera_ray_octaves: int = Field(default=4, ge=0)
    camera_fov_x_deg: float = 78.0
    start_by_likeness: bool = False
    shift: float = Field(default=5.0, gt=0)
    text_width: int = 128
    text_layers: int = 2
    text_heads: int = 4
    text_tokens: int = Field(default=256, gt=0)


@dataclass(frozen=True, kw_only=True, config=STRICT)
class LoraSize:
    """Low-rank additions to the transformer's linear layers whose names end in one of ``targets``. Rank 0: none."""

    rank: int = Field(default=0, ge=0)
    alpha: int = Field(default=16, gt=0)
    targets: tuple[str, ...] = ("attn1.to_q", "attn1.to_k", "attn1.to_v", "attn1.to_out.0")


@dataclass(frozen=True, kw_only=True, config=STRICT)
class WorldTask:
    """Train a world model on a latent cache, by flow matching on the target half alone.

    ``initial``: a world model folder to go on from; ``None`` begins with random weights of ``size``. ``vae``: the
    folder of the VAE that made the cache, for sample videos and the export; ``None`` takes that of ``initial``.
    ``trainable``: patterns (``*`` is anything) of the names of parameters that learn, such as ``transformer.*`` and
    ``text_encoder.*``. ``lora``: learn low-rank additions as well. ``timesteps``: ``uniform_shifted`` draws as
    published, uniformly from the 1000 shifted time steps; ``logit_normal`` shifts the sigmoid of a normal number.
    ``weighting``: ``gaussian`` is the published weight of a time step. ``subject_weight``: a latent pixel's error
    counts 1 + ``subject_weight`` · (share of it that shows a subject), on a scale that leaves the mean weight of every
    sample at 1; the paper's is 0. ``caption_dropout``, ``camera_dropout``: shares of samples that learn without (twelve
    zeros stand for no camera). ``strategy``, ``memory``: the name of a way to remember, and the transformer's settings
    that make it (``outofsight.memory.strategies``); what these add to the model always learns. ``None`` and none: the
    memory of ``size``, or of ``initial``. ``banks``: a world model folder whose two banks are taken, beside all else of
    ``initial``, for a strategy that has banks. ``memory_losses``: what the two banks learn beside the flow. ``chunks``:
    how the target is unrolled. Of a model that is shown rendered memory: ``rendered_dropout``, the share of samples
    that learn without; ``rendered_strength``, by which the noise levels of all others are lowered (sampling begins from
    the noised render); ``frozen``: patterns of parameters that do not learn, whatever else is said. ``gate_strength``,
    at which a gate that has not learned yet begins. ``flow_weight``: of the flow's loss; at 0 the banks learn alone,
    and the transformer's blocks are not run.
    """

    kind: Literal["world"] = "world"
    strategy: str | None = None
    memory: dict[str, Any] = Field(default_factory=dict)
    initial: str | None = None
    banks: str | None = None
    vae: str | None = None
    size: WorldSize = WorldSize()
    trainable: tuple[str, ...] = ("*",)
    lora: LoraSize = LoraSize()
    timesteps: Literal["uniform_shifted", "logit_normal"] = "uniform_shifted"
    weighting: Literal["gaussian", "none"] = "gaussian"
    subject_weight: float = Field(default=0.0, ge=0)
    caption_dropout: float = Field(default=0.1, ge=0, le=1)
    camera_dropout: float = Field(default=0.0, ge=0, le=1)
    memory_losses: MemoryLosses = MemoryLosses()
    chunks: Chunks = Chunks()
    flow_weight: float = Field(default=1.0, ge=0)
    rendered_dropout: float = Field(default=0.15, ge=0, le=1)
    rendered_strength: float = Field(default=1.0, gt=0, le=1)
    gate_strength: float = Field(default=0.0, ge=0, le=1)
    frozen: tuple[str, ...] = ()

    @property
    def unrolls(self) -> bool:
        """Whether training goes through the target chunk by chunk, if only to let the banks see it."""
        return bool(self.chunks.sizes or self.memory_losses.weights())

    @model_validator(mode="after")
    def _check(self) -> "WorldTask":
        unknown = sorted(set(self.memory) - set(MEMORY_FIELDS))
        if unknown:
            raise ValueError(f"memory.{unknown[0]}: no such setting; known are {', '.join(MEMORY_FIELDS)}")
        if self.camera_dropout and (self.memory_losses.weights() or self.chunks.sizes):
            raise ValueError(
                "memory_losses and chunks reckon with where cameras are, so every sample must know them; set "
                f"camera_dropout to 0, got {self.camera_dropout:g}"
            )
        if not self.flow_weight and not self.memory_losses.weights():
            raise ValueError("flow_weight and all of memory_losses are 0; nothing would be learned")
        return self


@dataclass(frozen=True, kw_only=True, config=STRICT)
class Optimisation:
    """AdamW, its rate warmed up over ``warmup_steps`` and brought to 0 over the last ``cooldown_steps``.

    ``optimizer="muon"``: the matrices inside the transformer's blocks learn by Muon, whose steps are orthogonalised
    momentum, scaled so that AdamW's rates fit (Source: arXiv 2502.16982, section 2.2); all else by AdamW.
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
    read; all are looked through for it before the first step.
    """

    size: int = Field(default=8, gt=0)
    accumulation: int = Field(default=1, gt=0)
    precision: Literal["no", "bf16", "auto"] = "no"
    gradient_checkpointing: bool = False
    compile: bool = False
    prefetch: int = Field(default=2, gt=0)
    skip_broken: bool = False


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


def to_dict(config: TrainConfig) -> dict[str, Any]:
    """Give the config as plain JSON values."""
    content: dict[str, Any] = TypeAdapter(TrainConfig).dump_python(config, mode="json")
    return content


def from_dict(content: Mapping[str, Any], source: str = "training config") -> TrainConfig:
    """Make a config of plain JSON values. Raises ``InputError`` naming what is unknown or impossible."""
    try:
        return TypeAdapter(TrainConfig).validate_python(dict(content))
    except ValidationError as error:
        raise InputError(f"{source}: {'; '.join(map(_fault, error.errors()))}") from error


def _fault(found: Mapping[str, Any]) -> str:
    """Say what is wrong, and with which key where it is one key."""
    key = ".".join(str(part) for part in found["loc"] if part not in ("vae", "world", "recogniser", "pixels"))
    message = str(found["msg"]).removeprefix("Value error, ")
    return f"{key}: {message}" if key else message


def changed(config: TrainConfig, settings: Mapping[str, Any]) -> TrainConfig:
    """Return the config with dotted settings applied, such as ``{"optimisation.learning_rate": 1e-3}``.

    Raises:
        InputError: an unknown key, with the known ones, or a value that does not fit.
    """
    content = to_dict(config)
    for key, value in settings.items():
        *parents, name = key.split(".")
        place: Any = content
        for depth, parent in enumerate(parents):
            place = _inside(place, parent, ".".join(parents[: depth + 1]))
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
