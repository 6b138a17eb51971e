"""Video files: what is written is read back, and everything that can be wrong with a file or a folder."""

import os
import resource
import struct
import subprocess
import sys
from contextlib import contextmanager
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest
from numpy.testing import assert_allclose
from PIL import Image

from outofsight.data.video import fit_intrinsics, fit_video, read_video, write_video
from outofsight.errors import InputError, OutputError, VideoError
from outofsight.types import Intrinsics

HEIGHT, WIDTH = 48, 64


def moving_square(num_frames=12, height=HEIGHT, width=WIDTH):
    """A smooth coloured ground over which a light square walks two pixels a frame."""
    rows, columns = np.mgrid[0:height, 0:width]
    ground = np.stack([60 + columns, 40 + 2 * rows, 160 - columns], axis=-1)
    video = np.repeat(ground[None], num_frames, axis=0).clip(0, 255).astype(np.uint8)
    for frame in range(num_frames):
        video[frame, 10:26, 4 + 2 * frame : 20 + 2 * frame] = (236, 228, 210)
    return video


def noise(num_frames, height=HEIGHT, width=WIDTH):
    return np.random.default_rng(0).integers(0, 256, (num_frames, height, width, 3), dtype=np.uint8)


def psnr_db(a, b):
    return 10 * np.log10(255**2 / np.mean((a.astype(float) - b) ** 2))


@pytest.fixture
def video_file(tmp_path):
    path = tmp_path / "clip.mp4"
    write_video(path, moving_square(), fps=15)
    return path


# Reading and writing


def test_what_is_written_is_read_back(video_file):
    frames, fps = read_video(video_file)
    assert frames.shape == (12, HEIGHT, WIDTH, 3)
    assert frames.dtype == np.uint8
    assert fps == 15
    assert psnr_db(frames, moving_square()) > 34


def test_brightness_does_not_drift(tmp_path):
    """Read and written three times, a picture keeps its brightness; a fast conversion loses a level each time."""
    video = moving_square(4)
    for _ in range(3):
        write_video(tmp_path / "again.mp4", video, fps=15)
        video = read_video(tmp_path / "again.mp4").frames
    assert abs(video.astype(float) - moving_square(4)).mean() < 2.5
    brightness = [frames.mean(axis=(0, 1, 2)) @ [0.299, 0.587, 0.114] for frames in (video, moving_square(4))]
    assert_allclose(brightness[0], brightness[1], atol=0.5)


@pytest.mark.parametrize("level", [0, 1, 17, 128, 254, 255])
def test_grey_levels_are_exact_or_next_to_it(tmp_path, level):
    write_video(tmp_path / "grey.mp4", np.full((2, 32, 32, 3), level, np.uint8), fps=15)
    assert abs(read_video(tmp_path / "grey.mp4").frames.astype(int) - level).max() <= 1


def test_quality_is_bought_with_bytes(tmp_path):
    sizes, errors = [], []
    for quality in ("low", "medium", "high"):
        path = tmp_path / f"{quality}.mp4"
        write_video(path, noise(4), fps=15, quality=quality)
        sizes.append(path.stat().st_size)
        errors.append(psnr_db(read_video(path).frames, noise(4)))
    assert sizes == sorted(set(sizes))
    assert errors == sorted(set(errors))


@pytest.mark.parametrize(("height", "width"), [(48, 64), (33, 47)])
def test_lossless_keeps_every_bit_at_any_size(tmp_path, height, width):
    write_video(tmp_path / "mask.mp4", noise(3, height, width), fps=15, quality="lossless")
    assert np.array_equal(read_video(tmp_path / "mask.mp4").frames, noise(3, height, width))


@pytest.mark.parametrize("quality", ["high", "lossless"])
def test_the_same_frames_make_the_same_bytes_in_any_process(tmp_path, quality):
    files = [tmp_path / f"{number}.mp4" for number in range(3)]
    for path in files[:2]:
        write_video(path, moving_square(30), fps=15, quality=quality)
    code = (
        "import sys; sys.path.insert(0, sys.argv[1]); from test_video import moving_square;"
        "from outofsight.data.video import write_video;"
        "write_video(sys.argv[2], moving_square(30), 15, sys.argv[3])"
    )
    arguments = [str(Path(__file__).parent), str(files[2]), quality]
    subprocess.run([sys.executable, "-c", code, *arguments], check=True, timeout=60)
    assert len({path.read_bytes() for path in files}) == 1


