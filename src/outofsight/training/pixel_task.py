"""What the training on pixels is, as data: who is a subject, and what of a render reaches the decoded picture."""

from typing import Literal

from pydantic import ConfigDict, Field, model_validator
from pydantic.dataclasses import dataclass

from outofsight.training.rendered_truth import PlaceErrors


@dataclass(frozen=True, kw_only=True, config=ConfigDict(extra="forbid"))
class PixelTask:
    """Train a world model's mask reader and its autoencoder's skip on clips; all other weights stay as they are.

    ``initial``: the world model. ``skip_width``: channels of the skip, where it has none yet. ``frames``: context
    frames of a sample whose masks are read. ``window``: target frames (4·k + 1) that are decoded. ``coded_share``: of
    samples whose context is shown as the autoencoder rebuilds it, as a rollout sees its own pictures.
    ``subject_weight``: as in the autoencoder's training. ``errors``: how renders are misplaced.
    """

    kind: Literal["pixels"] = "pixels"
    initial: str | None = None
    skip_width: int = Field(default=32, gt=0)
    frames: int = Field(default=6, gt=0)
    window: int = 5
    coded_share: float = Field(default=0.3, ge=0, le=1)
    flip_share: float = Field(default=0.5, ge=0, le=1)
    mask_weight: float = Field(default=1.0, ge=0)
    skip_weight: float = Field(default=4.0, ge=0)
    subject_weight: float = Field(default=4.0, ge=0)
    errors: PlaceErrors = PlaceErrors()
    clips_in_memory: int = Field(default=512, gt=0)

    @model_validator(mode="after")
    def _check(self) -> "PixelTask":
        if self.window < 1 or (self.window - 1) % 4:
            raise ValueError(f"window must be 4·k + 1, got {self.window}")
        if self.mask_weight == self.skip_weight == 0:
            raise ValueError("mask_weight and skip_weight are both 0; nothing would be learned")
        return self
