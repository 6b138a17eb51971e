"""Detectors in one file, as others export them: what they give is read by its shape.

::

    FILE.onnx (by onnxruntime), FILE.pt2 (torch.export)        FILE.names: its words, one a line

    takes   float32 [1, 3, side, side], RGB from 0 to 1: the whole picture, grey beside it
    gives   [1, 4 + k, n]            centre x, y, width, height, in pixels; a score for each word (YOLOv8 and later)
            [1, n, 5 + k]            the same, with a score before the words for whether anything is there (YOLOv5)
            [1, n, 6]                x0, y0, x1, y1, score, word: no two on one subject any more
            [1, n, 4] and [1, n, k]  x0, y0, x1, y1 in shares of the square; a score for each word (SSD)
"""

import hashlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image

from outofsight.data.check import box_iou
from outofsight.errors import CheckpointError, InputError, first_line
from outofsight.files import read_text
from outofsight.perception.published import LEAST_SCORE, subject_words
from outofsight.perception.seeing import Found, Frames, check_frames

SUFFIXES = (".onnx", ".pt2")
USUAL_SIDE_PX, GREY = 640, 114 / 255
MOST_OVERLAP = 0.45
"""Of two boxes of one word that overlap more, the surer one is kept."""

Arrays = list[NDArray[np.float32]]
Run = Callable[[NDArray[np.float32]], Arrays]


class DetectorFile:
    """A network ``run`` that takes squares of ``side`` pixels, as ``Detector``: boxes and words alone."""

    def __init__(self, run: Run, side: int, words: list[str], name: str) -> None:
        self.run, self.side, self.words, self.name = run, side, words, name
        self.subjects = subject_words(dict(enumerate(words)))
        self.least_score = LEAST_SCORE

    @classmethod
    def load(cls, path: Path, device: str | torch.device) -> "DetectorFile":
        """Load a file and its words.

        Raises:
            InputError: its words are not there, or it needs another package. CheckpointError: it cannot be read.
        """
        names = path.with_suffix(".names")
        if not path.is_file():
            raise InputError(f"detector {path}: there is no such file")
        try:
            words = [line.strip() for line in read_text(names).splitlines() if line.strip()]
        except InputError as error:
            raise InputError(
                f"detector {path}: expected its words in {names}, one a line, in the network's order ({error})"
            ) from error
        if not words:
            raise InputError(f"{names}: expected a detector's words, one a line, found none")
        run, side = _onnx(path) if path.suffix.lower() == ".onnx" else _exported(path, device)
        return cls(run, side, words, str(path))

    def detect(self, frames: Frames) -> list[list[Found]]:
        """Find subjects in frames [n, height, width, 3], the surest first.
        Raises ``InputError`` if what the network gives has none of the known shapes."""
        check_frames(frames, "detector")
        return [self._in_one(frame) for frame in frames]

    def _in_one(self, frame: NDArray[np.uint8]) -> list[Found]:
        height, width = frame.shape[:2]
        square, scale, corner = _squared(frame, self.side)
        boxes, scores, kinds = read_boxes(self.run(square), len(self.words), self.side, self.name)
        boxes = (boxes - np.tile(corner, 2)) / scale
        boxes = np.clip(boxes, 0, [width, height, width, height]).astype(np.float32)
        sure = (scores >= self.least_score) & np.isin(kinds, self.subjects)
        sure &= (boxes[:, 2] > boxes[:, 0]) & (boxes[:, 3] > boxes[:, 1])
        kept: list[int] = []
        for index in np.flatnonzero(sure)[np.argsort(-scores[sure], kind="stable")].tolist():
            rivals = [other for other in kept if kinds[other] == kinds[index]]
            if all(box_iou(boxes[index], boxes[other]) <= MOST_OVERLAP for other in rivals):
                kept.append(index)
        return [Found(box_px=boxes[i], score=float(scores[i]), kind=self.words[int(kinds[i])]) for i in kept]


def detector_digest(path: Path) -> str:
    """Digest a detector's file and its words: 16 hexadecimal digits."""
    digest = hashlib.sha256(path.read_bytes())
    names = path.with_suffix(".names")
    if names.is_file():
        digest.update(names.read_bytes())
    return digest.hexdigest()[:16]


