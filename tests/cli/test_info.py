"""``outofsight info``, and the front door itself."""

import json
import shutil
import subprocess
import sys

import pytest
import torch

from models import tiny_world
from outofsight.cli.info import COUNTED
from outofsight.memory.strategies import strategy
from outofsight.model_folders import USE_FILE, ModelUse, read_use, use_as_json
from outofsight.sampling.plan import networks_on_meta


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


def test_the_bundled_model_is_told_without_counting():
    code = (
        "import sys; sys.argv = ['outofsight', 'info', 'mini']; from outofsight.cli import main\n"
        "try: main()\nfinally: sys.exit('torch' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert "what" in done.stdout


@pytest.mark.slow
def test_what_is_told_of_the_bundled_model_is_what_counting_gives(outofsight):
    code, out, error = outofsight("info", "mini", "--dtype", "bfloat16", "--json")
    assert code == 0, error
    assert json.loads(out) == json.loads(COUNTED.read_text()), (
        f"make {COUNTED.name} again: its module says how"
    )


def test_what_is_told_of_the_bundled_model_is_of_this_model():
    """The quick part of the test above: weights and use, which a new bundled model changes."""
    figures, use = json.loads(COUNTED.read_text()), read_use("mini")
    networks = networks_on_meta("mini", torch.bfloat16)
    assert figures["num_parameters"] == {
        name: sum(value.numel() for value in network.parameters()) for name, network in networks.items()
    }
    settings = vars(networks["transformer"].memory_settings).items()
    assert figures["settings"] == json.loads(
        json.dumps({name: value for name, value in settings if name[0] != "_"})
    )
    assert (figures["sampling"], figures["explore"]) == (use.sampling, use.explore)
    assert (figures["size"], figures["frames"]) == (list(use.size), list(use.frames))


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
