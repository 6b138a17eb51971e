"""The decoder's skip: nothing changes at first, holes never do, and what it learns to believe comes through."""

import pytest
import torch

from models import tiny_vae
from outofsight.codec.decoder_skip import DecoderSkip
from outofsight.codec.patch_autoencoder import PatchVideoAutoencoder
from outofsight.codec.video_vae import through_skip


def pictures(count: int = 3, height: int = 16, width: int = 24) -> tuple[torch.Tensor, torch.Tensor]:
    """Decoded pictures in [−1, 1], and what a render gives: colours, coverage of the left half, no subject."""
    generator = torch.Generator().manual_seed(0)
    decoded, render = (torch.rand(count, 3, height, width, generator=generator) * 2 - 1 for _ in range(2))
    masks = torch.zeros(count, 2, height, width)
    masks[:, 0, :, : width // 2] = 1
    return decoded, torch.cat((render, masks), dim=1)


def skip(seed: int = 0, width: int = 8) -> DecoderSkip:
    torch.manual_seed(seed)
    return DecoderSkip(width)


@torch.no_grad()
def test_at_first_nothing_changes():
    decoded, given = pictures()
    assert torch.equal(skip()(decoded, given), decoded)


@torch.no_grad()
def test_wholly_believed_it_gives_the_render_and_never_in_a_hole():
    decoded, given = pictures()
    layer = skip()
    layer.strength.fill_(1.0)
    layer.told.bias[0] = 50.0  # its sigmoid is 1
    mixed = layer(decoded, given)
    torch.testing.assert_close(mixed[..., :12], given[:, :3, :, :12])
    assert torch.equal(mixed[..., 12:], decoded[..., 12:])
    layer.told.bias[0] = 0.0
    half = layer(decoded, given)
    torch.testing.assert_close(half[..., :12], (decoded + given[:, :3])[..., :12] / 2)


def test_gradients_reach_every_weight_once_it_is_awake():
    decoded, given = pictures()
    layer = skip()
    layer.strength.data.fill_(0.5)
    torch.nn.init.normal_(layer.told.weight, std=0.1)
    layer(decoded, given).square().mean().backward()
    assert all(parameter.grad.abs().sum() > 0 for parameter in layer.parameters())


def test_it_learns_to_let_through_what_agrees_and_to_keep_out_a_ghost():
    """Decoded pictures are blurred; the render is sharp, but half of the time shows a square that is not there."""
    generator = torch.Generator().manual_seed(1)
    truth = (
        torch.nn.functional.interpolate(torch.rand(8, 3, 8, 8, generator=generator), scale_factor=2) * 1.2
        - 0.6
    )
    decoded = torch.nn.functional.avg_pool2d(truth, 3, 1, 1)
    render = truth.clone()
    render[::2, :, 4:10, 4:10] = 1.0
    given = torch.cat((render, torch.ones(8, 1, 16, 16), torch.zeros(8, 1, 16, 16)), dim=1)
    layer = skip()
    layer.strength.data.fill_(1.0)
    optimizer = torch.optim.Adam(layer.parameters(), lr=0.01)
    for _ in range(60):
        loss = (layer(decoded, given) - truth).square().mean()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    with torch.no_grad():
        error = (layer(decoded, given) - truth).square()
    assert error.mean() < 0.3 * (decoded - truth).square().mean()
    ghost = error[::2, :, 5:9, 5:9].mean()
    assert ghost < 0.25 * (render - truth).square()[::2, :, 5:9, 5:9].mean()


def autoencoder(**changes) -> PatchVideoAutoencoder:
    torch.manual_seed(0)
    return PatchVideoAutoencoder(**{"width": 8, "num_layers": 1, **changes}).eval()


@torch.no_grad()
def test_a_video_goes_through_frame_by_frame():
    vae = autoencoder(skip_width=8)
    vae.skip.strength.fill_(1.0)
    vae.skip.told.weight.normal_(std=0.3)
    frames, given = pictures(6)
    video, shown = frames.unflatten(0, (2, 3)), given.unflatten(0, (2, 3))
    mixed = through_skip(vae, video, shown)
    expected = vae.skip(frames, given).clamp(-1, 1).unflatten(0, (2, 3))
    torch.testing.assert_close(mixed, expected)
    assert not torch.allclose(mixed, video)
    assert mixed.abs().max() <= 1
    half = through_skip(vae.to(torch.bfloat16), video, shown)
    assert half.dtype == torch.float32
    torch.testing.assert_close(half, mixed, atol=0.1, rtol=0)


@pytest.mark.parametrize("make", [autoencoder, tiny_vae])
def test_without_a_skip_or_a_render_a_video_stays_as_it_is(make):
    frames, given = pictures()
    assert torch.equal(through_skip(make(), frames[None], given[None]), frames[None])
    assert torch.equal(through_skip(autoencoder(skip_width=8), frames[None], None), frames[None])


def test_a_folder_carries_the_skip(tmp_path):
    vae = autoencoder(skip_width=8)
    vae.skip.strength.data.fill_(0.25)
    vae.save_pretrained(tmp_path)
    again = PatchVideoAutoencoder.from_pretrained(tmp_path)
    assert float(again.skip.strength.detach()) == 0.25
    assert autoencoder().skip is None
