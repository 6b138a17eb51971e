"""One sample on disk: written and read back the same, HM-World's files beside ours, damage named."""

import json
import os
import shutil
import subprocess
from dataclasses import replace

import numpy as np
import pytest
from tests.clips import NUM_CONTEXT, NUM_TARGET, hand_made_clip

from outofsight.data.annotation import FIELDS, annotate
from outofsight.data.check import check_sample
from outofsight.data.dataset import SampleEntry, open_dataset, read_captions
from outofsight.data.hm_world import read_hm_world_sample
from outofsight.data.sample import REQUIRED_FILES, characters, read_sample, write_sample
from outofsight.errors import CameraError, DatasetError, OutOfSightError, OutputError
from outofsight.geometry.camera_files import read_cameras
from outofsight.types import Visibility


@pytest.fixture
def clip():
    return hand_made_clip()


@pytest.fixture
def folder(tmp_path, clip):
    write_sample(tmp_path / clip.name, clip)
    return tmp_path / clip.name


def test_a_sample_comes_back_as_it_was(folder, clip):
    back = read_sample(folder)
    assert (back.name, back.caption, back.fps, back.num_context_frames) == (
        clip.name,
        clip.caption,
        15.0,
        NUM_CONTEXT,
    )
    assert (back.masks == clip.masks).all()
    assert back.masks_are_instances
    assert (back.cameras.world_from_camera == clip.cameras.world_from_camera).all()
    assert back.cameras.intrinsics == clip.cameras.intrinsics
    assert back.extra == clip.extra
    (subject,), (before,) = back.subjects, clip.subjects
    for part in ("visibility", "world_from_subject", "velocity_m_s", "box_px"):
        assert np.array_equal(getattr(subject, part), getattr(before, part), equal_nan=True), part
    difference = np.abs(back.video.astype(int) - clip.video)
    assert difference.mean() < 4  # H.264 is lossy


def test_depth_is_kept_on_request(tmp_path):
    write_sample(tmp_path / "deep", hand_made_clip(depth=True))
    depth = read_sample(tmp_path / "deep").depth_m
    assert set(np.unique(depth)) == {2.0, np.inf}
    assert read_sample(tmp_path / "deep", with_depth=False).depth_m is None
    write_sample(tmp_path / "flat", hand_made_clip())
    assert not (tmp_path / "flat" / "depth.npz").exists()


def test_the_layout_is_that_of_hm_world(folder, clip):
    assert set(REQUIRED_FILES) == {path.name for path in folder.iterdir()}
    cameras = read_cameras(folder / "camera.json")
    assert (len(cameras.context), len(cameras.target)) == (NUM_CONTEXT, NUM_TARGET)
    assert cameras.target.world_from_camera == pytest.approx(clip.cameras.world_from_camera[NUM_CONTEXT:])
    events = json.loads((folder / "check.json").read_text())
    assert events == {
        "cond_check": {
            "actor_1": {"1_white_square": [{"frame": 0, "inFrame": True}, {"frame": 4, "inFrame": False}]}
        },
        "tgt_check": {
            "actor_1": {"1_white_square": [{"frame": 0, "inFrame": False}, {"frame": 2, "inFrame": True}]}
        },
    }
    places = characters(clip)
    x, y, z = clip.subjects[0].world_from_subject[NUM_CONTEXT, :, 3]
    assert places["tgt_character"]["1_white_square"]["0"] == pytest.approx([100 * x, -100 * y, 100 * z])
    assert len(places["cond_character"]["1_white_square"]) == NUM_CONTEXT


def test_the_same_clip_gives_the_same_bytes(tmp_path, folder, clip):
    write_sample(tmp_path / "again", clip)
    for name in REQUIRED_FILES:
        assert (tmp_path / "again" / name).read_bytes() == (folder / name).read_bytes(), name


def test_every_field_of_the_annotation_is_documented(clip):
    documented = {part for key in FIELDS for part in key.replace("subjects[].", "").split(", ")}
    record = annotate(clip)
    assert set(record) - {"subjects"} <= documented
    assert set(record["subjects"][0]) <= documented


