"""Make a model folder with random weights: every part real, nothing learned.

    python examples/make_untrained_model.py --out out/untrained

It shows how a model is put together from its parts, and lets one try install, cameras, files and speed in a minute.
What it generates is noise. The default sizes are small enough for a laptop; ``--published`` takes those of the 1.3B
model with its umT5-XXL (30 GB in float32), to rehearse a run on a large GPU before the weights are there.
"""

import argparse
from pathlib import Path

import torch
from diffusers import AutoencoderKLWan, FlowMatchEulerDiscreteScheduler
from transformers import ByT5Tokenizer, UMT5Config, UMT5EncoderModel

from outofsight import HydraTransformer3DModel, WorldModel

SMALL = {
    "transformer": {
        "num_attention_heads": 6,
        "attention_head_dim": 32,
        "text_dim": 128,
        "ffn_dim": 768,
        "num_layers": 8,
    },
    "vae": {"base_dim": 16, "num_res_blocks": 1},
    "text_encoder": {
        "vocab_size": 384,
        "d_model": 128,
        "d_kv": 32,
        "d_ff": 256,
        "num_layers": 2,
        "num_heads": 4,
    },
}
PUBLISHED: dict[str, dict] = {
    "transformer": {},
    "vae": {},
    "text_encoder": {
        "vocab_size": 256384,
        "d_model": 4096,
        "d_kv": 64,
        "d_ff": 10240,
        "num_layers": 24,
        "num_heads": 64,
    },
}


def make_world(sizes: dict[str, dict], seed: int) -> WorldModel:
    """Put a world model together; the byte tokenizer needs no vocabulary file."""
    torch.manual_seed(seed)
    return WorldModel(
        transformer=HydraTransformer3DModel.from_config(sizes["transformer"]),
        vae=AutoencoderKLWan(**sizes["vae"]),
        text_encoder=UMT5EncoderModel(UMT5Config(**sizes["text_encoder"])),
        tokenizer=ByT5Tokenizer(),
        scheduler=FlowMatchEulerDiscreteScheduler(shift=5.0),
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--published", action="store_true", help="the sizes of the 1.3B model")
    args = parser.parse_args()
    world = make_world(PUBLISHED if args.published else SMALL, args.seed)
    world.save_pretrained(args.out)
    print(f"wrote {args.out}: random weights, to be used as any other model folder")


if __name__ == "__main__":
    main()
