"""What cameras see: hand-worked pixels, round trips, and overlaps that can be counted."""

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from numpy.testing import assert_allclose

from geometry_strategies import paths
from outofsight.errors import InputError
from outofsight.geometry.frustum import FAR_M, NEAR_M, frustum_overlap, frustum_points, project, unproject
from outofsight.geometry.poses import level_pose
from outofsight.types import Intrinsics

LENS = Intrinsics.from_fov(width_px=160, height_px=96, fov_x_rad=np.pi / 2)  # focal length 80 px
HALF_WIDTH, HALF_HEIGHT = 1.0, 0.6
POINTS = frustum_points(HALF_WIDTH, HALF_HEIGHT)


def test_pixels_by_hand():
    """Looking along +x from the origin: y is left, z up. Half as far to the side as ahead is 40 px off the middle."""
    camera = level_pose([0, 0, 0])
    pixels, depth = project([[4, 0, 0], [4, 2, 0], [4, -2, 1], [4, 4, 2.4]], camera, LENS)
    assert_allclose(pixels, [[80, 48], [40, 48], [120, 28], [0, 0]], atol=1e-12)
    assert_allclose(depth, 4)


def test_what_is_not_in_front_has_no_pixel():
    pixels, depth = project([[-4, 0, 0], [0, 1, 0], [1, 0, 0]], level_pose([0, 0, 0]), LENS)
    assert np.isnan(pixels[:2]).all()
    assert np.isfinite(pixels[2]).all()
    assert_allclose(depth, [-4, 0, 1])


@given(
    paths(),
    arrays(np.float64, (3, 2), elements=st.floats(-50, 200)),
    arrays(np.float64, 3, elements=st.floats(0.1, 100)),
)
def test_a_pixel_seen_at_a_depth_is_projected_back_to_itself(path, pixels, depth):
    points = unproject(pixels, depth, path, LENS)
    assert points.shape == (len(path), 3, 3)
    seen, seen_depth = project(points, path, LENS)
    assert_allclose(seen, np.broadcast_to(pixels, seen.shape), atol=1e-5)
    assert_allclose(seen_depth, np.broadcast_to(depth, seen_depth.shape), atol=1e-8)


def test_sampled_points_fill_the_view_evenly():
    points = frustum_points(1.0, 0.5, near_m=1, far_m=16, samples=(2, 2, 4))
    assert_allclose(np.unique(points[:, 2].round(9)), [2, 8])  # the middles, in ratio, of 1 to 4 and 4 to 16
    assert_allclose(np.unique((points[:, 0] / points[:, 2]).round(9)), [-0.75, -0.25, 0.25, 0.75])
    assert_allclose(np.unique((points[:, 1] / points[:, 2]).round(9)), [-0.25, 0.25])
    assert len(points) == 16


def test_the_default_view_spans_near_to_far():
    assert len(POINTS) == 6 * 8 * 8
    assert NEAR_M < POINTS[:, 2].min() < 2 * NEAR_M
    assert FAR_M / 2 < POINTS[:, 2].max() < FAR_M


@pytest.mark.parametrize(
    "bad",
    [
        {"near_m": 0},
        {"near_m": 5, "far_m": 5},
        {"samples": (0, 1, 1)},
        {"half_width": 0},
        {"half_height": -1},
    ],
)
def test_a_view_that_spans_nothing_is_refused(bad):
    with pytest.raises(InputError, match="a sampled view needs"):
        frustum_points(**{"half_width": 1.0, "half_height": 0.6, **bad})


def overlap(a, b):
    return frustum_overlap(np.asarray(a), np.asarray(b), POINTS, LENS.normalized.astype(float))


def test_overlaps_by_hand():
    """A lens of 90°: a quarter turn leaves nothing, an eighth (45°) leaves the columns on the one side."""
    here = level_pose([0, 0, 0])
    others = [
        here,
        level_pose([0, 0, 0], np.pi / 2 + 0.01),
        level_pose([0, 0, 0], np.pi),
        level_pose([-5, 0, 0]),
    ]
    assert_allclose(overlap([here], others), [[1, 0, 0, 1]])


def test_a_turned_camera_sees_the_columns_that_are_left():
    """In one row of points at the camera's height: rays at atan of ±1/8, ±3/8, ±5/8, ±7/8; turned by 30°, those
    more than 15° right of the old middle (tangent −0.268) are gone: 3 of 8."""
    points = frustum_points(HALF_WIDTH, HALF_HEIGHT, samples=(4, 1, 8))
    turned = level_pose([0, 0, 0], np.deg2rad(30))
    got = frustum_overlap(level_pose([0, 0, 0])[None], turned[None], points, LENS.normalized)
    assert_allclose(got, [[5 / 8]])


def test_a_camera_that_looks_at_another_from_afar_sees_what_it_sees_but_not_the_other_way_round():
    """From 5 m behind all of the view is seen; from 5 m ahead only what lies further and within the narrower cone."""
    front, behind = level_pose([5, 0, 0]), level_pose([0, 0, 0])
    assert overlap([front], [behind])[0, 0] == 1
    assert 0.05 < overlap([behind], [front])[0, 0] < 0.6


@given(paths(), paths())
def test_overlap_is_a_share_and_that_of_a_camera_with_itself_is_whole(a, b):
    got = overlap(a, b)
    assert got.shape == (len(a), len(b))
    assert ((got >= 0) & (got <= 1)).all()
    assert_allclose(np.diagonal(overlap(a, a)), 1)


def test_numpy_and_torch_agree_in_batches():
    generator = np.random.default_rng(0)
    a = np.stack(
        [
            [level_pose(generator.normal(size=3), *generator.normal(size=2)) for _ in range(5)]
            for _ in range(2)
        ]
    )
    b = np.stack(
        [
            [level_pose(generator.normal(size=3), *generator.normal(size=2)) for _ in range(7)]
            for _ in range(2)
        ]
    )
    expected = overlap(a, b)
    assert expected.shape == (2, 5, 7)
    assert 0.1 < expected.mean() < 0.9  # the cameras do see parts of each other's views
    for dtype in (torch.float64, torch.float32):
        tensors = [torch.from_numpy(array).to(dtype) for array in (a, b, POINTS, LENS.normalized)]
        got = frustum_overlap(*tensors)
        assert isinstance(got, torch.Tensor)
        assert_allclose(
            got.numpy(), expected, atol=1e-6 if dtype is torch.float64 else 1 / len(POINTS) + 1e-6
        )
    for batch in range(2):
        assert_allclose(overlap(a[batch], b[batch]), expected[batch])


def test_overlap_of_two_lenses():
    """A view 90° wide has columns at tangents of ±1/8, ±3/8, ±5/8, ±7/8. A lens of f = 1 sees half a picture to each
    side: the inner four; all it sees the wide one sees. One of f = ½ whose axis is at a quarter sees −½ to 1½: six."""
    here = level_pose([0, 0, 0])[None]
    points = frustum_points(HALF_WIDTH, HALF_HEIGHT, samples=(4, 1, 8))
    assert frustum_overlap(here, here, points, np.array([1.0, 0.5, 0.5, 0.5])) == 4 / 8
    assert frustum_overlap(here, here, points * [0.5, 1, 1], LENS.normalized) == 1
    assert frustum_overlap(here, here, points, np.array([0.5, 0.5, 0.25, 0.5])) == 6 / 8
