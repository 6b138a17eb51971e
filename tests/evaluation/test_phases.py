"""Phases: seen, hidden, and back again."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from outofsight.evaluation.case import Phase, first_return, is_seen, phases_of
from outofsight.types import Visibility


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
