"""Networks by name or folder: ours, and those that others published."""

import os
from pathlib import Path

import torch

from outofsight.errors import InputError
from outofsight.model_folders import HUB_ID
from outofsight.perception.detector_file import SUFFIXES, DetectorFile
from outofsight.perception.published import ImageTower, Lpips, ObjectDetector, Source
from outofsight.perception.recogniser import BUNDLED, Recogniser, is_recogniser_folder

FEATURE_NETWORKS = {
    "clip": "openai/clip-vit-base-patch16",
    "clip-b32": "openai/clip-vit-base-patch32",
    "dino": "facebook/dino-vitb16",
    "dinov2": "facebook/dinov2-base",
}
"""Names and their repositories. DSC is published with ``clip``; VBench uses ``dino`` for subjects and ``clip-b32`` for
backgrounds."""

SUBJECT_DETECTORS = {
    "detr": "facebook/detr-resnet-50",
    "yolos": "hustvl/yolos-small",
    "rt-detr": "PekingU/rtdetr_r50vd",
}


def feature_network(
    name_or_folder: str | Path, device: str | torch.device = "cpu"
) -> Recogniser | ImageTower:
    """Load a feature network: ``mini``, a name of ``FEATURE_NETWORKS``, a folder, or a repository of the hub.

    Raises:
        InputError: it is not there; the message says where it was looked for and how to get it.
        CheckpointError: it is damaged or incomplete.
    """
    if _is_ours(name_or_folder):
        return Recogniser.from_pretrained(name_or_folder, device)
    return ImageTower.load(_source(name_or_folder, FEATURE_NETWORKS, "feature network"), device)


def subject_detector(
    name_or_folder: str | Path, device: str | torch.device = "cpu"
) -> Recogniser | ObjectDetector | DetectorFile:
    """Load a detector: ``mini``, a name of ``SUBJECT_DETECTORS``, a folder, a file, or a repository of the hub.

    Raises:
        InputError: it is not there; the message says where it was looked for and how to get it.
        CheckpointError: it is damaged or incomplete.
    """
    if _is_ours(name_or_folder):
        return Recogniser.from_pretrained(name_or_folder, device)
    if Path(name_or_folder).suffix.lower() in SUFFIXES:
        return DetectorFile.load(Path(name_or_folder), device)
    return ObjectDetector.load(_source(name_or_folder, SUBJECT_DETECTORS, "detector"), device)


def perceptual_network(name: str = "alex", device: str | torch.device = "cpu") -> Lpips:
    """Load an LPIPS network by name: ``alex``, ``vgg`` or ``squeeze``. Raises ``InputError`` if it cannot be had."""
    return Lpips.load(name, device)


def _is_ours(name_or_folder: str | Path) -> bool:
    return str(name_or_folder) in BUNDLED or is_recogniser_folder(Path(name_or_folder))


def _source(name_or_folder: str | Path, names: dict[str, str], what: str) -> Source:
    name = str(name_or_folder)
    if name not in names and not HUB_ID.fullmatch(name) and not os.path.lexists(name):
        known = ", ".join((*BUNDLED, *names))
        raise InputError(
            f"{what} {name[:200]!r}: no such folder, and none of {known}; a hub id is OWNER/NAME"
        )
    return Source(place=names.get(name, name), what=what, name=name)
