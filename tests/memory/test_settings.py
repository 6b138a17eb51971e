"""Every number among the settings of every way to remember has bounds, whoever gives it."""

import json
from math import inf, nan

import pytest
from pydantic import TypeAdapter

from models import tiny_transformer
from outofsight.backbone.transformer import HydraTransformer3DModel
from outofsight.errors import InputError
from outofsight.memory.banks.state import BankSettings
from outofsight.memory.settings import GROUPS, RenderingSettings, check_memory
from outofsight.memory.strategies import Strategy
from outofsight.training.config import changed
from outofsight.training.recipes import recipe


def numeric(kind) -> list[str]:
    """Name the settings that hold a number, or numbers."""
    settings = TypeAdapter(kind).json_schema()["properties"]
    return [name for name, said in settings.items() if any(n in str(said) for n in ("integer", "number"))]


FLAT = [
    (flat, None) for kind, names in GROUPS.values() for flat, ours in names.items() if ours in numeric(kind)
]
INNER = [
    (group, name)
    for group, kind in (("banks", BankSettings), ("rendering", RenderingSettings))
    for name in numeric(kind)
]
SETTINGS = [*FLAT, *INNER]
SEQUENCES = {"memory_kernel": 3, "kernel": 3, "state_grid": 2, "identity_grid": 2, "subject_grid": 2}


def given(name: str, inner: str | None, value: object) -> dict:
    own = inner or name
    value = [1] * (SEQUENCES[own] - 1) + [value] if own in SEQUENCES else value
    return {name: value} if inner is None else {name: {inner: value}}


def test_all_numbers_are_looked_at():
    assert len(SETTINGS) == 28
    assert ("state_space_every", None) in SETTINGS
    assert ("banks", "place_draw") in SETTINGS


@pytest.mark.parametrize(("name", "inner"), SETTINGS)
@pytest.mark.parametrize("value", [-1, 10**12, inf, nan, "wide"])
def test_an_impossible_number_is_one_line_with_its_name(name, inner, value):
    with pytest.raises(InputError) as caught:
        check_memory(given(name, inner, value))
    said = str(caught.value)
    assert said.startswith(f"{name}: {inner}" if inner else name)
    assert said.endswith(f"got {value!r}")
    assert "\n" not in said


@pytest.mark.parametrize("name", ["state_space_every", "state_width", "local_window", "context_clip_frames"])
def test_nothing_is_not_a_size(name):
    with pytest.raises(InputError, match=f"{name}: expected greater than or equal to 1, got 0"):
        check_memory({name: 0})


def test_strategy_recipe_and_folder_refuse_it_alike(tmp_path):
    says = "state_space_every: expected greater than or equal to 1, got 0"
    with pytest.raises(InputError, match=f"^strategy 'mine': {says}$"):
        Strategy(name="mine", what="", settings={"state_space_every": 0})
    with pytest.raises(InputError, match=f"^--set: task: .*{says}$"):
        changed(recipe("laptop_world"), {"task.memory.state_space_every": 0})
    with pytest.raises(InputError, match=r"^--set: task\.size: .*memory_top_k: .*, got -1$"):
        changed(recipe("laptop_world"), {"task.size.memory_top_k": -1})
    tiny_transformer().save_pretrained(tmp_path)
    config = json.loads((tmp_path / "config.json").read_text())
    (tmp_path / "config.json").write_text(json.dumps({**config, "state_space_every": 0}))
    with pytest.raises(InputError, match=f"^{says}$"):
        HydraTransformer3DModel.from_pretrained(tmp_path)


def test_a_folder_from_before_a_setting_was_there_is_read(tmp_path):
    tiny_transformer().save_pretrained(tmp_path)
    config = json.loads((tmp_path / "config.json").read_text())
    for name in ("state_space_every", "history_guidance", "context_clip_frames"):
        del config[name]
    (tmp_path / "config.json").write_text(json.dumps(config))
    assert HydraTransformer3DModel.from_pretrained(tmp_path).config["state_space_every"] is None
