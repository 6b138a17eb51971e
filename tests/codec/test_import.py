"""Original weights in, diffusers' and transformers' models out, and back again without a bit changed."""

import pytest
import torch
from codec_vectors import (
    official_weights,
    random_video,
    small_residual_vae,
    small_text_encoder,
    small_vae,
)
from diffusers.models.autoencoders.autoencoder_kl_wan import AutoencoderKLWan
from transformers import UMT5Config, UMT5EncoderModel

from outofsight.codec.checkpoint_files import identify, load_state_dict, save_state_dict
from outofsight.codec.official import (
    infer_text_encoder_config,
    infer_vae_config,
    text_encoder_from_official,
    text_encoder_to_official,
    vae_from_official,
    vae_to_official,
)
from outofsight.codec.video_vae import encode_video
from outofsight.errors import CheckpointError, InputError

PUBLISHED_VAE = {  # the same layers as the published file, a tenth of its width
    "base_dim": 8,
    "num_res_blocks": 2,
}


def assert_same(got: dict, expected: dict) -> None:
    assert sorted(got) == sorted(expected)
    for name, tensor in expected.items():
        assert got[name].dtype == tensor.dtype
        assert torch.equal(got[name], tensor)


def test_golden_vae_round_trip_through_a_file(tmp_path):
    weights = official_weights("vae_tiny")
    save_state_dict(tmp_path / "Wan2.1_VAE.pth", weights)
    vae = vae_from_official(load_state_dict(tmp_path / "Wan2.1_VAE.pth"))
    assert_same(vae_to_official(vae), weights)
    assert not any(parameter.is_meta for parameter in vae.parameters())
    assert not vae.training


def test_golden_text_encoder_round_trip_through_a_file(tmp_path):
    weights = official_weights("text_encoder_tiny")
    save_state_dict(tmp_path / "models_t5.pth", weights)
    encoder = text_encoder_from_official(load_state_dict(tmp_path / "models_t5.pth"))
    assert_same(text_encoder_to_official(encoder), weights)
    assert not any(parameter.is_meta for parameter in encoder.parameters())
    assert encoder.get_input_embeddings().weight is encoder.shared.weight
    encoder.save_pretrained(tmp_path / "text_encoder")
    loaded = UMT5EncoderModel.from_pretrained(tmp_path / "text_encoder")
    assert_same(text_encoder_to_official(loaded), weights)


@pytest.mark.parametrize(
    "config",
    [
        PUBLISHED_VAE,
        {"num_res_blocks": 1},
        {"num_res_blocks": 3, "decoder_base_dim": 16},
        {"dim_mult": [1, 2, 2], "temperal_downsample": [True, True], "scale_factor_spatial": 4},
        {"dim_mult": [1, 1, 2, 3], "temperal_downsample": [True, False, True]},
    ],
)
def test_a_vae_of_any_size_survives_the_way_out_and_back(config):
    vae = small_vae(**config)
    weights = vae_to_official(vae)
    assert identify(weights) == "wan_vae"
    again = vae_from_official(weights)
    assert_same(again.state_dict(), vae.state_dict())
    assert all(again.config[name] == vae.config[name] for name in vae.config if not name.startswith("_"))
    video = random_video(1, 5, 16, 16)
    with torch.no_grad():
        assert torch.equal(encode_video(again, video), encode_video(vae, video))


def test_dtypes_and_prefixes_pass_through():
    half = {f"model.{name}": tensor.bfloat16() for name, tensor in official_weights("vae_tiny").items()}
    vae = vae_from_official(half)
    assert vae.dtype == torch.bfloat16
    assert_same({f"model.{name}": tensor for name, tensor in vae_to_official(vae).items()}, half)


def test_a_vae_of_other_latents_needs_its_statistics():
    weights = vae_to_official(small_vae(z_dim=4, latents_mean=[0.0] * 4, latents_std=[1.0] * 4))
    with pytest.raises(InputError, match=r"latents_mean and latents_std of 4 numbers.*got none"):
        vae_from_official(weights)
    with pytest.raises(InputError, match=r"got {'latents_mean': 3, 'latents_std': 4}"):
        vae_from_official(weights, latents_mean=[0.5] * 3, latents_std=[2.0] * 4)
    with pytest.raises(InputError, match=r"got {'latents_mean': 4}"):
        vae_from_official(weights, latents_mean=[0.5] * 4)
    vae = vae_from_official(weights, latents_mean=[0.5] * 4, latents_std=[2.0] * 4)
    assert vae.config["latents_mean"] == [0.5] * 4
    assert vae.config["latents_std"] == [2.0] * 4


def test_the_published_text_encoder_is_inferred_from_its_shapes():
    shapes = {
        "token_embedding.weight": (256384, 4096),
        **{f"blocks.{layer}.attn.q.weight": (4096, 4096) for layer in range(24)},
        "blocks.0.ffn.fc1.weight": (10240, 4096),
        "blocks.0.pos_embedding.embedding.weight": (32, 64),
    }
    state = {name: torch.empty(shape, device="meta") for name, shape in shapes.items()}
    assert infer_text_encoder_config(state) == {
        "vocab_size": 256384,
        "d_model": 4096,
        "d_kv": 64,
        "d_ff": 10240,
        "num_layers": 24,
        "num_heads": 64,
        "relative_attention_num_buckets": 32,
    }


