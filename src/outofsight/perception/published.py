"""Networks that others published, from a local folder or the hub: image towers, object detectors, LPIPS.

Images are prepared, and detections read, by the networks' own image processors of transformers.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
import torch
import transformers
from huggingface_hub import hf_hub_download
from huggingface_hub.errors import HfHubHTTPError, LocalEntryNotFoundError
from numpy.typing import NDArray
from torch import Tensor, nn

from outofsight.errors import CheckpointError, InputError, first_line
from outofsight.perception.seeing import CentreCrop, Found, Frames, PictureFeatures, check_frames

CONFIG_FILE, PREPROCESSOR_FILE = "config.json", "preprocessor_config.json"
MISSING = (OSError, HfHubHTTPError, LocalEntryNotFoundError, ValueError)

TOWER_CLASSES = {
    "clip": "CLIPVisionModelWithProjection",
    "clip_vision_model": "CLIPVisionModel",
    "dinov2": "Dinov2Model",
    "dinov2_with_registers": "Dinov2WithRegistersModel",
    "vit": "ViTModel",
}
"""The class of transformers for each ``model_type``."""

DETECTORS = ("detr", "yolos", "conditional_detr", "deformable_detr", "rt_detr", "rt_detr_v2")
"""Model types whose image processors read detections by ``post_process_object_detection``."""

SUBJECT_WORDS = frozenset({
    "person", "bicycle", "car", "motorcycle", "airplane", "bus", "train", "truck", "boat", "bird", "cat", "dog",
    "horse", "sheep", "cow", "elephant", "bear", "zebra", "giraffe",
})  # fmt: skip
"""COCO's words for what moves by its own logic. A detector that knows none of them gives all it finds."""

LEAST_SCORE = 0.5


def subject_words(words: Mapping[int, str]) -> list[int]:
    """Choose the words of a detector that are subjects'; all, where it knows none of ours."""
    known = {number for number, word in words.items() if word in SUBJECT_WORDS}
    return sorted(known or words)


LPIPS_NETWORKS = {"alex": "alex", "vgg": "vgg", "squeeze": "squeeze", "lpips": "alex"}
"""Names, and what torchmetrics calls them; the published metric is of AlexNet."""


@dataclass(frozen=True, kw_only=True)
class Source:
    """Where a network is: a local folder, or a repository of the hub. ``what`` it is, for messages."""

    place: str
    what: str
    name: str

    def __str__(self) -> str:
        return f"{self.what} {self.name!r}"

    def read_json(self, file: str) -> dict[str, Any]:
        """Read one of its JSON files. Raises ``InputError`` if it cannot be had."""
        try:
            folder = Path(self.place)
            path = folder / file if folder.is_dir() else Path(hf_hub_download(self.place, file))
            content = json.loads(path.read_bytes())
        except MISSING as error:
            raise self.not_there(file, error) from error
        if not isinstance(content, dict):
            raise InputError(f"{self.place}: expected {file} to hold an object")
        return content

    def load(self, network_class: Any, **settings: Any) -> tuple[nn.Module, Any]:
        """Load its weights into a class of transformers, in float32; gives the network and its configuration.

        Raises:
            InputError: it is not there, or needs another package.
            CheckpointError: weights are missing, which would leave random numbers in their place.
        """
        try:
            network, loading = network_class.from_pretrained(
                self.place, output_loading_info=True, dtype=torch.float32, **settings
            )
        except ImportError as error:
            raise InputError(f"{self} needs another package: {error}") from error
        except MISSING as error:
            raise self.not_there("its weights", error) from error
        except RuntimeError as error:  # shapes that do not fit the configuration
            raise CheckpointError(f"{self} in {self.place}: {first_line(error)}") from error
        if lost := sorted(loading["missing_keys"]):
            raise CheckpointError(
                f"{self} in {self.place}: {len(lost)} weights are missing, such as {lost[0]}"
            )
        return network.eval().requires_grad_(False), network.config

    def load_processor(self) -> Any:
        """Load what prepares its images. Raises ``InputError`` if it is not there, or is none of transformers'."""
        self.read_json(PREPROCESSOR_FILE)
        try:
            return transformers.AutoImageProcessor.from_pretrained(self.place)
        except (*MISSING, TypeError, ImportError) as error:
            raise self.not_there(f"an image processor in {PREPROCESSOR_FILE}", error) from error

    def not_there(self, sought: str, error: BaseException) -> InputError:
        """Say what is missing, where it was looked for, and how to get it."""
        if Path(self.place).is_dir():
            return InputError(f"{self}: expected {sought} in the folder {self.place}; {first_line(error)}")
        return InputError(
            f"{self} is not there: no folder {self.place}, and {sought} could not be had from the "
            f"hub ({first_line(error)}); where there is a network run `hf download {self.place} --local-dir FOLDER`, "
            "and give FOLDER"
        )


