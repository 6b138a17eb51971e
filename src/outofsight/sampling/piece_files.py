"""Tensors on disk in pieces that are named by their content, so that what is there already is not written again.

A tensor is cut along one axis (a bank's slots, a history's frames). A piece's name is the digest of its type, shape and
bytes; it lies under that name in one of the folder's safetensors files.
"""

import hashlib
import json
import os
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any, NamedTuple

import torch
from safetensors import safe_open
from torch import Tensor
from torch.utils.weak import WeakTensorKeyDictionary

from outofsight.errors import CheckpointError
from outofsight.files import written_whole

SMALLEST_CUT = 1 << 16
"""Bytes; a smaller tensor stays in one piece."""

_CODES = {
    torch.float64: "F64", torch.float32: "F32", torch.float16: "F16", torch.bfloat16: "BF16", torch.int64: "I64",
    torch.int32: "I32", torch.uint8: "U8", torch.bool: "BOOL",
}  # fmt: skip


class Layout(NamedTuple):
    """How a tensor is put together: ``pieces``, by name, one behind the other along ``axis`` (−1: the only one)."""

    axis: int
    pieces: tuple[str, ...]


Known = WeakTensorKeyDictionary
"""Layouts of tensors that were looked at before. Tensors of a state are never changed, so theirs never are."""


def pieces_along(tensor: Tensor, axis: int) -> list[Tensor]:
    """Give the pieces of a tensor, which share its memory."""
    return [tensor] if axis < 0 else list(tensor.split(1, dim=axis))


def layout_of(tensor: Tensor, axis: int | None, known: Known) -> Layout:
    """Name the pieces of a tensor; each is brought to the CPU by itself."""
    if tensor not in known:
        whole = axis is None or tensor.nbytes <= SMALLEST_CUT
        at = -1 if whole or axis is None else axis
        known[tensor] = Layout(at, tuple(digest(piece) for piece in pieces_along(tensor, at)))
    return known[tensor]


def digest(piece: Tensor) -> str:
    """Tell a piece by its type, shape and bytes."""
    sha = hashlib.sha256(f"{_CODES[piece.dtype]}{list(piece.shape)}".encode())
    sha.update(_bytes(piece))
    return sha.hexdigest()[:32]


def _bytes(piece: Tensor) -> memoryview:
    flat = piece.detach().cpu().contiguous().flatten()
    if flat.stride(0) != 1:  # a single number may keep the stride that it had
        flat = flat.clone(memory_format=torch.contiguous_format)
    return memoryview(flat.view(torch.uint8).numpy())  # type: ignore[arg-type]  # numpy's arrays are buffers


def write_pieces(path: Path, pieces: Mapping[str, Tensor]) -> None:
    """Write a safetensors file, a piece at a time, flushed to the disk before it has its name. Raises ``OSError``."""
    header: dict[str, Any] = {}
    end = 0
    for name, piece in pieces.items():
        header[name] = {
            "dtype": _CODES[piece.dtype], "shape": list(piece.shape), "data_offsets": [end, end + piece.nbytes],
        }  # fmt: skip
        end += piece.nbytes
    text = json.dumps(header).encode()
    text += b" " * (-len(text) % 8)
    with written_whole(path) as temporary, temporary.open("wb") as file:
        file.write(len(text).to_bytes(8, "little") + text)
        for piece in pieces.values():
            file.write(_bytes(piece))
        file.flush()
        os.fsync(file.fileno())


def read_tensors(
    folder: Path, files: Mapping[str, Iterable[str]], layouts: Mapping[str, Layout]
) -> dict[str, Tensor]:
    """Put tensors together again. ``files``: the pieces in each.

    Raises:
        CheckpointError: a piece's content is not what its name says.
    """
    return dict(_put_together(layouts, dict(_pieces(folder, files))))


def _pieces(folder: Path, files: Mapping[str, Iterable[str]]) -> Iterator[tuple[str, Tensor]]:
    for name, pieces in files.items():
        path = folder / name
        if not path.is_file():
            raise FileNotFoundError(str(path))
        with safe_open(path, framework="pt") as file:
            for piece in pieces:
                tensor = file.get_tensor(piece)
                if digest(tensor) != piece:
                    raise CheckpointError(
                        f"{path}: damaged: its checksum is not the one written down; use another copy"
                    )
                yield piece, tensor


def _put_together(
    layouts: Mapping[str, Layout], pieces: Mapping[str, Tensor]
) -> Iterator[tuple[str, Tensor]]:
    for name, layout in layouts.items():
        parts = [pieces[piece] for piece in layout.pieces]
        yield name, parts[0].clone() if layout.axis < 0 else torch.cat(parts, dim=layout.axis)
