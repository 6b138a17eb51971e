"""Generation and rollouts on a device: every tensor lies where it should, and the numbers are the CPU's."""

import numpy as np
import pytest
import torch
from diffusers import UniPCMultistepScheduler

from models import tiny_world
from outofsight.codec.latent_tiling import LatentTiling
from outofsight.codec.patch_autoencoder import PatchVideoAutoencoder
from outofsight.geometry.path_expressions import make_path
from outofsight.memory.strategies import STRATEGIES, strategy
from outofsight.sampling.continuation import SamplingSettings, rendered_memory
from outofsight.sampling.world import WorldModel
from pretended_device import assert_there, pretended

BANKS = {"archive_slots": 4, "subject_slots": 2, "top_k": 3, "reader_width": 8, "identity_width": 4}
CONTEXT, TARGET = 9, 5
SETTINGS = SamplingSettings(num_inference_steps=2, guidance_scale=2.0, seed=3)
RENDERED = ("warp", "hybrid")


def made(name: str, *, rendering: bool = False, patch_vae: bool = False) -> WorldModel:
    settings = dict(strategy(name).settings)
    if settings.get("banks") is not None:
        settings["banks"] = {**BANKS, **settings["banks"]}
    if rendering:
        settings["rendering"] = {"gate_width": 4, "mask_width": 4}
    world = tiny_world(memory_strategy=name, **settings)
    world.set_progress_bar_config(disable=True)
    if patch_vae:
        with torch.random.fork_rng():
            torch.manual_seed(0)
            world.register_modules(vae=PatchVideoAutoencoder(width=8, num_layers=1, skip_width=4))
    with torch.no_grad():
        if rendering:
            memory = world.transformer.rendered_memory
            memory.embed.normal_(std=0.1, generator=torch.Generator().manual_seed(1))
            memory.gate.strength.fill_(0.5)
        if world.transformer.two_banks is not None:
            world.transformer.two_banks.reader.told.bias[0] = 4.0  # every token shows a subject
    return world


def clip(height: int = 32, width: int = 48) -> dict:
    context = make_path("pan:left:20", CONTEXT)
    masks = np.zeros((CONTEXT + TARGET, height, width), np.uint8)
    masks[:, 8:24, 10:30] = 1
    return {
        "video": np.random.default_rng(0).integers(0, 256, (CONTEXT, height, width, 3), dtype=np.uint8),
        "context_cameras": context,
        "target_cameras": make_path("pan:right:20", TARGET, start=context.world_from_camera[-1]),
        "subject_masks": masks,
    }


def shown(world: WorldModel, size: tuple[int, int] = (32, 48), **options) -> np.ndarray:
    result = world.continue_video(**clip(*size), prompt="A fox.", settings=SETTINGS, **options)
    return result.video


def assert_same(here: np.ndarray, there: np.ndarray) -> None:
    """To the level of one pixel value: kernels may lay tensors out otherwise."""
    assert np.abs(here.astype(int) - there.astype(int)).max() <= 1


@pytest.mark.parametrize("name", sorted(STRATEGIES))
def test_every_strategy_generates(name):
    size = (64, 64) if name == "hydra-2x8x8" else (32, 48)  # its memory tokens are as large as that
    expected = shown(made(name), size, record_retrieval=True)
    with pretended() as device:
        assert_same(expected, shown(made(name).to(device), size, record_retrieval=True))


@pytest.mark.parametrize("name", RENDERED)
@pytest.mark.parametrize("reported", [True, False], ids=["told", "read"])
def test_rendered_memory_generates(name, reported):
    """``told``: masks are given; else the mask reader reads them."""
    given = clip() if reported else {**clip(), "subject_masks": None}
    settings = SamplingSettings(num_inference_steps=2, guidance_scale=1.0, strength=0.7)

    def run(world):
        result = world.continue_video(**given, prompt="A fox.", settings=settings)
        return result.video, result.rendered, rendered_memory(world, **given)

    expected = run(made(name, rendering=True, patch_vae=True))
    with pretended() as device:
        for here, there in zip(
            expected, run(made(name, rendering=True, patch_vae=True).to(device)), strict=True
        ):
            assert_same(here, there)


