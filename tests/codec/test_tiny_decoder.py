"""Tiny decoders from weights of our own in the published layout: frame for frame, in one go or a few at a time."""

import pytest
import torch
from safetensors.torch import save_file
from torch import nn

from models import tiny_world
from outofsight.codec.latent_tiling import LatentTiling
from outofsight.codec.stream_decoding import Decoded, decode_more
from outofsight.codec.tiny_decoder import load_tiny_decoder
from outofsight.codec.video_vae import decode_latents
from outofsight.errors import CheckpointError, InputError


def weights(channels: int = 16, widths=(8, 6, 4, 4), growths=(1, 2, 2), patch: int = 1) -> dict:
    """The published names and shapes, narrow: each list entry by its number, upsampling and activations without."""
    made: dict[str, nn.Module] = {"1": nn.Conv2d(channels, widths[0], 3)}
    for stage, first in enumerate((3, 9, 15)):
        width = widths[stage]
        for block in range(first, first + 3):
            made |= {
                f"{block}.conv.{conv}": nn.Conv2d(width * (2 if conv == 0 else 1), width, 3)
                for conv in (0, 2, 4)
            }
        made[f"{first + 4}.conv"] = nn.Conv2d(width, width * growths[stage], 1, bias=False)
        made[f"{first + 5}"] = nn.Conv2d(width, widths[stage + 1], 3, bias=False)
    made["22"] = nn.Conv2d(widths[-1], 3 * patch**2, 3)
    return {
        f"decoder.{name}.{leaf}": value.detach().clone()
        for name, module in made.items()
        for leaf, value in module.named_parameters()
    }


@pytest.fixture
def tiny(tmp_path):
    torch.manual_seed(0)
    save_file({**weights(), "encoder.0.weight": torch.zeros(1)}, tmp_path / "taew2_1.safetensors")
    return load_tiny_decoder(tmp_path / "taew2_1.safetensors")


def latents(frames: int = 4) -> torch.Tensor:
    return torch.randn(1, 16, frames, 4, 6, generator=torch.Generator().manual_seed(1))


@torch.no_grad()
def by_the_published_loop(tiny, given: torch.Tensor) -> torch.Tensor:
    """One frame after another through the numbered list, as the published sequential code goes."""
    parts = dict(tiny.decoder.items())
    memory: dict[int, torch.Tensor] = {}
    shown = []

    def through(frame: torch.Tensor, at: int) -> None:
        if at == 23:
            shown.append(frame)
        elif at == 0:
            through((frame / 3).tanh() * 3, 1)
        elif at in (2, 21):
            through(frame.relu(), at + 1)
        elif at in (6, 12, 18):
            through(nn.functional.interpolate(frame, scale_factor=2), at + 1)
        elif at in (7, 13, 19):
            grown = parts[str(at)].conv(frame)
            for each in grown.chunk(parts[str(at)].times, dim=1):
                through(each, at + 1)
        elif at in (3, 4, 5, 9, 10, 11, 15, 16, 17):
            conv, past = parts[str(at)].conv, memory.get(at, torch.zeros_like(frame))
            memory[at] = frame
            states = conv["2"](conv["0"](torch.cat((frame, past), dim=1)).relu()).relu()
            through((conv["4"](states) + frame).relu(), at + 1)
        else:
            through(parts[str(at)](frame), at + 1)

    for index in range(given.shape[2]):
        through(given[:, :, index], 0)
    return torch.stack(shown, dim=1)[:, 3:].clamp(0, 1) * 2 - 1


@torch.no_grad()
def test_it_decodes_as_the_published_loop_does(tiny):
    video = decode_latents(tiny, latents())
    assert video.shape == (1, 13, 3, 32, 48)
    torch.testing.assert_close(video, by_the_published_loop(tiny, latents()), rtol=1e-4, atol=1e-5)


@torch.no_grad()
@pytest.mark.parametrize("tiling", [None, LatentTiling(tile=(4, 4), stride=(4, 2))])
def test_a_few_frames_at_a_time_are_the_same(tiny, tiling):
    whole = decode_latents(tiny, latents(), tiling)
    first, so_far = decode_more(tiny, latents()[:, :, :1], Decoded(), tiling)
    rest, _ = decode_more(tiny, latents()[:, :, 1:], so_far, tiling)
    assert (first.shape[1], rest.shape[1]) == (1, 12)
    torch.testing.assert_close(torch.cat((first, rest), dim=1), whole, rtol=1e-5, atol=1e-6)


def test_a_world_decodes_by_it_and_refuses_one_for_other_latents(tiny, tmp_path):
    world = tiny_world()
    world.tiny_decoder = tiny
    assert torch.equal(world.decode_latents(latents()), decode_latents(tiny, latents()))
    save_file(weights(channels=48, patch=2), tmp_path / "taew2_2.safetensors")
    world.tiny_decoder = load_tiny_decoder(tmp_path / "taew2_2.safetensors")
    with pytest.raises(
        InputError, match=r"takes 48 latent channels and makes 16 pixels of one, .* are 16 and 8"
    ):
        world.decode_latents(latents())


@pytest.mark.parametrize(
    ("spoil", "says"),
    [
        (
            lambda state: {name: value for name, value in state.items() if "22" not in name},
            "decoder.22.weight",
        ),
        (lambda state: {**state, "decoder.3.conv.0.weight": torch.zeros(8, 9, 3, 3)}, "of another shape"),
        (
            lambda state: {**state, "decoder.1.bias": torch.full((8,), torch.nan)},
            "not finite: decoder.1.bias",
        ),
        (lambda state: weights(growths=(2, 2, 2)), r"growth 1, 2, 2\), got \[2, 2, 2\]"),
        (lambda state: {"decoder.conv1.weight": torch.zeros(3)}, "expected a tiny video decoder .*--vae"),
    ],
)
def test_what_is_no_tiny_decoder_is_refused_in_one_line(tmp_path, spoil, says):
    path = tmp_path / "odd.safetensors"
    save_file(spoil(weights()), path)
    with pytest.raises(CheckpointError, match=says) as refused:
        load_tiny_decoder(path)
    assert "\n" not in str(refused.value)
    assert str(path) in str(refused.value)