class ImageTower:
    """A vision transformer that describes pictures.

    Patches are its last hidden state without class and register tokens (what DSC publishes for CLIP). A picture's
    vector is the projected class token of CLIP, as its image embedding, where the folder holds the projection; else
    the class token. The whole picture is brought to the tower's square, so that patches cover it; sides are not kept
    in proportion. ``centre_crop``: the crop that its own processor would make, for metrics published with it. None of
    the vectors are brought to length 1.
    """

    def __init__(self, network: nn.Module, processor: Any, patch_px: int, num_extra_tokens: int) -> None:
        self.network, self.processor = network, processor
        self.patch_px, self.num_extra_tokens, self.batch = patch_px, num_extra_tokens, 16
        self.centre_crop = published_crop(processor)

    @classmethod
    def load(cls, source: Source, device: str | torch.device) -> "ImageTower":
        """Load a tower. Raises ``InputError`` or ``CheckpointError`` in one line."""
        config = source.read_json(CONFIG_FILE)
        model_type, architectures = config.get("model_type"), config.get("architectures") or ()
        if model_type == "clip" and "CLIPVisionModel" in architectures:
            model_type = "clip_vision_model"
        projected = "CLIPVisionModelWithProjection" in architectures
        name = TOWER_CLASSES["clip"] if projected else TOWER_CLASSES.get(str(model_type))
        if name is None:
            raise InputError(
                f"{source}: model_type {model_type!r} is not an image tower that is known here; known are "
                f"{', '.join(TOWER_CLASSES)}"
            )
        # Published DINO weights have no pooling layer; one made here would be random.
        settings = {"add_pooling_layer": False} if name == "ViTModel" else {}
        network, config = source.load(getattr(transformers, name), **settings)
        extra = 1 + int(getattr(config, "num_register_tokens", 0))
        return cls(network.to(device), source.load_processor(), int(config.patch_size), extra)

    @torch.no_grad()
    def features(self, frames: Frames) -> PictureFeatures:
        """Describe frames [n, height, width, 3]."""
        check_frames(frames, "feature network")
        device, (height, width) = next(self.network.parameters()).device, _square(self.processor)
        patches, pictures = [], []
        for start in range(0, len(frames), self.batch):
            prepared = self.processor(
                images=list(frames[start : start + self.batch]), size={"height": height, "width": width},
                do_center_crop=False, input_data_format="channels_last", return_tensors="pt",
            )  # fmt: skip
            pixels = prepared["pixel_values"].to(device)
            output = self.network(pixel_values=pixels)
            tokens, picture = output.last_hidden_state, getattr(output, "image_embeds", None)
            grid = tuple(side // self.patch_px for side in pixels.shape[-2:])
            patches.append(tokens[:, self.num_extra_tokens :].unflatten(1, grid).float().cpu().numpy())
            pictures.append((tokens[:, 0] if picture is None else picture).float().cpu().numpy())
        return PictureFeatures(patches=np.concatenate(patches), pictures=np.concatenate(pictures))


def _square(processor: Any) -> tuple[int, int]:
    """Give the height and width of what a processor shows its network: of its crop, where it makes one."""
    size = getattr(processor, "crop_size", None) or processor.size
    short = size.get("shortest_edge")
    return (short, short) if short else (size["height"], size["width"])


def published_crop(processor: Any) -> CentreCrop | None:
    """Give the crop that a processor makes as published; ``None``: it cuts nothing."""
    crop, short = getattr(processor, "crop_size", None), processor.size.get("shortest_edge")
    if not getattr(processor, "do_center_crop", False) or not crop or not short:
        return None
    return CentreCrop(short_px=short, side_px=crop["height"])


class ObjectDetector:
    """A DETR-like detector as ``Detector``: who is found in each frame, the surest first.

    ``words``: the detector's own, by number; ``kind`` is one of them. It gives no identities and no masks.
    """

    def __init__(self, network: nn.Module, processor: Any, words: dict[int, str], batch: int = 8) -> None:
        self.network, self.processor, self.words = network, processor, words
        self.least_score, self.batch = LEAST_SCORE, batch
        self.subjects = subject_words(words)

    @classmethod
    def load(cls, source: Source, device: str | torch.device) -> "ObjectDetector":
        """Load a detector. Raises ``InputError`` or ``CheckpointError`` in one line."""
        model_type = source.read_json(CONFIG_FILE).get("model_type")
        if model_type not in DETECTORS:
            raise InputError(
                f"{source}: model_type {model_type!r} is not a detector that is known here; known "
                f"are {', '.join(DETECTORS)}"
            )
        network, config = source.load(transformers.AutoModelForObjectDetection)
        words = {int(number): str(word) for number, word in config.id2label.items()}
        return cls(network.to(device), source.load_processor(), words)

    def detect(self, frames: Frames) -> list[list[Found]]:
        """Find subjects in frames [n, height, width, 3]."""
        check_frames(frames, "detector")
        device, size = next(self.network.parameters()).device, frames.shape[1:3]
        found: list[list[Found]] = []
        for start in range(0, len(frames), self.batch):
            part = list(frames[start : start + self.batch])
            prepared = self.processor(images=part, input_data_format="channels_last", return_tensors="pt")
            with torch.no_grad():
                output = self.network(pixel_values=prepared["pixel_values"].to(device))
            read = self.processor.post_process_object_detection(
                output, threshold=self.least_score, target_sizes=[size] * len(part)
            )
            found += [self._found(one, *size) for one in read]
        return found

    def _found(self, read: dict[str, Tensor], height: int, width: int) -> list[Found]:
        """Choose the subjects of one frame; boxes are cut at the picture's edges."""
        limits = np.array([width, height, width, height], dtype=np.float32)
        scores, labels, boxes = (read[name].cpu() for name in ("scores", "labels", "boxes"))
        return [
            Found(
                box_px=np.clip(boxes[index].numpy().astype(np.float32), 0, limits), score=float(scores[index]),
                kind=self.words[int(labels[index])],
            )
            for index in scores.argsort(descending=True).tolist() if int(labels[index]) in self.subjects
        ]  # fmt: skip


class Lpips:
    """Distances between pictures, as published (Zhang et al. 2018), by torchmetrics; 0 where they are the same."""

    def __init__(self, metric: Any, device: str | torch.device) -> None:
        self.metric, self.device = metric.to(device), torch.device(device)

    @classmethod
    def load(cls, name: str, device: str | torch.device) -> "Lpips":
        """Load the network by name.
        Raises ``InputError`` if the name is unknown, or packages or weights are not there."""
        if name not in LPIPS_NETWORKS:
            raise InputError(f"perceptual network {name!r}: not known; known are {', '.join(LPIPS_NETWORKS)}")
        lacking = [package for package in ("torchmetrics", "torchvision") if find_spec(package) is None]
        if lacking:
            raise InputError(
                f"perceptual network {name!r} needs {' and '.join(lacking)}: pip install {' '.join(lacking)} (of the "
                "version that fits this torch)"
            )
        from torchmetrics.image.lpip import LearnedPerceptualImagePatchSimilarity  # noqa: PLC0415

        try:
            metric = LearnedPerceptualImagePatchSimilarity(net_type=LPIPS_NETWORKS[name], normalize=True)
        except (OSError, RuntimeError) as error:
            raise InputError(
                f"perceptual network {name!r}: torchvision could not get its weights ({first_line(error)}); run once "
                "where there is a network"
            ) from error
        return cls(metric.eval(), device)

    def distances(self, a: Frames, b: Frames) -> NDArray[np.float64]:
        """Give one distance a frame [n]."""
        for frames in (a, b):
            check_frames(frames, "perceptual network")
        if a.shape != b.shape:
            raise InputError(
                f"perceptual network: expected two videos of one shape, got {a.shape} and {b.shape}"
            )
        values = []
        for left, right in zip(a, b, strict=True):  # one pair at a time: torchmetrics gives a batch's mean
            with torch.no_grad():
                values.append(float(self.metric(self._planes(left), self._planes(right))))
            self.metric.reset()
        return np.array(values)

    def _planes(self, frame: NDArray[np.uint8]) -> torch.Tensor:
        return torch.from_numpy(frame.copy()).to(self.device).permute(2, 0, 1)[None].float() / 255
