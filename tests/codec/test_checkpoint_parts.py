"""Weights in parts, under prefixes, in scaled fp8; what cannot be read says so in one line."""

import json

import pytest
import torch
from safetensors.torch import save_file

from outofsight.codec.checkpoint_parts import bare_names, read_weights, unquantised
from outofsight.errors import CheckpointError

A, B = torch.arange(4.0), torch.arange(6.0).reshape(2, 3)


def sharded(folder, where=None):
    save_file({"a.weight": A}, folder / "w-00001-of-00002.safetensors")
    save_file({"b.weight": B}, folder / "w-00002-of-00002.safetensors")
    where = where or {"a.weight": "w-00001-of-00002.safetensors", "b.weight": "w-00002-of-00002.safetensors"}
    (folder / "w.safetensors.index.json").write_text(json.dumps({"weight_map": where}))
    return folder


def test_parts_by_folder_and_by_index(tmp_path):
    folder = sharded(tmp_path)
    for path in (folder, folder / "w.safetensors.index.json"):
        state = read_weights(path)
        assert list(state) == ["a.weight", "b.weight"]
        assert torch.equal(state["b.weight"], B)


def test_a_missing_part_a_lone_part_and_a_lie(tmp_path):
    folder = sharded(tmp_path)
    with pytest.raises(CheckpointError, match="part 1 of 2; give the folder"):
        read_weights(folder / "w-00001-of-00002.safetensors")
    sharded(
        tmp_path, {"a.weight": "w-00001-of-00002.safetensors", "c.weight": "w-00002-of-00002.safetensors"}
    )
    with pytest.raises(CheckpointError, match=r"says it holds c\.weight"):
        read_weights(folder)
    sharded(tmp_path, {"a.weight": "../w.safetensors"})
    with pytest.raises(CheckpointError, match="files beside it"):
        read_weights(folder)
    sharded(tmp_path)
    (folder / "w-00002-of-00002.safetensors").unlink()
    with pytest.raises(CheckpointError, match="1 of 2 parts are missing"):
        read_weights(folder)
    (folder / "w.safetensors.index.json").write_text("{")
    with pytest.raises(CheckpointError, match="weight_map"):
        read_weights(folder)


@pytest.mark.parametrize(
    "prefix",
    ["module.", "model.diffusion_model.", "_orig_mod.", "module._orig_mod.", "diffusion_model.", "model.", "pipe.dit.",
     "dit.", "transformer.", ""],
)  # fmt: skip
def test_prefixes_come_off(prefix):
    assert list(bare_names({f"{prefix}blocks.0.x": A, f"{prefix}head": B})) == ["blocks.0.x", "head"]


def test_compiled_blocks_and_whole_checkpoints():
    assert list(bare_names({"blocks.0._orig_mod.x": A})) == ["blocks.0.x"]
    whole = {"model.diffusion_model.x": A, "vae.encoder.y": B, "text_encoders.t5.z": B}
    assert list(bare_names(whole)) == ["x"]


def test_scaled_fp8_is_undone(tmp_path):
    packed = (B / 4).to(torch.float8_e4m3fn)
    state = {
        "q.weight": packed,
        "q.scale_weight": torch.tensor(4.0),
        "q.scale_input": torch.tensor(1.0),
        "q.bias": A,
        "scaled_fp8": torch.zeros(0, dtype=torch.float8_e4m3fn),
    }
    save_file(
        {f"model.diffusion_model.{k}" if k != "scaled_fp8" else k: v for k, v in state.items()},
        tmp_path / "f.safetensors",
    )
    for plain in (unquantised(state), read_weights(tmp_path / "f.safetensors")):
        assert sorted(plain, reverse=True) == ["q.weight", "q.bias"]
        assert torch.equal(plain["q.weight"], B.bfloat16())
        assert plain["q.bias"].dtype == torch.float32
    rows = {"q.weight": packed, "q.weight_scale": torch.tensor([4.0, 8.0])}
    assert torch.equal(unquantised(rows)["q.weight"], (B * torch.tensor([[1.0], [2.0]])).bfloat16())
    assert torch.equal(unquantised({"q.weight": B.to(torch.float8_e5m2)})["q.weight"], B.bfloat16())


def test_what_cannot_be_undone(tmp_path):
    packed = B.to(torch.float8_e4m3fn)
    mark = {"scaled_fp8": torch.zeros(0, dtype=torch.float8_e4m3fn)}
    with pytest.raises(CheckpointError, match=r"its scale \(q.scale_weight\) is missing"):
        unquantised({"q.weight": packed, **mark})
    with pytest.raises(CheckpointError, match="block-wise"):
        unquantised({"q.weight": packed, "q.scale_weight": torch.ones(1, 3)})
    with pytest.raises(CheckpointError, match=r"torch\.uint8"):
        unquantised({"q.weight": B.to(torch.uint8)})
    (tmp_path / "wan.gguf").write_bytes(b"GGUF\x03\0\0\0" + bytes(64))
    with pytest.raises(CheckpointError, match="GGUF files cannot be read here"):
        read_weights(tmp_path / "wan.gguf")
    with pytest.raises(CheckpointError, match="no such file"):
        read_weights(tmp_path / "nothing.safetensors")
