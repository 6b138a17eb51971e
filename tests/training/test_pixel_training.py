"""Training on pixels: the reader of masks and the decoder's skip learn, all else stays."""

import numpy as np
import pytest
import torch
from test_rendered_truth import HALF, HEIGHT, WIDTH, standing
from transformers import ByT5Tokenizer

from models import tiny_text_encoder, tiny_transformer, tiny_world
from outofsight.codec.patch_autoencoder import DecoderSkip, PatchVideoAutoencoder
from outofsight.codec.video_vae import decode_latents, encode_video
from outofsight.data.sample import write_sample
from outofsight.errors import CheckpointError, DatasetError, InputError
from outofsight.memory.banks.mask_reader import MaskReader
from outofsight.sampling.world import WorldModel
from outofsight.training import pixel_training
from outofsight.training.config import Batch, Optimisation, TrainConfig, Validation
from outofsight.training.loop import train
from outofsight.training.pixel_training import (
    PixelObjective,
    coded,
    last_start,
    mask_sample,
    pixel_parts,
    reader_loss,
    relit,
    skip_sample,
)
from outofsight.training.recipes import recipe
from outofsight.training.rendered_truth import PlaceErrors
from outofsight.training.run_folder import read_log
from outofsight.training.tasks import PixelTask


def patch_vae() -> PatchVideoAutoencoder:
    torch.manual_seed(0)
    return PatchVideoAutoencoder(width=8, num_layers=1).eval()


@pytest.fixture(scope="module")
def world(tmp_path_factory):
    folder = tmp_path_factory.mktemp("world") / "patch"
    plain = tiny_world()
    WorldModel(
        transformer=tiny_transformer(), vae=patch_vae(), text_encoder=tiny_text_encoder(), tokenizer=ByT5Tokenizer(),
        scheduler=plain.scheduler,
    ).save_pretrained(folder)  # fmt: skip
    return folder


@pytest.fixture(scope="module")
def clips(tmp_path_factory):
    folder = tmp_path_factory.mktemp("standing")
    for part, count in (("train", 2), ("validation", 1)):
        for index in range(count):
            write_sample(folder / part / f"{part}_{index}", standing((4 + 8 * index, 44)))
    return folder


def task_of(world, **changes) -> PixelTask:
    return PixelTask(**{"initial": str(world), "skip_width": 6, "frames": 2, "window": 5, **changes})


def test_samples_hold_what_is_learned():
    clip, generator = standing(), np.random.default_rng(0)
    reported = mask_sample(clip, np.array([2, 0]))
    assert reported["evidence"].shape == (2, 9, HEIGHT, WIDTH)
    assert np.array_equal(reported["mask"].numpy(), clip.masks[[8, 0]])
    with torch.no_grad():
        found = skip_sample(patch_vae(), clip, slice(4, 9), PixelTask(agreed_share=0), generator)
    assert found["truth"].shape == found["decoded"].shape == (5, 3, HEIGHT, WIDTH)
    assert found["given"].shape == (5, 5, HEIGHT, WIDTH)
    assert np.array_equal(found["subjects"].numpy(), clip.masks[HALF + 4 :])
    torch.testing.assert_close(
        found["truth"][0], torch.from_numpy(clip.video[13]).permute(2, 0, 1) / 127.5 - 1
    )
    again = coded(patch_vae(), clip)
    assert np.array_equal(again.video[HALF:], clip.video[HALF:])
    assert not np.array_equal(again.video[:HALF], clip.video[:HALF])


def test_masks_are_learned_from_any_part_of_a_clip():
    clip = standing((4, 44))
    later = mask_sample(clip, np.array([2, 0]), start=HALF - 4)
    assert np.array_equal(later["mask"].numpy(), clip.masks[[HALF + 4, HALF - 4]])
    torch.testing.assert_close(
        later["evidence"][0, :3], torch.from_numpy(clip.video[HALF + 4]).permute(2, 0, 1) / 127.5 - 1
    )
    again = coded(patch_vae(), clip, HALF - 4)
    same = (again.video == clip.video).all(axis=(1, 2, 3))
    assert np.flatnonzero(~same).tolist() == list(range(HALF - 4, 2 * HALF - 4))


