"""A tracker's places against the truth, by hand: errors in metres, who is who, and what counts as a return."""

import numpy as np
import pytest

from outofsight.evaluation.birdseye import HeldSubjects, TrueSubjects
from outofsight.evaluation.held_places import (
    HIDDEN,
    NEVER_SEEN,
    SEEN,
    held_places,
    number_switches,
    phases_of_sight,
)


def held(positions, seen, numbers=None, filled=None) -> HeldSubjects:
    """``positions`` [n, s]: metres to the right; all else 0; deviations of 0.5 m."""
    x = np.asarray(positions, float)
    places = np.zeros((*x.shape, 3))
    places[..., 0] = x
    who = np.broadcast_to(np.arange(x.shape[1]) if numbers is None else numbers, x.shape)
    return HeldSubjects(
        position_m=places, velocity_m=np.zeros_like(places), deviation_m=np.full(x.shape, 0.5),
        held=np.ones(x.shape, bool) if filled is None else np.asarray(filled, bool),
        seen=np.asarray(seen, bool), numbers=np.array(who, np.int64),
    )  # fmt: skip


def truth(positions, seen) -> TrueSubjects:
    x = np.asarray(positions, float)
    places = np.zeros((*x.shape, 3))
    places[..., 0] = x
    return TrueSubjects(position_m=places, seen=np.asarray(seen, bool), velocity_m=np.full_like(places, 0.1))


def test_phases_of_sight():
    seen = np.array([[False], [True], [False], [True]])
    assert phases_of_sight(seen)[:, 0].tolist() == [NEVER_SEEN, SEEN, HIDDEN, SEEN]


def test_errors_by_hand():
    """Seen at 0 (held at 0.5: 0.5 m off), hidden while it goes to 3 (held goes to 1: 2 m off), seen again."""
    seen = [[1], [0], [0], [1]]
    places = held_places(held([[0.5], [0.7], [1.0], [3.0]], seen), truth([[0.0], [2.0], [3.0], [3.0]], seen))
    np.testing.assert_allclose(places.error_m[:, 0], [0.5, 1.3, 2.0, 0.0])
    np.testing.assert_allclose(places.deviations[:, 0], [1.0, 2.6, 4.0, 0.0])
    np.testing.assert_allclose(places.velocity_error_m[:, 0], 0.1 * 3**0.5)
    assert places.returns[:, 0].tolist() == [False, False, True, False]
    assert places.mean_m(places.returns) == 2.0
    assert places.mean_m(places.phases == SEEN) == 0.25
    assert number_switches(places) == 0


def test_two_that_cross_while_hidden():
    """A tracker that keeps them apart errs by nothing; one that swaps their numbers errs by the whole way, twice."""
    seen = [[1, 1], [0, 0], [1, 1]]
    told = truth([[-1, 1], [0, 0], [1, -1]], seen)
    right = held_places(held([[-1, 1], [0, 0], [1, -1]], seen), told)
    assert number_switches(right) == 0
    assert right.mean_m(right.phases == SEEN) == 0
    swapped = held_places(held([[-1, 1], [-1, 1], [-1, 1]], seen), told)
    assert number_switches(swapped) == 2
    np.testing.assert_allclose(swapped.error_m[1], [1, 1])  # hidden: each is still who it was


def test_somebody_who_is_lost_is_nan_and_counts_as_not_held():
    seen = [[1], [0], [0]]
    gone = held([[0.0], [0.0], [0.0]], seen, filled=[[1], [1], [0]])
    places = held_places(gone, truth([[0.0], [0.0], [0.0]], seen))
    assert np.isnan(places.error_m[2, 0])
    assert places.held_share(places.phases == HIDDEN) == 0.5
    nobody = held_places(held([[0.0]], [[0]], filled=[[0]]), truth([[0.0]], [[1]]))
    assert nobody.mean_m(nobody.phases == SEEN) is None
    assert nobody.numbers[0, 0] == -1


def test_matching_takes_the_least_distance_in_sum():
    """Nearest first: 0.9 takes 1.0, and 1.6 takes 0.0, 1.7 m in sum; the other way round it is 1.5 m."""
    told = truth([[0.9, 1.6]], [[1, 1]])
    places = held_places(held([[1.0, 0.0]], [[1, 1]]), told)
    assert places.numbers[0].tolist() == [1, 0]
    assert places.error_m[0].sum() == pytest.approx(1.5)
