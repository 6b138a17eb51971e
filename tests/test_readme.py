"""Every command of the README and the docs is one that the program takes, and every file they link to is there."""

import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest
import typer.main

from outofsight.cli import build_app
from outofsight.cli.demo import report_lines
from outofsight.demo.run import METRICS_SHOWN, DemoReport, TableRow
from outofsight.evaluation.evidence import Measured

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


def printed_block() -> list[str]:
    """Give what the README says that ``outofsight demo`` prints."""
    text = (ROOT / "README.md").read_text(encoding="utf-8")
    return re.search(r"`outofsight demo`. It prints:\n\n```text\n(.*?)```", text, re.DOTALL)[1].splitlines()


def test_the_printed_block_is_in_the_program_s_form():
    """Its figures, put into a report, print it again."""
    lines = printed_block()
    head = next(index for index, line in enumerate(lines) if line.startswith("dB against"))
    rows = []
    for line in lines[head + 1 : -1]:
        values = map(float, line.split()[-3:])
        measured = {name: Measured(value, None) for name, value in zip(METRICS_SHOWN, values, strict=True)}
        rows.append(TableRow(name=line[:43].rstrip(), measured=measured))
    report = DemoReport(
        caption=" ".join(lines[:head]),
        rows=tuple(rows),
        seconds={"all": float(lines[-1].split()[0])},
        files={},
    )
    assert report_lines(report) == lines


@pytest.mark.slow
def test_the_printed_block_is_what_the_demo_prints(tmp_path):
    command = [sys.executable, "-m", "outofsight", "demo", "--out", str(tmp_path / "demo")]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    lines = printed_block()
    assert (
        done.stdout.splitlines()[: len(lines) - 1] == lines[:-1]
    )  # the last one is of this machine's seconds
