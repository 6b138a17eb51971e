"""``--model mini``: a bundled model brings its own size, frames, speed, steps and guidance."""

import json

import pytest

from models import tiny_world
from outofsight import model_folders
from outofsight.cli import main
from outofsight.data.video import read_video
from outofsight.model_folders import USE_FILE, ModelUse, use_as_json


@pytest.fixture
def cli(tmp_path, monkeypatch, capsys):
    """Run the command line in an installation whose bundled model is a tiny one: exit code, output and errors."""
    folder = tmp_path / "models" / "mini"
    tiny_world().save_pretrained(folder)
    use = ModelUse(
        num_context_frames=9,
        num_target_frames=13,
        size=(32, 48),
        fps=10.0,
        num_inference_steps=2,
        guidance_scale=1.0,
    )
    (folder / USE_FILE).write_text(use_as_json(use))
    monkeypatch.setattr(model_folders, "MODELS", tmp_path / "models")

    def run(*arguments):
        monkeypatch.setattr("sys.argv", ["outofsight", *map(str, arguments)])
        with pytest.raises(SystemExit) as stopped:
            main()
        captured = capsys.readouterr()
        return stopped.value.code or 0, captured.out, captured.err

    return run


def test_generate_takes_the_models_own_use(cli, cases, tmp_path):
    one = ("--video", cases / "1.mp4", "--camera", cases / "cam1.json", "--prompt", "A cat sits.")
    code, _, error = cli("generate", "--model", "mini", *one, "--out", tmp_path / "a.mp4")
    assert code == 0, error
    video, fps = read_video(tmp_path / "a.mp4")
    assert video.shape == (13, 32, 48, 3)
    assert fps == 10
    record = json.loads((tmp_path / "a.json").read_text())
    assert (record["model"], record["fps"], record["size"], record["frames"]) == (
        "mini", 10.0, [32, 48], [9, 13]
    )  # fmt: skip
    assert (record["sampling"]["num_inference_steps"], record["sampling"]["guidance_scale"]) == (2, 1.0)
    options = ("--frames", "9+5", "--size", "48x64", "--steps", "1")
    code, _, error = cli("generate", "--model", "mini", *one, "--out", tmp_path / "b.mp4", *options)
    assert code == 0, error
    assert read_video(tmp_path / "b.mp4").frames.shape == (5, 48, 64, 3)


def test_info_takes_the_models_own_use(cli):
    code, out, error = cli("info", "mini")
    assert code == 0, error
    assert "32×48, 9+13 frames, 2 steps" in out
    assert "GFLOP in 2 forwards" in out
