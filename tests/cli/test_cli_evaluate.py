"""``outofsight evaluate`` as its users meet it: good runs, and every bad one."""

import json
import os
import signal
import subprocess
import sys
import time
from dataclasses import replace
from importlib.util import find_spec

import numpy as np
import pytest

from outofsight.cli import main
from outofsight.data.sample import write_sample
from outofsight.data.video import write_video
from outofsight.evaluation.clips import dataset_clips
from small_world import HEIGHT, NUM_TARGET, WIDTH, square_clip, write_small_dataset
from watchful_world import watchful_world

PLAIN = ("--detector=none", "--features=none", "--metrics=psnr,fg_psnr_reentered")
FAST = ("--steps=1", "--guidance=1")


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    return write_small_dataset(tmp_path_factory.mktemp("data"))


@pytest.fixture(scope="module")
def videos(data, tmp_path_factory):
    folder = tmp_path_factory.mktemp("videos")
    for clip in dataset_clips(data, None):
        write_video(folder / f"{clip.name}.mp4", clip.read().case.truth, 8)
    return folder


@pytest.fixture
def cli(monkeypatch, capsys):
    """Run the command line in this process, which is quicker: its exit code, standard output and standard error."""

    def run(*arguments):
        monkeypatch.setattr("sys.argv", ["outofsight", "evaluate", *map(str, arguments)])
        with pytest.raises(SystemExit) as stopped:
            main()
        reported = capsys.readouterr()
        return stopped.value.code or 0, reported.out, reported.err

    return run


def results_of(out):
    return json.loads((out / "results.json").read_text())


def test_a_model_among_baselines_and_upper_bounds(cli, data, model_folder, tmp_path):
    out = tmp_path / "out"
    code, shown, error = cli(
        "--data", data, "--model", f"mine={model_folder}", "--out", out, "--sheet", *PLAIN, *FAST
    )
    assert code == 0, error
    content = results_of(out)
    names = [
        "mine",
        "frozen",
        "camera_warped",
        "nearest_view",
        "rendered_view",
        "vanished",
        "swapped",
        "vae_round_trip",
        "truth",
    ]
    assert [row["name"] for row in content["methods"]] == names
    assert content["summaries"]["all clips"]["mine"]["psnr"]["n"] == 3
    assert set(content["summaries"]) == {"all clips", "held-out scene", "held-out subject", "unseen seed"}
    assert content["settings"]["seed"] == 42
    assert content["versions"]["torch"]
    assert "held-out scene (n = 1)" in shown
    assert (out / "table.txt").read_text() == shown
    for name in ("report.html", "sheet.png", "plots/psnr.svg", "plots/retrieval_mine.svg"):
        assert (out / name).is_file(), name


def test_a_run_again_gives_the_same_and_does_nothing(cli, data, model_folder, tmp_path):
    command = ("--data", data, "--limit=1", "--model", model_folder, "--out", tmp_path / "out", *PLAIN, *FAST)
    assert cli(*command)[0] == 0
    before = results_of(tmp_path / "out")
    code, _, reported = cli(*command, "--dry-run")
    assert code == 0
    assert "tiny (model): 0 of 1 clips to do" in reported
    assert cli(*command)[0] == 0
    assert results_of(tmp_path / "out") == before


@pytest.mark.skipif(find_spec("torchao") is None, reason="torchao is not installed")
@pytest.mark.filterwarnings("ignore")  # torchao's own, at import
def test_quantised_answers_are_others(cli, data, model_folder, tmp_path):
    command = ("--data", data, "--limit=1", "--model", model_folder, "--no-baselines", *PLAIN, *FAST)
    values = {}
    for way in ("none", "int8"):
        code, _, error = cli(*command, "--out", tmp_path / way, "--quantize", way)
        assert code == 0, error
        values[way] = results_of(tmp_path / way)["records"]["tiny"]["clip_000000"]["values"]["psnr"]
    assert values["none"] != values["int8"]
    assert values["int8"] == pytest.approx(values["none"], abs=0.5)
    code, _, error = cli(*command, "--out", tmp_path / "int8")
    assert code == 2
    assert "holds answers of 'tiny' made with another quantize" in error


