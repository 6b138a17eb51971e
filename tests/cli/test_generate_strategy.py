"""Strategies on the command line: another memory for trained weights, masks, and the table of costs."""

import json

import numpy as np
import pytest
import torch
from safetensors.torch import save_file
from tests.codec.test_tiny_decoder import weights

from models import tiny_world
from outofsight.cli.strategies import COUNTED
from outofsight.data.video import read_video, write_video
from outofsight.memory.strategies import STRATEGIES, strategy

FAST = ("--frames", "9+9", "--steps", "1", "--guidance", "1", "--prompt", "A cat sits.")


def generate(cases, model, out, *more):
    return ("generate", "--model", model, "--video", cases / "1.mp4", "--camera", cases / "cam1.json", "--out", out,
            *FAST, *more)  # fmt: skip


def test_another_memory_for_the_same_weights(in_process, cases, model_folder, tmp_path, read_json):
    code, _, error = in_process(*generate(cases, model_folder, tmp_path / "own.mp4"))
    assert code == 0, error
    code, _, error = in_process(
        *generate(cases, model_folder, tmp_path / "other.mp4", "--strategy", "window")
    )
    assert code == 0, error
    assert read_json(tmp_path / "other.json")["strategy"] == "window"
    own, other = (read_video(tmp_path / f"{name}.mp4").frames for name in ("own", "other"))
    assert (own != other).any()


def test_a_strategy_that_needs_training_is_one_line(in_process, cases, model_folder, tmp_path):
    code, _, error = in_process(*generate(cases, model_folder, tmp_path / "a.mp4", "--strategy", "recurrent"))
    assert code == 2
    assert "train one with it: outofsight train --strategy recurrent" in error
    assert not (tmp_path / "a.mp4").exists()
    code, _, error = in_process(*generate(cases, model_folder, tmp_path / "a.mp4", "--mask", cases / "1.mp4"))
    assert code == 2
    assert "this model (hydra) takes no masks of subjects" in error


def test_masks_of_a_video(in_process, cases, tmp_path):
    folder = tmp_path / "segmented"
    settings = dict(strategy("segmentation").settings)
    tiny_world(**settings, memory_strategy="segmentation").save_pretrained(folder)
    code, _, error = in_process(*generate(cases, folder, tmp_path / "a.mp4"))
    assert code == 2
    assert "needs subject masks" in error
    masks = np.zeros((9, 48, 64, 3), dtype=np.uint8)
    masks[:, 8:24, 16:40] = 255
    write_video(tmp_path / "short.mp4", masks[:5], 15, quality="lossless")
    code, _, error = in_process(
        *generate(cases, folder, tmp_path / "a.mp4", "--mask", tmp_path / "short.mp4")
    )
    assert code == 2
    assert "has 5 frames, expected 9" in error
    write_video(tmp_path / "mask.mp4", masks, 15, quality="lossless")
    code, _, error = in_process(*generate(cases, folder, tmp_path / "a.mp4", "--mask", tmp_path / "mask.mp4"))
    assert code == 0, error
    assert read_video(tmp_path / "a.mp4").frames.shape == (9, 48, 64, 3)


def test_the_table_of_costs(in_process):
    code, out, error = in_process("strategies", "hydra", "concat", "dfot", "--json")
    assert code == 0, error
    hydra, concat, dfot = counted = json.loads(out)["costs"]
    kept = {cost["name"]: cost for cost in json.loads(COUNTED.read_text())["costs"]}
    assert [kept[cost["name"]] for cost in counted] == counted, (
        f"make {COUNTED.name} again: its module says how"
    )
    assert hydra["tokens"] == concat["tokens"] == 22 * 24  # 41 + 41 frames at 64×96
    assert hydra["keys_per_query"] == 5 * 24 + 10 * 6
    assert concat["keys_per_query"] == 22 * 24
    assert concat["attention_flops"] == 8 * 4 * 528 * 528 * 192
    assert (concat["forwards_per_step"], dfot["forwards_per_step"]) == (1, 2)
    assert hydra["num_parameters"] > concat["num_parameters"]  # the tokenizer
    assert (
        in_process("strategies", "worldplay", "--frames", "9+9", "--size", "32x64")[1].count("worldplay") == 1
    )
    code, out, error = in_process("strategies", "hydra-2x8x8", "--frames", "9+9", "--size", "32x64", "--json")
    assert code == 0, error
    (unfit,) = json.loads(out)["costs"]  # 2 rows of tokens make no memory token of 4
    assert unfit["flops"] is None
    assert "a memory token covers 2 frames × 4 rows × 4 columns" in unfit["problem"]
    code, _, error = in_process("strategies", "hydro")
    assert code == 2
    assert "unknown strategy 'hydro'" in error


def test_the_costs_that_are_kept_are_of_every_strategy(in_process):
    kept = json.loads(COUNTED.read_text())["costs"]
    reported = [(cost["name"], cost["what"], cost["source"]) for cost in kept]
    wanted = [(each.name, each.what, each.source) for each in STRATEGIES.values()]
    assert reported == wanted, f"make {COUNTED.name} again: its module says how"
    code, out, _ = in_process("strategies")
    assert (code, [name for name in STRATEGIES if name not in out]) == (0, [])


@pytest.mark.slow
def test_the_costs_that_are_kept_are_those_that_are_counted(in_process):
    code, out, error = in_process("strategies", "--size", "64x96", "--frames", "41+41", "--json")
    assert code == 0, error
    assert json.loads(out) == json.loads(COUNTED.read_text())


def test_the_dry_run_of_a_training_shows_the_strategy(in_process, tmp_path):
    arguments = (
        "train",
        "--recipe",
        "mini_world",
        "--out",
        tmp_path / "run",
        "--dry-run",
    )
    code, out, error = in_process(*arguments, "--strategy", "fov", "--set", "task.memory.context_clips=6")
    assert code == 0, error
    task = json.loads(out)["task"]
    assert task["strategy"] == "fov"
    assert task["memory"] == {**strategy("fov").settings, "context_clips": 6}
    code, _, error = in_process(
        "train", "--recipe", "mini_vae", "--out", tmp_path / "run", "--strategy", "fov"
    )
    assert code == 2
    assert "trains no world model" in error


def test_a_tiny_decoder_in_the_vaes_place(in_process, cases, model_folder, tmp_path, read_json):
    torch.manual_seed(0)
    tiny, odd = tmp_path / "taew2_1.safetensors", tmp_path / "odd.safetensors"
    save_file(weights(), tiny)
    save_file({"decoder.conv1.weight": torch.zeros(3)}, odd)
    code, _, error = in_process(*generate(cases, model_folder, tmp_path / "odd.mp4", "--vae", odd))
    assert code == 2
    assert "odd.safetensors: expected a tiny video decoder" in error
    save_file(weights(channels=48, patch=2), odd)
    code, _, error = in_process(
        *generate(cases, model_folder, tmp_path / "odd.mp4", "--vae", odd, "--dry-run")
    )
    assert (code, "takes 48 latent channels" in error) == (2, True)
    assert not (tmp_path / "odd.mp4").exists()
    for name, more in (("own", ()), ("fast", ("--vae", tiny))):
        code, _, error = in_process(*generate(cases, model_folder, tmp_path / f"{name}.mp4", *more))
        assert code == 0, error
    assert read_json(tmp_path / "fast.json")["vae"] == str(tiny)
    own, fast = (read_video(tmp_path / f"{name}.mp4").frames for name in ("own", "fast"))
    assert own.shape == fast.shape
    assert (own != fast).any()
