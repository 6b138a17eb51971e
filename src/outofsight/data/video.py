"""Read, fit and write video files: uint8 frames [n, height, width, 3], RGB.

The same frames give the same bytes, whatever the number of processors.
"""

from collections import deque
from collections.abc import Iterable, Iterator, Mapping
from contextlib import ExitStack, contextmanager, suppress
from fractions import Fraction
from pathlib import Path
from typing import Literal, NamedTuple

import av
import numpy as np
from av.container import InputContainer, OutputContainer
from av.video.frame import VideoFrame
from av.video.reformatter import VideoReformatter
from av.video.stream import VideoStream
from numpy.typing import NDArray
from PIL import Image

from outofsight.data.outputs import check_utf8
from outofsight.errors import InputError, OutputError, VideoError
from outofsight.files import write_advice, written_whole
from outofsight.types import Intrinsics

Frames = NDArray[np.uint8]
"""uint8 [n, height, width, 3], or one frame [height, width, 3]; RGB."""

Quality = Literal["low", "medium", "high", "lossless"]
"""``high`` is hard to tell from the original; ``lossless`` keeps every bit (masks), but browsers do not play it."""

RATE_FACTORS: Mapping[str, int] = {"low": 28, "medium": 23, "high": 18}  # x264's constant rate factor

# FFmpeg's own numbers; PyAV has names for all of them only since version 18.
BICUBIC, FULL_CHROMA, ACCURATE_ROUNDING, BIT_EXACT = 0x4, 0x2000, 0x40000, 0x80000
COLOR_CONVERSION = BICUBIC | FULL_CHROMA | ACCURATE_ROUNDING | BIT_EXACT
"""The exact conversion between RGB and YUV. The usual fast one darkens every picture by one level of 255, and its
round trip loses 3.8 dB (40.4 against 44.2 dB on an HM-World clip, no codec between)."""

MATRIX_BT601, MATRIX_RGB = 6, 0  # BT.601 is what readers assume for small pictures without a tag
SCALER_BT601 = 5  # the scaler numbers matrices in its own way
PRIMARIES_BT709, TRANSFER_BT709 = 1, 1
RANGE_LIMITED, RANGE_FULL = 1, 2

SAME_RATE = 0.01
"""Rates that differ by less are one: 29.97 is 30."""
KEYFRAME_MARGIN = 32
"""Frames between the keyframe that reading jumps to and the first frame that is used: those beside it may need more."""

SAME_BYTES: Mapping[str, str] = {"threads": "1", "x264-params": "cpu-independent=1"}
"""x264's bytes depend on the number of threads; and on processors with AVX-512 its default differs from run to run
(its macroblock tree), which ``cpu-independent`` mends."""


class Video(NamedTuple):
    """The frames of a video file, and how many are shown a second."""

    frames: Frames
    fps: float


class VideoFacts(NamedTuple):
    """What a file's header says. ``varies``: some frames are shown longer than others; ``fps`` is then their mean.

    ``rotation_deg``: which is applied when it is read; ``curve``: FFmpeg's number of the transfer curve.
    """

    height: int
    width: int
    fps: float
    varies: bool
    rotation_deg: int
    curve: int


def video_facts(path: str | Path) -> VideoFacts:
    """Read what a video's header says; a rotation written there is applied. Raises ``VideoError``."""
    path = Path(path)
    with _opened(path) as (container, stream):
        fps = _frame_rate(stream, path)
        first = next(_pictures(container, stream, path), None)
        if first is None:
            raise VideoError(f"{path}: holds no video frame")
        shown = float(stream.guessed_rate or stream.average_rate or fps)
        turned = first.rotation // 90 % 2
        size = (first.width, first.height) if turned else (first.height, first.width)
        varies = abs(fps / shown - 1) > SAME_RATE
        return VideoFacts(*size, fps, varies, int(first.rotation), int(first.color_trc))


def read_video(
    path: str | Path,
    *,
    num_frames: int | None = None,
    size: tuple[int, int] | None = None,
    keep_last: int | None = None,
    fps: float | None = None,
) -> Video:
    """Read a video, or its first ``num_frames`` frames; with ``size`` (height, width), fitted as ``fit_video`` does.

    ``keep_last``: give only so many, the last of those frames; the others are never held in memory. ``fps``: take the
    frames that are nearest in time to so many a second. A rotation written in the file (portrait video) is applied.

    Raises:
        VideoError: missing, not a video, damaged or cut short, or fewer frames than asked for.
        InputError: ``num_frames`` below 1, a size below 1.
    """
    path = Path(path)
    if num_frames is not None and num_frames < 1:
        raise InputError(f"{path}: expected to read ≥ 1 frames, got num_frames={num_frames}")
    frames, count, rate = _read(path, num_frames, size, keep_last, fps)
    if not frames:
        raise VideoError(f"{path}: holds no video frame")
    if num_frames is not None and count < num_frames:
        raise VideoError(
            f"{path}: expected at least {num_frames} frames, got {count}; give a longer video, or ask for fewer frames"
        )
    return Video(np.stack(frames), rate)


