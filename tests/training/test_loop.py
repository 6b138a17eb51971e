"""The loop: what a run leaves, that it learns, and that it may be stopped anywhere."""

import json
import math
from shutil import copytree

import pytest
import torch

from outofsight.errors import CheckpointError, InputError, OutputError
from outofsight.sampling.world import WorldModel
from outofsight.training.loop import DivergedError, train
from outofsight.training.models import load_vae
from outofsight.training.run_folder import read_log
from outofsight.training.state import finished_states, load_latest_state


def weights_of(out):
    state = load_latest_state(out / "states")
    return state.tensors


def same(a, b):
    assert a.keys() == b.keys()
    return [name for name in a if not torch.equal(a[name], b[name])]


class StopAfter:
    """Asks to stop after a number of steps."""

    def __init__(self, steps):
        self.left = steps

    def __call__(self):
        self.left -= 1
        return self.left <= 0


def test_a_vae_run_leaves_a_vae_with_its_statistics(vae_config, data, tmp_path):
    config = vae_config(num_steps=3, validation={"every_steps": 3, "videos_every_steps": 3, "num_videos": 1})
    result = train(config, data, tmp_path / "run")
    assert result.finished
    assert result.step == 3
    vae = load_vae(tmp_path / "run" / "export")
    assert any(mean != 0 for mean in vae.config["latents_mean"])
    assert all(std > 0 for std in vae.config["latents_std"])
    log = read_log(tmp_path / "run")
    figures = next(line for line in log if "validation/psnr" in line)
    assert 0 < figures["validation/psnr"] < 40
    assert figures["validation/num_clips"] == figures["validation/num_clips_with_subjects"] == 2
    assert (tmp_path / "run" / "videos" / "step-00000003" / "clip_000006.mp4").is_file()


def test_a_world_run_leaves_a_world_model(world_config, cache, tmp_path):
    config = world_config(num_steps=2, validation={"every_steps": 2, "videos_every_steps": 2, "num_videos": 1,
                                                   "video_steps": 2})  # fmt: skip
    train(config, cache, tmp_path / "run")
    world = WorldModel.from_pretrained(tmp_path / "run" / "export")
    assert world.shift == 5.0
    figures = next(line for line in read_log(tmp_path / "run") if "validation/loss" in line)
    at_levels = [figures[f"validation/loss@{sigma:g}"] for sigma in config.validation.sigmas]
    assert figures["validation/loss"] == pytest.approx(sum(at_levels) / 5)
    assert figures["validation/camera_gain"] == pytest.approx(
        figures["validation/wrong_camera_loss"] / figures["validation/loss"] - 1
    )
    on_subjects = [figures[f"validation/subject_loss@{sigma:g}"] for sigma in config.validation.sigmas]
    assert figures["validation/subject_loss"] == pytest.approx(sum(on_subjects) / 5)
    assert all(mine != all_ for mine, all_ in zip(on_subjects, at_levels, strict=True))
    assert (tmp_path / "run" / "videos" / "step-00000002" / "clip_000006.mp4").is_file()


def test_the_loss_falls(world_config, cache, tmp_path):
    config = world_config(num_steps=60, log_every_steps=1, optimisation={"learning_rate": 1e-2},
                          task={"caption_dropout": 0.0, "camera_dropout": 0.0, "weighting": "none"})  # fmt: skip
    train(config, cache, tmp_path / "run")
    losses = [line["squared_error"] for line in read_log(tmp_path / "run")]
    assert sum(losses[-10:]) < 0.9 * sum(losses[:10])


@pytest.mark.parametrize("task", ["vae", "world"])
def test_a_run_stopped_and_taken_up_ends_with_the_same_bits(
    task, vae_config, world_config, data, cache, tmp_path
):
    make, source = (vae_config, data) if task == "vae" else (world_config, cache)
    extra = {"batch": {"accumulation": 2}, "task": {"single_frame_share": 0.5} if task == "vae" else {}}
    config = make(num_steps=5, **extra)
    train(config, source, tmp_path / "whole")
    for stop_after in (2, 1):
        result = train(config, source, tmp_path / "parts", resume=stop_after == 1, stop=StopAfter(stop_after))
        assert not result.finished
    assert train(config, source, tmp_path / "parts", resume=True).finished
    assert same(weights_of(tmp_path / "whole"), weights_of(tmp_path / "parts")) == []
    steps = [line["step"] for line in read_log(tmp_path / "parts")]
    assert steps == sorted(set(steps))


