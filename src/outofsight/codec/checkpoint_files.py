"""Weights on disk: read and write state dicts, safely and whole, and tell by a number whether two are the same.

A *state dict* is a plain ``dict`` from parameter name to CPU tensor. Pickles are only ever read with
``weights_only=True``, so no file can run code. The content decides how a file is read, not its suffix, since
people rename files; only a pickle that calls itself .safetensors is refused.
"""

import hashlib
import json
import re
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, Literal

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

from outofsight.errors import CheckpointError, InputError, OutputError, first_line, in_words
from outofsight.files import written_whole

PICKLE_SUFFIXES = (".pth", ".pt", ".ckpt", ".bin")
WRAPPERS = ("state_dict", "model", "module")
"""Names under which trainers file the weights (Lightning and many scripts, plain scripts, DeepSpeed)."""

MAX_SAFETENSORS_HEADER = 100_000_000  # bytes; the format's own limit
NUM_NAMES_SHOWN = 3  # names quoted in a message before "and N more"

ModelKind = Literal[
    "hydra", "wan_dit", "wan_vae", "umt5", "diffusers_hydra", "diffusers_wan_dit", "diffusers_wan_vae",
    "transformers_umt5", "unknown",
]  # fmt: skip

_DIFFUSERS_DIT = ("patch_embedding.weight", "blocks.0.attn1.to_q.weight", "scale_shift_table")
_KINDS: dict[ModelKind, tuple[str, tuple[str, ...]]] = {
    "hydra": (
        "an official HyDRA transformer",
        ("patch_embedding.weight", "blocks.0.self_attn.q.weight", "blocks.0.self_attn.tokenizer.conv.weight"),
    ),
    "wan_dit": (
        "an original Wan transformer",
        ("patch_embedding.weight", "blocks.0.self_attn.q.weight", "blocks.0.cross_attn.q.weight"),
    ),
    "wan_vae": (
        "an original Wan VAE (as Wan2.1_VAE.pth)",
        ("encoder.conv1.weight", "decoder.conv1.weight", "encoder.head.2.weight", "conv2.weight"),
    ),
    "umt5": (
        "an original umT5 text encoder (as models_t5_umt5-xxl-enc-bf16.pth)",
        ("token_embedding.weight", "blocks.0.attn.q.weight", "blocks.0.pos_embedding.embedding.weight"),
    ),
    "diffusers_hydra": ("a HyDRA transformer in diffusers' layout", _DIFFUSERS_DIT),
    "diffusers_wan_dit": ("a Wan transformer in diffusers' layout", _DIFFUSERS_DIT),
    "diffusers_wan_vae": (
        "a Wan VAE in diffusers' layout",
        ("encoder.conv_in.weight", "decoder.conv_in.weight", "post_quant_conv.weight"),
    ),
    "transformers_umt5": (
        "a umT5 or T5 encoder in transformers' layout",
        ("encoder.block.0.layer.0.SelfAttention.q.weight", "encoder.final_layer_norm.weight"),
    ),
}
"""What each is in words, and names that it has. The first kind whose names are all present wins; what is more special
stands first."""

# What diffusers' own Wan self-attention holds; anything more on it is HyDRA's.
_PLAIN_ATTENTION = re.compile(r"blocks\.\d+\.attn1\.(to_q|to_k|to_v|to_out|norm_q|norm_k)\.")


def load_state_dict(path: str | Path) -> dict[str, Tensor]:
    """Read the tensors of a .safetensors, .pth, .pt, .ckpt or .bin file onto the CPU, by their names in it.

    One level of ``state_dict``, ``model`` or ``module`` around the tensors is taken off. Zip-format pickles
    are memory-mapped, so an 11 GB text encoder costs memory only where it is touched.

    Raises:
        CheckpointError: The file is missing, truncated, no checkpoint, needs code to be read, or holds more
            than tensors.
    """
    path = Path(path)
    form = _sniff_form(path)
    content = _read_safetensors(path) if form == "safetensors" else _read_pickle(path, is_zip=form == "zip")
    entries = _unwrap(content, path)
    if not entries:
        raise CheckpointError(f"{path}: expected tensors, got an empty checkpoint; check how it was saved")
    strangers = [
        f"{name!r} ({in_words(type(value)) if isinstance(name, str) else 'a name that is no text'})"
        for name, value in entries.items()
        if not _is_entry(name, value)
    ]
    if strangers:
        raise CheckpointError(
            f"{path}: expected only named tensors (bare, or under one of {', '.join(WRAPPERS)}), "
            f"got also {quote_names(strangers)}; save the model's state_dict alone"
        )
    return {name: value.detach() for name, value in entries.items()}


