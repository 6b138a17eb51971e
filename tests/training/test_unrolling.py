"""Unrolling: which frames each chunk sees, from where, and what it is told of what was generated before it."""

import pytest
import torch

from models import tiny_inputs, tiny_transformer, turned_cameras
from outofsight.errors import InputError
from outofsight.memory.strategies import strategy
from outofsight.training.randomness import NoiseLevels
from outofsight.training.tasks import Chunks, WorldTask
from outofsight.training.unrolling import (
    ChunkSpan,
    chunk_batch,
    chunk_chance,
    chunk_spans,
    drawn_sizes,
    seen_later,
)
from outofsight.training.world_objective import UnrolledObjective, WorldObjective

LEVELS = NoiseLevels(WorldTask(), 3.0, round_to_bf16=False)


def world_batch(sizes=(4,), chunks=None, **more):
    """Two samples of 4 + 4 latent frames of 8×12 pixels, with what a step of these chunks draws."""
    inputs = tiny_inputs(batch=2)
    latents = inputs["hidden_states"]
    batch = {
        "context_latents": latents[:, :, :4],
        "target_latents": latents[:, :, 4:],
        "noise": torch.randn(latents[:, :, 4:].shape, generator=torch.Generator().manual_seed(2)),
        "levels": torch.stack([LEVELS.draw(0, place) for place in (0, 1)]),
        "text_states": inputs["encoder_hidden_states"],
        "context_cameras": turned_cameras(-8, -6, -4, -2).expand(2, -1, -1),
        "target_cameras": turned_cameras(0, 3, 6, 9).expand(2, -1, -1),
    }
    chunks = chunks or Chunks(sizes=(sizes,))
    return batch | chunk_chance(chunks, LEVELS, (16, 4, 8, 12), 0, 0, [0, 1]) | more


def test_spans_follow_each_other():
    assert chunk_spans((4, 4, 3)) == [ChunkSpan(0, 4), ChunkSpan(4, 8), ChunkSpan(8, 11)]


def test_sizes_are_drawn_for_a_step_and_must_fit():
    chunks = Chunks(sizes=((11,), (4, 4, 3), (6, 5)))
    drawn = {drawn_sizes(chunks, 11, 0, step) for step in range(20)}
    assert drawn == set(chunks.sizes)
    assert drawn_sizes(chunks, 11, 0, 7) == drawn_sizes(chunks, 11, 0, 7)
    assert drawn_sizes(Chunks(), 5, 0, 7) == (5,)
    with pytest.raises(InputError, match=r"make 11 latent frames, the samples' targets have 9"):
        drawn_sizes(chunks, 9, 0, 0)


def test_impossible_chunks_are_refused():
    for sizes in (((4, 4), (4, 3)), ((0, 4),), ((),)):
        with pytest.raises(ValueError, match=r"expected lists of sizes"):
            Chunks(sizes=sizes)


def test_chance_belongs_to_positions():
    chunks = Chunks(sizes=((2, 2),))
    both = chunk_chance(chunks, LEVELS, (16, 4, 8, 12), 5, 3, [7, 8])
    one = chunk_chance(chunks, LEVELS, (16, 4, 8, 12), 5, 9, [8])
    for name, value in one.items():
        assert torch.equal(value[0], both[name][1]), name
    assert torch.equal(both["chunk_levels"][:, 0], torch.stack([LEVELS.draw(5, place) for place in (7, 8)]))
    assert not torch.equal(both["chunk_levels"][:, 1], both["chunk_levels"][:, 0])
    assert bool((both["history"][..., 1] <= chunks.noise_augmentation).all())


def test_a_later_chunk_sees_as_many_frames_as_the_context_has():
    batch = world_batch((1, 2, 1), subject_share=torch.arange(4.0).view(1, 4, 1, 1).expand(2, 4, 8, 12),
                        subject_masks=torch.arange(8.0).view(1, 1, 8, 1, 1).expand(2, 1, 8, 8, 12))  # fmt: skip
    history = torch.arange(8.0).view(1, 1, 8, 1, 1).expand(2, 16, 8, 8, 12)
    cut = chunk_batch(batch, history, 1, ChunkSpan(1, 3))
    assert cut["context_latents"][0, 0, :, 0, 0].tolist() == [1, 2, 3, 4]
    assert torch.equal(cut["target_latents"], batch["target_latents"][:, :, 1:3])
    assert torch.equal(cut["levels"], batch["chunk_levels"][:, 1])
    assert cut["subject_share"][0, :, 0, 0].tolist() == [1, 2]
    assert cut["subject_masks"][0, 0, :, 0, 0].tolist() == [1, 2, 3, 4, 5, 6]
    # Cameras at −6, −4, −2, 0 and 3, 6 degrees, seen from the one at 3.
    expected = turned_cameras(-9, -7, -5, -3, 0, 3).expand(2, -1, -1)
    found = torch.cat((cut["context_cameras"], cut["target_cameras"]), dim=1)
    torch.testing.assert_close(found, expected, atol=1e-6, rtol=0)


