"""Every strategy from one beginning: the same first weights, a run, an export, and the same video from it."""

import json
from dataclasses import replace

import numpy as np
import pytest
import torch
from tests.training.conftest import LENS

from models import tiny_inputs
from outofsight.backbone.sequence import known_intrinsics
from outofsight.data.dataset import open_dataset
from outofsight.data.latent_annotation import clip_spans, latent_masks, subject_shares
from outofsight.data.latent_cache import open_latent_cache, read_latent_sample, shard_name, write_shard
from outofsight.errors import InputError
from outofsight.memory.strategies import STRATEGIES, strategy
from outofsight.sampling.continuation import SamplingSettings
from outofsight.sampling.world import WorldModel
from outofsight.training.batches import Captions, MemoryNeeds, UnknownLensWarning, WorldBatches, subject_masks
from outofsight.training.config import changed, from_dict, to_dict, with_strategy
from outofsight.training.loop import train
from outofsight.training.models import make_world
from outofsight.training.randomness import NoiseLevels
from outofsight.training.recipes import recipe
from outofsight.training.tasks import WorldTask
from outofsight.training.world_objective import WorldObjective
from outofsight.training.world_training import open_cache_part, world_task
from outofsight.types import WAN_CLOCK


@pytest.fixture
def clip(data):
    """The first training clip: 9 context frames and 9 target frames of 32×64, a square that crosses."""
    return open_dataset(data, "train")[0]


RIVALS = (
    "concat",
    "window",
    "recurrent",
    "ssm",
    "identity",
    "segmentation",
    "oracle",
    "fov",
    "dfot",
    "worldplay",
    "hydra",
)


def with_memory_of(world_config, name: str, **changes):
    """A run of a strategy, its frame counts cut down to the three context frames of the tests' clips."""
    config = with_strategy(world_config(**changes), name)
    small = {
        "context_recent": 1,
        "context_clips": 1,
        "context_clip_frames": 1,
        "context_first": 0,
        "memory_top_k": 1,
    }
    return changed(
        config, {f"task.memory.{key}": v for key, v in small.items() if config.task.memory.get(key)}
    )


def test_shared_weights_are_equal_whatever_the_strategy(world_config):
    plain = make_world(world_config().task, seed=3)
    first = plain.transformer.state_dict()
    for name in STRATEGIES:
        config = with_strategy(world_config(), name)
        if name == "warp":  # of which a model without rendering would see nothing
            config = changed(config, {"task.memory.rendering": {}})
        other = make_world(config.task, seed=3)
        for key, value in other.transformer.state_dict().items():
            if key in first and first[key].shape == value.shape:
                assert torch.equal(first[key], value), (name, key)
            else:
                part = ("state_memory", "state_space", "identity_", "mask_weight", "tokenizer", "two_banks",
                        "rendered_memory")  # fmt: skip
                assert any(each in key for each in part), (name, key)
        for key, value in other.text_encoder.state_dict().items():
            assert torch.equal(plain.text_encoder.state_dict()[key], value)
    again, another = (
        make_world(with_strategy(world_config(), "recurrent").task, seed=seed) for seed in (3, 4)
    )
    recurrent = make_world(with_strategy(world_config(), "recurrent").task, seed=3)
    key = "state_memory.step.gates.weight"
    assert torch.equal(recurrent.transformer.state_dict()[key], again.transformer.state_dict()[key])
    assert not torch.equal(recurrent.transformer.state_dict()[key], another.transformer.state_dict()[key])


@pytest.mark.parametrize("name", RIVALS)
def test_a_run_exports_a_model_that_remembers_so(name, world_config, cache, clip, tmp_path):
    config = with_memory_of(world_config, name, num_steps=2)
    result = train(config, cache, tmp_path / "run")
    assert result.finished
    assert result.loss == result.loss
    world = WorldModel.from_pretrained(tmp_path / "run" / "export")
    assert world.transformer.config["memory_strategy"] == name
    held = {name: world.transformer.config[name] for name in config.task.memory}
    assert json.dumps(held) == json.dumps(config.task.memory)  # tuples or lists
    settings = SamplingSettings(num_inference_steps=2, guidance_scale=2.0, seed=1)

    def continued():
        return world.continue_video(
            clip.video[:9], clip.cameras[:9], clip.cameras[9:], "A square.", settings, subject_masks=clip.masks
        )  # fmt: skip

    video = continued().video
    assert video.shape == (9, 32, 64, 3)
    assert (continued().video == video).all()
    if world.transformer.needs_subject_masks != "none":
        with pytest.raises(InputError, match="needs subject masks"):
            world.continue_video(clip.video[:9], clip.cameras[:9], clip.cameras[9:], "A square.", settings)


