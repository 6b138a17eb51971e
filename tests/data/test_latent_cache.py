"""The latent cache: what is written is read, killed writers go on, damage is named; the published form."""

import json
import os
import resource
from dataclasses import replace

import numpy as np
import pytest
import torch

from outofsight.data.latent_annotation import clip_spans, latent_masks, latent_visibility
from outofsight.data.latent_cache import (
    CacheIdentity,
    LatentCacheWriter,
    LatentSample,
    open_latent_cache,
    read_latent_sample,
    shard_name,
)
from outofsight.data.published_samples import read_published_sample, write_published_sample
from outofsight.errors import DatasetError, InputError, OutputError
from outofsight.types import WAN_CLOCK, Visibility

IDENTITY = CacheIdentity(vae_digest="d" * 64, samples_per_shard=2)


def sample(name="a", seed=0, context=3, target=3, text=True):
    generator = np.random.default_rng(seed)
    frames = context + target
    return LatentSample(
        name=name, caption=f"Ein Käfer, {name}.", facts={"fps": 15.0, "subjects": [{"id": 1}]},
        context_latents=generator.normal(size=(4, context, 2, 3)).astype(np.float16),
        target_latents=generator.normal(size=(4, target, 2, 3)).astype(np.float16),
        context_cameras=generator.normal(size=(context, 12)).astype(np.float32),
        target_cameras=generator.normal(size=(target, 12)).astype(np.float32),
        text_states=generator.normal(size=(5, 8)).astype(np.float32) if text else None,
        world_from_camera=generator.normal(size=(18, 3, 4)),
        visibility=np.zeros((1, 18), np.int8), latent_visibility=np.zeros((1, frames), np.int8),
        subject_ids=np.ones((frames, 2, 3), np.uint8), subject_share=np.full((frames, 2, 3), 200, np.uint8),
    )  # fmt: skip


def write_cache(folder, names="abc", identity=IDENTITY):
    writer = LatentCacheWriter(folder, identity, list(names))
    for number, shard in list(writer.missing()):
        writer.write(number, [sample(name, seed=ord(name)) for name in shard])
    writer.finish()
    return writer


def test_what_is_written_is_read(tmp_path):
    write_cache(tmp_path / "cache")
    cache = open_latent_cache(tmp_path / "cache")
    assert cache.names == ("a", "b", "c")
    assert cache.identity == IDENTITY
    for index, name in enumerate("abc"):
        written, read = sample(name, seed=ord(name)), cache[index]
        assert (read.name, read.caption, read.facts) == (written.name, written.caption, written.facts)
        assert read.arrays().keys() == written.arrays().keys()
        for field, value in written.arrays().items():
            assert read.arrays()[field].dtype == value.dtype
            assert np.array_equal(read.arrays()[field], value)


def test_a_killed_writer_goes_on_to_the_same_bytes(tmp_path):
    write_cache(tmp_path / "whole")
    writer = LatentCacheWriter(tmp_path / "killed", IDENTITY, list("abc"))
    writer.write(0, [sample("a", ord("a")), sample("b", ord("b"))])
    (tmp_path / "killed" / f".unfinished-{os.getpid()}-{shard_name(1)}").write_bytes(b"half")
    with pytest.raises(DatasetError, match="the cache is unfinished"):
        open_latent_cache(tmp_path / "killed")
    again = LatentCacheWriter(tmp_path / "killed", IDENTITY, list("abc"))
    assert list(again.missing()) == [(1, ("c",))]
    write_cache(tmp_path / "killed")
    names = sorted(path.name for path in (tmp_path / "whole").iterdir())
    assert sorted(path.name for path in (tmp_path / "killed").iterdir()) == names
    for name in names:
        assert (tmp_path / "killed" / name).read_bytes() == (tmp_path / "whole" / name).read_bytes()


