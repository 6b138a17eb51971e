from math import atan, cos, pi, radians, sin, tan

import torch

from models import lens
from outofsight.nn.rays import describe_rays, num_ray_features, ray_features, token_rays
from outofsight.types import LatentGrid

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
    told = torch.tensor([0.6, -1 / 6, 1.0])
    torch.testing.assert_close(ahead[0, 4], told / told.norm())


def test_a_turned_camera_sees_a_far_point_along_the_same_ray_off_the_centre_too():
    features = ray_features(poses(atan(0.4)), GRID, OFF_CENTRE, octaves=4)[0].unflatten(0, (2, 3, 5))
    torch.testing.assert_close(features[1, 1, 1], features[0, 1, 3], atol=1e-5, rtol=0)


def test_each_clip_of_a_batch_has_its_own_lens():
    both = torch.cat((LENS, OFF_CENTRE))
    given = poses(0.3, (1.0, 0.5, 2.0))
    together = ray_features(given.expand(2, -1, -1), GRID, both, octaves=2)
    for clip in range(2):
        torch.testing.assert_close(together[[clip]], ray_features(given, GRID, both[[clip]], octaves=2))