def test_what_a_strategy_adds_learns_whatever_else_is_frozen(world_config, cache):
    for name, part in (
        ("recurrent", "state_memory."),
        ("ssm", "state_space."),
        ("identity", "identity_"),
        ("segmentation", "mask_weight"),
    ):
        config = with_strategy(world_config(task={"trainable": ("transformer.proj_out.*",)}), name)
        problem = world_task(config, cache)
        learns = [key for key in problem.trainable if part in key]
        there = [key for key, _ in problem.objective.named_parameters() if part in key]
        assert learns == there
        assert learns


def test_fine_tuning_gives_a_trained_model_another_memory(world_config, world_folder):
    """The tiny world of the tests is a HyDRA; all its weights are kept."""
    task = {
        "initial": str(world_folder),
        "strategy": "identity",
        "memory": dict(strategy("identity").settings),
    }
    tuned = make_world(WorldTask(**task), seed=0).transformer
    trained = WorldModel.from_pretrained(world_folder).transformer
    assert tuned.config["memory_strategy"] == "identity"
    assert tuned.config["context_rule"] == "ends"
    for key, value in trained.state_dict().items():
        assert torch.equal(tuned.state_dict()[key], value)


def frame_noise_batch(cache, config):
    parts = make_world(config.task, 0)
    found = open_cache_part(cache, "train", open_cache(cache).identity.vae_digest)
    levels = NoiseLevels(config.task, parts.shift, round_to_bf16=False)
    needs = MemoryNeeds.of(parts.transformer)
    batches = WorldBatches(found, Captions(found, parts.tokenizer), levels, config.task, 0, needs)
    return parts, batches


def open_cache(cache):
    return open_latent_cache(cache / "train")


def test_every_frame_has_its_own_noise(world_config, cache):
    parts, batches = frame_noise_batch(cache, with_strategy(world_config(), "dfot"))
    batch = batches.make(0, [0, 1])
    assert batch["frame_levels"].shape == (2, 6, 3)
    sigmas = batch["frame_levels"][..., 1]
    assert len(sigmas.unique()) == 12
    assert batch["context_noise"].shape == batch["context_latents"].shape
    assert torch.equal(batches.make(9, [1])["frame_levels"][0], batch["frame_levels"][1])  # by position alone
    seen = []
    handle = parts.transformer.register_forward_pre_hook(lambda _, given: seen.append(given))
    objective = WorldObjective(parts.transformer, parts.text_encoder)
    loss = objective(batch)["loss"]
    handle.remove()
    latents, timestep = seen[0][:2]
    expected = (1 - sigmas[0, 1]) * batch["context_latents"][0, :, 1] + sigmas[0, 1] * batch["context_noise"][
        0, :, 1
    ]
    torch.testing.assert_close(latents[0, :, 1], expected)
    torch.testing.assert_close(timestep, sigmas * 1000)
    assert loss.shape == (2,)


def test_equal_levels_and_a_clean_context_give_the_plain_loss(world_config, cache):
    parts, batches = frame_noise_batch(cache, with_strategy(world_config(), "dfot"))
    batch = batches.make(0, [0, 1])
    objective = WorldObjective(parts.transformer, parts.text_encoder).eval()
    context = batch["context_latents"].shape[2]
    each = batch["levels"][:, None].expand(-1, 6, -1).clone()
    each[:, :context] = 0
    plain = {key: value for key, value in batch.items() if key not in ("frame_levels", "context_noise")}
    with torch.no_grad():
        torch.testing.assert_close(
            objective(batch | {"frame_levels": each})["loss"], objective(plain)["loss"]
        )


def test_masks_of_a_batch(cache):
    samples = [open_cache(cache)[index] for index in range(2)]
    found = subject_masks(samples)
    assert found.shape == (2, 1, 6, 4, 8)
    share = torch.from_numpy(samples[1].subject_share).float() / 255
    torch.testing.assert_close(found[1, 0], share)