def test_players_find_what_they_expect(video_file):
    """H.264, 4:2:0, tagged colours, the index before the pictures, one frame each 1/15 s."""
    with av.open(str(video_file)) as container:
        stream = container.streams.video[0]
        context = stream.codec_context
        assert (context.name, context.pix_fmt, context.profile) == ("h264", "yuv420p", "High")
        assert (context.color_range, context.colorspace, context.color_primaries) == (1, 6, 1)
        assert (stream.frames, stream.average_rate) == (12, 15)
        times = [
            packet.pts * packet.time_base for packet in container.demux(stream) if packet.pts is not None
        ]
    assert_allclose(sorted(map(float, times)), np.arange(12) / 15, atol=1e-6)
    content = video_file.read_bytes()
    assert content.index(b"moov") < content.index(b"mdat")


@pytest.mark.parametrize("fps", [15, 29.97, 23.976, 7.5])
def test_frame_rates_are_kept(tmp_path, fps):
    write_video(tmp_path / "v.mp4", moving_square(3), fps=fps)
    assert read_video(tmp_path / "v.mp4").fps == pytest.approx(fps, rel=1e-5)


def test_frames_may_come_one_by_one_or_several_at_once(tmp_path, video_file):
    video = moving_square()
    write_video(tmp_path / "streamed.mp4", [video[0], video[1:5], *video[5:]], fps=15)
    assert (tmp_path / "streamed.mp4").read_bytes() == video_file.read_bytes()
    write_video(tmp_path / "generated.mp4", (frame for frame in video), fps=15)
    assert (tmp_path / "generated.mp4").read_bytes() == video_file.read_bytes()


def test_strided_frames_are_written_as_they_look(tmp_path):
    video = moving_square(3)
    write_video(tmp_path / "a.mp4", video[:, :, ::-1], fps=15, quality="lossless")
    assert np.array_equal(read_video(tmp_path / "a.mp4").frames, video[:, :, ::-1])


def test_long_videos_take_constant_memory(tmp_path):
    """2,000 frames of 96×160 are 92 MB of pixels; writing them from an iterator takes a fraction of it."""
    code = (
        "import resource, sys, numpy as np; from outofsight.data.video import write_video\n"
        "frame = np.zeros((96, 160, 3), np.uint8); peak = lambda: resource.getrusage(resource.RUSAGE_SELF).ru_maxrss\n"
        "def frames():\n"
        "    for index in range(2000):\n"
        "        if index == 400: before.append(peak())\n"
        "        yield frame + index % 200\n"
        "before = []; write_video(sys.argv[1], frames(), fps=15, quality='low'); print(peak() - before[0])"
    )
    command = [sys.executable, "-c", code, str(tmp_path / "long.mp4")]
    grown_kib = int(subprocess.run(command, check=True, capture_output=True, text=True, timeout=120).stdout)
    assert grown_kib < 15_000


# How many frames, and of what size


def test_the_first_frames_alone(video_file):
    assert np.array_equal(read_video(video_file, num_frames=5).frames, read_video(video_file).frames[:5])


def test_too_few_frames_are_refused_or_repeated_by_name(video_file):
    with pytest.raises(
        VideoError, match=r"clip\.mp4: expected at least 14 frames, got 12; give a longer video"
    ):
        read_video(video_file, num_frames=14)


def test_senseless_requests(video_file):
    with pytest.raises(InputError, match="num_frames=0"):
        read_video(video_file, num_frames=0)
    with pytest.raises(InputError, match="at least 1 pixel, got 0×4"):
        read_video(video_file, size=(0, 4))


def test_reading_at_a_size_is_reading_and_fitting(video_file):
    assert np.array_equal(
        read_video(video_file, size=(20, 30)).frames, fit_video(read_video(video_file).frames, 20, 30)
    )


def test_fitting_to_the_same_size_changes_nothing():
    assert np.array_equal(fit_video(noise(2), HEIGHT, WIDTH), noise(2))


def test_fitting_crops_the_middle_by_hand():
    """4 rows × 8 columns into 4×4: nothing to scale, two columns go on each side."""
    video = np.zeros((1, 4, 8, 3), np.uint8)
    video[..., 0] = np.arange(8)
    assert fit_video(video, 4, 4)[0, 0, :, 0].tolist() == [2, 3, 4, 5]
    assert fit_video(video.swapaxes(1, 2), 4, 4)[0, :, 0, 0].tolist() == [2, 3, 4, 5]


