"""A model or a data set as a hub takes it: every file, and a card whose metadata the hub's own rules accept."""

import re
import shutil
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Literal

from huggingface_hub import DatasetCard, DatasetCardData, HfApi, ModelCard, ModelCardData
from huggingface_hub.errors import HfHubHTTPError, HFValidationError
from huggingface_hub.utils import validate_repo_id

from outofsight.errors import InputError, OutputError
from outofsight.files import explained, read_text

Kind = Literal["model", "dataset"]
MARKS: Mapping[Kind, str] = {"model": "model_index.json", "dataset": "dataset.json"}
CARD = "README.md"
SIZES = {
    1_000: "n<1K",
    10_000: "1K<n<10K",
    100_000: "10K<n<100K",
    1_000_000: "100K<n<1M",
    10_000_000: "1M<n<10M",
}
"""The hub's own words for how many samples there are at most."""

LICENSE = re.compile(r"[a-z0-9][a-z0-9.\-]*")


def kind_of(folder: Path) -> Kind:
    """Tell a model folder from a data set. Raises ``InputError`` for anything else."""
    for kind, mark in MARKS.items():
        if (folder / mark).is_file():
            return kind
    raise InputError(
        f"{folder}: expected a model folder ({MARKS['model']}) or a data set ({MARKS['dataset']}), found neither"
    )


def check_repo(repo_id: str) -> None:
    """Raise ``InputError`` unless the hub could have a repository of this name."""
    try:
        validate_repo_id(repo_id)
    except HFValidationError as error:
        raise InputError(f"--repo: {str(error).splitlines()[0]}") from error
    if repo_id.count("/") != 1:
        raise InputError(f"--repo: expected OWNER/NAME, got {repo_id!r}")


def files_to_send(folder: Path) -> Iterator[Path]:
    """Give what belongs to a model or data set: no hidden files, and none that lead elsewhere."""
    for path in sorted(folder.rglob("*")):
        inside = path.relative_to(folder)
        if (
            path.is_file()
            and not path.is_symlink()
            and not any(part.startswith(".") for part in inside.parts)
        ):
            yield inside


def card_of(folder: Path, kind: Kind, license_name: str) -> str:
    """Give the folder's own card, with metadata where it has none.

    Raises:
        InputError: the metadata is damaged, or names what the hub does not know.
    """
    path = folder / CARD
    text = read_text(path) if path.is_file() else f"# {folder.resolve().name}\n"
    card = ModelCard if kind == "model" else DatasetCard
    try:
        made: Any = card(text)
        if not made.data.to_dict():
            data: Any = _model_data(license_name) if kind == "model" else _dataset_data(folder, license_name)
            made = card(f"---\n{data.to_yaml()}\n---\n\n{text}")
    except Exception as error:  # YAML's errors, and the card's own
        raise InputError(
            f"{path}: expected a card with metadata in YAML, could not read it ({str(error).splitlines()[0]})"
        ) from error
    check_metadata(made.data.to_dict(), path)
    return str(made)


def check_metadata(data: Mapping[str, Any], path: Path) -> None:
    """See what of the hub's validation needs no hub. Raises ``InputError``."""
    license_name = data.get("license")
    if not isinstance(license_name, str) or not LICENSE.fullmatch(license_name):
        raise InputError(
            f"{path}: expected `license`, a hub's short name such as apache-2.0, got {license_name!r}"
        )
    for name in ("tags", "language", "task_categories", "size_categories"):
        value = data.get(name)
        listed = value is None or isinstance(value, str)
        if not listed and not (isinstance(value, list) and all(isinstance(each, str) for each in value)):
            raise InputError(f"{path}: expected `{name}` to be a list of words, got {value!r}")
    sizes = data.get("size_categories") or []
    unknown = [size for size in ([sizes] if isinstance(sizes, str) else sizes) if size not in SIZES.values()]
    if unknown:
        raise InputError(
            f"{path}: size_categories: expected one of {', '.join(SIZES.values())}, got {unknown[0]!r}"
        )


def stage(folder: Path, out: Path, license_name: str = "apache-2.0") -> Kind:
    """Lay out in ``out`` what would be uploaded.

    Raises:
        InputError: neither a model nor a data set, or a card that the hub would refuse. OutputError: no room.
    """
    kind = kind_of(folder)
    card = card_of(folder, kind, license_name)
    with explained(out):
        for inside in files_to_send(folder):
            (out / inside).parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(folder / inside, out / inside)
        (out / CARD).write_text(card, encoding="utf-8")
    return kind


def upload(staged: Path, kind: Kind, repo_id: str, *, private: bool) -> str:
    """Send a staged folder to the hub, after the hub has validated its card; returns its address.

    Raises:
        OutputError: the hub refuses, or cannot be reached.
    """
    card: Any = (ModelCard if kind == "model" else DatasetCard).load(staged / CARD)
    api = HfApi()
    try:
        card.validate(repo_type=kind)
        address = api.create_repo(repo_id, repo_type=kind, private=private, exist_ok=True)
        api.upload_folder(repo_id=repo_id, repo_type=kind, folder_path=staged)
    except (HfHubHTTPError, ValueError, OSError) as error:
        reason = str(error).strip().splitlines()[0]
        raise OutputError(
            f"{repo_id}: the hub did not take it ({reason}); log in, or lay it out by --out FOLDER"
        ) from error
    return str(address)


def _model_data(license_name: str) -> ModelCardData:
    return ModelCardData(
        license=license_name, library_name="diffusers", pipeline_tag="image-to-video", language="en",
        tags=["world-model", "video-generation", "memory", "camera-control", "outofsight"],
    )  # fmt: skip


def _dataset_data(folder: Path, license_name: str) -> DatasetCardData:
    count = sum(path.name == "annotation.json" for path in files_to_send(folder))
    size = next(name for most, name in SIZES.items() if count < most)
    return DatasetCardData(
        license=license_name, language="en", pretty_name="Clips of worlds whose subjects leave and return",
        task_categories=["image-to-video"], size_categories=[size], tags=["world-model", "video", "outofsight"],
    )  # fmt: skip
