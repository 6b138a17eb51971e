"""Strategies that were trained on two days stand in one table, in pairs."""

import json

import pytest

from outofsight.memory.strategies import STRATEGIES
from strategies import BY_CLIP, RENDERED, RIVALS, beside, by_clip, parse


def test_rows_of_an_earlier_day_are_paired_with_todays_baseline(tmp_path):
    records = {"a": {"values": dict.fromkeys(BY_CLIP, 21.0)}, "b": {"values": dict.fromkeys(BY_CLIP)}}
    today = by_clip({"clips": [{"name": "a"}, {"name": "b"}], "records": {"hydra": records}})
    assert today["hydra"]["psnr"] == [21.0, None]
    earlier = {"hydra": {"psnr": [0.0, 0.0]}, "fov": {"psnr": [20.0, 5.0]}}
    (tmp_path / "earlier.json").write_text(json.dumps({"figures": {"by_clip": earlier}}))
    rows = beside(tmp_path / "earlier.json", today, "hydra")
    assert list(rows) == ["fov"]  # today's own rows win
    assert rows["fov"]["psnr"]["mean"] == 12.5
    assert (rows["fov"]["psnr"]["difference"]["n"], rows["fov"]["psnr"]["difference"]["mean"]) == (1, -1.0)


@pytest.mark.parametrize("text", [*RIVALS, *RENDERED])
def test_every_method_names_a_strategy(text):
    method = parse(text)
    assert method.strategy in STRATEGIES
    assert all("=" in change for change in method.changes)
