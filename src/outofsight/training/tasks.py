"""What is trained, as data: a video VAE, a world model, the recogniser, or what a world model makes of pixels."""

from collections.abc import Mapping
from typing import Any, Literal

from pydantic import ConfigDict, Field, model_validator
from pydantic.dataclasses import dataclass

from outofsight.errors import InputError
from outofsight.memory.settings import check_memory
from outofsight.memory.strategies import MEMORY_FIELDS
from outofsight.perception.kinds import KINDS
from outofsight.training.rendered_truth import PlaceErrors
from outofsight.types import WAN_CLOCK

STRICT = ConfigDict(extra="forbid")


@dataclass(frozen=True, kw_only=True, config=STRICT)
class VaeSize:
    """The sizes of a video VAE. ``is_residual``: the form with shortcuts around every change of size.

    Space shrinks 8 times in both forms: plain by three halvings, residual by patches of 2×2 and two halvings.
    """

    base_dim: int = Field(default=16, gt=0)
    num_res_blocks: int = Field(default=1, gt=0)
    is_residual: bool = False
    z_dim: int = Field(default=16, gt=0)

    def arguments(self) -> dict[str, Any]:
        """The arguments of diffusers' ``AutoencoderKLWan``, latents not yet normalised (mean 0, std 1)."""
        residual = {
            "is_residual": True, "patch_size": 2, "in_channels": 12, "out_channels": 12,
            "dim_mult": [1, 2, 2], "temperal_downsample": [True, True],
        }  # fmt: skip
        return {
            "base_dim": self.base_dim, "num_res_blocks": self.num_res_blocks, **_latents(self.z_dim),
            **(residual if self.is_residual else {}),
        }  # fmt: skip


def _latents(z_dim: int) -> dict[str, Any]:
    return {"z_dim": z_dim, "latents_mean": [0.0] * z_dim, "latents_std": [1.0] * z_dim}


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
        return {**_latents(self.z_dim), "width": self.width, "num_layers": self.num_layers}


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
        if self.num_frames != WAN_CLOCK.whole(self.num_frames) or self.num_frames < 1:
            raise ValueError(f"num_frames must be 4·k + 1, got {self.num_frames}")
        if self.crop_px is not None and any(side < 8 or side % 8 for side in self.crop_px):
            raise ValueError(f"crop_px must be multiples of 8, got {list(self.crop_px)}")
        if self.l1_weight == self.mse_weight == 0:
            raise ValueError("l1_weight and mse_weight are both 0; nothing would be learned")
        return self


def _check_memory(settings: Mapping[str, Any]) -> None:
    try:
        check_memory(settings)
    except InputError as error:
        raise ValueError(str(error)) from error


@dataclass(frozen=True, kw_only=True, config=STRICT)
class WorldSize:
    """The sizes of a world model that begins with random weights. Its text encoder reads bytes.

    ``start_by_likeness``: self-attention begins by looking at tokens on like rays with like content (see
    ``training.models``), not by chance.
    ``camera_ray_octaves``, ``camera_fov_x_deg``: the rays that tokens know (78° is the middle of what our worlds draw).
    ``text_tokens``: most bytes of a caption that are read, the end mark included.
    """

    num_heads: int = Field(default=6, gt=0)
    head_dim: int = Field(default=32, gt=0)
    num_layers: int = Field(default=8, gt=0)
    ffn_dim: int = Field(default=384, gt=0)
    freq_dim: int = Field(default=256, gt=0)
    memory_kernel: tuple[int, int, int] = (2, 2, 2)
    memory_top_k: int = 10
    local_window: int = 5
    memory_affinity: str = "mean_pooled"
    memory_source: str = "all"
    camera_ray_octaves: int = 4
    camera_fov_x_deg: float = 78.0
    start_by_likeness: bool = False
    shift: float = Field(default=5.0, gt=0)
    text_width: int = Field(default=128, gt=0)
    text_layers: int = Field(default=2, gt=0)
    text_heads: int = Field(default=4, gt=0)
    text_tokens: int = Field(default=256, gt=0)

    @model_validator(mode="after")
    def _check(self) -> "WorldSize":
        _check_memory(vars(self))
        return self


@dataclass(frozen=True, kw_only=True, config=STRICT)
class LoraSize:
    """Low-rank additions to the transformer's linear layers whose names end in one of ``targets``. Rank 0: none."""

    rank: int = Field(default=0, ge=0)
    alpha: int = Field(default=16, gt=0)
    targets: tuple[str, ...] = ("attn1.to_q", "attn1.to_k", "attn1.to_v", "attn1.to_out.0")


