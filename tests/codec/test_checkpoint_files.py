"""Weight files: what is written is read back exactly; whatever is wrong with a file has one clear line."""

import os
import pickle
import resource
import stat
import zipfile
from pathlib import Path

import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from safetensors import safe_open

from outofsight.codec.checkpoint_files import (
    PICKLE_SUFFIXES,
    describe_checkpoint,
    identify,
    load_state_dict,
    require_entries,
    require_kind,
    save_state_dict,
    shared_prefix,
)
from outofsight.errors import CheckpointError, InputError, OutputError

WEIGHTS = {
    "a.weight": torch.arange(6, dtype=torch.float32).reshape(2, 3),
    "a.bias": torch.tensor([0.1, -2.0], dtype=torch.bfloat16),
    "steps": torch.tensor([7], dtype=torch.int64),
}


def assert_same(got: dict, expected: dict) -> None:
    assert list(sorted(got)) == sorted(expected)
    for name, tensor in expected.items():
        assert got[name].dtype == tensor.dtype
        assert torch.equal(got[name], tensor)


class RunsCode:
    """A pickle of this would create a file when read by a careless loader."""

    def __init__(self, trace: Path) -> None:
        self.trace = trace

    def __reduce__(self):
        return os.mkdir, (str(self.trace),)


@pytest.mark.parametrize("suffix", [".safetensors", *PICKLE_SUFFIXES])
def test_what_is_saved_is_loaded(tmp_path, suffix):
    path = tmp_path / f"weights{suffix}"
    save_state_dict(path, WEIGHTS)
    assert_same(load_state_dict(path), WEIGHTS)
    assert [file.name for file in tmp_path.iterdir()] == [path.name]


def test_the_content_decides_not_the_suffix_but_no_pickle_passes_for_safetensors(tmp_path):
    save_state_dict(tmp_path / "weights.safetensors", WEIGHTS)
    (tmp_path / "weights.safetensors").rename(tmp_path / "weights.bin")
    assert_same(load_state_dict(tmp_path / "weights.bin"), WEIGHTS)
    save_state_dict(tmp_path / "weights.pth", WEIGHTS)
    (tmp_path / "weights.pth").rename(tmp_path / "weights.safetensors")
    with pytest.raises(CheckpointError, match="got a pickle under that name"):
        load_state_dict(tmp_path / "weights.safetensors")


def test_metadata_is_kept_beside_the_format_that_other_libraries_ask_for(tmp_path):
    save_state_dict(tmp_path / "w.safetensors", WEIGHTS, {"made_by": "a test"})
    with safe_open(tmp_path / "w.safetensors", "pt") as file:
        assert file.metadata() == {"made_by": "a test", "format": "pt"}


def test_the_same_content_makes_the_same_file(tmp_path):
    path, reported = tmp_path / "w.safetensors", {name: name for name in ("zä", "b", "a", "\n", "c")}
    written = set()
    for _ in range(6):
        save_state_dict(path, {"w": torch.ones(3)}, reported)
        written.add(path.read_bytes())
    assert len(written) == 1
    with safe_open(path, framework="pt") as file:
        assert file.metadata() == {**reported, "format": "pt"}


def test_tied_sliced_and_transposed_tensors_keep_their_values(tmp_path):
    base = torch.arange(12.0).reshape(3, 4)
    weights = {"tied": base, "again": base, "transposed": base.T, "slice": base[1], "empty": torch.zeros(0)}
    for suffix in (".safetensors", ".pth"):
        save_state_dict(tmp_path / f"w{suffix}", weights)
        assert_same(load_state_dict(tmp_path / f"w{suffix}"), weights)
    # the slice does not drag the other rows into the file
    save_state_dict(tmp_path / "slice.pth", {"slice": base[1]})
    save_state_dict(tmp_path / "small.pth", {"slice": base[1].clone()})
    assert (tmp_path / "slice.pth").read_bytes() == (tmp_path / "small.pth").read_bytes()


@pytest.mark.parametrize("wrapper", ["state_dict", "model", "module"])
def test_one_wrapper_is_taken_off(tmp_path, wrapper):
    torch.save({wrapper: WEIGHTS, "epoch": 3}, tmp_path / "w.ckpt")
    assert_same(load_state_dict(tmp_path / "w.ckpt"), WEIGHTS)


def test_old_torch_files_and_parameters_are_read(tmp_path):
    parameter = torch.nn.Parameter(torch.ones(2))
    torch.save({"w": parameter}, tmp_path / "old.pth", _use_new_zipfile_serialization=False)
    loaded = load_state_dict(tmp_path / "old.pth")
    assert torch.equal(loaded["w"], torch.ones(2))
    assert not loaded["w"].requires_grad


