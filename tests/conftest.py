"""Shared by all tests: where the copied golden vectors and small inputs lie."""

from pathlib import Path

import pytest

FIXTURES = Path(__file__).parent / "fixtures"


@pytest.fixture(scope="session")
def fixtures_dir() -> Path:
    """The folder of small data files that tests read; it travels with the repository."""
    return FIXTURES
