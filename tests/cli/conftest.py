"""A tiny model folder and two small cases with cameras and captions, made once."""

import json
import shutil
import subprocess
import sys

import numpy as np
import pytest

from models import tiny_world
from outofsight.cli import main
from outofsight.data.video import write_video
from outofsight.geometry.camera_files import write_cameras
from outofsight.geometry.path_expressions import make_path

FRAMES = 21  # of each half of a camera file
HEIGHT, WIDTH = 48, 64


@pytest.fixture(scope="session")
def model_folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("model") / "tiny"
    tiny_world().save_pretrained(folder)
    return folder


@pytest.fixture(scope="session")
def _cases(tmp_path_factory):
    folder = tmp_path_factory.mktemp("cases")
    generator = np.random.default_rng(0)
    for name in ("1", "2", "10"):
        coarse = generator.integers(0, 256, (FRAMES, HEIGHT // 8, WIDTH // 8, 3), dtype=np.uint8)
        write_video(folder / f"{name}.mp4", coarse.repeat(8, axis=1).repeat(8, axis=2), 15)
        context = make_path("pan:left:30", FRAMES)
        target = make_path("pan:right:30", FRAMES, start=context.world_from_camera[-1])
        write_cameras(folder / f"cam{name}.json", context, target)
    (folder / "caption.txt").write_text("A cat sits.\nA dog runs.\nA bus waits.\n")
    return folder


@pytest.fixture
def cases(_cases, tmp_path):
    """A folder of its own for each test, which may spoil it."""
    return shutil.copytree(_cases, tmp_path / "cases")


@pytest.fixture
def new_process(tmp_path):
    """Run the command line as a user does, in a process of its own: exit code, standard output and standard error."""

    def run(*arguments):
        command = [sys.executable, "-m", "outofsight", *map(str, arguments)]
        done = subprocess.run(command, capture_output=True, text=True, cwd=tmp_path, check=False)
        return done.returncode, done.stdout, done.stderr

    return run


@pytest.fixture
def read_json():
    return lambda path: json.loads(path.read_text())


@pytest.fixture
def in_process(monkeypatch, capsys):
    """Run the command line where the test is, which is quicker: exit code, standard output and standard error."""

    def run(*arguments):
        monkeypatch.setattr("sys.argv", ["outofsight", *map(str, arguments)])
        with pytest.raises(SystemExit) as stopped:
            main()
        return (stopped.value.code or 0, *capsys.readouterr())

    return run


@pytest.fixture
def cli_with_lines(in_process):
    """Run the command line where the test is: its exit code and standard error."""
    return lambda *arguments: in_process(*arguments)[::2]


@pytest.fixture
def cli(in_process):
    """Run the command line where the test is: its exit code and standard error, on one line."""

    def run(*arguments):
        code, _, error = in_process(*arguments)
        return code, " ".join(error.split())

    return run
