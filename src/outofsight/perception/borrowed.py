"""Getting networks that others published, from a local folder or the hub, and showing them pictures their way."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from huggingface_hub import hf_hub_download
from huggingface_hub.errors import HfHubHTTPError, LocalEntryNotFoundError
from torch import Tensor, nn
from torch.nn.functional import interpolate

from outofsight.errors import CheckpointError, InputError
from outofsight.perception.centre_crop import CentreCrop
from outofsight.perception.seeing import Frames

CONFIG_FILE, PREPROCESSOR_FILE = "config.json", "preprocessor_config.json"
MISSING = (OSError, HfHubHTTPError, LocalEntryNotFoundError)


@dataclass(frozen=True, kw_only=True)
class Source:
    """Where a network is: a local folder, or a repository of the hub. ``what`` it is, for messages."""

    place: str
    what: str
    name: str

    def read_json(self, file: str) -> dict[str, Any]:
        """Read one of its JSON files. Raises ``InputError`` if it cannot be had."""
        try:
            folder = Path(self.place)
            path = folder / file if folder.is_dir() else Path(hf_hub_download(self.place, file))
            content = json.loads(path.read_text(encoding="utf-8"))
        except (*MISSING, ValueError) as error:
            raise self.not_there(file, error) from error
        if not isinstance(content, dict):
            raise InputError(f"{self.place}: expected {file} to hold an object")
        return content

    def load(self, network_class: Any, **settings: Any) -> tuple[nn.Module, Any]:
        """Load its weights into a class of transformers, in float32; gives the network and its configuration.

        Raises:
            InputError: it is not there.
            CheckpointError: weights are missing, which would leave random numbers in their place.
        """
        try:
            network, told = network_class.from_pretrained(
                self.place, output_loading_info=True, dtype=torch.float32, **settings
            )
        except (*MISSING, ValueError) as error:
            raise self.not_there("its weights", error) from error
        except RuntimeError as error:  # shapes that do not fit the configuration
            raise CheckpointError(
                f"{self.what} {self.name!r} in {self.place}: {first_line(error)}"
            ) from error
        lost = sorted(told["missing_keys"])
        if lost:
            raise CheckpointError(
                f"{self.what} {self.name!r} in {self.place}: {len(lost)} weights are missing, such as {lost[0]}"
            )
        return network.eval().requires_grad_(False), network.config

    def not_there(self, sought: str, error: BaseException) -> InputError:
        """Say what is missing, where it was looked for, and how to get it."""
        if Path(self.place).is_dir():
            return InputError(
                f"{self.what} {self.name!r}: expected {sought} in the folder {self.place}; {first_line(error)}"
            )
        return InputError(
            f"{self.what} {self.name!r} is not there: no folder {self.place}, and {sought} could not be had from the "
            f"hub ({first_line(error)}); where there is a network run `hf download {self.place} --local-dir FOLDER`, "
            "and give FOLDER"
        )


def first_line(error: BaseException) -> str:
    lines = str(error).strip().splitlines()
    return lines[0][:200] if lines else type(error).__name__


@dataclass(frozen=True, kw_only=True)
class Preparation:
    """How a network wants to see pictures.

    ``height``, ``width``: every picture is brought to this size, or, where they are ``None``, to ``shortest_px`` along
    its shorter side and at most ``longest_px`` along the other. ``mean``, ``deviation``: of each colour, 0 to 1.
    """

    mean: tuple[float, ...]
    deviation: tuple[float, ...]
    height: int | None = None
    width: int | None = None
    shortest_px: int | None = None
    longest_px: int | None = None

    def size_for(self, height: int, width: int) -> tuple[int, int]:
        """Give the size to which a picture is brought."""
        if self.height is not None and self.width is not None:
            return self.height, self.width
        assert self.shortest_px is not None
        scale = self.shortest_px / min(height, width)
        if self.longest_px is not None:
            scale = min(scale, self.longest_px / max(height, width))
        return max(1, round(height * scale)), max(1, round(width * scale))

    def prepared(self, frames: Frames, device: torch.device) -> Tensor:
        """Bring frames [n, h, w, 3] to the network's size and range: float32 [n, 3, height, width]."""
        planes = torch.from_numpy(frames.copy()).to(device).permute(0, 3, 1, 2).float() / 255
        size = self.size_for(*frames.shape[1:3])
        planes = interpolate(planes, size, mode="bicubic", align_corners=False, antialias=True).clamp(0, 1)
        mean = torch.tensor(self.mean, device=device).view(1, 3, 1, 1)
        deviation = torch.tensor(self.deviation, device=device).view(1, 3, 1, 1)
        return (planes - mean) / deviation


def preparation_of(source: Source, *, keeps_aspect: bool) -> Preparation:
    """Read how a network wants its pictures from its preprocessor_config.json.

    Not ``keeps_aspect``: the size is that of the crop, and the whole picture is brought to it, so that patches cover
    the picture; nothing is cut off.

    Raises:
        InputError: it does not tell a size, mean or deviation that is understood.
    """
    content = source.read_json(PREPROCESSOR_FILE)
    try:
        size = content.get("size")
        if not keeps_aspect:
            size = content.get("crop_size") or size
        return Preparation(
            mean=tuple(map(float, content["image_mean"])),
            deviation=tuple(map(float, content["image_std"])),
            **_size(size, keeps_aspect),
        )
    except (KeyError, TypeError, ValueError) as error:
        raise InputError(
            f"{source.what} {source.name!r}: expected image_mean, image_std and size in {PREPROCESSOR_FILE}, got "
            f"{', '.join(content) or 'nothing'} ({error!r})"
        ) from error


def _size(told: Any, keeps_aspect: bool) -> dict[str, Any]:
    if isinstance(told, Mapping):
        if "height" in told and "width" in told:
            return {"height": int(told["height"]), "width": int(told["width"])}
        if keeps_aspect:
            longest = told.get("longest_edge")
            return {
                "shortest_px": int(told["shortest_edge"]),
                "longest_px": None if longest is None else int(longest),
            }
        told = told["shortest_edge"]
    if keeps_aspect:
        return {"shortest_px": int(told)}
    return {"height": int(told), "width": int(told)}


def centre_crop_told(source: Source) -> CentreCrop | None:
    """Read from its preprocessor_config.json the crop that a network was published with; ``None``: it cuts nothing."""
    content = source.read_json(PREPROCESSOR_FILE)
    size, crop = content.get("size"), content.get("crop_size")
    short = size.get("shortest_edge") if isinstance(size, Mapping) else size
    side = crop.get("height") if isinstance(crop, Mapping) else crop
    if not isinstance(short, int) or not isinstance(side, int) or content.get("do_center_crop") is False:
        return None
    return CentreCrop(short_px=short, side_px=side)
