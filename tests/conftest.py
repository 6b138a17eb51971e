"""Shared by all tests: where the copied golden vectors and small inputs lie."""

import os
from pathlib import Path

import pytest

os.environ["HF_HUB_OFFLINE"] = "1"  # no test may reach for the network; read when the hub's library is imported

FIXTURES = Path(__file__).parent / "fixtures"


@pytest.fixture(scope="session")
def fixtures_dir() -> Path:
    """The folder of small data files that tests read; it travels with the repository."""
    return FIXTURES