def test_fitting_scales_to_cover():
    """16 × 32 halves to 8 × 16, of which the middle 8 × 8 stay: the white middle column pair fills one of eight."""
    video = np.zeros((1, 16, 32, 3), np.uint8)
    video[:, :, 16:18] = 255
    fitted = fit_video(video, 8, 8)[0, 4, :, 0]
    assert fitted.argmax() == 4
    expected = np.asarray(Image.fromarray(video[0]).resize((16, 8), Image.Resampling.BILINEAR))[4, 4:12, 0]
    assert np.array_equal(fitted, expected)


def test_fitting_averages_where_it_makes_smaller():
    """A fine checkerboard must become grey, not stripes."""
    board = np.indices((64, 64)).sum(axis=0) % 2 * 255
    video = np.repeat(board[None, :, :, None], 3, axis=-1).astype(np.uint8)
    assert abs(fit_video(video, 10, 10).astype(int) - 127).max() < 20


@pytest.mark.parametrize(("height", "width"), [(480, 832), (96, 160), (7, 200), (200, 7), (1, 1)])
def test_any_size_fits(height, width):
    assert fit_video(noise(1, 45, 80), height, width).shape == (1, height, width, 3)


@pytest.mark.parametrize(
    "video", [np.zeros((1, 4, 4, 3)), np.zeros((4, 4, 3), np.uint8), np.zeros((1, 4, 4), np.uint8)]
)
def test_other_arrays_are_not_fitted(video):
    with pytest.raises(InputError, match="expected uint8 frames"):
        fit_video(video, 2, 2)


# Bad files


@pytest.mark.parametrize("content", [b"", b"no video at all", b"\x00\x00\x00\x18ftypmp42" + bytes(200)])
def test_files_that_are_no_videos(tmp_path, content):
    path = tmp_path / "false.mp4"
    path.write_bytes(content)
    with pytest.raises(VideoError, match=r"false\.mp4: damaged, cut short or not a video"):
        read_video(path)


def test_missing_files_folders_and_sound(tmp_path):
    with pytest.raises(VideoError, match=r"none\.mp4: no such video file"):
        read_video(tmp_path / "none.mp4")
    with pytest.raises(VideoError, match="is a folder"):
        read_video(tmp_path)
    sound = tmp_path / "sound.wav"
    sound.write_bytes(
        b"RIFF"
        + struct.pack("<I", 36 + 800)
        + b"WAVEfmt "
        + struct.pack("<IHHIIHH", 16, 1, 1, 8000, 16000, 2, 16)
    )
    sound.write_bytes(sound.read_bytes() + b"data" + struct.pack("<I", 800) + bytes(800))
    with pytest.raises(VideoError, match="holds no video stream"):
        read_video(sound)


@pytest.mark.parametrize("kept", [0.3, 0.6, 0.95])
def test_a_file_cut_short_is_refused(tmp_path, kept):
    path = tmp_path / "cut.mp4"
    write_video(path, noise(8), fps=15)
    content = path.read_bytes()
    path.write_bytes(content[: int(kept * len(content))])
    with pytest.raises(VideoError, match=r"cut\.mp4.*(cut short|damaged)"):
        read_video(path)


def test_a_file_cut_between_two_frames_is_refused(tmp_path):
    """Without an index a file can only be told to be short by what it announces: here an AVI that lost its end."""
    path = tmp_path / "cut.avi"
    with av.open(str(path), "w") as container:
        stream = container.add_stream("mjpeg", rate=15)
        stream.width, stream.height, stream.pix_fmt = WIDTH, HEIGHT, "yuvj420p"
        for frame in moving_square(8):
            container.mux(stream.encode(av.VideoFrame.from_ndarray(frame, format="rgb24")))
        container.mux(stream.encode(None))
    assert len(read_video(path).frames) == 8
    content = path.read_bytes()
    # The first mention is in the header; frame n follows mention n + 1.
    starts = [at for at in range(len(content) - 4) if content[at : at + 4] == b"00dc"]
    path.write_bytes(content[: starts[6]])
    with pytest.raises(VideoError, match="announces 8 frames and holds 5"):
        read_video(path)
    assert len(read_video(path, num_frames=5).frames) == 5  # what was asked for is there