def test_saving_over_the_file_one_has_loaded_is_safe(tmp_path):
    path = tmp_path / "w.pth"
    save_state_dict(path, WEIGHTS)
    loaded = load_state_dict(path)  # memory-mapped from path
    save_state_dict(path, {name: loaded[name] for name in ("a.weight", "steps")})
    assert torch.equal(loaded["a.weight"], WEIGHTS["a.weight"])
    assert_same(load_state_dict(path), {name: WEIGHTS[name] for name in ("a.weight", "steps")})


def test_a_pickle_with_code_is_refused_and_its_code_not_run(tmp_path):
    trace = tmp_path / "trace"
    for zipped in (True, False):
        torch.save({"w": RunsCode(trace)}, tmp_path / "evil.pth", _use_new_zipfile_serialization=zipped)
        with pytest.raises(CheckpointError, match=r"needs code to be read \(posix\.mkdir.*\).*\.safetensors"):
            load_state_dict(tmp_path / "evil.pth")
    (tmp_path / "bare.pth").write_bytes(pickle.dumps(RunsCode(trace), protocol=2))
    with pytest.raises(CheckpointError):
        load_state_dict(tmp_path / "bare.pth")
    assert not trace.exists()


def test_a_scripted_model_is_refused(tmp_path):
    with pytest.warns(DeprecationWarning, match="deprecated"):
        torch.jit.script(torch.nn.Linear(2, 2)).save(str(tmp_path / "scripted.pt"))
    with pytest.raises(CheckpointError, match="TorchScript"):
        load_state_dict(tmp_path / "scripted.pt")


@pytest.mark.parametrize("suffix", [".safetensors", ".pth"])
@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(fraction=st.floats(0, 1, exclude_max=True))
def test_a_truncated_file_is_named_wherever_it_ends(tmp_path, suffix, fraction):
    whole = tmp_path / f"whole{suffix}"
    save_state_dict(whole, WEIGHTS)
    data = whole.read_bytes()
    cut = tmp_path / f"cut{suffix}"
    cut.write_bytes(data[: int(fraction * len(data))])
    with pytest.raises(CheckpointError, match=r"cut.*(again|truncated)"):
        load_state_dict(cut)


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(head=st.sampled_from([b"", b"\x80\x02", b"PK\x03\x04", b"\x10" + bytes(7) + b"{"]), data=st.binary())
def test_junk_is_an_error_and_never_a_crash(tmp_path, head, data):
    (tmp_path / "junk.bin").write_bytes(head + data)
    with pytest.raises(CheckpointError, match=r"junk\.bin"):
        load_state_dict(tmp_path / "junk.bin")


def test_files_that_are_no_checkpoints_are_named_for_what_they_are(tmp_path):
    (tmp_path / "page.pth").write_text("<!doctype html><html>Not found</html>")
    (tmp_path / "pointer.safetensors").write_text(
        "version https://git-lfs.github.com/spec/v1\noid sha256:0\n"
    )
    with zipfile.ZipFile(tmp_path / "photos.pt", "w") as archive:
        archive.writestr("photo.txt", "no weights")
    for name, reason in {
        "page.pth": "starts with b'<!doctyp'",
        "pointer.safetensors": "git lfs pull",
        "photos.pt": "not written by torch.save",
        "absent.pth": "no such file",
        ".": "got a folder",
    }.items():
        with pytest.raises(CheckpointError, match=reason):
            load_state_dict(tmp_path / name)


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        ([torch.ones(1)], "got a list"),
        ({}, "empty checkpoint"),
        ({"state_dict": {}}, "empty checkpoint"),
        ({"w": torch.ones(1), "epoch": 3}, r"got also 'epoch' \(a whole number\)"),
        ({"a": 1, "b": 2, "c": 3, "d": 4}, r"'c' \(a whole number\) and 1 more"),
        ({0: torch.ones(1)}, r"got also 0 \(a name that is no text\)"),
        ({"model": {"w": torch.ones(1)}, "module": {"w": torch.ones(1)}}, "found model and module"),
    ],
)
def test_content_that_is_not_a_state_dict_is_refused(tmp_path, content, reason):
    torch.save(content, tmp_path / "w.pth")
    with pytest.raises(CheckpointError, match=reason):
        load_state_dict(tmp_path / "w.pth")


@pytest.mark.parametrize(
    ("name", "weights", "metadata", "reason"),
    [
        ("w.npz", WEIGHTS, None, "ends in .safetensors"),
        ("w.safetensors", {}, None, "non-empty"),
        ("w.safetensors", {"w": 3}, None, "named tensors"),
        ("w.safetensors", {"w": torch.empty(1, device="meta")}, None, "no data behind w"),
        ("w.pth", WEIGHTS, {"a": "b"}, "no place for metadata"),
        ("w.safetensors", WEIGHTS, {"a": 1}, "text values"),
    ],
)
def test_what_cannot_be_saved_is_refused(tmp_path, name, weights, metadata, reason):
    with pytest.raises(InputError, match=reason):
        save_state_dict(tmp_path / name, weights, metadata)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("suffix", [".safetensors", ".pth"])
