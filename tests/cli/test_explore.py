"""``outofsight explore``: what it begins with, and what it refuses in a line before anything is loaded."""

import re
import signal
import socket
import subprocess
import sys
import urllib.request

import pytest

pytest.importorskip("starlette", reason="pip install 'outofsight[explore]'")

from outofsight.cli.explore import Explore, _first
from outofsight.errors import CheckpointError, InputError
from outofsight.web.serve import FIRST_PORT, address_of, doors_of, listen


def begun(tmp_path, **given):
    return Explore(**given).begin


def test_one_beginning(tmp_path):
    assert begun(tmp_path) == "seed"
    assert begun(tmp_path, clip=tmp_path) == "clip"
    for given, line in (
        ({"seed": 1, "clip": tmp_path}, "--seed and --clip"),
        ({"video": tmp_path}, "--prompt"),
        ({"prompt": "A cat."}, "goes with --video"),
        ({"clip": tmp_path / "none"}, "is not there"),
        ({"state": tmp_path / "none"}, "is not there"),
    ):
        with pytest.raises(InputError, match=line):
            begun(tmp_path, **given)


class Resuming:
    """A model that says what it was asked to go on with, and goes on with one folder alone."""

    use = None

    def __init__(self, good):
        self.good, self.closed = good, 0

    def resume(self, folder, watch):
        if folder != self.good:
            raise CheckpointError(f"{folder}: the state of another model")
        return self, "hybrid"

    def close(self):
        self.closed += 1


def test_a_state_that_cannot_be_gone_on_with_is_told_before_anything_is_served(tmp_path):
    asked = Explore(state=tmp_path)
    with pytest.raises(CheckpointError, match="of another model"):
        _first(Resuming(None), None, None, asked)
    rolled = Resuming(tmp_path)
    _first(rolled, None, None, asked)
    (tmp_path / "about.json").write_text("{}")  # a folder of the explorer's
    walked = Resuming(tmp_path / "state")
    _first(walked, None, None, asked)
    assert rolled.closed == walked.closed == 1


def test_a_busy_port_is_a_line_and_none_is_the_next():
    with listen("127.0.0.1", None) as first:
        port = first.getsockname()[1]
        assert port >= FIRST_PORT
        with pytest.raises(InputError, match=f"--port {port}: another program listens there"):
            listen("127.0.0.1", port)
        with listen("127.0.0.1", None) as second:
            assert second.getsockname()[1] != port
    with pytest.raises(InputError, match="--host"):
        listen("203.0.113.7", None)


def test_another_host_is_told_with_its_token():
    with socket.create_server(("127.0.0.1", 0)) as listening:
        doors = doors_of("0.0.0.0", listening)
        assert doors.token is not None
        assert address_of("0.0.0.0", listening, doors).endswith(f"/?token={doors.token}")
        assert "token" not in address_of("127.0.0.1", listening, doors_of("127.0.0.1", listening))


def test_wrong_options_are_a_line(outofsight, tmp_path):
    code, _, error = outofsight("explore", "--clip", tmp_path / "none", "--no-browser")
    assert code == 2
    assert error.count("\n") == 1


def test_a_start_that_fails_leaves_no_walks(outofsight, model_folder, tmp_path):
    (tmp_path / "film.mp4").write_bytes(b"")
    walks = ("--no-browser", f"--walks={tmp_path / 'walks'}", f"--model={model_folder}")
    for begun, said in (
        ((f"--video={tmp_path / 'film.mp4'}", "--prompt=missing.txt"), "there is no file missing.txt"),
        ((f"--state={tmp_path}",), "expected the folder of a saved rollout"),
    ):
        code, _, error = outofsight("explore", *begun, *walks)
        assert (code, said in error) == (2, True), error
        assert not (tmp_path / "walks").exists()


@pytest.mark.slow
def test_it_starts_says_where_and_ends_cleanly(tmp_path):
    pytest.importorskip("mujoco_warp", reason="pip install 'outofsight[worlds]'")
    command = [sys.executable, "-m", "outofsight", "explore", "--no-browser", "--walks", str(tmp_path)]
    process = subprocess.Popen(command, stderr=subprocess.PIPE, text=True)
    try:
        found = re.fullmatch(
            r"walk at (http://127\.0\.0\.1:\d+/) \(Ctrl-C ends it\)\n", process.stderr.readline()
        )
        with urllib.request.urlopen(found[1], timeout=30) as answer:
            assert b"outofsight" in answer.read()
        process.send_signal(signal.SIGINT)
        assert process.wait(60) in (0, 130, -signal.SIGINT)
        assert process.stderr.read() == ""
    finally:
        process.kill()
        process.wait()
        process.stderr.close()
