"""What a study says of many scenes."""

import numpy as np
import pytest

from study_figures import figures_of, median_interval, rounded, shown, summarised, table


def test_figures_of_known_numbers_and_of_what_could_not_be_measured():
    reported = figures_of([1.0, None, 3.0, 8.0])
    assert (reported["mean"], reported["median"], reported["n"], reported["n_undefined"]) == (4.0, 3.0, 3, 1)
    assert 1.0 <= reported["low"] < reported["mean"] < reported["high"] <= 8.0
    assert (reported["median_low"], reported["median_high"]) == (1.0, 8.0)


@pytest.mark.parametrize("values", [[], [2.0]])
def test_no_interval_can_be_told_of_fewer_than_two(values):
    assert median_interval(values) == (None, None)
    reported = figures_of(values)
    assert reported["median_low"] is reported["high"] is None
    assert reported["median"] == (values[0] if values else None)


def test_the_medians_interval_holds_the_true_median_about_as_often_as_it_says():
    generator = np.random.default_rng(0)
    hits = 0
    for _ in range(200):
        low, high = median_interval(generator.normal(size=25).tolist())
        hits += low <= 0 <= high
    assert 0.88 <= hits / 200 <= 1


def test_five_digits_are_kept_of_small_and_large():
    assert (rounded(0.000123456789), rounded(98765.4321), rounded(None)) == (0.00012346, 98765.0, None)


def test_a_table_shows_means_or_medians(capsys):
    rows = summarised([{"name": "a", "share": [1.0, 1.0, 4.0], "ms": [1.0, 1.0, 4.0], "none": [None]}])
    table(rows, ("name", "share", "ms", "none"), medians=("ms",))
    lines = capsys.readouterr().out.splitlines()
    assert lines[0] == "| name | share | ms | none |"
    assert lines[2] == "| a | 2 (1 to 4) | 1 (1 to 4) | – |"
    assert shown({"median": 5, "median_low": None, "median_high": None}, as_median=True) == "5"
