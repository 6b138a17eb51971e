"""``--dry-run`` of every verb that writes: it makes nothing, and refuses what a run would refuse, in the same words."""

import shutil
from types import SimpleNamespace

import pytest
import typer

from outofsight.cli import build_app
from writing_verbs import long_commands, make_inputs, short_commands

ELSEWHERE = {"cameras estimate", "explore"}
"""The first refuses by what it computes; a walk is saved by hand."""

SPOILT = {
    "data encode": ("data/test/clip_000002/cond.mp4", b"no video"),
    "generate": ("cases/3.mp4", b"no video"),
    "roll": ("cases/1.mp4", b"no video"),
    "evaluate": ("data/test/clip_000002/annotation.json", b"{"),
    "train": ("cache/train/cache.json", b"{"),
    "world build": None,
    "data to-samples": ("states/test/shard-000000.safetensors", b"no tensors"),
    "data from-samples": ("samples/clip_000002.pth", b"no tensors"),
    "data import-hm-world": ("released/HM-World_ab", b"cut short"),
    "convert to-official": ("tiny/vae/config.json", b"{"),
    "convert to-diffusers": ("tiny/vae/diffusion_pytorch_model.safetensors", b"no tensors"),
    "convert lora": ("style.safetensors", b"no tensors"),
    "convert merge-lora": ("style.safetensors", b"no tensors"),
    "cameras import": ("vipe.npz", b"no arrays"),
    "world pack": None,
    "world stats": ("data/test/clip_000002/annotation.json", b"{"),
    "world preview": None,
    "bundle": ("run/log.jsonl", b"{"),
    "push": ("tiny/README.md", b"---\nlicense: [a\n---\n"),
    "exchange run": ("natural25/cup.png", b"no picture"),
    "exchange write": ("made/1st_data__mem_test__data-1.mp4", b"no video"),
    "exchange read": ("results/theirs/1st_data/mem_test/data-1/video.mp4", b"no video"),
    "demo": None,
}
"""A file of each verb's inputs that is spoilt, and by what; ``None``: it reads none, or packs it as it is."""


def writing_verbs(command, words=()):
    """Walk through the verbs, and give those that have an ``--out``."""
    for name, verb in getattr(command, "commands", {}).items():
        yield from writing_verbs(verb, (*words, name))
    if any("--out" in option.opts for option in command.params):
        yield " ".join(words), {name for option in command.params for name in option.opts}


def test_every_verb_that_writes_has_it():
    found = dict(writing_verbs(typer.main.get_command(build_app())))
    assert [verb for verb, options in found.items() if "--dry-run" not in options] == ["cameras estimate"]
    assert found.keys() - ELSEWHERE == SPOILT.keys()


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    folder = tmp_path_factory.mktemp("inputs")
    make_inputs(folder)
    return folder


@pytest.fixture
def inputs(made, tmp_path):
    return shutil.copytree(made, tmp_path / "inputs")


def files(folder):
    return {path: path.read_bytes() if path.is_file() else None for path in folder.rglob("*")}


@pytest.mark.parametrize("verb", SPOILT)
def test_a_dry_run(cli, inputs, tmp_path, monkeypatch, verb):
    monkeypatch.setattr("outofsight.demo.run.run_demo", lambda *_: pytest.fail("the demo began"))
    command = {**long_commands(inputs), **short_commands(inputs)}[verb]
    out, before = tmp_path / "out", files(inputs)
    code, error = cli(*command(out), "--dry-run")
    assert code == 0, error
    assert not out.exists()
    assert files(inputs) == before

    out.write_text("theirs")
    dry, run = cli(*command(out), "--dry-run"), cli(*command(out))
    assert dry == run
    assert dry[0] == 2
    assert out.read_text() == "theirs"
    out.unlink()

    if (spoilt := SPOILT[verb]) is not None:
        (inputs / spoilt[0]).write_bytes(spoilt[1])
        dry = cli(*command(out), "--dry-run")
        assert not out.exists()
        assert dry[0] == 2
        assert dry[1] == cli(*command(out))[1]


def test_a_lens_is_told_and_not_written(cli, made, monkeypatch):
    found = SimpleNamespace(fov_x_deg=72.0, clips=3, spread_deg=0.5)
    monkeypatch.setattr("outofsight.camera_estimation.known_turns.set_lens", lambda *_: found)
    before = files(made / "data")
    assert cli("data", "lens", made / "data", "--dry-run") == (0, "")
    assert files(made / "data") == before
