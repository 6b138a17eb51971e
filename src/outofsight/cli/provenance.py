"""What made a result: versions and commit."""

import subprocess
import sys
from importlib.metadata import version
from pathlib import Path

LIBRARIES = ("outofsight", "torch", "diffusers", "transformers")


def provenance() -> dict[str, object]:
    """Return versions of what matters, and the commit where the package runs from a checkout."""
    versions = {"python": ".".join(map(str, sys.version_info[:3]))}
    versions.update({name: version(name) for name in LIBRARIES})
    return {"versions": versions, "commit": _commit()}


def _commit() -> str | None:
    here = Path(__file__).parent
    try:
        done = subprocess.run(
            ["git", "describe", "--always", "--dirty", "--abbrev=12"],
            cwd=here,
            capture_output=True,
            text=True,
            check=True,
        )
    except (OSError, subprocess.CalledProcessError):
        return None
    return done.stdout.strip()