@dataclass(frozen=True, kw_only=True, config=STRICT)
class MemoryLosses:
    """Weights of the two banks' losses (``training.memory_losses``); 0 leaves one out.

    ``split``: which tokens show a subject. ``reading``: where and who the scene reader says it is, token by token.
    ``state``: where the tracker has every annotated subject and how it moves, hidden or not, and where it foresees it.
    ``identity``: a subject's slot before it left knows it after its return, among the others of the batch.
    ``background``: what the archivist holds rebuilds the static tokens of the target's views.
    """

    split: float = Field(default=0.0, ge=0)
    reading: float = Field(default=0.0, ge=0)
    state: float = Field(default=0.0, ge=0)
    identity: float = Field(default=0.0, ge=0)
    background: float = Field(default=0.0, ge=0)

    def weights(self) -> dict[str, float]:
        """The losses that are on, by name."""
        return {name: weight for name, weight in vars(self).items() if weight > 0}


@dataclass(frozen=True, kw_only=True, config=STRICT)
class Chunks:
    """How the target is unrolled: generated a few latent frames at a time, each chunk after what came before it.

    ``sizes``: ways to cut it, one of which is drawn for each step; each must sum to the target's latent frames. None:
    the target is one chunk after the clean context. ``self_forcing_probability``: that the later history of a sample
    and chunk is the model's own estimate of the chunk, where that chunk's noise level is at most
    ``self_forcing_max_sigma``; all others see the truth at a noise level drawn uniformly from 0 to
    ``noise_augmentation``.
    """

    sizes: tuple[tuple[int, ...], ...] = ()
    self_forcing_probability: float = Field(default=0.5, ge=0, le=1)
    self_forcing_max_sigma: float = Field(default=0.7, ge=0, le=1)
    noise_augmentation: float = Field(default=0.1, ge=0, lt=1)

    @model_validator(mode="after")
    def _check(self) -> "Chunks":
        totals = {sum(sizes) for sizes in self.sizes}
        if len(totals) > 1 or any(size < 1 for sizes in self.sizes for size in sizes) or 0 in totals:
            raise ValueError(
                "chunks.sizes: expected lists of sizes ≥ 1 that all sum to the target's latent frames, got "
                f"{[list(sizes) for sizes in self.sizes]}"
            )
        return self


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
        _check_memory(self.memory)
        if self.camera_dropout and (self.memory_losses.weights() or self.chunks.sizes):
            raise ValueError(
                "memory_losses and chunks reckon with where cameras are, so every sample must know them; set "
                f"camera_dropout to 0, got {self.camera_dropout:g}"
            )
        if not self.flow_weight and not self.memory_losses.weights():
            raise ValueError("flow_weight and all of memory_losses are 0; nothing would be learned")
        return self


@dataclass(frozen=True, kw_only=True, config=STRICT)
class Augmentation:
    """How frames are augmented, so that generated video is seen as well as rendered video. All chances are a frame's.

    ``zoom``: cut out as little as this share of each side and enlarge it. ``paste_share``: put the subjects before
    another clip's frame, so that who they are cannot be told by what is behind them. ``coarsen_share``: shrink up to
    ``coarsest`` times and enlarge again, as a video VAE blurs. ``blur_share``, ``most_blur_px``: Gaussian blur.
    ``blotch_share``: add patches of 8 pixels, up to ``most_blotch`` of the range. ``noise_share``, ``most_noise``:
    noise a pixel, its deviation in shares of the range. ``light_share``: of the frames whose brightness is scaled and
    shifted, by up to ``most_light`` each.
    """

    flip_share: float = Field(default=0.5, ge=0, le=1)
    zoom_share: float = Field(default=0.5, ge=0, le=1)
    zoom: float = Field(default=0.65, gt=0, le=1)
    paste_share: float = Field(default=0.4, ge=0, le=1)
    coarsen_share: float = Field(default=0.5, ge=0, le=1)
    coarsest: float = Field(default=3.0, ge=1)
    blur_share: float = Field(default=0.3, ge=0, le=1)
    most_blur_px: float = Field(default=1.5, ge=0)
    blotch_share: float = Field(default=0.3, ge=0, le=1)
    most_blotch: float = Field(default=0.08, ge=0)
    noise_share: float = Field(default=0.3, ge=0, le=1)
    most_noise: float = Field(default=0.06, ge=0)
    light_share: float = Field(default=0.5, ge=0, le=1)
    most_light: float = Field(default=0.15, ge=0, lt=1)