def test_a_cache_grows(tmp_path):
    write_cache(tmp_path / "cache", "abc")
    writer = LatentCacheWriter(tmp_path / "cache", IDENTITY, list("abcde"))
    assert [names for _, names in writer.missing()] == [("c", "d"), ("e",)]
    write_cache(tmp_path / "cache", "abcde")
    assert open_latent_cache(tmp_path / "cache").names == tuple("abcde")


def test_another_vae_is_refused(tmp_path):
    write_cache(tmp_path / "cache")
    other = CacheIdentity(vae_digest="e" * 64, samples_per_shard=2)
    with pytest.raises(DatasetError, match="made with another vae_digest"):
        LatentCacheWriter(tmp_path / "cache", other, list("abc"))
    with pytest.raises(DatasetError, match=r"made by another VAE .*dddd.*eeee"):
        open_latent_cache(tmp_path / "cache").require_vae("e" * 64)


def test_a_missing_digest_is_named(tmp_path):
    write_cache(tmp_path / "cache")
    index = tmp_path / "cache" / "cache.json"
    content = json.loads(index.read_text())
    del content["identity"]["vae_digest"]
    index.write_text(json.dumps(content))
    with pytest.raises(DatasetError, match=r"cache\.json: no vae_digest"):
        open_latent_cache(tmp_path / "cache")


def flip_a_byte(path, marker):
    content = bytearray(path.read_bytes())
    place = content.find(marker)
    assert place > 0
    content[place] ^= 0x40
    path.write_bytes(bytes(content))


def test_damage_is_named_by_shard_and_sample(tmp_path):
    write_cache(tmp_path / "cache")
    shard = tmp_path / "cache" / shard_name(0)
    flip_a_byte(shard, sample("b", ord("b")).target_latents.tobytes())
    cache = open_latent_cache(tmp_path / "cache")
    assert cache[0].name == "a"
    with pytest.raises(DatasetError, match=r"shard-000000\.safetensors: sample 'b' is damaged .*checksum"):
        cache[1]
    shard.write_bytes(shard.read_bytes()[:-40])
    with pytest.raises(DatasetError, match=r"shard-000000\.safetensors: sample 'a' is damaged"):
        cache[0]
    assert cache[2].name == "c"
    shard.unlink()
    with pytest.raises(DatasetError, match=r"lacks shard-000000\.safetensors"):
        open_latent_cache(tmp_path / "cache")


def test_a_full_disk_loses_nothing_finished(tmp_path):
    writer = LatentCacheWriter(tmp_path / "cache", IDENTITY, list("abc"))
    writer.write(0, [sample("a"), sample("b")])
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (1000, hard))
    try:
        with pytest.raises(OutputError, match="could not be written"):
            writer.write(1, [sample("c")])
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert [number for number, _ in writer.missing()] == [1]
    assert not list((tmp_path / "cache").glob(".unfinished*"))


def test_bad_samples_and_folders_are_refused(tmp_path):
    with pytest.raises(InputError, match="expected context latents"):
        LatentSample(**{**sample().__dict__, "context_cameras": np.zeros((2, 12), np.float32)})
    hot = LatentSample(**{**sample("a").__dict__, "context_latents": np.full((4, 3, 2, 3), 1e6, np.float32)})
    writer = LatentCacheWriter(tmp_path / "cache", IDENTITY, ["a"])
    with pytest.raises(DatasetError, match="not finite in float16"):
        writer.write(0, [hot])
    with pytest.raises(DatasetError, match="names of their own"):
        LatentCacheWriter(tmp_path / "other", IDENTITY, ["a", "a"])
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "letter.txt").write_text("")
    with pytest.raises(DatasetError, match="is not empty"):
        LatentCacheWriter(tmp_path / "full", IDENTITY, ["a"])
    with pytest.raises(DatasetError, match=r"found no cache\.json"):
        open_latent_cache(tmp_path / "full")


