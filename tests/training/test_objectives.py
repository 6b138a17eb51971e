"""What is learned: losses worked out by hand, noise levels as published, objectives as the codec computes."""

import numpy as np
import pytest
import torch

from models import tiny_inputs, tiny_text_encoder, tiny_transformer, tiny_vae
from outofsight.codec.text import encode_prompts
from outofsight.codec.video_vae import decode_latents, encode_video
from outofsight.data.dataset import open_dataset
from outofsight.flow.matching import add_noise, round_to_bf16
from outofsight.training.encoding import Encoder, encode_clip
from outofsight.training.randomness import NoiseLevels
from outofsight.training.tasks import VaeTask, WorldTask
from outofsight.training.vae_training import (
    VaeObjective,
    decibels,
    kl_per_number,
    measured_statistics,
    pixel_weights,
    rebuild_loss,
    to_signal,
)
from outofsight.training.world_objective import WorldObjective


def test_subjects_count_more_and_the_mean_weight_is_one():
    subjects = torch.zeros(1, 1, 2, 2)
    subjects[0, 0, 0, 0] = 1  # one pixel of four, weighted 4 times the others: 16/7 and 4/7
    weight = pixel_weights(subjects, subject_weight=3.0)
    torch.testing.assert_close(weight.flatten(), torch.tensor([4.0, 1, 1, 1]) * 4 / 7)


def test_rebuild_loss_by_hand():
    video, rebuilt = torch.zeros(1, 1, 1, 1, 2), torch.tensor([[[[[0.5, -1.0]]]]])
    weight = torch.tensor([[[[[1.5, 0.5]]]]])
    task = VaeTask(l1_weight=2.0, mse_weight=4.0)  # per pixel: 2·0.5 + 4·0.25 = 2 and 2·1 + 4·1 = 6
    assert rebuild_loss(rebuilt, video, weight, task).item() == pytest.approx((1.5 * 2 + 0.5 * 6) / 2)


def test_divergence_from_the_standard_normal_by_hand():
    zero = torch.zeros(1, 2)
    assert kl_per_number(zero, zero).item() == 0
    assert kl_per_number(torch.full((1, 2), 2.0), zero).item() == 2.0
    assert decibels(torch.tensor(0.04)) == pytest.approx(20.0)  # rmse 0.2 of a range of 2


def test_the_vae_objective_measures_what_the_codec_rebuilds():
    vae = tiny_vae()
    vae.register_to_config(latents_mean=[0.0] * 16, latents_std=[1.0] * 16)
    video = torch.randint(
        0, 256, (2, 5, 16, 24, 3), dtype=torch.uint8, generator=torch.Generator().manual_seed(0)
    )
    batch = {"video": video, "subjects": torch.zeros(2, 5, 16, 24), "noise": torch.randn(2, 16, 2, 2, 3)}
    objective = VaeObjective(vae, VaeTask()).eval()
    with torch.no_grad():
        result = objective(batch, with_video=True)
        signal = to_signal(video).transpose(1, 2)
        expected = decode_latents(vae, encode_video(vae, signal)).transpose(1, 2)
    torch.testing.assert_close(result["video"], expected, rtol=1e-4, atol=1e-5)
    error = ((expected - to_signal(video)) ** 2).flatten(1).mean(dim=1)
    torch.testing.assert_close(result["squared_error"], error, rtol=1e-4, atol=1e-5)
    assert bool(result["subject_squared_error"].isnan().all())


def test_statistics_make_a_cache_of_the_same_clips_standard(data):
    vae, clips = tiny_vae(), open_dataset(data, "train")
    mean, deviation = measured_statistics(vae, clips, VaeTask(statistics_clips=6))
    vae.register_to_config(latents_mean=mean, latents_std=deviation)
    samples = [encode_clip(Encoder(vae=vae), clip, clip.name) for clip in clips]
    latents = np.concatenate(
        [getattr(s, f"{half}_latents") for s in samples for half in ("context", "target")], axis=1
    )
    np.testing.assert_allclose(latents.mean(axis=(1, 2, 3)), 0, atol=1e-3)
    np.testing.assert_allclose(latents.std(axis=(1, 2, 3)), 1, rtol=1e-3)


def test_pixels_beyond_the_range_still_have_a_gradient():
    vae = tiny_vae()
    with torch.no_grad():
        vae.decoder.conv_out.bias.fill_(5.0)
    batch = {"video": torch.zeros(1, 1, 16, 16, 3, dtype=torch.uint8), "subjects": torch.zeros(1, 1, 16, 16),
             "noise": torch.zeros(1, 16, 1, 2, 2)}  # fmt: skip
    VaeObjective(vae, VaeTask()).train()(batch)["loss"].mean().backward()
    assert float(vae.decoder.conv_out.bias.grad.abs().min()) > 0