@pytest.mark.parametrize(("damage", "complaint"), [(0.9, "frame 0: damaged"), (0.0, "damaged, cut short")])
def test_a_damaged_frame_is_refused(tmp_path, damage, complaint):
    """The first frame loses 20 bytes near its end, so that a part of it can still be decoded, or its very beginning.

    (H.264 has no checksum: damage that happens to decode to some other picture cannot be found.)
    """
    path = tmp_path / "damaged.mp4"
    write_video(path, moving_square(8), fps=15)
    with av.open(str(path)) as container:
        first = next(iter(container.demux(video=0)))
    content = bytearray(path.read_bytes())
    start = first.pos + int(damage * first.size)
    content[start : start + 20] = bytes(20)
    path.write_bytes(content)
    with pytest.raises(VideoError, match=rf"damaged\.mp4.*{complaint}"):
        read_video(path)


def test_a_picture_that_changes_its_size_is_refused(tmp_path):
    path = tmp_path / "growing.avi"
    with av.open(str(path), "w") as container:
        stream = container.add_stream("mjpeg", rate=15)
        stream.width, stream.height, stream.pix_fmt = WIDTH, HEIGHT, "yuvj420p"
        for number, (height, width) in enumerate([(HEIGHT, WIDTH), (HEIGHT, WIDTH), (2 * HEIGHT, 2 * WIDTH)]):
            encoder = av.CodecContext.create("mjpeg", "w")
            encoder.width, encoder.height, encoder.pix_fmt, encoder.time_base = (
                width,
                height,
                "yuvj420p",
                Fraction(1, 15),
            )
            picture = av.VideoFrame.from_ndarray(moving_square(1, height, width)[0], format="rgb24")
            picture = picture.reformat(format="yuvj420p")
            picture.pts, picture.time_base = 0, Fraction(1, 15)
            for packet in encoder.encode(picture):
                packet.stream, packet.pts, packet.dts = stream, number, number
                container.mux(packet)
    with pytest.raises(VideoError, match="frame 2: the picture's size changes"):
        read_video(path)


def turned(content: bytes, matrix: tuple[int, ...]) -> bytes:
    """Write a display matrix (16.16 fixed point: a b u c d v x y w) into an mp4's track header."""
    plain = struct.pack(">9i", 65536, 0, 0, 0, 65536, 0, 0, 0, 1 << 30)
    at = content.index(plain, content.index(b"tkhd"))
    return content[:at] + struct.pack(">9i", *matrix) + content[at + len(plain) :]


@pytest.mark.parametrize(
    ("matrix", "quarter_turns"),
    [
        (
            (0, 65536, 0, -65536, 0, 0, HEIGHT << 16, 0, 1 << 30),
            -1,
        ),  # (x, y) → (−y, x) with y down: clockwise
        ((0, -65536, 0, 65536, 0, 0, 0, WIDTH << 16, 1 << 30), 1),
        ((-65536, 0, 0, 0, -65536, 0, WIDTH << 16, HEIGHT << 16, 1 << 30), 2),
    ],
)
def test_a_telephone_held_upright(video_file, matrix, quarter_turns):
    plain = read_video(video_file).frames
    video_file.write_bytes(turned(video_file.read_bytes(), matrix))
    assert np.array_equal(read_video(video_file).frames, np.rot90(plain, quarter_turns, axes=(1, 2)))


def test_a_tilted_picture_is_refused(video_file):
    half = round(65536 * np.sqrt(0.5))
    video_file.write_bytes(turned(video_file.read_bytes(), (half, half, 0, -half, half, 0, 0, 0, 1 << 30)))
    with pytest.raises(VideoError, match="only quarter turns"):
        read_video(video_file)


def test_pixels_that_are_not_square_are_refused(tmp_path):
    path = tmp_path / "wide.mp4"
    with av.open(str(path), "w") as container:
        stream = container.add_stream("libx264", rate=15)
        stream.width, stream.height, stream.pix_fmt = WIDTH, HEIGHT, "yuv420p"
        stream.codec_context.sample_aspect_ratio = 2
        container.mux(stream.encode(av.VideoFrame.from_ndarray(moving_square(1)[0], format="rgb24")))
        container.mux(stream.encode(None))
    with pytest.raises(VideoError, match="its pixels are 2 as wide as high"):
        read_video(path)


# Bad requests to write


