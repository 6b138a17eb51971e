"""Tiny, randomly initialised models: the same classes as the real ones, small enough for a test."""

from math import radians

import torch
from diffusers import AutoencoderKLWan, FlowMatchEulerDiscreteScheduler
from transformers import ByT5Tokenizer, UMT5Config, UMT5EncoderModel

from outofsight.backbone.transformer import HydraTransformer3DModel
from outofsight.nn.cameras import intrinsics_from_fov
from outofsight.sampling.world import WorldModel

TINY_TRANSFORMER = {
    "num_attention_heads": 2,
    "attention_head_dim": 24,
    "text_dim": 32,
    "freq_dim": 32,
    "ffn_dim": 96,
    "num_layers": 2,
    "memory_top_k": 2,
    "local_window": 3,
}


def tiny_transformer(seed: int = 0, **changes) -> HydraTransformer3DModel:
    """Make a transformer of two narrow layers whose every part, memory and cameras included, has an effect."""
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        model = HydraTransformer3DModel.from_config({**TINY_TRANSFORMER, **changes})
        for name, parameter in model.named_parameters():
            if "camera_encoder" in name or "projector" in name or name == "proj_out.weight":
                torch.nn.init.normal_(parameter, std=0.2)
    return model.eval()


def tiny_inputs(
    batch: int = 1, context: int = 4, target: int = 4, height: int = 8, width: int = 12, seed: int = 1
) -> dict:
    """Make inputs of the transformer's forward; sizes in latent frames and pixels."""
    generator = torch.Generator().manual_seed(seed)

    def randn(*shape: int) -> torch.Tensor:
        return torch.randn(*shape, generator=generator)

    return {
        "hidden_states": randn(batch, 16, context + target, height, width),
        "timestep": torch.full((batch,), 700.0),
        "encoder_hidden_states": randn(batch, 6, 32),
        "context_cameras": randn(batch, context, 12),
        "target_cameras": randn(batch, target, 12),
    }


def tiny_vae(seed: int = 0) -> AutoencoderKLWan:
    """Make a VAE with Wan's factors (4 in time, 8 in space) and very few channels."""
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        return AutoencoderKLWan(base_dim=4, z_dim=16, dim_mult=[1, 2, 2, 2], num_res_blocks=1).eval()


def tiny_text_encoder(seed: int = 0) -> UMT5EncoderModel:
    """Make a text encoder over bytes, whose states fit ``tiny_transformer``."""
    config = UMT5Config(
        vocab_size=384,
        d_model=32,
        d_kv=16,
        d_ff=64,
        num_layers=2,
        num_heads=2,
        feed_forward_proj="gated-gelu",
    )
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        return UMT5EncoderModel(config).eval()


def tiny_world(seed: int = 0, **changes) -> WorldModel:
    """Make a whole world model; ``changes`` are the transformer's."""
    return WorldModel(
        transformer=tiny_transformer(seed, **changes),
        vae=tiny_vae(seed),
        text_encoder=tiny_text_encoder(seed),
        tokenizer=ByT5Tokenizer(),
        scheduler=FlowMatchEulerDiscreteScheduler(shift=5.0),
    )


def lens(fov_x_deg: float, height: int, width: int, batch: int = 1) -> torch.Tensor:
    """Normalised intrinsics [b, 4] of square pixels, the axis through the middle."""
    return intrinsics_from_fov(radians(fov_x_deg), height, width).expand(batch, -1)


def turned_cameras(*degrees: float) -> torch.Tensor:
    """Poses [1, f, 12] of a camera that stands still and is turned to the right by so much in each frame."""
    angle = torch.tensor(degrees) * torch.pi / 180
    zero, one = torch.zeros_like(angle), torch.ones_like(angle)
    rows = [
        angle.cos(),
        zero,
        angle.sin(),
        zero,
        zero,
        one,
        zero,
        zero,
        -angle.sin(),
        zero,
        angle.cos(),
        zero,
    ]
    return torch.stack(rows, dim=-1)[None]
