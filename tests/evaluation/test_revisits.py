"""Loop closure: which frames see the same view, and how alike their backgrounds are."""

from dataclasses import replace

import numpy as np
import pytest

from outofsight.evaluation.evidence import Evidence
from outofsight.evaluation.image_metrics import (
    MOST_DB,
    context_closure,
    context_revisits,
    loop_closure,
    revisits,
)
from outofsight.evaluation.metrics import measure_clip
from outofsight.geometry.poses import level_pose
from outofsight.types import CameraPath
from square_world import AWAY_AND_BACK, picture, square_case


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
