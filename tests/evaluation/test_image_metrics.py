"""PSNR and SSIM: by hand, against a slow reference, and against scikit-image."""

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from outofsight.errors import InputError
from outofsight.evaluation.evidence import Evidence, Networks
from outofsight.evaluation.image_metrics import (
    MOST_DB,
    context_closure,
    context_revisits,
    dilated,
    dilation_radius_px,
    frame_psnr,
    frame_ssim,
    frechet_distance,
    loop_closure,
    region_psnr,
    revisits,
)
from outofsight.evaluation.metrics import measure_clip
from outofsight.geometry.poses import level_pose
from outofsight.types import CameraPath
from square_world import AWAY_AND_BACK, picture, square_case


def noisy_pair(height=24, width=30, seed=0):
    generator = np.random.default_rng(seed)
    truth = generator.integers(0, 256, (2, height, width, 3)).astype(np.uint8)
    truth[1] = np.linspace(0, 255, width).astype(np.uint8)[None, :, None]
    noise = generator.normal(0, 20, truth.shape)
    return np.clip(truth + noise, 0, 255).astype(np.uint8), truth


def test_psnr_by_hand():
    truth = np.zeros((3, 2, 2, 3), dtype=np.uint8)
    generated = truth.copy()
    generated[0] = 255  # error 1: 0 dB
    generated[1, 0, 0] = 51  # error 0.2² on a quarter of the pixels: 0.01, 20 dB
    assert frame_psnr(generated, truth) == pytest.approx([0.0, 20.0, MOST_DB])


def test_region_psnr_averages_pixels_not_frames():
    truth = np.zeros((2, 2, 2, 3), dtype=np.uint8)
    generated = truth.copy()
    generated[0, 0, 0] = 51  # 0.04 on one of the region's four pixels
    generated[0, 1, 1] = 255  # outside
    region = np.zeros((2, 2, 2), dtype=bool)
    region[0, 0, 0] = region[1, 0] = region[1, 1, 0] = True
    assert region_psnr(generated, truth, region) == pytest.approx(20.0)
    assert region_psnr(generated, truth, np.zeros_like(region)) is None


def slow_ssim(a, b):
    """The definition, window by window, with two-dimensional weights."""
    offsets = np.arange(-5, 6)
    weights = np.exp(-(offsets[:, None] ** 2 + offsets[None] ** 2) / (2 * 1.5**2))
    weights = (weights / weights.sum())[..., None]
    values = []
    for row in range(5, a.shape[0] - 5):
        for column in range(5, a.shape[1] - 5):
            x, y = (v[row - 5 : row + 6, column - 5 : column + 6].astype(float) / 255 for v in (a, b))
            mean_x, mean_y = ((weights * v).sum(axis=(0, 1)) for v in (x, y))
            var_x = (weights * (x - mean_x) ** 2).sum(axis=(0, 1))
            var_y = (weights * (y - mean_y) ** 2).sum(axis=(0, 1))
            covariance = (weights * (x - mean_x) * (y - mean_y)).sum(axis=(0, 1))
            values.append(
                (2 * mean_x * mean_y + 1e-4) * (2 * covariance + 9e-4)
                / ((mean_x**2 + mean_y**2 + 1e-4) * (var_x + var_y + 9e-4))
            )  # fmt: skip
    return float(np.mean(values))


def test_ssim_is_the_definition():
    generated, truth = noisy_pair(16, 18)
    expected = [slow_ssim(a, b) for a, b in zip(generated, truth, strict=True)]
    assert frame_ssim(generated, truth) == pytest.approx(expected, abs=1e-10)


def test_ssim_of_known_pairs():
    grey = np.full((1, 11, 11, 3), 128, dtype=np.uint8)
    black = np.zeros_like(grey)
    assert frame_ssim(grey, grey) == pytest.approx([1.0])
    assert frame_ssim(black, grey) == pytest.approx(
        [1e-4 / ((128 / 255) ** 2 + 1e-4)]
    )  # no variance: means alone


