"""Clips to latents: what the codec gives, each half by itself; the same after a kill; digests."""

import numpy as np
import pytest
import torch

from models import tiny_text_encoder, tiny_vae
from outofsight.codec.checkpoint_files import network_digest
from outofsight.codec.text import encode_prompts
from outofsight.codec.video_vae import encode_video
from outofsight.data.dataset import open_dataset
from outofsight.data.latent_cache import open_latent_cache
from outofsight.errors import DatasetError, InputError
from outofsight.geometry.conditioning import camera_conditioning
from outofsight.training.encoding import Encoder, encode_dataset
from outofsight.training.loop import train


def test_latents_cameras_and_masks_are_those_of_the_clip(cache, data):
    clip, sample = open_dataset(data, "train")[1], open_latent_cache(cache / "train")[1]
    assert (sample.name, sample.caption) == (clip.name, clip.caption)
    split = clip.num_context_frames
    for latents, frames in (
        (sample.context_latents, clip.video[:split]),
        (sample.target_latents, clip.video[split:]),
    ):
        video = torch.from_numpy(frames.copy()).permute(0, 3, 1, 2)[None].float() / 127.5 - 1
        with torch.no_grad():
            expected = encode_video(tiny_vae(), video)[0].numpy()
        np.testing.assert_array_equal(latents, expected.astype(np.float16))
    cameras = camera_conditioning(clip.cameras[:split], clip.cameras[split:])
    np.testing.assert_array_equal(sample.context_cameras, cameras.context)
    np.testing.assert_array_equal(sample.target_cameras, cameras.target)
    np.testing.assert_array_equal(sample.world_from_camera, clip.cameras.world_from_camera)
    assert sample.subject_ids.shape == (6, 4, 8)
    assert set(np.unique(sample.subject_ids)) == {0, 1}
    total = (clip.masks[0] > 0).sum() / 64
    assert sample.subject_share[0].sum() / 255 == pytest.approx(total, abs=0.1)
    assert sample.facts["subjects"][0]["name"] == "square"


def test_a_killed_encoding_goes_on_to_the_same_bytes(cache, data, tmp_path):
    class Killed(Exception):
        pass

    def kill(done, _total, _name):
        if done == 5:
            raise Killed

    encoder = Encoder(vae=tiny_vae())
    with pytest.raises(Killed):
        encode_dataset(encoder, data, tmp_path / "out", samples_per_shard=4, progress=kill)
    reports = encode_dataset(encoder, data, tmp_path / "out", samples_per_shard=4)
    assert [(report.num_samples, report.num_found) for report in reports] == [(6, 4), (2, 0)]
    for part in ("train", "validation"):
        for path in (cache / part).iterdir():
            assert path.read_bytes() == (tmp_path / "out" / part / path.name).read_bytes()


def test_the_training_part_can_be_mirrored(cache, data, tmp_path):
    reports = encode_dataset(Encoder(vae=tiny_vae()), data, tmp_path / "out", mirror=True)
    assert [report.num_samples for report in reports] == [12, 2]
    plain, both = open_latent_cache(cache / "train"), open_latent_cache(tmp_path / "out" / "train")
    assert list(both.names) == [*plain.names, *(f"{name}-mirrored" for name in plain.names)]
    np.testing.assert_array_equal(both[1].target_latents, plain[1].target_latents)
    np.testing.assert_array_equal(both[7].subject_ids, plain[1].subject_ids[:, :, ::-1])
    sides = np.diag([-1.0, 1.0, 1.0])
    poses, turned = (value.target_cameras.reshape(-1, 3, 4) for value in (plain[1], both[7]))
    np.testing.assert_allclose(turned[:, :, :3], sides @ poses[:, :, :3] @ sides, atol=1e-6)
    np.testing.assert_allclose(turned[:, :, 3], poses[:, :, 3] @ sides, atol=1e-6)


def test_text_states_without_their_padding(cache_of_world):
    from transformers import ByT5Tokenizer  # noqa: PLC0415

    cache = open_latent_cache(cache_of_world / "train")
    sample = cache[0]
    with torch.no_grad():
        whole = encode_prompts(tiny_text_encoder(), ByT5Tokenizer(), [sample.caption])[0].numpy()
    length = len(sample.caption.encode()) + 1  # bytes and the end
    assert len(sample.text_states) == length
    np.testing.assert_allclose(sample.text_states, whole[:length], rtol=1e-5, atol=1e-6)
    assert len(cache.empty_caption()) == 1


def test_the_digest_knows_weights_and_configuration():
    assert network_digest(tiny_vae()) == network_digest(tiny_vae())
    assert network_digest(tiny_vae(seed=1)) != network_digest(tiny_vae())
    moved = tiny_vae()
    moved.register_to_config(latents_mean=[0.5] * 16)
    assert network_digest(moved) != network_digest(tiny_vae())


def test_training_refuses_latents_of_another_vae(world_config, cache, tmp_path):
    tiny_vae(seed=1).save_pretrained(tmp_path / "other")
    with pytest.raises(DatasetError, match="its latents were made by another VAE"):
        train(world_config(task={"vae": str(tmp_path / "other")}), cache, tmp_path / "run")
    assert not (tmp_path / "run").exists()


def test_training_names_a_damaged_shard_and_its_sample(world_config, cache, tmp_path):
    shard = cache / "train" / "shard-000001.safetensors"
    content = bytearray(shard.read_bytes())
    content[-7] ^= 1
    shard.write_bytes(bytes(content))
    with pytest.raises(DatasetError, match=r"shard-000001\.safetensors: sample 'clip_00000.' is damaged"):
        train(world_config(), cache, tmp_path / "run")


def test_clips_that_do_not_fit_are_named(data, tmp_path):
    from outofsight.data.sample import read_sample, write_sample  # noqa: PLC0415
    from outofsight.types import Clip  # noqa: PLC0415

    clip = read_sample(data / "train" / "clip_000000")
    fields = {name: getattr(clip, name) for name in ("name", "video", "fps", "cameras", "caption", "masks",
                                                     "masks_are_instances", "subjects")}  # fmt: skip
    write_sample(tmp_path / "data" / "odd", Clip(**fields, num_context_frames=8))
    with pytest.raises(InputError, match="sample 'odd': expected 4·k"):
        encode_dataset(Encoder(vae=tiny_vae()), tmp_path / "data", tmp_path / "out")
