"""What is said before a model is loaded that its device cannot hold."""

import re
from dataclasses import replace

import pytest
import torch

from outofsight.cli import main
from outofsight.cli.loading import check_loading, check_room
from outofsight.codec.quantisation import quantised_bytes
from outofsight.data.sample import write_sample
from outofsight.errors import InputError
from outofsight.model_folders import ModelSource
from outofsight.sampling.plan import networks_on_meta
from small_world import square_clip

GPU = torch.device("cuda:0")


@pytest.mark.parametrize("name", ["cuda", "cuda:7", "tpu", "mps"])
def test_a_device_that_is_not_there(name, monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    with pytest.raises(InputError, match=f"--device {name}: cannot be used here") as caught:
        check_loading(ModelSource(path="mini", device=name))
    assert "\n" not in str(caught.value)


def test_quantised_weights_are_asked_for_before_loading(monkeypatch):
    with pytest.raises(InputError, match=r"expected one of none, int8, nf4, got 'int3'"):
        check_loading(ModelSource(path="mini", device="cpu", quantize="int3"))
    monkeypatch.setattr("importlib.util.find_spec", lambda _: None)
    with pytest.raises(InputError, match=r"--quantize int8: torchao is not installed; pip install"):
        check_loading(ModelSource(path="mini", device="cpu", quantize="int8"))


def test_too_little_memory_is_foreseen(model_folder, monkeypatch):
    monkeypatch.setattr("outofsight.cli.loading.choose_device", lambda _: GPU)
    monkeypatch.setattr(torch.cuda, "mem_get_info", lambda _: (100_000, 2**30))
    model = ModelSource(path=str(model_folder))
    with pytest.raises(InputError, match=r"weights need .* are free; add --offload model, .* --vram 1$"):
        check_room(model)
    with pytest.raises(InputError, match="see --offload, free some memory"):
        check_room(replace(model, offload="model"))
    check_room(replace(model, offload="sequential"))
    monkeypatch.setattr(torch.cuda, "mem_get_info", lambda _: (2**30, 2**30))
    check_room(model)


@pytest.mark.parametrize("verb", ["generate", "roll", "evaluate", "evaluate --roll"])
def test_a_run_is_weighed_by_its_size(verb, model_folder, tmp_path, monkeypatch, capsys):
    """The weights alone would fit."""
    write_sample(tmp_path / "data" / "clip", square_clip("clip"))
    weights = sum(quantised_bytes(networks_on_meta(str(model_folder), torch.bfloat16), "none").values())
    monkeypatch.setattr("outofsight.cli.loading.choose_device", lambda _: GPU)
    monkeypatch.setattr(torch.cuda, "mem_get_info", lambda _: (2 * weights, 2**30))
    more = {
        "generate": ("--video", tmp_path / "data" / "clip", "--out", tmp_path / "x.mp4", "--frames=9+9"),
        "roll": ("--video", tmp_path / "data" / "clip", "--out", tmp_path / "x.mp4", "--context-frames=9", "--steps=1"),
        "evaluate": ("--data", tmp_path / "data", "--out", tmp_path / "out", "--detector=none", "--features=none"),
        "evaluate --roll": ("--roll=2", "--data", tmp_path / "data", "--out", tmp_path / "out", "--detector=none",
                            "--features=none"),
    }[verb]  # fmt: skip
    monkeypatch.setattr(
        "sys.argv", ["outofsight", verb.split()[0], "--model", str(model_folder), *map(str, more)]
    )
    with pytest.raises(SystemExit) as stopped:
        main()
    reported = capsys.readouterr().err
    assert stopped.value.code == 2
    assert re.fullmatch(
        r"outofsight: cuda:0: \S+'s run needs about 0\.\d GiB there at once, .*; add --offload model, .*\n",
        reported,
    ), reported