@dataclass(frozen=True, kw_only=True, config=STRICT)
class RecogniserTask:
    """Train the recogniser on a data set's clips; a sample is ``num_views`` frames of one clip.

    ``initial``: a recogniser to go on from; ``None`` begins with random weights of the other sizes. ``kinds``: the
    words it learns; a clip with a subject of another kind is an error. ``seen_share``: of the frames that are chosen
    among those that show a subject, the others from all. ``least_px``: a smaller subject counts for the mask alone.
    Weights: of the mask's loss, the kind's, the identity's and the picture's; the last two are contrastive among all
    views of a step, at ``temperature``. ``subjects_per_clip``: most subjects of a clip.
    """

    kind: Literal["recogniser"] = "recogniser"
    initial: str | None = None
    kinds: tuple[str, ...] = KINDS
    widths: tuple[int, int, int, int] = (16, 32, 64, 128)
    num_blocks: int = Field(default=2, gt=0)
    identity_dim: int = Field(default=64, gt=0)
    picture_dim: int = Field(default=64, gt=0)
    num_views: int = Field(default=3, ge=2)
    seen_share: float = Field(default=0.85, ge=0, le=1)
    least_px: int = Field(default=12, gt=0)
    mask_weight: float = Field(default=1.0, ge=0)
    kind_weight: float = Field(default=0.5, ge=0)
    identity_weight: float = Field(default=0.5, ge=0)
    picture_weight: float = Field(default=0.1, ge=0)
    temperature: float = Field(default=0.1, gt=0)
    subjects_per_clip: int = Field(default=4, gt=0, lt=255)
    clips_in_memory: int = Field(default=1024, gt=0)
    augmentation: Augmentation = Augmentation()

    @model_validator(mode="after")
    def _check(self) -> "RecogniserTask":
        if not (self.mask_weight or self.kind_weight or self.identity_weight or self.picture_weight):
            raise ValueError("all weights are 0; nothing would be learned")
        return self


@dataclass(frozen=True, kw_only=True, config=STRICT)
class PixelTask:
    """Train a world model's mask reader and its autoencoder's skip on clips; all other weights stay as they are.

    ``initial``: the world model. ``skip_width``: channels of the skip, where it has none yet. ``frames``: context
    frames of a sample whose masks are read. ``window``: target frames (4·k + 1) that are decoded. ``coded_share``: of
    samples whose context is shown as the autoencoder rebuilds it, as a rollout sees its own pictures. ``most_light``:
    for masks, each colour of a clip is scaled and shifted by up to this share of its range.
    ``subject_weight``: as in the autoencoder's training. ``errors``: how renders are misplaced.
    ``agreed_share``: of windows whose subjects are moved in the truth too to where the render has them, as a model
    that believes its memory puts them; in the others a render's subjects stand astray, and must not come through.
    ``latent_noise``: most noise (standard deviations) on the latents of the window, for those of a model are not exact.
    ``mask_weight``, ``skip_weight``: of both losses; where one is 0, its samples are not made either.
    """

    kind: Literal["pixels"] = "pixels"
    initial: str | None = None
    skip_width: int = Field(default=32, gt=0)
    frames: int = Field(default=6, gt=0)
    window: int = 5
    coded_share: float = Field(default=0.3, ge=0, le=1)
    most_light: float = Field(default=0.15, ge=0, lt=1)
    flip_share: float = Field(default=0.5, ge=0, le=1)
    mask_weight: float = Field(default=1.0, ge=0)
    skip_weight: float = Field(default=4.0, ge=0)
    subject_weight: float = Field(default=4.0, ge=0)
    errors: PlaceErrors = PlaceErrors()
    agreed_share: float = Field(default=0.7, ge=0, le=1)
    latent_noise: float = Field(default=0.3, ge=0)
    clips_in_memory: int = Field(default=512, gt=0)

    @model_validator(mode="after")
    def _check(self) -> "PixelTask":
        if self.window != WAN_CLOCK.whole(self.window) or self.window < 1:
            raise ValueError(f"window must be 4·k + 1, got {self.window}")
        if self.mask_weight == self.skip_weight == 0:
            raise ValueError("mask_weight and skip_weight are both 0; nothing would be learned")
        return self
