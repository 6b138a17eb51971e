"""Cameras relative to another: the same bits for all who ask, wherever the world's origin is."""

import numpy as np
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from outofsight.geometry.poses import look_at, relative_poses
from outofsight.nn.cameras import relative_to
from outofsight.sampling.rollout_state import flat_poses

TARGET = np.array([20.0, 20.0, 1.0])
places = st.lists(st.tuples(*[st.floats(-9, 9)] * 3), min_size=3, max_size=3, unique=True)


def flat(poses):
    return torch.from_numpy(poses.reshape(1, -1, 12))


def test_by_hand():
    """The reference is turned by 90° about y (its z is the world's x) and stands at x = 1; the camera at x = 3."""
    reference = torch.tensor([[0.0, 0, 1, 1, 0, 1, 0, 0, -1, 0, 0, 0]])
    camera = torch.tensor([[[1.0, 0, 0, 3, 0, 1, 0, 0, 0, 0, 1, 0]]])
    expected = [0.0, 0, -1, 0, 0, 1, 0, 0, 1, 0, 0, 2]
    assert relative_to(camera, reference).flatten().tolist() == expected


@settings(max_examples=30, deadline=None)
@given(places, st.sampled_from((0.0, 1e4)))
def test_geometry_rollouts_and_batches_agree(points, away):
    shift = np.array([away, 0.0, -away])
    poses = np.stack([look_at(point + shift, TARGET + shift) for point in np.array(points)])
    expected = torch.from_numpy(relative_poses(poses, poses[1]).reshape(1, 3, 12)).float()
    rolled = flat_poses(poses, poses[1])
    torch.testing.assert_close(rolled, expected, atol=1e-7, rtol=1e-7)
    assert torch.equal(rolled, relative_to(flat(poses), flat(poses)[:, 1]))


@settings(max_examples=10, deadline=None)
@given(places)
def test_it_is_the_same_bits_under_autocast_and_in_a_batch(points):
    poses = flat(np.stack([look_at(point, TARGET) for point in np.array(points)])).float()
    alone = relative_to(poses, poses[:, 1])
    assert alone.dtype == torch.float32
    with torch.autocast("cpu", dtype=torch.bfloat16):
        assert torch.equal(relative_to(poses, poses[:, 1]), alone)
    both = torch.cat((poses, poses.flip(1)))
    assert torch.equal(relative_to(both, both[:, 1])[0], alone[0])
