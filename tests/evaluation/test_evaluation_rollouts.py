"""What a tracker holds while a clip is answered: the very state that a continuation and a rollout retrieve from."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from models import tiny_world
from outofsight.errors import CheckpointError, InputError
from outofsight.evaluation.birdseye import MemoryStep, tracked_subjects
from outofsight.evaluation.case import case_from_clip
from outofsight.evaluation.clips import Sample
from outofsight.evaluation.methods import ModelMethod, ModelSource
from outofsight.evaluation.rollouts import (
    latent_pictures,
    load_tracked,
    predicted_tracks,
    roll_clip,
    save_tracked,
    seen_context,
    step_spans,
    tracked_rollout,
)
from outofsight.memory.banks.state import Tracks
from outofsight.sampling.continuation import SamplingSettings
from outofsight.sampling.rollout_step import StepRecord
from small_world import NUM_TARGET, square_clip
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
        banks, seen = seen_context(world, case.context, case.cameras[:9], rollout.anchor)
        for ours, theirs in zip(banks.tracks, rollout.state.banks.tracks, strict=True):
            assert torch.equal(ours, theirs)
    assert seen.times.tolist() == [0, 4, 8]
    assert seen.held.held[-1, 0]  # an untrained reader sees one subject everywhere


def test_at_once_the_target_is_foretold(world, sample):
    """The state at the context's end stays what is held; places are those that retrieval asks for."""
    tracked = predicted_tracks(world, sample.case)
    assert tracked.times.tolist() == [0, 4, 8, 9, 13, 17]
    assert tracked.num_context == 3
    assert tracked.held.held[2:, 0].all()
    assert not tracked.held.seen[3:].any()
    assert (tracked.held.numbers[2:] == tracked.held.numbers[2]).all()
    case = sample.case
    anchor = case.cameras.world_from_camera[9]
    banks, _ = seen_context(world, case.context, case.cameras[:9], anchor)
    with torch.no_grad():
        moved = world.transformer.two_banks.tracker.dynamics.advance(
            banks.tracks, banks.time, torch.tensor([9.0])
        )
    np.testing.assert_allclose(tracked.held.position_m[5], moved.position[0].numpy(), atol=1e-4)


def test_a_walk_shows_its_own_frames_to_the_tracker(world, sample):
    rolled = roll_clip(world, sample, SAMPLING, 2)
    assert rolled.tracked.times.tolist() == [0, 4, 8, 9, 13, 17]
    assert rolled.tracked.held.seen[3:].any()
    np.testing.assert_array_equal(rolled.tracked.world_from_anchor, sample.case.cameras.world_from_camera[8])
    assert roll_clip(tiny_world(), sample, SAMPLING, 2).tracked is None
    assert predicted_tracks(tiny_world(), sample.case) is None


def test_what_was_held_is_written_and_read_back(world, sample, tmp_path):
    tracked = predicted_tracks(world, sample.case)
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
    banks, seen = seen_context(world, case.context, case.cameras[:9], case.cameras.world_from_camera[8])
    with pytest.raises(InputError, match="step 1: holds no tracks"):
        tracked_rollout(seen, [MemoryStep(cameras=np.zeros((1, 12)), times=np.array([9.0]))])
    one = Tracks(*banks.tracks)
    step = MemoryStep(cameras=np.zeros((1, 12)), times=np.array([9.0]), tracks=one)
    joined = tracked_rollout(seen, [step])
    np.testing.assert_array_equal(joined.held.held[-1], tracked_subjects(one, np.array([9.0])).held[0])


MODEL = ModelMethod(name="tiny", source=ModelSource(path="tiny"), sampling=SAMPLING, digest="0")


def test_a_target_is_cut_as_its_latent_frames_are():
    """41 frames are latent frames of 1, 4, 4, ...: three of them are 9 frames at the start and 12 later on."""
    spans = [(span.start, span.stop) for span in step_spans(41, 3)]
    assert spans == [(0, 9), (9, 21), (21, 33), (33, 41)]
    assert [(span.start, span.stop) for span in step_spans(41, 99)] == [(0, 41)]
    assert len(step_spans(41, 1)) == 11
    with pytest.raises(InputError, match="needs ≥ 1 latent frame, got 0"):
        step_spans(41, 0)
    with pytest.raises(InputError, match=r"4·k \+ 1"):
        step_spans(40, 3)


def test_a_rollout_answers_every_target_frame(sample):
    rolled = roll_clip(tiny_world(memory_strategy="window", context_recent=2), sample, SAMPLING, 2)
    assert rolled.video.shape == sample.case.truth.shape
    assert rolled.video.dtype == np.uint8
    assert {"start", "denoise", "decode"} <= set(rolled.seconds)


def test_a_latent_frame_is_shown_by_the_last_of_its_video_frames():
    frames = np.arange(8, dtype=np.uint8)[:, None, None, None]
    times = torch.tensor([13.0, 17.0])
    record = StepRecord(
        step=2, prompt="", first_frame=5, num_frames=8, seconds={}, cameras=torch.zeros(2, 12), times=times
    )
    pictures = latent_pictures(record, frames)
    assert pictures.ravel().tolist() == [3, 7]


def test_a_method_that_rolls_is_another_method(sample):
    rolling = replace(MODEL, roll=2)
    assert "roll" not in MODEL.settings  # what was written down before rollouts were there stays valid
    assert rolling.settings["roll"] == 2
    with pytest.raises(InputError, match="needs the clip's cameras and caption"):
        roll_clip(tiny_world(), replace(sample, caption=None), SAMPLING, 2)
    assert NUM_TARGET == 9


@pytest.mark.parametrize(
    ("times", "num_frames", "shown"),
    [((9.0, 13.0, 17.0), 9, (0, 4, 8)), ((21.0, 25.0), 8, (3, 7)), ((21.0,), 4, (3,))],
)
def test_a_latent_frame_is_shown_by_its_last_video_frame(times, num_frames, shown):
    record = StepRecord(
        step=1, prompt="", first_frame=0, num_frames=num_frames, seconds={},
        cameras=torch.zeros(len(times), 12), times=torch.tensor(times),
    )  # fmt: skip
    frames = np.arange(num_frames, dtype=np.uint8)[:, None, None, None] * np.ones((1, 2, 2, 3), np.uint8)
    assert latent_pictures(record, frames)[:, 0, 0, 0].tolist() == list(shown)
