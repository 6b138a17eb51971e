"""The codec's golden vectors and small random models, built by the same code that reads published weights."""

from functools import cache
from pathlib import Path

import torch
from diffusers.models.autoencoders.autoencoder_kl_wan import AutoencoderKLWan
from torch import Tensor
from transformers import UMT5Config, UMT5EncoderModel

from outofsight.codec.checkpoint_files import load_state_dict

GOLDEN = Path(__file__).parents[1] / "fixtures" / "golden"


@cache
def vectors(name: str) -> dict[str, Tensor]:
    return load_state_dict(GOLDEN / f"{name}.safetensors")


def official_weights(name: str) -> dict[str, Tensor]:
    """A fresh dict of the golden file's weights under their original names."""
    return {
        key.removeprefix("weights."): value
        for key, value in vectors(name).items()
        if key.startswith("weights.")
    }


def small_vae(**config) -> AutoencoderKLWan:
    """An untrained VAE, 1 residual block a stage."""
    torch.manual_seed(1)
    return AutoencoderKLWan(**{"base_dim": 8, "num_res_blocks": 1, **config}).eval()


def small_residual_vae(num_stages: int) -> AutoencoderKLWan:
    """The residual form on 2×2 patches: 2 · 2^(num_stages - 1) pixels a latent pixel."""
    return small_vae(
        is_residual=True,
        patch_size=2,
        in_channels=12,
        out_channels=12,
        dim_mult=[*(2**stage for stage in range(num_stages - 1)), 2 ** (num_stages - 2)],
        temperal_downsample=[False, True, True][-(num_stages - 1) :],
        scale_factor_spatial=2**num_stages,
    )


def small_text_encoder(vocab_size: int = 384) -> UMT5EncoderModel:
    """An untrained encoder; ByT5's tokenizer knows 384 tokens."""
    torch.manual_seed(2)
    config = UMT5Config(vocab_size=vocab_size, d_model=16, d_kv=8, d_ff=32, num_layers=2, num_heads=2)
    return UMT5EncoderModel(config).eval()


def random_video(b: int, t: int, height: int, width: int) -> Tensor:
    """Smooth noise in [-1, 1], [b, t, 3, height, width]."""
    generator = torch.Generator().manual_seed(b + 10 * t)
    return torch.tanh(torch.randn(b, t, 3, height, width, generator=generator))
