"""The command line, as a user runs it."""

import subprocess
import sys

import pytest


@pytest.fixture
def outofsight(tmp_path):
    """Run a command: its exit code, standard output and standard error."""

    def run(*arguments):
        command = [sys.executable, "-m", "outofsight", *map(str, arguments)]
        done = subprocess.run(command, capture_output=True, text=True, cwd=tmp_path, check=False)
        return done.returncode, done.stdout, done.stderr

    return run
