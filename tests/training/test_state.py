"""States on disk: exact, whole or absent, named when damaged."""

import pytest
import torch

from outofsight.errors import CheckpointError
from outofsight.files import remove_unfinished
from outofsight.training.state import State, finished_states, load_latest_state, load_state, save_state


def state(step, seed=0):
    generator = torch.Generator().manual_seed(seed)
    tensors = {
        "weights/large": torch.randn(300, 7, generator=generator),
        "weights/scalar": torch.tensor(3.5),
        "ema/half": torch.randn(5, generator=generator).bfloat16(),
        "first_moment/empty": torch.zeros(0, 4),
    }
    return State(facts={"step": step, "samples_seen": 4 * step}, tensors=tensors)


@pytest.mark.parametrize("shard_mb", [0.001, 0.003, 100.0])
def test_what_is_saved_is_loaded(tmp_path, shard_mb):
    save_state(tmp_path, state(3), shard_mb=shard_mb, keep=1)
    files = list(tmp_path.glob("state-*/tensors-*"))
    assert max(file.stat().st_size for file in files) <= shard_mb * 10**6
    loaded = load_latest_state(tmp_path)
    assert loaded.facts == state(3).facts
    for name, tensor in state(3).tensors.items():
        assert loaded.tensors[name].dtype == tensor.dtype
        assert torch.equal(loaded.tensors[name], tensor)
    assert set(loaded.group("weights")) == {"large", "scalar"}


def test_a_state_half_written_is_no_state(tmp_path):
    save_state(tmp_path, state(1), shard_mb=1, keep=5)
    (tmp_path / ".unfinished-1-state-00000002").mkdir()
    (tmp_path / "state-00000003").mkdir()  # no manifest: not finished
    assert load_latest_state(tmp_path).step == 1
    save_state(tmp_path, state(4), shard_mb=1, keep=5)
    assert not list(tmp_path.glob(".unfinished*"))


def test_a_state_whose_end_is_cut_short_is_no_state(tmp_path, monkeypatch):
    save_state(tmp_path, state(1), shard_mb=1, keep=1)
    with monkeypatch.context() as killed:
        killed.setattr("outofsight.files.shutil.rmtree", lambda *_, **__: None)
        save_state(tmp_path, state(2), shard_mb=1, keep=1)
    assert [path.name for path in finished_states(tmp_path)] == ["state-00000002"]
    remove_unfinished(tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == ["state-00000002"]


def test_the_same_step_again_takes_the_place_of_the_first(tmp_path):
    save_state(tmp_path, state(1, seed=0), shard_mb=1, keep=2)
    save_state(tmp_path, state(1, seed=1), shard_mb=1, keep=2)
    assert len(finished_states(tmp_path)) == 1
    assert torch.equal(
        load_latest_state(tmp_path).tensors["weights/large"], state(1, seed=1).tensors["weights/large"]
    )
    assert not list(tmp_path.glob(".unfinished*"))


def test_damage_is_named_with_the_way_out(tmp_path):
    save_state(tmp_path, state(1), shard_mb=1, keep=2)
    path = save_state(tmp_path, state(2), shard_mb=1, keep=2)
    file = path / "tensors-00000.safetensors"
    content = bytearray(file.read_bytes())
    content[-1] ^= 1
    file.write_bytes(bytes(content))
    with pytest.raises(
        CheckpointError, match=r"tensors-00000\.safetensors: its checksum differs.*remove .*00000002"
    ):
        load_latest_state(tmp_path)
    file.unlink()
    with pytest.raises(CheckpointError, match="the state cannot be read"):
        load_state(path)
    assert load_state(finished_states(tmp_path)[0]).step == 1
