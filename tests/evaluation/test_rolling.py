"""Methods that continue a clip by a rollout, a few latent frames at a time."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from models import tiny_world
from outofsight.errors import InputError
from outofsight.evaluation.case import case_from_clip
from outofsight.evaluation.clips import Sample
from outofsight.evaluation.methods import ModelMethod, ModelSource
from outofsight.evaluation.rollouts import memory_step, roll, step_spans
from outofsight.sampling.continuation import SamplingSettings
from outofsight.sampling.rollout_step import StepRecord
from small_world import NUM_TARGET, square_clip

SAMPLING = SamplingSettings(num_inference_steps=1, guidance_scale=1.0, seed=3)
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


@pytest.fixture(scope="module")
def sample():
    clip = square_clip("clip")
    return Sample(case=case_from_clip(clip), caption=clip.caption)


def test_a_rollout_answers_every_target_frame(sample):
    rolled = roll(tiny_world(memory_strategy="window", context_recent=2), sample, SAMPLING, 2)
    assert rolled.video.shape == sample.case.truth.shape
    assert rolled.video.dtype == np.uint8
    assert {"start", "denoise", "decode"} <= set(rolled.seconds)


def test_a_latent_frame_is_shown_by_the_last_of_its_video_frames():
    frames = np.arange(8, dtype=np.uint8)[:, None, None, None]
    times = torch.tensor([13.0, 17.0])
    record = StepRecord(
        step=2, prompt="", first_frame=5, num_frames=8, seconds={}, cameras=torch.zeros(2, 12), times=times
    )
    pictures = memory_step(record, frames).pictures
    assert pictures.ravel().tolist() == [3, 7]


def test_a_method_that_rolls_is_another_method(sample):
    rolling = replace(MODEL, roll=2)
    assert "roll" not in MODEL.settings  # what was written down before rollouts were there stays valid
    assert rolling.settings["roll"] == 2
    with pytest.raises(InputError, match="needs the clip's cameras and caption"):
        roll(tiny_world(), replace(sample, caption=None), SAMPLING, 2)
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
    assert memory_step(record, frames).pictures[:, 0, 0, 0].tolist() == list(shown)
    assert memory_step(record).pictures is None
