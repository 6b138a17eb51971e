"""Sampling where strategies differ: history guidance, masks, and another memory for the same weights."""

import numpy as np
import pytest
import torch

from models import tiny_inputs, tiny_transformer, tiny_world
from outofsight.data.latent_annotation import subject_shares
from outofsight.errors import InputError
from outofsight.flow.matching import sampling_sigmas
from outofsight.memory.strategies import strategy
from outofsight.sampling.continuation import SamplingSettings
from outofsight.sampling.denoising import Conditions, denoise, euler
from outofsight.types import CameraPath


def conditions(context: int = 4, target: int = 4) -> tuple[torch.Tensor, Conditions]:
    inputs = tiny_inputs(context=context, target=target)
    latents = inputs["hidden_states"]
    torch.manual_seed(7)
    return latents[:, :, context:], Conditions(
        latents[:, :, :context],
        inputs["encoder_hidden_states"],
        torch.zeros_like(inputs["encoder_hidden_states"]),
        inputs["context_cameras"],
        inputs["target_cameras"],
        history_noise=torch.randn_like(latents[:, :, :context]),
    )


def forced() -> torch.nn.Module:
    return tiny_transformer(**strategy("dfot").settings)


def counted(model):
    calls = []
    model.register_forward_pre_hook(lambda _, given, kwargs: calls.append((*given, kwargs)), with_kwargs=True)
    return calls


def test_history_guidance_of_1_is_plain_conditioning():
    model, (noise, given) = forced(), conditions()
    calls = counted(model)
    guided, _ = denoise(model, noise, given, euler(sampling_sigmas(3)), 1.0, 1.0)
    assert len(calls) == 3
    plain, _ = denoise(model, noise, given._replace(history_noise=None), euler(sampling_sigmas(3)))
    assert torch.equal(guided, plain)
    timestep = calls[0][-1]["timestep"]
    assert timestep.tolist() == [[0.0] * 4 + [1000.0] * 4]  # the context is clean, and the model is told so


def test_history_guidance_leads_away_from_having_no_context():
    """One step: x + (v(∅) + w·(v(H) − v(∅)))·Δσ, and the caption's guidance on top of it."""
    model, (noise, given) = forced(), conditions()
    sigmas = torch.tensor([1.0, 0.25])

    def velocity(context, level, text=given.text):
        timestep = torch.tensor([[level] * 4 + [1000.0] * 4])
        latents = torch.cat((context, noise), dim=2)
        with torch.no_grad():
            out = model(latents, timestep, text, given.context_cameras, given.target_cameras).sample
        return out[:, :, 4:]

    known, unknown = velocity(given.context_latents, 0.0), velocity(given.history_noise, 1000.0)
    away = velocity(given.context_latents, 0.0, given.negative_text)
    moved, _ = denoise(model, noise, given, euler(sigmas), 1.0, 1.5)
    torch.testing.assert_close(moved, noise - 0.75 * (unknown + 1.5 * (known - unknown)))
    both, _ = denoise(model, noise, given, euler(sigmas), 3.0, 1.5)
    expected = away + 3.0 * (known - away) + 0.5 * (known - unknown)
    torch.testing.assert_close(both, noise - 0.75 * expected)


def test_history_guidance_needs_its_training():
    model, (noise, given) = tiny_transformer(), conditions()
    with pytest.raises(InputError, match=r"history guidance 1\.5 needs a model trained"):
        denoise(model, noise, given, euler(sampling_sigmas(1)), 1.0, 1.5)
    with pytest.raises(InputError, match="history_guidance: expected greater than or equal to 0"):
        SamplingSettings(history_guidance=-1)


@pytest.fixture
def clip():
    generator = np.random.default_rng(0)
    video = generator.integers(0, 256, (9, 32, 64, 3), dtype=np.uint8)
    poses = np.tile(np.eye(4)[:3], (18, 1, 1))
    poses[:, 0, 3] = np.linspace(0, 1, 18)
    path = CameraPath(world_from_camera=poses)
    return video, path[:9], path[9:], "A square."


def test_a_models_own_history_guidance_is_the_default(clip):
    def calls(world, **settings):
        seen = counted(world.transformer)
        world.continue_video(*clip, SamplingSettings(num_inference_steps=2, guidance_scale=1.0, **settings))
        return len(seen)

    assert calls(tiny_world(**strategy("dfot").settings)) == 4  # two forwards a step, guidance 1.5
    assert calls(tiny_world(**strategy("dfot").settings), history_guidance=1.0) == 2
    assert calls(tiny_world(**strategy("concat").settings)) == 2


def test_a_trained_model_remembers_by_another_strategy(clip):
    settings = SamplingSettings(num_inference_steps=2, guidance_scale=1.0)
    world = tiny_world()
    world.set_memory("window")
    assert world.transformer.config["memory_strategy"] == "window"
    result = world.continue_video(*clip, settings, record_retrieval=True)
    assert result.retrieval is None  # nothing is retrieved: all there is is seen
    same = tiny_world(**strategy("window").settings).continue_video(*clip, settings)
    assert (result.video == same.video).all()
    assert (result.video != tiny_world().continue_video(*clip, settings).video).any()
    with pytest.raises(InputError, match="train one with it: outofsight train --strategy recurrent"):
        world.set_memory("recurrent")
    world.set_memory("hydra-k5")
    again = world.continue_video(*clip, settings, record_retrieval=True)
    assert again.retrieval is not None
    assert again.retrieval.num_context_latent_frames == 3


