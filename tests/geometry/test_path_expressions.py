"""Path expressions: movements worked by hand, the sharing of frames, and what is refused."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.testing import assert_allclose

from outofsight.errors import CameraError
from outofsight.geometry.path_expressions import START_HEIGHT_M, make_path
from outofsight.geometry.path_makers import describe_paths
from outofsight.geometry.poses import level_pose, look_at, rotation_angle
from outofsight.types import Intrinsics

EYE = [0.0, 0.0, START_HEIGHT_M]


def poses(expression, num_frames=9, **options):
    return make_path(expression, num_frames, **options).world_from_camera


def final(expression, **options):
    return poses(expression, **options)[-1]


def yaw_deg(path):
    return np.rad2deg(np.unwrap(np.arctan2(path[:, 1, 2], path[:, 0, 2])))


@pytest.mark.parametrize(
    ("expression", "position", "looks_at"),
    [
        ("pan:left:90", EYE, [0, 5, 1.6]),  # from +x to the left is +y
        ("pan:right:90", EYE, [0, -5, 1.6]),
        ("tilt:up:45", EYE, [1, 0, 2.6]),
        ("tilt:down:45", EYE, [1, 0, 0.6]),
        ("dolly:in:2", [2, 0, 1.6], [9, 0, 1.6]),
        ("dolly:out:2", [-2, 0, 1.6], [9, 0, 1.6]),
        ("truck:left:2", [0, 2, 1.6], [9, 2, 1.6]),
        ("truck:right:2", [0, -2, 1.6], [9, -2, 1.6]),
        ("crane:up:2", [0, 0, 3.6], [9, 0, 3.6]),
        ("crane:down:1", [0, 0, 0.6], [9, 0, 0.6]),
        (
            "orbit:left:90@2",
            [2, 2, 1.6],
            [2, 0, 1.6],
        ),  # to its left, still facing the point 2 m ahead of the start
        ("orbit:right:90@2", [2, -2, 1.6], [2, 0, 1.6]),
        ("orbit:left:180", [6, 0, 1.6], [3, 0, 1.6]),  # 3 m ahead if nothing is said
        ("pan:left:90,dolly:in:3", [0, 3, 1.6], [0, 9, 1.6]),
        (
            "tilt:down:45,pan:left:90",
            EYE,
            [0, 1, 0.6],
        ),  # a tripod's pan: about the vertical, not the camera's own axis
        ("still", EYE, [5, 0, 1.6]),
    ],
)
def test_movements_by_hand(expression, position, looks_at):
    assert_allclose(final(expression), look_at(position, looks_at), atol=1e-12)


def test_roll_by_hand():
    """Rolled right by 90°, the camera's right side points down and its underside to the left."""
    camera = final("roll:right:90")
    assert_allclose(camera[:, 0], [0, 0, -1], atol=1e-12)
    assert_allclose(camera[:, 1], [0, 1, 0], atol=1e-12)
    assert_allclose(final("roll:left:90")[:, 0], [0, 0, 1], atol=1e-12)


def test_a_pan_is_even_from_the_start_to_the_whole_amount():
    path = poses("pan:left:60", 7)
    assert_allclose(path[0], level_pose(EYE), atol=1e-15)
    assert_allclose(yaw_deg(path), [0, 10, 20, 30, 40, 50, 60], atol=1e-12)


def test_a_full_turn_goes_all_the_way_round():
    assert_allclose(yaw_deg(poses("pan:right:720", 25)), -30.0 * np.arange(25), atol=1e-9)


def test_a_smooth_pan_starts_and_ends_softly():
    yaw = yaw_deg(poses("pan:left:64", 5, ease="smooth"))
    assert_allclose(yaw, [0, 10, 32, 54, 64], atol=1e-12)  # 3u² − 2u³ at quarters: 5/32, 1/2, 27/32


def test_an_orbit_keeps_its_distance_and_its_middle():
    start = level_pose([1, 2, 3], 0.4, -0.5)
    pivot = start[:, 3] + 4 * start[:, 2]
    for camera in poses("orbit:left:200@4", 31, start=start):
        assert_allclose(camera[:, 3] + 4 * camera[:, 2], pivot, atol=1e-12)
        assert_allclose(camera[2, 0], 0, atol=1e-12)  # it stays level


def test_there_and_back_retraces_frame_for_frame():
    path = poses("there-and-back(pan:left:60,dolly:in:2)", 77)
    assert np.array_equal(path, path[::-1])
    assert_allclose(path[38], level_pose([1, np.sqrt(3), 1.6], np.deg2rad(60)), atol=1e-12)
    assert np.array_equal(path, poses("pan:left:60,dolly:in:2,back", 77))


