"""The per-sample form that the published training script reads: one file of four tensors for each sample.

``latents`` [channels, f, h, w]: context and target halves one after the other, equally long, since the script
splits them in the middle. ``context`` [l, width]: the caption's states. ``context_camera``, ``video_camera``
[frames, 12]: poses of both halves relative to the first target frame. As .safetensors, or as the dict of a .pth
file (read with ``weights_only=True``).
"""

import pickle
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from safetensors import SafetensorError

from outofsight.data.latent_cache import LatentSample
from outofsight.errors import DatasetError, InputError, first_line, in_words
from outofsight.files import file_in_one_piece

FIELDS = ("latents", "context", "context_camera", "video_camera")
SUFFIXES = (".safetensors", ".pth")
NO_SAMPLE = (SafetensorError, OSError, RuntimeError, EOFError, ValueError, pickle.UnpicklingError)


def write_published_sample(path: Path, sample: LatentSample) -> None:
    """Write one sample, whole or not at all; its suffix says how.

    Raises:
        InputError: another suffix, halves of different lengths, or a sample without text states.
    """
    import torch  # noqa: PLC0415
    from safetensors.torch import save_file  # noqa: PLC0415

    _check_suffix(path)
    tensors = {name: torch.from_numpy(value) for name, value in published_arrays(sample).items()}
    with file_in_one_piece(path) as temporary:
        if path.suffix == ".safetensors":
            save_file(tensors, temporary)
        else:
            with temporary.open("wb") as file:
                torch.save(tensors, file)


def published_arrays(sample: LatentSample) -> dict[str, NDArray[Any]]:
    """Give what the form holds of a sample.

    Raises:
        InputError: halves of different lengths, or a sample without text states.
    """
    if sample.text_states is None:
        raise InputError(
            f"sample {sample.name!r}: the published form holds the caption's states, this cache only captions; "
            "encode with --text states"
        )
    if sample.context_latents.shape != sample.target_latents.shape:
        raise InputError(
            f"sample {sample.name!r}: the published script splits latents in the middle, so both halves must be "
            f"equal, got {list(sample.context_latents.shape)} and {list(sample.target_latents.shape)}"
        )
    arrays = {
        "latents": np.concatenate((sample.context_latents, sample.target_latents), axis=1),
        "context": sample.text_states,
        "context_camera": sample.context_cameras,
        "video_camera": sample.target_cameras,
    }
    return {name: np.ascontiguousarray(value) for name, value in arrays.items()}


def is_published_sample(path: Path) -> bool:
    """Tell whether a file is such a sample."""
    try:
        return set(FIELDS) <= _read(path).keys()
    except NO_SAMPLE:
        return False


def read_published_sample(path: Path) -> LatentSample:
    """Read one sample. The form holds no caption as text, no world poses and no subjects.

    Raises:
        DatasetError: the file is damaged or lacks a field.
        InputError: the halves are not equal.
    """
    _check_suffix(path)
    try:
        fields = {name: _as_array(value) for name, value in _read(path).items() if name in FIELDS}
    except NO_SAMPLE as error:
        raise DatasetError(
            f"{path}: expected the tensors {', '.join(FIELDS)} ({first_line(error)})"
        ) from error
    if missing := [name for name in FIELDS if name not in fields]:
        raise DatasetError(f"{path}: lacks {', '.join(missing)}; expected {', '.join(FIELDS)}")
    latents = fields["latents"]
    if latents.ndim != 4 or latents.shape[1] % 2:
        raise InputError(
            f"{path}: expected latents [channels, frames, h, w] of two equal halves, got {list(latents.shape)}"
        )
    half = latents.shape[1] // 2
    return LatentSample(
        name=path.stem,
        caption="",
        context_latents=latents[:, :half],
        target_latents=latents[:, half:],
        context_cameras=fields["context_camera"].astype(np.float32),
        target_cameras=fields["video_camera"].astype(np.float32),
        text_states=fields["context"].astype(np.float32),
    )


def _check_suffix(path: Path) -> None:
    if path.suffix not in SUFFIXES:
        raise InputError(f"{path}: expected a name that ends in {' or '.join(SUFFIXES)}")


def _read(path: Path) -> dict[str, Any]:
    import torch  # noqa: PLC0415
    from safetensors.torch import load_file  # noqa: PLC0415

    if path.suffix == ".safetensors":
        return dict(load_file(path))
    content = torch.load(path, map_location="cpu", weights_only=True)
    if not isinstance(content, dict):
        raise ValueError(in_words(type(content)))
    return content


def _as_array(value: Any) -> NDArray[Any]:
    """Turn a tensor into an array; bfloat16, which numpy lacks, into float32."""
    array: NDArray[Any] = (value.float() if "bfloat16" in str(value.dtype) else value).numpy()
    return array
