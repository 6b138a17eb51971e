"""Where subjects truly are while one walks on from a clip: for as long as the clip goes, under any cameras."""

from dataclasses import replace
from math import radians

import numpy as np
import pytest

from outofsight.evaluation.birdseye import BirdsEye, TrackedSubjects, true_subjects
from outofsight.evaluation.birdseye_picture import birdseye_video, map_scale
from outofsight.evaluation.tracked_positions import Tracked, in_view, positions_of_rollout, true_rollout
from outofsight.geometry.poses import relative_poses
from small_world import square_clip

CLIP = square_clip("clip")  # 9 + 9 frames; seen in 0 to 4 and from 13 on; always at the world's origin
ANCHOR = CLIP.cameras.world_from_camera[8]
HOME = np.hstack([np.eye(3), np.zeros((3, 1))])
FOV = 1.2


def away(x_m, z_m=0.0):
    """A copy of the clip whose subject stands elsewhere in the world."""
    (subject,) = CLIP.subjects
    pose = subject.world_from_subject.copy()
    pose[:, 0, 3], pose[:, 1, 3] = x_m, z_m
    return replace(CLIP, subjects=(replace(subject, world_from_subject=pose),))


def test_the_truth_is_known_as_far_as_the_clip_goes():
    """The walk was shown the context's last 5 frames: its frame 0 is the clip's frame 4."""
    times = np.array([0.0, 4, 5, 9, 13, 17])
    cameras = relative_poses(CLIP.cameras.world_from_camera[[4, 8, 9, 13, 17, 17]], ANCHOR)
    found = true_rollout(CLIP, 5, times, cameras, ANCHOR, FOV)
    assert found.seen[:, 0].tolist() == [True, False, False, True, True, False]
    assert np.isfinite(found.position_m).all(axis=(1, 2)).tolist() == [True] * 5 + [False]
    assert np.isfinite(found.velocity_m).all(axis=(1, 2)).tolist() == [True] * 5 + [False]
    told = true_subjects(CLIP, np.array([4, 8, 9, 13, 17]), ANCHOR)
    np.testing.assert_array_equal(found.position_m[:5], told.position_m)
    assert true_rollout(replace(CLIP, subjects=()), 5, times, cameras, ANCHOR, FOV) is None


@pytest.mark.parametrize(
    ("turn_deg", "seen"), [(0, True), (33, True), (35, False), (-35, False), (180, False)]
)
def test_under_other_cameras_who_stands_in_the_pictures_width_is_seen(turn_deg, seen):
    """A subject straight ahead, and a camera of 1.2 rad = 68.8° that has turned: the edge is 34.4° off."""
    angle = radians(turn_deg)
    camera = HOME.copy()
    camera[:, :3] = [[np.cos(angle), 0, np.sin(angle)], [0, 1, 0], [-np.sin(angle), 0, np.cos(angle)]]
    assert in_view(np.array([[[0.0, 1.6, 5.0]]]), camera[None], FOV).tolist() == [[seen]]
    clip, times = away(5.0), np.array([9.0])
    camera[0, 3] += 0.01  # a walk of its own, whatever the annotation says of this frame
    assert true_rollout(clip, 9, times, camera[None], ANCHOR, FOV).seen.tolist() == [[seen]]


def test_places_of_a_walk_by_hand():
    """Held in slot 0 as number 7, 0.5 m off at frame 9, 1.5 m at 13, forgotten at 17; at 21 nothing is known."""
    times = np.array([0.0, 4, 8, 9, 13, 17, 21])
    cameras = np.stack([HOME] * 7)
    truth = true_rollout(CLIP, 9, times, cameras, ANCHOR, FOV)
    position = np.tile(truth.position_m[:1], (7, 1, 1))
    position[:, 0, 0] += [0, 0, 0, 0.5, 1.5, 0, 0]
    held = np.array([1, 1, 1, 1, 1, 0, 0], bool)[:, None]
    tracked = Tracked(
        times=times, num_context=3, world_from_anchor=ANCHOR,
        held=TrackedSubjects(
            position_m=position, velocity_m=0 * position, deviation_m=np.ones((7, 1)), held=held,
            seen=np.array([1, 1, 0, 0, 1, 0, 0], bool)[:, None], numbers=np.full((7, 1), 7),
        ),
    )  # fmt: skip
    told = positions_of_rollout(tracked, truth)
    assert told == {
        "frames": [9, 13, 17, 21], "num_known": 3, "held_share": pytest.approx(2 / 3, abs=1e-4),
        "seen_error_m": 1.5, "hidden_error_m": 0.5,
        "subjects": [
            {"name": "red cube", "seen": [False, True, True, None], "number": [7, 7, None, None],
             "error_m": [0.5, 1.5, None, None]},
        ],
    }  # fmt: skip


def test_the_map_draws_the_truth_while_it_is_known():
    times = np.array([13.0, 17, 21])
    cameras = np.stack([HOME] * 3)
    truth = true_rollout(away(4.0), 9, times, cameras, ANCHOR, FOV)
    scene = BirdsEye(times=times, cameras=cameras, fov_x_rad=FOV, truth=truth)
    assert np.isfinite([map_scale(scene).width_m, *map_scale(scene).middle_m]).all()
    shown = birdseye_video(scene)
    bare = birdseye_video(replace(scene, truth=replace(truth, position_m=np.full((3, 1, 3), np.nan))))
    assert shown.shape[0] == bare.shape[0] == 3
    assert (shown[0] != shown[2]).sum() > (bare[0] != bare[2]).sum()  # the cross is there, and then is not