def test_another_light_is_of_the_whole_clip_and_of_each_colour():
    clip = standing()
    assert np.array_equal(relit(clip, 0.0, np.random.default_rng(0)).video, clip.video)
    lit = relit(clip, 0.2, np.random.default_rng(0)).video
    change = lit.astype(int) - clip.video
    assert 0 < np.abs(change).max() <= 1 + 255 * (0.2 * 0.5 + 0.2)
    for colour in range(3):
        was, became = clip.video[..., colour].ravel(), lit[..., colour].ravel()
        pairs = set(zip(was, became, strict=True))
        assert len(pairs) == len(set(was))  # a level becomes one level, wherever it is
    assert len({tuple(pixel) for pixel in change.reshape(-1, 3)[clip.masks.ravel() > 0]}) == 1
    assert len(set(change[clip.masks > 0][0])) > 1
    assert np.array_equal(lit, relit(clip, 0.2, np.random.default_rng(0)).video)


def test_an_agreed_window_shows_subjects_where_the_render_has_them():
    clip = standing()
    task = PixelTask(
        agreed_share=1, latent_noise=0, errors=PlaceErrors(near_m=0.5, missing_share=0, astray_share=0)
    )
    with torch.no_grad():
        found = skip_sample(patch_vae(), clip, slice(4, 9), task, np.random.default_rng(0))
    true = torch.from_numpy(clip.video[HALF + 4 :].copy()).permute(0, 3, 1, 2) / 127.5 - 1
    shown, elsewhere = found["given"][:, 4:] == 1, found["given"][:, 4:] == 0
    assert shown.any()
    torch.testing.assert_close(
        found["truth"][shown.expand(-1, 3, -1, -1)], found["given"][:, :3][shown.expand(-1, 3, -1, -1)]
    )
    torch.testing.assert_close(
        found["truth"][elsewhere.expand(-1, 3, -1, -1)], true[elsewhere.expand(-1, 3, -1, -1)]
    )
    assert bool((found["subjects"][:, None][shown] == 1).all())
    with torch.no_grad():
        rebuilt = decode_latents(patch_vae(), encode_video(patch_vae(), found["truth"][None]))[0]
    torch.testing.assert_close(found["decoded"], rebuilt)


def test_windows_begin_where_latent_frames_do():
    assert (last_start(standing(), 5), last_start(standing(), 9)) == (4, 0)
    with pytest.raises(DatasetError, match=r"has 9 target frames, a window needs 13; set task\.window"):
        last_start(standing(), 13)


def test_the_loss_of_masks():
    mask = torch.zeros(2, 1, 4, 4)
    mask[:, :, :2] = 1
    right, wrong = (2 * mask - 1) * 40, (1 - 2 * mask) * 40
    loss = reader_loss(torch.cat((right[:1], wrong[:1])), mask)
    assert float(loss[0]) == pytest.approx(0, abs=1e-5)
    assert float(loss[1]) == pytest.approx(4 * 40 + 1 - 1 / 17, rel=1e-4)


def test_both_parts_learn_a_toy_within_a_few_steps():
    torch.manual_seed(0)
    clip, generator = standing(), np.random.default_rng(0)
    with torch.no_grad():
        sample = skip_sample(patch_vae(), clip, slice(0, 5), PixelTask(), generator) | mask_sample(
            clip, np.array([0, 2])
        )
    batch = {name: value[None] for name, value in sample.items()}
    skip = DecoderSkip(6)
    skip.strength.data.fill_(1.0)
    objective = PixelObjective(MaskReader(4), skip, PixelTask())
    optimizer = torch.optim.Adam(objective.parameters(), lr=0.02)
    results = []
    for _ in range(10):
        results.append(objective(batch))
        optimizer.zero_grad()
        results[-1]["loss"].sum().backward()
        optimizer.step()
    for name in ("loss", "loss/mask", "loss/skip"):
        assert float(results[-1][name].detach()) < 0.8 * float(results[0][name].detach()), name
    assert all(parameter.grad is not None for parameter in objective.parameters())
    shown = objective.eval()(batch)
    assert shown["shown"].shape == batch["mask"].shape
    assert shown["mixed"].shape == batch["truth"].shape


