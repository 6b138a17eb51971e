"""The demo from seed to pictures, with a tiny model in a small world, and its mishaps."""

import json

import numpy as np
import pytest

from models import tiny_world
from outofsight import model_folders
from outofsight.cli import main
from outofsight.data.video import read_video
from outofsight.demo.run import DemoConfig, run_demo
from outofsight.demo.unseen_clip import UnseenRequest, unseen_clip
from outofsight.errors import WorldError
from outofsight.sampling.continuation import SamplingSettings
from outofsight.worlds.plan_config import PlanConfig

SMALL = PlanConfig(
    scenes=("desert",),
    kinds=("cow",),
    trajectories=("pan_left_right", "pan_right_left"),
    max_subjects=1,
    num_context_frames=13,
    num_target_frames=13,
    height_px=48,
    width_px=80,
    min_hidden_frames=5,
    min_seen_frames=3,
    max_turn_deg_per_frame=25.0,
    shed_share=0.0,
)


def test_the_whole_demo(tmp_path):
    config = DemoConfig(
        out=tmp_path,
        request=UnseenRequest(seed=1),
        sampling=SamplingSettings(num_inference_steps=2, guidance_scale=1.0),
        maker="a tiny model",
        plan=SMALL,
    )
    reported: list[str] = []
    report = run_demo(config, tiny_world, reported.append)
    assert [row.name for row in report.rows] == [
        "a tiny model",
        "last context frame, repeated",
        "last context frame, turned with the camera",
        "truth through the model's VAE",
    ]
    for row in report.rows:
        assert all(measured.value is not None for measured in row.measured.values()), row
    assert set(report.seconds) == {"render", "load", "text", "encode", "denoise", "decode", "measure", "draw"}
    assert report.memory is not None
    assert 0 <= report.memory.first_choice <= 1
    assert len(reported) == 5
    for path in report.files.values():
        assert path.stat().st_size > 0
    assert read_video(tmp_path / "generated.mp4").frames.shape == (13, 48, 80, 3)
    record = json.loads((tmp_path / "demo.json").read_text())
    assert record["seed"] == 1
    assert record["rows"]["a tiny model"]["psnr"]["value"] == report.rows[0].measured["psnr"].value


def test_a_seed_is_a_clip():
    one, again, other = (unseen_clip(UnseenRequest(seed=seed), SMALL) for seed in (1, 1, 2))
    assert np.array_equal(one.video, again.video)
    assert not np.array_equal(one.video, other.video)


@pytest.mark.parametrize("seed", [-1, 1_000_003])
def test_seeds_of_training_clips_are_refused(seed):
    with pytest.raises(WorldError, match="the demo's seed must be 0 to 999999"):
        UnseenRequest(seed=seed)


def test_an_installation_without_weights_says_so_before_anything_is_rendered(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(model_folders, "MODELS", tmp_path / "none")
    monkeypatch.setattr("sys.argv", ["outofsight", "demo", "--out", str(tmp_path / "out")])
    with pytest.raises(SystemExit) as stopped:
        main()
    assert stopped.value.code == 2
    assert "this installation carries no such weights" in capsys.readouterr().err
    assert not (tmp_path / "out").exists()