def test_a_batch_with_everything():
    """Two prompts, UniPC, a callback, tiles and history guidance."""

    def run(world):
        world.scheduler = UniPCMultistepScheduler(
            prediction_type="flow_prediction", use_flow_sigmas=True, flow_shift=5.0
        )
        given = {name: value for name, value in clip().items() if name != "subject_masks"}
        seen = []
        frames = world(
            ["A fox.", "A bus."], "blurry", **given, num_inference_steps=2, history_guidance=1.5,
            generator=torch.Generator().manual_seed(3), tiling=LatentTiling(tile=(4, 4), stride=(2, 2)),
            callback_on_step_end=lambda pipe, step, t, tensors: seen.append(tensors) or {}, output_type="pt",
        ).frames  # fmt: skip
        return frames, seen

    expected, _ = run(made("dfot"))
    with pretended() as device:
        frames, seen = run(made("dfot").to(device))
        assert_there((frames, seen))
        torch.testing.assert_close(frames.cpu(), expected, rtol=0, atol=2e-3)


@pytest.mark.parametrize(
    ("name", "rendering"),
    [("hydra", False), ("recurrent", False), ("segmentation", False), ("hybrid", False), ("hybrid+hydra", False),
     ("warp", True), ("hybrid", True)],
)  # fmt: skip
def test_rollouts(name, rendering, tmp_path):
    """Steps, rewinding, forking, saving and resuming, with banks and rendered memory where there are."""

    def run(world, folder):
        given = clip()
        masks = None if rendering else given["subject_masks"]
        walk = world.start(
            given["video"], given["context_cameras"], "A fox.", settings=SETTINGS, subject_masks=masks
        )
        first = walk.step(given["target_cameras"])
        more = make_path("pan:left:10", 4, start=walk.last_pose)
        second = walk.step(more)
        walk.rewind(1)
        other = walk.fork()
        walk.save(folder)
        walk = world.resume(folder)
        walk.prompt = "A red bus."
        other.prompt = "A red bus."
        return first, second, walk.step(more), other.step(more)

    expected = run(made(name, rendering=rendering, patch_vae=rendering), tmp_path / "cpu")
    with pretended() as device:
        world = made(name, rendering=rendering, patch_vae=rendering).to(device)
        there = run(world, tmp_path / "device")
    for index, (here, other) in enumerate(zip(expected, there, strict=True)):
        assert_same(here, other), index
    assert np.array_equal(there[2], there[3])


@pytest.mark.parametrize("patch_vae", [False, True], ids=["wan_vae", "patch_vae"])
@pytest.mark.parametrize("name", ["hydra", "hybrid"])
@pytest.mark.parametrize("offload", ["model", "sequential"])
def test_offloading(offload, name, patch_vae):
    """Weights come to the device for their work, whole or layer by layer, and the video stays the same."""
    rendering = name == "hybrid"
    expected = shown(made(name, rendering=rendering, patch_vae=patch_vae))
    with pretended() as device:
        world = made(name, rendering=rendering, patch_vae=patch_vae)
        getattr(world, f"enable_{'model' if offload == 'model' else 'sequential'}_cpu_offload")(device=device)
        assert world.work_device == device
        assert_same(expected, shown(world))
        assert_same(expected, shown(world))  # and once more, from where the hooks have left the weights
        assert {p.device.type for p in world.text_encoder.parameters()} <= {"cpu", "meta"}


@pytest.mark.parametrize(
    ("name", "kind"), [("hydra", "block_level"), ("hydra", "leaf_level"), ("hybrid", "leaf_level")]
)
def test_groups_come_and_go(name, kind):
    """Each group's weights come to the device for their work and leave it; banks stay there."""
    rendering, blocks = name == "hybrid", {"num_blocks_per_group": 1} if kind == "block_level" else {}
    expected = shown(made(name, rendering=rendering))
    with pretended() as device:
        world = made(name, rendering=rendering)
        for part in (world.vae, world.text_encoder):
            part.to(device)
        world.transformer.enable_group_offload(device, torch.device("cpu"), kind, **blocks)
        assert world.work_device == device
        assert_same(expected, shown(world))
        held = {name: value.device.type for name, value in world.transformer.named_parameters()}
        stay = ("two_banks", "rendered_memory")
        assert {held[name] for name in held if not name.startswith(stay)} == {"cpu"}
        assert {held[name] for name in held if name.startswith(stay)} <= {device.type}
