"""The cost formula counts what the model does."""

import pytest
import torch
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.utils.flop_counter import FlopCounterMode

from outofsight.backbone.cost import dense_attention_flops, forward_cost
from outofsight.backbone.transformer import HydraTransformer3DModel
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
    ],
)
@torch.no_grad()
def test_equals_the_counter(memory):
    model = HydraTransformer3DModel(**{**SMALL, **memory})
    latents, text = torch.randn(1, 16, 9, 10, 12), torch.randn(1, 7, 20)
    cameras = torch.randn(1, 9, 12)
    # The counter does not know the CPU's fused kernel.
    with FlopCounterMode(display=False) as counter, sdpa_kernel(SDPBackend.MATH):
        model(latents, torch.tensor([500.0]), text, cameras[:, :4], cameras[:, 4:])
    cost = forward_cost(
        model.config, LatentGrid(frames=9, height=5, width=6, context_frames=4), text_tokens=7
    )
    assert counter.get_total_flops() == cost.flops


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
