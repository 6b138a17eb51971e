"""``outofsight info``, and the front door itself."""

import shutil

from models import tiny_world
from outofsight.memory.strategies import strategy
from outofsight.model_folders import USE_FILE, ModelUse, use_as_json


def test_sizes_memory_and_arithmetic(outofsight, model_folder):
    code, out, error = outofsight(
        "info", model_folder, "--size", "96x160", "--frames", "9+13", "--steps", "4"
    )
    assert code == 0, error
    assert "420 (7 frames of 6×10)" in out
    assert "8 forwards" in out
    assert "memory, denoise" in out


def test_how_a_model_is_sampled_and_explored(outofsight, model_folder, tmp_path):
    folder = shutil.copytree(model_folder, tmp_path / "model")
    size = ("--size", "64x96", "--frames", "9+9")
    for explore, shown in (
        ({"strategy": "hybrid", "context_once": True}, "strategy hybrid, context_once True"),
        ({}, "as sampling"),
    ):
        use = ModelUse(num_inference_steps=3, guidance_scale=1.0, strength=0.4, explore=explore)
        (folder / USE_FILE).write_text(use_as_json(use), encoding="utf-8")
        code, out, error = outofsight("info", folder, *size)
        assert code == 0, error
        assert "sampling: num_inference_steps 3, guidance_scale 1.0, strength 0.4\n" in out
        assert f"explore: {shown}\n" in out


def test_keys_that_the_banks_recall_are_told_apart(outofsight, tmp_path):
    settings = {**strategy("hybrid").settings, "banks": {"archive_slots": 4, "subject_slots": 2, "top_k": 3}}
    tiny_world(**settings, memory_strategy="hybrid").save_pretrained(tmp_path / "hybrid")
    code, out, error = outofsight("info", tmp_path / "hybrid", "--size", "64x96", "--frames", "9+9")
    assert code == 0, error
    assert ": hybrid, " in out
    assert "144 of 144, and up to " in out
    assert "that the banks retrieve" in " ".join(out.split())


def test_a_size_the_model_cannot_take(outofsight, model_folder):
    code, _, error = outofsight("info", model_folder, "--size", "100x160")
    assert code == 2
    assert error.strip() == (
        "outofsight: this model needs a height divisible by 16 and a width divisible by 16, got 100×160"
    )


def test_help_names_the_verbs(outofsight):
    code, out, _ = outofsight("--help")
    assert code == 0
    for verb in ("generate", "convert", "info"):
        assert verb in out


def test_what_fits_a_card(outofsight, model_folder):
    """Each flag needs less than the way before it; training shared among cards less than on one."""
    code, out, error = outofsight(
        "info", model_folder, "--size", "96x160", "--frames", "9+9", "--vram", "1.001", "--gpus", "4"
    )
    assert code == 0, error
    rows = [
        line.split("│")[1:4]
        for line in out.splitlines()
        if line.rstrip().endswith(("yes │", "no  │", "no   │"))
    ]
    fits = {command.strip(): fit.strip() for command, _, fit in rows}
    assert fits["generate"] == "no"
    assert fits["generate --offload sequential --tile-vae --attention-chunk 1"] == "no"
    assert {command for command in fits if "on 4 cards" in command} == {
        f"{command}  on 4 cards"
        for command in fits
        if command.startswith("train") and "4 cards" not in command
    }
