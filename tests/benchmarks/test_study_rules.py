"""Studies of the tracker's rules, on scenes so small that it is known what they must say."""

import argparse
from math import cos, radians, sin

import numpy as np
import pytest
import torch

import study_robot
import study_subjects
from models import tiny_world
from outofsight.errors import InputError
from outofsight.evaluation.tracked_positions import tracked_positions
from outofsight.memory.banks.dynamics import FASTEST_STOP
from outofsight.worlds.plan_config import PlanConfig
from study_appearance import AWAY, CHANGE, NUM_FRAMES, changes, followed, half_way, looks, scene
from study_scenes import Reader, held_of, observe, planned, prepared, random_identities, truth_of, walk_of
from study_trackers import HABITS, TRAINED, trackers

CLEAR = {"noise": 0.0, "identity_noise": 0.0}
SHORT = PlanConfig(num_context_frames=25, num_target_frames=25, max_subjects=1, shed_share=0.0)


@pytest.fixture(scope="module")
def untrained():
    return trackers(None, ("as it begins",))["as it begins"]


@pytest.fixture(scope="module")
def banked_folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("models") / "banked"
    tiny_world(memory_strategy="hybrid", banks={"identity_width": 8, "reader_width": 8}).save_pretrained(
        folder
    )
    return str(folder)


def options(**changes) -> argparse.Namespace:
    return argparse.Namespace(
        **{"model": None, "scenes": 2, "noise": 0.05, "identity_noise": 0.3, "numbers": [1, 2], **changes}
    )


# --- scenes


def test_scenes_in_a_batch_are_followed_as_if_alone(untrained):
    readers = [Reader(size=(4, 6), seed=seed) for seed in range(3)]
    walks = [scene(hidden=True, seed=seed) for seed in range(3)]
    memory = untrained(subject_slots=3, archive_slots=2)
    identities = [looks(0.3, 32, seed)[0] for seed in range(3)]
    _, together = observe(memory, prepared(memory, walks, readers, identities))
    for index, one in enumerate(zip(walks, readers, identities, strict=True)):
        _, alone = observe(memory, prepared(memory, *([part] for part in one)))
        for batched, single in zip(together.tracks, alone.tracks, strict=True):
            torch.testing.assert_close(batched[index], single[0], rtol=1e-4, atol=1e-4)


def test_who_is_read_without_error_is_held_where_they_are(untrained):
    walk = walk_of(planned(SHORT, 1)[0])
    memory = untrained(subject_slots=1, archive_slots=2)
    reader = Reader(size=(12, 20), **CLEAR)
    _, observed = observe(memory, prepared(memory, [walk], [reader], [random_identities(walk, 32)]))
    places = tracked_positions(held_of(observed, walk.times), truth_of(walk, reader.size))
    assert places.held_share(places.phases == 0) > 0.8  # not before it is born
    assert places.mean_m(places.phases == 0) < 0.3


# --- whose rules


def test_stopping_dynamics_stop_at_the_stated_rate():
    made = trackers(None, tuple(HABITS))
    reported = {name: make().tracker.dynamics.outer.bias.detach().tanh() for name, make in made.items()}
    assert float(reported["as it begins"].abs().max()) == 0
    assert float(reported["steadier, stopping"][0] * FASTEST_STOP) == pytest.approx(0.03, rel=1e-3)


def test_a_models_own_weights_are_measured_with_room_for_more(banked_folder):
    make = trackers(banked_folder, ())[TRAINED]
    memory = make(subject_slots=7, subject_rate=0.5)
    assert (memory.settings.subject_slots, memory.settings.subject_rate) == (7, 0.5)
    assert memory.settings.identity_width == 8
    own = tiny_world(memory_strategy="hybrid", banks={"identity_width": 8, "reader_width": 8})
    assert own.transformer.two_banks is not None
    expected = own.transformer.two_banks.state_dict()
    assert all(torch.equal(value, expected[name]) for name, value in memory.state_dict().items())


def test_a_model_without_banks_is_refused_in_one_line(tmp_path):
    tiny_world().save_pretrained(tmp_path / "plain")
    with pytest.raises(InputError, match="no banks to study"):
        trackers(str(tmp_path / "plain"), ())


# --- looks


@pytest.mark.parametrize(
    ("held", "reported"), [([1.0, 0.0], 0.0), ([0.0, 1.0], 1.0), ([0.5, 0.5], 0.5), ([9.0, 9.0], 0.5)]
)
def test_followed_is_the_way_gone_from_old_to_new(held, reported):
    old, new = torch.tensor([1.0, 0.0]), torch.tensor([0.0, 1.0])
    assert followed(torch.tensor(held), old, new) == pytest.approx(reported)


