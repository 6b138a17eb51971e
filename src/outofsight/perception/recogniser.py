"""The bundled recogniser: detector of our worlds' subjects, and feature network, in one small network."""

import json
from dataclasses import asdict, dataclass, fields
from importlib.resources import files
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from scipy import ndimage
from torch.nn.functional import normalize

from outofsight.data.check import mask_box_px
from outofsight.errors import CheckpointError, InputError
from outofsight.perception.network import RecogniserNetwork, RecogniserSize, Seen, pooled
from outofsight.perception.seeing import Found, Frames, PictureFeatures, check_frames

CONFIG_FILE, WEIGHTS_FILE = "config.json", "model.safetensors"
MODEL_CLASS = "outofsight.Recogniser"
BUNDLED = ("mini",)
"""Names of the recognisers that come with the package, each a folder under ``weights``."""


@dataclass(frozen=True, kw_only=True)
class DetectionRule:
    """When masked pixels are a subject.

    ``least_probability`` of a pixel; ``least_area_share`` of the picture (and at least ``least_px`` pixels);
    ``gap_share`` of the picture's height: parts with a smaller gap between them are one subject, as behind a pole.
    """

    least_probability: float = 0.5
    least_area_share: float = 0.001
    least_px: int = 6
    gap_share: float = 0.05

    def least_area_px(self, height: int, width: int) -> float:
        return max(self.least_px, self.least_area_share * height * width)


class Recogniser:
    """Finds the subjects of our worlds in frames, tells their kinds and identities, and describes pictures.

    Implements ``Detector`` and ``FeatureNetwork`` of ``evaluation.evidence``. Each frame is seen by itself.
    """

    def __init__(
        self, network: RecogniserNetwork, rule: DetectionRule | None = None, frames_at_once: int = 32
    ) -> None:
        self.network, self.rule, self.frames_at_once = network, rule or DetectionRule(), frames_at_once

    @classmethod
    def from_pretrained(
        cls, name_or_folder: str | Path = "mini", device: str | torch.device = "cpu"
    ) -> "Recogniser":
        """Load a recogniser that training exported, or the bundled one, ``"mini"``; computed in float32.

        Raises ``CheckpointError`` if there is none, or it is damaged.
        """
        folder = folder_of(name_or_folder)
        if str(name_or_folder) in BUNDLED and not (folder / WEIGHTS_FILE).is_file():
            raise CheckpointError(
                f"the bundled recogniser {name_or_folder!r} is not in {folder}; install the package again, or train "
                "one: outofsight train --recipe mini_recogniser"
            )
        return cls(load_network(folder).to(device).eval().requires_grad_(False))

    def save_pretrained(self, folder: Path, dtype: torch.dtype = torch.float32) -> None:
        """Write config.json and model.safetensors."""
        save_network(self.network, folder, dtype)

    @property
    def kinds(self) -> tuple[str, ...]:
        return self.network.size.kinds

    @property
    def device(self) -> torch.device:
        return self.network.stem.weight.device

    def detect(self, frames: Frames) -> list[list[Found]]:
        """Find the subjects of each frame [n, height, width, 3], the largest first."""
        found: list[list[Found]] = []
        for seen in self._seen(frames):
            probabilities = seen.mask_logits.float().sigmoid()
            found += [self._found(seen, frame, probabilities[frame]) for frame in range(len(probabilities))]
        return found

    def features(self, frames: Frames) -> PictureFeatures:
        """Describe frames: identities of patches of 4×4 pixels, and one vector a picture, all of length 1."""
        patches, pictures = [], []
        for seen in self._seen(frames):
            patches.append(normalize(seen.identities.float(), dim=1).permute(0, 2, 3, 1).cpu().numpy())
            pictures.append(seen.pictures.cpu().numpy())
        return PictureFeatures(patches=np.concatenate(patches), pictures=np.concatenate(pictures))

    def probabilities(self, frames: Frames) -> NDArray[np.float32]:
        """Give each pixel's probability of showing a subject: [n, height, width]."""
        seen = self._seen(frames)
        return np.concatenate([part.mask_logits.float().sigmoid().cpu().numpy() for part in seen])

    def identities_under(
        self, frames: Frames, masks: NDArray[np.bool_]
    ) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        """Tell who and what is under one mask a frame [n, height, width]: identities [n, d], kind logits [n, kinds].

        Where a mask is empty, all are NaN.
        """
        if masks.shape != frames.shape[:3]:
            raise InputError(f"expected masks {frames.shape[:3]}, one a frame, got {masks.shape}")
        identities, kinds = [], []
        parts = torch.from_numpy(masks).split(self.frames_at_once)
        for seen, part in zip(self._seen(frames), parts, strict=True):
            identity, kind = who_and_what(seen, part.to(self.device))
            identities.append(identity.cpu().numpy())
            kinds.append(kind.cpu().numpy())
        return np.concatenate(identities), np.concatenate(kinds)

    def _seen(self, frames: Frames) -> list[Seen]:
        check_frames(frames, "recogniser")
        pixels = torch.from_numpy(np.ascontiguousarray(frames)).to(self.device)
        with torch.no_grad():
            return [self.network(part) for part in pixels.split(self.frames_at_once)]

    def _found(self, seen: Seen, frame: int, probabilities: torch.Tensor) -> list[Found]:
        likely = probabilities.cpu().numpy()
        height, width = likely.shape
        gap_px = int(self.rule.gap_share * height)
        parts = components(likely >= self.rule.least_probability, gap_px)
        parts = [part for part in parts if part.sum() >= self.rule.least_area_px(height, width)]
        parts.sort(key=lambda part: -int(part.sum()))
        if not parts:
            return []
        masks = torch.from_numpy(np.stack(parts)).to(self.device)
        identities, kinds = who_and_what(one_frame(seen, frame), masks)
        return [
            Found(
                box_px=mask_box_px(part).astype(np.float32), score=float(likely[part].mean()), mask=part,
                kind=self.kinds[int(kind.argmax())], identity=identity.cpu().numpy(),
            )
            for part, identity, kind in zip(parts, identities, kinds, strict=True)
        ]  # fmt: skip


