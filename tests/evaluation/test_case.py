"""Cases: what a clip gives to measure on, and what is refused."""

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from clips import HEIGHT, NUM_CONTEXT, NUM_TARGET, WIDTH, hand_made_clip
from outofsight.errors import InputError
from outofsight.evaluation.case import (
    Phase,
    case_from_clip,
    check_generated,
    first_return,
    phases_of,
)
from outofsight.types import Visibility, is_seen
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


def row(text: str) -> np.ndarray:
    """``#`` visible, ``c`` cut, ``o`` occluded, ``.`` out of view; ``|`` begins the target."""
    states = {
        "#": Visibility.VISIBLE,
        "c": Visibility.CUT,
        "o": Visibility.OCCLUDED,
        ".": Visibility.OUT_OF_VIEW,
    }
    return np.array([states[mark] for mark in text if mark != "|"], dtype=np.int8)


def letters(phases: np.ndarray) -> str:
    return "".join("vhr"[phase] for phase in phases)


@pytest.mark.parametrize(
    ("seen", "expected"),
    [
        ("####....|....c###", "vvvvhhhhhhhhrrrr"),  # leaves, and comes back in the target
        ("##.....##|####..##", "vvhhhhhvvvvvvhhvv"),  # came back in the context; a short gap is no re-entry
        (
            "##ooo...|..####.##",
            "vvhhhhhhhhrrrrhrr",
        ),  # hidden by things counts; re-entered goes on after a gap
        ("........|...#####", "hhhhhhhhhhhvvvvv"),  # comes for the first time: no memory could know
        ("########|####....", "vvvvvvvvvvvvhhhh"),  # leaves for good
        ("########|#.....##", "vvvvvvvvvhhhhhrr"),
    ],
)
def test_phases_of_one_subject(seen, expected):
    phases = phases_of(row(seen)[None], seen.index("|"))
    assert letters(phases.subjects[0]) == expected
    assert letters(phases.frames) == expected
    assert letters(phases.target_frames) == expected[seen.index("|") :]


def test_a_frame_is_re_entered_if_anyone_in_it_is_and_hidden_only_if_all_are():
    both = np.stack([row("####....|....####"), row("#######.|..####..")])
    assert letters(phases_of(both, 8).frames) == "vvvvvvvhhhvvrrrr"


def test_an_absence_must_be_long_enough():
    seen = row("###....|.###") == Visibility.VISIBLE
    assert first_return(seen, 7, min_hidden_frames=5) == 8
    assert first_return(seen, 7, min_hidden_frames=6) is None


def test_only_returns_in_the_target_count():
    seen = row("#.....##|##.....#") == Visibility.VISIBLE
    assert first_return(seen, 8) == 15
    assert Phase.REENTERED not in phases_of(row("#.....##|######")[None], 8).frames


@given(
    arrays(np.int8, st.tuples(st.integers(1, 3), st.just(20)), elements=st.integers(0, 3)), st.integers(0, 19)
)
def test_phases_follow_from_what_is_seen(visibility, num_context):
    phases = phases_of(visibility, num_context)
    seen = is_seen(visibility)
    assert ((phases.subjects == Phase.HIDDEN) == ~seen).all()
    assert ((phases.frames == Phase.HIDDEN) == ~seen.any(axis=0)).all()
    assert (phases.subjects[:, :num_context] != Phase.REENTERED).all()
    assert len(phases.target_frames) == 20 - num_context
