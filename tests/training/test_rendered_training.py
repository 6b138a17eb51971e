"""From clips to a cache with rendered targets, to batches, to a world model that is shown them."""

import numpy as np
import pytest
import torch
from test_rendered_truth import standing

from models import tiny_vae, tiny_world
from outofsight.data.latent_cache import open_latent_cache
from outofsight.data.sample import write_sample
from outofsight.errors import DatasetError
from outofsight.sampling.world import WorldModel
from outofsight.training.batches import Captions, MemoryNeeds, WorldBatches, rendered_draw
from outofsight.training.config import changed, with_strategy
from outofsight.training.encoding import Encoder, Rendering, encode_dataset
from outofsight.training.loop import train
from outofsight.training.randomness import NoiseLevels
from outofsight.training.recipes import recipe
from outofsight.training.rendered_truth import PlaceErrors
from outofsight.training.tasks import WorldTask
from outofsight.training.world_training import world_task

SMALL = {"archive_slots": 4, "subject_slots": 2, "top_k": 3, "reader_width": 8, "identity_width": 4}
DRAWS = Rendering(draws=2, errors=PlaceErrors(near_m=0.5))


@pytest.fixture(scope="module")
def clips(tmp_path_factory):
    folder = tmp_path_factory.mktemp("standing")
    for part, count in (("train", 3), ("validation", 2)):
        for index in range(count):
            name = f"{part}_{index}"
            write_sample(folder / part / name, standing((4 + 8 * index, 44)))
    return folder


@pytest.fixture(scope="module")
def rendered_cache(clips, tmp_path_factory):
    folder = tmp_path_factory.mktemp("rendered")
    encode_dataset(Encoder(vae=tiny_vae(), rendering=DRAWS), clips, folder)
    return folder


def batches(cache, *, chunks=(), **task) -> WorldBatches:
    made = WorldTask(chunks={"sizes": chunks}, **task)
    opened = open_latent_cache(cache / "train")
    levels = NoiseLevels(made, 3.0, round_to_bf16=False)
    return WorldBatches(
        opened, Captions(opened, tiny_world().tokenizer), levels, made, 0, MemoryNeeds(rendered="all")
    )


def test_every_draw_of_a_target_is_kept(rendered_cache, clips, tmp_path):
    cache = open_latent_cache(rendered_cache / "train")
    sample = cache[0]
    assert sample.rendered_latents.shape == (2, 16, 3, 4, 8)
    assert sample.rendered_masks.shape == (2, 8, 3, 4, 8)
    assert (sample.rendered_latents.dtype, sample.rendered_masks.dtype) == (np.float16, np.uint8)
    assert not np.array_equal(sample.rendered_latents[0], sample.rendered_latents[1])
    assert cache.identity.rendered["draws"] == 2
    assert cache.identity.rendered["mask_reader"] is None
    encode_dataset(Encoder(vae=tiny_vae(), rendering=DRAWS), clips, tmp_path / "again")
    for path in (rendered_cache / "train").iterdir():
        assert path.read_bytes() == (tmp_path / "again" / "train" / path.name).read_bytes(), path.name
    with pytest.raises(DatasetError, match="made with another rendered; choose another folder"):
        encode_dataset(Encoder(vae=tiny_vae(), rendering=Rendering()), clips, tmp_path / "again")


def test_a_cache_without_rendered_memory(clips, tmp_path):
    encode_dataset(Encoder(vae=tiny_vae()), clips, tmp_path / "plain")
    sample = open_latent_cache(tmp_path / "plain" / "train")[0]
    assert sample.rendered_latents is None
    with pytest.raises(DatasetError, match=r"has no rendered memory.*encode anew with --rendered 1"):
        rendered_draw(sample, "all", 0)
    with pytest.raises(DatasetError, match=r"has no rendered scenery without subjects.*encode anew"):
        rendered_draw(sample, "scenery", 0)


def test_masks_come_back_as_shares(rendered_cache):
    sample = open_latent_cache(rendered_cache / "train")[0]
    reported = [rendered_draw(sample, "all", draw) for draw in (0, 1, 2)]
    assert reported[0].shape == (24, 3, 4, 8)
    assert torch.equal(reported[0], reported[2])
    assert not torch.equal(reported[0], reported[1])
    assert float(reported[0][16:].min()) >= 0
    assert float(reported[0][16:].max()) == 1


def test_a_strategy_that_shows_scenery_alone_learns_from_scenery_alone(rendered_cache):
    samples = list(open_latent_cache(rendered_cache / "train"))
    scenery, whole = (
        torch.stack([rendered_draw(sample, rendered, 0) for sample in samples])
        for rendered in ("scenery", "all")
    )
    assert float(whole[:, 20:].max()) > 0  # the subject's share
    assert float(scenery[:, 20:].max()) == 0
    assert torch.equal(scenery[0], rendered_draw(samples[0], "scenery", 1))


def test_batches_are_functions_of_positions(rendered_cache):
    source = batches(rendered_cache, rendered_dropout=0.5)
    both, one = source.make(0, [4, 7]), source.make(9, [7])
    assert both["rendered"].shape == (2, 24, 3, 4, 8)
    assert torch.equal(both["rendered"][1], one["rendered"][0])
    assert torch.equal(both["levels"][1], one["levels"][0])