def one_frame(seen: Seen, frame: int) -> Seen:
    """Take one frame of what was seen, keeping the axis."""
    return Seen(**{field.name: getattr(seen, field.name)[frame : frame + 1] for field in fields(Seen)})


def who_and_what(seen: Seen, masks: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """Pool identities [m, d], length 1, and kind logits [m, kinds] under masks [m, height, width].

    ``seen`` has as many frames as there are masks, or one for all of them. Empty masks give NaN.
    """
    shape = (len(masks), -1, -1, -1)
    identity = pooled(seen.identities.expand(shape), masks)
    kind = pooled(seen.kind_logits.expand(shape), masks)
    empty = ~masks.flatten(1).any(dim=1)
    identity, kind = normalize(identity, dim=-1), kind.clone()
    identity[empty], kind[empty] = float("nan"), float("nan")
    return identity, kind


def save_network(network: RecogniserNetwork, folder: Path, dtype: torch.dtype) -> None:
    """Write a network's config.json and model.safetensors."""
    folder.mkdir(parents=True, exist_ok=True)
    weights = {
        name: value.detach().to("cpu", dtype).contiguous() for name, value in network.state_dict().items()
    }
    save_file(weights, folder / WEIGHTS_FILE, metadata={"format": "pt"})
    config = {"_class_name": MODEL_CLASS, **asdict(network.size)}
    (folder / CONFIG_FILE).write_text(json.dumps(config, indent=1) + "\n", encoding="utf-8")


def load_network(folder: Path) -> RecogniserNetwork:
    """Load a network in float32 from a folder that ``save_network`` wrote.
    Raises ``CheckpointError`` if a file is missing, damaged, or of another model."""
    config = _read_config(folder / CONFIG_FILE)
    try:
        weights = load_file(folder / WEIGHTS_FILE)
    except (OSError, SafetensorError) as error:
        raise CheckpointError(
            f"{folder / WEIGHTS_FILE}: expected weights, could not read them: {error}"
        ) from error
    try:
        network = RecogniserNetwork(RecogniserSize(**config))
        network.load_state_dict({name: value.float() for name, value in weights.items()})
    except (InputError, TypeError, RuntimeError) as error:
        reason = " ".join(str(error).split())[:300]
        raise CheckpointError(
            f"{folder}: config.json and weights do not make a recogniser: {reason}"
        ) from error
    return network


def _read_config(path: Path) -> dict[str, Any]:
    if not path.is_file():
        raise CheckpointError(f"{path.parent}: expected a recogniser's folder, found no {CONFIG_FILE}")
    try:
        content = json.loads(path.read_bytes())
    except (OSError, ValueError) as error:
        raise CheckpointError(f"{path}: expected JSON, could not read it: {error}") from error
    if not isinstance(content, dict) or content.pop("_class_name", None) != MODEL_CLASS:
        raise CheckpointError(f"{path}: expected a recogniser's configuration, of class {MODEL_CLASS}")
    return {name: tuple(value) if isinstance(value, list) else value for name, value in content.items()}


def is_recogniser_folder(folder: Path) -> bool:
    """Tell whether a folder holds a recogniser rather than a network of another library."""
    path = folder / CONFIG_FILE
    return path.is_file() and MODEL_CLASS.encode() in path.read_bytes()


def folder_of(name_or_folder: str | Path) -> Path:
    """Find the folder of a network of the package's own, or take the name for one."""
    if str(name_or_folder) not in BUNDLED:
        return Path(name_or_folder)
    return Path(str(files("outofsight.perception") / "weights" / str(name_or_folder)))


def components(mask: NDArray[np.bool_], gap_px: int = 0) -> list[NDArray[np.bool_]]:
    """Split a mask [height, width] into its connected parts, edges and corners counted as touching.

    ``gap_px``: parts with at most this many empty pixels between them, along rows and columns, are one. In the order
    of their topmost row.
    """
    widened = ndimage.maximum_filter(mask, size=gap_px + 1, mode="constant")
    labels, number = ndimage.label(widened, structure=np.ones((3, 3)))
    return [(labels == label) & mask for label in range(1, number + 1)]
