"""What a tracker holds while a clip is answered: the very state that a continuation and a rollout recall from."""

import numpy as np
import pytest
import torch

from models import tiny_world
from outofsight.errors import CheckpointError, InputError
from outofsight.evaluation.birdseye import MemoryStep, tracked_subjects
from outofsight.evaluation.case import case_from_clip
from outofsight.evaluation.clips import Sample
from outofsight.evaluation.rollouts import (
    foretold,
    load_tracked,
    roll,
    save_tracked,
    seen_context,
    tracked_rollout,
)
from outofsight.memory.banks.state import Tracks
from outofsight.sampling.continuation import SamplingSettings
from small_world import square_clip
from watchful_world import watchful_world

SAMPLING = SamplingSettings(num_inference_steps=1, guidance_scale=1.0, seed=3)


@pytest.fixture(scope="module")
def world():
    return watchful_world()


@pytest.fixture(scope="module")
def sample():
    clip = square_clip("clip")
    return Sample(case=case_from_clip(clip), caption=clip.caption)


def test_a_context_is_seen_as_a_rollout_sees_it(world, sample):
    case = sample.case
    with world.start(case.context, case.cameras[:9], sample.caption, settings=SAMPLING) as rollout:
        seen = seen_context(world, case.context, case.cameras[:9], rollout.anchor)
        for ours, theirs in zip(seen.banks.tracks, rollout.state.banks.tracks, strict=True):
            assert torch.equal(ours, theirs)
    assert seen.times.tolist() == [0, 4, 8]
    assert seen.held.held[-1, 0]  # an untrained reader sees one subject everywhere


def test_at_once_the_target_is_foretold(world, sample):
    """The state at the context's end stays what is held; places are those that retrieval asks for."""
    tracked = foretold(world, sample.case)
    assert tracked.times.tolist() == [0, 4, 8, 9, 13, 17]
    assert tracked.num_context == 3
    assert tracked.held.held[2:, 0].all()
    assert not tracked.held.seen[3:].any()
    assert (tracked.held.numbers[2:] == tracked.held.numbers[2]).all()
    case = sample.case
    anchor = case.cameras.world_from_camera[9]
    banks = seen_context(world, case.context, case.cameras[:9], anchor).banks
    with torch.no_grad():
        moved = world.transformer.two_banks.tracker.dynamics.advance(
            banks.tracks, banks.time, torch.tensor([9.0])
        )
    np.testing.assert_allclose(tracked.held.position_m[5], moved.position[0].numpy(), atol=1e-4)


def test_a_walk_shows_its_own_frames_to_the_tracker(world, sample):
    rolled = roll(world, sample, SAMPLING, 2)
    assert rolled.tracked.times.tolist() == [0, 4, 8, 9, 13, 17]
    assert rolled.tracked.held.seen[3:].any()
    np.testing.assert_array_equal(rolled.tracked.world_from_anchor, sample.case.cameras.world_from_camera[8])
    assert roll(tiny_world(), sample, SAMPLING, 2).tracked is None
    assert foretold(tiny_world(), sample.case) is None


def test_what_was_held_is_written_and_read_back(world, sample, tmp_path):
    tracked = foretold(world, sample.case)
    save_tracked(tmp_path / "a.safetensors", tracked)
    again = load_tracked(tmp_path / "a.safetensors")
    for name in ("position_m", "velocity_m", "deviation_m", "held", "seen", "numbers"):
        ours, theirs = getattr(tracked.held, name), getattr(again.held, name)
        np.testing.assert_array_equal(ours, theirs)
        assert ours.dtype == theirs.dtype
    np.testing.assert_array_equal(tracked.times, again.times)
    np.testing.assert_array_equal(tracked.world_from_anchor, again.world_from_anchor)
    with pytest.raises(CheckpointError, match="there is no such file"):
        load_tracked(tmp_path / "b.safetensors")
    (tmp_path / "a.safetensors").write_bytes(b"no")
    with pytest.raises(CheckpointError):
        load_tracked(tmp_path / "a.safetensors")


def test_steps_without_tracks_cannot_be_joined(world, sample):
    case = sample.case
    seen = seen_context(world, case.context, case.cameras[:9], case.cameras.world_from_camera[8])
    with pytest.raises(InputError, match="step 1: holds no tracks"):
        tracked_rollout(seen, [MemoryStep(cameras=np.zeros((1, 12)), times=np.array([9.0]))])
    one = Tracks(*seen.banks.tracks)
    step = MemoryStep(cameras=np.zeros((1, 12)), times=np.array([9.0]), tracks=one)
    joined = tracked_rollout(seen, [step])
    np.testing.assert_array_equal(joined.held.held[-1], tracked_subjects(one, np.array([9.0])).held[0])
