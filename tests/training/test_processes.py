"""Two processes, and a process that is killed."""

import json
import os
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

import pytest
import torch

from outofsight.training.config import to_dict
from outofsight.training.loop import train
from outofsight.training.run_folder import read_log
from outofsight.training.state import finished_states, load_latest_state

WORKER = Path(__file__).with_name("worker.py")


def start(config, data, out, **environment):
    arguments = [json.dumps(to_dict(config)), str(data), str(out)]
    settings = {**os.environ, "OMP_NUM_THREADS": "1", "ACCELERATE_USE_CPU": "true", **environment}
    return subprocess.Popen(
        [sys.executable, WORKER, *arguments], env=settings, stderr=subprocess.PIPE, text=True
    )


def start_several(count, config, data, out, **environment):
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = str(free.getsockname()[1])
    shared = {"WORLD_SIZE": str(count), "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": port, **environment}
    return [start(config, data, out, RANK=str(rank), LOCAL_RANK=str(rank), **shared) for rank in range(count)]


def finish(processes, seconds=240):
    errors = [process.communicate(timeout=seconds)[1] for process in processes]
    assert [process.returncode for process in processes] == [0] * len(processes), errors[0]


@pytest.mark.parametrize("task", ["vae", "world"])
def test_two_processes_train_as_one(task, vae_config, world_config, data, cache, tmp_path):
    """An epsilon above the gradients' rounding keeps AdamW from magnifying it. The VAE's steps leave parts unused."""
    make, source = (vae_config, data) if task == "vae" else (world_config, cache)
    config = make(
        num_steps=3, batch={"size": 4, "accumulation": 2}, optimisation={"epsilon": 1e-4},
        validation={"every_steps": 3},
        task={"single_frame_share": 0.5} if task == "vae" else {},
    )  # fmt: skip
    train(config, source, tmp_path / "one")
    finish(start_several(2, config, source, tmp_path / "two"))
    one, two = (load_latest_state(tmp_path / name / "states") for name in ("one", "two"))
    assert one.tensors.keys() == two.tensors.keys()
    for name, tensor in one.group("weights").items():
        torch.testing.assert_close(two.group("weights")[name], tensor, rtol=1e-3, atol=2e-5, msg=name)
    figure = "validation/psnr" if task == "vae" else "validation/loss"
    first, second = (
        next(line[figure] for line in read_log(tmp_path / name) if figure in line) for name in ("one", "two")
    )
    assert second == pytest.approx(first, rel=1e-4)
    assert (tmp_path / "two" / "processes.txt").read_text() == "2"


@pytest.mark.slow
def test_two_processes_train_and_measure_compiled(world_config, cache, tmp_path):
    config = world_config(num_steps=2, batch={"size": 4, "compile": True}, validation={"every_steps": 2})
    train(
        world_config(num_steps=2, batch={"size": 4}, validation={"every_steps": 2}), cache, tmp_path / "one"
    )
    finish(start_several(2, config, cache, tmp_path / "two", DDP_BUCKET_MB="0.02"))
    first, second = (
        next(line["validation/loss"] for line in read_log(tmp_path / name) if "validation/loss" in line)
        for name in ("one", "two")
    )
    assert second == pytest.approx(first, rel=1e-3)


def test_a_killed_run_goes_on_to_the_same_bits(world_config, cache, tmp_path):
    config = world_config(num_steps=400, state={"every_steps": 5})
    process = start(config, cache, tmp_path / "killed")
    states = tmp_path / "killed" / "states"
    deadline = time.monotonic() + 120
    while not finished_states(states) and time.monotonic() < deadline:
        time.sleep(0.01)
    process.send_signal(signal.SIGKILL)
    process.communicate()
    step = load_latest_state(states).step
    assert 0 < step < 400
    config = world_config(num_steps=step + 7, state={"every_steps": 5})
    train(config, cache, tmp_path / "killed", resume=True)
    train(config, cache, tmp_path / "whole")
    killed, whole = (load_latest_state(tmp_path / name / "states").tensors for name in ("killed", "whole"))
    assert killed.keys() == whole.keys()
    assert [name for name in whole if not torch.equal(whole[name], killed[name])] == []
