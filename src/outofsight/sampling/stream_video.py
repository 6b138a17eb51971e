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
from pathlib import Path

import av
import numpy as np
from numpy.typing import NDArray

from outofsight.data.video import checked_rate, code_frames
from outofsight.errors import OutputError, VideoError

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
        self._rate = checked_rate(self.path, fps)
        self.num_frames, self.num_bytes = num_frames, num_bytes
        self._cut_back()

    def append(self, frames: NDArray[np.uint8]) -> None:
        """Append frames uint8 [n, height, width, 3], and have them on the disk when this returns.

        Raises:
            VideoError: not such frames, or of an odd size.
            OutputError: the disk is full; the file is as it was before.
        """
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
            # Without B-frames, which would shift the clock of a fragment against that of the next.
            stream = code_frames(self.path, container, frames, self._rate, bf="0")
            if stream is None or stream.time_base is None:
                raise VideoError(f"{self.path}: no frames to append; give at least one")
            ticks = 1 / self._rate / stream.time_base
        return buffer.getvalue(), int(ticks)

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
