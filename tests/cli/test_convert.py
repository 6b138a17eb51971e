"""Published checkpoint files → a model folder → the same files, bit for bit; and files that are something else."""

import json

import pytest
import torch
from safetensors.torch import save_file
from transformers import ByT5Tokenizer

from golden import load_golden
from models import tiny_text_encoder, tiny_transformer, tiny_vae
from outofsight.backbone.official import transformer_to_official
from outofsight.codec.checkpoint_files import load_state_dict
from outofsight.codec.official import text_encoder_to_official, vae_to_official


@pytest.fixture(scope="module")
def states():
    return {
        "transformer": transformer_to_official(
            tiny_transformer(num_attention_heads=2, attention_head_dim=128, ffn_dim=32)
        ),
        "vae": vae_to_official(tiny_vae()),
        "text_encoder": text_encoder_to_official(tiny_text_encoder()),
    }


@pytest.fixture
def files(states, tmp_path):
    """The three files as they are published: a pickle under ``state_dict``, and two bare ones."""
    paths = {
        "transformer": tmp_path / "hydra.ckpt",
        "vae": tmp_path / "vae.pth",
        "text_encoder": tmp_path / "t5.pth",
    }
    torch.save({"state_dict": states["transformer"]}, paths["transformer"])
    torch.save(states["vae"], paths["vae"])
    torch.save(states["text_encoder"], paths["text_encoder"])
    ByT5Tokenizer().save_pretrained(tmp_path / "tokenizer")
    return paths


def convert(files, tmp_path, out, **changes):
    paths = {**files, "tokenizer": tmp_path / "tokenizer", "out": out, **changes}
    return [
        "convert",
        "to-diffusers",
        *(f"--{key.replace('_', '-')}={value}" for key, value in paths.items()),
    ]


def test_there_and_back_is_bit_exact(cli_with_lines, files, states, tmp_path, read_json):
    model, back = tmp_path / "model", tmp_path / "back"
    code, error = cli_with_lines(*convert(files, tmp_path, model), "--set", "memory_top_k=3")
    assert code == 0, error
    config = read_json(model / "transformer" / "config.json")
    assert config["round_timestep_to_bf16"] is True  # a published HyDRA
    assert config["memory_top_k"] == 3
    assert read_json(model / "scheduler" / "scheduler_config.json")["shift"] == 5.0
    assert cli_with_lines("convert", "to-official", "--model", model, "--out", back)[0] == 0
    for part, name in (
        ("transformer", "hydra"),
        ("vae", "Wan2.1_VAE"),
        ("text_encoder", "models_t5_umt5-xxl-enc"),
    ):
        written = load_state_dict(back / f"{name}.safetensors")
        assert written.keys() == states[part].keys()
        assert all(torch.equal(written[key], states[part][key]) for key in written)


def test_a_golden_checkpoint_converts(cli_with_lines, files, tmp_path):
    torch.save(load_golden("dit_A").under("weights."), files["transformer"])
    code, error = cli_with_lines(
        *convert(files, tmp_path, tmp_path / "model"), "--set", "num_attention_heads=2"
    )
    assert code == 0, error


def test_comfyui_parts_in_scaled_fp8_convert(cli_with_lines, files, states, tmp_path):
    """ComfyUI's names, two parts and their index, matrices of the blocks in fp8 with a scale, the rest bf16."""
    folder, parts, wanted = tmp_path / "comfy", ({}, {}), {}
    folder.mkdir()
    for number, (name, weight) in enumerate(states["transformer"].items()):
        part, given = parts[number % 2], f"model.diffusion_model.{name}"
        if name.startswith("blocks.") and name.endswith(".weight") and weight.ndim == 2:
            part[given] = (weight / 4).to(torch.float8_e4m3fn)
            part[given.removesuffix("weight") + "scale_weight"] = torch.tensor(4.0)
            wanted[name] = (4 * part[given].float()).bfloat16()
        else:
            part[given] = wanted[name] = weight.bfloat16()
    names = [f"wan-0000{number}-of-00002.safetensors" for number in (1, 2)]
    for name, part in zip(names, parts, strict=True):
        save_file({key: value.contiguous() for key, value in part.items()}, folder / name)
    where = {key: name for name, part in zip(names, parts, strict=True) for key in part}
    (folder / "wan.safetensors.index.json").write_text(json.dumps({"weight_map": where}))
    model, back = tmp_path / "model", tmp_path / "back"
    code, error = cli_with_lines(*convert(files, tmp_path, model, transformer=folder))
    assert code == 0, error
    assert cli_with_lines("convert", "to-official", "--model", model, "--out", back)[0] == 0
    written = load_state_dict(back / "hydra.safetensors")
    assert written.keys() == wanted.keys()
    assert all(torch.equal(written[key], wanted[key]) for key in wanted)