def test_ssim_of_a_picture_smaller_than_its_window_is_refused():
    with pytest.raises(InputError, match="11×11, got 10×20"):
        frame_ssim(np.zeros((1, 10, 20, 3), np.uint8), np.zeros((1, 10, 20, 3), np.uint8))


def test_dilation_widens_by_a_square_and_stops_at_the_edge():
    mask = np.zeros((1, 5, 6), dtype=bool)
    mask[0, 0, 2] = True
    wide = dilated(mask, 1)
    assert np.argwhere(wide[0]).tolist() == [[r, c] for r in (0, 1) for c in (1, 2, 3)]
    assert (dilated(mask, 2)[0, :3, :5]).all()
    assert not dilated(np.zeros_like(mask), 3).any()


@pytest.mark.parametrize(("height", "radius"), [(16, 1), (64, 1), (96, 2), (480, 10)])
def test_dilation_grows_with_the_picture(height, radius):
    assert dilation_radius_px(height) == radius


@given(arrays(np.bool_, (1, 6, 7), elements=st.booleans()), st.integers(0, 3))
def test_dilation_marks_what_lies_within_the_square(mask, radius):
    wide = dilated(mask, radius)
    for row in range(6):
        for column in range(7):
            near = mask[
                0, max(row - radius, 0) : row + radius + 1, max(column - radius, 0) : column + radius + 1
            ]
            assert wide[0, row, column] == near.any()


def path(yaw_deg, x_m=None) -> CameraPath:
    places = np.zeros(len(yaw_deg)) if x_m is None else x_m
    poses = [level_pose([x, 0, 1], yaw_rad=np.deg2rad(yaw)) for yaw, x in zip(yaw_deg, places, strict=True)]
    return CameraPath(world_from_camera=np.stack(poses))


def test_frames_are_paired_with_their_mirror():
    assert revisits(path([0, 6, 12, 18, 12, 6, 0])) == [
        (1, 5),
        (0, 6),
    ]  # at 12° it was but 6° away in between


def test_a_camera_that_rests_has_not_returned():
    assert revisits(path([0] * 5)) == []
    assert revisits(path([0, 3, 6, 3, 0])) == []  # never 10° away


def test_a_slightly_different_pose_is_no_return():
    assert revisits(path([0, 20, 0.4])) == [(0, 2)]
    assert revisits(path([0, 20, 0.6])) == []


def test_moving_away_counts_as_turning_away():
    still = [0, 0, 0]
    assert revisits(path(still, [0, 1.0, 0.0])) == [(0, 2)]
    assert revisits(path(still, [0, 0.3, 0.0])) == []
    assert revisits(path(still, [0, 1.0, 0.1])) == []


def test_the_nearest_pose_is_taken_and_the_earliest_of_equals():
    assert revisits(path([0, 0.3, 20, 0.3, 0])) == [(1, 3), (0, 4)]
    assert revisits(path([0, 0, 20, 0])) == [(0, 3)]


CASE = square_case(AWAY_AND_BACK)


def test_target_frames_are_paired_with_the_context():
    assert context_revisits(CASE)[-1] == (0, 15)
    assert all(AWAY_AND_BACK[a] == AWAY_AND_BACK[16 + b] for a, b in context_revisits(CASE))


def test_the_background_of_a_perfect_memory_is_the_same():
    evidence = Evidence(case=CASE, generated=CASE.truth)
    assert context_closure(evidence).value == MOST_DB  # the square walked on, but is left out
    assert loop_closure(evidence).value is None
    assert "within the target" in loop_closure(evidence).reason


def test_a_background_that_changed_is_seen():
    darker = (CASE.truth * 0.8).astype(np.uint8)
    assert context_closure(Evidence(case=CASE, generated=darker)).value < 25


LOOP = np.concatenate([np.arange(8) * 8.0, np.arange(7, -1, -1) * 8.0])


