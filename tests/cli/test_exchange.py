"""``outofsight exchange``: cases run by a model, results in their place, results of others to evaluate."""

import json

import numpy as np
import pytest
from PIL import Image

from outofsight.cli.exchange import _check_place, _note
from outofsight.data.video import read_video, write_video
from outofsight.errors import OutputError
from outofsight.exchange import benchmark
from small_films import film


@pytest.fixture
def natural(tmp_path):
    folder = tmp_path / "natural25"
    folder.mkdir()
    row = {
        "variant_id": "cup__T0__none",
        "family_id": "cup",
        "oov_gap": "none",
        "world_state_prompt": "A cup falls.",
    }
    (folder / "variants.jsonl").write_text(json.dumps(row) + "\n")
    Image.fromarray(film(1)[0]).save(folder / "cup.png")
    return folder


def test_run(outofsight, natural, model_folder, tmp_path):
    command = (
        "exchange", "run", "wrbench", "--cases", natural, "--model", model_folder, "--system", "tiny",
        "--frames", "5+5", "--steps", 1, "--guidance", 1, "--camera", "yaw_LR_60", "--out", "results",
    )  # fmt: skip
    code, said, error = outofsight(*command)
    assert code == 0, error
    assert "1 cases, 0 of them" in said
    result = tmp_path / "results" / "tiny" / "videos" / "cup__T0__none__yaw_LR_60.mp4"
    assert len(read_video(result).frames) == 10  # context first, as its evaluation expects
    made = result.stat().st_mtime_ns
    assert "1 of them were there" in outofsight(*command)[1]
    assert result.stat().st_mtime_ns == made
    code, _, error = outofsight(*command, "--seed", 7)
    assert (code, error.count("\n"), "other settings" in error) == (2, 1, True)
    target = result.with_name(result.name + ".target_c2w.npy")
    assert len(np.load(target)) == 5
    code, said, _ = outofsight("exchange", "cameras", target, target)
    assert (code, json.loads(said)) == (0, {"cam_prec": 1.0, "cam_align": 1.0})


def test_settings_of_results_that_may_hold_one_json_alone_lie_beside_them(tmp_path):
    settings, stevo = {"benchmark": "stevo", "seed": 1}, benchmark("stevo")
    _note(stevo, tmp_path, "tiny", settings)
    (tmp_path / "tiny").mkdir()
    (tmp_path / "tiny" / "cup.mp4").write_bytes(b"a video")
    _check_place(stevo, tmp_path, "tiny", settings, [])  # the same command goes on
    with pytest.raises(OutputError, match="other settings"):
        _check_place(stevo, tmp_path, "tiny", {**settings, "seed": 2}, [])
    with pytest.raises(OutputError, match="not made here"):
        _check_place(benchmark("mind"), tmp_path, "tiny", {**settings, "benchmark": "mind"}, [])
    assert [path.name for path in (tmp_path / "tiny").iterdir()] == ["cup.mp4"]


def test_results_of_others_go_to_evaluate(outofsight, tmp_path):
    case = tmp_path / "MIND-Data" / "1st_data" / "test" / "mem_test" / "data-1"
    case.mkdir(parents=True)
    write_video(case / "video.mp4", film(12), 24)
    pose = {"actor_pos": {"x": 0, "y": 0, "z": 160}, "actor_rpy": {"x": 0, "y": 0, "z": 0}}
    reported = {
        "mark_time": 7,
        "caption": "A street.",
        "data": [{"time": time, **pose} for time in range(12)],
    }
    (case / "action.json").write_text(json.dumps(reported))
    (tmp_path / "made").mkdir()
    write_video(tmp_path / "made" / "1st_data__mem_test__data-1.mp4", film(12)[7:], 24)
    code, _, error = outofsight(
        "exchange", "write", "mind", "--cases", "MIND-Data", "--videos", "made", "--system", "theirs",
        "--out", "results",
    )  # fmt: skip
    assert code == 0, error
    code, said, error = outofsight(
        "exchange", "read", "mind", "--cases", "MIND-Data", "--results", "results", "--system", "theirs",
        "--out", "pairs",
    )  # fmt: skip
    assert code == 0, error
    truth, theirs = (
        read_video(tmp_path / "pairs" / name / "1st_data__mem_test__data-1.mp4").frames
        for name in ("truth", "theirs")
    )
    assert truth.shape == theirs.shape == (5, 48, 64, 3)
    # Encoded twice and three times over; frames of other moments differ by 85.
    assert np.abs(truth.astype(int) - theirs.astype(int)).mean() < 15
    assert "outofsight evaluate --truth" in said


def test_results_of_a_still_camera_are_read_without_their_context(outofsight, natural, tmp_path):
    write_video(natural / "cup__T0__none.mp4", film(82), 30)
    (tmp_path / "made").mkdir()
    write_video(tmp_path / "made" / "cup__T0__none__static.mp4", film(82)[75:], 15)
    given = ("wrbench", "--cases", natural, "--camera", "static", "--system", "theirs")
    code, _, error = outofsight(
        "exchange", "write", *given, "--videos", "made", "--context-frames", 2, "--out", "results"
    )
    assert code == 0, error
    code, _, error = outofsight("exchange", "read", *given, "--results", "results", "--out", "pairs")
    assert code == 0, error
    truth, theirs = (
        read_video(tmp_path / "pairs" / name / "cup__T0__none__static.mp4").frames
        for name in ("truth", "theirs")
    )
    assert truth.shape == theirs.shape == (5, 48, 64, 3)
    assert np.abs(truth.astype(int) - theirs.astype(int)).mean() < 15  # as below


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("list", "vbench", "--cases", "."), "known are wrbench, mind"),
        (("list", "mind", "--cases", "nowhere"), "there is no nowhere"),
        (("list", "mind", "--cases", "."), "no case"),
        (("list", "mind", "--cases", ".", "--camera", "static"), "leave it out"),
        (("cameras", "a.npy", "b.npy"), "could not read"),
    ],
)
def test_wrong_input_is_one_line(outofsight, arguments, said, tmp_path):
    code, _, error = outofsight("exchange", *arguments)
    assert (code, error.count("\n")) == (2, 1)
    assert said in error
