"""An mp4 that grows: playable after every append, and cut back to any earlier length without coding anew.

::

    ftyp moov | moof mdat | moof mdat | ...     a fragment for each append, which begins with a keyframe
              ^ first append          ^ size of the file after the second

A file whose writer was killed plays up to its last whole fragment. The same frames appended in the same portions give
the same bytes, however often it was cut back and gone on with.
"""

import io
import os
import struct
from collections.abc import Iterator
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import numpy as np
from av.video.frame import VideoFrame
from av.video.reformatter import VideoReformatter
from numpy.typing import NDArray

from outofsight.data.video import (
    COLOR_CONVERSION,
    MATRIX_BT601,
    PRIMARIES_BT709,
    RANGE_LIMITED,
    RATE_FACTORS,
    SAME_BYTES,
    SCALER_BT601,
    TRANSFER_BT709,
)
from outofsight.errors import InputError, OutputError, VideoError

FRAGMENTED = {"movflags": "empty_moov+default_base_moof+frag_custom", "fflags": "+bitexact"}
HEADER, FRAGMENT = (b"ftyp", b"moov"), (b"moof", b"mdat")
DECODE_TIME = b"tfdt"


class GrowingVideo:
    """Appends frames to an H.264 mp4. ``num_frames``, ``num_bytes``: of the whole fragments in the file.

    Begin anew with ``GrowingVideo(path, fps=...)``, which replaces a file that is there; go on with an earlier file
    by giving what ``num_frames`` and ``num_bytes`` were, to which the file is cut back.
    """

    def __init__(self, path: str | Path, *, fps: float, num_frames: int = 0, num_bytes: int = 0) -> None:
        self.path = Path(path)
        if self.path.suffix.lower() != ".mp4":
            raise OutputError(
                f"{self.path}: expected a name that ends in .mp4, the only form that is written"
            )
        if not 0 < fps < 1000:
            raise InputError(f"{self.path}: expected 0 < fps < 1000, got {fps}")
        self.num_frames, self.num_bytes = num_frames, num_bytes
        self._rate = Fraction(fps).limit_denominator(1001)
        self._to_yuv = VideoReformatter()
        self._cut_back()

    def append(self, frames: NDArray[np.uint8]) -> None:
        """Append frames uint8 [n, height, width, 3], and have them on the disk when this returns.

        Raises:
            VideoError: not such frames, or of an odd size.
            OutputError: the disk is full; the file is as it was before.
        """
        if frames.dtype != np.uint8 or frames.ndim != 4 or frames.shape[-1] != 3 or 0 in frames.shape:
            raise VideoError(
                f"{self.path}: expected uint8 frames [n, height, width, 3], got {frames.dtype} {list(frames.shape)}"
            )
        if frames.shape[1] % 2 or frames.shape[2] % 2:
            raise VideoError(
                f"{self.path}: expected an even height and width, as players need, got {frames.shape[1]}×"
                f"{frames.shape[2]}; crop a row or column"
            )
        content, ticks = self._coded(frames)
        fragment = b"".join(self._placed(kind, box, ticks) for kind, box in _boxes(content))
        try:
            with self.path.open("ab") as file:
                file.write(fragment)
                file.flush()
                os.fsync(file.fileno())
        except OSError as error:
            self._cut_back()
            raise self._cannot_write(error) from error
        self.num_frames += len(frames)
        self.num_bytes += len(fragment)

    def _cut_back(self) -> None:
        try:
            if not self.num_bytes:
                self.path.write_bytes(b"")
                return
            if self.path.stat().st_size < self.num_bytes:
                raise OutputError(
                    f"{self.path}: has {self.path.stat().st_size} bytes, fewer than the {self.num_bytes} that were "
                    "written; it is not the file to go on with"
                )
            os.truncate(self.path, self.num_bytes)
        except OSError as error:
            raise self._cannot_write(error) from error

    def _coded(self, frames: NDArray[np.uint8]) -> tuple[bytes, int]:
        """Code frames as an mp4 of one fragment by itself; and the ticks of its clock that one frame lasts."""
        buffer = io.BytesIO()
        numbered = {**FRAGMENTED, "fragment_index": str(self.num_frames + 1)}
        with av.open(buffer, "w", format="mp4", options=numbered) as container:
            stream = self._stream(container, *frames.shape[1:3])
            for index, frame in enumerate(frames):
                picture = VideoFrame.from_ndarray(np.ascontiguousarray(frame), format="rgb24")
                picture = self._to_yuv.reformat(
                    picture,
                    format="yuv420p",
                    dst_colorspace=SCALER_BT601,
                    dst_color_range=RANGE_LIMITED,
                    interpolation=COLOR_CONVERSION,
                )
                picture.pts, picture.time_base = index, 1 / self._rate
                container.mux(stream.encode(picture))
            container.mux(stream.encode(None))
            ticks = 1 / self._rate / stream.time_base
        return buffer.getvalue(), int(ticks)

    def _stream(self, container: Any, height: int, width: int) -> Any:
        # Without B-frames, which would shift the clock of a fragment against that of the next.
        options = {"crf": str(RATE_FACTORS["high"]), "preset": "medium", "flags": "+bitexact", "bf": "0"}
        stream = container.add_stream("libx264", rate=self._rate, options={**options, **SAME_BYTES})
        stream.width, stream.height, stream.pix_fmt = width, height, "yuv420p"
        context = stream.codec_context
        context.color_range, context.colorspace = RANGE_LIMITED, MATRIX_BT601
        context.color_primaries, context.color_trc = PRIMARIES_BT709, TRANSFER_BT709
        return stream

    def _placed(self, kind: bytes, box: bytes, ticks: int) -> bytes:
        """Keep the header of the first append and every fragment, and say at what time the fragment begins."""
        if kind in HEADER:
            return b"" if self.num_frames else box
        if kind not in FRAGMENT:
            return b""  # an index of this one fragment
        if kind == FRAGMENT[1]:
            return box
        # In the box "tfdt": 4 bytes of version (1) and flags, then 8 bytes of time.
        at = box.index(DECODE_TIME) + len(DECODE_TIME)
        assert box[at] == 1, "this FFmpeg writes decode times of 32 bits"
        return box[: at + 4] + struct.pack(">Q", self.num_frames * ticks) + box[at + 12 :]

    def _cannot_write(self, error: OSError) -> OutputError:
        return OutputError(f"{self.path}: cannot be written: {error.strerror or error}")


def _boxes(content: bytes) -> Iterator[tuple[bytes, bytes]]:
    """Take an mp4 apart into its outermost boxes."""
    start = 0
    while start < len(content):
        (size,) = struct.unpack(">I", content[start : start + 4])
        yield content[start + 4 : start + 8], content[start : start + size]
        start += size
