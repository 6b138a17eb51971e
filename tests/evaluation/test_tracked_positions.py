"""A tracker's places against the truth, by hand: errors in metres, who is who, and what counts as a return."""

from dataclasses import replace
from math import radians

import numpy as np
import pytest

from outofsight.errors import InputError
from outofsight.evaluation.birdseye import BirdsEye, TrackedSubjects, TrueSubjects, true_subjects
from outofsight.evaluation.birdseye_picture import birdseye_video, map_scale
from outofsight.evaluation.tracked_positions import (
    HIDDEN,
    NEVER_SEEN,
    SEEN,
    Tracked,
    errors_at_return,
    in_view,
    number_switches,
    phases_of_sight,
    positions_of_rollout,
    tracked_positions,
    true_rollout,
)
from outofsight.geometry.poses import relative_poses
from outofsight.types import SubjectTrack, Visibility
from small_world import square_clip


def held(positions, seen, numbers=None, filled=None) -> TrackedSubjects:
    """``positions`` [n, s]: metres to the right; all else 0; deviations of 0.5 m."""
    x = np.asarray(positions, float)
    places = np.zeros((*x.shape, 3))
    places[..., 0] = x
    who = np.broadcast_to(np.arange(x.shape[1]) if numbers is None else numbers, x.shape)
    return TrackedSubjects(
        position_m=places, velocity_m=np.zeros_like(places), deviation_m=np.full(x.shape, 0.5),
        held=np.ones(x.shape, bool) if filled is None else np.asarray(filled, bool),
        seen=np.asarray(seen, bool), numbers=np.array(who, np.int64),
    )  # fmt: skip


def truth(positions, seen) -> TrueSubjects:
    x = np.asarray(positions, float)
    places = np.zeros((*x.shape, 3))
    places[..., 0] = x
    return TrueSubjects(position_m=places, seen=np.asarray(seen, bool), velocity_m=np.full_like(places, 0.1))


def test_phases_of_sight():
    seen = np.array([[False], [True], [False], [True]])
    assert phases_of_sight(seen)[:, 0].tolist() == [NEVER_SEEN, SEEN, HIDDEN, SEEN]


def test_errors_by_hand():
    """Seen at 0 (held at 0.5: 0.5 m off), hidden while it goes to 3 (held goes to 1: 2 m off), seen again."""
    seen = [[1], [0], [0], [1]]
    places = tracked_positions(
        held([[0.5], [0.7], [1.0], [3.0]], seen), truth([[0.0], [2.0], [3.0], [3.0]], seen)
    )
    np.testing.assert_allclose(places.error_m[:, 0], [0.5, 1.3, 2.0, 0.0])
    np.testing.assert_allclose(places.deviations[:, 0], [1.0, 2.6, 4.0, 0.0])
    np.testing.assert_allclose(places.velocity_error_m[:, 0], 0.1 * 3**0.5)
    assert places.returns[:, 0].tolist() == [False, False, True, False]
    assert places.mean_m(places.returns) == 2.0
    assert places.mean_m(places.phases == SEEN) == 0.25
    assert number_switches(places) == 0


def test_two_that_cross_while_hidden():
    """A tracker that keeps them apart errs by nothing; one that swaps their numbers errs by the whole way, twice."""
    seen = [[1, 1], [0, 0], [1, 1]]
    reported = truth([[-1, 1], [0, 0], [1, -1]], seen)
    right = tracked_positions(held([[-1, 1], [0, 0], [1, -1]], seen), reported)
    assert number_switches(right) == 0
    assert right.mean_m(right.phases == SEEN) == 0
    swapped = tracked_positions(held([[-1, 1], [-1, 1], [-1, 1]], seen), reported)
    assert number_switches(swapped) == 2
    np.testing.assert_allclose(swapped.error_m[1], [1, 1])  # hidden: each is still who it was


def test_somebody_who_is_lost_is_nan_and_counts_as_not_held():
    seen = [[1], [0], [0]]
    gone = held([[0.0], [0.0], [0.0]], seen, filled=[[1], [1], [0]])
    places = tracked_positions(gone, truth([[0.0], [0.0], [0.0]], seen))
    assert np.isnan(places.error_m[2, 0])
    assert places.held_share(places.phases == HIDDEN) == 0.5
    nobody = tracked_positions(held([[0.0]], [[0]], filled=[[0]]), truth([[0.0]], [[1]]))
    assert nobody.mean_m(nobody.phases == SEEN) is None
    assert nobody.numbers[0, 0] == -1


def test_matching_takes_the_least_distance_in_sum():
    """Nearest first: 0.9 takes 1.0, and 1.6 takes 0.0, 1.7 m in sum; the other way round it is 1.5 m."""
    reported = truth([[0.9, 1.6]], [[1, 1]])
    places = tracked_positions(held([[1.0, 0.0]], [[1, 1]]), reported)
    assert places.numbers[0].tolist() == [1, 0]
    assert places.error_m[0].sum() == pytest.approx(1.5)


TIMES = np.array([0.0, 4, 8, 9, 13, 17])  # latent frames of 9 + 9 video frames
CONTEXT_FRAMES, NUM_FRAMES, FPS = 9, 18, 8.0
CAME_BACK = [*range(5), *range(13, 18)]


