"""Building a data set: the same bytes whoever makes it and however often it is stopped."""

import errno
import hashlib
import json
import os
import signal
import subprocess
import sys
import time
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.clips import HandMaker

from outofsight.data.build import BuildConfig, build_dataset, take_gpu
from outofsight.data.card import absences, dataset_stats, draw_stats, summary
from outofsight.data.check import check_dataset
from outofsight.data.dataset import SplitShares, clip_job, open_dataset
from outofsight.data.shards import read_shard, write_shards
from outofsight.errors import DatasetError, InputError, OutputError, WorldError

ROOT = Path(__file__).parents[2]


def config(**changes):
    return BuildConfig(**{"num_clips": 12, "seed": 5, "recipe": {"of": "hand"}, **changes})


def digests(folder):
    """Map every file of a folder to a digest of its bytes."""
    files = sorted(path for path in folder.rglob("*") if path.is_file())
    return {str(path.relative_to(folder)): hashlib.sha256(path.read_bytes()).hexdigest() for path in files}


@pytest.fixture(scope="module")
def built(tmp_path_factory):
    folder = tmp_path_factory.mktemp("data") / "set"
    seen = []
    report = build_dataset(
        folder, HandMaker(), config(), progress=lambda done, total, name: seen.append((done, total))
    )
    assert seen == [(done, 12) for done in range(1, 13)]
    assert (report.num_clips, report.num_found, report.num_drawn, report.num_rendered) == (12, 0, 48, 12)
    return folder


def test_everything_is_there_and_sound(built):
    dataset = open_dataset(built)
    assert len(dataset) == 12
    assert {clip.name for clip in dataset} == {f"clip_{index:06d}" for index in range(12)}
    assert [clip.name for clip in dataset[1:3]] == [entry.name for entry in dataset.entries[1:3]]
    report = check_dataset(built)
    assert report.findings == ()
    assert report.mean_box_iou == 1.0
    for split in ("train", "validation", "test"):
        names = {entry.name for entry in open_dataset(built, split).entries}
        lines = (built / split / "caption.txt").read_text().splitlines()
        assert {line.split("\t")[0] for line in lines} == names


def test_two_workers_make_the_same_bytes(built, tmp_path):
    build_dataset(tmp_path / "set", HandMaker(), config(workers=2))
    assert digests(tmp_path / "set") == digests(built)


KILLED = """
import sys
from pathlib import Path
from outofsight.data.build import BuildConfig, build_dataset
from tests.clips import HandMaker
if __name__ == "__main__":
    workers = int(sys.argv[2])
    build_dataset(
        Path(sys.argv[1]), HandMaker(delay_s=0.15),
        BuildConfig(num_clips=12, seed=5, recipe={"of": "hand"}, workers=workers),
    )
"""


@pytest.mark.parametrize("workers", [1, 2])
def test_a_killed_build_goes_on_to_the_same_bytes(built, tmp_path, workers):
    folder, script = tmp_path / "set", tmp_path / "build.py"
    script.write_text(KILLED)
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join([str(ROOT), os.environ.get("PYTHONPATH", "")])}
    process = subprocess.Popen([sys.executable, str(script), str(folder), str(workers)], env=environment)
    deadline = time.monotonic() + 60
    while len(list(folder.glob("*/clip_*"))) < 3:
        assert time.monotonic() < deadline
        time.sleep(0.02)
    os.kill(process.pid, signal.SIGKILL)
    process.wait()
    time.sleep(0.4 * (workers > 1))  # the workers see that their parent is gone
    finished = len(list(folder.glob("*/clip_*")))
    assert 3 <= finished < 12
    time.sleep(0.4 * (workers > 1))
    assert len(list(folder.glob("*/clip_*"))) == finished  # nobody works on for the dead
    report = build_dataset(folder, HandMaker(), config())
    assert report.num_found == finished
    assert digests(folder) == digests(built)


def test_a_set_can_grow(built, tmp_path):
    build_dataset(tmp_path / "set", HandMaker(), config(num_clips=7))
    report = build_dataset(tmp_path / "set", HandMaker(), config())
    assert report.num_found == 7
    assert digests(tmp_path / "set") == digests(built)


