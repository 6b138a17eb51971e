"""The batched attention equals the plain loop, however it is chunked."""

import pytest
import torch

from outofsight.backbone.attention import (
    ExtraKeys,
    Selection,
    full_attention,
    join_extra,
    retrieval_attention,
    sdpa,
)
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


def beside(known: list[int], count: int = 5, seed: int = 4) -> ExtraKeys:
    generator = torch.Generator().manual_seed(seed)
    key, value = (torch.randn(BATCH, count, HEADS, DIM, generator=generator) for _ in range(2))
    return ExtraKeys(key, value, torch.arange(count) < torch.tensor(known)[:, None])


@pytest.mark.parametrize("frames_per_chunk", [None, 1, 4])
def test_every_query_sees_what_is_known_beside_its_own(states, frames_per_chunk):
    """As if the known ones were one more slice that every frame chose; in the second video there are none."""
    frames, slices = choice(FRAMES, 3, 1), choice(SLICES, 2, 2)
    slices[:, 1::2, 0] = -1
    more = beside([3, 0])
    got = retrieval_attention(
        *states, Selection(frames, slices, padded=True), extra=more, frames_per_chunk=frames_per_chunk
    )
    query, key, value, memory_key, memory_value = states
    for video, known in enumerate((3, 0)):
        for frame in range(FRAMES):
            own = [i for i in slices[video, frame].tolist() if i >= 0]
            parts = [
                [full[video, frames[video, frame]].flatten(0, 1), slot[video, own].flatten(0, 1), extra[video, :known]]
                for full, slot, extra in ((key, memory_key, more.key), (value, memory_value, more.value))
            ]  # fmt: skip
            keys, values = (torch.cat(part)[None] for part in parts)
            expected = sdpa(query[[video], frame], keys, values)
            torch.testing.assert_close(got[[video], frame], expected, rtol=1e-5, atol=1e-6)


def test_full_attention_with_more_is_attention_over_both(states):
    query, key, value = (part.flatten(1, 2) for part in states[:3])
    more = beside([5, 5])
    expected = sdpa(query, torch.cat((key, more.key), 1), torch.cat((value, more.value), 1))
    torch.testing.assert_close(full_attention(query, key, value, more), expected, rtol=1e-5, atol=1e-6)
    assert torch.equal(full_attention(query, key, value, more._replace(known=None)), expected)
    nothing = full_attention(query, key, value, beside([0, 0]))
    torch.testing.assert_close(nothing, full_attention(query, key, value), rtol=1e-5, atol=1e-6)


def test_joined_keys_know_which_of_them_there_are():
    some, all_known = beside([2, 0]), beside([0, 0], count=3, seed=5)._replace(known=None)
    joined = join_extra(None, some, all_known)
    assert joined.key.shape[1] == joined.value.shape[1] == 8
    assert joined.known.tolist() == [[True] * 2 + [False] * 3 + [True] * 3, [False] * 5 + [True] * 3]
    assert join_extra(all_known, all_known).known is None
    assert join_extra(None, some) is some
    assert join_extra(None, None) is None
