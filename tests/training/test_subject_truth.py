"""The truth of subjects in latent frames: when and where they are, in the frame that the memory reckons in."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from outofsight.data.latent_cache import LatentSample, open_latent_cache
from outofsight.errors import DatasetError, InputError
from outofsight.training.subject_truth import subject_truth, truth_of

AHEAD = np.array([[0.0, 0, 1, 0], [-1, 0, 0, 0], [0, -1, 0, 2]])
"""world_from_camera, 2 m up, looking along world x: right is −y, down is −z."""


def sample(num_subjects: int = 1, **changes) -> LatentSample:
    """2 + 2 latent frames (5 + 5 video frames) of 2×4 pixels; subject k walks along x from (4, k, 0) at 1 m/s."""
    walk = np.zeros((num_subjects, 10, 3, 4), np.float32)
    walk[..., 0, 3] = 4 + 0.1 * np.arange(10)
    walk[..., 1, 3] = np.arange(num_subjects)[:, None]
    velocity = np.zeros((num_subjects, 10, 3), np.float32)
    velocity[..., 0] = 1.0
    ids = np.zeros((4, 2, 4), np.uint8)
    for number in range(num_subjects):
        ids[:, 0, number] = number + 1
    poses = np.tile(AHEAD, (10, 1, 1))
    poses[5:, 0, 3] = 1.0  # the target's camera stands one metre further on
    arguments = {
        "name": "clip", "caption": "", "context_latents": np.zeros((16, 2, 2, 4)),
        "target_latents": np.zeros((16, 2, 2, 4)), "context_cameras": np.zeros((2, 12), np.float32),
        "target_cameras": np.zeros((2, 12), np.float32), "world_from_camera": poses, "subject_ids": ids,
        "subject_share": (ids > 0).astype(np.uint8) * 255, "world_from_subject": walk, "velocity_m_s": velocity,
        "facts": {"fps": 10.0, "masks_are_instances": True,
                  "subjects": [{"id": k + 1, "name": f"walker {k}"} for k in range(num_subjects)]},
    }  # fmt: skip
    return LatentSample(**{**arguments, **changes})


def test_places_and_velocities_in_the_anchor_frame_at_the_latent_frames_times():
    truth = subject_truth([sample(2)])
    assert truth.times.tolist() == [[0, 4, 5, 9]]
    # The anchor lies 1 m along x and 2 m up: subject 1 begins 3 m ahead, 1 m to the left, 2 m below.
    torch.testing.assert_close(truth.position[0, 1, 0], torch.tensor([-1.0, 2.0, 3.0]))
    torch.testing.assert_close(truth.position[0, 1, :, 2], torch.tensor([3.0, 3.4, 3.5, 3.9]))
    torch.testing.assert_close(
        truth.velocity[0], torch.tensor([0.0, 0, 0.1]).expand(2, 4, 3)
    )  # a video frame
    assert truth.known.tolist() == [[True, True]]
    assert truth.kind[0, 0] != truth.kind[0, 1]


def test_shares_belong_to_their_subjects():
    truth = subject_truth([sample(2)])
    assert truth.shares[0, :, 0, 0].tolist() == [[1, 0, 0, 0], [0, 1, 0, 0]]
    assert truth.of_tokens((2, 2))[0, :, 0].tolist() == [[[0.25, 0]], [[0.25, 0]]]
    assert truth.seen.all()
    hidden = sample(1, subject_share=np.zeros((4, 2, 4), np.uint8))
    assert not subject_truth([hidden]).seen.any()


def test_clips_of_fewer_subjects_and_of_none():
    nobody = sample(1)
    nobody = replace(
        nobody, facts={**nobody.facts, "subjects": []}, world_from_subject=None, velocity_m_s=None
    )
    truth = subject_truth([sample(2), sample(1), nobody])
    assert truth.known.tolist() == [[True, True], [True, False], [False, False]]
    assert truth.position.shape == (3, 2, 4, 3)


def test_one_subjects_mask_may_be_of_all_subjects():
    white = sample(1, subject_ids=np.where(sample(1).subject_ids > 0, 255, 0).astype(np.uint8))
    white = replace(white, facts={**white.facts, "masks_are_instances": False})
    assert torch.equal(subject_truth([white]).shares, subject_truth([sample(1)]).shares)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"world_from_camera": None}, "no poses of its cameras"),
        ({"subject_share": None}, "no subject masks"),
        ({"world_from_subject": None}, "no positions of its subjects"),
        ({"world_from_camera": np.tile(AHEAD, (9, 1, 1))}, "9 video frames for 2 \\+ 2 latent frames"),
    ],
)
def test_what_is_missing_is_named(change, message):
    with pytest.raises(DatasetError, match=f"'clip' has {message}.*memory_losses"):
        subject_truth([sample(1, **change)])
    two = sample(2)
    with pytest.raises(DatasetError, match="one mask for all"):
        subject_truth([replace(two, facts={**two.facts, "masks_are_instances": False})])


def test_truth_travels_in_a_batch():
    truth = subject_truth([sample(2)])
    back = truth_of(truth.batch())
    assert all(torch.equal(one, other) for one, other in zip(truth, back, strict=True))
    with pytest.raises(InputError, match="does not tell the truth"):
        truth_of({})


def test_the_caches_own_samples(cache):
    found = open_latent_cache(cache / "train")
    truth = subject_truth([found[0], found[1]])
    assert truth.times[0].tolist() == [0, 4, 8, 9, 13, 17]
    # The square stands at the world's origin; cameras look along x, 1.6 m up, where the target's first stands.
    along = torch.from_numpy(np.stack([found[k].world_from_camera[9, 0, 3] for k in (0, 1)]))
    torch.testing.assert_close(truth.position[:, 0, 0, 2], -along.float())
    torch.testing.assert_close(truth.position[:, 0, 0, 1], torch.tensor([1.6, 1.6]))