def test_another_set_is_not_mixed_in(built):
    before = digests(built)
    with pytest.raises(DatasetError, match="made with another recipe"):
        build_dataset(built, HandMaker(), config(recipe={"of": "machine"}))
    with pytest.raises(DatasetError, match="made with another seed, shares"):
        build_dataset(built, HandMaker(), config(seed=6, shares=SplitShares(validation=0.0)))
    assert digests(built) == before


def test_a_folder_with_other_things_is_left_alone(tmp_path):
    (tmp_path / "thesis.txt").write_text("important")
    with pytest.raises(DatasetError, match=r"is not empty and holds no dataset\.json"):
        build_dataset(tmp_path, HandMaker(), config())
    assert [path.name for path in tmp_path.iterdir()] == ["thesis.txt"]


@pytest.mark.parametrize("workers", [1, 2])
def test_a_clip_that_fails_costs_nothing_that_was_finished(tmp_path, workers):
    with pytest.raises(WorldError, match="clip_000006 cannot be made"):
        build_dataset(tmp_path / "set", HandMaker(fails_at=6), config(workers=workers))
    kept = len(list((tmp_path / "set").glob("*/clip_*")))
    assert kept >= 6
    assert not list((tmp_path / "set").rglob(".unfinished*"))
    assert build_dataset(tmp_path / "set", HandMaker(), config()).num_found == kept


def test_a_disk_that_fills_up_is_said(tmp_path, monkeypatch):
    real, calls = np.savez_compressed, []

    def full(*arguments, **arrays):
        calls.append(1)
        if len(calls) == 4:
            raise OSError(errno.ENOSPC, "No space left on device")
        real(*arguments, **arrays)

    monkeypatch.setattr(np, "savez_compressed", full)
    with pytest.raises(
        OutputError, match="disk is full; free some space and run again, finished work is kept"
    ):
        build_dataset(tmp_path / "set", HandMaker(), config())
    assert len(list((tmp_path / "set").glob("*/clip_*"))) == 3
    assert not list((tmp_path / "set").rglob(".unfinished*"))


