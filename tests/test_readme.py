"""Every command of the README and the docs is one that the program takes, and every file they link to is there."""

import re
import shlex
from pathlib import Path

import pytest
import typer.main

from outofsight.cli import build_app

ROOT = Path(__file__).parents[1]
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]
FENCE = re.compile(r"```sh\n(.*?)```", re.DOTALL)
LINK = re.compile(r"\]\((?!http)([^)#]+)")


def commands() -> list[str]:
    found = []
    for page in PAGES:
        for block in FENCE.findall(page.read_text(encoding="utf-8")):
            lines = block.replace("\\\n", " ").splitlines()
            found += [
                line.split(" #")[0].strip() for line in lines if line.strip() and not line.startswith("#")
            ]
    return found


@pytest.mark.parametrize("command", [line for line in commands() if line.startswith("outofsight ")])
def test_the_program_takes_the_command(command):
    """Parse it as the program would, without running it."""
    verb = typer.main.get_command(build_app())
    context, arguments = None, shlex.split(command)[1:]
    while hasattr(verb, "commands"):
        name = arguments.pop(0)
        assert name in verb.commands, f"{command}: no verb {name}"
        verb = verb.commands[name]
    context = verb.make_context(verb.name, arguments)  # raises on unknown options and values
    assert context is not None


@pytest.mark.parametrize("command", [line for line in commands() if line.startswith("make ")])
def test_make_knows_the_target(command):
    targets = re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(), re.MULTILINE)
    assert command.split()[1] in targets


@pytest.mark.parametrize("command", [line for line in commands() if line.startswith("python ")])
def test_the_script_is_there(command):
    assert (ROOT / command.split()[1]).is_file()


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_links_lead_somewhere(page):
    for target in LINK.findall(page.read_text(encoding="utf-8")):
        assert (page.parent / target).exists(), f"{page.name} links to {target}"


def test_readme_is_short():
    assert len((ROOT / "README.md").read_text().splitlines()) <= 200
