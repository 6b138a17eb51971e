"""What docs/rollouts.md says is so: its example runs, with the bundled model."""

import re
from pathlib import Path

import numpy as np
import pytest

from outofsight.data.video import write_video
from outofsight.model_folders import MODELS
from outofsight.sampling.rollout import NUM_RECORDS
from outofsight.sampling.rollout_memory import RolloutMemory
from outofsight.sampling.rollout_state import RolloutLimits

PAGE = (Path(__file__).parents[2] / "docs" / "rollouts.md").read_text(encoding="utf-8")


@pytest.mark.skipif(not (MODELS / "mini").is_dir(), reason="this checkout carries no weights")
def test_the_python_example_runs(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    coarse = np.random.default_rng(0).integers(0, 256, (41, 8, 12, 3), dtype=np.uint8)
    write_video("clip.mp4", coarse.repeat(8, axis=1).repeat(8, axis=2), 10)
    (code,) = re.findall(r"```python\n(.*?)```", PAGE, flags=re.DOTALL)
    names: dict = {}
    exec(code, names)
    assert names["frames"].shape == (12, 64, 96, 3)
    assert capsys.readouterr().out == "2 21 A green bus drives by.\n"


def test_numbers_and_names_are_those_of_the_code():
    limits = RolloutLimits()
    assert f"max_move_m={limits.max_move_m}, max_turn_deg={limits.max_turn_deg}" in PAGE
    assert f"`keep_steps` ({limits.keep_steps})" in PAGE
    assert f"the last {NUM_RECORDS} steps" in PAGE
    assert all(hasattr(RolloutMemory, name) for name in re.findall(r"`memory\.(\w+)", PAGE))