def _sort_metadata(path: Path) -> None:
    """Put a safetensors file's metadata in order, which the library leaves to chance: the same bytes each time."""
    with path.open("r+b") as file:
        length = int.from_bytes(file.read(8), "little")
        header = json.loads(file.read(length))
        header["__metadata__"] = dict(sorted(header["__metadata__"].items()))
        content = json.dumps(header, ensure_ascii=False, separators=(",", ":")).encode()
        if len(content) <= length:  # what is left of it is blanks, as the format has it
            file.seek(8)
            file.write(content.ljust(length))


def save_state_dict(
    path: str | Path, state_dict: Mapping[str, Tensor], metadata: Mapping[str, str] | None = None
) -> None:
    """Write the tensors to ``path``, whose suffix says how: .safetensors, or a .pth, .pt, .ckpt, .bin pickle.

    The file appears whole or not at all, also over an older one. Tensors that share memory are written once
    for each name. Only safetensors keeps ``metadata``; ``format: pt``, which diffusers and transformers ask
    for, is added to it.

    Raises:
        InputError: Unknown suffix, no tensors, or metadata that the format cannot keep.
        OutputError: The file cannot be written; an older file at ``path`` is untouched.
    """
    path = Path(path)
    _check_saveable(path, state_dict, metadata)
    try:
        with written_whole(path) as temporary:
            temporary.touch()
            mode = temporary.stat().st_mode  # what the user's umask allows; safetensors would leave 0600
            if path.suffix.lower() == ".safetensors":
                content = {**(metadata or {}), "format": "pt"}
                save_file(_with_own_storage(state_dict), temporary, metadata=content)
                _sort_metadata(temporary)
            else:
                with temporary.open("wb") as file:  # torch would write a path's name into the archive
                    torch.save(_with_own_storage(state_dict), file)
            temporary.chmod(mode)
    except (OSError, RuntimeError, SafetensorError) as error:  # torch reports a full disk as RuntimeError
        raise OutputError(
            f"{path}: could not be written ({first_line(error)}); check the folder and free space"
        ) from error


def identify(state_dict: Mapping[str, Any]) -> ModelKind:
    """Tell from its parameter names whose state dict this is, whatever prefix all names share."""
    for kind, (_, markers) in _KINDS.items():
        prefix = shared_prefix(state_dict, markers[0])
        names = {name.removeprefix(prefix) for name in state_dict}
        if names.issuperset(markers) and (kind != "diffusers_hydra" or any(map(_is_hydra_extra, names))):
            return kind
    return "unknown"


def shared_prefix(state_dict: Iterable[str], anchor: str) -> str:
    """Find what a trainer put before every name (``module.``, ``pipe.dit.``); ``anchor`` is one bare name.

    Returns the empty string if the anchor is absent or not all names share the prefix.
    """
    names = list(state_dict)
    candidates = [name.removesuffix(anchor) for name in names if name.endswith(f".{anchor}")]
    return next((prefix for prefix in candidates if all(name.startswith(prefix) for name in names)), "")


def describe_checkpoint(state_dict: Mapping[str, Any]) -> str:
    """Say in words what a state dict seems to be, for error messages: "an original Wan VAE (...)"."""
    kind = identify(state_dict)
    if kind == "unknown":
        return f"no model known here (its first names: {quote_names(state_dict)})"
    return _KINDS[kind][0]


def require_kind(state_dict: Mapping[str, Tensor], kind: ModelKind) -> dict[str, Tensor]:
    """Give the weights under their bare names, if they are of this kind.

    Raises:
        CheckpointError: They are not; the message says what they seem to be.
    """
    description, markers = _KINDS[kind]
    if identify(state_dict) != kind:
        raise CheckpointError(
            f"expected the weights of {description}, got {describe_checkpoint(state_dict)}; "
            "give the file that belongs here"
        )
    prefix = shared_prefix(state_dict, markers[0])
    return {name.removeprefix(prefix): tensor for name, tensor in state_dict.items()}


