"""What is said before a model is loaded that its device cannot hold."""

import pytest
import torch

from outofsight.cli.loading import check_loading, check_room
from outofsight.errors import InputError

GPU = torch.device("cuda:0")


@pytest.mark.parametrize("name", ["cuda", "cuda:7", "tpu", "mps"])
def test_a_device_that_is_not_there(name, monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    with pytest.raises(InputError, match=f"--device {name}: cannot be used here") as caught:
        check_loading(name, None, "none")
    assert "\n" not in str(caught.value)


def test_quantised_weights_are_asked_for_before_loading(monkeypatch):
    with pytest.raises(InputError, match=r"expected one of none, int8, nf4, got 'int3'"):
        check_loading("cpu", None, "none", "int3")
    monkeypatch.setattr("importlib.util.find_spec", lambda _: None)
    with pytest.raises(InputError, match=r"--quantize int8: torchao is not installed; pip install"):
        check_loading("cpu", None, "none", "int8")


def test_too_little_memory_is_foreseen(model_folder, monkeypatch):
    monkeypatch.setattr(torch.cuda, "mem_get_info", lambda _: (100_000, 2**30))
    with pytest.raises(InputError, match=r"weights need .* are free; add --offload model, .* --vram 1$"):
        check_room(str(model_folder), torch.bfloat16, "none", GPU)
    with pytest.raises(InputError, match="add --offload sequential instead"):
        check_room(str(model_folder), torch.bfloat16, "model", GPU)
    check_room(str(model_folder), torch.bfloat16, "sequential", GPU)
    monkeypatch.setattr(torch.cuda, "mem_get_info", lambda _: (2**30, 2**30))
    check_room(str(model_folder), torch.bfloat16, "none", GPU)
