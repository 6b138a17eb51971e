"""``outofsight data`` and ``outofsight train``, run as typer runs them."""

import json

import pytest
import typer
from typer.testing import CliRunner

from outofsight.cli.data import build_data
from outofsight.cli.generate import generate
from outofsight.cli.train import train
from outofsight.data.latent_cache import open_latent_cache
from outofsight.data.video import read_video
from outofsight.errors import CheckpointError, DatasetError, InputError

TOY = [
    "num_steps=2", "optimisation.warmup_steps=0", "optimisation.cooldown_steps=0",
    "task.size.num_heads=2", "task.size.head_dim=24", "task.size.num_layers=1",
    "task.size.ffn_dim=32", "task.size.freq_dim=32", "task.size.text_width=32", "task.size.text_layers=1",
    "task.size.text_heads=2", "task.size.memory_top_k=1", "task.size.local_window=3", "batch.size=2",
    "batch.precision=no", "validation.every_steps=2", "validation.num_samples=2", "validation.videos_every_steps=0",
]  # fmt: skip


@pytest.fixture
def run():
    app = typer.Typer(pretty_exceptions_enable=False)
    app.command("train")(train)
    app.command("generate")(generate)
    app.add_typer(build_data(), name="data")

    def call(*arguments, fails=None):
        result = CliRunner().invoke(app, [str(argument) for argument in arguments])
        if fails is not None:
            assert isinstance(result.exception, fails), result.output
            return str(result.exception)
        assert result.exit_code == 0, (result.output, result.exception)
        return result.stdout

    return call


def sets(*settings):
    return [part for setting in settings for part in ("--set", setting)]


def test_from_clips_to_a_world_model(run, data, vae_folder, tmp_path):
    reported = run(
        "data",
        "encode",
        "--data",
        data,
        "--model",
        vae_folder,
        "--out",
        tmp_path / "cache",
        "--device",
        "cpu",
    )
    assert "train: 6 samples, 0 of them" in reported
    options = ["--data", tmp_path / "cache", "--out", tmp_path / "run"]
    settings = sets(*TOY, f"task.vae={vae_folder}")
    reported = run("train", "--recipe", "mini_world", *options, *settings, "--state-shard-mb", 1)
    assert "step 2 of 2, finished" in reported
    saved = json.loads((tmp_path / "run" / "config.json").read_text())
    assert saved["config"]["state"]["shard_mb"] == 1
    assert saved["provenance"]["versions"]["torch"]
    clip = next(path for path in sorted((data / "train").iterdir()) if path.is_dir())
    run("generate", "--model", tmp_path / "run" / "export", "--video", clip, "--out", tmp_path / "clip.mp4")
    assert len(read_video(tmp_path / "clip.mp4").frames) == 9  # what it learned from: frames, size and rate
    reported = run("train", "--out", tmp_path / "run", "--resume", *sets("num_steps=50"), "--max-minutes", 0)
    assert "step 3 of 50, stopped; the same command goes on" in reported


def test_a_run_whose_precision_was_measured_goes_on_by_the_same_command(run, data, tmp_path):
    command = ["train", "--recipe", "laptop_vae", "--data", data, "--out", tmp_path / "run"]
    command += sets(
        "num_steps=2", "batch.size=1", "task.crop_px=[16,16]", "task.num_frames=5", "task.patch.fit_clips=1",
        "validation.every_steps=0", "validation.videos_every_steps=0",
        "optimisation.warmup_steps=0", "optimisation.cooldown_steps=0",
    )  # fmt: skip
    assert "step 1 of 2, stopped; the same command goes on" in run(*command, "--max-minutes", 0)
    assert "step 2 of 2, finished" in run(*command)


def test_a_dry_run_prints_what_would_be_done(run, tmp_path):
    reported = run(
        "train", "--recipe", "mini_vae", "--out", tmp_path / "run", "--dry-run", *sets("task.kl_weight=0.5")
    )
    assert json.loads(reported)["task"]["kl_weight"] == 0.5
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize(
    ("arguments", "error", "message"),
    [
        (["--recipe", "mini_wurld"], InputError, "unknown recipe 'mini_wurld'; known are mini_vae"),
        (["--recipe", "mini_vae", "--set", "task.kl=1"], InputError, "no such setting"),
        (["--recipe", "mini_vae"], InputError, "--data: name the folder"),
        ([], InputError, "--recipe: name one"),
        (["--resume"], CheckpointError, "holds no run"),
    ],
)
def test_bad_input_is_one_clear_line(run, tmp_path, arguments, error, message):
    assert message in run("train", "--out", tmp_path / "run", *arguments, fails=error)
    assert not (tmp_path / "run").exists()


def test_a_folder_of_other_files_leaves_no_cache(run, world_folder, tmp_path):
    (tmp_path / "other").mkdir()
    (tmp_path / "other" / "a.pth").write_bytes(b"no sample")
    given = ("--samples", tmp_path / "other", "--model", world_folder, "--out", tmp_path / "cache")
    run("data", "from-samples", *given, fails=DatasetError)
    assert not (tmp_path / "cache").exists()


def test_the_published_samples_there_and_back(run, data, world_folder, tmp_path):
    run("data", "encode", "--data", data, "--model", world_folder, "--out", tmp_path / "cache", "--text", "states",
        "--device", "cpu")  # fmt: skip
    run("data", "to-samples", "--cache", tmp_path / "cache" / "train", "--out", tmp_path / "samples")
    assert len(list((tmp_path / "samples").glob("*.pth"))) == 6
    run(
        "data",
        "from-samples",
        "--samples",
        tmp_path / "samples",
        "--model",
        world_folder,
        "--out",
        tmp_path / "again",
    )
    before, after = (open_latent_cache(tmp_path / name / "train") for name in ("cache", "again"))
    assert before.names == after.names
    assert before.identity.vae_digest == after.identity.vae_digest
    for one, other in zip(before, after, strict=True):
        assert (one.target_latents == other.target_latents).all()
        assert (one.text_states == other.text_states).all()


@pytest.mark.parametrize("recipe", ["finetune_lora", "finetune_hydra"])
def test_published_weights_are_tuned_on_a_cpu(run, cache_of_world, world_folder, tmp_path, recipe):
    few = sets(f"task.initial={world_folder}", "num_steps=2", "optimisation.warmup_steps=0",
               "optimisation.cooldown_steps=0", "validation.every_steps=0", "validation.videos_every_steps=0",
               "batch.size=1", "batch.accumulation=1")  # fmt: skip
    reported = run("train", "--recipe", recipe, "--data", cache_of_world, "--out", tmp_path / "run", *few)
    assert "step 2 of 2, finished" in reported
