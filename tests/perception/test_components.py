"""Connected parts of masks, against pictures that one can read and a flood fill."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from outofsight.data.check import mask_box_px
from outofsight.perception.recogniser import components


def mask_of(*rows):
    return np.array([[mark == "#" for mark in row] for row in rows])


def test_parts_that_touch_at_corners_are_one():
    parts = components(mask_of("##...#", "..#..#", "......", ".#...."))
    assert [int(part.sum()) for part in parts] == [3, 2, 1]
    assert parts[0][0].tolist() == [True, True, False, False, False, False]


def test_two_arms_that_meet_below_are_one():
    parts = components(mask_of("#.#.#", "#.#.#", "#####"))
    assert len(parts) == 1


@pytest.mark.parametrize(("gap_px", "number"), [(0, 3), (1, 2), (2, 1)])
def test_small_gaps_are_bridged_and_the_bridge_is_not_kept(gap_px, number):
    mask = mask_of("##.##..##")
    parts = components(mask, gap_px)
    assert len(parts) == number
    assert (sum(part.astype(int) for part in parts) == mask).all()


def test_nothing_has_no_parts():
    assert components(np.zeros((4, 5), bool)) == []


def test_a_box_spans_its_pixels():
    assert mask_box_px(mask_of("....", ".##.", "..#.")).tolist() == [1, 1, 3, 3]


@settings(max_examples=60, deadline=None)
@given(st.integers(1, 9), st.integers(1, 9), st.integers(0, 2**32 - 1))
def test_parts_are_those_that_a_flood_finds(height, width, seed):
    mask = np.random.default_rng(seed).random((height, width)) < 0.5
    left, flooded = {(int(r), int(c)) for r, c in np.argwhere(mask)}, []
    while left:
        edge = [min(left)]
        part = set(edge)
        while edge:
            r, c = edge.pop()
            new = {(r + i, c + j) for i in (-1, 0, 1) for j in (-1, 0, 1)} & left - part
            part |= new
            edge += new
        left -= part
        flooded.append(part)
    found = [{(int(r), int(c)) for r, c in np.argwhere(part)} for part in components(mask)]
    assert sorted(map(sorted, found)) == sorted(map(sorted, flooded))
