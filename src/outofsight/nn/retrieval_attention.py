"""Attention in which every query frame chooses its own few frames and memory slices."""

from collections.abc import Callable, Iterator
from typing import NamedTuple

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor
from torch.nn import functional
from torch.nn.functional import pad

Attend = Callable[[Tensor, Tensor, Tensor, Tensor | None], Tensor]
"""Softmax attention: query [n, q, heads, d], key and value [n, k, heads, d], a mask that is true where attended
[n, 1, 1, k] or ``None`` → [n, q, heads, d]."""


class Selection(NamedTuple):
    """What each query frame attends to. An entry of −1 is empty and only allowed when ``padded`` is true.

    ``frames``: indices of full-resolution frames; a leading 1 shares one choice among the batch.
    ``slices``: indices of memory slices.
    """

    frames: Int[Tensor, "batch_or_1 f window"]
    slices: Int[Tensor, "batch f k"]
    padded: bool = False


class MoreKeys(NamedTuple):
    """Keys and values that every query sees beside its own; ``known``: which of them there are, ``None`` for all."""

    key: Float[Tensor, "batch e heads d"]
    value: Float[Tensor, "batch e heads d"]
    known: Bool[Tensor, "batch e"] | None = None


def join_more(*parts: MoreKeys | None) -> MoreKeys | None:
    """Lay several side by side; ``None`` stands for nothing."""
    given = [part for part in parts if part is not None]
    if len(given) < 2:
        return given[0] if given else None
    known = None
    if any(part.known is not None for part in given):
        known = torch.cat([_all_known(part) if part.known is None else part.known for part in given], dim=1)
    key, value = (torch.cat([part[index] for part in given], dim=1) for index in (0, 1))  # type: ignore[misc]
    return MoreKeys(key, value, known)


def _all_known(part: MoreKeys) -> Bool[Tensor, "batch e"]:
    return torch.ones(part.key.shape[:2], dtype=torch.bool, device=part.key.device)


def sdpa(query: Tensor, key: Tensor, value: Tensor, mask: Tensor | None = None) -> Tensor:
    """Attend by torch's own kernel. Shapes as in ``Attend``."""
    query, key, value = (states.transpose(1, 2) for states in (query, key, value))
    return functional.scaled_dot_product_attention(query, key, value, attn_mask=mask).transpose(1, 2)


def full_attention(
    query: Float[Tensor, "batch n heads d"],
    key: Float[Tensor, "batch n heads d"],
    value: Float[Tensor, "batch n heads d"],
    more: MoreKeys | None = None,
    attend: Attend = sdpa,
) -> Float[Tensor, "batch n heads d"]:
    """Attend from every token to every token, and to ``more``."""
    if more is None:
        return attend(query, key, value, None)
    mask = None
    if more.known is not None:
        mask = pad(more.known, (key.shape[1], 0), value=True)[:, None, None]
    return attend(query, torch.cat((key, more.key), dim=1), torch.cat((value, more.value), dim=1), mask)


def retrieval_attention(
    query: Float[Tensor, "batch f n heads d"],
    key: Float[Tensor, "batch f n heads d"],
    value: Float[Tensor, "batch f n heads d"],
    memory_key: Float[Tensor, "batch m p heads d"],
    memory_value: Float[Tensor, "batch m p heads d"],
    selection: Selection,
    *,
    more: MoreKeys | None = None,
    frames_per_chunk: int | None = None,
    attend: Attend = sdpa,
) -> Float[Tensor, "batch f n heads d"]:
    """Attend from every frame to its selected frames (all n tokens) and slices (all p tokens): one softmax.

    ``more``: what every query sees beside its own.
    ``frames_per_chunk`` query frames are gathered and attended to at a time; ``None`` takes all at once, which is
    fastest and needs memory for ``f · (window · n + k · p)`` keys and as many values. The result does not depend on it.

    Source: HyDRA, eq. 6.
    """
    outputs = []
    for chunk in _chunks(query.shape[1], frames_per_chunk):
        frames, slices = selection.frames[:, chunk], selection.slices[:, chunk]
        keys = _gather(key, memory_key, frames, slices)
        values = _gather(value, memory_value, frames, slices)
        mask = _key_mask(frames, slices, key.shape[2], memory_key.shape[2]) if selection.padded else None
        if more is not None:
            mask = _mask_with_more(mask, more, keys)
            keys, values = _with_more(keys, more.key), _with_more(values, more.value)
        attended = attend(query[:, chunk].flatten(0, 1), keys, values, mask)
        outputs.append(attended.unflatten(0, (query.shape[0], -1)))
    return outputs[0] if len(outputs) == 1 else torch.cat(outputs, dim=1)


def _chunks(num_frames: int, size: int | None) -> Iterator[slice]:
    size = size or num_frames
    return (slice(start, min(start + size, num_frames)) for start in range(0, num_frames, size))


def _gather(full: Tensor, memory: Tensor, frames: Tensor, slices: Tensor) -> Tensor:
    """Lay the selected frames and slices of every query frame side by side: [batch · f, keys, heads, d]."""
    near, far = _chosen(full, frames), _chosen(memory, slices)
    return torch.cat((near.flatten(2, 3), far.flatten(2, 3)), dim=2).flatten(0, 1)


def _chosen(states: Tensor, indices: Tensor) -> Tensor:
    """Return entries of [batch, entries, ...] by [batch or 1, f, k]: [batch, f, k, ...]. A −1 reads the last.

    One index over batch and entries: its gradient is added up several times as fast as that of two indices.
    """
    batch, entries = states.shape[:2]
    indices = torch.where(indices < 0, indices + entries, indices)
    indices = indices + entries * torch.arange(batch, device=indices.device)[:, None, None]
    chosen = states.flatten(0, 1).index_select(0, indices.flatten())
    return chosen.unflatten(0, indices.shape)


def _with_more(gathered: Tensor, more: Tensor) -> Tensor:
    """Append the same [batch, e, heads, d] to what every query frame gathered [batch · f, keys, heads, d]."""
    frames = gathered.shape[0] // more.shape[0]
    return torch.cat((gathered, more.repeat_interleave(frames, dim=0)), dim=1)


def _mask_with_more(
    mask: Bool[Tensor, "n 1 1 keys"] | None, more: MoreKeys, gathered: Tensor
) -> Bool[Tensor, "n 1 1 more_keys"] | None:
    """Widen the mask of what was gathered [batch · f, keys, heads, d] by what is appended to it."""
    if more.known is None:
        return None if mask is None else pad(mask, (0, more.key.shape[1]), value=True)
    known = more.known.repeat_interleave(gathered.shape[0] // more.known.shape[0], dim=0)[:, None, None]
    if mask is None:
        return pad(known, (gathered.shape[1], 0), value=True)
    return torch.cat((mask, known), dim=-1)


def _key_mask(frames: Tensor, slices: Tensor, tokens_per_frame: int, tokens_per_slice: int) -> Tensor:
    """Return [batch · f, 1, 1, keys], true where the entry is not empty."""
    near = (frames >= 0).repeat_interleave(tokens_per_frame, dim=-1)
    far = (slices >= 0).repeat_interleave(tokens_per_slice, dim=-1)
    near = near.expand(far.shape[0], -1, -1)
    return torch.cat((near, far), dim=-1).flatten(0, 1)[:, None, None]
