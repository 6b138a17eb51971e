"""The video VAE against the published one, and its laws: causal, batch-free, tiled as whole."""

import pytest
import torch
from accelerate import cpu_offload, cpu_offload_with_hook
from codec_vectors import (
    official_weights,
    random_video,
    small_residual_vae,
    small_vae,
    vectors,
)
from diffusers.models.autoencoders.autoencoder_kl_wan import AutoencoderKLWan

from golden import relative_difference
from outofsight.codec.latent_tiling import LatentTiling
from outofsight.codec.official import vae_from_official
from outofsight.codec.video_vae import (
    clock_of,
    decode_latents,
    encode_video,
    spatial_factor,
    temporal_factor,
)
from outofsight.errors import CheckpointError, InputError

TOLERANCE = 1e-5


@pytest.fixture(scope="module")
def golden_vae() -> AutoencoderKLWan:
    return vae_from_official(official_weights("vae_tiny"))


@pytest.fixture(scope="module")
def vae() -> AutoencoderKLWan:
    return small_vae()


@pytest.fixture(autouse=True)
def _no_gradients():
    with torch.no_grad():
        yield


def test_golden_latents_whole_five_frames_and_first_frame(golden_vae):
    golden = vectors("vae_tiny")
    video = golden["in.video"].transpose(1, 2)
    assert relative_difference(encode_video(golden_vae, video), golden["out.latents"]) <= TOLERANCE
    five = encode_video(golden_vae, video[:, :5])
    assert relative_difference(five, golden["out.latents_5_frames"]) <= TOLERANCE
    first = encode_video(golden_vae, video[:, :1])
    assert relative_difference(first, golden["out.latents_first_frame_only"]) <= TOLERANCE


def test_golden_decoding(golden_vae):
    golden = vectors("vae_tiny")
    decoded = decode_latents(golden_vae, golden["out.latents"]).transpose(1, 2)
    assert relative_difference(decoded, golden["out.decoded_clamped"]) <= TOLERANCE


def test_golden_statistics_are_the_defaults(golden_vae):
    golden = vectors("vae_tiny")
    assert torch.equal(torch.tensor(golden_vae.config["latents_mean"]), golden["latents_mean"])
    assert torch.equal(torch.tensor(golden_vae.config["latents_std"]), golden["latents_std"])


def test_golden_tiles_both_ways(golden_vae):
    golden = vectors("vae_tiny_tiled")
    tiling = LatentTiling(tile=(8, 9), stride=(4, 5))
    video = golden["in.video"].transpose(1, 2)
    tiled = encode_video(golden_vae, video, tiling)
    assert relative_difference(tiled, golden["out.latents_tiled_8x9_s4x5"]) <= TOLERANCE
    assert relative_difference(encode_video(golden_vae, video), golden["out.latents_untiled"]) <= TOLERANCE
    decoded = decode_latents(golden_vae, golden["out.latents_untiled"], tiling).transpose(1, 2)
    assert relative_difference(decoded, golden["out.decoded_tiled_8x9_s4x5"]) <= TOLERANCE


