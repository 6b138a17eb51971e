"""Results of others, in each benchmark's own layout, are judged by ``outofsight evaluate``."""

import json
from dataclasses import replace

import numpy as np
import pytest
from PIL import Image

from outofsight.cli import main
from outofsight.data.video import read_video
from outofsight.exchange import benchmark
from outofsight.exchange.case import Ask
from outofsight.geometry.pose_files import read_poses
from small_films import film


@pytest.fixture
def run(monkeypatch, capsys, tmp_path):
    """Run the command line in this process, in ``tmp_path``: its exit code, and what it printed."""
    monkeypatch.chdir(tmp_path)

    def run(*arguments):
        monkeypatch.setattr("sys.argv", ["outofsight", *map(str, arguments)])
        with pytest.raises(SystemExit) as stopped:
            main()
        said = capsys.readouterr()
        return stopped.value.code or 0, said.out + said.err

    return run


def answered(name, folder, ask, root, context=0):
    """Write what the system *theirs* made of every case, in the layout: six frames, the context's first."""
    cases = benchmark(name).read_cases(folder, ask)
    for case in cases:
        told = replace(case, facts={**case.facts, "condition_frame_count": context})
        benchmark(name).write(root, "theirs", told, film(6, 3), 15)
    benchmark(name).finish(root, "theirs", cases)
    return cases


@pytest.mark.parametrize(
    ("name", "kind", "options", "context", "measured"),
    [
        ("mind", "truth", {}, 0, {"psnr", "wrbench_d2"}),
        ("memobench", "truth", {"sources": "memo/prompts.csv"}, 0, {"psnr", "wrbench_d2"}),
        # There and back, as STEVO's task, which also moves 8 cm away, does not go.
        ("wrbench", "contexts", {"camera": "yaw_LR_60"}, 2, {"wrbench_d2", "revisit_likeness"}),
        ("stevo", "contexts", {}, 0, {"wrbench_d2"}),
    ],
)
def test_each_benchmark_is_judged(name, kind, options, context, measured, request, tmp_path, run):
    folder = request.getfixturevalue(name)
    ask = Ask(sources=tmp_path / "memo" / "prompts.csv") if name == "memobench" else Ask()
    if name == "wrbench":
        ask = Ask(cameras=("yaw_LR_60",))
    cases = answered(name, folder, ask, tmp_path / "results", context)
    given = ["--system", "theirs", *(part for key, value in options.items() for part in (f"--{key}", value))]
    code, said = run(
        "exchange", "read", name, "--cases", folder, "--results", "results", *given, "--out", "pairs"
    )
    assert (code, f"evaluate --{kind} pairs/{kind} --videos theirs=pairs/theirs" in said) == (0, True)
    assert "Traceback" not in said
    code, said = run(
        "evaluate", f"--{kind}", f"pairs/{kind}", "--videos", "theirs=pairs/theirs", "--no-baselines",
        "--metrics", "psnr,wrbench_d2,revisit_likeness", "--detector", "none", "--out", "report",
    )  # fmt: skip
    assert code == 0, said
    records = json.loads((tmp_path / "report" / "results.json").read_text())["records"]["theirs"]
    assert sorted(records) == sorted(case.name for case in cases)
    unknown = {} if kind == "truth" else {"psnr": "it is not known what truly follows"}
    for record in records.values():
        assert set(record["values"]) == measured
        assert {name: record["reasons"].get(name) for name in unknown} == unknown


def test_without_a_truth_the_context_and_the_cameras_are_kept(stevo, tmp_path, run):
    (case,) = answered("stevo", stevo, Ask(), tmp_path / "results")
    code, said = run(
        "exchange", "read", "stevo", "--cases", stevo, "--results", "results", "--system", "theirs",
        "--out", "pairs",
    )  # fmt: skip
    assert code == 0, said
    context = read_video(tmp_path / "pairs" / "contexts" / "fizz_05.mp4").frames
    with Image.open(case.context) as first:
        assert np.abs(context[0].astype(int) - np.asarray(first)).mean() < 10  # lossy coding
    poses = read_poses(tmp_path / "pairs" / "contexts" / "fizz_05.json").world_from_camera
    assert len(poses) == 1 + 6
    ends = case.cameras.world_from_camera
    assert poses[[0, 1, -1]] == pytest.approx(ends[[0, 0, -1]], abs=1e-9)
    # Another system's answer of other length is refused in its row, not cut.
    (tmp_path / "pairs" / "contexts" / "fizz_05.mp4").unlink()
    code, said = run(
        "evaluate", "--contexts", "pairs/contexts", "--videos", "theirs=pairs/theirs", "--out", "report"
    )
    assert (code, "fizz_05.mp4" in said, "Traceback" in said) == (2, True, False)


@pytest.mark.parametrize(
    ("system", "said"), [("theirs", "exactly one .json"), ("truth", "of its own"), ("nobody", "there is no")]
)
def test_foreign_folders_are_one_line(system, said, stevo, tmp_path, run):
    answered("stevo", stevo, Ask(), tmp_path / "results")
    (tmp_path / "results" / "truth").mkdir()
    for file in (tmp_path / "results" / "theirs").iterdir():
        if system == "truth":
            file.rename(tmp_path / "results" / "truth" / file.name)
        elif system == "theirs":
            (tmp_path / "results" / "theirs" / "second.json").write_text("{}")
    code, told = run(
        "exchange", "read", "stevo", "--cases", stevo, "--results", "results", "--system", system,
        "--out", "pairs",
    )  # fmt: skip
    assert (code, said in told, told.count("\n")) == (2, True, 1)
    assert not (tmp_path / "pairs").exists()
