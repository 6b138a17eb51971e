"""Running an evaluation: baselines, upper bounds, a real (tiny) model; stopped, gone on with, and refused."""

import json
import shutil
from dataclasses import replace

import numpy as np
import pytest

from models import tiny_world
from outofsight.data.video import read_video, write_video
from outofsight.errors import InputError, OutputError
from outofsight.evaluation.clips import dataset_clips
from outofsight.evaluation.methods import (
    BASELINES,
    BaselineMethod,
    ModelMethod,
    ModelSource,
    RoundTripMethod,
    TruthMethod,
    VideosMethod,
    check_names,
    files_digest,
    sampling_of,
    usable_baselines,
)
from outofsight.evaluation.records import digest_of
from outofsight.evaluation.report import read_view
from outofsight.evaluation.results import gather
from outofsight.evaluation.run import EvalConfig, Evaluation, evaluate, made_by, pending_tasks
from outofsight.sampling.continuation import SamplingSettings
from small_world import HEIGHT, NUM_CONTEXT, NUM_TARGET, WIDTH, write_small_dataset

SOURCE = ModelSource(path="tiny")
SAMPLING = SamplingSettings(num_inference_steps=2, guidance_scale=1.0, seed=3)
MODEL = ModelMethod(name="tiny", source=SOURCE, sampling=SAMPLING, digest="0")
ROUND_TRIP = RoundTripMethod(name="vae", source=SOURCE, digest="0")
LOADED = []


def load_tiny(source):
    LOADED.append(source.path)
    return tiny_world()


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    return write_small_dataset(tmp_path_factory.mktemp("data"))


def evaluation(data, out, *methods, **changes):
    return Evaluation(
        config=EvalConfig(out=out, load_world=load_tiny),
        clips=dataset_clips(data, None),
        methods=methods or (*(BaselineMethod(name=name) for name in BASELINES), TruthMethod()),
        **changes,
    )


@pytest.fixture(scope="module")
def finished(data, tmp_path_factory):
    """Baselines, a model and its upper bound, judged."""
    rows = (MODEL, *(BaselineMethod(name=name) for name in BASELINES), ROUND_TRIP, TruthMethod())
    whole = evaluation(data, tmp_path_factory.mktemp("out"), *rows)
    seen = []
    evaluate(whole, lambda done, total, name: seen.append((done, total)))
    assert seen[-1] == (27, 27)
    return whole


def test_upper_bounds_and_baselines_stand_where_they_must(finished):
    results = gather(finished)
    for clip in ("clip_000000", "clip_000001", "clip_000002"):
        rows = {name: records[clip] for name, records in results.records.items()}
        assert rows["truth"].value("psnr") == 100
        assert rows["truth"].value("ssim") == pytest.approx(1)
        assert rows["frozen"].value("fg_psnr_reentered") < rows["truth"].value("fg_psnr_reentered")
        assert rows["vanished"].value("bg_psnr") > 40
        assert rows["vanished"].value("fg_psnr_reentered") < 25
        assert rows["swapped"].value("fg_psnr_reentered") < 25
        assert len(rows["tiny"].psnr_by_frame) == NUM_TARGET
        assert rows["frozen"].reason("relative_motion") == "no detector looked at the generated video"
        assert rows["frozen"].value("relative_motion") is None


def test_a_model_is_timed_by_stage_without_loading(finished):
    record = gather(finished).records["tiny"]["clip_000000"]
    assert set(record.seconds) == {"text", "encode", "denoise", "decode"}
    assert all(seconds >= 0 for seconds in record.seconds.values())
    assert record.peak_bytes["process"] > 10**7
    assert record.video_seconds == pytest.approx(NUM_TARGET / 8)
    upper_bound = gather(finished).records["vae"]["clip_000000"]
    assert set(upper_bound.seconds) == {"encode", "decode"}


def test_answers_are_kept_without_loss_and_shown_again(finished):
    store = finished.config.store
    view = read_view(gather(finished), finished.clips[0])
    assert list(view.answers) == ["tiny", *BASELINES, "vae"]
    np.testing.assert_array_equal(view.answers["tiny"], read_video(store.video("tiny", "clip_000000")).frames)
    np.testing.assert_array_equal(
        view.answers["frozen"], np.repeat(view.case.context[-1:], NUM_TARGET, axis=0)
    )
    assert view.target_phases == [1] * 4 + [2] * 5


def test_a_second_run_does_nothing(finished):
    LOADED.clear()
    before = {path: path.stat().st_mtime_ns for path in finished.config.out.rglob("*.json")}
    assert pending_tasks(finished) == []
    evaluate(finished)
    assert LOADED == []
    assert {path: path.stat().st_mtime_ns for path in finished.config.out.rglob("*.json")} == before


