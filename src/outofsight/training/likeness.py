"""First weights by which self-attention begins by likeness, for models that are to learn from little."""

from math import prod

import torch
from torch import nn

from outofsight.backbone.transformer import HydraTransformer3DModel


@torch.no_grad()
def start_by_likeness(transformer: HydraTransformer3DModel) -> None:
    """Let keys begin as queries do, memory tokens as the mean of their video tokens, rays count as much as content.

    A query is then most like the keys of tokens that hold the same and look along the same ray, in whatever frame:
    what a camera that turns back needs to find. Random weights begin with no such preference and must find it by
    chance. Nothing is frozen; training goes on from there.

    Source: mimetic initialisation (Trockman and Kolter, 2023), here with rays in the place of positions.
    """
    for block in transformer.blocks:
        attention = block.attn1
        attention.to_k.load_state_dict(attention.to_q.state_dict())
        tokenizer = attention.tokenizer.conv
        nn.init.dirac_(tokenizer.weight)
        tokenizer.weight.copy_(tokenizer.weight.sum(dim=(2, 3, 4), keepdim=True).expand_as(tokenizer.weight))
        tokenizer.weight.div_(prod(tokenizer.kernel_size))
        nn.init.zeros_(tokenizer.bias)
        if attention.ray_encoder is not None:
            # A ray's numbers have a mean square of about 1/2: this gives an embedding of about unit variance.
            nn.init.normal_(attention.ray_encoder.weight, std=(2 / attention.ray_encoder.in_features) ** 0.5)