def _read(
    path: Path,
    num_frames: int | None,
    size: tuple[int, int] | None,
    keep_last: int | None,
    fps: float | None,
    may_jump: bool = True,
) -> tuple[list[Frames], int, float]:
    """Give the frames that are kept, the number of all that were read, and how many are shown a second."""
    to_rgb, count = VideoReformatter(), 0
    kept: deque[VideoFrame | Frames] = deque(maxlen=keep_last)

    def shown(picture: VideoFrame | Frames) -> Frames:
        if not isinstance(picture, VideoFrame):
            return picture
        rgb = to_rgb.reformat(picture, format="rgb24", interpolation=COLOR_CONVERSION).to_ndarray()
        frame: Frames = np.rot90(rgb, picture.rotation // 90)
        return frame if size is None else fit_video(frame[None], *size)[0]

    with _opened(path) as (container, stream):
        rate = _frame_rate(stream, path)
        whole_asked = num_frames is None and fps is None
        jumped = may_jump and whole_asked and keep_last is not None and _jump(container, stream, keep_last)
        pictures = _pictures(container, stream, path, whole=not jumped)
        for picture in pictures if fps is None else _at_rate(pictures, stream, fps):
            kept.append(picture if keep_last is not None else shown(picture))
            count += 1
            if count == num_frames:
                break
        last = kept[-1] if kept else None
        if jumped and not (count >= kept.maxlen and _at_end(last, stream)):  # type: ignore[operator]
            return _read(path, num_frames, size, keep_last, fps, may_jump=False)
    return [shown(picture) for picture in kept], count, rate if fps is None else fps


def _jump(container: InputContainer, stream: VideoStream, keep_last: int) -> bool:
    """Go to a keyframe before the last frames, where the file says how long it is; tell whether that was done."""
    if not stream.frames or not stream.duration or not stream.average_rate or not stream.time_base:
        return False
    begin = stream.start_time or 0
    back = Fraction(keep_last + KEYFRAME_MARGIN) / stream.average_rate / stream.time_base
    if stream.frames <= keep_last + 2 * KEYFRAME_MARGIN or stream.duration <= back:
        return False
    container.seek(begin + stream.duration - int(back), stream=stream, backward=True)
    return True


def _at_end(picture: VideoFrame | Frames | None, stream: VideoStream) -> bool:
    """Tell whether a picture is the last one that the file announces."""
    if not isinstance(picture, VideoFrame) or picture.pts is None or not stream.duration:
        return False
    assert stream.average_rate is not None
    left = (stream.start_time or 0) + stream.duration - picture.pts
    return left <= 2 / stream.average_rate / (stream.time_base or 1)


def _at_rate(pictures: Iterable[VideoFrame], stream: VideoStream, fps: float) -> Iterator[VideoFrame]:
    """Give the picture that is nearest to each moment of a steady rate."""
    number, before, begin = 0, None, 0.0
    for picture in pictures:
        moment = float((picture.pts or 0) * (stream.time_base or 1))
        if before is None:
            begin = moment
        else:
            while number / fps < (before[1] + moment) / 2 - begin:
                yield before[0]
                number += 1
        before = (picture, moment)
    while before is not None and number / fps <= before[1] - begin + 0.5 / fps:
        yield before[0]
        number += 1


def fit_video(video: Frames, height: int, width: int) -> Frames:
    """Scale to cover height × width, keeping the shape of things, and crop the middle: [n, height, width, 3].

    Scaling is PIL's bilinear filter, which averages where it makes smaller; the published loader uses the same.

    Raises:
        InputError: a size below 1, or frames that are not uint8 [n, height, width, 3].
    """
    if min(height, width) < 1:
        raise InputError(f"expected a height and width of at least 1 pixel, got {height}×{width}")
    if video.dtype != np.uint8 or video.ndim != 4 or video.shape[-1] != 3:
        raise InputError(
            f"expected uint8 frames [n, height, width, 3], got {video.dtype} {list(video.shape)}"
        )
    covering, top, left = _covering((video.shape[1], video.shape[2]), height, width)
    fitted = np.empty((len(video), height, width, 3), np.uint8)
    for index, frame in enumerate(video):
        if frame.shape[:2] != covering:
            frame = np.asarray(Image.fromarray(frame).resize(covering[::-1], Image.Resampling.BILINEAR))
        fitted[index] = frame[top : top + height, left : left + width]
    return fitted


def fit_intrinsics(lens: Intrinsics, height: int, width: int) -> Intrinsics:
    """Return the lens of a video after ``fit_video``."""
    covering, top, left = _covering((lens.height_px, lens.width_px), height, width)
    down, across = covering[0] / lens.height_px, covering[1] / lens.width_px
    return Intrinsics(
        width_px=width, height_px=height, fx_px=lens.fx_px * across, fy_px=lens.fy_px * down,
        cx_px=lens.cx_px * across - left, cy_px=lens.cy_px * down - top,
    )  # fmt: skip


def _covering(size: tuple[int, int], height: int, width: int) -> tuple[tuple[int, int], int, int]:
    """Return the size to scale to, and how many rows and columns of it are cut off at the top and the left."""
    scale = max(height / size[0], width / size[1])
    covering = (round(size[0] * scale), round(size[1] * scale))
    return covering, (covering[0] - height) // 2, (covering[1] - width) // 2


def write_video(path: str | Path, frames: Iterable[Frames], fps: float, quality: Quality = "high") -> None:
    """Write an H.264 mp4 of frames as they come, one [height, width, 3] or several at once, in constant memory.

    Raises:
        VideoError: no frames, frames of changing or odd size (``lossless`` takes any size), or not uint8.
        OutputError: the file cannot be written; nothing is left behind, and a file of an earlier run stays as it was.
        InputError: a rate or a quality that there is not.
    """
    path = Path(path)
    rate = checked_rate(path, fps)
    if quality not in (*RATE_FACTORS, "lossless"):
        raise InputError(f"unknown video quality {quality!r}; known are {', '.join(RATE_FACTORS)}, lossless")
    if path.is_dir():
        raise OutputError(f"{path}: is a folder; give the name of a file")
    check_utf8(path)
    # Without version strings, and with the index in front, so that playing starts at once.
    options = {"movflags": "+faststart", "fflags": "+bitexact"}
    with ExitStack() as whole:
        with _explained(path):  # a folder that cannot be written to is found before any work is done
            partial = whole.enter_context(written_whole(path))
            # FFmpeg takes what stands before a name's colon for a protocol.
            container = av.open(f"file:{partial}", "w", format="mp4", options=options)
        try:
            if code_frames(path, container, frames, rate, quality) is None:
                raise VideoError(f"{path}: no frames to write; give at least one")
        except BaseException:
            with suppress(av.FFmpegError, OSError):  # the first problem is the one to report
                container.close()
            raise
        with _explained(path):
            container.close()
            whole.close()


def checked_rate(path: Path, fps: float) -> Fraction:
    """Give the rate of a video to be written. Raises ``InputError``, or ``OutputError`` for another name than .mp4."""
    if path.suffix.lower() != ".mp4":
        raise OutputError(f"{path}: expected a name that ends in .mp4, the only form that is written")
    if not 0 < fps < 1000:
        raise InputError(f"{path}: expected 0 < fps < 1000, got {fps}")
    return Fraction(fps).limit_denominator(1001)


def code_frames(
    path: Path, container: OutputContainer, frames: Iterable[Frames], rate: Fraction, quality: Quality = "high",
    **more: str,
) -> VideoStream | None:  # fmt: skip
    """Code frames into a container, as ``write_video`` takes them; give their stream, ``None`` where there are none.

    ``more``: options of x264. Raises as ``write_video``, naming ``path``.
    """
    stream, to_yuv = None, VideoReformatter()
    singly = (frame for portion in frames for frame in (portion if portion.ndim == 4 else [portion]))
    for number, frame in enumerate(singly):
        _check_frame(path, frame, number, stream, quality)
        stream = stream or _new_stream(container, rate, frame, quality, more)
        picture = VideoFrame.from_ndarray(np.ascontiguousarray(frame), format="rgb24")
        if quality != "lossless":
            picture = to_yuv.reformat(
                picture, format="yuv420p", dst_colorspace=SCALER_BT601, dst_color_range=RANGE_LIMITED,
                interpolation=COLOR_CONVERSION,
            )  # fmt: skip
        picture.pts, picture.time_base = number, 1 / rate
        with _explained(path):
            container.mux(stream.encode(picture))
    with _explained(path):
        if stream is not None:
            container.mux(stream.encode(None))  # what the encoder still holds
    return stream


def _check_frame(
    path: Path, frame: Frames, number: int, stream: VideoStream | None, quality: Quality
) -> None:
    if frame.dtype != np.uint8 or frame.ndim != 3 or frame.shape[-1] != 3 or 0 in frame.shape:
        raise VideoError(
            f"{path}: expected uint8 frames [height, width, 3], got {frame.dtype} {list(frame.shape)}"
        )
    height, width = frame.shape[:2]
    if stream is not None and (stream.height, stream.width) != (height, width):
        raise VideoError(
            f"{path}: frame {number} is {height}×{width}, the ones before it {stream.height}×{stream.width}; all "
            "frames must have one size"
        )
    if quality != "lossless" and (height % 2 or width % 2):
        raise VideoError(
            f"{path}: expected an even height and width, as players need, got {height}×{width}; crop a row or column, "
            "or write it lossless"
        )


def _new_stream(
    container: OutputContainer, rate: Fraction, frame: Frames, quality: Quality, more: Mapping[str, str]
) -> VideoStream:
    lossless = quality == "lossless"
    rate_control = {"qp": "0"} if lossless else {"crf": str(RATE_FACTORS[quality])}
    options = {**rate_control, "preset": "medium", "flags": "+bitexact", **more, **SAME_BYTES}
    stream = container.add_stream("libx264rgb" if lossless else "libx264", rate=rate, options=options)
    stream.height, stream.width = frame.shape[:2]
    stream.pix_fmt = "rgb24" if lossless else "yuv420p"
    context = stream.codec_context
    context.color_range = RANGE_FULL if lossless else RANGE_LIMITED
    context.colorspace = MATRIX_RGB if lossless else MATRIX_BT601
    context.color_primaries, context.color_trc = PRIMARIES_BT709, TRANSFER_BT709
    return stream


@contextmanager
def _explained(path: Path) -> Iterator[None]:
    try:
        yield
    except (av.FFmpegError, OSError) as error:
        reason = write_advice(error) if isinstance(error, OSError) else error
        raise OutputError(f"{path}: cannot be written: {reason}") from error


@contextmanager
def _opened(path: Path) -> Iterator[tuple[InputContainer, VideoStream]]:
    """Open a video file's first video stream; what FFmpeg says is wrong with it becomes a ``VideoError``."""
    if path.is_dir():
        raise VideoError(f"{path}: is a folder; give a video file")
    try:
        file = path.open("rb")
    except FileNotFoundError as error:
        raise VideoError(f"{path}: no such video file") from error
    except (OSError, ValueError) as error:
        raise VideoError(f"{path}: cannot be read: {getattr(error, 'strerror', None) or error}") from error
    with file:
        try:
            # A file and not its name, in which FFmpeg would look for protocols, patterns and options.
            with av.open(file, "r") as container:
                if not container.streams.video:
                    raise VideoError(f"{path}: holds no video stream")
                yield container, container.streams.video[0]
        except (av.FFmpegError, OSError) as error:
            raise VideoError(f"{path}: damaged, cut short or not a video: {error.strerror}") from error


def _pictures(
    container: InputContainer, stream: VideoStream, path: Path, *, whole: bool = True
) -> Iterator[VideoFrame]:
    """Give the pictures of a stream one by one. ``whole``: from the file's first one on."""
    num_frames = num_packets = 0
    first: VideoFrame | None = None
    for packet in container.demux(stream):
        num_packets += packet.size > 0
        for picture in packet.decode():
            first = first or _checked_first(picture, stream, path)
            if picture.is_corrupt:
                raise VideoError(f"{path}, frame {num_frames}: damaged; get the file anew")
            if (picture.height, picture.width) != (first.height, first.width):
                raise VideoError(f"{path}, frame {num_frames}: the picture's size changes; give one size")
            yield picture
            num_frames += 1
    # Files say how many packets they hold (0: the container does not say).
    if whole and num_packets < stream.frames:
        raise VideoError(f"{path}: cut short: it announces {stream.frames} frames and holds {num_packets}")


def _checked_first(picture: VideoFrame, stream: VideoStream, path: Path) -> VideoFrame:
    """Refuse what would come out distorted: pixels that are not square, a tilt that is not a quarter turn."""
    aspect = stream.sample_aspect_ratio
    if aspect not in (None, 0, 1):
        raise VideoError(f"{path}: its pixels are {aspect} as wide as high; convert to square pixels first")
    if picture.rotation % 90:
        raise VideoError(f"{path}: asks to be turned by {picture.rotation}°; only quarter turns are known")
    return picture


def _frame_rate(stream: VideoStream, path: Path) -> float:
    rate = stream.average_rate or stream.guessed_rate
    if not rate:
        raise VideoError(f"{path}: does not say how many frames it shows a second")
    return float(rate)