def test_a_run_learns_those_two_parts_and_leaves_the_rest_as_it_is(world, clips, tmp_path):
    config = TrainConfig(
        recipe="toy", task=task_of(world), num_steps=2, log_every_steps=1, batch=Batch(size=2),
        optimisation=Optimisation(learning_rate=1e-2, ema_decay=0.5),
        validation=Validation(every_steps=2, num_samples=1, videos_every_steps=0),
    )  # fmt: skip
    result = train(config, clips, tmp_path / "run")
    assert result.finished
    figures = read_log(tmp_path / "run")[-1]
    for name in ("mask_iou", "psnr", "psnr_subjects", "plain_psnr"):
        assert figures[f"validation/{name}"] == figures[f"validation/{name}"], name
    before, after = WorldModel.from_pretrained(world), WorldModel.from_pretrained(tmp_path / "run" / "export")
    for part in ("transformer", "vae", "text_encoder"):
        other = getattr(after, part).state_dict()
        for name, value in getattr(before, part).state_dict().items():
            assert torch.equal(value, other[name]), name
    assert after.transformer.rendered_memory.masks is not None
    assert not after.transformer.rendered_memory.embed.any()  # the transformer does not learn here
    assert after.vae.skip.told.weight.abs().sum() > 0
    assert float(after.vae.skip.strength.detach()) != 0


@pytest.mark.parametrize("learned", ["mask", "skip"])
def test_one_part_learns_alone_and_costs_nothing_of_the_other(learned, world, clips, tmp_path, monkeypatch):
    other = {"mask": "skip", "skip": "mask"}[learned]
    monkeypatch.setattr(pixel_training, f"{other}_sample", None)  # whoever calls it fails
    config = TrainConfig(
        recipe="toy", task=task_of(world, **{f"{other}_weight": 0}), num_steps=2, log_every_steps=1,
        batch=Batch(size=2), optimisation=Optimisation(learning_rate=1e-2, ema_decay=0.5),
        validation=Validation(every_steps=2, num_samples=1, videos_every_steps=0),
    )  # fmt: skip
    train(config, clips, tmp_path / "run")
    reported = {name for name in read_log(tmp_path / "run")[-1] if name.startswith("validation/")}
    assert ("validation/mask_iou" in reported) == (learned == "mask")
    assert ("validation/psnr" in reported) == (learned == "skip")
    first = pixel_parts(task_of(world), config.seed)
    after = WorldModel.from_pretrained(tmp_path / "run" / "export")
    masks = (
        after.transformer.rendered_memory.masks.logits.weight,
        first.transformer.rendered_memory.masks.logits.weight,
    )
    skips = after.vae.skip.told.weight, first.vae.skip.told.weight
    for part, weights in {"mask": masks, "skip": skips}.items():
        assert torch.equal(*weights) == (part != learned), part


def test_what_cannot_be_trained_is_refused(world, tmp_path):
    with pytest.raises(InputError, match=r"--set task\.initial=FOLDER"):
        pixel_parts(PixelTask(), 0)
    tiny_world().save_pretrained(tmp_path / "wan")
    with pytest.raises(CheckpointError, match="which can have no skip"):
        pixel_parts(task_of(tmp_path / "wan"), 0)
    with pytest.raises(ValueError, match=r"window must be 4·k \+ 1, got 8"):
        PixelTask(window=8)
    with pytest.raises(ValueError, match="nothing would be learned"):
        PixelTask(mask_weight=0, skip_weight=0)


def test_new_parts_begin_by_the_seed(world):
    parts = [pixel_parts(task_of(world), seed) for seed in (0, 0, 1)]
    weights = [part.vae.skip.enter.weight for part in parts]
    readers = [part.transformer.rendered_memory.masks.enter.weight for part in parts]
    for one, same, other in (weights, readers):
        assert torch.equal(one, same)
        assert not torch.equal(one, other)
    assert float(parts[0].vae.skip.strength.detach()) == 1
    assert parts[0].vae.config["skip_width"] == 6


def test_the_recipe_says_what_it_does():
    config = recipe("laptop_pixels")
    assert isinstance(config.task, PixelTask)
    assert config.task.initial is None
    assert config.task.mask_weight > 0
    assert config.task.skip_weight > 0
