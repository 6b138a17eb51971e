"""The cost formula counts what the model does."""

import pytest
import torch
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.utils.flop_counter import FlopCounterMode

from models import lens
from outofsight.backbone.cost import dense_attention_flops, forward_cost
from outofsight.backbone.sequence import Inputs, choose_sequence, mask_channel
from outofsight.backbone.transformer import HydraTransformer3DModel
from outofsight.memory.strategies import strategy
from outofsight.nn.rope import ray_features
from outofsight.types import LatentGrid

SMALL = {
    "num_attention_heads": 2,
    "attention_head_dim": 24,
    "text_dim": 20,
    "freq_dim": 16,
    "ffn_dim": 40,
    "num_layers": 2,
    "memory_top_k": 3,
    "local_window": 3,
}


@pytest.mark.parametrize(
    "memory",
    [
        {},
        {"memory_source": "context"},
        {"memory_affinity": "position_paired"},
        {"memory_affinity": "all"},
        {"memory_kernel": (1, 2, 4)},
        {"memory_top_k": 0, "local_window": 9},
        {"memory_top_k": 0, "local_window": 3},
        {"camera_ray_octaves": 2},
        dict(strategy("concat").settings),
        dict(strategy("window").settings),
        dict(strategy("recurrent").settings),
        dict(strategy("identity").settings),
        {**strategy("ssm").settings, "context_recent": 2, "state_space_every": 1, "camera_ray_octaves": 1},
        dict(strategy("segmentation").settings),
        dict(strategy("fov").settings),
        dict(strategy("dfot").settings),
        {**strategy("worldplay").settings, "context_first": 0},
    ],
)
@torch.no_grad()
def test_equals_the_counter(memory):
    """All but the cameras' geometry, which the formula leaves out and which is counted here by itself."""
    model = HydraTransformer3DModel.from_config({**SMALL, **memory})
    latents, text = torch.randn(1, 16, 9, 10, 12), torch.randn(1, 7, 20)
    cameras, masks = torch.randn(1, 9, 12), torch.rand(1, 2, 9, 10, 12)
    frame_levels = model.has_frame_noise
    timestep = torch.full((1, 9), 500.0) if frame_levels else torch.tensor([500.0])
    # The counter does not know the CPU's fused kernel.
    with FlopCounterMode(display=False) as counter, sdpa_kernel(SDPBackend.MATH):
        model(latents, timestep, text, cameras[:, :4], cameras[:, 4:], subject_masks=masks)
    cost = forward_cost(
        model.config,
        LatentGrid(frames=9, height=5, width=6, context_frames=4),
        text_tokens=7,
        num_subjects=2,
    )
    with FlopCounterMode(display=False) as geometry:
        grid = LatentGrid(frames=9, height=5, width=6, context_frames=4)
        reported = lens(90, 5, 6, len(cameras))
        given = Inputs(
            latents,
            timestep,
            cameras[:, :4],
            cameras[:, 4:],
            reported,
            masks,
            rendered=None,
            history=None,
            grid=grid,
        )
        kept = choose_sequence(given, model.context_settings)
        if octaves := model.config["camera_ray_octaves"]:
            ray_features(cameras, grid, reported, octaves)  # of all frames, wherever they are read
        if (form := model.config["subject_mask"]) != "none":
            mask_channel(given, form)
    assert kept.grid.num_tokens == cost.tokens
    assert counter.get_total_flops() - geometry.get_total_flops() == cost.flops


@pytest.mark.parametrize(
    "memory",
    [
        {**strategy("hybrid").settings, "context_recent": 2},
        {**strategy("hybrid+hydra").settings, "memory_top_k": 1, "camera_ray_octaves": 1},
        {**strategy("hybrid").settings, "banks": {"top_k": 2, "kernel": (1, 2, 2), "archive_slots": 3}},
    ],
)
@torch.no_grad()
def test_banks_cost_at_most_what_is_said(memory):
    """A forward and the keys to the last product, every slot filled and in view; observing skips what nothing needs."""
    model = HydraTransformer3DModel.from_config({**SMALL, **memory})
    latents, text, cameras = torch.randn(1, 16, 9, 10, 12), torch.randn(1, 7, 20), torch.randn(1, 9, 12)
    grid = LatentGrid(frames=9, height=5, width=6, context_frames=4)
    cost = forward_cost(model.config, grid, text_tokens=7)
    given = (latents, torch.tensor([500.0]), text, cameras[:, :4], cameras[:, 4:])
    with FlopCounterMode(display=False) as observing:
        retrieved = model.retrieve_for_context(latents[:, :, :4], *given[3:])
    assert 0 < observing.get_total_flops() <= cost.observe_flops
    retrieved = retrieved._replace(known=torch.ones_like(retrieved.known))
    with FlopCounterMode(display=False) as making, sdpa_kernel(SDPBackend.MATH):
        keys = model.memory_keys(retrieved, text)
    assert making.get_total_flops() == cost.keys_flops
    with FlopCounterMode(display=False) as counter, sdpa_kernel(SDPBackend.MATH):
        model(*given, bank_keys=keys)
    rays = 0
    if octaves := model.config["camera_ray_octaves"]:
        with FlopCounterMode(display=False) as geometry:
            ray_features(cameras, grid, lens(90, 5, 6), octaves)
        rays = geometry.get_total_flops()
    assert counter.get_total_flops() - rays == cost.flops


def test_published_model():
    """HyDRA on Wan2.1-1.3B at 480 × 832, 77 + 77 frames: 11,700 keys a query, about 316 TFLOP, 888 if dense."""
    with torch.device("meta"):
        config = HydraTransformer3DModel(num_layers=1).config
    config = {**config, "num_layers": 30}
    grid = LatentGrid(frames=40, height=30, width=52, context_frames=20)
    cost = forward_cost(config, grid)
    assert cost.keys_per_query == 5 * 1560 + 10 * 390 == 11_700
    assert cost.flops / 1e12 == pytest.approx(316, rel=0.01)
    assert (cost.linear_flops + dense_attention_flops(config, grid)) / 1e12 == pytest.approx(888, rel=0.02)
