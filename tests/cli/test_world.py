"""Every verb of ``outofsight world``, as a user types it."""

import json

import pytest
from typer.testing import CliRunner

from outofsight.cli.world import build_world
from outofsight.errors import OutOfSightError

QUICK = (
    "--size", "48x80", "--frames", "12+12", "--set", "plan.max_turn_deg_per_frame=25", "--set",
    "plan.min_hidden_frames=3", "--set", "plan.min_seen_frames=2", "--set", "render.supersampling=1", "--set",
    "plan.trajectories=pan_left_right,pan_right_left",
)  # fmt: skip


@pytest.fixture
def world():
    """Run a verb in this process, which has the renderer's kernels loaded: exit code, output, the error's message."""

    def run(*arguments):
        result = CliRunner().invoke(build_world(), [str(argument) for argument in arguments])
        if result.exception is not None and not isinstance(result.exception, SystemExit | OutOfSightError):
            raise result.exception
        return result.exit_code, result.stdout, str(result.exception)

    return run


IN_THE_DESERT = (*QUICK, "--set", "plan.scenes=desert")


def test_list_counts(world):
    code, out, _ = world("list")
    assert code == 0
    for part in (
        "17 scenes",
        "49 subjects",
        "10 subject paths",
        "28 camera trajectories",
        "table-top",
        "pan_left_hold",
    ):
        assert part in out


def test_a_scene_that_cannot_be_had_is_refused_before_anything_is_written(world, tmp_path):
    code, _, error = world(
        "build", "--out", tmp_path / "set", "--clips", 3, "--splits", "0,1", *IN_THE_DESERT
    )
    assert code == 1
    assert "may appear in a held out scene clip" in error
    assert not (tmp_path / "set").exists()


def test_preview_shows_a_world_and_its_spec_again(world, tmp_path):
    code, out, error = world("preview", "--seed", 3, "--out", tmp_path / "one", *IN_THE_DESERT)
    assert code == 0, error
    assert "back at frame" in out
    names = {"sheet.png", "map.png", "clip.mp4", "spec.json"}
    assert {path.name for path in (tmp_path / "one").iterdir()} == names
    spec = tmp_path / "one" / "spec.json"
    code, out, error = world("preview", "--spec", spec, "--out", tmp_path / "two", *QUICK)
    assert code == 0, error
    assert (tmp_path / "two" / "clip.mp4").read_bytes() == (tmp_path / "one" / "clip.mp4").read_bytes()


def test_build_check_stats_pack(world, tmp_path):
    """Two clips by two workers are those of one worker; they check out, are counted, and are packed."""
    options = ("--clips", 2, "--seed", 9, "--splits", "0,0", *IN_THE_DESERT)
    code, out, error = world("build", "--out", tmp_path / "two", "--workers", 2, *options)
    assert code == 0, error
    assert "2 clips, 0 of them were there already" in out
    assert "confirmed by masks: 2 of" in out
    code, _, error = world("build", "--out", tmp_path / "one", *options)
    assert code == 0, error
    one, two = (
        {str(path.relative_to(tmp_path / name)): path.read_bytes() for path in (tmp_path / name).rglob("*.*")}
        for name in ("one", "two")
    )
    assert one == two
    code, out, _ = world("check", tmp_path / "one")
    assert code == 0
    assert "2 samples, 0 findings; boxes agree with masks" in out
    code, out, _ = world("stats", tmp_path / "one", "--out", tmp_path / "stats.png")
    assert code == 0
    assert json.loads(out)["clips"] == 2
    assert json.loads(out)["returns_in_target"]["n"] >= 2
    assert (tmp_path / "stats.png").stat().st_size > 10_000
    code, out, _ = world("pack", tmp_path / "one", "--out", tmp_path / "shards")
    assert code == 0
    assert (tmp_path / "shards" / "shard-000000.tar").exists()
    (tmp_path / "one" / "train" / "clip_000001" / "tgt.mp4").write_bytes(b"nonsense")
    code, out, _ = world("check", tmp_path / "one")
    assert code == 1
    assert "clip_000001" in out
    assert "tgt.mp4" in out


def test_dry_run_prints_the_settings_and_writes_nothing(outofsight, tmp_path):
    code, out, _ = outofsight(
        "world", "build", "--clips", 5, "--out", tmp_path / "x", "--dry-run", *IN_THE_DESERT
    )
    assert code == 0
    settings = json.loads(out)
    assert settings["recipe"]["plan"]["scenes"] == ["desert"]
    assert settings["recipe"]["render"]["supersampling"] == 1
    assert not (tmp_path / "x").exists()


@pytest.mark.parametrize(
    ("options", "says"),
    [
        (("--clips", 0), "expected ≥ 1 clip, got 0"),
        (("--clips", 1, "--frames", "0+5"), "expected ≥ 1 of context and of target, got 0 and 5"),
        (("--clips", 1, "--size", "big"), "--size: expected HEIGHTxWIDTH"),
        (("--clips", 1, "--size", "95x160", "--frames", "40+40"), "expected even height and width"),
        (("--clips", 1, "--set", "plan.max_subjects=17"), "≤ 16, got 1 to 17"),
        (("--clips", 1, "--set", "plan.scenes=moon"), "unknown scene 'moon'"),
        (("--clips", 1, "--set", "plan.colour=red"), "plan.colour: no such setting; known are scenes"),
        (("--clips", 1, "--set", "sky=blue"), "expected plan.NAME=VALUE or render.NAME=VALUE"),
        (("--clips", 1, "--set", "render.depth=maybe"), "render.depth: expected true or false, got 'maybe'"),
        (("--clips", 1, "--splits", "half"), "--splits: expected VALIDATION,TEST"),
        (("--clips", 1, "--frames", "5+5"), "need ≥ 20 frames, 6 of them context and 6 target, got 5 and 5"),
    ],
)
def test_impossible_builds_say_why(world, tmp_path, options, says):
    code, _, message = world("build", "--out", tmp_path / "x", *options)
    assert code != 0
    assert says in message
    assert not list((tmp_path / "x").glob("*/clip_*"))


def test_nothing_to_check_is_one_line(outofsight, tmp_path):
    code, _, error = outofsight("world", "check", tmp_path / "nowhere")
    assert code == 2
    assert error.count("\n") == 1
    assert "expected a folder of samples, found none" in error
