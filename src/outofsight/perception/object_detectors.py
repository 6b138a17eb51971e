"""Object detectors that others published, for real video: boxes and words, no masks and no identities."""

import numpy as np
import torch
from torch import Tensor, nn
from transformers import AutoModelForObjectDetection

from outofsight.errors import InputError
from outofsight.perception.borrowed import CONFIG_FILE, Preparation, Source, preparation_of
from outofsight.perception.seeing import Found, Frames, check_frames

ONE_OF_ALL = ("detr", "yolos")
"""Model types whose class scores are a softmax that ends with "nothing"."""

EACH_BY_ITSELF = ("conditional_detr", "deformable_detr", "rt_detr", "rt_detr_v2")
"""Model types with a sigmoid for each class."""

SUBJECT_WORDS = frozenset({
    "person", "bicycle", "car", "motorcycle", "airplane", "bus", "train", "truck", "boat", "bird", "cat", "dog",
    "horse", "sheep", "cow", "elephant", "bear", "zebra", "giraffe",
})  # fmt: skip
"""COCO's words for what moves by its own logic. A detector that knows none of them gives all it finds."""

LEAST_SCORE = 0.5


class ObjectDetector:
    """A DETR-like detector as ``Detector``: who is found in each frame, the surest first.

    ``kind`` is the detector's own word; identities and masks are not told.
    """

    def __init__(
        self,
        network: nn.Module,
        preparation: Preparation,
        *,
        words: dict[int, str],
        has_nothing: bool,
        least_score: float = LEAST_SCORE,
        batch: int = 8,
    ) -> None:
        self.network, self.preparation, self.words = network, preparation, words
        self.has_nothing, self.least_score, self.batch = has_nothing, least_score, batch
        known = {number for number, word in words.items() if word in SUBJECT_WORDS}
        self.subjects = sorted(known or words)

    @classmethod
    def load(cls, source: Source, device: str | torch.device) -> "ObjectDetector":
        """Load a detector. Raises ``InputError`` or ``CheckpointError`` in one line."""
        model_type = source.read_json(CONFIG_FILE).get("model_type")
        if model_type not in (*ONE_OF_ALL, *EACH_BY_ITSELF):
            raise InputError(
                f"{source.what} {source.name!r}: model_type {model_type!r} is not a detector that is known here; known "
                f"are {', '.join((*ONE_OF_ALL, *EACH_BY_ITSELF))}"
            )
        preparation = preparation_of(source, keeps_aspect=True)
        try:
            network, told = source.load(AutoModelForObjectDetection)
        except ImportError as error:
            raise InputError(f"{source.what} {source.name!r} needs another package: {error}") from error
        words = {int(number): str(word) for number, word in told.id2label.items()}
        return cls(network.to(device), preparation, words=words, has_nothing=model_type in ONE_OF_ALL)

    def detect(self, frames: Frames) -> list[list[Found]]:
        """Find subjects in frames [n, height, width, 3]."""
        check_frames(frames, "detector")
        device = next(self.network.parameters()).device
        found: list[list[Found]] = []
        for start in range(0, len(frames), self.batch):
            part = frames[start : start + self.batch]
            with torch.no_grad():
                told = self.network(pixel_values=self.preparation.prepared(part, device))
            for logits, boxes in zip(told.logits.float(), told.pred_boxes.float(), strict=True):
                found.append(self._found(logits, boxes, frames.shape[1], frames.shape[2]))
        return found

    def _found(self, logits: Tensor, boxes: Tensor, height: int, width: int) -> list[Found]:
        """Choose the boxes of one frame: logits [queries, classes], boxes [queries, 4] cx, cy, w, h, of sides 1."""
        shares = logits.softmax(dim=-1)[:, :-1] if self.has_nothing else logits.sigmoid()
        scores, classes = shares.max(dim=-1)
        subject = torch.isin(classes, torch.tensor(self.subjects, device=classes.device))
        chosen = torch.nonzero(subject & (scores >= self.least_score))[:, 0]
        order = chosen[scores[chosen].argsort(descending=True)].tolist()
        return [
            Found(
                box_px=box_in_px(boxes[query], height, width),
                score=float(scores[query]),
                kind=self.words[int(classes[query])],
            )
            for query in order
        ]


def box_in_px(box: Tensor, height: int, width: int) -> np.ndarray:
    """Turn centre and sides in shares of the picture into x0, y0, x1, y1 in pixels, cut at the picture's edges."""
    x, y, across, down = box.cpu().tolist()
    corners = (x - across / 2, y - down / 2, x + across / 2, y + down / 2)
    limits = (width, height, width, height)
    return np.array(
        [min(max(c, 0.0), 1.0) * limit for c, limit in zip(corners, limits, strict=True)], np.float32
    )