def test_left_and_right_is_there_and_back():
    assert_allclose(
        poses("pan:left:60,pan:right:60", 77), poses("there-and-back(pan:left:60)", 77), atol=1e-12
    )


def test_each_back_retraces_since_the_last():
    yaw = yaw_deg(poses("pan:left:60,back,pan:right:30,back", 41))
    assert_allclose(yaw[[0, 10, 20, 30, 40]], [0, 60, 0, -30, 0], atol=1e-12)


def test_a_back_of_its_own_length_plays_at_another_speed():
    yaw = yaw_deg(poses("pan:left:60:6,back:3", 10))
    assert_allclose(yaw, [0, 10, 20, 30, 40, 50, 60, 40, 20, 0], atol=1e-12)


def test_a_back_of_another_length_passes_the_corners():
    path = poses("pan:left:40:4,tilt:up:30:1,back:10", 16)
    assert_allclose(path[-1], path[0], atol=1e-15)
    assert_allclose(path[7], path[4], atol=1e-12)  # 2 of 10 frames back is 1 of 5: the corner


def test_groups_can_be_nested_and_go_on():
    yaw = yaw_deg(poses("there-and-back(there-and-back(pan:left:8:4),pan:right:3:3),pan:left:9:9", 32))
    assert_allclose(yaw[[0, 4, 8, 11, 14, 18, 22, 31]], [0, 8, 0, -3, 0, 8, 0, 9], atol=1e-12)


def test_frames_are_shared_equally_and_none_is_lost():
    yaw = yaw_deg(poses("pan:left:10,pan:left:10,pan:left:10", 9))  # 8 frames for 3 steps: 3, 3, 2
    assert_allclose(yaw[[0, 3, 6, 8]], [0, 10, 20, 30], atol=1e-12)
    yaw = yaw_deg(poses("pan:left:60,still:10,back", 71))  # 70 = p + 10 + (10 + p): 25 each
    assert_allclose(yaw[[0, 25, 35, 45, 70]], [0, 60, 60, 60, 0], atol=1e-12)


def test_durations_in_seconds():
    yaw = yaw_deg(poses("pan:left:30:2s,still:0.2s", 34))
    assert_allclose(yaw[[15, 30, 33]], [15, 30, 30], atol=1e-12)
    assert len(make_path("pan:left:30:2s", 61, fps=30)) == 61


def test_spaces_do_not_matter():
    spaced = poses(" pan : left : 30 , there-and-back( tilt:up:5 ) : 4 ", 9)
    assert np.array_equal(spaced, poses("pan:left:30,there-and-back(tilt:up:5):4", 9))


def test_a_path_goes_on_from_another_camera():
    last = level_pose([3, 2, 1], 1.0)
    path = make_path("dolly:in:4", 5, start=last)[1:]
    assert_allclose(
        path.world_from_camera[0], level_pose([3 + np.cos(1.0), 2 + np.sin(1.0), 1], 1.0), atol=1e-12
    )


def test_the_lens_is_kept():
    lens = Intrinsics.from_fov(width_px=160, height_px=96, fov_x_rad=1.0)
    assert make_path("still", 5, intrinsics=lens).intrinsics == lens


simple_steps = st.sampled_from([maker.example for maker in describe_paths() if maker.move is not None])


def there_and_back(inner):
    return st.lists(inner, min_size=1, max_size=2).map(",".join).map("there-and-back({})".format)


flat = simple_steps | st.just("still")
nested = flat | there_and_back(flat | there_and_back(flat))  # at most 16 frames are needed for one


@given(
    st.lists(nested, min_size=1, max_size=3),
    st.booleans(),
    st.integers(100, 130),
    st.sampled_from(["linear", "smooth"]),
)
def test_any_path_has_its_frames_is_made_of_rotations_and_never_jumps(steps, returns, num_frames, ease):
    path = poses(",".join(steps) + (",back" if returns else ""), num_frames, ease=ease)
    assert len(path) == num_frames
    assert_allclose(path[0], level_pose(EYE), atol=1e-15)
    step_m = np.linalg.norm(np.diff(path[:, :, 3], axis=0), axis=1)
    step_rad = rotation_angle(path[1:, :, :3] @ path[:-1, :, :3].swapaxes(1, 2))
    assert step_rad.max() < 1.6
    assert step_m.max() < 9.5
    if returns:
        assert_allclose(path[-1], path[0], atol=1e-9)


