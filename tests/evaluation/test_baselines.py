"""Baselines: each lacks what it says it lacks, and nothing else."""

from dataclasses import replace

import numpy as np
import pytest

from outofsight.errors import InputError
from outofsight.evaluation.baselines import (
    camera_warped,
    frozen,
    nearest_view,
    rendered_view,
    round_trip,
    sampled,
    swapped,
    turned_pixels,
    vanished,
)
from outofsight.evaluation.image_metrics import frame_psnr, region_psnr
from outofsight.types import Intrinsics
from square_world import AWAY_AND_BACK, BLUE, DRIFT, GENTLE, HEIGHT, LENS, WIDTH, picture, square_case

CASE = square_case()
SPLIT = CASE.num_context_frames


def test_frozen_repeats_the_last_context_frame():
    video = frozen(CASE)
    assert video.shape == CASE.truth.shape
    assert (video == CASE.context[-1]).all()


def test_a_turned_picture_is_where_the_other_camera_saw_it():
    poses = CASE.cameras.world_from_camera
    places = turned_pixels(poses[3], poses[0], LENS)  # 12° further left
    picture_far = picture(0.0, 200.0, BLUE)[0]
    seen = sampled(picture_far, places)
    inside = (
        (places[..., 0] >= 1)
        & (places[..., 0] <= WIDTH - 1)
        & (places[..., 1] >= 1)
        & (places[..., 1] <= HEIGHT - 1)
    )
    truth = picture(12.0, 200.0, BLUE)[0]
    assert abs(seen - truth)[inside].mean() < 2  # of 255: interpolation
    assert 0.4 < inside.mean() < 0.9


def test_camera_warped_is_exact_where_the_camera_only_turned():
    gentle = square_case(GENTLE, np.full(16, 200.0))  # nobody in view
    video = camera_warped(gentle)
    # the camera turns left: what was at the left comes to the right, and the left edge repeats
    assert region_psnr(video[:1], gentle.truth[:1], np.ones((1, HEIGHT, WIDTH), bool)) > 35
    assert (frame_psnr(video, gentle.truth) > frame_psnr(frozen(gentle), gentle.truth)).all()


def test_without_a_turn_camera_warped_is_frozen():
    still = square_case(np.zeros(16))
    assert (camera_warped(still) == frozen(still)).all()


def test_what_lies_behind_the_camera_does_not_fail():
    turned = square_case(np.concatenate([np.zeros(8), np.full(8, 170.0)]))
    assert camera_warped(turned).shape == turned.truth.shape


def test_nearest_view_takes_the_latest_frame_of_the_same_view():
    video = nearest_view(CASE)
    assert (video == CASE.context[::-1]).all()  # the way back mirrors the way there
    still = square_case(np.zeros(16))
    assert (nearest_view(still) == still.context[-1]).all()


def test_rendered_view_turns_the_static_world_and_leaves_subjects_out():
    video = rendered_view(CASE)
    empty = np.stack([picture(yaw, 200.0, BLUE)[0] for yaw in AWAY_AND_BACK[SPLIT:]])
    inner = np.zeros(video.shape[:3], bool)
    inner[:, 2:-2, 2:-2] = True
    # One view of four frames is kept, so most frames are turned, and all of them to where they belong.
    assert region_psnr(video, empty, inner) > 20
    assert region_psnr(video, empty, inner) > region_psnr(camera_warped(CASE), empty, inner)
    assert CASE.foreground[SPLIT:].any()


def test_vanished_is_the_truth_without_its_subject():
    video = vanished(CASE)
    empty = np.stack([picture(yaw, 200.0, BLUE)[0] for yaw in AWAY_AND_BACK[SPLIT:]])
    masks = CASE.foreground[SPLIT:]
    assert masks.any()
    assert (video == CASE.truth)[~masks].mean() > 0.95  # only the outline is widened
    assert region_psnr(video, empty, masks) > 22  # frames of the walk before show what is behind
    assert region_psnr(CASE.truth, empty, masks) < 10


def test_vanished_without_cameras_or_another_view_fills_from_the_neighbours():
    still = replace(
        square_case(np.zeros(16), np.zeros(16)), cameras=None
    )  # the square hides the same place always
    video, empty = vanished(still), picture(0, 200.0, BLUE)[0]
    assert region_psnr(video, np.repeat(empty[None], 8, axis=0), still.foreground[8:]) > 12
    assert abs(video.astype(int) - video[0]).max() == 0


def test_a_subject_that_covers_everything_cannot_be_painted_out():
    covered = replace(CASE, foreground=np.ones_like(CASE.foreground))
    with pytest.raises(InputError, match="covers the whole picture"):
        vanished(covered)


def test_swapped_puts_the_donors_subject_where_the_subject_was():
    donor = square_case(GENTLE, DRIFT[:16] + 8, colour=BLUE, name="donor", kind="blue square")
    video = swapped(CASE, donor)
    masks = CASE.subject_masks[0, SPLIT:]
    last = video[-1][masks[-1]]
    assert (last[:, 2] > 150).mean() > 0.8  # blue
    assert (last[:, 0] < 100).mean() > 0.8  # not red
    red_left = (CASE.truth[..., 0].astype(int) - CASE.truth[..., 2] > 100).sum()
    assert (video[..., 0].astype(int) - video[..., 2] > 100).sum() < 0.02 * red_left
    assert (video[:8] == CASE.truth[:8]).all()  # nobody is there


def test_a_donor_must_be_seen_whole():
    never_whole = square_case(np.full(16, 0.0), np.full(16, 200.0), kind="nobody")
    with pytest.raises(InputError, match="never seen whole"):
        swapped(CASE, never_whole)


def test_a_round_trip_must_give_a_video_of_the_same_size():
    assert (round_trip(CASE, lambda video: video // 2) == CASE.truth // 2).all()
    with pytest.raises(InputError, match="got 15 frames"):
        round_trip(CASE, lambda video: video[1:])


@pytest.mark.parametrize(
    ("baseline", "part"),
    [
        (camera_warped, "cameras"),
        (nearest_view, "cameras"),
        (rendered_view, "cameras"),
        (rendered_view, "foreground"),
        (vanished, "foreground"),
    ],
)
def test_a_floor_says_what_it_misses(baseline, part):
    with pytest.raises(InputError, match="clip 'squares'"):
        baseline(replace(CASE, **{part: None}))


def test_a_lens_for_other_pictures_is_refused():
    lens = Intrinsics.from_fov(width_px=96, height_px=64, fov_x_rad=1.0)
    cameras = replace(CASE.cameras, intrinsics=lens)
    with pytest.raises(InputError, match="64×96, the video has 32×48"):
        camera_warped(replace(CASE, cameras=cameras))
