"""Strategies that were trained on two days stand in one table, in pairs."""

import pytest

from outofsight.memory.strategies import STRATEGIES
from strategies import BY_CLIP, RENDERED, RIVALS, beside, by_clip, parse


def test_rows_of_today_are_paired_with_the_earlier_baseline():
    records = {"a": {"values": dict.fromkeys(BY_CLIP, 21.0)}, "b": {"values": dict.fromkeys(BY_CLIP)}}
    today = by_clip({"clips": [{"name": "a"}, {"name": "b"}], "records": {"fov": records}})
    assert today["fov"]["psnr"] == [21.0, None]
    row = {
        "psnr": {"mean": 21.0, "difference": {"mean": 0.0}},
        "ssim": {"mean": 0.5, "difference": {"mean": 0}},
    }
    earlier = {"training": {}, "summaries": {"hydra": {}}, "by_clip": {"hydra": {"psnr": [20.0, 5.0]}}}
    figures = beside(
        {"figures": earlier, "config": {"baseline": "hydra"}},
        {"training": {"fov": {}}, "summaries": {"fov": row}, "by_clip": today},
    )
    assert list(figures["summaries"]) == list(figures["by_clip"]) == ["hydra", "fov"]
    difference = figures["summaries"]["fov"]["psnr"]["difference"]
    assert (difference["n"], difference["mean"]) == (1, 1.0)
    assert (
        "difference" not in figures["summaries"]["fov"]["ssim"]
    )  # the baseline's values are not kept clip by clip


@pytest.mark.parametrize("text", [*RIVALS, *RENDERED])
def test_every_method_names_a_strategy(text):
    method = parse(text)
    assert method.strategy in STRATEGIES
    assert all("=" in change for change in method.changes)
