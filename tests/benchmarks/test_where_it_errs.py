"""Where a world model errs: turns between cameras and means by hand."""

from math import cos, radians, sin

import pytest
import torch

from where_it_errs import TURNS_DEG, Sums, nearest_turns, of_turn


def turned(*degrees):
    """Cameras that look to the right of the reference, from places that do not matter: [1, frames, 12]."""
    rows = []
    for index, angle in enumerate(degrees):
        c, s = cos(radians(angle)), sin(radians(angle))
        rows.append([c, 0, s, 5.0 * index, 0, 1, 0, 0, -s, 0, c, 0])
    return torch.tensor([rows])


def test_the_nearest_context_frame_is_the_one_that_is_turned_alike_most():
    frames, degrees = nearest_turns(turned(0, 30, 60), turned(61, 28, -90, 30))
    assert frames.tolist() == [[2, 1, 0, 1]]
    assert degrees[0].tolist() == pytest.approx([1, 2, 90, 0], abs=0.05)
    reported = [
        [bool(of_turn(degrees, index)[0, frame]) for index in range(len(TURNS_DEG))] for frame in range(4)
    ]
    assert [row.index(True) for row in reported] == [1, 2, 4, 0]
    assert [sum(row) for row in reported] == [1] * 4


def test_means_are_over_the_pixels_that_count():
    errors = torch.arange(8.0).reshape(1, 2, 2, 2)
    sums = Sums().plus(errors, errors > 4).plus(errors, errors == 0)
    assert sums == Sums(18.0, 4)
    assert sums.mean() == 4.5
    assert Sums().mean() is None