def read_boxes(
    given: Arrays, num_words: int, side: int, name: str
) -> tuple[NDArray[np.float32], NDArray[np.float32], NDArray[np.int64]]:
    """Read what a network gave of one picture: boxes [n, 4] x0, y0, x1, y1 in pixels, scores [n], words [n].
    Raises ``InputError`` if it has none of the known shapes."""
    shapes = [list(array.shape) for array in given]
    if len(given) == 2 and sorted(shape[2:] for shape in shapes) == sorted([[4], [num_words]]):
        boxes, scores = given if shapes[0][2:] == [4] else given[::-1]
        return side * boxes[0], scores[0].max(axis=1), scores[0].argmax(axis=1)
    if len(given) == 1 and len(shapes[0]) == 3 and shapes[0][0] == 1:
        rows = given[0][0]
        if rows.shape[0] == 4 + num_words:
            return _centred(rows[:4].T), rows[4:].max(axis=0), rows[4:].argmax(axis=0)
        if rows.shape[1] == 5 + num_words:
            scores = rows[:, 4:5] * rows[:, 5:]
            return _centred(rows[:, :4]), scores.max(axis=1), scores.argmax(axis=1)
        if rows.shape[1] == 6:
            return rows[:, :4], rows[:, 4], rows[:, 5].astype(np.int64)
    raise InputError(
        f"detector {name}: gives {' and '.join(map(str, shapes))} for {num_words} words; expected "
        f"[1, {4 + num_words}, n], [1, n, {5 + num_words}], [1, n, 6], or [1, n, 4] and [1, n, {num_words}]"
    )


def _centred(boxes: NDArray[np.float32]) -> NDArray[np.float32]:
    half = boxes[:, 2:] / 2
    return np.concatenate([boxes[:, :2] - half, boxes[:, :2] + half], axis=1)


def _squared(frame: NDArray[np.uint8], side: int) -> tuple[NDArray[np.float32], float, NDArray[np.float64]]:
    """Scale a picture into a grey square; also give the scale, and where its corner (x, y) lies."""
    height, width = frame.shape[:2]
    scale = side / max(height, width)
    size = (max(round(width * scale), 1), max(round(height * scale), 1))
    picture = np.asarray(Image.fromarray(frame).resize(size, Image.Resampling.BILINEAR), dtype=np.float32)
    left, top = (side - size[0]) // 2, (side - size[1]) // 2
    square = np.full((side, side, 3), GREY, dtype=np.float32)
    square[top : top + size[1], left : left + size[0]] = picture / 255
    return np.ascontiguousarray(square.transpose(2, 0, 1)[None]), scale, np.array([left, top], float)


def _onnx(path: Path) -> tuple[Run, int]:
    try:
        import onnxruntime  # noqa: PLC0415 - not among our dependencies
    except ImportError as error:
        raise InputError(
            f"detector {path}: needs onnxruntime: pip install onnxruntime; or export it by torch.export (.pt2)"
        ) from error
    try:
        session = onnxruntime.InferenceSession(str(path), providers=["CPUExecutionProvider"])
    except Exception as error:  # its own errors have no common kind
        raise CheckpointError(
            f"detector {path}: could not be read as an ONNX network ({first_line(error)})"
        ) from error
    taken = session.get_inputs()[0]

    def run(square: NDArray[np.float32]) -> Arrays:
        return [np.asarray(one, np.float32) for one in session.run(None, {taken.name: square})]

    return run, _side(path, list(taken.shape))


def _exported(path: Path, device: str | torch.device) -> tuple[Run, int]:
    try:
        program = torch.export.load(path)
        taken = [
            node for node in program.graph.nodes
            if node.op == "placeholder" and node.name in program.graph_signature.user_inputs
        ]  # fmt: skip
        network, shape = program.module().to(device), list(taken[0].meta["val"].shape)
    except Exception as error:  # its own errors have no common kind
        raise CheckpointError(
            f"detector {path}: could not be read as torch.export writes it ({first_line(error)})"
        ) from error

    def run(square: NDArray[np.float32]) -> Arrays:
        with torch.no_grad():
            outputs: Any = network(torch.from_numpy(square).to(device))
        parts = outputs if isinstance(outputs, tuple | list) else [outputs]
        return [part.float().cpu().numpy() for part in parts]

    return run, _side(path, shape)


def _side(path: Path, shape: list[Any]) -> int:
    """Tell the side of the squares that a network takes; where it takes any, the usual one."""
    sides = [side if isinstance(side, int) else USUAL_SIDE_PX for side in shape[2:]]
    if len(shape) != 4 or shape[1] not in (3, None) or len(set(sides)) != 1:
        raise InputError(f"detector {path}: takes {shape}; expected pictures [1, 3, side, side]")
    return sides[0]