def test_a_text_encoder_of_any_size_survives_the_way_out_and_back():
    encoder = small_text_encoder()
    again = text_encoder_from_official(text_encoder_to_official(encoder))
    assert_same(again.state_dict(), encoder.state_dict())
    for field in ("vocab_size", "d_model", "d_kv", "d_ff", "num_layers", "num_heads", "dense_act_fn"):
        assert getattr(again.config, field) == getattr(encoder.config, field)


def test_another_models_file_is_named():
    vae, text = official_weights("vae_tiny"), official_weights("text_encoder_tiny")
    with pytest.raises(CheckpointError, match=r"an original Wan VAE .* got an original umT5 text encoder"):
        vae_from_official(text)
    with pytest.raises(CheckpointError, match=r"an original umT5 text encoder .* got an original Wan VAE"):
        text_encoder_from_official(vae)
    with pytest.raises(CheckpointError, match="got a Wan VAE in diffusers' layout"):
        vae_from_official(small_vae().state_dict())
    with pytest.raises(CheckpointError, match="got a umT5 or T5 encoder in transformers' layout"):
        text_encoder_from_official(small_text_encoder().state_dict())
    with pytest.raises(CheckpointError, match=r"got no model known here \(its first names: layer\)"):
        vae_from_official({"layer": torch.ones(1)})


def without(weights: dict, *names: str) -> dict:
    return {name: tensor for name, tensor in weights.items() if name not in names}


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        (
            lambda w: without(w, "decoder.middle.0.residual.2.bias"),
            "1 missing: decoder.middle.0.residual.2.bias",
        ),
        (lambda w: {**w, "teacher.weight": torch.ones(1)}, "1 unknown: teacher.weight"),
        (
            lambda w: {**w, "conv1.bias": torch.ones(7)},
            r"1 of another shape: conv1.bias \[7\] instead of \[32\]",
        ),
        (
            lambda w: without(w, "encoder.downsamples.1.residual.6.weight"),
            "expected a residual block .* as encoder.downsamples.1 of",
        ),
        (
            lambda w: without(w, "decoder.head.2.weight"),
            "expected a weight decoder.head.2.weight .* got none",
        ),
        (
            lambda w: {**w, "conv2.weight": torch.tensor(1.0)},
            r"conv2.weight with an axis 0, got one of shape \[\]",
        ),
        (
            lambda w: {**w, "encoder.downsamples.7.residual.6.weight": torch.ones(13, 16, 3, 3, 3)},
            r"multiples of 4, got \[2, 2, 2, 2\] blocks and widths \[4, 8, 13, 16\]",
        ),
        (
            lambda w: {n: t for n, t in w.items() if "upsamples.7" not in n},
            "4 missing: decoder.upsamples.7.resample",
        ),
    ],
)
def test_a_damaged_vae_state_is_named(change, reason):
    with pytest.raises(CheckpointError, match=reason):
        vae_from_official(change(official_weights("vae_tiny")))


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        (lambda w: without(w, "norm.weight"), "1 missing: norm.weight"),
        (lambda w: without(w, "blocks.0.ffn.fc1.weight"), "expected a weight blocks.0.ffn.fc1.weight"),
        (lambda w: without(w, "blocks.1.pos_embedding.embedding.weight"), "missing: blocks.1.pos_embedding"),
        (lambda w: {**w, "blocks.2.attn.q.weight": torch.ones(1)}, "9 missing.*; 1 of another shape"),
        (lambda w: {**w, "head.weight": torch.ones(1)}, "1 unknown: head.weight"),
    ],
)
def test_a_damaged_text_encoder_state_is_named(change, reason):
    with pytest.raises(CheckpointError, match=reason):
        text_encoder_from_official(change(official_weights("text_encoder_tiny")))


def test_the_published_sizes_without_their_weights():
    """Names and sizes alone (no memory behind them): 127 M and 5.7 G parameters, and diffusers' default VAE."""
    with torch.device("meta"):
        vae = AutoencoderKLWan()
        sizes = {"d_model": 4096, "d_ff": 10240, "num_layers": 24, "num_heads": 64}
        encoder = UMT5EncoderModel(UMT5Config(vocab_size=256384, **sizes))
    weights = vae_to_official(vae)
    assert sum(tensor.numel() for tensor in weights.values()) == 126_892_531
    again = vae_from_official(weights)
    assert all(again.config[name] == vae.config[name] for name in vae.config if not name.startswith("_"))
    weights = text_encoder_to_official(encoder)
    assert sum(tensor.numel() for tensor in weights.values()) == 5_680_910_336
    assert text_encoder_from_official(weights).config.num_heads == 64


def test_a_vae_without_original_names_is_refused():
    for vae in (small_residual_vae(4), small_vae(attn_scales=[1.0])):
        with pytest.raises(InputError, match="keep it as a diffusers folder"):
            vae_to_official(vae)


def test_the_inferred_vae_config_is_that_of_the_golden_vae():
    config = infer_vae_config(official_weights("vae_tiny"))
    assert (config["base_dim"], config["z_dim"], config["num_res_blocks"]) == (4, 16, 2)
    assert config["dim_mult"] == [1, 2, 4, 4]
    assert config["temperal_downsample"] == [False, True, True]