def test_the_hm_world_reader_reads_our_samples_too(folder, clip):
    for name in ("annotation.json", "instances.npz"):
        (folder / name).unlink()
    back = read_hm_world_sample(folder, "a caption")
    assert back.caption == "a caption"
    assert not back.masks_are_instances
    assert ((back.masks == 255) == (clip.masks > 0)).all()
    assert back.cameras.world_from_camera == pytest.approx(clip.cameras.world_from_camera)
    assert (back.subjects[0].visibility == clip.subjects[0].visibility).all()
    assert back.subjects[0].world_from_subject is None
    assert set(back.extra["character"]) == {"cond_character", "tgt_character"}


def test_events_before_the_first_one_are_its_opposite(folder):
    for name in ("annotation.json", "instances.npz"):
        (folder / name).unlink()
    content = {
        "cond_check": {"a": {"cat": [{"frame": 3, "inFrame": False}]}},
        "tgt_check": {"a": {"cat": [{"frame": 2, "inFrame": True}]}},
    }
    (folder / "check.json").write_text(json.dumps(content))
    (cat,) = read_hm_world_sample(folder, "").subjects
    assert (cat.visibility == Visibility.VISIBLE).tolist() == [True] * 3 + [False] * 5 + [True] * 3


@pytest.mark.parametrize(
    ("content", "says"),
    [
        ({"cond_check": {}}, "expected tgt_check"),
        (
            {"cond_check": {"a": {"b": [{"frame": 99, "inFrame": True}]}}, "tgt_check": {}},
            "event at frame 99 of 6",
        ),
        ({"cond_check": {"a": [3]}, "tgt_check": {}}, "expected cond_check as"),
    ],
)
def test_a_malformed_check_file_is_named(folder, content, says):
    (folder / "check.json").write_text(json.dumps(content))
    with pytest.raises(DatasetError, match=says):
        read_hm_world_sample(folder, "")


def damage(path, how):
    if how == "missing":
        path.unlink()
    elif how == "cut":
        path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    else:
        path.write_bytes(b"nonsense")


@pytest.mark.parametrize("how", ["missing", "cut", "nonsense"])
@pytest.mark.parametrize("name", [name for name in REQUIRED_FILES if name != "caption.txt"])
def test_damage_is_found_and_named(folder, name, how):
    damage(folder / name, how)
    findings = list(check_sample(SampleEntry(folder=folder, is_ours=True)))
    assert any(name in finding for finding in findings), findings


def test_a_sound_sample_has_no_findings(folder):
    ious = []
    assert list(check_sample(SampleEntry(folder=folder, is_ours=True), ious)) == []
    assert ious == [1.0] * 7


@pytest.mark.parametrize(
    ("change", "says"),
    [
        (lambda record: record["subjects"][0]["box_px"].__setitem__(0, [30.0, 8.0, 40.0, 20.0]),
         "reaches out of its box in frame 0"),
        (lambda record: record["subjects"][0]["box_px"].__setitem__(0, None), "has a mask but no box in frame 0"),
        (lambda record: record["subjects"][0]["visibility"].__setitem__(0, 3),
         "out of view in frame 0, but its mask is there"),
        (lambda record: record["world_from_camera"][0].__setitem__(3, 9.0), "camera.json does not agree"),
        (lambda record: record.__setitem__("caption", "another"), "caption.txt"),
        (lambda record: record["subjects"][0].__setitem__("id", 2), "ids [1] of no subject"),
        (lambda record: record.__setitem__("version", 7), "version 1, got 7"),
        (lambda record: record["subjects"][0].__setitem__("visibility", [9] * 11), "visibility holds values"),
        (lambda record: record.pop("num_target_frames"), "num_target_frames"),
    ],
)  # fmt: skip
def test_disagreement_is_found_and_named(folder, change, says):
    record = json.loads((folder / "annotation.json").read_text())
    change(record)
    (folder / "annotation.json").write_text(json.dumps(record))
    assert any(says in finding for finding in check_sample(SampleEntry(folder=folder, is_ours=True)))


def test_a_clip_without_instances_cannot_be_written(tmp_path, clip):
    with pytest.raises(DatasetError, match="instance masks are needed"):
        write_sample(tmp_path / "x", replace(clip, masks_are_instances=False))
    assert list(tmp_path.iterdir()) == []


