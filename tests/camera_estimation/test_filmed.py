"""What a phone's file says of itself: turned, HDR, of varying rate, odd in size."""

import struct
from fractions import Fraction

import av
import pytest

from outofsight.camera_estimation.estimate import notes_on_file
from outofsight.errors import VideoError
from small_films import HEIGHT, WIDTH, film


def filmed(path, *, times=range(8), curve=None, height=HEIGHT):
    """Write a film as a phone may: frames at ``times`` fifteenths of a second, a transfer curve, of some height."""
    with av.open(str(path), "w") as container:
        stream = container.add_stream("libx264", rate=15)
        stream.width, stream.height, stream.pix_fmt = WIDTH, height, "yuv444p"
        if curve is not None:
            stream.codec_context.color_trc = curve
        for time, frame in zip(times, film(len(times)), strict=True):
            picture = av.VideoFrame.from_ndarray(frame[:height], format="rgb24")
            picture.pts, picture.time_base = time, Fraction(1, 15)
            container.mux(stream.encode(picture))
        container.mux(stream.encode(None))
    return path


def turned(path):
    """Say in the file that it is to be shown turned by a quarter (its display matrix)."""
    plain = struct.pack(">9i", 65536, 0, 0, 0, 65536, 0, 0, 0, 1 << 30)
    quarter = struct.pack(">9i", 0, 65536, 0, -65536, 0, 0, HEIGHT << 16, 0, 1 << 30)
    content = path.read_bytes()
    at = content.index(plain, content.index(b"tkhd"))
    path.write_bytes(content[:at] + quarter + content[at + len(plain) :])
    return path


def test_an_ordinary_file_says_nothing(tmp_path):
    assert notes_on_file(filmed(tmp_path / "a.mp4")) == []


@pytest.mark.parametrize(
    ("make", "said"),
    [
        (lambda path: turned(filmed(path)), "a.mp4 is filmed turned by 90°, and read upright"),
        (lambda path: filmed(path, curve=18), "a.mp4 is HDR (HLG): its colours are read as they are"),
        (lambda path: filmed(path, curve=16), "a.mp4 is HDR (PQ)"),
        (
            lambda path: filmed(path, times=[0, 1, 2, 3, 9, 10, 20, 21]),
            "a.mp4 shows frames of varying length",
        ),
        (lambda path: filmed(path, height=47), "a.mp4 has an odd size (47×64)"),
    ],
)
def test_what_is_unusual_is_said(make, said, tmp_path):
    (note,) = notes_on_file(make(tmp_path / "a.mp4"))
    assert note.startswith(said)


def test_what_is_no_video_is_one_line(tmp_path):
    (tmp_path / "a.mp4").write_bytes(b"no video")
    with pytest.raises(VideoError, match=r"a\.mp4: damaged, cut short or not a video"):
        notes_on_file(tmp_path / "a.mp4")
