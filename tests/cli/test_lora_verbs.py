"""LoRAs on the command line: written under other names, merged into a model, refused in one line."""

import pytest
import torch
from safetensors.torch import load_file, save_file

STEM = "lora_unet_blocks_0_self_attn_q"


def kohya(folder, width=48):
    path = folder / "style.safetensors"
    down, up = torch.ones(2, width), torch.ones(width, 2)
    save_file(
        {f"{STEM}.lora_down.weight": down, f"{STEM}.lora_up.weight": up, f"{STEM}.alpha": torch.tensor(1.0)},
        path,
    )
    return path


def test_a_lora_is_renamed_and_merged(cli_with_lines, model_folder, tmp_path):
    style, out = kohya(tmp_path), tmp_path / "comfy.safetensors"
    assert cli_with_lines("convert", "lora", "--lora", style, "--model", model_folder, "--out", out)[0] == 0
    name = "diffusion_model.blocks.0.self_attn.q.lora"
    assert set(load_file(out)) == {f"{name}_A.weight", f"{name}_B.weight"}
    merged = tmp_path / "merged"
    assert (
        cli_with_lines(
            "convert", "merge-lora", "--lora", f"{out}:2", "--model", model_folder, "--out", merged
        )[0]
        == 0
    )
    file = "transformer/diffusion_pytorch_model.safetensors"
    before, after = load_file(model_folder / file), load_file(merged / file)
    layer = "blocks.0.attn1.to_q.weight"
    assert torch.allclose(after[layer], before[layer] + 2 * 2 / 2, atol=1e-6)  # strength · rank · alpha/rank


def test_what_does_not_fit_writes_nothing(cli_with_lines, model_folder, tmp_path):
    style, out = kohya(tmp_path, width=64), tmp_path / "out"
    for verb in ("lora", "merge-lora"):
        code, said = cli_with_lines("convert", verb, "--lora", style, "--model", model_folder, "--out", out)
        assert code == 2
        assert "another width" in said
        assert str(style) in said
        assert said.count("\n") == 1
    assert sorted(path.name for path in tmp_path.iterdir()) == ["style.safetensors"]


def test_an_empty_folder_is_in_the_way_of_a_file(cli_with_lines, model_folder, tmp_path):
    style, out = kohya(tmp_path), tmp_path / "style.json"
    out.mkdir()
    for verb in (
        ("convert", "lora", "--lora", style, "--model", model_folder),
        ("cameras", "import", style),
        ("cameras", "estimate", style),
    ):
        code, said = cli_with_lines(*verb, "--out", out)
        assert (code, "exists already; choose a new --out" in said) == (2, True), said
    assert not list(out.iterdir())


def test_a_lora_with_nan_is_refused(cli_with_lines, model_folder, tmp_path):
    style, out = kohya(tmp_path), tmp_path / "out"
    spoilt = load_file(style)
    spoilt[f"{STEM}.lora_up.weight"][0, 0] = torch.nan
    save_file(spoilt, style)
    for verb in ("lora", "merge-lora"):
        code, said = cli_with_lines("convert", verb, "--lora", style, "--model", model_folder, "--out", out)
        assert code == 2
        assert f"{style.name}: 1 weights hold numbers that are not finite: {STEM}.lora_up.weight" in said
        assert said.count("\n") == 1
    assert not out.exists()


@pytest.mark.parametrize("given", ["style:nan", "style:1e400", "style:", ":1", "style:much"])
def test_a_strength_is_a_number(cli_with_lines, model_folder, tmp_path, given):
    code, said = cli_with_lines(
        "convert", "merge-lora", "--lora", given, "--model", model_folder, "--out", tmp_path / "out"
    )
    assert (code, f"expected FILE or FILE:STRENGTH, as style.safetensors:0.8, got {given!r}" in said) == (
        2,
        True,
    ), said
