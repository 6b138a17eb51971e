"""Real processes with one model cut among them: killed, resumed as another number, with one process's weights."""

import json
import signal
import time

import pytest
import torch
import torch.distributed.checkpoint as dcp
from test_processes import finish, start_several

from outofsight.errors import InputError
from outofsight.training.loop import train
from outofsight.training.state import finished_states, load_latest_state, read_shards

STEPS = 4


def sharded(make, **changes):
    return make(
        num_steps=STEPS, batch={"size": 12, "shard": True}, optimisation={"epsilon": 1e-4},
        state={"every_steps": 1, "keep": 100}, validation={"every_steps": STEPS}, **changes,
    )  # fmt: skip


def weights_of(folder):
    """The weights of a sharded state, read by this one process."""
    state = load_latest_state(folder / "states")
    if state.parts is None:
        return state.group("weights")
    kept = dcp.FileSystemReader(state.parts).read_metadata().state_dict_metadata
    own = {name: torch.zeros(about.size) for name, about in kept.items() if name.startswith("weights/")}
    found = read_shards(state, own)
    return {name.removeprefix("weights/"): value for name, value in found.items()}


def assert_near(one, other):
    assert one.keys() == other.keys()
    for name, value in one.items():
        torch.testing.assert_close(other[name], value, rtol=1e-3, atol=2e-5, msg=name)


@pytest.mark.slow
@pytest.mark.parametrize("count", [2, 4])
def test_one_is_killed_and_three_go_on(count, world_config, cache, tmp_path):
    config = sharded(world_config)
    whole = world_config(
        num_steps=STEPS, batch={"size": 12}, optimisation={"epsilon": 1e-4}, validation={"every_steps": STEPS}
    )
    train(whole, cache, tmp_path / "one")
    out = tmp_path / "cut"
    processes = start_several(count, config, cache, out)
    deadline = time.monotonic() + 240
    while not finished_states(out / "states") and time.monotonic() < deadline:
        time.sleep(0.02)
    processes[-1].send_signal(signal.SIGKILL)
    for process in processes:
        process.kill()  # the others wait for the one that is gone
        process.communicate()
    state = load_latest_state(out / "states")
    assert 0 < state.step < STEPS
    sizes = [path.stat().st_size for path in state.parts.glob("*.distcp")]
    assert len(sizes) == count
    assert max(sizes) < 1.3 * sum(sizes) / count  # each wrote its share
    finish(start_several(3, config, cache, out, RESUME="1"), 600)
    assert (out / "processes.txt").read_text() == "3"
    assert len(list(load_latest_state(out / "states").parts.glob("*.distcp"))) == 3
    assert_near(weights_of(tmp_path / "one"), weights_of(out))
    reported = [
        json.loads(line)["validation/loss"] for folder in ("one", "cut")
        for line in (tmp_path / folder / "log.jsonl").read_text().splitlines() if "validation/loss" in line
    ]  # fmt: skip
    assert reported[0] == pytest.approx(reported[1], rel=1e-3)


@pytest.mark.slow
def test_one_process_goes_on_with_what_two_wrote(world_config, cache, tmp_path):
    finish(start_several(2, sharded(world_config), cache, tmp_path / "run"), 600)
    more = world_config(num_steps=STEPS + 1, batch={"size": 12}, optimisation={"epsilon": 1e-4})
    train(more, cache, tmp_path / "run", resume=True)
    assert load_latest_state(tmp_path / "run" / "states").step == STEPS + 1


def test_one_process_has_nothing_to_cut(world_config, cache, tmp_path):
    with pytest.raises(InputError, match="the only one"):
        train(world_config(batch={"shard": True}, validation={"every_steps": 0}), cache, tmp_path / "run")
    assert not (tmp_path / "run").exists() or not list((tmp_path / "run").iterdir())
