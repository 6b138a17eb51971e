"""An mp4 that grows: whole after every append, the same bytes whether it was interrupted or not."""

import numpy as np
import pytest

from outofsight.data.video import read_video, write_video
from outofsight.errors import OutputError, VideoError
from outofsight.sampling.stream_video import GrowingVideo

FRAMES = np.stack([np.full((32, 48, 3), 10 * index, np.uint8) for index in range(21)])
PORTIONS = (5, 8, 8)


def portions():
    return np.split(FRAMES, np.cumsum(PORTIONS)[:-1])


@pytest.fixture
def whole(tmp_path):
    video = GrowingVideo(tmp_path / "whole.mp4", fps=10)
    for part in portions():
        video.append(part)
    return video


def test_it_can_be_read_after_every_append(tmp_path):
    video = GrowingVideo(tmp_path / "a.mp4", fps=10)
    for count, part in zip(np.cumsum(PORTIONS), portions(), strict=True):
        video.append(part)
        frames, fps = read_video(video.path)
        assert (len(frames), fps) == (count, 10)
        assert np.abs(frames.astype(int) - FRAMES[:count]).max() <= 3
    assert video.num_frames == len(FRAMES)
    assert video.num_bytes == video.path.stat().st_size


def test_a_frame_is_as_in_a_file_written_at_once(whole, tmp_path):
    write_video(tmp_path / "b.mp4", FRAMES, 10)
    grown, written = read_video(whole.path).frames.astype(int), read_video(tmp_path / "b.mp4").frames
    assert np.abs(grown - written).max() <= 3


def test_cut_back_and_gone_on_with_it_is_the_same_file(whole, tmp_path):
    first, second, third = portions()
    video = GrowingVideo(tmp_path / "a.mp4", fps=10)
    video.append(first)
    at = {"num_frames": video.num_frames, "num_bytes": video.num_bytes}
    video.append(FRAMES[::-1][:8])  # another future, and a torn end: as if the writer had been killed
    with video.path.open("ab") as file:
        file.write(b"\x00\x00\x01\x00moof")
    again = GrowingVideo(tmp_path / "a.mp4", fps=10, **at)
    again.append(second)
    again.append(third)
    assert again.path.read_bytes() == whole.path.read_bytes()


@pytest.mark.parametrize("fps", [15, 24, 30000 / 1001])
def test_frames_are_evenly_spaced_at_any_rate(tmp_path, fps):
    import av  # noqa: PLC0415

    video = GrowingVideo(tmp_path / "a.mp4", fps=fps)
    for part in portions():
        video.append(part)
    with av.open(str(video.path)) as container:
        times = [frame.time for frame in container.decode(video=0)]
    np.testing.assert_allclose(times, np.arange(len(FRAMES)) / fps, atol=1e-4)


def test_refusals(whole, tmp_path):
    with pytest.raises(VideoError, match="expected uint8 frames"):
        whole.append(FRAMES.astype(np.float32))
    with pytest.raises(VideoError, match="even height and width"):
        whole.append(FRAMES[:, 1:])
    with pytest.raises(OutputError, match=r"ends in \.mp4"):
        GrowingVideo(tmp_path / "a.avi", fps=10)
    with pytest.raises(OutputError, match="not the file to go on with"):
        GrowingVideo(whole.path, fps=10, num_frames=21, num_bytes=10**6)
    assert len(read_video(whole.path).frames) == len(FRAMES)