def test_masks_are_brought_to_latents(clip):
    world = tiny_world(**strategy("segmentation").settings)
    torch.nn.init.normal_(world.transformer.patch_embedding.mask_weight)
    settings = SamplingSettings(num_inference_steps=1, guidance_scale=1.0)
    masks = np.zeros((9, 32, 64), dtype=np.uint8)
    nobody = world.continue_video(*clip, settings, subject_masks=masks).video
    masks[:, 8:24, 16:40] = 255  # foreground without ids is one subject
    somebody = world.continue_video(*clip, settings, subject_masks=masks).video
    assert (nobody != somebody).any()
    with pytest.raises(InputError, match=r"subject_masks uint8 \[9, height, width\]"):
        world.continue_video(*clip, settings, subject_masks=masks[:8])


def test_each_subject_has_its_own_share():
    ids = np.array([[[0, 2], [2, 7]]], dtype=np.uint8)
    share = np.array([[[0, 255], [51, 102]]], dtype=np.uint8)
    found = subject_shares(ids, share)
    assert found.shape == (2, 1, 2, 2)
    np.testing.assert_allclose(found[0, 0], [[0, 1], [0.2, 0]], atol=1e-6)
    np.testing.assert_allclose(found[1, 0], [[0, 0], [0, 0.4]], atol=1e-6)
    assert subject_shares(ids * 0, share * 0).shape == (1, 1, 2, 2)


SMALL_BANKS = {"archive_slots": 4, "subject_slots": 2, "reader_width": 8, "identity_width": 4}


def test_banks_are_asked_once_for_all_steps(clip):
    """Each block runs once a forward, and once more for what was retrieved, with each caption."""
    banks = {**SMALL_BANKS, "relevance": 1.0}  # every frame has a slot of its own
    world = tiny_world(**{**strategy("hybrid").settings, "context_recent": 1, "banks": banks})
    seen = counted(world.transformer.blocks[0])
    result = world.continue_video(*clip, SamplingSettings(num_inference_steps=3, guidance_scale=2.0))
    assert len(seen) == 2 * (3 + 1)
    assert result.retrieved.known.sum() == 3 * 2 * 4  # three context frames of 2×4 tokens, nobody in them
    assert result.seconds["retrieve"] > 0
    stages = []
    world.continue_video(
        *clip,
        SamplingSettings(num_inference_steps=1, guidance_scale=1.0),
        on_progress=lambda stage, done, total: stages.append((stage, done, total)),
    )
    assert ("retrieve", 1, 1) in stages
    world.set_memory("window")
    del seen[:]
    plain = world.continue_video(*clip, SamplingSettings(num_inference_steps=3, guidance_scale=2.0))
    assert len(seen) == 2 * 3
    assert plain.retrieved is None


@torch.no_grad()
def test_what_is_retrieved_and_keys_may_be_given():
    """Observed by the sampler, retrieved before, or keys made before: the same video, and other memories another."""
    model = tiny_transformer(**{**strategy("hybrid").settings, "context_recent": 2, "banks": SMALL_BANKS})
    noise, given = conditions()
    sigmas = sampling_sigmas(2)
    cameras = given.context_cameras, given.target_cameras
    itself, _ = denoise(model, noise, given, euler(sigmas), 3.0)
    retrieved = model.retrieve_for_context(given.context_latents, *cameras)
    by_memory, _ = denoise(model, noise, given._replace(retrieved=retrieved), euler(sigmas), 3.0)
    assert torch.equal(by_memory, itself)
    keys = {
        "cond": model.memory_keys(retrieved, given.text),
        "uncond": model.memory_keys(retrieved, given.negative_text),
    }
    ready, _ = denoise(model, noise, given._replace(bank_keys=keys), euler(sigmas), 3.0)
    assert torch.equal(ready, itself)
    other = model.retrieve_for_context(given.context_latents.flip(2), *cameras)
    assert not torch.equal(
        denoise(model, noise, given._replace(retrieved=other), euler(sigmas), 3.0)[0], itself
    )


@torch.no_grad()
def test_to_have_no_history_is_to_have_no_memory():
    """History guidance leads away from noise for a context, with nothing retrieved."""
    settings = {**strategy("dfot").settings, "banks": SMALL_BANKS}
    model, (noise, given) = tiny_transformer(**settings), conditions()
    cameras = given.context_cameras, given.target_cameras
    retrieved = model.retrieve_for_context(given.context_latents, *cameras)
    timesteps = [torch.tensor([[level] * 4 + [1000.0] * 4]) for level in (0.0, 1000.0)]

    def velocity(context, timestep, retrieved):
        latents = torch.cat((context, noise), dim=2)
        return model(latents, timestep, given.text, *cameras, retrieved=retrieved).sample[:, :, 4:]

    known = velocity(given.context_latents, timesteps[0], retrieved)
    nothing = retrieved._replace(known=torch.zeros_like(retrieved.known))
    unknown = velocity(given.history_noise, timesteps[1], nothing)
    moved, _ = denoise(model, noise, given, euler(torch.tensor([1.0, 0.25])), 1.0, 1.5)
    expected = noise - 0.75 * (unknown + 1.5 * (known - unknown))
    torch.testing.assert_close(moved, expected, rtol=1e-4, atol=1e-5)