def test_an_older_run_goes_on_though_it_knows_no_strategies(world_config, cache, tmp_path):
    config = world_config(num_steps=1)
    train(config, cache, tmp_path / "run")
    path = tmp_path / "run" / "config.json"
    content = json.loads(path.read_text())
    for young in ("strategy", "memory"):
        del content["config"]["task"][young]
    path.write_text(json.dumps(content))
    train(changed(config, {"num_steps": 2}), cache, tmp_path / "run", resume=True)
    assert json.loads(path.read_text())["changes"][0]["changed"] == {"num_steps": 2}


def test_a_strategy_is_settings():
    config = with_strategy(recipe("mini_world"), "window")
    assert config.task.strategy == "window"
    assert from_dict(to_dict(config)) == config
    wider = changed(config, {"task.memory.context_recent": 7})
    assert wider.task.memory["context_recent"] == 7
    finer = changed(config, {"task.memory.memory_kernel": [1, 1, 1]})  # not one of the strategy's own
    assert finer.task.memory["memory_kernel"] == [1, 1, 1]
    with pytest.raises(InputError, match=r"task.memory.context_recant: no such setting; known here are"):
        changed(config, {"task.memory.context_recant": 7})
    with pytest.raises(InputError, match=r"memory.top_k: no such setting"):
        changed(config, {"task.memory": {"top_k": 7}})
    with pytest.raises(InputError, match="trains no world model"):
        with_strategy(recipe("mini_vae"), "window")


def test_masks_reach_the_sampler_and_the_objective_alike(world_config, cache, clip):
    """The channel that training shows is the one that the sampler makes of the clip's pixels."""
    inputs = tiny_inputs(1, 3, 3, 4, 8)
    model = make_world(with_strategy(world_config(), "oracle").task, 0).transformer
    shares = subject_shares(*latent_masks(clip.masks, clip_spans(9, 9, WAN_CLOCK), 8))
    stored = subject_masks([open_cache(cache)[0]])
    torch.testing.assert_close(torch.from_numpy(shares)[None], stored)
    del inputs["encoder_hidden_states"]
    text = torch.zeros(1, 6, 32)
    assert model(**inputs, encoder_hidden_states=text, subject_masks=stored).sample.isfinite().all()


def without_lenses(cache):
    """Make it a cache of clips that do not say their lens."""
    path = cache / "train" / shard_name(0)
    samples = [
        replace(read_latent_sample(path, name), intrinsics=None) for name in open_cache(cache).names[:4]
    ]
    write_shard(path, samples, np.dtype("float16"))


def test_a_batch_has_each_clips_lens_or_says_once_that_the_default_stands_in(world_config, cache):
    looks = with_strategy(world_config(), "fov")
    parts, batches = frame_noise_batch(cache, looks)
    np.testing.assert_allclose(batches.make(0, [0, 1])["intrinsics"], [LENS.normalized] * 2)
    without_lenses(cache)
    _, batches = frame_noise_batch(cache, looks)
    with pytest.warns(
        UnknownLensWarning, match=r"'clip_\d+' and perhaps others do not say their lens; .* 78° across"
    ):
        batch = batches.make(0, range(8))
    known = ~batch["intrinsics"].isnan().any(dim=1)
    assert 0 < int(known.sum()) < 8
    batches.make(1, range(8))  # a second warning would fail
    default = known_intrinsics(
        parts.transformer.config, None, 8, batch["context_latents"].shape[-2:], torch.device("cpu")
    )
    plain = {**batch, "intrinsics": torch.where(known[:, None], batch["intrinsics"], default)}
    objective = WorldObjective(parts.transformer, parts.text_encoder).eval()
    with torch.no_grad():
        assert torch.equal(objective(batch)["loss"], objective(plain)["loss"])


def test_who_does_not_look_at_the_lens_is_not_warned(world_config, cache):
    without_lenses(cache)
    config = with_strategy(world_config(), "hydra")
    config = replace(config, task=replace(config.task, size=replace(config.task.size, camera_ray_octaves=0)))
    _, batches = frame_noise_batch(cache, config)
    assert batches.make(0, range(8))["intrinsics"].isnan().any()