def loop_case():
    """The target itself turns away and back."""
    return square_case(np.concatenate([np.zeros(8), LOOP]), np.linspace(0, -8, 24), num_context=8)


def test_a_loop_within_the_target_compares_generated_frames_with_each_other():
    case = loop_case()
    assert loop_closure(Evidence(case=case, generated=case.truth)).value == MOST_DB
    forgets = case.truth.copy()
    forgets[12:] = np.stack([picture(yaw + 30, 200, (0, 0, 0))[0] for yaw in LOOP[12:]])
    assert loop_closure(Evidence(case=case, generated=forgets)).value < 20


def test_without_cameras_or_masks_it_says_so():
    for part, reason in (("cameras", "the camera path is not known"), ("foreground", "no subject masks")):
        measured = measure_clip(replace(CASE, **{part: None}), CASE.truth, names=["loop_closure"])
        assert reason in measured["loop_closure"].reason


def test_subjects_that_cover_the_view_leave_nothing_to_compare():
    covered = replace(CASE, foreground=np.ones_like(CASE.foreground))
    assert "cover" in context_closure(Evidence(case=covered, generated=CASE.truth)).reason


def test_the_pairs_of_a_real_path_are_symmetric_in_time():
    pairs = revisits(path(AWAY_AND_BACK))
    assert pairs == [(31 - later, later) for _, later in pairs]
    assert len(pairs) == pytest.approx(15, abs=2)


def standardised(number, dimensions, seed):
    """Features whose sample mean is exactly 0 and whose sample covariance is exactly 1."""
    raw = np.random.default_rng(seed).normal(size=(number, dimensions))
    raw -= raw.mean(axis=0)
    return raw @ np.linalg.inv(np.linalg.cholesky(np.cov(raw, rowvar=False))).T


def test_the_distance_of_gaussians_with_equal_axes():
    a = standardised(60, 3, 0)
    shift, widths = np.array([1.0, -2.0, 0.5]), np.array([1.0, 2.0, 3.0])
    b = standardised(80, 3, 1) * widths + shift
    assert frechet_distance(a, b) == pytest.approx((shift**2).sum() + ((widths - 1) ** 2).sum())


def test_the_distance_does_not_depend_on_axes_or_order():
    a, b = standardised(50, 4, 2) * [1, 2, 3, 4], standardised(50, 4, 3) * [4, 1, 1, 2] + 1
    turn, _ = np.linalg.qr(np.random.default_rng(4).normal(size=(4, 4)))
    assert frechet_distance(a @ turn, b @ turn) == pytest.approx(frechet_distance(a, b))
    assert frechet_distance(b, a) == pytest.approx(frechet_distance(a, b))
    assert frechet_distance(a, a) == pytest.approx(0, abs=1e-9)


def test_fewer_clips_than_features_is_computed():
    few = np.random.default_rng(5).normal(size=(4, 10))
    assert frechet_distance(few, few + 1) == pytest.approx(10)


@pytest.mark.parametrize("other", [np.zeros((5, 4)), np.zeros((1, 3)), np.zeros(3)])
def test_features_that_cannot_be_compared_are_refused(other):
    with pytest.raises(InputError, match="one network"):
        frechet_distance(np.zeros((5, 3)), other)


def test_lpips_is_the_mean_over_frames():
    class Differences:
        """Tells pictures apart by their mean value."""

        def distances(self, a, b):
            return abs(a.mean(axis=(1, 2, 3)) - b.mean(axis=(1, 2, 3))) / 255

    case = square_case()
    brighter = case.truth.copy()
    brighter[: len(brighter) // 2] += 10
    networks = Networks(perceptual=Differences())
    measured = measure_clip(case, brighter, features=networks, names=["lpips"])["lpips"]
    assert measured.value == pytest.approx(5 / 255, rel=0.1)
    assert measure_clip(case, brighter, names=["lpips"])["lpips"].value is None
