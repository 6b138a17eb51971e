"""What is asked of a one-shot continuation, and what comes of it."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Any
from warnings import warn

import numpy as np
import torch
from jaxtyping import Int
from numpy.typing import NDArray
from pydantic import ConfigDict, Field, ValidationError, model_validator
from pydantic.dataclasses import dataclass as validated_dataclass
from pydantic_core import ArgsKwargs
from torch import Tensor

from outofsight.codec.checkpoint_files import save_state_dict
from outofsight.codec.video_vae import LatentTiling
from outofsight.errors import InputError, fault
from outofsight.memory.banks.state import RetrievedMemory
from outofsight.model_folders import EARLIER_NAMES
from outofsight.sampling.inputs import as_pixels, conditioning
from outofsight.sampling.remembered import GivenClip, retrieve_for_target
from outofsight.types import CameraPath
from outofsight.world_model import WorldModelBase

OnProgress = Callable[[str, int, int], None]
"""Called with a stage's name ("text", "encode", "retrieve" where there are banks, "denoise", "decode", and in a rollout
those of ``StepRecord.seconds``), how much of it is done, and the total."""


@validated_dataclass(frozen=True, kw_only=True, config=ConfigDict(extra="forbid"))
class SamplingSettings:
    """How to sample. The defaults are the published ones. What is unknown or impossible raises ``InputError``.

    ``shift``, ``history_guidance``: ``None`` takes the model's own. ``history_guidance``: how far a model with a noise
    level for each frame is led away from having no context; 1 is plain conditioning.
    ``negative_prompt``: what guidance leads away from. ``strength``: the noise level at which sampling begins from
    rendered memory, where the model is shown it; 1: from noise alone.
    ``context_once``: the context goes through the transformer in the first denoising step alone, which is faster and
    not in the paper (``backbone.kept_context``).
    """

    num_inference_steps: Annotated[int, Field(ge=1, le=10_000)] = 50
    guidance_scale: Annotated[float, Field(ge=0, allow_inf_nan=False)] = 5.0
    shift: Annotated[float, Field(gt=0, allow_inf_nan=False)] | None = None
    seed: Annotated[int, Field(ge=-(2**63), lt=2**63)] = 42
    negative_prompt: str = ""
    history_guidance: Annotated[float, Field(ge=0, allow_inf_nan=False)] | None = None
    strength: Annotated[float, Field(gt=0, le=1)] = 1.0
    context_once: bool = False

    @model_validator(mode="wrap")
    @classmethod
    def _in_one_line(cls, given: Any, check: Callable[[Any], "SamplingSettings"]) -> "SamplingSettings":
        named = given.kwargs or {} if isinstance(given, ArgsKwargs) else {}
        for earlier, name in EARLIER_NAMES.items():
            if earlier in named and name not in named:
                warn(f"{earlier} is called {name} now", DeprecationWarning, stacklevel=3)
                named[name] = named.pop(earlier)
        try:
            return check(given)
        except ValidationError as error:
            reasons = [_fault(found) for found in error.errors()]
            raise InputError(f"sampling settings: {'; '.join(reasons)}") from error

    def history_guidance_of(self, config: Mapping[str, Any]) -> float:
        """Return the history guidance in force: this one, or that of a transformer's configuration."""
        return float(config["history_guidance"]) if self.history_guidance is None else self.history_guidance


@dataclass(frozen=True, kw_only=True)
class Retrieval:
    """Which memory slices each latent frame retrieved. Slice j covers latent frames [j·n, (j+1)·n)."""

    slices: Int[Tensor, "steps layers f k"]
    frames_per_slice: int
    num_context_latent_frames: int

    def save(self, path: Path) -> None:
        """Write a safetensors file: ``slices``, and the other fields as metadata."""
        metadata = {
            name: str(getattr(self, name)) for name in ("frames_per_slice", "num_context_latent_frames")
        }
        save_state_dict(path, {"slices": self.slices}, metadata)


@dataclass(frozen=True, kw_only=True)
class Continuation:
    """``video`` uint8 [n, height, width, 3]: the target frames alone. ``seconds``: spent in each stage.
    ``retrieved``: what the two banks gave, of a model that has banks. ``rendered``: the same frames as memory renders
    them, of a model that is shown it; holes filled softly."""

    video: NDArray[np.uint8]
    settings: SamplingSettings
    seconds: dict[str, float] = field(default_factory=dict)
    retrieval: Retrieval | None = None
    retrieved: RetrievedMemory | None = None
    rendered: NDArray[np.uint8] | None = None


def rendered_memory(
    world: WorldModelBase,
    video: NDArray[np.uint8] | Tensor,
    context_cameras: CameraPath,
    target_cameras: CameraPath,
    seed: int = 0,
    *,
    subject_masks: NDArray[np.uint8] | None = None,
    tiling: LatentTiling | None = None,
) -> NDArray[np.uint8]:
    """Render the target from a model's memory: uint8 [n, height, width, 3], holes filled softly; nothing is
    generated.

    Raises:
        InputError: the model's memory is not rendered.
    """
    if not world.transformer.shows_rendered:
        raise InputError(
            f"this model ({world.transformer.config['memory_strategy']}) renders no memory; choose one that does"
        )
    pixels = as_pixels(video, world)
    cameras = conditioning(world, pixels, context_cameras, target_cameras)
    generator = torch.Generator().manual_seed(seed)
    clip = GivenClip(pixels, cameras, target_cameras, subject_masks)
    _, rendered = retrieve_for_target(world, world.encode_video(pixels, tiling), clip, generator, tiling)
    assert rendered is not None
    return rendered.pixels


def as_settings(settings: "SamplingSettings | Mapping[str, Any] | None") -> SamplingSettings:
    """Take nothing, a dictionary or settings for settings. Raises ``InputError`` for anything else."""
    if settings is None or isinstance(settings, Mapping):
        return SamplingSettings(**{str(name): value for name, value in (settings or {}).items()})
    if not isinstance(settings, SamplingSettings):
        raise InputError(
            f"expected SamplingSettings, or a dictionary of them, got a {type(settings).__name__}"
        )
    return settings


def _fault(found: Mapping[str, Any]) -> str:
    name = ".".join(map(str, found["loc"]))
    if name in EARLIER_NAMES:
        return f"{name}: it is called {EARLIER_NAMES[name]} now"
    return fault(found, name)
