"""WRBench's grammar and its camera scores, on paths that a reader can follow."""

import numpy as np
import pytest

from outofsight.errors import CameraError, InputError
from outofsight.exchange.wrbench_cameras import as_camera_path, camera_scores, worded_poses
from outofsight.geometry.path_expressions import make_path


def test_the_yaw_preset_is_our_pan():
    ours = make_path("pan:left:60:39,still:1,pan:right:60:40", 81).world_from_camera
    theirs = as_camera_path(worded_poses("yaw:left:60@40,yaw:right:60@41")).world_from_camera
    turn = ours[0, :, :3] @ theirs[0, :, :3].T
    assert turn @ theirs[:, :, :3] == pytest.approx(ours[:, :, :3], abs=1e-12)
    assert worded_poses("yaw_LR_60") == pytest.approx(worded_poses("yaw:left:60@40,yaw:right:60@41"))


def test_moves_at_the_same_time_go_along_the_worlds_axes():
    poses = worded_poses("yaw:right:90@10,dolly:forward:2+pitch:up:10@11")
    assert len(poses) == 21
    assert poses[10] == pytest.approx(poses[9])  # a segment's first frame repeats the pose before it
    assert poses[-1, :, 3] == pytest.approx([0, 0, 2])
    assert poses[-1, :, 2] == pytest.approx([np.cos(np.radians(10)), -np.sin(np.radians(10)), 0], abs=1e-12)


@pytest.mark.parametrize(
    "wrong", ["yaw:left:60", "yaw:up:3@4", "yaw:left:x@4", "spin:left:3@4", "yaw:left:3@0", "yaw:left:nan@4"]
)
def test_what_is_not_understood(wrong):
    with pytest.raises(CameraError):
        worded_poses(wrong)


def test_scores():
    target = worded_poses("yaw_LR_60")
    assert camera_scores(target, target) == pytest.approx({"cam_prec": 1, "cam_align": 1})
    half = camera_scores(target, worded_poses("yaw:left:16@40,yaw:right:16@41"))
    assert half["cam_align"] == pytest.approx(0.5)
    assert half["cam_prec"] == pytest.approx(np.exp(-22 / 45), abs=0.01)
    assert camera_scores(target, worded_poses("yaw_RL_60")) == {"cam_prec": 0, "cam_align": 0}
    assert camera_scores(target, worded_poses("static@81")) == {"cam_prec": 0, "cam_align": 0}


def test_scores_of_ways_know_no_scale():
    target, twice = worded_poses("dolly:forward:1@9"), worded_poses("dolly:forward:2@9")
    assert camera_scores(target, twice)["cam_prec"] == pytest.approx(1)
    assert camera_scores(target, worded_poses("static@9"))["cam_prec"] == pytest.approx(np.exp(-1))


def test_scores_of_a_still_camera():
    still = worded_poses("static@9")
    assert camera_scores(still, still)["cam_align"] == 1
    assert camera_scores(still, worded_poses("yaw:left:1@9"))["cam_align"] == pytest.approx(0.8)


def test_scores_refuse_what_they_cannot_compare():
    still = worded_poses("static@9")
    with pytest.raises(InputError, match="9 poses"):
        camera_scores(still, still[:5])
    with pytest.raises(CameraError, match="NaN"):
        camera_scores(still, np.full_like(still, np.nan))
