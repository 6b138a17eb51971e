"""Where a model is, by its name, and what it was made for. Read from small files; nothing is loaded."""

import json
import os
import re
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import asdict, dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

from outofsight.errors import CheckpointError, first_line, in_words

MODELS = Path(__file__).parent / "models"
BUNDLED = ("mini",)
USE_FILE, EARLIER_USE_FILE = "generation_config.json", "use.json"
EARLIER_NAMES = {"num_steps": "num_inference_steps"}
"""Of sampling settings, as files of earlier versions have them."""
HUB_ID = re.compile(r"\w[\w.-]*/[\w.-]+")


@dataclass(frozen=True, kw_only=True)
class ModelUse:
    """What a model is used with unless something else is asked for. The defaults are the published model's.

    ``size``: height and width in pixels; ``None`` takes a video as it is. ``fps``: of the videos it makes.
    ``strength``: noise level at which sampling begins from rendered memory; 1: from noise alone.
    ``explore``: what is otherwise in the explorer, where somebody waits for it: a ``strategy``, and sampling settings.
    """

    num_context_frames: int = 77
    num_target_frames: int = 77
    size: tuple[int, int] | None = None
    fps: float = 15.0
    num_inference_steps: int = 50
    guidance_scale: float = 5.0
    strength: float = 1.0
    explore: Mapping[str, Any] = field(default_factory=dict)

    @property
    def frames(self) -> tuple[int, int]:
        return self.num_context_frames, self.num_target_frames

    @property
    def sampling(self) -> dict[str, Any]:
        """The sampling settings among these, by name."""
        return {name: getattr(self, name) for name in ("num_inference_steps", "guidance_scale", "strength")}


@dataclass(frozen=True, kw_only=True)
class ModelSource:
    """A model and how it is run. ``path``: a folder, a hub id or a bundled model's name; ``strategy``: how it
    remembers, ``None``: as it was trained; ``dtype`` ``None``: the device's usual one; ``vae``: a tiny decoder's file,
    to decode in the VAE's place. ``device``, ``offload`` and ``attention_chunk`` change what is computed by rounding
    alone."""

    path: str
    strategy: str | None = None
    device: str = "auto"
    dtype: str | None = None
    offload: str = "none"
    quantize: str = "none"
    attention_chunk: int | None = None
    tile_vae: bool = False
    vae: Path | None = None

    @cached_property
    def use(self) -> ModelUse:
        """What the model is used with unless something else is asked for."""
        return read_use(self.path)


def find_model(name_or_path: str | Path) -> str | Path:
    """Turn the name of a bundled model into its folder; a path or hub id comes back as it is.

    A bundled name wins over a folder of that name where one stands; write ``./mini`` for the folder.

    Raises:
        CheckpointError: no folder, no bundled name and no hub id; or the model belongs to the package but is not in
            this installation.
    """
    if not isinstance(name_or_path, str | Path):
        raise CheckpointError(f"expected a model's name or folder, got {in_words(type(name_or_path))}")
    if name_or_path not in BUNDLED:
        if not HUB_ID.fullmatch(str(name_or_path)) and not os.path.lexists(name_or_path):
            known = ", ".join(BUNDLED)
            raise CheckpointError(
                f"{str(name_or_path)[:200]!r}: no such folder, and no bundled model ({known}); a hub id is OWNER/NAME"
            )
        return name_or_path
    folder = MODELS / str(name_or_path)
    if not folder.is_dir():
        raise CheckpointError(
            f"{name_or_path}: this installation carries no such weights (expected in {folder}); install a wheel or "
            "a checkout that has them, train and bundle them (docs/training.md), or name a model folder"
        )
    return folder


def read_use(name_or_path: str | Path) -> ModelUse:
    """Read what a model is used with from its folder or from the hub; the published model's use where it does not say.

    Raises:
        CheckpointError: the model's generation_config.json is damaged.
    """
    path = use_file(Path(find_model(name_or_path)))
    if not path.is_file() and HUB_ID.fullmatch(str(name_or_path)) and not path.parent.exists():
        path = _of_hub(str(name_or_path)) or path
    if not path.is_file():
        return ModelUse()
    try:
        content = json.loads(path.read_bytes())
        if content.get("size") is not None:
            content["size"] = tuple(content["size"])
        if "walk" in content:  # of earlier versions
            content["explore"] = content.pop("walk")
        return ModelUse(**present_names(content))
    except (OSError, ValueError, TypeError, AttributeError) as error:
        raise CheckpointError(
            f"{path}: expected a model's frames, size, fps, steps and guidance, could not read them "
            f"({first_line(error)})"
        ) from error


def use_file(folder: Path) -> Path:
    """Return where a model folder says what it is used with, also of one that an earlier version wrote."""
    earlier = folder / EARLIER_USE_FILE
    return earlier if earlier.is_file() and not (folder / USE_FILE).is_file() else folder / USE_FILE


def present_names(settings: Mapping[str, Any]) -> dict[str, Any]:
    """Return settings that were saved by the names that they have now."""
    return {
        EARLIER_NAMES.get(name, name): present_names(value) if isinstance(value, Mapping) else value
        for name, value in settings.items()
    }


def _of_hub(name: str) -> Path | None:
    """Fetch a hub model's use file, or take it from the hub's cache; ``None`` where there is none to be had.

    A model that cannot be reached at all is told of where it is loaded.
    """
    from huggingface_hub import hf_hub_download  # noqa: PLC0415 - it takes a second
    from huggingface_hub.errors import HfHubHTTPError, HFValidationError  # noqa: PLC0415

    for file in (USE_FILE, EARLIER_USE_FILE):
        with suppress(HfHubHTTPError, HFValidationError, OSError):
            return Path(hf_hub_download(name, file))
    return None


def use_as_json(use: ModelUse) -> str:
    """Write down what a model is used with, as ``read_use`` reads it."""
    return json.dumps(asdict(use), indent=2) + "\n"