def test_plain_wan_needs_leave(cli_with_lines, files, states, tmp_path, read_json):
    own = ("cam_encoder", "projector", "tokenizer")
    plain = {
        key: value for key, value in states["transformer"].items() if not any(part in key for part in own)
    }
    torch.save(plain, files["transformer"])
    code, error = cli_with_lines(*convert(files, tmp_path, tmp_path / "model"))
    assert code == 2
    assert "plain Wan model" in error
    assert not (tmp_path / "model").exists()
    assert cli_with_lines(*convert(files, tmp_path, tmp_path / "model"), "--untrained-memory")[0] == 0
    assert read_json(tmp_path / "model" / "transformer" / "config.json")["round_timestep_to_bf16"] is False


@pytest.mark.parametrize(
    ("part", "spoil", "says"),
    [
        ("transformer", lambda path, files: path.unlink(), "hydra.ckpt"),
        ("transformer", lambda path, files: path.write_bytes(files["vae"].read_bytes()), "VAE"),
        ("vae", lambda path, files: path.write_bytes(files["text_encoder"].read_bytes()), "umT5"),
        ("text_encoder", lambda path, files: path.write_bytes(path.read_bytes()[:1000]), "t5.pth"),
        ("vae", lambda path, files: torch.save({"state_dict": print}, path), "vae.pth"),
    ],
)
def test_wrong_files_are_one_line_and_leave_nothing(cli_with_lines, files, tmp_path, part, spoil, says):
    spoil(files[part], files)
    code, error = cli_with_lines(*convert(files, tmp_path, tmp_path / "model"))
    assert code == 2
    assert len(error.strip().splitlines()) == 1, error
    assert says in error
    assert not (tmp_path / "model").exists()
    assert not list(tmp_path.glob(".model*"))


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["--set", "memory_size=3"], "memory_size"),
        (["--set", "memory_affinity=magic"], "magic"),
        (["--set", "3"], "KEY=VALUE"),
    ],
)
def test_wrong_settings(cli_with_lines, files, tmp_path, arguments, says):
    code, error = cli_with_lines(*convert(files, tmp_path, tmp_path / "model"), *arguments)
    assert code == 2
    assert says in error


def test_no_tokenizer_there(cli_with_lines, files, tmp_path):
    code, error = cli_with_lines(
        *convert(files, tmp_path, tmp_path / "model", tokenizer=tmp_path / "nothing")
    )
    assert code == 2
    assert "--tokenizer" in error


def test_nothing_is_overwritten(cli_with_lines, files, tmp_path):
    (tmp_path / "model").mkdir()
    (tmp_path / "model" / "precious").write_text("")
    code, error = cli_with_lines(*convert(files, tmp_path, tmp_path / "model"))
    assert code == 2
    assert "exists already" in error
    assert [path.name for path in (tmp_path / "model").iterdir()] == ["precious"]


@pytest.mark.parametrize("part", ["transformer", "vae", "text_encoder"])
def test_weights_that_are_no_numbers_are_refused(cli_with_lines, files, states, tmp_path, part):
    first, value = next((name, value) for name, value in states[part].items() if value.is_floating_point())
    torch.save({**states[part], first: torch.full_like(value, torch.nan)}, files[part])
    code, said = cli_with_lines(*convert(files, tmp_path, tmp_path / "model"))
    assert code == 2
    assert f"{files[part].name}: 1 weights hold numbers that are not finite: {first}" in said
    assert said.count("\n") == 1
    assert not (tmp_path / "model").exists()
