"""Which clips are judged, and why each is a test clip."""

import numpy as np
import pytest

from outofsight.data.sample import write_sample
from outofsight.data.video import write_video
from outofsight.errors import DatasetError, InputError
from outofsight.evaluation.clips import dataset_clips, groups_of, video_clips, videos_of
from small_world import square_clip, write_small_dataset


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    return write_small_dataset(tmp_path_factory.mktemp("data"))


def test_groups_say_why_a_clip_is_held_out(data):
    clips = dataset_clips(data, None)
    assert groups_of(clips) == {
        "held-out scene": ["clip_000000"],
        "held-out subject": ["clip_000001"],
        "unseen seed": ["clip_000002"],
    }


def test_a_part_can_be_named_by_its_folder(data):
    assert [clip.group for clip in dataset_clips(data / "test", None)] == [
        clip.group for clip in dataset_clips(data, "test")
    ]


def test_limit_takes_the_first(data):
    assert [clip.name for clip in dataset_clips(data, None, limit=2)] == ["clip_000000", "clip_000001"]


def test_donors_are_of_another_kind_and_do_not_depend_on_the_limit(data):
    first, second, third = dataset_clips(data, None)
    assert [donor.name for donor in first.donors] == ["clip_000001"]
    assert [donor.name for donor in second.donors] == ["clip_000002", "clip_000000"]
    assert [donor.name for donor in third.donors] == ["clip_000001"]
    assert dataset_clips(data, None, limit=1)[0].donors == first.donors


def test_a_clip_is_read_with_all_that_is_known(data):
    sample = dataset_clips(data, None)[1].read()
    assert sample.caption == "A blue cube slides by."
    assert sample.case.subject_names == ("blue cube",)
    assert sample.case.num_context_frames == 9


def test_without_a_test_part_one_must_be_named(tmp_path):
    write_sample(tmp_path / "validation" / "clip_000000", square_clip("clip_000000"))
    with pytest.raises(InputError, match="no test part; name one by --split"):
        dataset_clips(tmp_path, None)
    assert dataset_clips(tmp_path, "validation")[0].group == "validation"
    with pytest.raises(DatasetError, match="has no test part"):
        dataset_clips(tmp_path, "test")


def test_videos_by_themselves(tmp_path):
    frames = np.random.default_rng(0).integers(0, 256, (6, 16, 16, 3), dtype=np.uint8)
    write_video(tmp_path / "b10.mp4", frames, 8)
    write_video(tmp_path / "b2.mp4", frames, 8)
    clips = video_clips(tmp_path, num_context_frames=2)
    assert [clip.name for clip in clips] == ["b2", "b10"]
    case = clips[0].read().case
    assert (len(case.context), len(case.truth)) == (2, 4)
    assert case.foreground is None
    alone = video_clips(tmp_path)[0].read().case
    assert len(alone.truth) == 6


def test_nothing_left_after_the_context(tmp_path):
    write_video(tmp_path / "a.mp4", np.zeros((4, 16, 16, 3), np.uint8), 8)
    with pytest.raises(InputError, match="nothing is left"):
        video_clips(tmp_path, num_context_frames=4)[0].read()


def test_two_videos_for_one_clip(tmp_path):
    for name in ("a.mp4", "a.mkv"):
        (tmp_path / name).write_bytes(b"")
    with pytest.raises(InputError, match="both for clip a"):
        videos_of(tmp_path)


def test_no_videos(tmp_path):
    with pytest.raises(InputError, match="expected videos"):
        video_clips(tmp_path)
    with pytest.raises(InputError, match="expected a folder of videos"):
        video_clips(tmp_path / "nowhere")
