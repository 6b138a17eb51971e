"""What diffusers offers to save memory and time works on our models, banks included: hooks and outputs."""

import numpy as np
import pytest
import torch
from diffusers import FirstBlockCacheConfig

from models import tiny_world
from outofsight.errors import InputError
from outofsight.geometry.path_expressions import make_path
from outofsight.sampling.continuation import SamplingSettings

BANKS = {"archive_slots": 4, "subject_slots": 2, "top_k": 3, "reader_width": 8, "identity_width": 4}
STEPS = 4
CONTEXT = make_path("pan:left:20", 9)
CLIP = {
    "video": np.random.default_rng(0).integers(0, 256, (9, 32, 48, 3), dtype=np.uint8),
    "context_cameras": CONTEXT,
    "target_cameras": make_path("pan:right:20", 5, start=CONTEXT.world_from_camera[-1]),
}


def made(name="hydra"):
    world = tiny_world(memory_strategy=name, **({"banks": BANKS} if name == "hybrid" else {}))
    world.set_progress_bar_config(disable=True)
    return world


def shown(world):
    settings = SamplingSettings(num_inference_steps=STEPS, guidance_scale=2.0, seed=3)
    return world.continue_video(**CLIP, prompt="A fox.", settings=settings).video.astype(int)


@pytest.fixture(scope="module", params=["hydra", "hybrid"])
def name(request):
    return request.param


@pytest.fixture(scope="module")
def expected(name):
    return shown(made(name))


def test_a_step_cache_skips_blocks_and_begins_anew_with_every_video(name, expected):
    world, calls = made(name), []
    world.transformer.blocks[1].attn1.register_forward_hook(lambda *_: calls.append(1))
    assert np.array_equal(shown(world), expected)
    every = len(calls)
    world.transformer.enable_cache(FirstBlockCacheConfig(threshold=0.5))
    first = shown(world)
    skipped = 2 * every - len(calls)
    assert 0 < skipped <= 2 * (STEPS - 1)  # captioned and not, all but the first step
    assert np.abs(first - expected).mean() < 5
    assert np.array_equal(shown(world), first)
    world.transformer.disable_cache()
    assert np.array_equal(shown(world), expected)


def test_fp8_layers_take_less_room_and_banks_stay_wide(name, expected):
    world = made(name)
    before = held(world.transformer.blocks)
    world.transformer.enable_layerwise_casting(storage_dtype=torch.float8_e4m3fn, compute_dtype=torch.float32)
    assert held(world.transformer.blocks) < 0.5 * before
    assert np.abs(shown(world) - expected).mean() < 5
    if name == "hybrid":
        assert {value.dtype for value in world.transformer.two_banks.parameters()} == {torch.float32}


def held(module):
    return sum(value.nbytes for value in module.parameters())


def test_slices_of_the_vae_change_nothing(expected, name):
    world = made(name)
    world.vae.enable_slicing()
    assert np.array_equal(shown(world), expected)


def test_the_vae_s_own_tiling_is_refused():
    world = made()
    world.vae.enable_tiling()
    with pytest.raises(InputError, match=r"call vae\.disable_tiling\(\), give a LatentTiling"):
        shown(world)


@pytest.mark.parametrize("kind", ["block_level", "leaf_level"])
def test_groups_come_and_go(kind):
    """With the CPU in the GPU's place: every group's hook fires, and nothing else changes."""
    world, cpu = made(), torch.device("cpu")
    blocks = {"num_blocks_per_group": 1} if kind == "block_level" else {}
    world.transformer.enable_group_offload(onload_device=cpu, offload_device=cpu, offload_type=kind, **blocks)
    hooked = [m for m in world.transformer.modules() if getattr(m, "_diffusers_hook", None) is not None]
    assert len(hooked) >= len(world.transformer.blocks)
    assert world.work_device == cpu
    assert np.array_equal(shown(world), shown(made()))


def test_groups_of_blocks_are_not_for_banks():
    with pytest.raises(
        InputError, match=r"expected offload_type 'leaf_level' for a model with banks, got 'block_level'"
    ):
        made("hybrid").transformer.enable_group_offload(torch.device("cpu"), num_blocks_per_group=1)


def test_the_text_encoder_visits_the_gpu_once_for_both_prompts(monkeypatch):
    world, visits = made(), []
    encode = type(world).encode_text
    monkeypatch.setattr(
        type(world),
        "encode_text",
        lambda self, texts, **more: visits.append(texts) or encode(self, texts, **more),
    )
    shown(world)
    settings = SamplingSettings(num_inference_steps=1, guidance_scale=2.0)
    world.start(CLIP["video"], CONTEXT, "A bus.", settings=settings)
    assert [len(texts) for texts in visits] == [2, 2]
