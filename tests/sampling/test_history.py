"""Rendered memory as history, end to end, with a model that never had banks: at once, and a few frames at a time."""

import numpy as np
import pytest
import torch

from models import tiny_world
from outofsight.geometry.path_expressions import make_path
from outofsight.memory.banks.mask_reader import LEAST_MOVED, moved_shares
from outofsight.memory.strategies import strategy
from outofsight.sampling.continuation import SamplingSettings, rendered_memory

VIDEO = np.random.default_rng(1).integers(0, 256, (9, 32, 48, 3), dtype=np.uint8)
PATH = make_path("pan:left:20,pan:right:20", 18)
SETTINGS = SamplingSettings(num_inference_steps=2, guidance_scale=2.0, seed=3)


@pytest.fixture(scope="module")
def world():
    made = tiny_world()
    made.set_progress_bar_config(disable=True)
    made.set_memory("hydra+history")
    return made


def test_a_model_without_banks_shows_what_its_context_showed(world):
    made = world.continue_video(VIDEO, PATH[:9], PATH[9:], "A wall.", SETTINGS)
    assert made.rendered.shape == (9, 32, 48, 3)
    assert (rendered_memory(world, VIDEO, PATH[:9], PATH[9:]) == made.rendered).all()
    plain = tiny_world().continue_video(VIDEO, PATH[:9], PATH[9:], "A wall.", SETTINGS)
    assert not (made.video == plain.video).all()
    again = tiny_world()
    again.set_memory("hydra+history")  # the same banks, however often they are made
    assert (again.continue_video(VIDEO, PATH[:9], PATH[9:], "A wall.", SETTINGS).video == made.video).all()


def test_it_walks_is_saved_and_goes_on(world, tmp_path):
    rollout = world.start(VIDEO, PATH[:9], "A wall.", seed=3, settings=SETTINGS)
    first = rollout.step(PATH[9:14])
    assert first.shape == (5, 32, 48, 3)
    assert rollout.records[-1].rendered.shape == first.shape
    rollout.save(tmp_path / "walk")
    expected = rollout.step(PATH[14:18])
    resumed = world.resume(tmp_path / "walk")
    assert (resumed.step(PATH[14:18]) == expected).all()


def test_only_views_that_need_no_training_come_without_it():
    world = tiny_world()
    assert strategy("history").settings["banks"]["rendered"] == "scenery"
    world.set_memory("history")
    assert world.transformer.two_banks is not None
    assert world.transformer.rendered_memory is None


def test_who_moved_is_told_without_weights():
    """A pixel 0.4 from what its witnesses show, who agree; one as far from witnesses who differ as much."""
    evidence = torch.zeros(1, 9, 1, 3)
    evidence[0, 6] = torch.tensor([[4 * LEAST_MOVED, 4 * LEAST_MOVED, LEAST_MOVED]])
    evidence[0, 7] = torch.tensor([[0.0, 4 * LEAST_MOVED, 0.0]])
    assert moved_shares(evidence).tolist() == [[[1.0, 0.0, 0.0]]]
