"""The examples of docs/cameras.md do what the page says."""

import doctest
import json
import re
import shutil
from pathlib import Path

import pytest

from outofsight.geometry.path_makers import describe_paths
from outofsight.geometry.pose_files import read_poses

PAGE = Path(__file__).parents[2] / "docs" / "cameras.md"


def blocks(language):
    return re.findall(rf"```{language}\n(.*?)```", PAGE.read_text(encoding="utf-8"), re.DOTALL)


def test_the_examples_do_what_they_say(tmp_path, monkeypatch, fixtures_dir):
    for name in ("cam1.json", "cam_strings149.json"):
        shutil.copy(fixtures_dir / "cameras" / name, tmp_path)
    monkeypatch.chdir(tmp_path)
    page = doctest.DocTestParser().get_doctest("\n".join(blocks("pycon")), {}, PAGE.name, None, 0)
    result = doctest.DocTestRunner(optionflags=doctest.ELLIPSIS).run(page)
    assert result.attempted > 10
    assert result.failed == 0


def test_the_pose_file_can_be_read(tmp_path):
    (content,) = blocks("json")
    (tmp_path / "poses.json").write_text(content)
    path = read_poses(tmp_path / "poses.json")
    assert len(path) == len(json.loads(content)["world_from_camera"])
    assert path.world_from_camera[0, 2, 3] == pytest.approx(1.6)


def test_every_step_is_listed_as_it_describes_itself():
    text = PAGE.read_text(encoding="utf-8").replace("\\|", "|")
    for maker in describe_paths():
        assert f"| `{maker.form}` |" in text