def test_where_looks_are_one_there_is_no_way_to_go():
    assert followed(torch.ones(2), torch.ones(2), torch.ones(2)) is None


def test_half_way_counts_frames():
    assert half_way([0.3, None, 0.51, 0.9]) == 3
    assert half_way([0.3, 0.5]) is None


def test_looks_have_the_cosine_asked_for_and_change_where_they_should():
    reported, (old, new) = looks(0.3, 16, seed=4)
    assert float(old @ new) == pytest.approx(0.3, abs=1e-5)
    assert torch.equal(reported[0, 0, CHANGE - 1], old)
    assert torch.equal(reported[0, 0, CHANGE], new)
    assert torch.equal(reported[0, 1, 0], reported[0, 1, -1])


@pytest.mark.parametrize("seed", range(6))
def test_both_subjects_are_in_view_but_where_the_camera_looks_away(seed):
    assert truth_of(scene(hidden=False, seed=seed), (12, 20)).seen.all()
    seen = truth_of(scene(hidden=True, seed=seed), (12, 20)).seen
    away = np.zeros(NUM_FRAMES, dtype=bool)
    away[AWAY] = True
    assert (seen == ~away[:, None]).all()


@pytest.mark.parametrize("rate", [0.2, 0.5])
def test_a_slot_in_view_follows_by_its_rate(untrained, rate):
    """Without errors m' = m + α·g·(c − m): what is left of the old looks shrinks by 1 − α·g, g ≤ 1, in every frame."""
    readers = [Reader(size=(12, 20), seed=seed, **CLEAR) for seed in range(2)]
    for reported in changes(untrained, readers, hidden=False, likeness=0.6, rate=rate):
        assert reported["same_slot"] == 1
        assert reported["others_disturbed"] == 0
        left = cos(0) - reported["followed_after_1"]
        assert left >= 1 - rate - 0.02
        assert 0 < reported["followed_after_1"] < reported["followed_after_3"] < reported["followed_after_5"]
        assert reported["followed_after_20"] > 0.95
        assert reported["likes_new_in_the_end"] > 0.99
        assert reported["frames_to_follow"] >= 1


def test_who_comes_back_as_another_is_another(untrained):
    readers = [Reader(size=(12, 20), seed=seed, **CLEAR) for seed in range(2)]
    for reported in changes(untrained, readers, hidden=True, likeness=0.0, rate=0.3):
        assert reported["same_slot"] == 0
        assert reported["frames_to_follow"] is None


# --- how many subjects, and the robot's table


def test_subject_rows_compare_numbers_in_the_same_scenes(banked_folder, monkeypatch):
    monkeypatch.setattr(study_subjects, "SIZES", ((4, 6),))
    rows = study_subjects.subject_rows(options(model=banked_folder))
    assert [(row["dynamics"], row["subjects"]) for row in rows] == [
        (name, number) for name in (*study_subjects.HABITS_ASKED, TRAINED) for number in (1, 2)
    ]
    for one, two in zip(rows[::2], rows[1::2], strict=True):
        assert two["bank_kilobytes"] == pytest.approx(2 * one["bank_kilobytes"], abs=0.01)
        assert one["time_over_fewest"] == [1.0, 1.0]
        assert all(spent > 0 for spent in two["ms_a_frame"])
        assert two["time_over_fewest"][0] == two["ms_a_frame"][0] / one["ms_a_frame"][0]
        assert all(len(two[name]) == 2 for name in ("seen_error_m", "return_error_m", "same_number_share"))


def test_robot_rows_are_sorted_by_absence_and_a_scene_counts_once():
    rows = study_robot.robot_rows(options(scenes=1))
    now = [row for row in rows if row["seen"] == "now"]
    assert [row["dynamics"] for row in now] == list(HABITS)
    assert all(len(row["place_error_cm"]) == row["scenes"] == 1 for row in rows)
    assert all(row["still_error_cm"] == [None] for row in now)
    assert all(row["still_error_cm"][0] is not None for row in rows if row["seen"] != "now")


@pytest.mark.parametrize(
    ("ago_s", "span"), [(0.0, "now"), (0.5, "up to 0.5 s ago"), (0.51, "0.5 to 1 s"), (99.0, "longer ago")]
)
def test_spans(ago_s, span):
    assert study_robot.span_of(ago_s) == span


def test_the_camera_turns_away_by_120_degrees():
    pose = scene(hidden=True, seed=0).poses[0, AWAY.start].reshape(3, 4)
    assert pose[0, 0] == pytest.approx(cos(radians(120)), abs=1e-6)
    assert pose[0, 2] == pytest.approx(sin(radians(120)), abs=1e-6)
