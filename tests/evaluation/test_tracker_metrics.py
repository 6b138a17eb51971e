"""The metrics of trackers: numbers by hand, and a reason wherever there is no number."""

from dataclasses import replace
from io import StringIO

import numpy as np
import pytest
from rich.console import Console

from models import tiny_world
from outofsight.evaluation.birdseye import TrackedSubjects
from outofsight.evaluation.case import case_from_clip
from outofsight.evaluation.clips import dataset_clips
from outofsight.evaluation.methods import ModelMethod, ModelSource, TruthMethod
from outofsight.evaluation.metrics import measure_clip
from outofsight.evaluation.results import gather, print_tables, tracker_table
from outofsight.evaluation.run import EvalConfig, Evaluation, evaluate, pending_tasks
from outofsight.evaluation.tracked_positions import Tracked
from outofsight.evaluation.tracking import NO_KNOWN_RETURN, NO_VELOCITY, NONE_TRACKED
from outofsight.sampling.continuation import SamplingSettings
from small_world import square_clip, write_small_dataset
from watchful_world import watchful_world

NAMES = (
    "tracked_at_return",
    "tracked_position_error",
    "static_position_error",
    "constant_velocity_position_error",
)
CASE = case_from_clip(square_clip("clip"))


def tracked(x_m, filled=True) -> Tracked:
    """One slot at ``x_m`` [6]; the subject of the small world stays at 0, seen in frames 0 and 4 of the context."""
    position = np.zeros((6, 1, 3))
    position[:, 0, 0] = x_m
    seen = np.array([1, 1, 0, 0, 0, 0], bool)[:, None]
    held = TrackedSubjects(
        position_m=position, velocity_m=np.zeros_like(position), deviation_m=np.ones((6, 1)),
        held=np.full((6, 1), filled), seen=seen & filled, numbers=np.zeros((6, 1), np.int64),
    )  # fmt: skip
    times = np.array([0.0, 4, 8, 9, 13, 17])
    return Tracked(times=times, num_context=3, held=held, world_from_anchor=np.eye(4)[:3])


def reported(case, given) -> dict:
    return measure_clip(case, case.truth, names=NAMES, tracked=given)


def test_numbers_by_hand():
    """Seen till frame 4, back at frame 13: what counts is frame 9, where it is held 0.75 m off."""
    found = {
        name: measured.value for name, measured in reported(CASE, tracked([0, 0, 0.5, 0.75, 2, 2])).items()
    }
    assert found == {
        "tracked_at_return": 1, "tracked_position_error": 0.75, "static_position_error": 0,
        "constant_velocity_position_error": 0,
    }  # fmt: skip
    (subject,) = CASE.subjects
    moving = replace(
        subject, velocity_m_s=np.tile([0.0, 0.0, 4.0], (18, 1))
    )  # 0.5 m a frame at 8 frames a second
    gone_on = reported(replace(CASE, subjects=(moving,)), tracked(np.zeros(6)))
    assert gone_on["constant_velocity_position_error"].value == pytest.approx(2.5)  # 5 frames


def test_reasons():
    assert {m.reason for m in reported(CASE, None).values()} == {"what made this video has no tracker"}
    foreign = replace(CASE, subjects=())
    assert {m.reason for m in reported(foreign, tracked(np.zeros(6))).values()} == {
        "it is not annotated where subjects are"
    }
    nobody = reported(CASE, tracked(np.zeros(6), filled=False))
    assert nobody["tracked_at_return"].value == 0
    assert {nobody[name].reason for name in NAMES[1:]} == {NONE_TRACKED}
    (subject,) = CASE.subjects
    slow = replace(CASE, subjects=(replace(subject, velocity_m_s=None),))
    found = reported(slow, tracked(np.ones(6)))
    assert found["constant_velocity_position_error"].reason == NO_VELOCITY
    assert found["tracked_position_error"].value == 1
    gone = replace(subject, visibility=np.where(np.arange(18) < 9, subject.visibility, 3).astype(np.int8))
    away = reported(replace(CASE, subjects=(gone,)), tracked(np.zeros(6)))
    assert {m.reason for m in away.values()} == {NO_KNOWN_RETURN}


def load(source):
    return watchful_world() if source.path == "banks" else tiny_world()


def method(name, roll=None):
    sampling = SamplingSettings(num_inference_steps=1, guidance_scale=1.0, seed=3)
    return ModelMethod(name=name, source=ModelSource(path=name.split("-")[0]), sampling=sampling, digest="0",
                          roll=roll)  # fmt: skip


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    data = write_small_dataset(tmp_path_factory.mktemp("data"))
    rows = (method("banks"), method("banks-rolled", 2), method("plain"), TruthMethod())
    config = EvalConfig(out=tmp_path_factory.mktemp("out"), load_world=load, metrics=("psnr", *NAMES))
    run = Evaluation(config=config, clips=dataset_clips(data, None)[:2], methods=rows)
    evaluate(run)
    return run


def test_rows_with_a_tracker_have_numbers_and_others_reasons(finished):
    results = gather(finished)
    for name in ("banks", "banks-rolled"):
        for record in results.records[name].values():
            assert record.value("tracked_at_return") == 1
            assert (
                record.value("tracked_position_error") > 0.1
            )  # its reader is untrained: everybody is 8 m ahead
            assert record.value("static_position_error") == 0
    for name in ("plain", "truth"):
        for record in results.records[name].values():
            assert record.reason("tracked_position_error") == "what made this video has no tracker"
    assert not finished.config.store.tracked("plain", "clip_000000").exists()


def test_trackers_have_a_table_of_their_own(finished):
    results = gather(finished)
    written = StringIO()
    print_tables(results, Console(width=160, file=written))
    text = written.getvalue()
    assert "where trackers take subjects to be at their return" in text
    table = tracker_table(results, "all clips")
    assert list(table.columns[0].cells) == ["banks", "banks-rolled"]
    error = results.summaries["all clips"]["banks"]["tracked_position_error"]
    assert f"{error.mean:.3f}" in next(iter(table.columns[2].cells))
    plain = replace(results, methods=results.methods[2:])
    assert tracker_table(plain, "all clips") is None
    assert tracker_table(replace(results, metrics=results.metrics[:1]), "all clips") is None


def test_an_answer_whose_tracker_was_not_kept_is_made_again_to_the_same_bits(finished):
    """As answers of earlier versions, when more is to be measured; one that is whole is read, not made."""
    store = finished.config.store
    before = {name: store.video(name, "clip_000000").read_bytes() for name in ("banks", "banks-rolled")}
    places = {name: store.read(name, "clip_000000").value("tracked_position_error") for name in before}
    whole = store.tracked("banks", "clip_000001").stat().st_mtime_ns
    store.tracked("banks", "clip_000000").unlink()
    store.tracked("banks-rolled", "clip_000000").write_bytes(b"damaged")
    few = replace(finished, config=replace(finished.config, metrics=NAMES))
    assert len(pending_tasks(few)) > 0
    evaluate(few)
    assert {name: store.video(name, "clip_000000").read_bytes() for name in before} == before
    again = {name: store.read(name, "clip_000000").value("tracked_position_error") for name in before}
    assert again == places
    assert store.tracked("banks", "clip_000001").stat().st_mtime_ns == whole