def test_quantised_where_it_cannot_be(cli, data, model_folder, tmp_path):
    code, _, error = cli(
        "--data", data, "--model", model_folder, "--out", tmp_path / "out", "--device=cpu", "--quantize=nf4"
    )
    assert (code, error) == (
        2,
        "outofsight: --quantize nf4: bitsandbytes quantises on a CUDA GPU, the run is on cpu; use --quantize int8\n",
    )


def test_a_row_for_each_number_of_steps(cli, data, model_folder, tmp_path):
    out = tmp_path / "out"
    code, _, error = cli(
        "--data", data, "--limit=1", "--model", model_folder, "--steps=1,2", "--guidance=1", "--no-baselines", *PLAIN,
        "--out", out,
    )  # fmt: skip
    assert code == 0, error
    rows = results_of(out)["methods"]
    assert [row["name"] for row in rows] == ["tiny-1steps", "tiny-2steps"]
    assert [row["sampling"]["num_inference_steps"] for row in rows] == [1, 2]
    assert (out / "plots" / "steps_psnr.svg").is_file()


def test_a_row_of_a_strategy_from_a_module_has_its_short_name(cli, data, model_folder, tmp_path):
    code, _, reported = cli(
        "--data", data, "--limit=1", "--model", f"m={model_folder}", "--out", tmp_path / "out",
        "--strategy=outofsight.memory.strategies:hydra,outofsight.memory.strategies:concat", "--dry-run", *PLAIN,
    )  # fmt: skip
    assert code == 0
    assert "m-hydra (model)" in reported
    assert "m-concat (model)" in reported


def test_a_row_for_each_strategy(cli, data, model_folder, tmp_path):
    out = tmp_path / "out"
    code, _, error = cli(
        "--data", data, "--limit=1", "--model", f"m={model_folder}", "--strategy=hydra,concat", *FAST, *PLAIN,
        "--out", out,
    )  # fmt: skip
    assert code == 0, error
    content = results_of(out)
    rows = {row["name"]: row for row in content["methods"] if row["kind"] == "model"}
    assert {name: row["strategy"] for name, row in rows.items()} == {"m-hydra": "hydra", "m-concat": "concat"}
    values = {content["records"][name]["clip_000000"]["values"]["psnr"] for name in rows}
    assert len(values) == 2
    assert (
        sum(row["kind"] == "upper bound" for row in content["methods"]) == 2
    )  # one VAE for all, and the truth


@pytest.mark.parametrize("way", [(), ("--roll=2",)], ids=["at once", "rolled"])
def test_a_model_with_a_tracker_tells_its_places(cli, data, tmp_path, way):
    watchful_world().save_pretrained(tmp_path / "watchful")
    names = (
        "tracked_at_return",
        "tracked_position_error",
        "static_position_error",
        "constant_velocity_position_error",
    )
    code, shown, error = cli(
        "--data", data, "--limit=2", "--model", tmp_path / "watchful", "--out", tmp_path / "out", *way, *FAST,
        "--detector=none", "--features=none", f"--metrics={','.join(names)}", "--report-clips=0",
    )  # fmt: skip
    assert code == 0, error
    assert "where trackers take subjects to be at their return" in shown
    summaries = results_of(tmp_path / "out")["summaries"]["all clips"]
    assert [summaries["watchful"][name]["n"] for name in names] == [2, 2, 2, 2]
    assert summaries["watchful"]["tracked_position_error"]["low"] > 0
    assert summaries["frozen"]["tracked_position_error"]["n"] == 0
    assert "tracked_position_error" in (tmp_path / "out" / "report.html").read_text()


def test_two_processes_give_what_one_gives(cli, data, model_folder, tmp_path):
    both = []
    for workers in (1, 2):
        code, _, error = cli(
            "--data", data, "--limit=2", "--model", model_folder, "--out", tmp_path / str(workers),
            f"--workers={workers}", "--report-clips=0", *PLAIN, *FAST,
        )  # fmt: skip
        assert code == 0, error
        both.append(results_of(tmp_path / str(workers)))
    for content in both:
        for rows in content["records"].values():
            for record in rows.values():
                del record["seconds"], record["peak_bytes"]
    assert both[0]["records"] == both[1]["records"]
    assert both[0]["summaries"] == both[1]["summaries"]


