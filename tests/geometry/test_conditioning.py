"""What the model reads of the cameras."""

import numpy as np
import pytest
from hypothesis import given
from numpy.testing import assert_allclose

from geometry_strategies import paths
from outofsight.errors import CameraError, InputError
from outofsight.geometry.conditioning import (
    CameraConditioning,
    camera_conditioning,
    flatten_poses,
)
from outofsight.geometry.poses import compose, level_pose
from outofsight.types import CameraPath


def test_a_camera_that_walks_ahead_by_hand():
    """Half a metre a frame along +x, looking along +x: the target starts at frame 5, 2.5 m on; z is ahead."""
    walk = np.stack([level_pose([0.5 * frame, 7, 1.6]) for frame in range(14)])
    path = CameraPath(world_from_camera=walk)
    cameras = camera_conditioning(path[:5], path[5:])
    assert cameras.context.dtype == cameras.target.dtype == np.float32
    assert_allclose(cameras.context[:, [3, 7, 11]], [[0, 0, -2.5], [0, 0, -0.5]], atol=1e-6)
    assert_allclose(cameras.target[:, [3, 7, 11]], [[0, 0, 0], [0, 0, 2], [0, 0, 4]], atol=1e-6)
    assert_allclose(cameras.target[2].reshape(3, 4)[:, :3], np.eye(3), atol=1e-6)


@given(paths(min_size=6, max_size=6), paths())
def test_only_relative_poses_count(path, moved):
    plain = camera_conditioning(
        CameraPath(world_from_camera=path[:1]), CameraPath(world_from_camera=path[1:])
    )
    elsewhere = compose(moved[0], path)
    other = camera_conditioning(
        CameraPath(world_from_camera=elsewhere[:1]), CameraPath(world_from_camera=elsewhere[1:])
    )
    assert_allclose(other.context, plain.context, atol=1e-4)
    assert_allclose(other.target, plain.target, atol=1e-4)


def test_a_half_of_the_wrong_length_is_named():
    path = CameraPath(world_from_camera=np.stack([level_pose([0, 0, 0])] * 6))
    with pytest.raises(InputError, match=r"target camera path: .*got 4"):
        camera_conditioning(path[:1], path[2:])


def test_rows_are_flattened():
    assert flatten_poses(np.arange(24).reshape(2, 3, 4))[1].tolist() == list(range(12, 24))


@pytest.mark.parametrize("shape", [(12,), (0, 12), (2, 3, 4)])
def test_another_shape_is_refused(shape):
    with pytest.raises(CameraError, match=r"target cameras: expected \[latent frames, 12\] numbers"):
        CameraConditioning(context=np.zeros((1, 12)), target=np.zeros(shape))


def test_nan_is_refused_with_its_frame():
    rows = np.zeros((3, 12))
    rows[2, 5] = np.nan
    with pytest.raises(CameraError, match="context cameras, latent frame 2"):
        CameraConditioning(context=rows, target=rows[:1])