def test_tiles_are_clamped_after_they_are_blended():
    """Where one tile says 3 and its neighbour 0, half-way between is 1 (3/2, clamped), not 1/2."""
    vae = small_vae()
    vae.decoder.conv_out.weight.mul_(1000)  # so that it runs out of the range
    latents = torch.randn(1, 16, 1, 2, 4, generator=torch.Generator().manual_seed(5))
    tiling = LatentTiling(tile=(2, 3), stride=(2, 1))
    raw = {}

    def keep(_decoder, _inputs, output):
        raw[len(raw)] = output

    handle = vae.decoder.register_forward_hook(keep)
    video = decode_latents(vae, latents, tiling)
    handle.remove()
    assert len(raw) == 2
    assert max(float(tile.abs().max()) for tile in raw.values()) > 1
    left, right = (tile[:, :, 0] for tile in (raw[0], raw[1]))  # [1, 3, 16, 24], overlapping in 16 columns
    ramp = torch.arange(1, 17) / 16
    weights = torch.stack([ramp.flip(0), ramp])
    blend = (left[..., 8:] * weights[0] + right[..., :16] * weights[1]) / weights.sum(0)
    early = (
        left[..., 8:].clamp(-1, 1) * weights[0] + right[..., :16].clamp(-1, 1) * weights[1]
    ) / weights.sum(0)
    assert not torch.allclose(early, blend.clamp(-1, 1), atol=0.1)  # it matters here
    torch.testing.assert_close(video[:, 0, :, :, 8:24], blend.clamp(-1, 1), rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("make", [small_vae, lambda: small_residual_vae(4), lambda: small_residual_vae(3)])
@pytest.mark.parametrize("num_frames", [1, 5, 9])
def test_shapes_and_laws_of_every_form(make, num_frames):
    vae = make()
    factor = spatial_factor(vae)
    assert factor in (8, 16)
    video = random_video(2, num_frames, 2 * factor, 3 * factor)
    latents = encode_video(vae, video)
    assert latents.shape == (2, 16, clock_of(vae).num_latent(num_frames), 2, 3)
    decoded = decode_latents(vae, latents)
    assert decoded.shape == video.shape
    assert decoded.abs().max() <= 1
    assert latents.dtype == decoded.dtype == torch.float32
    # the past does not know the future: the first frame alone gives the same first latent frame
    torch.testing.assert_close(encode_video(vae, video[:, :1]), latents[:, :, :1], rtol=1e-5, atol=1e-5)
    torch.testing.assert_close(decode_latents(vae, latents[:, :, :1]), decoded[:, :1], rtol=1e-5, atol=1e-5)


def test_the_residual_form_of_three_stages_spans_8_pixels_and_of_four_16():
    assert [spatial_factor(small_residual_vae(stages)) for stages in (3, 4)] == [8, 16]


def test_latents_are_the_normalised_posterior_mean(vae):
    video = random_video(1, 5, 16, 16)
    mean, std = (
        torch.tensor(vae.config[name]).view(1, 16, 1, 1, 1) for name in ("latents_mean", "latents_std")
    )
    posterior = vae.encode(video.transpose(1, 2)).latent_dist
    torch.testing.assert_close(encode_video(vae, video), (posterior.mean - mean) / std)
    latents = torch.randn(1, 16, 2, 2, 2, generator=torch.Generator().manual_seed(0))
    expected = vae.decode(latents * std + mean).sample.clamp(-1, 1).transpose(1, 2)
    torch.testing.assert_close(decode_latents(vae, latents), expected, rtol=1e-5, atol=1e-5)


def test_a_batch_equals_its_elements_bit_for_bit(vae):
    video = random_video(3, 5, 16, 24)
    latents = encode_video(vae, video)
    decoded = decode_latents(vae, latents)
    for index in range(3):
        assert torch.equal(encode_video(vae, video[index : index + 1])[0], latents[index])
        assert torch.equal(decode_latents(vae, latents[index : index + 1])[0], decoded[index])


def test_every_call_starts_from_a_fresh_state(vae):
    video = random_video(1, 9, 16, 16)
    before = encode_video(vae, video)
    encode_video(vae, random_video(1, 5, 24, 16))
    with pytest.raises(RuntimeError):  # left in the middle
        vae.encode(torch.zeros(1, 4, 5, 16, 16))
    assert torch.equal(encode_video(vae, video), before)


def test_one_tile_over_everything_equals_no_tiling(vae):
    video = random_video(1, 5, 16, 24)
    tiling = LatentTiling(tile=(2, 3), stride=(1, 1))
    latents = encode_video(vae, video)
    assert torch.equal(encode_video(vae, video, tiling), latents)
    assert torch.equal(decode_latents(vae, latents, tiling), decode_latents(vae, latents))


def test_bf16_weights_keep_float32_statistics(vae):
    half = small_vae().to(torch.bfloat16)
    video = random_video(1, 5, 16, 24)
    latents = encode_video(half, video)
    assert latents.dtype == torch.float32
    posterior = half.encode(video.transpose(1, 2).bfloat16()).latent_dist.mode()
    mean, std = (
        torch.tensor(vae.config[name]).view(1, 16, 1, 1, 1) for name in ("latents_mean", "latents_std")
    )
    torch.testing.assert_close(latents, (posterior.float() - mean) / std)
    assert relative_difference(latents, encode_video(vae, video)) < 0.02
    decoded = decode_latents(half, latents)
    assert decoded.dtype == torch.float32
    assert relative_difference(decoded, decode_latents(vae, latents)) < 0.08


def test_gradients_reach_the_video_and_the_latents(vae):
    with torch.enable_grad():
        video = random_video(1, 5, 16, 24).requires_grad_()
        tiling = LatentTiling(tile=(2, 2), stride=(1, 1))
        latents = encode_video(vae, video, tiling)
        decode_latents(vae, latents, tiling).square().sum().backward()
    assert video.grad is not None
    assert video.grad.abs().sum() > 0
    vae.zero_grad(set_to_none=True)


def test_an_offloaded_vae_works_as_before(vae):
    video = random_video(1, 5, 16, 16)
    expected = encode_video(vae, video)
    whole, hook = cpu_offload_with_hook(small_vae(), torch.device("cpu"))
    layer_by_layer = cpu_offload(small_vae(), torch.device("cpu"))
    assert layer_by_layer.device.type == "meta"  # weights come only while a layer runs
    for offloaded in (whole, layer_by_layer):
        assert torch.equal(encode_video(offloaded, video), expected)
        assert torch.equal(decode_latents(offloaded, expected), decode_latents(vae, expected))
    hook.remove()


def test_a_saved_folder_gives_the_same_vae(tmp_path, golden_vae):
    golden_vae.save_pretrained(tmp_path / "vae")
    loaded = AutoencoderKLWan.from_pretrained(tmp_path / "vae")
    video = vectors("vae_tiny")["in.video"].transpose(1, 2)
    assert torch.equal(encode_video(loaded, video), encode_video(golden_vae, video))


@pytest.mark.parametrize(
    ("num_frames", "nearest"),
    [(0, "1"), (-3, "1"), (2, "1 or 5"), (4, "1 or 5"), (76, "73 or 77"), (80, "77 or 81")],
)
def test_a_number_of_frames_between_the_legal_ones(vae, num_frames, nearest):
    with pytest.raises(InputError, match=rf"expected 4·k \+ 1 video frames, got {num_frames};.* {nearest}$"):
        clock_of(vae).num_latent(num_frames)


def test_every_legal_number_of_frames(vae):
    assert [clock_of(vae).num_latent(4 * k + 1) for k in range(30)] == list(range(1, 31))
    assert temporal_factor(vae) == 4


@pytest.mark.parametrize(
    ("video", "reason"),
    [
        (torch.zeros(1, 3, 5, 16, 16), r"\[b, t, 3, h, w\], got \[1, 3, 5, 16, 16\]"),
        (torch.zeros(5, 3, 16, 16), r"\[b, t, 3, h, w\]"),
        (torch.zeros(0, 5, 3, 16, 16), r"\[b, t, 3, h, w\]"),
        (torch.zeros(1, 4, 3, 16, 16), "nearest such number: 1 or 5"),
        (torch.zeros(1, 5, 3, 20, 16), "height divisible by 8, got 20; the nearest legal is 16 or 24"),
        (torch.zeros(1, 5, 3, 16, 4), "width divisible by 8, got 4; the nearest legal is 8"),
        (torch.zeros(1, 5, 3, 16, 16, dtype=torch.uint8), "127.5"),
        (torch.full((1, 5, 3, 16, 16), 255.0), "values from 255 to 255"),
        (torch.full((1, 5, 3, 16, 16), float("nan")), "values from nan to nan"),
    ],
)
def test_bad_videos(vae, video, reason):
    with pytest.raises(InputError, match=reason):
        encode_video(vae, video)


@pytest.mark.parametrize(
    ("latents", "reason"),
    [
        (torch.zeros(1, 8, 2, 2, 2), r"\[b, 16, f, h, w\] for this VAE, got \[1, 8, 2, 2, 2\]"),
        (torch.zeros(16, 2, 2, 2), r"\[b, 16, f, h, w\]"),
        (torch.zeros(1, 16, 0, 2, 2), r"\[b, 16, f, h, w\]"),
        (torch.full((1, 16, 1, 2, 2), float("inf")), "finite"),
        (torch.zeros(1, 16, 1, 2, 2, dtype=torch.int64), "finite"),
    ],
)
def test_bad_latents(vae, latents, reason):
    with pytest.raises(InputError, match=reason):
        decode_latents(vae, latents)


def test_a_config_that_contradicts_the_layers():
    with pytest.raises(CheckpointError, match="scale_factor_spatial=8, but its layers make 4"):
        spatial_factor(small_vae(dim_mult=[1, 2, 4], temperal_downsample=[True, True]))
    with pytest.raises(CheckpointError, match="scale_factor_temporal=4, but its layers make 2"):
        temporal_factor(small_vae(temperal_downsample=[False, False, True]))
    with pytest.raises(CheckpointError, match="makes 4 frames one, got one that makes 2"):
        temporal_factor(small_vae(temperal_downsample=[False, False, True], scale_factor_temporal=2))
    with pytest.raises(CheckpointError, match="8 latent channels, but its config gives 16 latents_mean"):
        encode_video(small_vae(z_dim=8), torch.zeros(1, 1, 3, 8, 8))


def test_the_borrowed_tiling_is_refused():
    vae = small_vae()
    vae.enable_tiling()
    with pytest.raises(InputError, match="disable_tiling"):
        encode_video(vae, torch.zeros(1, 1, 3, 8, 8))
    with pytest.raises(InputError, match="disable_tiling"):
        decode_latents(vae, torch.zeros(1, 16, 1, 1, 1))
