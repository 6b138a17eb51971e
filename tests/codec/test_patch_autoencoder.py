"""The autoencoder of blocks, and the skip of its decoder."""

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from models import tiny_vae
from outofsight.codec.patch_autoencoder import DecoderSkip, PatchVideoAutoencoder, from_blocks, to_blocks
from outofsight.codec.video_vae import (
    decode_latents,
    encode_video,
    spatial_factor,
    through_skip,
)
from outofsight.errors import InputError


def small(seed: int = 0, **changes) -> PatchVideoAutoencoder:
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        model = PatchVideoAutoencoder(**{"width": 8, "num_layers": 2, **changes})
        for half in (model.encoder, model.decoder):
            torch.nn.init.normal_(half.head.weight, std=0.1)
    return model.eval()


def video(frames: int = 9, height: int = 16, width: int = 24, seed: int = 1) -> torch.Tensor:
    return torch.rand(1, 3, frames, height, width, generator=torch.Generator().manual_seed(seed)) * 2 - 1


@given(groups=st.integers(0, 3), rows=st.integers(1, 3), columns=st.integers(1, 3))
def test_blocks_hold_every_pixel(groups: int, rows: int, columns: int) -> None:
    from diffusers.models.autoencoders.autoencoder_kl_wan import unpatchify  # noqa: PLC0415

    pixels = video(4 * groups + 1, 8 * rows, 8 * columns)
    blocks = to_blocks(pixels)
    assert blocks.shape == (1, groups + 1, rows, columns, 768)
    torch.testing.assert_close(unpatchify(from_blocks(blocks), 8), pixels)


def test_a_number_of_frames_that_makes_no_blocks_is_refused() -> None:
    with pytest.raises(InputError, match="4·k \\+ 1 video frames, got 8"):
        to_blocks(video(8))


@torch.no_grad()
def test_it_begins_as_principal_components() -> None:
    generator = torch.Generator().manual_seed(0)
    basis = torch.linalg.qr(torch.randn(768, 3, generator=generator))[0]
    blocks = torch.randn(500, 3, generator=generator) * torch.tensor([5.0, 2.0, 1.0]) @ basis.T + 0.3
    model = PatchVideoAutoencoder(z_dim=3, width=8, num_layers=1, latents_mean=[0] * 3, latents_std=[1] * 3)
    model.fit_principal(blocks, torch.ones(500))
    latents = model.encoder.principal(blocks)
    torch.testing.assert_close(model.decoder.principal(latents), blocks, atol=1e-4, rtol=0)  # three suffice
    torch.testing.assert_close(latents.mean(dim=0), torch.zeros(3), atol=1e-4, rtol=0)
    spread = latents.var(dim=0, unbiased=False)
    assert spread[0] > spread[1] > spread[2]
    assert float(spread.mean()) == pytest.approx(1, abs=1e-3)
    pixels = video()  # heads are zero: the whole model is the linear code
    torch.testing.assert_close(
        model.encode(pixels).latent_dist.mode(), model.encoder.principal(to_blocks(pixels)).movedim(-1, 1)
    )


@torch.no_grad()
def test_blocks_that_weigh_more_decide() -> None:
    blocks = torch.zeros(20, 768)
    blocks[:10, 0], blocks[10:, 1] = torch.linspace(-1, 1, 10), torch.linspace(-1, 1, 10)
    model = PatchVideoAutoencoder(z_dim=1, width=8, num_layers=1, latents_mean=[0], latents_std=[1])
    model.fit_principal(blocks, torch.cat((torch.full((10,), 5.0), torch.ones(10))))
    assert float(model.encoder.principal.weight[0].abs().argmax()) == 0
    with pytest.raises(InputError, match="expected ≥ 1 blocks"):
        model.fit_principal(blocks[:0], torch.ones(0))


@torch.no_grad()
def test_coding_is_causal() -> None:
    model, whole = small(), video(13)
    latents = model.encode(whole).latent_dist.mode()
    torch.testing.assert_close(model.encode(whole[:, :, :5]).latent_dist.mode(), latents[:, :, :2])
    torch.testing.assert_close(
        model.decode(latents[:, :, :2]).sample, model.decode(latents).sample[:, :, :5], atol=1e-5, rtol=1e-5
    )


@torch.no_grad()
def test_it_stands_where_wans_does(tmp_path) -> None:
    from outofsight.training.models import load_vae  # noqa: PLC0415

    model = small(latents_mean=[0.5] * 16, latents_std=[2.0] * 16)
    pixels = video().transpose(1, 2)
    latents = encode_video(model, pixels)
    assert latents.shape == (1, 16, 3, 2, 3)
    assert spatial_factor(model) == 8
    posterior = model.encode(pixels.transpose(1, 2)).latent_dist
    torch.testing.assert_close(latents, (posterior.mode() - 0.5) / 2)
    torch.testing.assert_close(posterior.std, torch.full_like(posterior.std, 0.030197), rtol=1e-4, atol=0)
    again = decode_latents(model, latents).transpose(1, 2)
    torch.testing.assert_close(again, model.decode(posterior.mode()).sample, atol=1e-5, rtol=1e-5)
    model.save_pretrained(tmp_path / "vae")
    loaded = load_vae(tmp_path)
    assert isinstance(loaded, PatchVideoAutoencoder)
    assert torch.equal(encode_video(loaded, pixels), latents)


def test_blocks_of_another_size_are_refused() -> None:
    with pytest.raises(InputError, match="4 frames × 8 × 8"):
        PatchVideoAutoencoder(patch_size=4)


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