def track(x_m, shown, speed=None) -> SubjectTrack:
    """A subject at ``x_m`` [18] metres, wholly seen in the frames ``shown``; ``speed``: metres a second."""
    pose = np.tile(np.eye(4)[:3], (NUM_FRAMES, 1, 1))
    pose[:, 0, 3] = x_m
    visibility = np.full(NUM_FRAMES, Visibility.OUT_OF_VIEW, np.int8)
    visibility[list(shown)] = Visibility.VISIBLE
    velocity = None if speed is None else np.tile([speed, 0.0, 0.0], (NUM_FRAMES, 1))
    return SubjectTrack(
        subject_id=1, name="robot", category="robot", visibility=visibility, world_from_subject=pose,
        velocity_m_s=velocity,
    )  # fmt: skip


def tracked(positions, seen, **changes) -> Tracked:
    return Tracked(
        times=TIMES, num_context=3, held=held(positions, seen, **changes), world_from_anchor=np.eye(4)[:3]
    )


def test_errors_at_return_by_hand():
    """Seen at 0 to 4 m, a metre a frame; then it slows down, and at frame 9 it is at 8 m. It is back at frame 13."""
    x_m = np.array([0, 1, 2, 3, 4, 5, 6, 7, 7.5, 8, *np.linspace(8.2, 10, 8)])
    known = track(x_m, CAME_BACK, speed=FPS)
    seen = [[1], [1], [0], [0], [0], [0]]
    found = errors_at_return(tracked([[0.1], [4.1], [8], [8.5], [12], [16]], seen), [known], 9, FPS)
    assert found.tracked_m.tolist() == pytest.approx([0.5])  # at frame 9, the last moment before frame 13
    assert found.static_m.tolist() == pytest.approx([4.0])
    assert found.constant_velocity_m.tolist() == pytest.approx([1.0])
    assert found.is_held.tolist() == [True]


def test_errors_at_return_are_of_the_subjects_that_the_context_shows_and_that_come_back():
    x_m = np.zeros(NUM_FRAMES)
    subjects = [
        track(x_m, CAME_BACK),
        track(x_m, [9, 16]),  # unknown to the context
        track(x_m, range(5)),  # gone for good
        track(x_m, [0, 1, 2, 3, 4, 6, 7, 8, *range(9, 18)]),  # away for one frame
    ]
    nobody = tracked(np.zeros((6, 1)), np.zeros((6, 1)), filled=np.zeros((6, 1)))
    found = errors_at_return(nobody, subjects, CONTEXT_FRAMES, FPS)
    assert found.is_held.tolist() == [False]
    assert found.static_m.tolist() == [0.0]
    assert np.isnan(found.constant_velocity_m).all()  # no velocity is annotated
    foreign = replace(subjects[0], world_from_subject=None)
    assert errors_at_return(nobody, [foreign], CONTEXT_FRAMES, FPS) is None
    assert errors_at_return(nobody, [], CONTEXT_FRAMES, FPS) is None


def test_who_is_who_is_settled_in_the_context():
    """In the target the tracker sees somebody else, nearer to the truth: a model's own picture proves nothing."""
    known = track(np.zeros(NUM_FRAMES), [*range(5), 9, *range(15, 18)])
    positions = [[0.0, 9], [0.1, 9], [0.2, 9], [2.0, 0], [2.0, 0], [2.0, 0]]
    seen = [[1, 1], [1, 1], [0, 0], [0, 1], [0, 1], [0, 1]]
    found = errors_at_return(tracked(positions, seen), [known], CONTEXT_FRAMES, FPS)
    assert found.tracked_m.tolist() == pytest.approx([2.0])


def test_errors_do_not_depend_on_the_anchor():
    known = track(np.linspace(0, 17, NUM_FRAMES), CAME_BACK, speed=FPS)
    turn = np.array([[0.0, 0, 1, 5], [-1, 0, 0, 2], [0, -1, 0, 1.6]])
    positions = np.array([0.0, 4, 8, 9.5, 12, 16])
    inside = np.zeros((6, 1, 3))
    inside[:, 0] = (np.stack([positions, 0 * positions, 0 * positions], -1) - turn[:, 3]) @ turn[:, :3]
    seen = [[1], [1], [0], [0], [0], [0]]
    plain = tracked(positions[:, None], seen)
    turned = replace(plain, held=replace(plain.held, position_m=inside), world_from_anchor=turn)
    for one, other in zip(
        *(vars(errors_at_return(t, [known], CONTEXT_FRAMES, FPS)).values() for t in (plain, turned)),
        strict=True,
    ):
        np.testing.assert_allclose(one, other, atol=1e-12)


def test_what_is_held_must_be_of_this_clip():
    known = track(np.zeros(NUM_FRAMES), CAME_BACK)
    late = replace(tracked(np.zeros((6, 1)), np.ones((6, 1))), times=TIMES + 4)
    with pytest.raises(InputError, match="held at frame 21 cannot be judged by a clip of 18 frames"):
        errors_at_return(late, [known], CONTEXT_FRAMES, FPS)
    with pytest.raises(InputError, match="some of them of the context"):
        replace(late, num_context=0)


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
    reported = true_subjects(CLIP, np.array([4, 8, 9, 13, 17]), ANCHOR)
    np.testing.assert_array_equal(found.position_m[:5], reported.position_m)
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
    reported = positions_of_rollout(tracked, truth)
    assert reported == {
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
