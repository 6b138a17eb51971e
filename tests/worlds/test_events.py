"""Leaving and returning, worked out by hand."""

from math import radians, tan

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from outofsight.types import Intrinsics, Visibility, is_seen
from outofsight.worlds.cameras import camera_poses
from outofsight.worlds.events import (
    HiddenSpan,
    ReentryRule,
    blocked,
    hidden_spans,
    inside_frame,
    least_pixels,
    picture_boxes,
    reentries,
    to_pixels,
    visibility_from_masks,
    visibility_from_points,
)
from outofsight.worlds.motion import box_points, clearance_m, within_area_m
from outofsight.worlds.scenes import Obstacle

V, C, H, X = Visibility.VISIBLE, Visibility.CUT, Visibility.OCCLUDED, Visibility.OUT_OF_VIEW
CAMERA = Intrinsics.from_fov(width_px=160, height_px=96, fov_x_rad=radians(90))


def looking(yaw_deg, num_frames=1, position_m=(0.0, 0.0, 0.0)):
    yaw = np.broadcast_to(np.radians(yaw_deg), num_frames)
    zeros = np.zeros(num_frames)
    return camera_poses(np.tile(position_m, (num_frames, 1)), yaw, zeros, zeros)


def states(text):
    return np.array([{"#": V, "c": C, "o": H, ".": X}[letter] for letter in text], dtype=np.int8)


def test_projection_by_hand():
    """With 90° across 160 px the focal length is 80 px: 1 m left and 0.5 m up at 4 m is 20 px left and 10 px up."""
    point = np.array([[[4.0, 1.0, 0.5], [-4.0, 0.0, 0.0]]])
    pixels, depth = to_pixels(point, looking(0.0), CAMERA)
    assert pixels[0, 0] == pytest.approx([60.0, 38.0])
    assert np.isnan(pixels[0, 1]).all()
    assert depth[0] == pytest.approx([4.0, -4.0])


def test_a_pan_whose_exit_and_entry_a_reader_can_compute():
    """A post 10 m ahead, seen up to 45° to either side; the camera turns left by 2° a frame to 118°, then back.

    In frame 22 it has turned 44° and sees the post at the picture's edge, in frame 23 it has turned 46° and does not.
    In frame 95 it has turned back to 46°, in frame 96 to 44°: there the post is again, after 73 frames.
    """
    turned = 2.0 * np.minimum(np.arange(119), 118 - np.arange(119))
    post = np.tile(np.array([[10.0, 0.0, 0.0]]), (119, 1, 1))
    pixels, _ = to_pixels(post, looking(turned, 119), CAMERA)
    visibility = visibility_from_points(inside_frame(pixels, CAMERA))
    (span,) = hidden_spans(visibility)
    assert (span.exit_frame, span.entry_frame) == (23, 96)
    assert span.num_frames == span.num_out_of_view == 73


def test_a_walker_who_crosses_the_picture():
    """At 1 m/s along y = t − 6.03 at x = 5 m, 15 frames a second, with the picture's edges at y = ±5.

    In at 1.03 s, between frames 15 and 16; out at 11.03 s, between frames 165 and 166.
    """
    time_s = np.arange(181) / 15
    walker = np.stack([np.full(181, 5.0), time_s - 6.03, np.zeros(181)], axis=-1)[:, None]
    pixels, _ = to_pixels(walker, looking(0.0, 181), CAMERA)
    visibility = visibility_from_points(inside_frame(pixels, CAMERA))
    assert np.flatnonzero(np.diff(visibility != Visibility.OUT_OF_VIEW)).tolist() == [15, 165]


@pytest.mark.parametrize(
    ("text", "spans"),
    [
        ("##########", []),
        ("....####..", []),
        ("##....##", [(2, 6, 4)]),
        ("##.oo.cc", [(2, 6, 2)]),
        ("#..#...#", [(1, 3, 2), (4, 7, 3)]),
    ],
)
def test_absences_lie_between_two_sightings(text, spans):
    expected = tuple(HiddenSpan(exit_frame=a, entry_frame=b, num_out_of_view=n) for a, b, n in spans)
    assert hidden_spans(states(text)) == expected


RULE = ReentryRule(num_context_frames=8, min_hidden_frames=3, min_seen_frames=2)


@pytest.mark.parametrize(
    ("text", "kept"),
    [
        ("####.....###", True),
        ("####...#####", False),  # back before the target begins
        ("####....####", True),  # back in its first frame
        ("#########..##", False),  # too short an absence
        ("#########...##", True),
        ("#########...#.", False),  # seen too shortly after
        ("#.........###", False),  # seen too shortly before
        ("####ooooo###", False),  # hidden by something, but never out of the picture
        ("####oo...###", True),
    ],
)
def test_what_makes_a_clip_worth_keeping(text, kept):
    assert bool(reentries(states(text), RULE)) is kept


