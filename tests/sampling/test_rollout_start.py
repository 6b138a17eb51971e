"""A walk remembered in another way from a moment on: the same past, as far as the other memory holds it."""

import numpy as np
import pytest
import torch

from models import tiny_world
from outofsight.errors import InputError
from outofsight.geometry.path_expressions import make_path
from outofsight.memory.strategies import strategy
from outofsight.sampling.continuation import SamplingSettings
from outofsight.sampling.rollout_start import history_times, rival_of
from outofsight.types import WAN_CLOCK
from outofsight.web.mind import with_shared_weights
from watchful_world import BANKS

CONTEXT = 9
VIDEO = np.random.default_rng(0).integers(0, 256, (CONTEXT, 32, 48, 3), dtype=np.uint8)
PATH = make_path("pan:left:40", CONTEXT + 21)
FIRST, SECOND, THIRD = PATH[9:14], PATH[14:22], PATH[22:30]
FAST = SamplingSettings(num_inference_steps=2, guidance_scale=1.0)


@pytest.fixture(scope="module")
def world():
    settings = {**strategy("hybrid+hydra").settings, "banks": BANKS}
    made = tiny_world(memory_strategy="hybrid+hydra", **settings)
    made.set_progress_bar_config(disable=True)
    return made


@pytest.fixture
def rollout(world):
    with world.start(VIDEO, PATH[:CONTEXT], "A fox.", seed=3, settings=FAST) as begun:
        begun.step(FIRST)
        yield begun


def test_a_rival_of_the_same_memory_is_a_fork(world, rollout):
    rival = rival_of(rollout, world)
    assert np.array_equal(rival.step(SECOND), rollout.step(SECOND))


def test_a_rival_begun_at_the_start_is_a_walk_of_its_own(world):
    other = with_shared_weights(world, "hydra")
    begun = world.start(VIDEO, PATH[:CONTEXT], "A fox.", seed=3, settings=FAST)
    own = other.start(VIDEO, PATH[:CONTEXT], "A fox.", seed=3, settings=FAST)
    assert np.array_equal(rival_of(begun, other).step(FIRST), own.step(FIRST))


def test_a_window_knows_its_last_frames_alone(world, rollout):
    rollout.step(SECOND)
    rival = rival_of(rollout, with_shared_weights(world, "window"))
    assert rival.state.banks is None
    assert rival.num_steps == rollout.num_steps
    with pytest.raises(InputError, match="no banks"):
        _ = rival.memory
    assert rival.step(THIRD).shape == (8, 32, 48, 3)
    assert rollout.num_steps == 2


def test_banks_that_were_not_there_see_the_history(world):
    window = with_shared_weights(world, "window")
    begun = window.start(VIDEO, PATH[:CONTEXT], "A fox.", seed=3, settings=FAST)
    begun.step(FIRST)
    rival = rival_of(begun, world)
    assert bool(rival.memory.archive.filled.any())
    assert float(rival.memory.banks.time[0]) == CONTEXT + 4
    rival.step(SECOND)


def test_times_of_the_history(world):
    begun = world.start(VIDEO, PATH[:CONTEXT], "A fox.", seed=3, settings=FAST)
    assert history_times(begun.state, WAN_CLOCK).tolist() == [[0, 4, 8]]
    begun.step(FIRST)
    kept = begun.state.latents.shape[2]
    assert history_times(begun.state, WAN_CLOCK).tolist() == [[0, 4, 8, 9, 13][-kept:]]


def test_weights_are_shared_and_each_remembers_in_its_own_way(world):
    other = with_shared_weights(world, "window")
    mine = dict(world.transformer.named_parameters())
    for name, weight in other.transformer.named_parameters():
        if not name.startswith("two_banks"):
            assert weight is mine[name]
    assert other.vae is world.vae
    assert world.transformer.config["memory_strategy"] == "hybrid+hydra"
    assert other.transformer.config["memory_strategy"] == "window"
    assert torch.equal(next(other.transformer.parameters()), next(world.transformer.parameters()))


def test_a_walk_that_could_remember_none_of_its_frames_does_not_begin():
    """A model that shows rendered memory must read masks of what it makes; refused before anything is denoised."""
    settings = {
        **strategy("hybrid").settings,
        "banks": BANKS,
        "rendering": {"gate_width": 0, "mask_width": 0},
    }
    world = tiny_world(memory_strategy="hybrid", **settings)
    masks = np.zeros((1, *VIDEO.shape[:3]), np.uint8)
    with pytest.raises(InputError, match="a rollout could remember none of its own frames"):
        world.start(VIDEO, PATH[:CONTEXT], "A fox.", seed=3, settings=FAST, subject_masks=masks)
