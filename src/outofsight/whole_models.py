"""Whether a model folder is whole: every weight that its configuration asks for is there, and is a number.

Libraries fill what is missing with random numbers and say so in a log that nobody reads.
"""

import json
import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from torch import Tensor, nn
from transformers import UMT5Config, UMT5EncoderModel

from outofsight.backbone.transformer import HydraTransformer3DModel
from outofsight.codec.checkpoint_files import load_state_dict, quote_names, require_finite
from outofsight.codec.patch_autoencoder import PatchVideoAutoencoder
from outofsight.codec.video_vae import autoencoder_class
from outofsight.errors import CheckpointError, InputError, first_line

NETWORKS = ("transformer", "vae", "text_encoder")
COMPONENTS = ("transformer", "vae", "text_encoder", "tokenizer", "scheduler")
FOREIGN = (
    "expected a transformer with HyDRA's memory, got {}; a plain Wan model becomes one by "
    "`outofsight convert to-diffusers --untrained-memory`, or from_wan in Python"
)
STEMS = ("diffusion_pytorch_model", "model", "pytorch_model")
QUANTISED = "quantization_config"


def empty_networks(name_or_path: str) -> dict[str, Any]:
    """Make a model's networks from its configuration files alone, on the meta device.

    Raises:
        CheckpointError: there is no such folder or hub id, or a configuration is not this model's.
    """
    try:
        with torch.device("meta"):
            return {part: _empty(name_or_path, part) for part in NETWORKS}
    except (OSError, ValueError, TypeError, RuntimeError, KeyError, ZeroDivisionError, InputError) as error:
        raise CheckpointError(f"{name_or_path} is not a world model: {first_line(error)}") from error


def _empty(name_or_path: str, part: str) -> nn.Module:
    if part == "text_encoder":
        return UMT5EncoderModel(UMT5Config.from_pretrained(name_or_path, subfolder=part))
    if part == "transformer":
        config = HydraTransformer3DModel.load_config(name_or_path, subfolder=part)
        return HydraTransformer3DModel.from_config(config)
    config = PatchVideoAutoencoder.load_config(name_or_path, subfolder=part)
    return autoencoder_class(config).from_config(config)


def check_whole(folder: Path, *, variant: str | None = None, values: bool = False) -> None:
    """See that the weight files of a model's folder hold what its configurations ask for.

    ``variant``: of the file names (``fp16``). ``values``: also read the numbers, which takes as long as loading them.

    Raises:
        CheckpointError: weights are missing, unexpected, of another shape or not finite; it names them.
    """
    for part, network in empty_networks(str(folder)).items():
        check_part(folder / part, network, variant=variant, values=values)


def check_part(folder: Path, network: nn.Module, *, variant: str | None = None, values: bool = False) -> None:
    """See that one network's folder holds its weights, as ``check_whole``."""
    if getattr(network, "config", None) is not None and _is_quantised(folder):
        return  # stored in a form of the quantiser's own, which its loader checks
    files = _weight_files(folder, variant)
    found: dict[str, tuple[int, ...]] = {}
    for path in files:
        found.update(_shapes(path))
    _compare(folder, network, found)
    for path in files if values else ():
        require_finite(_tensors(path), str(folder))


def _is_quantised(folder: Path) -> bool:
    try:
        return QUANTISED in json.loads((folder / "config.json").read_bytes())
    except (OSError, ValueError, TypeError):
        return False


def _weight_files(folder: Path, variant: str | None) -> list[Path]:
    """Find a network's weight files, in the order in which libraries look for them."""
    mark = f".{variant}" if variant else ""
    for ending in ("safetensors", "bin"):
        for stem in STEMS:
            for name in dict.fromkeys((f"{stem}{mark}.{ending}", f"{stem}.{ending}")):
                if (folder / name).is_file():
                    return [folder / name]
            for index in (f"{stem}.{ending}.index{mark}.json", f"{stem}.{ending}.index.json"):
                if (folder / index).is_file():
                    return _shards(folder / index)
    raise CheckpointError(
        f"{folder}: holds no weights ({STEMS[0]}.safetensors, or {STEMS[1]}.safetensors); the model is not whole, get "
        "it anew"
    )


