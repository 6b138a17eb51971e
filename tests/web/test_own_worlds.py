"""In which worlds a model is walked through."""

import json
from dataclasses import asdict

import pytest

from outofsight.errors import CheckpointError
from outofsight.model_folders import ModelUse, read_use
from outofsight.web.own_worlds import own_worlds
from outofsight.worlds.presets import mini_long_plan, mini_plan, mini_wide_plan

USE = ModelUse(num_context_frames=41, num_target_frames=41, size=(64, 96), fps=10.0)


def test_a_model_plays_in_the_worlds_that_it_learned_from(tmp_path):
    assert own_worlds(str(tmp_path), USE) == mini_plan()
    plan = mini_long_plan()
    (tmp_path / "training.json").write_text(json.dumps({"data": {"recipe": {"plan": asdict(plan)}}}))
    own = own_worlds(str(tmp_path), USE)
    assert own.min_hidden_frames == 84
    assert (own.num_target_frames, own.height_px, own.fps) == (121, 64, 10.0)
    assert own_worlds("mini", read_use("mini")).scenes == mini_wide_plan().scenes


def test_other_data_and_a_damaged_record(tmp_path):
    (tmp_path / "training.json").write_text('{"data": {"recipe": null}}')
    assert own_worlds(str(tmp_path), USE) == mini_plan()
    for text in ("{", '{"data": {"recipe": {"plan": {"scenes": ["the moon"]}}}}', "[]"):
        (tmp_path / "training.json").write_text(text)
        with pytest.raises(CheckpointError, match=r"training\.json"):
            own_worlds(str(tmp_path), USE)
