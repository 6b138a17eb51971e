"""What is believed and what is not; and poses in our world."""

from dataclasses import replace

import numpy as np
import pytest

from outofsight.camera_estimation.levelling import camera_height, levelled, upward
from outofsight.camera_estimation.verdict import Verdict, disagreement
from outofsight.errors import CameraError
from outofsight.geometry.path_expressions import make_path
from outofsight.geometry.poses import compose, pose, rotation_about

GOOD = Verdict(
    motion="moves", frames=77, placed=77, error_px=0.6, turn_deg=0.3, shift_share=0.02, fov_deg=0.8, fov_x_deg=70,
    lens_is_known=False,
)  # fmt: skip


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"placed": 76}, "76 of 77"),
        ({"error_px": 2.0}, "missed by 2.00 px"),
        ({"error_px": float("nan")}, "missed by nan"),
        ({"turn_deg": 4.0}, "turns by 4.0°"),
        ({"shift_share": 0.3}, "30% of the path"),
        (
            {"turn_deg": 0.56, "shift_share": 0.051, "fov_deg": 0.3},
            "5% of the path",
        ),  # as measured, and wrong
        ({"fov_deg": 9.0}, "9.0° wider"),
        ({"fov_x_deg": 150.0}, "150° across"),
    ],
)
def test_each_sign_is_enough(change, said):
    GOOD.check("a.mp4")
    with pytest.raises(CameraError, match=said):
        replace(GOOD, **change).check("a.mp4")


def test_a_lens_that_is_given_need_not_be_agreed_on():
    with pytest.raises(CameraError):
        replace(GOOD, fov_deg=9.0).check("a.mp4")
    assert replace(GOOD, fov_deg=9.0, lens_is_known=True).check("a.mp4") is None


def test_a_camera_that_nearly_turns_says_what_is_left_out():
    near = replace(GOOD, motion="nearly turns", shift_share=0.0)
    assert "the camera nearly turns" in str(near)
    assert str(near).endswith("is left out")


def test_disagreement_knows_no_world_and_no_unit():
    path = make_path("orbit:left:40@3,dolly:in:1", 20).world_from_camera
    other = compose(pose(rotation_about((0.3, 0.5, 0.8), 1.0), [3.0, -2, 1]), path)
    other[:, :, 3] *= 4
    assert disagreement(path, other) == pytest.approx((0, 0), abs=1e-4)
    other[10, :, :3] = rotation_about((0, 0, 1), 0.1) @ other[10, :, :3]
    assert disagreement(path, other)[0] == pytest.approx(np.degrees(0.1), rel=0.1)


def room_points():
    generator = np.random.default_rng(0)
    floor = np.column_stack([generator.uniform(1, 8, 200), generator.uniform(-3, 3, 200), np.zeros(200)])
    things = np.column_stack(
        [generator.uniform(3, 8, 60), generator.uniform(-3, 3, 60), generator.uniform(0, 2, 60)]
    )
    return np.concatenate([floor, things])


def test_level_and_to_scale():
    path = make_path("pan:left:30+truck:right:1", 20).world_from_camera
    turn = rotation_about((1.0, 0.2, 0.1), 2.0)
    poses = compose(pose(turn, [1.0, 2, 3]), path)
    poses[:, :, 3] *= 0.1
    points = 0.1 * (room_points() @ turn.T + [1.0, 2, 3])
    assert upward(poses) == pytest.approx(turn[:, 2], abs=1e-6)
    assert camera_height(poses, points, upward(poses)) == pytest.approx(0.16, rel=0.02)
    placed = levelled(poses, points, height_m=1.6)
    assert placed == pytest.approx(path, abs=0.02)


def test_a_height_without_a_ground_is_refused():
    path = make_path("pan:left:30+truck:right:1", 20).world_from_camera
    with pytest.raises(CameraError, match="--height-m"):
        levelled(path, room_points() + np.array([0, 0, 5.0]), height_m=1.6)