def test_what_a_kill_left_undone_is_made_to_the_same_bits(finished, data, tmp_path):
    """Records are the last thing written: a video without one, a missing video and a damaged record are made again."""
    out = shutil.copytree(finished.config.out, tmp_path / "out")
    again = replace(finished, config=replace(finished.config, out=out))
    store = again.config.store
    (store.folder("tiny") / "clip_000000.json").unlink()
    store.video("tiny", "clip_000001").unlink()
    (store.folder("tiny") / "clip_000002.json").write_text('{"format": 1, "val')
    (store.folder("tiny") / ".unfinished-1-clip_000002.json").write_text("{")
    assert [task.clip.name for task in pending_tasks(again)] == ["clip_000000", "clip_000001", "clip_000002"]
    evaluate(again)
    assert pending_tasks(again) == []
    assert not list(store.folder("tiny").glob(".unfinished*"))
    for clip in ("clip_000000", "clip_000001", "clip_000002"):
        one, other = (e.config.store.video("tiny", clip).read_bytes() for e in (finished, again))
        assert one == other
        one, other = (e.config.store.read("tiny", clip) for e in (finished, again))
        assert (one.values, one.reasons) == (other.values, other.reasons)


def test_more_measures_judge_the_same_videos_without_a_new_answer(finished, tmp_path):
    out = shutil.copytree(finished.config.out, tmp_path / "out")
    few = replace(finished, config=replace(finished.config, out=out, metrics=("psnr",)))
    LOADED.clear()
    few = replace(few, methods=(MODEL,))
    videos = {clip.name: few.config.store.video("tiny", clip.name).stat().st_mtime_ns for clip in few.clips}
    evaluate(few)
    assert set(gather(few).records["tiny"]["clip_000000"].values) == {"psnr"}
    assert {name: few.config.store.video("tiny", name).stat().st_mtime_ns for name in videos} == videos
    record, before = (e.config.store.read("tiny", "clip_000000") for e in (few, finished))
    # To rounding: sums of frames may go otherwise where they lie otherwise in memory.
    assert record.values["psnr"] == pytest.approx(before.values["psnr"], rel=1e-12)
    assert record.seconds == before.seconds


def test_another_model_of_the_same_name_is_refused(finished, tmp_path):
    out = shutil.copytree(finished.config.out, tmp_path / "out")
    other = replace(MODEL, sampling=SamplingSettings(num_inference_steps=1, guidance_scale=1.0, seed=3))
    changed = replace(finished, config=replace(finished.config, out=out), methods=(other,))
    with pytest.raises(OutputError, match="'tiny' made with another sampling"):
        evaluate(changed)
    evaluate(replace(changed, overwrite=True))
    record = gather(changed).records["tiny"]["clip_000000"]
    assert record.made_by != finished.config.store.read("tiny", "clip_000000").made_by


def test_a_clips_noise_depends_on_its_name_and_the_seed_alone():
    assert sampling_of(SAMPLING, "a") == sampling_of(SAMPLING, "a")
    seeds = {sampling_of(SAMPLING, name).seed for name in ("a", "b", "c")}
    seeds.add(sampling_of(replace(SAMPLING, seed=4), "a").seed)
    assert len(seeds) == 4
    assert sampling_of(SAMPLING, "a").num_inference_steps == 2


def test_other_clips_beside_it_change_nothing(finished, data, tmp_path):
    alone = evaluation(data, tmp_path, MODEL)
    alone = replace(alone, clips=alone.clips[2:])
    evaluate(alone)
    one, other = (e.config.store.video("tiny", "clip_000002").read_bytes() for e in (alone, finished))
    assert one == other


@pytest.fixture
def others(data, tmp_path):
    """Videos of another system: one good, one too long, one missing, one of another size."""
    folder = tmp_path / "others"
    folder.mkdir()
    clips = dataset_clips(data, None)
    truth = clips[0].read().case.truth
    write_video(folder / "clip_000000.mp4", truth, 8)
    write_video(folder / "clip_000001.mp4", np.concatenate([truth, truth[:2]]), 8)
    return folder


def test_videos_of_another_system(others, data, tmp_path):
    run = evaluation(data, tmp_path / "out", VideosMethod(name="others", folder=others))
    evaluate(run)
    results = gather(run)
    good, long, missing = (results.records["others"][clip.name] for clip in run.clips)
    assert good.value("psnr") > 30
    assert good.refused is None
    assert f"expected a generated video of {NUM_TARGET} frames" in long.refused
    assert long.value("psnr") is None
    assert "no video of clip clip_000002" in missing.refused
    assert results.summaries["all clips"]["others"]["psnr"].n == 1
    assert results.summaries["all clips"]["others"]["psnr"].n_undefined == 2
    assert list(results.refusals("others")) == ["clip_000001", "clip_000002"]


def test_a_video_that_was_missing_is_judged_when_it_comes(others, data, tmp_path):
    run = evaluation(data, tmp_path / "out", VideosMethod(name="others", folder=others))
    evaluate(run)
    write_video(others / "clip_000002.mp4", run.clips[2].read().case.truth, 8)
    evaluate(run)
    assert gather(run).records["others"]["clip_000002"].value("psnr") > 30


