"""The batched attention equals the plain loop, however it is chunked."""

import pytest
import torch

from outofsight.nn.retrieval_attention import Selection, retrieval_attention, sdpa
from reference import retrieval as plain

BATCH, FRAMES, TOKENS, SLICES, MEMORY_TOKENS, HEADS, DIM = 2, 6, 4, 3, 2, 2, 8


@pytest.fixture
def states():
    generator = torch.Generator().manual_seed(0)
    full = [torch.randn(BATCH, FRAMES, TOKENS, HEADS, DIM, generator=generator) for _ in range(3)]
    memory = [torch.randn(BATCH, SLICES, MEMORY_TOKENS, HEADS, DIM, generator=generator) for _ in range(2)]
    return (*full, *memory)


def choice(upper: int, count: int, seed: int) -> torch.Tensor:
    generator = torch.Generator().manual_seed(seed)
    order = torch.rand(BATCH, FRAMES, upper, generator=generator).argsort(dim=-1)
    return order[..., :count]


@pytest.mark.parametrize("frames_per_chunk", [None, 1, 4, 6, 100])
def test_equals_the_plain_loop(states, frames_per_chunk):
    frames, slices = choice(FRAMES, 3, 1), choice(SLICES, 2, 2)
    fast = retrieval_attention(*states, Selection(frames, slices), frames_per_chunk=frames_per_chunk)
    slow = plain.retrieval_attention(*states, frames.tolist(), slices.tolist())
    torch.testing.assert_close(fast, slow, rtol=1e-5, atol=1e-6)


def test_one_choice_of_frames_may_serve_the_whole_batch(states):
    frames, slices = choice(FRAMES, 3, 1), choice(SLICES, 2, 2)
    shared = retrieval_attention(*states, Selection(frames[:1], slices))
    each = retrieval_attention(*states, Selection(frames[:1].expand(BATCH, -1, -1), slices))
    assert torch.equal(shared, each)


def test_empty_entries_are_not_attended_to(states):
    frames, slices = choice(FRAMES, 3, 1), choice(SLICES, 2, 2)
    frames[:, ::2, 1] = -1
    slices[:, 1::2, 0] = -1
    padded = retrieval_attention(*states, Selection(frames, slices, padded=True))
    kept = [
        [[[i for i in row if i >= 0] for row in video] for video in part.tolist()]
        for part in (frames, slices)
    ]
    torch.testing.assert_close(padded, plain.retrieval_attention(*states, *kept), rtol=1e-5, atol=1e-6)


def test_all_frames_and_no_slice_is_full_attention(states):
    query, key, value = states[:3]
    everything = torch.arange(FRAMES).expand(1, FRAMES, -1)
    none = torch.empty(BATCH, FRAMES, 0, dtype=torch.long)
    retrieved = retrieval_attention(*states, Selection(everything, none))
    full = sdpa(query.flatten(1, 2), key.flatten(1, 2), value.flatten(1, 2), None)
    torch.testing.assert_close(retrieved.flatten(1, 2), full, rtol=1e-5, atol=1e-6)


def test_gradients_equal_those_of_the_plain_loop(states):
    frames, slices = choice(FRAMES, 3, 1), choice(SLICES, 2, 2)
    leaves = [part.double().requires_grad_() for part in states]
    fast = retrieval_attention(*leaves, Selection(frames, slices), frames_per_chunk=4).square().sum()
    slow = plain.retrieval_attention(*leaves, frames.tolist(), slices.tolist()).square().sum()
    for got, expected in zip(
        torch.autograd.grad(fast, leaves), torch.autograd.grad(slow, leaves), strict=True
    ):
        torch.testing.assert_close(got, expected)