def test_every_maker_s_example_works_and_is_described():
    names = [maker.name for maker in describe_paths()]
    assert names == [
        "pan",
        "tilt",
        "roll",
        "orbit",
        "dolly",
        "truck",
        "crane",
        "still",
        "back",
        "there-and-back",
    ]
    for maker in describe_paths():
        assert maker.form.startswith(maker.name)
        assert maker.meaning
        assert maker.name in maker.example
        assert len(make_path(maker.example, 11)) == 11


@pytest.mark.parametrize(
    ("expression", "complaint"),
    [
        ("", "got an empty one"),
        ("pan:left:10,,still", "got an empty one"),
        (
            "spin:left:10",
            r"'spin:left:10': unknown; known are pan:left\|right:DEGREES, .*there-and-back\(PATH\)",
        ),
        ("zoom:in:2", "changes the lens, and a video is seen through one.*dolly"),
        ("pan:left", r"expected pan:left\|right:DEGREES\[:DURATION\], for example pan:left:60"),
        ("pan:left:1:2:3", "expected pan:left"),
        ("pan:up:10", "expected left or right, got 'up'"),
        ("dolly:left:1", "expected in or out, got 'left'"),
        ("pan:left:-10", "expected an amount .* above 0, got '-10'"),
        ("pan:left:0", "expected an amount .* above 0, got '0'"),
        ("pan:left:nan", "expected an amount .* above 0, got 'nan'"),
        ("pan:left:1e3", "expected an amount .* above 0, got '1e3'"),
        ("pan:left:10@2", "only orbit takes a radius"),
        ("orbit:left:10@", "expected a radius above 0, got ''"),
        ("pan:left:10:2.5", "expected a whole number of frames, got 2.5"),
        ("pan:left:10:0", "expected a duration above 0"),
        ("pan:left:10:2.03s", r"got 2.03s \(30.45 frames at 15 a second\)"),
        ("still:left", "expected a duration"),
        ("back", "'back' has nothing to retrace"),
        ("pan:left:10,back,back", "'back' has nothing to retrace"),
        ("there-and-back(pan:left:10,back)", "leaves nothing to retrace"),
        ("there-and-back", "unknown"),
        ("there-and-back:5", "unknown"),
        ("pan(left)", r"expected there-and-back\(PATH\)"),
        ("there-and-back(pan:left:10", "parentheses do not match"),
        ("pan:left:10)", "parentheses do not match"),
        ("there-and-back(pan:left:10)(tilt:up:5)", "parentheses do not match"),
        ("pan:left:10:90", "take 90 frames, but 76 are to be filled"),
        ("pan:left:10:30", "take 30 frames, but 76 are to be filled"),
        ("pan:left:10:76,still", "take 76 and at least 1 more frames, but 76 are to be filled"),
        ("there-and-back(pan:left:10:5):76", "take 10 frames, but 76 are to be filled"),
    ],
)
def test_what_cannot_be_understood_or_done_is_refused(expression, complaint):
    with pytest.raises(CameraError, match=complaint):
        make_path(expression, 77)


@pytest.mark.parametrize("num_frames", [-1, 0, 1, 2])
def test_too_few_frames_for_the_steps(num_frames):
    with pytest.raises(CameraError, match="at least 2 more"):
        make_path("pan:left:10,tilt:up:10", num_frames)


def test_wrong_options_are_refused():
    with pytest.raises(CameraError, match="linear, smooth, got 'bouncy'"):
        make_path("still", 5, ease="bouncy")
    with pytest.raises(CameraError, match="expected a rotation"):
        make_path("still", 5, start=np.zeros((3, 4)))


def test_movements_at_the_same_time():
    both = make_path("pan:left:60+truck:right:2:10,back", 21)
    pan, truck = make_path("pan:left:60:10,back", 21), make_path("truck:right:2:10,back", 21)
    assert both.world_from_camera[:, :, :3] == pytest.approx(pan.world_from_camera[:, :, :3])
    assert both.world_from_camera[:, :, 3] == pytest.approx(truck.world_from_camera[:, :, 3])
    turned = make_path("pan:left:90:5, tilt:up:10:5+dolly:in:1:5", 11).world_from_camera
    assert turned[10, :, 3] - turned[5, :, 3] == pytest.approx(
        [0, 1, 0]
    )  # along the axes where the step begins


@pytest.mark.parametrize(
    ("expression", "said"),
    [
        ("pan:left:60+", "both sides"),
        ("pan:left:60+still", "no movement"),
        ("pan:left:60+back", "no movement"),
        ("pan:left:60:5+tilt:up:5:6", "give one duration"),
        ("pan:left:60+fly:up:5", "unknown"),
    ],
)
def test_what_cannot_go_together(expression, said):
    with pytest.raises(CameraError, match=said):
        make_path(expression, 21)