def test_a_failed_write_leaves_the_older_file_and_nothing_else(tmp_path, suffix):
    with pytest.raises(OutputError, match="could not be written"):
        save_state_dict(tmp_path / "absent" / f"w{suffix}", WEIGHTS)
    path = tmp_path / f"w{suffix}"
    save_state_dict(path, WEIGHTS)
    full = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (4096, full[1]))  # as a full disk: the write fails half-way
    try:
        with pytest.raises(OutputError, match="could not be written"):
            save_state_dict(path, {"w": torch.ones(10_000)})
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, full)
    assert_same(load_state_dict(path), WEIGHTS)
    assert [file.name for file in tmp_path.iterdir()] == [path.name]


def test_a_saved_file_has_ordinary_permissions(tmp_path):
    for name in ("w.safetensors", "w.pth"):
        save_state_dict(tmp_path / name, WEIGHTS)
    (tmp_path / "plain").touch()
    modes = {stat.S_IMODE(path.stat().st_mode) for path in tmp_path.iterdir()}
    assert len(modes) == 1


OFFICIAL = ("patch_embedding.weight", "blocks.0.self_attn.q.weight", "blocks.0.cross_attn.q.weight")
DIFFUSERS = ("patch_embedding.weight", "scale_shift_table", "blocks.0.attn1.to_q.weight")
KIND_NAMES = {
    "hydra": (*OFFICIAL, "blocks.0.self_attn.tokenizer.conv.weight", "blocks.0.projector.weight"),
    "wan_dit": OFFICIAL,
    "diffusers_wan_dit": (*DIFFUSERS, "blocks.0.attn1.to_out.0.weight", "blocks.11.attn1.norm_k.weight"),
    "diffusers_hydra": (*DIFFUSERS, "blocks.0.attn1.projector.weight"),
    "diffusers_wan_vae": ("encoder.conv_in.weight", "decoder.conv_in.weight", "post_quant_conv.weight"),
    "transformers_umt5": (
        "encoder.block.0.layer.0.SelfAttention.q.weight",
        "encoder.final_layer_norm.weight",
    ),
    "unknown": ("layers.0.weight", "layers.0.bias"),
}


@pytest.mark.parametrize("prefix", ["", "module.", "pipe.dit."])
@pytest.mark.parametrize("kind", KIND_NAMES)
def test_identify_by_names_whatever_they_are_prefixed_with(kind, prefix):
    weights = {prefix + name: torch.ones(1) for name in KIND_NAMES[kind]}
    assert identify(weights) == kind
    if kind != "unknown":
        assert tuple(require_kind(weights, kind)) == KIND_NAMES[kind]


def test_a_prefix_that_not_all_names_share_is_none():
    names = ["model.conv.weight", "model.conv.bias"]
    assert shared_prefix(names, "conv.weight") == "model."
    assert shared_prefix([*names, "ema.conv.weight"], "conv.weight") == ""
    assert shared_prefix(names, "absent.weight") == ""


def test_identify_the_published_files(fixtures_dir):
    for file, kind in (("vae_tiny", "wan_vae"), ("text_encoder_tiny", "umt5")):
        golden = load_state_dict(fixtures_dir / "golden" / f"{file}.safetensors")
        weights = {name.removeprefix("weights."): tensor for name, tensor in golden.items()}
        assert identify(weights) == kind


def test_a_wrong_model_is_named_for_what_it_seems_to_be():
    weights = dict.fromkeys(KIND_NAMES["wan_dit"], torch.ones(1))
    with pytest.raises(CheckpointError, match=r"of an original Wan VAE .* got an original Wan tr"):
        require_kind(weights, "wan_vae")
    assert describe_checkpoint({"x": 0, "y": 0, "z": 0, "u": 0}) == (
        "no model known here (its first names: x, y, z and 1 more)"
    )


def test_every_kind_of_fault_in_the_entries_is_named():
    weights = {"right": torch.ones(2), "wide": torch.ones(3), "extra": torch.ones(1)}
    with pytest.raises(CheckpointError) as caught:
        require_entries(weights, {"right": (2,), "wide": (2,), "gone": (1,)}, "a toy")
    assert "1 missing: gone; 1 unknown: extra; 1 of another shape: wide [3] instead of [2]" in str(
        caught.value
    )
    require_entries({"right": torch.ones(2)}, {"right": (2,)}, "a toy")
