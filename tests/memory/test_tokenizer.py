"""Memory tokens cover the tokens they say, at the places they say."""

import math

import pytest
import torch

from outofsight.errors import InputError
from outofsight.memory.tokenizer import MemoryTokenizer, memory_grid, memory_rotary_table
from outofsight.types import LatentGrid


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


def test_positions_are_the_middle_of_time_and_the_corner_of_space():
    table = memory_rotary_table(LatentGrid(frames=4, height=4, width=6), (2, 2, 2), 24, torch.device("cpu"))
    token = (1 * 2 + 1) * 3 + 2  # slice 1, row 1, column 2
    angles = [math.atan2(table.sin[token, i], table.cos[token, i]) for i in (0, 4)]
    assert angles == pytest.approx([2.5, 2.0])
    assert table.cos[token, 8] == pytest.approx(math.cos(4.0))


def test_a_video_smaller_than_a_memory_token_is_refused():
    with pytest.raises(InputError, match="2 frames × 2 rows × 2 columns"):
        memory_grid(LatentGrid(frames=1, height=6, width=8), (2, 2, 2))
