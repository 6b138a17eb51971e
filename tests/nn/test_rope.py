"""Rotary positions: hand-worked angles, and the axiom that only distance matters."""

import math
from math import atan, cos, pi, radians, sin, tan

import pytest
import torch

from models import lens
from outofsight.nn.rope import (
    axis_dims,
    describe_rays,
    num_ray_features,
    ray_features,
    rotary_at_places,
    rotary_table,
    rotate,
    token_rays,
)
from outofsight.types import LatentGrid


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


GRID = LatentGrid(frames=2, height=3, width=5, context_frames=1)
LENS = lens(80, 3, 5)


def poses(yaw_rad: float, position_m=(0.0, 0.0, 0.0)) -> torch.Tensor:
    """The reference, and a camera turned to the right about its own y axis (which points down)."""
    turn = torch.tensor([[cos(yaw_rad), 0, sin(yaw_rad)], [0, 1, 0], [-sin(yaw_rad), 0, cos(yaw_rad)]])
    turned = torch.cat((turn, torch.tensor(position_m)[:, None]), dim=1).flatten()
    return torch.stack((torch.eye(3, 4).flatten(), turned))[None]


def test_the_middle_token_looks_ahead_and_others_where_a_pinhole_says():
    direction, moment = token_rays(poses(0.0), GRID, LENS)
    ahead = direction[0].unflatten(0, (2, 3, 5))[0]
    torch.testing.assert_close(ahead[1, 2], torch.tensor([0.0, 0.0, 1.0]))
    right = tan(radians(40)) * 0.8  # the middle of the last of five columns
    torch.testing.assert_close(ahead[1, 4], torch.tensor([right, 0, 1]) / (1 + right**2) ** 0.5)
    assert ahead[0, 2, 1] < 0 < ahead[2, 2, 1]  # y points down
    assert not moment.any()


def test_tokens_that_see_the_same_far_point_have_the_same_ray():
    column = atan(tan(radians(40)) * 0.4)  # turn by what the second column to the right is off the middle
    features = ray_features(poses(column), GRID, LENS, octaves=4)[0].unflatten(0, (2, 3, 5))
    assert features.shape[-1] == num_ray_features(4)
    torch.testing.assert_close(features[1, 1, 2], features[0, 1, 3], atol=1e-5, rtol=0)
    assert (features[1, 1, 2] - features[0, 1, 2]).abs().max() > 0.5


def test_a_moment_is_the_same_all_along_a_ray():
    _, moment = token_rays(poses(0.0, (0.0, 0.0, 5.0)), GRID, LENS)
    middle = moment[0].unflatten(0, (2, 3, 5))[:, 1, 2]
    torch.testing.assert_close(middle, torch.zeros(2, 3))  # moving along the ray changes nothing
    _, aside = token_rays(poses(0.0, (2.0, 0.0, 0.0)), GRID, LENS)
    torch.testing.assert_close(aside[0].unflatten(0, (2, 3, 5))[1, 1, 2], torch.tensor([0.0, -2.0, 0.0]))


def test_octaves_are_sines_and_cosines_of_the_direction():
    features = ray_features(poses(0.3), GRID, LENS, octaves=2)[0, 7]
    direction = features[:3]
    angles = (direction[:, None] * torch.tensor([pi, 2 * pi])).flatten()
    torch.testing.assert_close(features[6:], torch.cat((angles.sin(), angles.cos())))


def test_rays_are_exact_under_autocast():
    expected = ray_features(poses(0.3, (1.0, 0.5, 2.0)), GRID, LENS, octaves=4)
    with torch.autocast("cpu", torch.bfloat16):
        assert torch.equal(ray_features(poses(0.3, (1.0, 0.5, 2.0)), GRID, LENS, octaves=4), expected)


def test_a_ray_is_described_alike_wherever_it_comes_from():
    given = poses(0.4, (1.0, 0.0, -2.0))
    direction, moment = token_rays(given, GRID, LENS)
    assert torch.equal(describe_rays(direction, moment, 3), ray_features(given, GRID, LENS, 3))
    one = describe_rays(torch.tensor([0.0, 0.0, 1.0]), torch.tensor([0.0, -1.0, 0.0]), 1)
    # Ahead, a metre to the side: direction, −log 2 for the moment, sin(π·direction), cos(π·direction).
    expected = [0, 0, 1, 0, -0.693147, 0, 0, 0, 0, 1, 1, -1]
    torch.testing.assert_close(one, torch.tensor(expected), atol=1e-6, rtol=1e-5)


OFF_CENTRE = torch.tensor([[1.0, 2.0, 0.3, 0.5]])
"""The axis goes through the second of five columns, whose middles are 0.1, 0.3, ... 0.9; focal lengths 1 and 2."""


def test_an_off_centre_axis():
    """The last column is 0.6 to the right of the axis; the first row, of middle 1/6, is 1/3 up, and f is 2."""
    direction, _ = token_rays(poses(0.0), GRID, OFF_CENTRE)
    ahead = direction[0].unflatten(0, (2, 3, 5))[0]
    torch.testing.assert_close(ahead[1, 1], torch.tensor([0.0, 0.0, 1.0]))
    reported = torch.tensor([0.6, -1 / 6, 1.0])
    torch.testing.assert_close(ahead[0, 4], reported / reported.norm())


def test_a_turned_camera_sees_a_far_point_along_the_same_ray_off_the_centre_too():
    features = ray_features(poses(atan(0.4)), GRID, OFF_CENTRE, octaves=4)[0].unflatten(0, (2, 3, 5))
    torch.testing.assert_close(features[1, 1, 1], features[0, 1, 3], atol=1e-5, rtol=0)


def test_each_clip_of_a_batch_has_its_own_lens():
    both = torch.cat((LENS, OFF_CENTRE))
    given = poses(0.3, (1.0, 0.5, 2.0))
    together = ray_features(given.expand(2, -1, -1), GRID, both, octaves=2)
    for clip in range(2):
        torch.testing.assert_close(together[[clip]], ray_features(given, GRID, both[[clip]], octaves=2))