def require_entries(
    state_dict: Mapping[str, Tensor], expected: Mapping[str, Iterable[int]], model: str
) -> None:
    """Raise ``CheckpointError`` unless names and shapes are exactly the expected ones; name the first faults.

    ``expected`` maps each name to its shape; ``model`` is what the weights are for, in words.
    """
    wrong = {
        "missing": [name for name in expected if name not in state_dict],
        "unknown": [name for name in state_dict if name not in expected],
        "of another shape": [
            f"{name} {list(state_dict[name].shape)} instead of {list(shape)}"
            for name, shape in expected.items()
            if name in state_dict and tuple(state_dict[name].shape) != tuple(shape)
        ],
    }
    faults = [f"{len(names)} {fault}: {quote_names(names)}" for fault, names in wrong.items() if names]
    if faults:
        raise CheckpointError(
            f"these are not all and only the weights of {model} (they seem to be of "
            f"{describe_checkpoint(state_dict)}): " + "; ".join(faults) + "; give the file that belongs here"
        )


def plain_parts(value: Tensor) -> list[Tensor]:
    """Give the tensors that a quantised weight is made of; a plain one is its own."""
    if not hasattr(value, "__tensor_flatten__"):
        return [value]
    return [getattr(value, name) for name in value.__tensor_flatten__()[0]]


def require_finite(tensors: Iterable[tuple[str, Tensor]], source: str) -> None:
    """Raise ``CheckpointError`` if a weight holds NaN or infinity."""
    wrong = [
        name
        for name, value in tensors
        if not value.is_meta
        for part in plain_parts(value)
        if part.is_floating_point() and not bool(torch.isfinite(part).all())
    ]
    if wrong:
        raise CheckpointError(
            f"{source}: {len(wrong)} weights hold numbers that are not finite: {quote_names(wrong)}; get it anew"
        )


def axis_size(state_dict: Mapping[str, Tensor], name: str, axis: int) -> int:
    """Give the size of one axis of a weight, for reading a model's settings off its weights.

    Raises:
        CheckpointError: The weight is missing, has fewer axes, or is empty.
    """
    if name not in state_dict or state_dict[name].ndim <= axis or not state_dict[name].numel():
        got = f"one of shape {list(state_dict[name].shape)}" if name in state_dict else "none"
        raise CheckpointError(f"expected a weight {name} with an axis {axis}, got {got}; is the file whole?")
    return state_dict[name].shape[axis]


def quote_names(names: Iterable[str]) -> str:
    """Join the first few names for a message, and count the rest."""
    names = [str(name) for name in names]
    shown = ", ".join(names[:NUM_NAMES_SHOWN])
    rest = len(names) - NUM_NAMES_SHOWN
    return f"{shown} and {rest} more" if rest > 0 else shown


def _sniff_form(path: Path) -> Literal["safetensors", "zip", "pickle"]:
    """Tell from its first bytes how a checkpoint file is to be read."""
    if path.is_dir():
        raise CheckpointError(f"{path}: expected a file, got a folder; name the weight file inside it")
    try:
        with path.open("rb") as file:
            head = file.read(48)
    except FileNotFoundError as error:
        raise CheckpointError(f"{path}: there is no such file; check the path") from error
    except OSError as error:
        raise CheckpointError(f"{path}: cannot be read ({first_line(error)}); check permissions") from error
    if head.startswith(b"version https://git-lfs"):
        raise CheckpointError(f"{path}: this is a Git LFS pointer, not the weights; run `git lfs pull`")
    if head.startswith(b"GGUF") or path.suffix.lower() == ".gguf":
        raise CheckpointError(f"{path}: GGUF files cannot be read here; give the .safetensors it was made of")
    is_zip = head.startswith(b"PK\x03\x04")
    if is_zip or (head[:1] == b"\x80" and head[1:2] in (b"\x02", b"\x03", b"\x04", b"\x05")):
        if path.suffix.lower() == ".safetensors":
            raise CheckpointError(
                f"{path}: expected safetensors, got a pickle under that name; rename it to .pth"
            )
        return "zip" if is_zip else "pickle"
    if head[8:9] == b"{" and int.from_bytes(head[:8], "little") <= MAX_SAFETENSORS_HEADER:
        return "safetensors"
    raise CheckpointError(
        f"{path}: expected a safetensors file or one written by torch.save, got a file that starts with "
        f"{head[:8]!r}; download or save it again"
    )


def _read_safetensors(path: Path) -> dict[str, Tensor]:
    try:
        return load_file(path, device="cpu")
    except (SafetensorError, OSError, ValueError, KeyError, RuntimeError) as error:
        raise CheckpointError(
            f"{path}: truncated or damaged safetensors file ({first_line(error)}); download or save it again"
        ) from error