def test_what_is_seen_later():
    batch = world_batch((2, 2))
    batch["history"] = torch.tensor([[[1.0, 0.25], [1, 0]], [[0.0, 0.25], [0, 0]]])
    own = torch.full((2, 16, 2, 8, 12), 7.0)
    truth = batch["target_latents"][:, :, :2] * 0.75 + batch["history_noise"][:, :, :2] * 0.25
    sigma = torch.tensor([0.5, 0.5])
    found = seen_later(batch, 0, ChunkSpan(0, 2), own, sigma, 0.7)
    assert torch.equal(found[0], own[0])  # its own estimate, since it may and the noise was low
    torch.testing.assert_close(found[1], truth[1])  # it may not
    torch.testing.assert_close(
        seen_later(batch, 0, ChunkSpan(0, 2), own, sigma + 0.3, 0.7), truth
    )  # too rough
    torch.testing.assert_close(
        seen_later(batch, 0, ChunkSpan(0, 2), None, sigma, 0.7), truth
    )  # nothing was generated


def memory(name: str, **banks):
    settings = dict(strategy(name).settings)
    if settings.get("banks") is not None:
        settings["banks"] = {
            "archive_slots": 4,
            "subject_slots": 2,
            "top_k": 3,
            "reader_width": 8,
            "identity_width": 4,
        }
    if settings.get("context_recent"):
        settings["context_recent"] = 2
    return settings


@pytest.mark.parametrize("name", ["hydra", "window", "recurrent", "ssm", "hybrid", "hybrid+hydra"])
def test_one_chunk_is_the_plain_objective(name):
    model = tiny_transformer(**memory(name))
    batch = world_batch()
    task = WorldTask(chunks=Chunks(sizes=((4,),)))
    plain = {key: value for key, value in batch.items() if not key.startswith(("chunk", "history"))}
    with torch.no_grad():
        unrolled = UnrolledObjective(model, None, task=task)(batch)
        whole = WorldObjective(model, None)(plain)
        again = UnrolledObjective(model, None, task=task)(plain)
    torch.testing.assert_close(unrolled["loss"], whole["loss"], rtol=1e-5, atol=1e-6)
    torch.testing.assert_close(unrolled["squared_error"], whole["squared_error"], rtol=1e-5, atol=1e-6)
    assert torch.equal(again["loss"], whole["loss"])
    assert torch.equal(unrolled["loss/flow"], unrolled["loss"])


def test_chunks_of_true_history_are_plain_samples_that_begin_later():
    model = tiny_transformer(**memory("hydra"))
    chunks = Chunks(sizes=((1, 3),), self_forcing_probability=0.0, noise_augmentation=0.0)
    batch = world_batch(chunks=chunks)
    with torch.no_grad():
        found = UnrolledObjective(model, None, task=WorldTask(chunks=chunks))(batch)
        latents = torch.cat((batch["context_latents"], batch["target_latents"]), dim=2)
        first, later = (
            WorldObjective(model, None)({
                "context_latents": latents[:, :, begin : begin + 4],
                "target_latents": latents[:, :, begin + 4 : end],
                "noise": batch["noise"][:, :, begin : end - 4],
                "levels": batch["chunk_levels"][:, index],
                "text_states": batch["text_states"],
                "context_cameras": context.expand(2, -1, -1),
                "target_cameras": target.expand(2, -1, -1),
            })["loss"]
            for index, begin, end, context, target in (
                (0, 0, 5, turned_cameras(-8, -6, -4, -2), turned_cameras(0)),
                (1, 1, 8, turned_cameras(-9, -7, -5, -3), turned_cameras(0, 3, 6)),
            )
        )  # fmt: skip
    torch.testing.assert_close(found["loss"], (first + 3 * later) / 4, rtol=1e-4, atol=1e-5)


def test_own_estimates_are_what_later_chunks_see_and_carry_no_gradient():
    model = tiny_transformer(**memory("window"))
    chunks = Chunks(sizes=((2, 2),), self_forcing_probability=1.0, self_forcing_max_sigma=1.0)
    batch = world_batch(chunks=chunks)
    seen = []
    handle = model.register_forward_pre_hook(lambda _, given: seen.append(given[0]))
    UnrolledObjective(model, None, task=WorldTask(chunks=chunks))(batch)["loss"].sum().backward()
    handle.remove()
    truth = torch.cat((batch["context_latents"], batch["target_latents"]), dim=2)
    history = seen[1][:, :, :4]
    assert torch.equal(history[:, :, :2], truth[:, :, 2:4])  # the context's last
    assert not torch.allclose(history[:, :, 2:], truth[:, :, 4:6])  # what it made itself
    assert not history.requires_grad


def test_losses_of_a_memory_need_banks():
    task = WorldTask(memory_losses={"split": 1.0})
    with pytest.raises(InputError, match=r"'hydra' has none; use --strategy hybrid"):
        UnrolledObjective(tiny_transformer(memory_strategy="hydra"), None, task=task)