def test_killed_and_gone_on_with(cli, data, model_folder, tmp_path):
    """kill -9 in the middle, then the same command: what was finished stays, and the results are those of one go."""
    options = ["--data", data, "--model", model_folder, "--no-baselines", "--report-clips=0", *PLAIN]
    options += ["--steps=6", "--guidance=1"]
    whole, cut = tmp_path / "whole", tmp_path / "cut"
    command = [sys.executable, "-m", "outofsight", "evaluate", *map(str, options), "--out", str(cut)]
    killed = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    first = cut / "records" / "tiny" / "clip_000000.json"
    deadline = time.monotonic() + 120
    while not first.exists() and killed.poll() is None and time.monotonic() < deadline:
        time.sleep(0.005)
    os.kill(killed.pid, signal.SIGKILL)
    killed.wait()
    assert first.exists()
    assert not (cut / "results.json").exists()
    stamp = first.stat().st_mtime_ns
    for out in (cut, whole):
        code, _, error = cli(*options, "--out", out)
        assert code == 0, error
    assert first.stat().st_mtime_ns == stamp
    assert results_of(cut)["summaries"] == results_of(whole)["summaries"]


def test_videos_of_others_beside_each_other(cli, data, videos, tmp_path):
    half = tmp_path / "half"
    half.mkdir()
    (half / "clip_000000.mp4").write_bytes((videos / "clip_000000.mp4").read_bytes())
    write_video(half / "clip_000001.mp4", np.zeros((NUM_TARGET, HEIGHT, WIDTH * 2, 3), np.uint8), 8)
    code, shown, error = cli(
        "--data", data, "--videos", f"all={videos}", "--videos", f"half={half}", "--out", tmp_path / "out",
        "--baseline=all", *PLAIN,
    )  # fmt: skip
    assert code == 0, error
    content = results_of(tmp_path / "out")
    assert content["summaries"]["all clips"]["all"]["psnr"]["n"] == 3
    assert content["summaries"]["all clips"]["half"]["psnr"]["n"] == 1
    assert content["baseline"] == "all"
    refused = {clip: record["refused"] for clip, record in content["records"]["half"].items()}
    assert refused["clip_000000"] is None
    assert f"of {HEIGHT}×{2 * WIDTH}" in refused["clip_000001"]
    assert "no video of clip clip_000002" in refused["clip_000002"]
    assert "(2 not answered)" in shown


def test_two_folders_without_a_data_set(cli, videos, tmp_path):
    out = tmp_path / "out"
    code, _, error = cli(
        "--videos", f"same={videos}", "--truth", videos, "--out", out, "--detector=none", "--sheet"
    )
    assert code == 0, error
    content = results_of(out)
    assert [row["name"] for row in content["methods"]] == ["same", "truth"]
    assert content["summaries"]["all"]["same"]["psnr"]["mean"] == 100
    assert content["records"]["same"]["clip_000000"]["reasons"]["fg_psnr"] == "no subject masks are annotated"


def test_true_videos_that_begin_with_context(cli, videos, tmp_path):
    code, _, error = cli(
        "--videos", f"same={videos}", "--truth", videos, "--context-frames=4", "--with-context",
        "--out", tmp_path / "out", *PLAIN,
    )  # fmt: skip
    assert code == 0, error
    content = results_of(tmp_path / "out")
    assert [row["name"] for row in content["methods"]] == ["same", "frozen", "truth"]
    assert content["summaries"]["all"]["same"]["psnr"]["mean"] == 100


def test_nothing_is_done_in_a_dry_run(cli, data, tmp_path):
    code, _, reported = cli("--data", data, "--out", tmp_path / "out", "--dry-run", *PLAIN)
    assert code == 0
    assert "frozen (baseline): 3 of 3 clips to do" in reported
    assert not (tmp_path / "out").exists()


def test_a_model_that_changed_is_not_mixed_with_the_old_one(cli, data, model_folder, tmp_path):
    command = (
        "--data",
        data,
        "--limit=1",
        "--model",
        model_folder,
        "--no-baselines",
        "--out",
        tmp_path / "out",
        *PLAIN,
    )
    assert cli(*command, "--steps=1", "--guidance=1")[0] == 0
    code, _, error = cli(*command, "--steps=2", "--guidance=1")
    assert code == 2
    assert "holds answers of 'tiny' made with another sampling" in error
    assert cli(*command, "--steps=2", "--guidance=1", "--overwrite")[0] == 0


