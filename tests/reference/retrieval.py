"""Retrieval attention and its windowing rules, one query frame after the other, as one would write them down."""

import torch
from torch import Tensor


def attention(query: Tensor, key: Tensor, value: Tensor) -> Tensor:
    """Softmax attention of [q, heads, d] over [k, heads, d], every factor written out."""
    scores = torch.einsum("qhd,khd->hqk", query, key) / query.shape[-1] ** 0.5
    return torch.einsum("hqk,khd->qhd", scores.softmax(dim=-1), value)


def retrieval_attention(
    query: Tensor,
    key: Tensor,
    value: Tensor,
    memory_key: Tensor,
    memory_value: Tensor,
    frames: list[list[list[int]]],
    slices: list[list[list[int]]],
) -> Tensor:
    """Attend from each frame of each video to the frames and slices that the nested lists name."""
    output = torch.empty_like(query)
    for video in range(query.shape[0]):
        for frame in range(query.shape[1]):
            keys, values = [], []
            for near in frames[video][frame]:
                keys.append(key[video, near])
                values.append(value[video, near])
            for far in slices[video][frame]:
                keys.append(memory_key[video, far])
                values.append(memory_value[video, far])
            output[video, frame] = attention(query[video, frame], torch.cat(keys), torch.cat(values))
    return output


def window(frame: int, num_frames: int, width: int) -> list[int]:
    """Frames of the window around ``frame``, shifted at the borders."""
    start = min(max(frame - width // 2, 0), num_frames - width)
    return list(range(start, start + width))


def allowed_slices(
    frame: int, num_frames: int, width: int, num_slices: int, frames_per_slice: int
) -> list[int]:
    """Slices that are not wholly inside the window."""
    near = set(window(frame, num_frames, width))
    covered = {j: set(range(j * frames_per_slice, (j + 1) * frames_per_slice)) for j in range(num_slices)}
    return [j for j, frames in covered.items() if not frames <= near]
