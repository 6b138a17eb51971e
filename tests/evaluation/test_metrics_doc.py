"""The examples of docs/metrics.md run as they stand, one after another."""

import re
from pathlib import Path

from clips import hand_made_clip
from outofsight.data.sample import write_sample
from outofsight.evaluation.metrics import METRICS
from square_world import BlockMeans, ColourDetector

TEXT = (Path(__file__).parents[2] / "docs" / "metrics.md").read_text()
BLOCKS = re.findall(r"```python\n(.*?)```", TEXT, flags=re.DOTALL)


def test_the_examples_run(tmp_path, monkeypatch, capsys):
    write_sample(tmp_path / "clips" / "test" / "clip_000000", hand_made_clip())
    monkeypatch.chdir(tmp_path)
    known = dict(METRICS)
    names = {"detector": ColourDetector(), "network": BlockMeans()}
    try:
        for block in BLOCKS:
            exec(compile(block, "docs/metrics.md", "exec"), names)
            names["generated"] = names["case"].truth
        assert "brightness" in METRICS
    finally:
        METRICS.clear()
        METRICS.update(known)
    printed = capsys.readouterr().out.splitlines()
    assert [line.split()[0] for line in printed] == list(known)
    assert "no feature network is given" in "".join(printed)


def test_the_documentation_names_every_measure():
    short = {f"decay_{n}": f"`_{n}`" for n in (5, 10, 20, 50)}
    missing = [name for name in METRICS if f"`{name}`" not in TEXT and short.get(name, "?") not in TEXT]
    assert not missing
