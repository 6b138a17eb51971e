"""Summaries over clips: what is counted, and intervals that repeat themselves."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from outofsight.errors import InputError
from outofsight.evaluation.results import paired_difference, summarise


def test_counts_and_middle():
    summary = summarise([1.0, None, 2.0, 6.0, None])
    assert (summary.n, summary.n_undefined, summary.mean, summary.median) == (3, 2, 3.0, 2.0)
    assert summary.coverage == pytest.approx(0.6)


def test_the_interval_of_many_is_that_of_the_normal_distribution():
    values = np.random.default_rng(1).normal(10, 2, 400)
    summary = summarise(values.tolist())
    half = 1.96 * values.std() / np.sqrt(400)
    assert summary.low == pytest.approx(values.mean() - half, abs=0.03)
    assert summary.high == pytest.approx(values.mean() + half, abs=0.03)


def test_the_same_seed_gives_the_same_interval():
    values = [0.3, 0.9, 0.1, 0.8, None]
    assert summarise(values, 5) == summarise(values, 5)
    assert summarise(values, 5) != summarise(values, 6)


def test_nothing_measured_is_no_zero():
    summary = summarise([None, None])
    assert (summary.n, summary.mean, summary.median, summary.low, summary.coverage) == (
        0,
        None,
        None,
        None,
        0.0,
    )
    assert summarise([]).coverage is None


def test_one_clip_has_no_interval():
    summary = summarise([4.0])
    assert (summary.mean, summary.low, summary.high) == (4.0, None, None)


def test_not_a_number_is_refused():
    with pytest.raises(InputError, match="NaN"):
        summarise([1.0, float("nan")])


@given(st.lists(st.floats(-5, 5), min_size=2, max_size=8))
def test_the_interval_lies_within_the_values(values):
    summary = summarise(values, num_resamples=50)
    assert min(values) - 1e-9 <= summary.low <= summary.high <= max(values) + 1e-9


def test_a_paired_difference_sees_what_means_alone_do_not():
    spread = np.random.default_rng(2).normal(0, 5, 40)
    better, base = (spread + 0.5).tolist(), spread.tolist()
    difference = paired_difference(better, base)
    assert difference.low == pytest.approx(0.5)
    assert difference.high == pytest.approx(0.5)
    assert summarise(better).low < summarise(base).high  # the means' own intervals overlap


def test_a_pair_needs_both():
    difference = paired_difference([1.0, None, 3.0], [0.0, 1.0, None])
    assert (difference.n, difference.n_undefined, difference.mean) == (1, 2, 1.0)
    with pytest.raises(InputError, match="same clips"):
        paired_difference([1.0], [1.0, 2.0])