def test_a_share_of_samples_learns_without_and_from_pure_noise(rendered_cache):
    positions = list(range(40))
    plain = batches(rendered_cache, rendered_dropout=0.0).make(0, positions)
    found = batches(rendered_cache, rendered_dropout=0.3, rendered_strength=0.5).make(0, positions)
    shown = found["rendered"].flatten(1).any(dim=1)
    assert 0.1 < 1 - shown.float().mean() < 0.55
    assert torch.equal(found["rendered"][shown], plain["rendered"][shown])
    assert torch.equal(found["levels"][~shown], plain["levels"][~shown])
    torch.testing.assert_close(found["levels"][shown][:, :2], plain["levels"][shown][:, :2] / 2)
    assert plain["rendered"].flatten(1).any(dim=1).all()
    assert not batches(rendered_cache, rendered_dropout=1.0).make(0, [0, 1])["rendered"].any()


def test_levels_of_chunks_are_lowered_as_well(rendered_cache):
    plain = batches(rendered_cache, chunks=((1, 2),), rendered_dropout=0.0).make(0, [0, 1])
    low = batches(rendered_cache, chunks=((1, 2),), rendered_dropout=0.0, rendered_strength=0.6).make(
        0, [0, 1]
    )
    assert low["chunk_levels"].shape == (2, 2, 3)
    torch.testing.assert_close(low["chunk_levels"][..., :2], plain["chunk_levels"][..., :2] * 0.6)
    assert torch.equal(low["chunk_levels"][:, 0], low["levels"])


@pytest.fixture
def shown_config(world_config):
    def make(name="hybrid+hydra", **changes):
        config = with_strategy(world_config(**changes), name)
        memory = {"banks": SMALL, "rendering": {"gate_width": 4, "mask_width": 4}}
        return changed(config, {f"task.memory.{key}": value for key, value in memory.items()})

    return make


CHUNKS = {"chunks": {"sizes": [[1, 2]], "self_forcing_max_sigma": 1.0}, "camera_dropout": 0.0}


@pytest.mark.parametrize("task", [{}, CHUNKS], ids=["whole", "chunks"])
def test_the_objective_shows_each_chunk_its_own_frames_and_teaches_the_new_parts(
    task, shown_config, rendered_cache
):
    config = shown_config(task={"rendered_dropout": 0.0, "gate_strength": 0.4, **task})
    problem = world_task(config, rendered_cache)
    transformer = problem.objective.transformer
    assert float(transformer.rendered_memory.gate.strength.detach()) == pytest.approx(0.4)
    with torch.no_grad():  # an untrained output predicts nothing
        transformer.proj_out.weight.normal_(std=0.2)
    seen = []
    handle = transformer.register_forward_pre_hook(
        lambda _module, _given, named: seen.append(named["rendered"]), with_kwargs=True
    )
    batch = problem.batches.make(0, [0, 1])
    problem.objective(batch)["loss"].sum().backward()
    handle.remove()
    assert [part.shape[2] for part in seen] == ([1, 2] if task else [3])
    assert torch.equal(torch.cat(seen, dim=2), batch["rendered"])
    memory = transformer.rendered_memory
    assert memory.embed.grad.abs().sum() > 0
    assert memory.gate.strength.grad.abs() > 0


def test_the_new_parts_learn_whatever_else_is_frozen(shown_config, rendered_cache):
    problem = world_task(shown_config(task={"trainable": ("transformer.proj_out.*",)}), rendered_cache)
    assert {"transformer.rendered_memory.embed", "transformer.rendered_memory.gate.strength"} <= set(
        problem.trainable
    )


def test_a_run_exports_a_model_that_is_shown_rendered_memory(
    shown_config, rendered_cache, clips, outofsight, tmp_path
):
    config = shown_config(
        num_steps=2, task={"gate_strength": 0.3}, validation={"every_steps": 2, "num_samples": 2}
    )
    result = train(config, rendered_cache, tmp_path / "run")
    assert result.loss == result.loss
    made = WorldModel.from_pretrained(tmp_path / "run" / "export").transformer
    assert made.shows_rendered
    assert made.rendered_memory.embed.abs().sum() > 0
    assert float(made.rendered_memory.gate.strength.detach()) != 0.3
    # What it is to be trained on further is encoded with rendered memory without being asked for.
    encode = ("data", "encode", "--data", clips, "--model", tmp_path / "run" / "export")
    for out, more, draws in (("asked", ("--rendered", "0"), None), ("not_asked", (), 1)):
        code, _, said = outofsight(*encode, "--out", tmp_path / out, *more)
        assert code == 0, said
        found = open_latent_cache(tmp_path / out / "train")[0].rendered_latents
        assert (None if found is None else len(found)) == draws


def test_training_without_rendered_memory_in_the_cache_is_refused(shown_config, clips, tmp_path):
    encode_dataset(Encoder(vae=tiny_vae()), clips, tmp_path / "plain")
    with pytest.raises(DatasetError, match="encode anew with --rendered 1"):
        train(shown_config(num_steps=1), tmp_path / "plain", tmp_path / "run")


def test_recipes_of_rendered_memory_say_what_they_do():
    for name in ("laptop_rendered", "finetune_rendered"):
        task = recipe(name).task
        assert task.strategy == "hybrid+hydra", name
        assert task.memory["rendering"] is not None, name
        assert task.memory["banks"] is not None, name
        assert 0 < task.rendered_strength < 1, name
        assert task.gate_strength > 0, name
