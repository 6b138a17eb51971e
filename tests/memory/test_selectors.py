"""The rules of choosing, against hand-worked cases and the plain reference."""

from math import radians

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from models import lens
from outofsight.errors import InputError
from outofsight.memory.selectors import (
    MemoryTokenizer,
    fov_affinity,
    local_window,
    mean_pooled_affinity,
    memory_grid,
    position_paired_affinity,
    slices_inside,
    top_slices,
)
from outofsight.types import LatentGrid
from reference import retrieval as plain


def test_window_is_shifted_at_the_borders():
    windows = local_window(8, 5).tolist()
    assert windows[0] == windows[1] == windows[2] == [0, 1, 2, 3, 4]
    assert windows[3] == [1, 2, 3, 4, 5]
    assert windows[5] == windows[6] == windows[7] == [3, 4, 5, 6, 7]


def test_a_window_wider_than_the_video_is_the_video():
    assert local_window(3, 5).tolist() == [[0, 1, 2]] * 3


@given(st.integers(1, 30), st.integers(1, 9), st.integers(1, 4))
def test_window_and_exclusion_match_the_plain_rules(num_frames, width, frames_per_slice):
    width = min(width, num_frames)
    num_slices = num_frames // frames_per_slice
    windows = local_window(num_frames, width)
    inside = slices_inside(windows, num_slices, frames_per_slice)
    for frame in range(num_frames):
        assert windows[frame].tolist() == plain.window(frame, num_frames, width)
        allowed = plain.allowed_slices(frame, num_frames, width, num_slices, frames_per_slice)
        assert (~inside[frame]).nonzero().flatten().tolist() == allowed


def test_window_of_five_always_excludes_two_slices_of_two():
    assert slices_inside(local_window(40, 5), 20, 2).sum(dim=1).tolist() == [2] * 40


def test_best_slices_come_first_and_excluded_ones_last():
    scores = torch.tensor([[[0.1, 5.0, 3.0, 4.0]]])
    excluded = torch.tensor([[False, True, False, False]])
    assert top_slices(scores, excluded, 2).tolist() == [[[3, 2]]]
    assert top_slices(scores, excluded, 9).tolist() == [[[3, 2, 0, 1]]]  # no more than there are


def test_mean_pooled_affinity_ignores_where_things_are():
    query = torch.tensor([[[[1.0, 0.0], [0.0, 1.0]]]])  # one frame of two tokens
    key = torch.tensor(
        [[[[2.0, 0.0], [0.0, 2.0]], [[0.0, 2.0], [2.0, 0.0]]]]
    )  # a slice, and its mirror image
    assert mean_pooled_affinity(query, key).tolist() == [[[1.0, 1.0]]]


def test_position_paired_affinity_minds_where_things_are():
    query = torch.tensor([[[[1.0, 0.0], [0.0, 1.0]]]])
    key = torch.tensor([[[[2.0, 0.0], [0.0, 2.0]], [[0.0, 2.0], [2.0, 0.0]]]])
    scores = position_paired_affinity(query, key, LatentGrid(frames=1, height=1, width=2), (1, 1))
    torch.testing.assert_close(scores, torch.tensor([[[4.0, 0.0]]]) / 2**0.5)


def test_position_paired_affinity_pools_cells_and_drops_the_remainder():
    grid = LatentGrid(frames=1, height=3, width=5)
    query = torch.arange(15.0).view(1, 1, 15, 1)  # token value = 5 · row + column
    key = torch.tensor([[[[1.0], [10.0]]]])  # a slice of 1 × 2 memory tokens
    # cells: rows 0-1 of columns 0-1 (0, 1, 5, 6 → 3) and columns 2-3 (2, 3, 7, 8 → 5)
    assert position_paired_affinity(query, key, grid, (2, 2)).item() == pytest.approx(3 * 1 + 5 * 10)


def test_fov_affinity_prefers_frames_that_look_the_same_way():
    def looking(yaw_deg: float) -> list[float]:
        angle = torch.tensor(radians(yaw_deg))
        cos, sin = float(angle.cos()), float(angle.sin())
        return [cos, 0, sin, 0, 0, 1, 0, 0, -sin, 0, cos, 0]

    poses = torch.tensor([[looking(yaw) for yaw in (0, 0, 40, 40, 180, 180)]])
    scores = fov_affinity(poses, lens(90, 2, 3), 3, 2)
    assert scores.shape == (1, 6, 3)
    same, near, behind = scores[0, 0].tolist()
    assert same == pytest.approx(1.0)
    assert 0.2 < near < 0.8
    assert behind == 0
    assert scores[0, 4].argmax() == 2


@pytest.mark.parametrize("score", ["mean_pooled", "position_paired", "fov"])
def test_scores_are_exact_under_autocast(score):
    """So training and sampling choose alike; only what is scored is rounded, where it is."""
    grid = LatentGrid(frames=6, height=4, width=4)
    generator = torch.Generator().manual_seed(0)
    query = torch.randn(1, 6, 16, 64, generator=generator)
    poses = torch.randn(1, 6, 12, generator=generator)

    def scores():
        if score == "mean_pooled":
            return mean_pooled_affinity(query, query[:, :3, :4])
        if score == "position_paired":
            return position_paired_affinity(query, query[:, :3, :4], grid, (2, 2))
        return fov_affinity(poses, lens(60.0, 4, 4), 3, 2)

    exact = scores()
    with torch.autocast("cpu", torch.bfloat16):
        assert torch.equal(scores(), exact)


@pytest.mark.parametrize("kernel", [(2, 2, 2), (1, 2, 2), (2, 1, 1), (3, 2, 4), (1, 1, 1)])
def test_a_memory_token_sees_its_own_cell_only(kernel):
    grid = LatentGrid(frames=7, height=5, width=9)
    tokens = torch.randn(1, grid.num_tokens, 6, generator=torch.Generator().manual_seed(0))
    tokenizer = MemoryTokenizer(6, kernel)
    before = tokenizer(tokens, grid)
    sizes = memory_grid(grid, kernel)
    assert before.shape == (1, sizes.frames, sizes.height * sizes.width, 6)
    frame, row, column = sizes.frames - 1, 1, sizes.width - 1
    at = ((frame * kernel[0]) * grid.height + row * kernel[1]) * grid.width + column * kernel[2]
    changed = tokens.clone()
    changed[0, at] += 1
    difference = (tokenizer(changed, grid) - before).abs().sum(dim=-1)[0]
    assert difference.nonzero().tolist() == [[frame, row * sizes.width + column]]


def test_a_video_smaller_than_a_memory_token_is_refused():
    with pytest.raises(InputError, match="2 frames × 2 rows × 2 columns"):
        memory_grid(LatentGrid(frames=1, height=6, width=8), (2, 2, 2))
