"""The GPU's half hour, rehearsed on a CPU at toy size."""

import json

import pytest
import torch
import typer.main

import gpu_day
from gpu_parts import TOY
from gpu_training import TRIAL_CLIPS, mini_commands, train_mini
from outofsight.cli import build_app

CPU = torch.device("cpu")


def options(out, *more):
    return gpu_day.parsed(["--out", str(out), "--device", "cpu", "--toy", *more])


@pytest.mark.parametrize("name", ["generation", "attention", "rollouts", "training"])
def test_a_part_writes_a_line_for_each_figure(name, tmp_path):
    gpu_day.run_part(name, options(tmp_path))
    lines = gpu_day.read_lines(tmp_path)
    assert {line["part"] for line in lines} == {name}
    assert len(lines) >= 4
    assert [line for line in lines if "trouble" in line or line["seconds"] <= 0] == []
    assert all(line["finite"] for line in lines if "finite" in line)


def test_what_is_done_is_not_run_again_and_what_failed_is(tmp_path):
    ran = []

    def run(name, _options, minutes):
        ran.append(name)
        assert minutes <= 5
        return "no memory" if name == "attention" and ran.count(name) == 1 else None

    everything = list(gpu_day.PARTS)
    assert gpu_day.run_all(options(tmp_path, "--minutes", "5"), run) == [
        name for name in everything if name != "attention"
    ]
    with (tmp_path / gpu_day.LINES).open("a") as lines:
        lines.write('{"part": "mi')  # killed while it wrote
    assert gpu_day.run_all(options(tmp_path, "--minutes", "5"), run) == everything
    assert ran == [*everything, "attention"]
    assert {"part": "attention", "seconds": 0.0, "trouble": "no memory"} in gpu_day.read_lines(tmp_path)


def test_no_part_is_begun_when_time_is_up(tmp_path, monkeypatch):
    now = iter(range(0, 10_000, 100))
    monkeypatch.setattr(gpu_day.time, "monotonic", lambda: next(now))
    ran = []
    gpu_day.run_all(options(tmp_path, "--minutes", "4"), lambda name, *_: ran.append(name))
    assert ran == ["tests"]


def test_the_mini_s_commands_are_commands(tmp_path):
    for name, command in mini_commands(TOY, CPU, tmp_path, 3).items():
        verb, arguments = typer.main.get_command(build_app()), command(TRIAL_CLIPS)[3:]
        while hasattr(verb, "commands"):
            verb = verb.commands[arguments.pop(0)]
        assert verb.make_context(name, arguments) is not None


def test_a_gpu_that_is_not_there_is_said(tmp_path, capsys, monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    with pytest.raises(SystemExit):
        gpu_day.parsed(["--out", str(tmp_path)])
    assert "sees no CUDA GPU" in capsys.readouterr().err


@pytest.mark.slow
def test_the_mini_is_trained_on_data_made_there(tmp_path):
    lines = list(train_mini(TOY, CPU, tmp_path, 3))
    assert [line["what"] for line in lines] == ["clips", "vae", "latents", "world"]
    assert [line["step"] for line in lines if "step" in line] == [2, 2]
    assert json.loads(json.dumps(lines)) == lines