@given(hnp.arrays(np.int8, st.integers(1, 60), elements=st.integers(0, 3)))
def test_absences_are_just_the_inner_hidden_frames(visibility):
    seen = is_seen(visibility)
    spans = hidden_spans(visibility)
    covered = np.zeros(len(seen), dtype=bool)
    for span in spans:
        assert seen[span.exit_frame - 1]
        assert seen[span.entry_frame]
        covered[span.exit_frame : span.entry_frame] = True
    places = np.flatnonzero(seen)
    inner = ~seen
    if len(places):
        inner[: places[0]] = inner[places[-1] :] = False
    else:
        inner[:] = False
    assert (covered == inner).all()


def test_who_hides_whom_by_hand():
    """A wall 2 m high halfway to a tower hides, seen from the ground, what is below 4 m of it."""
    wall = Obstacle(
        kind="box", name="wall", centre_m=(5.0, 0.0), half_size_m=(0.1, 1.0), yaw_rad=0.0, height_m=2.0
    )
    eyes = np.zeros((1, 3))
    points = np.array(
        [[[10.0, 0.0, 3.0], [10.0, 0.0, 5.0], [4.0, 0.0, 0.0], [10.0, 3.0, 0.0], [-10.0, 0.0, 0.0]]]
    )
    assert blocked(points, eyes, [wall]).tolist() == [[True, False, False, False, False]]
    turned = Obstacle(
        kind="box",
        name="wall",
        centre_m=(5.0, 0.0),
        half_size_m=(1.0, 0.1),
        yaw_rad=radians(90),
        height_m=2.0,
    )
    assert (blocked(points, eyes, [turned]) == blocked(points, eyes, [wall])).all()
    post = Obstacle(kind="disc", name="post", centre_m=(5.0, 0.0), half_size_m=(1.0, 1.0), height_m=2.0)
    assert blocked(points, eyes, [post]).tolist() == [[True, False, False, False, False]]


def test_states_from_points():
    inside = np.array([[True] * 4, [True, True, False, False], [False] * 4, [True] * 4])
    hidden = np.array([[False] * 4, [False] * 4, [False] * 4, [True] * 4])
    assert visibility_from_points(inside, hidden).tolist() == [V, C, X, H]


def test_states_from_masks():
    """Twelve pixels of subject 2 in frame 0; none in 1 and 2, of which it stands behind something in 1."""
    ids = np.zeros((3, 96, 160), dtype=np.uint8)
    ids[0, 10:14, 20:23] = 2
    inside = np.array([[True] * 4, [True] * 4, [False] * 4])
    assert visibility_from_masks(ids, 2, inside).tolist() == [V, H, X]
    assert visibility_from_masks(ids, 1, inside).tolist() == [H, H, X]
    assert (least_pixels(96, 160), least_pixels(480, 832), least_pixels(16, 16)) == (3, 80, 2)


def test_boxes_are_clipped_to_the_picture():
    points = np.array([[[4.0, 1.0, 0.5], [4.0, 3.9, -0.5]], [[4.0, 8.0, 0.0], [4.0, 9.0, 1.0]]])
    pixels, _ = to_pixels(points, looking(0.0, 2), CAMERA)
    boxes = picture_boxes(pixels, CAMERA)
    assert boxes[0] == pytest.approx([2.0, 38.0, 60.0, 58.0])
    assert np.isnan(boxes[1]).all()


def test_clearance_by_hand():
    box = Obstacle(kind="box", name="box", centre_m=(0.0, 0.0), half_size_m=(2.0, 1.0), height_m=1.0)
    disc = Obstacle(kind="disc", name="disc", centre_m=(10.0, 0.0), half_size_m=(1.0, 1.0), height_m=1.0)
    points = np.array([[5.0, 0.0], [0.0, 0.0], [5.0, 5.0], [8.0, 0.0]])
    assert clearance_m(points, [box, disc]) == pytest.approx([3.0, -1.0, 5.0, 1.0])
    assert clearance_m(points, []).tolist() == [np.inf] * 4
    assert within_area_m(points, (-1.0, -2.0, 6.0, 4.0)) == pytest.approx([1.0, 1.0, -1.0, -2.0])


def test_a_standing_body_spans_its_box():
    poses = np.zeros((1, 3, 4))
    poses[0, :, :3] = [[0, -1, 0], [1, 0, 0], [0, 0, 1]]  # looks along +y
    poses[0, :, 3] = [3.0, 4.0, 0.0]
    points = box_points(poses, (1.0, 0.25, 0.9))[0]
    assert points.min(axis=0) == pytest.approx([2.75, 3.0, 0.0])
    assert points.max(axis=0) == pytest.approx([3.25, 5.0, 1.8])


def test_the_edge_of_the_picture_is_the_field_of_view():
    edge = np.array([[[1.0, tan(radians(44.9)), 0.0], [1.0, tan(radians(45.1)), 0.0]]])
    pixels, _ = to_pixels(edge, looking(0.0), CAMERA)
    assert inside_frame(pixels, CAMERA).tolist() == [[True, False]]