def test_muon_takes_the_matrices_of_blocks_and_is_resumed_exactly(world_config, cache, tmp_path, monkeypatch):
    monkeypatch.setattr("outofsight.training.optimiser.NARROWEST", 8)
    config = world_config(num_steps=4, optimisation={"optimizer": "muon"})
    train(config, cache, tmp_path / "whole")
    assert not train(config, cache, tmp_path / "parts", stop=StopAfter(2)).finished
    tensors = load_latest_state(tmp_path / "parts" / "states").tensors
    first, second = (
        {name.split("/", 1)[1] for name in tensors if name.startswith(kind)} for kind in ("first", "second")
    )
    assert "transformer.blocks.0.attn1.to_q.weight" in first - second
    assert "transformer.patch_embedding.weight" in second
    assert all("blocks." in name for name in first - second)
    assert train(config, cache, tmp_path / "parts", resume=True).finished
    assert same(weights_of(tmp_path / "whole"), weights_of(tmp_path / "parts")) == []
    train(world_config(num_steps=4), cache, tmp_path / "adamw")
    changed = {"optimisation": {"optimizer": "adamw"}}
    assert not train(config, cache, tmp_path / "turned", stop=StopAfter(2)).finished
    assert train(world_config(num_steps=4, **changed), cache, tmp_path / "turned", resume=True).finished
    turned = load_latest_state(tmp_path / "turned" / "states").tensors
    assert "second_moment/transformer.blocks.0.attn1.to_q.weight" in turned  # the other optimizer's
    name = "weights/transformer.blocks.0.attn1.to_q.weight"
    assert not torch.equal(weights_of(tmp_path / "whole")[name], weights_of(tmp_path / "adamw")[name])


def test_going_on_does_without_what_was_logged_after_the_state(world_config, cache, tmp_path):
    config = world_config(num_steps=6, log_every_steps=1, state={"every_steps": 2})
    calls = []

    def killed(step, _figures):
        calls.append(step)
        if step == 5:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        train(config, cache, tmp_path / "run", report=killed)
    assert [line["step"] for line in read_log(tmp_path / "run")] == [1, 2, 3, 4, 5]
    with (tmp_path / "run" / "log.jsonl").open("a") as file:
        file.write('{"step": 6, "lo')  # as a kill leaves it
    train(config, cache, tmp_path / "run", resume=True)
    train(config, cache, tmp_path / "whole")
    assert [line["step"] for line in read_log(tmp_path / "run")] == [1, 2, 3, 4, 5, 6]
    assert same(weights_of(tmp_path / "whole"), weights_of(tmp_path / "run")) == []


def test_time_is_up(world_config, cache, tmp_path):
    result = train(world_config(num_steps=1000), cache, tmp_path / "run", max_minutes=0.0)
    assert result.step == 1
    assert not result.finished
    assert load_latest_state(tmp_path / "run" / "states").step == 1


def test_a_state_in_small_files_is_the_same_state(world_config, cache, tmp_path):
    config = world_config(num_steps=2, state={"shard_mb": 0.05})
    train(config, cache, tmp_path / "small")
    train(world_config(num_steps=2), cache, tmp_path / "large")
    files = list((tmp_path / "small" / "states" / "state-00000002").glob("tensors-*"))
    assert len(files) > 5
    assert max(file.stat().st_size for file in files) <= 50_000
    assert same(weights_of(tmp_path / "small"), weights_of(tmp_path / "large")) == []


def test_a_smaller_state_rounds_or_leaves_out_what_it_says(world_config, cache, tmp_path):
    light = {"weights": "bfloat16", "optimizer": "omit"}
    train(world_config(num_steps=2, state=light), cache, tmp_path / "run")
    names = weights_of(tmp_path / "run")
    assert not [name for name in names if "moment" in name]
    assert {value.dtype for name, value in names.items() if name.startswith("weights/")} == {torch.bfloat16}
    assert {value.dtype for name, value in names.items() if name.startswith("ema/")} == {torch.float32}
    assert train(world_config(num_steps=3, state=light), cache, tmp_path / "run", resume=True).finished


def test_only_the_newest_states_are_kept(world_config, cache, tmp_path):
    states, kept = tmp_path / "run" / "states", ["state-00000004", "state-00000005"]
    config = world_config(num_steps=5, state={"every_steps": 1, "keep": 2})
    train(config, cache, tmp_path / "run")
    assert [path.name for path in finished_states(states)] == kept
    # A kill between the last state and the end of an older one: there is no state left to save, yet it goes.
    copytree(states / kept[0], states / "state-00000003")
    train(config, cache, tmp_path / "run", resume=True)
    assert [path.name for path in finished_states(states)] == kept