def test_an_unwritable_folder_is_said(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(OutputError, match="could not be written"):
        build_dataset(tmp_path / "file" / "set", HandMaker(), config())


@pytest.mark.parametrize(
    ("changes", "says"), [({"num_clips": 0}, "≥ 1 clip, got 0"), ({"workers": 0}, "≥ 1 worker, got 0")]
)
def test_impossible_builds_are_refused(changes, says):
    with pytest.raises(DatasetError, match=says):
        config(**changes)


def test_a_cluster_without_ray_is_said(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "ray", None)
    with pytest.raises(InputError, match=r"needs Ray; install it: pip install 'outofsight\[cluster\]'"):
        build_dataset(tmp_path / "set", HandMaker(), config(cluster=True))


@pytest.mark.filterwarnings("ignore")  # Ray's own
def test_a_cluster_makes_the_same_bytes(built, tmp_path):
    ray = pytest.importorskip("ray", reason="Ray is an optional extra")
    ray.init(num_cpus=2, include_dashboard=False, log_to_driver=False)  # Ray on this machine alone
    try:
        build_dataset(tmp_path / "set", HandMaker(), config(cluster=True))
        with pytest.raises(WorldError, match="clip_000006 cannot be made"):
            build_dataset(tmp_path / "other", HandMaker(fails_at=6), config(cluster=True))
    finally:
        ray.shutdown()
    assert digests(tmp_path / "set") == digests(built)


def test_the_card_counts_what_is_there(built):
    card = (built / "README.md").read_text()
    assert "12 clips of 6 context and 5 target frames at 15 frames a second, 32×48 px." in card
    assert "Acceptance: 12 clips of 48 drawn worlds (25.0%)" in card
    for part in (
        "| void | 12 |",
        "| white square | 12 |",
        "| still | 12 |",
        "subjects[].velocity_m_s",
        '"of": "hand"',
    ):
        assert part in card, part


def test_stats_count_absences_and_returns(built, tmp_path):
    stats = dataset_stats(built)
    assert stats.hidden_frames == (4,) * 12
    assert stats.reentry_frames == (2,) * 12
    assert stats.subjects == Counter({"white square": 12})
    counted = summary(stats)
    assert counted["absences"] == {"n": 12, "min": 4, "median": 4.0, "max": 4}
    assert counted["worlds_drawn"] == 48
    assert sum(counted["parts"].values()) == 12
    draw_stats(stats, tmp_path / "stats.png")
    assert (tmp_path / "stats.png").read_bytes()[:4] == b"\x89PNG"
    assert [absences(subject) for subject in open_dataset(built)[0].subjects] == [[(4, 8)]]


def test_shards_hold_the_same_clips(built, tmp_path):
    entries = open_dataset(built).entries
    shards = write_shards(entries, tmp_path / "shards", samples_per_shard=5)
    assert [path.name for path in shards] == [f"shard-{index:06d}.tar" for index in range(3)]
    packed = [clip for shard in shards for clip in read_shard(shard)]
    assert [clip.name for clip in packed] == [entry.name for entry in entries]
    assert (packed[3].video == entries[3].read().video).all()
    write_shards(entries, tmp_path / "again", samples_per_shard=5)
    assert digests(tmp_path / "again") == digests(tmp_path / "shards")
    with pytest.raises(DatasetError, match="exists already"):
        write_shards(entries, tmp_path / "shards")
    shards[0].write_bytes(shards[0].read_bytes()[:5000])
    with pytest.raises(DatasetError, match="sample clip_000000 is damaged"):
        list(read_shard(shards[0]))


def test_check_finds_leftovers_and_held_out_subjects_in_training(built, tmp_path):
    build_dataset(
        tmp_path / "set", HandMaker(), config(num_clips=3, shares=SplitShares(validation=0, test=0))
    )
    path = tmp_path / "set" / "train" / "clip_000001" / "annotation.json"
    record = json.loads(path.read_text())
    record["extra"]["held_out"] = {"scene": True, "subjects": []}
    path.write_text(json.dumps(record))
    (tmp_path / "set" / "train" / ".unfinished-1-clip_000009").mkdir()
    report = check_dataset(tmp_path / "set")
    findings = {(finding.sample, finding.message.split(" in ")[0]) for finding in report.findings}
    assert ("clip_000001", "held-out scene or subject") in findings
    assert ("train/.unfinished-1-clip_000009", "left over from a build that was stopped") in findings


@given(st.integers(0, 10**6), st.integers(1, 1000))
def test_any_run_of_clips_is_shared_out_evenly(begin, length):
    shares = SplitShares(validation=0.1, test=0.2)
    splits = Counter(clip_job(index, 0, shares).split for index in range(begin, begin + length))
    assert abs(splits["validation"] - 0.1 * length) <= 6
    assert abs(splits["test"] - 0.2 * length) <= 6


def test_held_out_scenes_and_subjects_are_cast_in_the_test_part_alone():
    jobs = [clip_job(index, 3, SplitShares()) for index in range(3000)]
    assert {job.casting for job in jobs if job.split != "test"} == {"known"}
    castings = Counter(job.casting for job in jobs if job.split == "test")
    assert set(castings) == {"known", "held_out_scene", "held_out_subjects"}
    assert min(castings.values()) > 90
    assert len({job.seed for job in jobs}) == 3000


def test_shares_must_leave_room():
    with pytest.raises(DatasetError, match="together ≤ 1"):
        SplitShares(validation=0.7, test=0.7)


@pytest.mark.parametrize(
    ("reported", "seen"), [("2,3", ["2", "3", "2"]), (None, ["0", "1", "0"]), ("1", ["1"] * 3)]
)
def test_each_worker_sees_a_gpu_of_its_own(reported, seen, tmp_path, monkeypatch):
    for name in ("0000:01:00.0", "0000:02:00.0"):
        (tmp_path / name).mkdir()
    monkeypatch.setattr("outofsight.data.build.GPUS", tmp_path)
    found = []
    for worker in range(3):
        monkeypatch.setenv("CUDA_VISIBLE_DEVICES", reported or "")
        take_gpu(worker, 3)
        found.append(os.environ["CUDA_VISIBLE_DEVICES"])
    assert found == seen
