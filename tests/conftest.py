"""Shared by all tests: where the copied golden vectors and small inputs lie."""

import os
import tempfile
from pathlib import Path

import pytest

# Read when the libraries are imported: no test may reach for the network, and tiny models run best on one thread.
os.environ["HF_HUB_OFFLINE"] = "1"
os.environ.setdefault("OMP_NUM_THREADS", "1")
# What is remembered between runs is remembered for this one alone, also by the processes that it starts.
os.environ["XDG_CACHE_HOME"] = tempfile.mkdtemp(prefix="outofsight-tests-")

FIXTURES = Path(__file__).parent / "fixtures"


@pytest.fixture(scope="session")
def fixtures_dir() -> Path:
    """The folder of small data files that tests read; it travels with the repository."""
    return FIXTURES