@pytest.mark.parametrize(
    ("frames", "complaint"),
    [
        ([], "no frames to write"),
        (np.zeros((2, 48, 63, 3), np.uint8), "expected an even height and width, as players need, got 48×63"),
        (np.zeros((2, 47, 64, 3), np.uint8), "got 47×64"),
        (np.zeros((2, 48, 64, 3), np.float32), r"expected uint8 frames \[height, width, 3\], got float32"),
        (np.zeros((2, 48, 64, 4), np.uint8), r"got uint8 \[48, 64, 4\]"),
        (np.zeros((2, 48, 64), np.uint8), r"got uint8 \[48, 64\]|got uint8 \[64\]"),
        (
            [np.zeros((48, 64, 3), np.uint8), np.zeros((64, 48, 3), np.uint8)],
            "frame 1 is 64×48, the ones before it 48×64",
        ),
    ],
)
def test_frames_that_cannot_be_written_leave_nothing_behind(tmp_path, frames, complaint):
    with pytest.raises(VideoError, match=complaint):
        write_video(tmp_path / "v.mp4", frames, fps=15)
    assert list(tmp_path.iterdir()) == []


def test_an_exception_inside_leaves_the_older_file(video_file):
    before = video_file.read_bytes()

    def frames():
        yield noise(1)[0]
        raise RuntimeError("the renderer died")

    with pytest.raises(RuntimeError, match="renderer"):
        write_video(video_file, frames(), fps=15)
    assert video_file.read_bytes() == before
    assert [entry.name for entry in video_file.parent.iterdir()] == ["clip.mp4"]


def test_senseless_settings(tmp_path):
    with pytest.raises(InputError, match="0 < fps < 1000, got 0"):
        write_video(tmp_path / "v.mp4", moving_square(1), fps=0)
    with pytest.raises(InputError, match="fps < 1000, got nan"):
        write_video(tmp_path / "v.mp4", moving_square(1), fps=float("nan"))
    known = "unknown video quality 'best'; known are low, medium, high, lossless"
    with pytest.raises(InputError, match=known):
        write_video(tmp_path / "v.mp4", moving_square(1), fps=15, quality="best")
    with pytest.raises(OutputError, match=r"ends in \.mp4"):
        write_video(tmp_path / "v.gif", moving_square(1), fps=15)


def test_places_that_cannot_be_written_to(tmp_path):
    with pytest.raises(OutputError, match="cannot be written: No such file or directory"):
        write_video(tmp_path / "nowhere" / "v.mp4", moving_square(2), fps=15)
    (tmp_path / "folder.mp4").mkdir()
    with pytest.raises(OutputError, match="is a folder"):
        write_video(tmp_path / "folder.mp4", moving_square(2), fps=15)
    (tmp_path / "file").touch()
    with pytest.raises(OutputError, match="cannot be written: Not a directory"):
        write_video(tmp_path / "file" / "v.mp4", moving_square(2), fps=15)


@pytest.mark.skipif(os.geteuid() == 0, reason="the superuser may write anywhere")
def test_a_folder_without_permission(tmp_path):
    tmp_path.chmod(0o500)
    with pytest.raises(OutputError, match="cannot be written: Permission denied"):
        write_video(tmp_path / "v.mp4", moving_square(2), fps=15)
    tmp_path.chmod(0o700)


@contextmanager
def files_at_most(num_bytes):
    """Let the system refuse to make files larger, as a full disk would."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (num_bytes, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


@pytest.mark.parametrize("room_bytes", [100, 60_000])
def test_a_full_disk_loses_nothing_that_was_there(tmp_path, room_bytes):
    path = tmp_path / "v.mp4"
    write_video(path, moving_square(2), fps=15)
    before = path.read_bytes()
    with files_at_most(room_bytes), pytest.raises(OutputError, match=r"v\.mp4: cannot be written"):
        write_video(path, noise(60), fps=15)
    assert path.read_bytes() == before
    assert [entry.name for entry in tmp_path.iterdir()] == ["v.mp4"]


def test_a_fitted_videos_lens():
    """100 × 200 to cover 50 × 50: half the size, 50 × 100, of which 25 columns are cut off on each side."""
    lens = Intrinsics(width_px=200, height_px=100, fx_px=100, fy_px=110, cx_px=90, cy_px=60)
    expected = Intrinsics(width_px=50, height_px=50, fx_px=50, fy_px=55, cx_px=20, cy_px=30)
    assert fit_intrinsics(lens, 50, 50) == expected
    assert fit_intrinsics(lens, 100, 200) == lens
    assert fit_intrinsics(lens, 4, 4).normalized[:2] == pytest.approx(expected.normalized[:2])
