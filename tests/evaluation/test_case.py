"""Cases: what a clip gives to measure on, and what is refused."""

from dataclasses import replace

import numpy as np
import pytest

from clips import HEIGHT, NUM_CONTEXT, NUM_TARGET, WIDTH, hand_made_clip
from outofsight.errors import InputError
from outofsight.evaluation.case import case_from_clip, check_generated
from outofsight.types import Visibility
from square_world import square_case


def test_instance_masks_give_one_mask_a_subject():
    clip = hand_made_clip()
    case = case_from_clip(clip)
    assert (case.num_context_frames, case.num_target_frames, case.num_subjects) == (
        NUM_CONTEXT,
        NUM_TARGET,
        1,
    )
    assert (case.subject_masks[0] == (clip.masks == 1)).all()
    assert (case.foreground == (clip.masks > 0)).all()
    assert case.visibility[0, 4] == Visibility.OUT_OF_VIEW
    assert case.subject_names == ("white square",)
    assert (case.truth == clip.video[NUM_CONTEXT:]).all()


def test_foreground_masks_belong_to_a_subject_only_if_it_is_alone():
    clip = hand_made_clip()
    grey = np.where(clip.masks > 0, np.uint8(240), np.uint8(12))  # as lossy coding leaves them
    alone = replace(clip, masks=grey, masks_are_instances=False)
    assert (case_from_clip(alone).subject_masks[0] == (clip.masks > 0)).all()
    other = replace(clip.subjects[0], subject_id=2, name="black square")
    both = case_from_clip(replace(alone, subjects=(clip.subjects[0], other)))
    assert both.subject_masks is None
    assert (both.foreground == (clip.masks > 0)).all()
    assert both.num_subjects == 2


def test_a_clip_without_annotation_has_none():
    case = case_from_clip(replace(hand_made_clip(), masks=None, subjects=()))
    assert case.foreground is None
    assert case.subject_masks is None
    assert case.visibility is None
    assert case.num_subjects == 0


def test_a_clip_without_target_is_refused():
    clip = hand_made_clip()
    with pytest.raises(InputError, match="no target frames"):
        case_from_clip(replace(clip, num_context_frames=len(clip.video)))


@pytest.mark.parametrize(
    ("video", "message"),
    [
        (np.zeros((NUM_TARGET - 1, HEIGHT, WIDTH, 3), np.uint8), r"5 frames of 32×48.*got 4 frames of 32×48"),
        (np.zeros((NUM_TARGET, HEIGHT, WIDTH + 2, 3), np.uint8), r"got 5 frames of 32×50"),
        (np.zeros((NUM_TARGET, HEIGHT, WIDTH, 3)), "uint8"),
        (np.zeros((0, HEIGHT, WIDTH, 3), np.uint8), "n ≥ 1"),
    ],
)
def test_a_generated_video_must_fit(video, message):
    with pytest.raises(InputError, match=message):
        check_generated(case_from_clip(hand_made_clip()), video)


@pytest.mark.parametrize("part", ["foreground", "subject_masks", "visibility", "cameras"])
def test_annotation_of_another_length_is_refused(part):
    case = square_case()
    value = getattr(case, part)
    shorter = value[:5] if part in ("foreground", "cameras") else value[:, :5]
    with pytest.raises(InputError, match="clip 'squares'"):
        replace(case, **{part: shorter})
