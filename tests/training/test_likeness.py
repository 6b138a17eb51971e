import torch

from models import tiny_transformer
from outofsight.training.likeness import start_by_likeness
from outofsight.types import LatentGrid


def test_tokens_look_most_at_those_that_hold_the_same():
    model = tiny_transformer(memory_kernel=(1, 2, 2), camera_ray_octaves=3)
    start_by_likeness(model)
    attention = model.blocks[0].attn1
    tokens = torch.randn(1, 2 * 4 * 6, 48, generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        query, key, _ = attention.project(tokens)
        memory = attention.tokenizer(tokens, LatentGrid(frames=2, height=4, width=6, context_frames=1))
    assert torch.equal(query, key)
    likeness = query[0] @ key[0].T
    assert torch.equal(likeness.argmax(dim=1), torch.arange(48))
    squares = tokens.unflatten(1, (2, 2, 2, 3, 2)).mean(dim=(3, 5)).flatten(2, 3)
    torch.testing.assert_close(memory, squares)


def test_rays_count_as_much_as_content():
    model = tiny_transformer(camera_ray_octaves=4)
    start_by_likeness(model)
    encoder = model.blocks[0].attn1.ray_encoder
    features = torch.randn(500, encoder.in_features, generator=torch.Generator().manual_seed(1)) / 2**0.5
    assert 0.8 < float(encoder(features).detach().std()) < 1.25