@pytest.mark.parametrize("suffix", [".pth", ".safetensors"])
def test_the_published_form_there_and_back(tmp_path, suffix):
    written = sample("clip")
    write_published_sample(tmp_path / f"clip{suffix}", written)
    if suffix == ".pth":
        fields = torch.load(tmp_path / "clip.pth", weights_only=True)
        assert {name: list(value.shape) for name, value in fields.items()} == {
            "latents": [4, 6, 2, 3], "context": [5, 8], "context_camera": [3, 12], "video_camera": [3, 12],
        }  # fmt: skip
    read = read_published_sample(tmp_path / f"clip{suffix}")
    for field in ("context_latents", "target_latents", "context_cameras", "target_cameras", "text_states"):
        assert np.array_equal(getattr(read, field), getattr(written, field))


def test_the_published_form_refuses_what_it_cannot_hold(tmp_path):
    with pytest.raises(InputError, match="both halves must be equal"):
        write_published_sample(tmp_path / "a.pth", sample(context=3, target=2))
    with pytest.raises(InputError, match="holds the caption's states"):
        write_published_sample(tmp_path / "a.pth", sample(text=False))
    with pytest.raises(InputError, match=r"\.safetensors or \.pth"):
        write_published_sample(tmp_path / "a.npz", sample())
    torch.save({"latents": torch.zeros(4, 6, 2, 3)}, tmp_path / "b.pth")
    with pytest.raises(DatasetError, match="lacks context, context_camera, video_camera"):
        read_published_sample(tmp_path / "b.pth")
    (tmp_path / "c.pth").write_bytes(b"no tensors at all")
    with pytest.raises(DatasetError, match=r"c\.pth: expected the tensors"):
        read_published_sample(tmp_path / "c.pth")


def test_spans_of_both_halves():
    assert WAN_CLOCK.spans(5) == [slice(0, 1), slice(1, 5)]
    assert clip_spans(5, 1, WAN_CLOCK) == [slice(0, 1), slice(1, 5), slice(5, 6)]
    with pytest.raises(InputError, match="expected 4·k"):
        WAN_CLOCK.spans(6)


def test_annotation_at_latent_resolution_by_hand():
    visibility = np.full((1, 5), Visibility.OUT_OF_VIEW, np.int8)
    visibility[0, 3] = Visibility.CUT
    assert latent_visibility(visibility, WAN_CLOCK.spans(5)).tolist() == [
        [Visibility.OUT_OF_VIEW, Visibility.CUT]
    ]

    masks = np.zeros((5, 8, 16), np.uint8)  # one row of two latent pixels of 8×8
    masks[0, :, :8] = 7  # the first latent frame: subject 7 fills the left
    masks[1, :4, :8] = 7  # the second, of four frames: 32 pixels of 7 and 16 of 9 among 256
    masks[2, :2, :8] = 9
    ids, share = latent_masks(masks, WAN_CLOCK.spans(5), 8)
    assert ids.tolist() == [[[7, 0]], [[7, 0]]]
    assert share.tolist() == [[[255, 0]], [[round(48 / 256 * 255), 0]]]


def test_a_lens_is_kept_and_read_from_caches_of_before(tmp_path):
    """They had it in pixels, among the facts."""
    reported = np.float32([0.6, 0.9, 0.45, 0.5])
    before = {"size_px": [100, 200], "intrinsics_px": [120.0, 90.0, 90.0, 50.0]}
    samples = [replace(sample("a"), intrinsics=reported), replace(sample("b"), facts=before)]
    LatentCacheWriter(tmp_path / "cache", IDENTITY, ["a", "b"]).write(0, samples)
    path = tmp_path / "cache" / shard_name(0)
    for name in "ab":
        np.testing.assert_allclose(read_latent_sample(path, name).intrinsics, reported)
    assert sample().intrinsics is None


@pytest.mark.parametrize("bad", [[0.6, 0.9, 0.5], [np.nan] * 4, [-0.6, 0.9, 0.5, 0.5]])
def test_a_lens_that_cannot_be_is_refused(bad):
    with pytest.raises(InputError, match="expected intrinsics of four finite numbers"):
        replace(sample(), intrinsics=np.float32(bad))
