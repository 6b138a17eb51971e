"""What the recogniser's training is, as data."""

from typing import Literal

from pydantic import ConfigDict, Field, model_validator
from pydantic.dataclasses import dataclass

from outofsight.perception.kinds import KINDS


@dataclass(frozen=True, kw_only=True, config=ConfigDict(extra="forbid"))
class Spoiling:
    """How frames are spoiled, so that generated video is seen as well as rendered video. All chances are a frame's.

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


@dataclass(frozen=True, kw_only=True, config=ConfigDict(extra="forbid"))
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
    spoiling: Spoiling = Spoiling()

    @model_validator(mode="after")
    def _check(self) -> "RecogniserTask":
        weights = (self.mask_weight, self.kind_weight, self.identity_weight, self.picture_weight)
        if not any(weights):
            raise ValueError("all weights are 0; nothing would be learned")
        return self
