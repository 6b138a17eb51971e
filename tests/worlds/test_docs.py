"""What docs/worlds.md and docs/data.md say is so."""

import re
from pathlib import Path

import pytest

from outofsight.data.annotation import FIELDS
from outofsight.data.sample import REQUIRED_FILES
from outofsight.worlds.cameras import camera_starts
from outofsight.worlds.paths import subject_paths
from outofsight.worlds.plan_config import PlanConfig

DOCS = Path(__file__).parents[2] / "docs"
WORLDS, DATA = ((DOCS / name).read_text(encoding="utf-8") for name in ("worlds.md", "data.md"))


def test_names_and_numbers_are_those_of_the_code():
    assert all(f"`{name}`" in WORLDS for name in subject_paths())
    assert f"({', '.join(camera_starts())})" in WORLDS
    config = PlanConfig()
    assert f"seen (≥ {config.min_seen_frames} frames of the context)" in WORLDS
    assert f"out of view (≥ {config.min_hidden_frames} frames)" in WORLDS
    assert f"`plan.shed_share`, {config.shed_share}" in WORLDS
    assert f"({config.max_turn_deg_per_frame:g}° by default)" in WORLDS


def test_every_file_and_setting_named_exists():
    assert all(f"`{name}`" in DATA for name in (*REQUIRED_FILES, "depth.npz"))
    for name in re.findall(r"`plan\.(\w+)`", WORLDS):
        assert name in PlanConfig.__dataclass_fields__
    assert "world_from_camera" in FIELDS


@pytest.mark.slow
def test_the_python_example_runs():
    (code,) = re.findall(r"```python\n(.*?)```", WORLDS, flags=re.S)
    names: dict = {}
    exec(code, names)
    assert names["clip"].video.shape == (154, 96, 160, 3)