@pytest.mark.parametrize(
    ("arguments", "complaint"),
    [
        ((), "name the clips to judge on"),
        (("--data=DATA", "--truth=DATA"), "name the clips to judge on"),
        (("--data=nowhere",), "nowhere: expected a folder of samples"),
        (("--data=DATA", "--split=validation"), "has no validation part"),
        (("--truth=nowhere",), "expected a folder of videos"),
        (("--truth=VIDEOS", "--split=test"), "--split: goes with --data"),
        (("--data=DATA", "--context-frames=3"), "--context-frames: goes with --truth"),
        (("--contexts=nowhere",), "expected a folder of contexts"),
        (("--contexts=VIDEOS",), "expected contexts, NAME.mp4 with cameras NAME.json, found none"),
        (("--contexts=VIDEOS", "--truth=VIDEOS"), "name the clips to judge on"),
        (("--data=DATA", "--model=nowhere/at/all"), "nowhere/at/all"),
        (("--data=DATA", "--model=DATA"), "holds no model_index.json"),
        (("--data=DATA", "--model=MODEL", "--model=MODEL"), "two methods are called 'tiny'"),
        (("--data=DATA", "--model==MODEL"), "--model: expected [NAME=]VALUE"),
        (("--data=DATA", "--videos=a=nowhere"), "--videos: expected NAME=FOLDER"),
        (("--data=DATA", "--no-baselines"), "nothing to evaluate"),
        (("--data=DATA", "--model=MODEL", "--steps=4,x"), "--steps: expected numbers"),
        (("--data=DATA", "--model=MODEL", "--steps=4,4"), "--steps: expected different numbers"),
        (
            ("--data=DATA", "--model=MODEL", "--set=seed=3"),
            "--set seed: this setting has an option of its own",
        ),
        (("--data=DATA", "--model=MODEL", "--set=shoft=3"), "shoft"),
        (("--data=DATA", "--metrics=beauty"), "unknown metrics beauty"),
        (("--data=DATA", "--baseline=nobody"), "--baseline: expected one of frozen"),
        (("--data=DATA", "--device=abacus"), "--device abacus"),
        (("--data=DATA", "--detector=no/such/network"), "no/such/network"),
        (("--data=DATA", "--features=no/such/network"), "no/such/network"),
    ],
)
def test_bad_input_is_one_clear_line(cli, data, videos, model_folder, tmp_path, arguments, complaint):
    places = {"DATA": data, "VIDEOS": videos, "MODEL": model_folder}
    for word, place in places.items():
        arguments = [text.replace(word, str(place)) for text in arguments]
    if not any(text.startswith(("--detector", "--features")) for text in arguments):
        arguments += ["--detector=none", "--features=none"]
    code, _, error = cli(*arguments, "--limit=1", "--out", tmp_path / "out")
    assert code == 2
    assert complaint in error
    assert len(error.strip().splitlines()) == 1
    assert not (tmp_path / "out" / "results.json").exists()


def test_a_size_that_a_model_cannot_take(cli, model_folder, tmp_path):
    clip = square_clip("clip_000000")
    narrow = replace(
        clip, video=clip.video[:, :, :40], masks=clip.masks[:, :, :40], subjects=(),
        cameras=replace(clip.cameras, intrinsics=None),
    )  # fmt: skip
    write_sample(tmp_path / "data" / "clip_000000", narrow)
    code, _, error = cli(
        "--data", tmp_path / "data", "--model", model_folder, "--out", tmp_path / "out", *PLAIN
    )
    assert code == 2
    assert "width divisible by 16" in error


def test_a_damaged_clip_costs_no_finished_work(cli, tmp_path):
    data = write_small_dataset(tmp_path / "data")
    (data / "test" / "clip_000002" / "tgt.mp4").write_bytes(b"no video")
    code, _, error = cli("--data", data, "--out", tmp_path / "out", *PLAIN)
    assert code == 2
    assert "clip_000002" in error
    assert (tmp_path / "out" / "records" / "frozen" / "clip_000001.json").is_file()


@pytest.mark.parametrize("dry", [(), ("--dry-run",)])
@pytest.mark.parametrize("option", ["detector", "features"])
def test_a_network_that_is_not_there_is_said_before_anything_is_made(cli, data, tmp_path, option, dry):
    code, _, error = cli("--data", data, "--out", tmp_path / "out", *PLAIN, f"--{option}=minni", *dry)
    assert (code, "'minni': no such folder, and none of mini, " in error) == (2, True), error
    assert not (tmp_path / "out").exists()