def world_batch():
    inputs = tiny_inputs(batch=2)
    latents = inputs["hidden_states"]
    generator = torch.Generator().manual_seed(2)
    return {
        "context_latents": latents[:, :, :4],
        "target_latents": latents[:, :, 4:],
        "noise": torch.randn(latents[:, :, 4:].shape, generator=generator),
        "levels": torch.tensor([[700.0, 0.7, 0.5], [300.0, 0.3, 2.0]]),
        "text_states": inputs["encoder_hidden_states"],
        "context_cameras": inputs["context_cameras"],
        "target_cameras": inputs["target_cameras"],
    }


def test_the_world_objective_by_its_definition():
    model, batch = tiny_transformer(), world_batch()
    with torch.no_grad():
        result = WorldObjective(model, None)(batch)
        sigma = batch["levels"][:, 1].view(2, 1, 1, 1, 1)
        noisy = (1 - sigma) * batch["target_latents"] + sigma * batch["noise"]
        velocity = model(
            torch.cat((batch["context_latents"], noisy), dim=2), batch["levels"][:, 0], batch["text_states"],
            batch["context_cameras"], batch["target_cameras"],
        ).sample[:, :, 4:]  # fmt: skip
    error = ((velocity - (batch["noise"] - batch["target_latents"])) ** 2).flatten(1).mean(dim=1)
    torch.testing.assert_close(result["squared_error"], error)
    torch.testing.assert_close(result["loss"], error * torch.tensor([0.5, 2.0]))


def test_errors_on_subjects_count_as_much_more_as_asked_for():
    model, batch = tiny_transformer(), world_batch()
    share = torch.zeros(2, 4, 8, 12)
    share[0, 1, :4] = 1.0
    with torch.no_grad():
        plain = WorldObjective(model, None)(batch)
        objective = WorldObjective(model, None, subject_weight=3.0)
        weighted = objective(batch | {"subject_share": share})
        watched = objective.eval()(batch | {"subject_share": share})["subject_squared_error"]
        velocity = WorldObjective(model, None)(
            batch | {"noisy": add_noise(batch["target_latents"], batch["noise"], batch["levels"][:, 1])},
            velocity_only=True,
        )["velocity"]
    error = ((velocity - (batch["noise"] - batch["target_latents"])) ** 2).mean(dim=1)[0]
    weight = 1 + 3 * share[0]
    expected = (error * weight).sum() / weight.sum()
    torch.testing.assert_close(weighted["loss"][0], expected * batch["levels"][0, 2])
    torch.testing.assert_close(weighted["loss"][1], plain["loss"][1])  # without subjects nothing changes
    assert torch.equal(weighted["squared_error"], plain["squared_error"])
    assert "subject_squared_error" not in weighted  # only looked at, while nothing is learned
    torch.testing.assert_close(watched[0], error[1, :4].mean())
    assert watched[1].isnan()


def test_a_batch_of_captions_has_the_states_of_each():
    from transformers import ByT5Tokenizer  # noqa: PLC0415

    encoder, tokenizer = tiny_text_encoder(), ByT5Tokenizer()
    captions = ["A dog.", "A much longer caption of a cat."]
    padded = tokenizer(captions, padding=True, return_tensors="pt")
    objective = WorldObjective(tiny_transformer(), encoder).eval()
    with torch.no_grad():
        states = objective.text_states({"tokens": padded.input_ids, "token_mask": padded.attention_mask})
        expected = encode_prompts(encoder, tokenizer, captions)
    torch.testing.assert_close(states, expected, rtol=1e-4, atol=1e-5)


def test_noise_levels_as_published():
    levels = NoiseLevels(WorldTask(vae="x"), 5.0, round_to_bf16=False)
    drawn = torch.stack([levels.draw(0, position) for position in range(4000)])
    assert bool(torch.isin(drawn[:, 0], levels.table).all())
    torch.testing.assert_close(drawn[:, 1], drawn[:, 0] / 1000)
    assert drawn[:, 0].mean().item() == pytest.approx(levels.table.mean().item(), rel=0.02)
    assert drawn[:, 2].mean().item() == pytest.approx(1.0, abs=0.05)
    assert drawn[:, 2].max().item() <= 2.09


def test_a_model_that_rounds_gets_rounded_levels():
    levels = NoiseLevels(WorldTask(vae="x"), 5.0, round_to_bf16=True)
    timestep, sigma, _ = levels.draw(0, 1)
    assert timestep == round_to_bf16(timestep)
    assert float((levels.table / 1000 - sigma).abs().min()) < 1e-6


def test_logit_normal_levels_without_weights():
    task = WorldTask(vae="x", timesteps="logit_normal", weighting="none")
    levels = NoiseLevels(task, 1.0, round_to_bf16=False)
    drawn = torch.stack([levels.draw(0, position) for position in range(2000)])
    assert drawn[:, 1].median().item() == pytest.approx(0.5, abs=0.03)
    assert set(drawn[:, 2].tolist()) == {1.0}