def test_a_loss_that_is_no_number_stops_with_step_and_sample(world_config, cache, tmp_path, monkeypatch):
    """One sample's noise turns to infinity at step 3, as broken data would make it."""
    from outofsight.training import batches as module  # noqa: PLC0415

    original = module.WorldBatches.make
    spoiled = []

    def spoil(self, step, positions):
        batch = original(self, step, positions)
        if step == 3:
            batch["target_latents"][1] = math.inf
            spoiled.append(self.names(positions)[1])
        return batch

    monkeypatch.setattr(module.WorldBatches, "make", spoil)
    config = world_config(num_steps=6, state={"every_steps": 1})
    with pytest.raises(DivergedError, match="step 3: the loss is not finite, from samples") as caught:
        train(config, cache, tmp_path / "run")
    assert f"samples {spoiled[0]};" in str(caught.value)
    state = load_latest_state(tmp_path / "run" / "states")
    assert state.step == 3
    assert all(bool(tensor.isfinite().all()) for tensor in state.tensors.values())


def test_a_full_disk_leaves_the_earlier_state(world_config, cache, tmp_path, monkeypatch):
    import resource  # noqa: PLC0415

    config = world_config(num_steps=2)
    train(config, cache, tmp_path / "run")
    before = weights_of(tmp_path / "run")
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (20_000, hard))
    try:
        with pytest.raises(
            OutputError, match=r"the state could not be written, earlier states are untouched"
        ):
            train(world_config(num_steps=3), cache, tmp_path / "run", resume=True)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert same(before, weights_of(tmp_path / "run")) == []
    assert not list((tmp_path / "run" / "states").glob(".unfinished*"))
    assert train(world_config(num_steps=3), cache, tmp_path / "run", resume=True).finished


def test_a_run_keeps_its_seed_and_task(world_config, cache, tmp_path):
    train(world_config(num_steps=1), cache, tmp_path / "run")
    with pytest.raises(InputError, match=r"a run keeps its seed, task\.caption_dropout"):
        train(
            world_config(num_steps=2, seed=5, task={"caption_dropout": 0.5}),
            cache,
            tmp_path / "run",
            resume=True,
        )
    with pytest.raises(InputError, match="holds a run with other settings; go on with it by --resume"):
        train(world_config(num_steps=2), cache, tmp_path / "run")
    with pytest.raises(CheckpointError, match="holds no run"):
        train(world_config(num_steps=2), cache, tmp_path / "other", resume=True)
    train(
        world_config(num_steps=2, optimisation={"learning_rate": 1e-4}), cache, tmp_path / "run", resume=True
    )
    changes = json.loads((tmp_path / "run" / "config.json").read_text())["changes"]
    assert changes[0]["step"] == 1
    assert changes[0]["changed"]["optimisation.learning_rate"] == 1e-4


def test_other_data_are_refused(world_config, cache, data, tmp_path):
    train(world_config(num_steps=1), cache, tmp_path / "run")
    with pytest.raises(CheckpointError, match="trained on other data"):
        train(world_config(num_steps=2), cache / "validation", tmp_path / "run", resume=True)


def test_a_batch_must_divide(world_config, cache, tmp_path):
    with pytest.raises(InputError, match=r"batch\.size 4 does not divide"):
        train(world_config(batch={"accumulation": 3}), cache, tmp_path / "run")
    assert not (tmp_path / "run").exists()


def test_a_tracker_that_is_missing_is_named(world_config, cache, tmp_path, monkeypatch):
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    with pytest.raises(InputError, match="tensorboard is not installed"):
        train(world_config(tracker="tensorboard"), cache, tmp_path / "run")


@pytest.mark.parametrize("batch", [{"precision": "bf16"}, {"gradient_checkpointing": True}])
def test_cheaper_ways_to_compute(world_config, cache, tmp_path, batch, forget_accelerate):
    train(world_config(num_steps=2), cache, tmp_path / "plain")
    forget_accelerate()
    train(world_config(num_steps=2, batch=batch), cache, tmp_path / "cheap")
    plain, cheap = (read_log(tmp_path / name)[-1]["loss"] for name in ("plain", "cheap"))
    assert cheap == pytest.approx(plain, rel=2e-2 if batch.get("precision") else 1e-5)


def test_another_precision_in_the_same_process_is_refused_in_one_line(world_config, cache, tmp_path):
    train(world_config(num_steps=1), cache, tmp_path / "plain")
    with pytest.raises(InputError, match="one precision for a process"):
        train(world_config(num_steps=1, batch={"precision": "bf16"}), cache, tmp_path / "other")


@pytest.mark.slow
def test_a_compiled_run_computes_the_same(world_config, cache, tmp_path):
    train(world_config(num_steps=2), cache, tmp_path / "plain")
    train(world_config(num_steps=2, batch={"compile": True}), cache, tmp_path / "compiled")
    plain, compiled = (read_log(tmp_path / name)[-1]["loss"] for name in ("plain", "compiled"))
    assert compiled == pytest.approx(plain, rel=1e-3)
    assert weights_of(tmp_path / "plain").keys() == weights_of(tmp_path / "compiled").keys()
