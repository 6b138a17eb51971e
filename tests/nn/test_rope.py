"""Rotary positions: hand-worked angles, and the axiom that only distance matters."""

import math

import pytest
import torch

from outofsight.nn.rope import axis_dims, rotary_at_places, rotary_table, rotate


@pytest.mark.parametrize(
    ("head_dim", "dims"), [(24, (8, 8, 8)), (32, (12, 10, 10)), (64, (24, 20, 20)), (128, (44, 42, 42))]
)
def test_split(head_dim, dims):
    assert axis_dims(head_dim) == dims


def test_first_pair_of_each_axis_turns_by_its_position():
    table = rotary_table(torch.tensor([0.5]), torch.tensor([2.0]), torch.tensor([3.0]), head_dim=24)
    angles = [math.atan2(table.sin[0, i], table.cos[0, i]) for i in (0, 4, 8)]
    assert angles == pytest.approx([0.5, 2.0, 3.0])


def test_tokens_run_column_first():
    table = rotary_table(torch.arange(2), torch.arange(3), torch.arange(4), head_dim=24)
    assert table.cos.shape == (24, 12)
    token = (1 * 3 + 2) * 4 + 3  # frame 1, row 2, column 3
    assert [math.atan2(table.sin[token, i], table.cos[token, i]) for i in (0, 4, 8)] == pytest.approx(
        [1, 2, 3]
    )


def test_scores_depend_on_distance_alone():
    generator = torch.Generator().manual_seed(0)
    query, key = (torch.randn(1, 1, 1, 24, generator=generator).double() for _ in range(2))

    def score(query_at: float, key_at: float) -> float:
        tables = [
            rotary_table(torch.tensor([at]), torch.tensor([at]), torch.tensor([at]), 24)
            for at in (query_at, key_at)
        ]
        return float((rotate(query, tables[0]) * rotate(key, tables[1])).sum())

    assert score(7.0, 4.0) == pytest.approx(score(103.0, 100.0), rel=1e-4)
    assert score(7.0, 4.0) != pytest.approx(score(7.0, 5.0), rel=1e-2)


def test_any_length():
    assert rotary_table(torch.arange(3000), torch.arange(1), torch.arange(1), 24).cos.isfinite().all()


def test_any_place_is_rotated_as_on_the_grid():
    axes = torch.tensor([0.0, 2.5]), torch.tensor([1.0, 4.0, 7.0]), torch.tensor([-3.0, 0.25])
    grid, places = rotary_table(*axes, 24), torch.cartesian_prod(*axes)
    anywhere = rotary_at_places(torch.stack((places, places + 1)), 24)
    assert anywhere.cos.shape == (2, 12, 12)
    assert torch.equal(anywhere.cos[0], grid.cos)
    assert torch.equal(anywhere.sin[0], grid.sin)
