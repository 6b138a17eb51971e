"""Many processes give what one gives; a worker that dies, or a task that fails, is one clear error."""

import os
import signal
import subprocess
import sys
import time
from importlib.util import find_spec
from types import SimpleNamespace

import pytest

from outofsight.data.workers import run_tasks
from outofsight.errors import InputError, OutputError, VideoError


def squared(number):
    if number < 0:
        raise VideoError(f"{number} has no frames")
    return number * number


def dies(number):
    if number == 1:
        os._exit(3)
    time.sleep(0.1)
    return number


@pytest.mark.parametrize("workers", [1, 2])
def test_every_task_has_its_result_until_one_fails(workers):
    assert sorted(run_tasks(squared, [3], workers=workers)) == [9]
    results = run_tasks(squared, [*range(7), -3], workers=workers)
    assert next(results) in {n * n for n in range(7)}
    with pytest.raises(VideoError, match="-3 has no frames"):
        list(results)


def test_a_worker_that_ends_is_said():
    with pytest.raises(OutputError, match="a worker process ended unexpectedly"):
        list(run_tasks(dies, range(3), workers=2))


def test_no_workers():
    with pytest.raises(InputError, match="≥ 1 worker"):
        run_tasks(squared, [1], workers=0)


@pytest.mark.skipif(find_spec("ray") is not None, reason="Ray is installed here")
def test_without_ray():
    with pytest.raises(InputError, match="needs Ray; install it"):
        run_tasks(squared, [1], cluster=True)


def test_ctrl_c_is_for_the_one_who_waits(tmp_path):
    """A terminal sends it to all processes; workers print no tracebacks of their own."""
    script = tmp_path / "script.py"
    script.write_text(
        "import signal, sys, time\nfrom outofsight.data.workers import run_tasks\n"
        "def main():\n"
        "    signal.signal(signal.SIGINT, signal.default_int_handler)\n"  # a job in the background has none
        "    try:\n"
        "        for _ in run_tasks(time.sleep, [0.05] * 1000, workers=2): print('done', flush=True)\n"
        "    except KeyboardInterrupt: sys.exit(130)\n"
        "if __name__ == '__main__': main()\n"
    )
    process = subprocess.Popen([sys.executable, script], stdout=subprocess.PIPE, stderr=subprocess.PIPE,
                               start_new_session=True)  # fmt: skip
    assert process.stdout.readline() == b"done\n"
    os.killpg(process.pid, signal.SIGINT)
    assert (process.communicate()[1], process.returncode) == (b"", 130)


@pytest.mark.parametrize(("gpus", "on_gpus", "each"), [(2, True, 1), (2, False, 0), (0, True, 0)])
def test_a_task_of_a_cluster_asks_for_a_gpu_where_there_are_any(gpus, on_gpus, each, monkeypatch):
    asked = []

    def remote(**resources):
        asked.append(resources)
        return lambda work: SimpleNamespace(remote=work)

    cluster = SimpleNamespace(
        is_initialized=lambda: True, cluster_resources=lambda: {"GPU": gpus}, remote=remote,
        wait=lambda pending, num_returns: (pending[:1], pending[1:]), get=lambda result: result,
        exceptions=SimpleNamespace(RayTaskError=RuntimeError),
    )  # fmt: skip
    monkeypatch.setattr("outofsight.data.workers._ray", lambda: cluster)
    assert list(run_tasks(squared, range(3), cluster=True, on_gpus=on_gpus)) == [0, 1, 4]
    assert asked == [{"num_cpus": 1, "num_gpus": each}]
