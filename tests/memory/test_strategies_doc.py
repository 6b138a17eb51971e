"""What docs/strategies.md says is so: its examples run, its table names every strategy with its true cost."""

import re
from pathlib import Path

import pytest
import torch

from models import tiny_inputs, tiny_transformer
from outofsight.memory.context_choice import CONTEXT_RULES
from outofsight.memory.strategies import STRATEGIES, strategy

PAGE = Path(__file__).parents[2] / "docs" / "strategies.md"


@pytest.fixture
def mine(tmp_path, monkeypatch):
    """The page's examples as a module that can be imported; what it registers is forgotten afterwards."""
    blocks = re.findall(r"```python\n(.*?)```", PAGE.read_text(encoding="utf-8"), flags=re.DOTALL)
    assert len(blocks) == 2
    (tmp_path / "mine.py").write_text("\n".join(blocks), encoding="utf-8")
    monkeypatch.syspath_prepend(tmp_path)
    before = dict(STRATEGIES), dict(CONTEXT_RULES)
    yield "mine"
    for registry, kept in zip((STRATEGIES, CONTEXT_RULES), before, strict=True):
        registry.clear()
        registry.update(kept)


def test_a_strategy_of_ones_own(mine):
    ends, thinned = strategy(f"{mine}:both_ends"), strategy(f"{mine}:thinned")
    inputs = tiny_inputs(1, 8, 4)
    with torch.no_grad():
        plain = tiny_transformer(**ends.settings)
        assert plain(**inputs).context_frames.tolist() == [[0, 1, 5, 6, 7]]
        assert tiny_transformer(**thinned.settings)(**inputs).context_frames.tolist() == [[1, 3, 5, 7]]


def test_every_strategy_is_on_the_page():
    page = PAGE.read_text(encoding="utf-8")
    assert [name for name in STRATEGIES if f"`{name}`" not in page] == []
