"""Kills and races, a few of each: ``make test-kills`` has the many."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

SCRIPT = Path(__file__).parents[2] / "benchmarks" / "kills.py"


def figures(tmp_path, *options):
    command = [sys.executable, str(SCRIPT), f"--rounds={tmp_path / 'rounds.jsonl'}", *options]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, (done.stdout[-2000:], done.stderr[-2000:])
    return json.loads(done.stdout.splitlines()[-1])["figures"]


def test_of_two_at_once_one_works(tmp_path):
    """Of one verb; the next test shows it of all, and ``data/test_outputs.py`` of the lock that they share."""
    (found,) = figures(tmp_path, "--at-once=2", "--verbs=generate").values()
    assert (found["worked"], found["refused"]) == (1, 1), found


@pytest.mark.slow
def test_of_eight_at_once_one_works_or_all_share(tmp_path):
    reported = figures(tmp_path, "--at-once=8")
    assert len(reported) == 13
    assert all(one["worked"] >= 1 and one["worked"] + one["refused"] == 8 for one in reported.values()), (
        reported
    )


@pytest.mark.slow
def test_a_run_that_was_killed_ends_with_the_same_bytes(tmp_path):
    reported = figures(tmp_path, "--kills=4", "--processes=1")
    assert all(one["kills"] >= 4 and one["same"] == one["ends"] for one in reported.values()), reported
    again = figures(tmp_path, "--kills=4", "--processes=1")  # nothing is left to do
    assert again == reported