def _shards(index: Path) -> list[Path]:
    try:
        names = sorted(set(json.loads(index.read_bytes())["weight_map"].values()))
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise CheckpointError(f"{index}: damaged; get the model anew") from error
    if missing := [name for name in names if not (index.parent / name).is_file()]:
        raise CheckpointError(f"{index.parent}: lacks {quote_names(missing)}; the model is not whole")
    return [index.parent / name for name in names]


def _shapes(path: Path) -> Mapping[str, tuple[int, ...]]:
    """Read names and shapes, of safetensors from the header alone."""
    if path.suffix != ".safetensors":
        return {name: tuple(value.shape) for name, value in load_state_dict(path).items()}
    try:
        with safe_open(path, framework="pt") as file:
            return {name: tuple(file.get_slice(name).get_shape()) for name in file.keys()}  # noqa: SIM118
    except (SafetensorError, OSError, ValueError) as error:
        raise CheckpointError(
            f"{path}: truncated or damaged safetensors file ({first_line(error)}); download or save it again"
        ) from error


def _tensors(path: Path) -> Iterator[tuple[str, Tensor]]:
    if path.suffix != ".safetensors":
        yield from load_state_dict(path).items()
        return
    with safe_open(path, framework="pt") as file:
        for name in file.keys():  # noqa: SIM118 - not a mapping
            yield name, file.get_tensor(name)


def _compare(folder: Path, network: nn.Module, found: Mapping[str, tuple[int, ...]]) -> None:
    wanted = {name: tuple(value.shape) for name, value in network.state_dict().items()}
    ignored = getattr(network, "_keys_to_ignore_on_load_unexpected", None) or ()
    unexpected = [
        name for name in found if name not in wanted and not any(re.search(one, name) for one in ignored)
    ]
    faults = {
        "missing": [
            name for name in wanted if name not in found and not (_twins(network, name) & found.keys())
        ],
        "unexpected": unexpected,
        "of another shape": [name for name in wanted if name in found and found[name] != wanted[name]],
    }
    reasons = [f"{len(names)} {fault}: {quote_names(names)}" for fault, names in faults.items() if names]
    if reasons:
        raise CheckpointError(
            f"{folder}: these are not all and only the weights that its config.json asks for: {'; '.join(reasons)}; "
            "the model is not whole, or another version of outofsight wrote it; get it anew"
        )


def _twins(network: nn.Module, name: str) -> set[str]:
    """Give the other names of a weight that is used in several places, and stored under one of them."""
    named = dict(network.named_parameters(remove_duplicate=False))
    return {other for other, value in named.items() if value is named.get(name)}


def check_folder(folder: Path) -> None:
    """Raise ``CheckpointError`` if a path is not the folder of a whole world model."""
    if not folder.is_dir():
        raise CheckpointError(
            f"{folder} is a single file; expected a model folder (make one with `outofsight convert`) or a hub id"
        )
    if not (folder / "model_index.json").is_file():
        raise CheckpointError(
            f"{folder} holds no model_index.json; expected a model folder in the diffusers layout"
        )
    missing = [part for part in COMPONENTS if not (folder / part).is_dir()]
    if missing:
        raise CheckpointError(
            f"{folder} lacks {', '.join(missing)}; a world model needs {', '.join(COMPONENTS)}"
        )
    try:
        config = HydraTransformer3DModel.load_config(folder / "transformer")
    except (OSError, ValueError) as error:
        raise CheckpointError(f"{folder}: transformer/config.json cannot be read ({error})") from error
    check_transformer_config(config, str(folder))


def check_transformer_config(config: Mapping[str, Any], source: str) -> None:
    """Raise ``CheckpointError`` if a transformer's configuration is another model's."""
    found = config.get("_class_name")
    if found != HydraTransformer3DModel.__name__:
        raise CheckpointError(f"{source}: {FOREIGN.format(found)}")