def test_a_folder_that_cannot_be_written_leaves_nothing(tmp_path, clip):
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(OutputError, match="could not be written"):
        write_sample(tmp_path / "file" / "clip", clip)


@pytest.mark.skipif(not shutil.which("mount") or os.geteuid() != 0, reason="needs to mount a tiny disk")
def test_a_full_disk_leaves_nothing_behind(tmp_path):
    """On a disk of 64 kB the sample cannot be finished; what was there before is."""
    disk = tmp_path / "disk"
    disk.mkdir()
    if subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=64k", "tmpfs", disk], capture_output=True, check=False
    ).returncode:
        pytest.skip("mounting is not permitted here")
    try:
        (disk / "kept").write_text("kept")
        big = hand_made_clip()
        noisy = np.random.default_rng(0).integers(0, 255, (11, 256, 256, 3), dtype=np.uint8)
        with pytest.raises(OutOfSightError, match=r"disk is full|cannot be written"):
            write_sample(disk / "clip", _resized(big, noisy))
        assert [path.name for path in disk.iterdir()] == ["kept"]
    finally:
        subprocess.run(["umount", disk], check=True)


def _resized(clip, video):
    cameras = replace(clip.cameras, intrinsics=None)
    return replace(
        clip, video=video, cameras=cameras, masks=np.zeros(video.shape[:3], np.uint8), depth_m=None
    )


def test_captions_by_name_or_in_order(tmp_path):
    path = tmp_path / "caption.txt"
    path.write_text("b\ttwo\na\tone\n")
    assert read_captions(path, ["a", "b"]) == {"a": "one", "b": "two"}
    path.write_text("a: one\nb: two: three\n")
    assert read_captions(path, ["a", "b"]) == {"a": "one", "b": "two: three"}
    path.write_text("The first.\nThe second: it moves.\n")
    assert read_captions(path, ["a", "b"]) == {"a": "The first.", "b": "The second: it moves."}
    path.write_text("only one\n")
    with pytest.raises(DatasetError, match="1 captions for 2 samples"):
        read_captions(path, ["a", "b"])


def test_a_release_folder_is_read_in_natural_order(tmp_path):
    for index in (2, 10, 1):
        write_sample(tmp_path / f"s{index}", hand_made_clip(f"s{index}", seed=index))
        for name in ("annotation.json", "instances.npz", "caption.txt"):
            (tmp_path / f"s{index}" / name).unlink()
    with pytest.raises(DatasetError, match="no caption"):
        open_dataset(tmp_path)[0]
    (tmp_path / "caption.txt").write_text("one\ntwo\nten\n")
    dataset = open_dataset(tmp_path)
    assert [(clip.name, clip.caption) for clip in dataset] == [("s1", "one"), ("s2", "two"), ("s10", "ten")]
    single = open_dataset(tmp_path / "s1")
    assert len(single) == 1


def test_ours_beside_released_samples_keeps_its_annotation(tmp_path):
    for name in ("a", "b"):
        write_sample(tmp_path / name, hand_made_clip(name))
    for name in ("annotation.json", "instances.npz"):
        (tmp_path / "b" / name).unlink()
    (tmp_path / "caption.txt").write_text("one\ntwo\n")
    ours, released = open_dataset(tmp_path)
    assert ours.masks_are_instances
    assert (released.caption, released.masks_are_instances) == ("two", False)


def test_nothing_to_read_is_said(tmp_path):
    with pytest.raises(DatasetError, match="found none"):
        open_dataset(tmp_path / "nowhere")
    with pytest.raises(DatasetError, match="holds no samples"):
        open_dataset(tmp_path)
    with pytest.raises(DatasetError, match="unknown split 'best'"):
        open_dataset(tmp_path, "best")
    with pytest.raises(DatasetError, match="has no test part"):
        open_dataset(tmp_path, "test")


def test_relative_cameras_are_not_enough_for_a_clip(folder):
    twelve = np.eye(4)[:3].ravel().tolist()
    (folder / "camera.json").write_text(
        json.dumps({"context_camera": [twelve] * 2, "video_camera": [twelve] * 2})
    )
    with pytest.raises(CameraError, match="absolute"):
        read_hm_world_sample(folder, "")
