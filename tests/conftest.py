"""Shared by all tests: where the copied golden vectors and small inputs lie."""

import os
import tempfile
import warnings
from importlib.metadata import version
from importlib.util import find_spec
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings

# Read when the libraries are imported: no test may reach for the network, and tiny models run best on one thread.
os.environ["HF_HUB_OFFLINE"] = "1"
os.environ.setdefault("OMP_NUM_THREADS", "1")
# What is remembered between runs is remembered for this one alone, also by the processes that it starts, pytest-xdist's
# among them. Not so compiled kernels and the list of fonts, which take seconds to make and are the same in every run.
if "PYTEST_XDIST_WORKER" not in os.environ:
    os.environ["XDG_CACHE_HOME"] = tempfile.mkdtemp(prefix="outofsight-tests-")
KEPT = Path(tempfile.gettempdir()) / f"outofsight-tests-of-{os.getuid()}"
os.environ.setdefault("WARP_CACHE_PATH", str(KEPT / f"warp-{find_spec('warp') and version('warp-lang')}"))
os.environ.setdefault("MPLCONFIGDIR", str(KEPT / "matplotlib"))

# A busy machine is no fault of what is tested.
settings.register_profile("tests", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("tests")

FIXTURES = Path(__file__).parent / "fixtures"


@pytest.fixture(scope="session")
def fixtures_dir() -> Path:
    """The folder of small data files that tests read; it travels with the repository."""
    return FIXTURES


@pytest.fixture
def outofsight(tmp_path, monkeypatch, capsys):
    """Run a command as in a folder of its own: its exit code, standard output and standard error.

    In this process: a new one would spend seconds on importing torch.
    """

    def run(*arguments):
        from outofsight.cli import main  # noqa: PLC0415  # after the variables above are set

        monkeypatch.chdir(tmp_path)
        monkeypatch.setattr("sys.argv", ["outofsight", *map(str, arguments)])
        monkeypatch.setattr("warnings.formatwarning", warnings.formatwarning)
        capsys.readouterr()
        with pytest.raises(SystemExit) as stopped:
            main()
        said = capsys.readouterr()
        return stopped.value.code or 0, said.out, said.err

    return run
