"""Latents decoded a few at a time are the video that they are at once."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from models import tiny_vae
from outofsight.codec.latent_tiling import LatentTiling
from outofsight.codec.patch_autoencoder import PatchVideoAutoencoder
from outofsight.codec.stream_decoding import Decoded, decode_more
from outofsight.codec.video_vae import decode_latents
from outofsight.errors import InputError

TILES = LatentTiling(tile=(4, 4), stride=(3, 2))


def patch_vae() -> PatchVideoAutoencoder:
    with torch.random.fork_rng():
        torch.manual_seed(0)
        vae = PatchVideoAutoencoder(width=8, num_layers=2)
        for parameter in vae.decoder.parameters():
            torch.nn.init.normal_(parameter, std=0.1)
    return vae.eval()


VAES = {"patch": patch_vae(), "wan": tiny_vae()}


def latents(frames: int, height: int = 4, width: int = 6) -> torch.Tensor:
    return torch.randn(1, 16, frames, height, width, generator=torch.Generator().manual_seed(3))


@torch.no_grad()
def streamed(vae, whole: torch.Tensor, parts: list[int], tiling=None) -> torch.Tensor:
    decoded, videos = Decoded(), []
    for part in whole.split(parts, dim=2):
        video, decoded = decode_more(vae, part, decoded, tiling)
        videos.append(video)
    assert decoded.num_latent_frames == whole.shape[2]
    return torch.cat(videos, dim=1)


@pytest.mark.parametrize("kind", VAES)
@settings(max_examples=12, deadline=None)
@given(parts=st.lists(st.integers(1, 4), min_size=1, max_size=5))
def test_streamed_is_whole(kind: str, parts: list[int]) -> None:
    whole = latents(sum(parts), 2, 3)
    with torch.no_grad():
        at_once = decode_latents(VAES[kind], whole)
    torch.testing.assert_close(streamed(VAES[kind], whole, parts), at_once, atol=2e-5, rtol=0)


@pytest.mark.parametrize("kind", VAES)
def test_in_tiles_too(kind: str) -> None:
    whole = latents(5)
    with torch.no_grad():
        at_once = decode_latents(VAES[kind], whole, TILES)
    torch.testing.assert_close(streamed(VAES[kind], whole, [1, 3, 1], TILES), at_once, atol=2e-5, rtol=0)


@pytest.mark.parametrize("kind", VAES)
@torch.no_grad()
def test_the_same_state_gives_the_same_frames_again(kind: str) -> None:
    """What was decoded is not changed by going on from it: a rollout may be forked and rewound."""
    first, state = decode_more(VAES[kind], latents(2))
    kept = {name: value.clone() for name, value in state.kept.items()}
    one, _ = decode_more(VAES[kind], latents(3), state)
    other, _ = decode_more(VAES[kind], latents(3), state)
    assert (first.shape[1], one.shape[1]) == (5, 12)
    assert torch.equal(one, other)
    assert all(torch.equal(kept[name], value) for name, value in state.kept.items())


@pytest.mark.parametrize("kind", VAES)
@torch.no_grad()
def test_what_is_kept_does_not_grow(kind: str) -> None:
    state, sizes = Decoded(), []
    for _ in range(8):
        _, state = decode_more(VAES[kind], latents(2, 2, 3), state)
        sizes.append(sum(value.nbytes for value in state.kept.values()))
    assert len(set(sizes[3:])) == 1


@pytest.mark.parametrize("kind", VAES)
@torch.no_grad()
def test_refusals(kind: str) -> None:
    _, state = decode_more(VAES[kind], latents(2))
    with pytest.raises(InputError, match="expected latents of 4×6 as before, got 2×6"):
        decode_more(VAES[kind], latents(1, 2, 6), state)
    with pytest.raises(InputError, match="one video, got 2"):
        decode_more(VAES[kind], latents(2).expand(2, -1, -1, -1, -1))


@torch.no_grad()
def test_another_tiling_is_refused() -> None:
    _, state = decode_more(VAES["wan"], latents(2))
    with pytest.raises(InputError, match="tiled otherwise"):
        decode_more(VAES["wan"], latents(1), state, TILES)
