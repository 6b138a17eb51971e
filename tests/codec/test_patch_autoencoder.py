import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from outofsight.codec.patch_autoencoder import PatchVideoAutoencoder, from_blocks, to_blocks
from outofsight.codec.video_vae import decode_latents, encode_video, num_latent_frames, spatial_factor
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
    assert latents.shape == (1, 16, num_latent_frames(9, model), 2, 3)
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
