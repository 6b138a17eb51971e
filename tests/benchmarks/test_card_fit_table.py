"""The table of what fits which card is that of the record, and the record is what is counted."""

import json
from pathlib import Path

import pytest

import card_fit

ROOT = Path(__file__).parents[2]
RECORD = ROOT / "benchmarks" / "results" / "card_fit.json"


def figures():
    return json.loads(RECORD.read_text())["figures"]


def test_the_page_shows_the_record():
    assert card_fit.table(figures()) in (ROOT / "docs" / "memory.md").read_text()


@pytest.mark.slow
def test_the_record_is_what_is_counted():
    for way, reported in zip(card_fit.measure(), figures(), strict=True):
        assert (way.use, way.flags, way.cards) == (reported["use"], reported["flags"], reported["cards"])
        assert way.gib == pytest.approx(reported["gib"], rel=0.02)
