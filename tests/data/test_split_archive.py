"""The released HM-World's archive in parts: read as one stream, gone on with, and refused where it is not whole."""

import io
import tarfile

import numpy as np
import pytest

from clips import hand_made_clip
from outofsight.cli import main
from outofsight.data.dataset import open_dataset
from outofsight.data.sample import write_sample
from outofsight.data.shards import read_shard, write_shards
from outofsight.data.split_archive import find_parts, import_archive, samples_in
from outofsight.errors import DatasetError

HM_FILES = (
    "cond.mp4",
    "tgt.mp4",
    "cond_mask.mp4",
    "tgt_mask.mp4",
    "camera.json",
    "character.json",
    "check.json",
)
NAMES = ("0001_park", "0002_park", "0003_street")


@pytest.fixture
def parts(tmp_path):
    """Three samples in one .tar.gz of three parts, captions last."""
    whole = io.BytesIO()
    with tarfile.open(fileobj=whole, mode="w:gz") as archive:
        for number, name in enumerate(NAMES):
            write_sample(tmp_path / "made" / name, hand_made_clip(name, seed=number))
            for file in HM_FILES:
                archive.add(tmp_path / "made" / name / file, f"HM-World/videos/{name}/{file}")
        text = "".join(f"{name}\tA white square, {name}.\n" for name in NAMES).encode()
        header = tarfile.TarInfo("HM-World/captions.txt")
        header.size = len(text)
        archive.addfile(header, io.BytesIO(text))
    folder, content = tmp_path / "released", whole.getvalue()
    folder.mkdir()
    third = len(content) // 3 + 1
    for index, suffix in enumerate(("aa", "ab", "ac")):
        (folder / f"HM-World_{suffix}").write_bytes(content[index * third : (index + 1) * third])
    return folder


def test_samples_come_as_they_were_published(parts, tmp_path):
    out = tmp_path / "data" / "train"
    out.mkdir(parents=True)
    assert list(import_archive(find_parts(parts), out)) == [(name, "new") for name in NAMES]
    clips = open_dataset(tmp_path / "data")
    assert [clip.name for clip in clips] == list(NAMES)
    assert clips[1].caption == "A white square, 0002_park."
    assert clips[0].cameras.intrinsics is None
    (tmp_path / "data" / "lens.json").write_text('{"fov_x_deg": 70.0}')
    assert np.degrees(clips[0].cameras.intrinsics.fov_x_rad) == pytest.approx(70)
    (tmp_path / "data" / "lens.json").write_text("{}")
    with pytest.raises(DatasetError, match="fov_x_deg"):
        clips[0]


def test_shards_of_what_was_imported(parts, tmp_path):
    (tmp_path / "data").mkdir()
    list(import_archive(find_parts(parts), tmp_path / "data"))
    (shard,) = write_shards(open_dataset(tmp_path / "data").entries, tmp_path / "shards")
    read = list(read_shard(shard))
    assert [clip.caption for clip in read] == [f"A white square, {name}." for name in NAMES]
    assert (read[2].video == open_dataset(tmp_path / "data")[2].video).all()


def test_an_import_goes_on(parts, tmp_path):
    (tmp_path / "data").mkdir()
    assert len(list(import_archive(find_parts(parts), tmp_path / "data", limit=2))) == 2
    made = (tmp_path / "data" / NAMES[0] / "cond.mp4").stat().st_mtime_ns
    outcomes = [
        outcome for _, outcome in import_archive(find_parts(parts / "HM-World_ab"), tmp_path / "data")
    ]
    assert outcomes == ["there", "there", "new"]
    assert (tmp_path / "data" / NAMES[0] / "cond.mp4").stat().st_mtime_ns == made


def test_a_cut_archive_keeps_whole_samples_alone(parts, tmp_path):
    last = parts / "HM-World_ac"
    last.write_bytes(last.read_bytes()[:200])
    (tmp_path / "data").mkdir()
    with pytest.raises(DatasetError, match="cut short or damaged") as caught:
        list(import_archive(find_parts(parts), tmp_path / "data"))
    assert "\n" not in str(caught.value)
    for folder in (tmp_path / "data").iterdir():
        assert {path.name for path in folder.iterdir()} == set(HM_FILES)


@pytest.mark.parametrize(
    ("gone", "said"), [("ab", "missing after HM-World_aa"), ("aa", "first part is missing")]
)
def test_a_missing_part(parts, gone, said):
    (parts / f"HM-World_{gone}").unlink()
    with pytest.raises(DatasetError, match=said):
        find_parts(parts)


def test_what_is_no_such_archive(parts, tmp_path):
    (tmp_path / "empty").mkdir()
    for place in (tmp_path / "empty", tmp_path / "nowhere", parts.parent / "made" / NAMES[0] / "cond.mp4"):
        with pytest.raises(DatasetError):
            find_parts(place)
    (tmp_path / "other_aa").write_bytes(b"no archive" * 100)
    with pytest.raises(DatasetError, match="damaged"):
        list(samples_in([tmp_path / "other_aa"]))
    with tarfile.open(tmp_path / "flat_aa", "w") as archive:
        archive.add(parts.parent / "made" / NAMES[0] / "cond.mp4", "../cond.mp4")
    with pytest.raises(DatasetError, match="lies in no folder"):
        list(samples_in([tmp_path / "flat_aa"]))


def test_what_is_no_archive_leaves_no_folder(tmp_path, monkeypatch, capsys):
    (tmp_path / "HM-World_aa").write_bytes(b"no archive" * 100)
    command = ["data", "import-hm-world", str(tmp_path / "HM-World_aa"), "--out", str(tmp_path / "out")]
    monkeypatch.setattr("sys.argv", ["outofsight", *command])
    with pytest.raises(SystemExit) as stopped:
        main()
    assert (stopped.value.code, "damaged" in capsys.readouterr().err) == (2, True)
    assert [path.name for path in tmp_path.iterdir()] == ["HM-World_aa"]