def test_a_video_that_changed_is_not_passed_off_as_the_old_one(others, data, tmp_path):
    run = evaluation(data, tmp_path / "out", VideosMethod(name="others", folder=others))
    evaluate(run)
    write_video(others / "clip_000000.mp4", np.zeros((NUM_TARGET, HEIGHT, WIDTH, 3), np.uint8), 8)
    with pytest.raises(OutputError, match="made from other files"):
        evaluate(run)
    evaluate(replace(run, overwrite=True))
    assert gather(run).records["others"]["clip_000000"].value("psnr") < 20


def test_videos_that_begin_with_the_context(data, tmp_path):
    sample = dataset_clips(data, None)[0].read()
    folder = tmp_path / "whole"
    folder.mkdir()
    write_video(folder / "clip_000000.mp4", np.concatenate([sample.case.context, sample.case.truth]), 8)
    clip = dataset_clips(data, None)[0]
    cut = VideosMethod(name="a", folder=folder, with_context=True).answer(clip, sample, None)
    assert len(cut.video) == NUM_TARGET
    with pytest.raises(InputError, match="say --with-context"):
        VideosMethod(name="a", folder=folder).answer(clip, sample, None)
    write_video(folder / "clip_000000.mp4", sample.case.truth, 8)
    with pytest.raises(InputError, match=f"expected {NUM_CONTEXT} context and {NUM_TARGET} target frames"):
        VideosMethod(name="a", folder=folder, with_context=True).answer(clip, sample, None)


def test_floors_that_a_clip_allows(data):
    case = dataset_clips(data, None)[0].read().case
    assert usable_baselines(case, has_context=True) == list(BASELINES)
    bare = replace(case, foreground=None, subject_masks=None, visibility=None, subject_names=(), cameras=None)
    assert usable_baselines(bare, has_context=True) == ["frozen"]
    assert usable_baselines(bare, has_context=False) == []


def test_swapping_needs_another_clip(data, tmp_path):
    run = evaluation(data, tmp_path, BaselineMethod(name="swapped"))
    run = replace(run, clips=(replace(run.clips[0], donors=()),))
    evaluate(run)
    assert "no other clip with another kind" in gather(run).records["swapped"]["clip_000000"].refused


def test_names_must_be_told_apart_and_name_folders():
    with pytest.raises(InputError, match="two methods are called 'truth'"):
        check_names([TruthMethod(), TruthMethod()])
    with pytest.raises(InputError, match="cannot name a method"):
        check_names([replace(MODEL, name="a/b")])


def test_digest_of_files_sees_every_change(tmp_path):
    (tmp_path / "config.json").write_text("{}")
    before = files_digest(tmp_path)
    assert files_digest(tmp_path) == before
    (tmp_path / "model.safetensors").write_bytes(b"1")
    with_weights = files_digest(tmp_path)
    (tmp_path / "model.safetensors").write_bytes(b"2")
    assert len({before, with_weights, files_digest(tmp_path)}) == 3


def test_an_unfinished_evaluation_has_no_results(data, tmp_path):
    run = evaluation(data, tmp_path)
    with pytest.raises(OutputError, match="holds no record of clip_000000"):
        gather(run)


def test_records_are_plain_json(finished):
    content = json.loads((finished.config.store.folder("tiny") / "clip_000000.json").read_text())
    assert content["values"]["psnr"] == gather(finished).records["tiny"]["clip_000000"].value("psnr")
    assert not content["values"].keys() & content["reasons"].keys()


def test_a_folder_of_an_earlier_version_keeps_its_videos(finished, tmp_path):
    out = shutil.copytree(finished.config.out, tmp_path / "out")
    again = replace(
        finished, config=replace(finished.config, out=out), methods=(MODEL, BaselineMethod(name="frozen"))
    )
    for name, earlier in (("tiny", MODEL.settings), ("frozen", {"kind": "floor", "floor": "frozen"})):
        folder = again.config.store.folder(name)
        (folder / "method.json").unlink()
        (folder / "contender.json").write_text(json.dumps(earlier))
    LOADED.clear()
    assert pending_tasks(again) == []
    evaluate(again)
    assert LOADED == []
    clip = again.clips[0]
    assert made_by(BaselineMethod(name="frozen"), clip) == digest_of(
        {"kind": "floor", "floor": "frozen"}, "", clip.name, clip.identity
    )
    assert json.loads((again.config.store.folder("frozen") / "method.json").read_text())["kind"] == "baseline"
    (again.config.store.folder("tiny") / "method.json").unlink()
    other = replace(again, methods=(replace(MODEL, digest="1"),))
    with pytest.raises(OutputError, match="made with another digest"):
        evaluate(other)
