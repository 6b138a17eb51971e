"""What a pane has shown, on the disk: an mp4 that grows, and a line of JSON for each step. Both can be cut back."""

import json
import os
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from outofsight.files import explained
from outofsight.sampling.stream_video import GrowingVideo


class Mark(NamedTuple):
    """How long film and log are at a moment."""

    num_frames: int = 0
    num_bytes: int = 0
    log_bytes: int = 0


class Film:
    """Frames and steps of one pane. ``keep``: how many moments can be cut back to. ``marks``: how long it is after each
    of the last steps; ``None``: it begins anew."""

    def __init__(self, path: Path, fps: float, keep: int, marks: Mapping[int, Mark] | None = None) -> None:
        self.path, self.fps, self.keep = path, fps, keep
        self.log = path.with_suffix(".jsonl")
        self.marks = dict(marks or {0: Mark()})
        self._open(self.mark)

    @property
    def mark(self) -> Mark:
        """Where the film stands now."""
        return self.marks[max(self.marks)]

    def append(self, step: int, frames: NDArray[np.uint8], line: Mapping[str, Any]) -> None:
        """Add what a step has shown, and its record. Raises ``OutputError`` where the disk is full."""
        even = frames[:, : frames.shape[1] // 2 * 2, : frames.shape[2] // 2 * 2]
        self._video.append(np.ascontiguousarray(even))
        text = (json.dumps(line, ensure_ascii=False) + "\n").encode()
        with explained(self.log), self.log.open("ab") as file:
            file.write(text)
        mark = Mark(self._video.num_frames, self._video.num_bytes, self.mark.log_bytes + len(text))
        self.marks[step] = mark
        for old in sorted(self.marks)[: -self.keep - 1]:
            del self.marks[old]

    def cut_back(self, step: int) -> None:
        """Forget what was shown after a step."""
        self.marks = self._marks_until(step)
        self._open(self.mark)

    def copy_to(self, path: Path, step: int) -> dict[int, Mark]:
        """Copy film and log, for another film to go on from a step; return its marks."""
        with explained(path):
            shutil.copyfile(self.path, path)
            shutil.copyfile(self.log, path.with_suffix(".jsonl"))
        return self._marks_until(step)

    def _marks_until(self, step: int) -> dict[int, Mark]:
        return {number: mark for number, mark in self.marks.items() if number <= step}

    def _open(self, mark: Mark) -> None:
        self._video = GrowingVideo(
            self.path, fps=self.fps, num_frames=mark.num_frames, num_bytes=mark.num_bytes
        )
        with explained(self.log):
            self.log.touch()
            os.truncate(self.log, mark.log_bytes)
