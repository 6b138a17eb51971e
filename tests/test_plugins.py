"""Modules of one's own, asked for by name."""

import sys

import pytest

from outofsight.errors import InputError
from outofsight.plugins import own_name


def test_a_module_in_the_current_folder_is_found(tmp_path, monkeypatch):
    (tmp_path / "a_plugin_of_mine.py").write_text("found = True\n")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", [place for place in sys.path if place])
    assert own_name("a_plugin_of_mine:thinned", "--strategy") == "thinned"
    assert sys.modules.pop("a_plugin_of_mine").found


def test_a_name_of_the_package_needs_no_module():
    assert own_name("hydra", "--strategy") == "hydra"


def test_a_module_that_is_not_there_is_refused():
    with pytest.raises(InputError, match=r"--metrics no_such_module:a: no_such_module cannot be imported"):
        own_name("no_such_module:a", "--metrics")