def _read_pickle(path: Path, *, is_zip: bool) -> Any:
    try:
        return torch.load(path, map_location="cpu", weights_only=True, mmap=is_zip)
    except Exception as error:  # damaged bytes make the unpickler raise nearly anything
        text = str(error)
        if re.search(r"GLOBAL|TorchScript|unsupported class|unrecognized function", text):
            culprits = quote_names(sorted(set(re.findall(r"GLOBAL (\S+)", text)))) or first_line(error)
            raise CheckpointError(
                f"{path}: this pickle needs code to be read ({culprits}), and code in weight files is never "
                "run here; if you trust it, load it elsewhere and save its tensors as .safetensors"
            ) from error
        raise CheckpointError(
            f"{path}: truncated, damaged, or not written by torch.save ({first_line(error)}); "
            "download or save it again"
        ) from error


def _unwrap(content: Any, path: Path) -> Mapping[Any, Any]:
    if not isinstance(content, Mapping):
        raise CheckpointError(
            f"{path}: expected a dict of named tensors, got {in_words(type(content))}; save a state_dict"
        )
    found = [wrapper for wrapper in WRAPPERS if isinstance(content.get(wrapper), Mapping)]
    if len(found) > 1:
        raise CheckpointError(
            f"{path}: expected the weights under one name, found {' and '.join(found)}; "
            "save the one you mean alone"
        )
    return content[found[0]] if found else content


def _is_entry(name: Any, value: Any) -> bool:
    return isinstance(name, str) and isinstance(value, Tensor)


def _check_saveable(path: Path, state_dict: Mapping[str, Tensor], metadata: Mapping[str, str] | None) -> None:
    if path.suffix.lower() not in (".safetensors", *PICKLE_SUFFIXES):
        raise InputError(
            f"{path}: expected a name that ends in .safetensors, {', '.join(PICKLE_SUFFIXES)}, "
            f"got {path.suffix!r}; rename it"
        )
    if not state_dict or not all(_is_entry(*item) for item in state_dict.items()):
        raise InputError(f"{path}: expected a non-empty dict of named tensors to save")
    if hollow := [name for name, tensor in state_dict.items() if tensor.is_meta]:
        raise InputError(f"{path}: no data behind {quote_names(hollow)} (meta device); load weights first")
    if metadata and path.suffix.lower() != ".safetensors":
        raise InputError(f"{path}: a {path.suffix} file has no place for metadata; use .safetensors or none")
    if metadata and not all(isinstance(part, str) for item in metadata.items() for part in item):
        raise InputError(
            f"{path}: expected metadata of text keys and text values, as safetensors keeps no other"
        )


def _with_own_storage(state_dict: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Make every tensor contiguous and the sole user of its memory, as safetensors asks (tied ones share)."""
    seen: set[int] = set()
    owned = {}
    for name, tensor in state_dict.items():
        tensor = tensor.detach().cpu().contiguous()
        storage = tensor.untyped_storage()
        if storage.data_ptr() in seen or storage.nbytes() != tensor.nbytes:
            tensor = tensor.clone()
        seen.add(storage.data_ptr())
        owned[name] = tensor
    return owned


def _is_hydra_extra(name: str) -> bool:
    return ".attn1." in name and _PLAIN_ATTENTION.match(name) is None


def network_digest(network: nn.Module) -> str:
    """Digest a network of diffusers or transformers: its configuration, and its weights as float32.

    An autoencoder's skip is left out: its latents are the same with it and without.
    """
    stored: Any = network.config
    config = stored.to_dict() if hasattr(stored, "to_dict") else dict(stored)
    beside = ("torch_dtype", "dtype", "transformers_version", "skip_width")
    description = {
        key: value for key, value in config.items() if not key.startswith("_") and key not in beside
    }
    own = {name: value for name, value in network.state_dict().items() if not name.startswith("skip.")}
    return weights_digest(own, json.dumps(description, sort_keys=True, default=str))


def weights_digest(weights: Mapping[str, Tensor], beside: str = "") -> str:
    """Digest names, shapes and float32 values of weights, and a text beside them: 64 hexadecimal digits."""
    digest = hashlib.sha256(beside.encode())
    for name in sorted(weights):
        value = weights[name].detach().to("cpu", torch.float32).contiguous()
        digest.update(f"{name}{list(value.shape)}".encode())
        digest.update(value.numpy().tobytes())
    return digest.hexdigest()
