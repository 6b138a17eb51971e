"""Weights in int8 and NF4: what is stored, what comes out, and what is said where it cannot be had."""

import importlib.util

import pytest
import torch

from models import tiny_inputs, tiny_world
from outofsight.codec.quantisation import LIBRARIES, quantisation, quantised_bytes
from outofsight.errors import InputError
from outofsight.sampling.model_digest import world_digest
from outofsight.sampling.plan import networks_on_meta
from outofsight.sampling.world import WorldModel

BANKS = {"archive_slots": 4, "subject_slots": 2, "top_k": 3, "reader_width": 8, "identity_width": 4}
CPU = torch.device("cpu")


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("world") / "tiny"
    tiny_world(memory_strategy="hybrid", banks=BANKS).save_pretrained(folder)
    return folder


@pytest.mark.skipif(importlib.util.find_spec("torchao") is None, reason="torchao is not installed")
@pytest.mark.filterwarnings("ignore")  # torchao's own, at import
def test_int8_stores_less_and_says_nearly_the_same(folder):
    plain = WorldModel.from_pretrained(folder)
    small = WorldModel.from_pretrained(folder, quantization_config=quantisation("int8", torch.float32, CPU))
    weight = small.transformer.blocks[0].attn1.to_q.weight
    assert weight.qdata.dtype == torch.int8
    assert small.text_encoder.encoder.block[0].layer[0].SelfAttention.q.weight.qdata.dtype == torch.int8
    assert all(type(value) is torch.nn.Parameter for value in small.transformer.two_banks.parameters())
    inputs = tiny_inputs()
    with torch.no_grad():
        here, there = (world.transformer(**inputs)[0] for world in (plain, small))
        prompts = [world.encode_text(["A fox."]) for world in (plain, small)]
    assert 0 < (here - there).norm() / here.norm() < 0.02
    assert 0 < (prompts[0] - prompts[1]).norm() / prompts[0].norm() < 0.02
    assert world_digest(plain) != world_digest(small)


@pytest.mark.parametrize(("name", "share"), [("int8", 0.30), ("nf4", 0.17)])
def test_the_room_of_matrices(folder, name, share):
    """Of float32: a byte and a share of a row's scale, half a byte and 1/16 of a float; the VAE stays."""
    networks = networks_on_meta(str(folder), torch.float32)
    before, after = quantised_bytes(networks, "none"), quantised_bytes(networks, name)
    layers = [m for m in networks["transformer"].blocks.modules() if isinstance(m, torch.nn.Linear)]
    matrices = sum(layer.weight.nbytes for layer in layers)
    assert before["vae"] == after["vae"]
    assert before["transformer"] - after["transformer"] >= (1 - share) * matrices
    assert before["text_encoder"] > after["text_encoder"]


@pytest.mark.parametrize("name", LIBRARIES)
def test_a_library_that_is_missing(name, monkeypatch):
    monkeypatch.setattr(importlib.util, "find_spec", lambda _: None)
    with pytest.raises(
        InputError, match=rf"--quantize {name}: {LIBRARIES[name]} is not installed; pip install"
    ):
        quantisation(name, torch.bfloat16, torch.device("cuda"))


def test_what_cannot_be_had():
    with pytest.raises(InputError, match=r"--quantize: expected one of none, int8, nf4, got 'int3'"):
        quantisation("int3", torch.bfloat16, CPU)
    with pytest.raises(InputError, match=r"quantises on a CUDA GPU, the run is on cpu; use --quantize int8"):
        quantisation("nf4", torch.bfloat16, CPU)
