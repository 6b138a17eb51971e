"""What is seen of the subjects in a video: what a detector must give, and what is kept of it.

Feature networks and detectors come from elsewhere; here is only what is asked of them. Whatever has these methods
will do.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from outofsight.errors import InputError
from outofsight.evaluation.case import Masks, Video


class Detection(Protocol):
    """Someone or something found in one frame."""

    @property
    def box_px(self) -> NDArray[np.float32]:
        """[4] x0, y0, x1, y1; the picture spans [0, width] × [0, height]."""

    @property
    def score(self) -> float:
        """How sure the detector is, 0 to 1."""

    @property
    def mask(self) -> Masks | None:
        """[height, width], or ``None`` from a detector that knows boxes alone."""

    @property
    def kind(self) -> str | None:
        """The kind of subject, in the words of the clips' annotation; ``None``: not told."""

    @property
    def identity(self) -> NDArray[np.float32] | None:
        """[d], length 1: near for the same individual, far for others; ``None``: not told."""


class Detector(Protocol):
    """Finds subjects in frames."""

    def detect(self, frames: Video) -> Sequence[Sequence[Detection]]:
        """Give what is found in each frame, in any order; frames in which nothing is found have an empty list."""


class Features(Protocol):
    """What a feature network makes of n frames."""

    @property
    def patches(self) -> NDArray[np.float32]:
        """[n, rows, columns, d]: one vector a patch; the patches cover the picture."""

    @property
    def pictures(self) -> NDArray[np.float32]:
        """[n, d]: one vector a frame (of CLIP or DINO: the class token)."""


class FeatureNetwork(Protocol):
    """Describes frames by vectors whose cosine is likeness."""

    def features(self, frames: Video) -> Features:
        """Describe frames [n, h, w, 3]."""


class PerceptualNetwork(Protocol):
    """Tells how far apart two pictures look: LPIPS."""

    def distances(self, a: Video, b: Video) -> NDArray[np.floating]:
        """Give one distance a frame [n], 0 where they look the same."""


@dataclass(frozen=True, kw_only=True, eq=False)
class Observed:
    """Where each of s subjects is seen in n frames.

    ``boxes_px`` float32 [s, n, 4] x0, y0, x1, y1; ``centroids_px`` float32 [s, n, 2] x, y; ``area_px`` float32 [s, n];
    ``masks`` bool [s, n, h, w]; ``identities`` float32 [s, n, d], length 1; ``kinds`` str [s, n]. Where a subject is
    not ``detected`` [s, n], boxes, centroids and identities are NaN, area 0, kind empty. ``mistakes`` float32
    [n, m, d]: identities of what a detector found where the annotation knows of nobody, NaN beyond their number.
    """

    detected: NDArray[np.bool_]
    boxes_px: NDArray[np.float32]
    centroids_px: NDArray[np.float32]
    area_px: NDArray[np.float32]
    masks: Masks | None = None
    identities: NDArray[np.float32] | None = None
    kinds: NDArray[np.str_] | None = None
    mistakes: NDArray[np.float32] | None = None

    def __post_init__(self) -> None:
        lead = self.detected.shape
        for part, shape in (
            ("boxes_px", (*lead, 4)),
            ("centroids_px", (*lead, 2)),
            ("area_px", lead),
            ("masks", (*lead, *self.masks.shape[2:]) if self.masks is not None else None),
            ("identities", (*lead, self.identities.shape[-1]) if self.identities is not None else None),
            ("kinds", lead),
            ("mistakes", (lead[1], *self.mistakes.shape[1:]) if self.mistakes is not None else None),
        ):
            value = getattr(self, part)
            if value is not None and value.shape != shape:
                raise InputError(f"what is observed: expected {part} {shape}, got {value.shape}")

    def __getitem__(self, frames: slice) -> "Observed":
        """Take a stretch of frames."""
        return Observed(
            detected=self.detected[:, frames],
            boxes_px=self.boxes_px[:, frames],
            centroids_px=self.centroids_px[:, frames],
            area_px=self.area_px[:, frames],
            masks=None if self.masks is None else self.masks[:, frames],
            identities=None if self.identities is None else self.identities[:, frames],
            kinds=None if self.kinds is None else self.kinds[:, frames],
            mistakes=None if self.mistakes is None else self.mistakes[frames],
        )

    @property
    def num_subjects(self) -> int:
        return len(self.detected)

    @property
    def num_frames(self) -> int:
        return self.detected.shape[1]


def observed_from_masks(masks: Masks, least_px: int = 1) -> Observed:
    """Read boxes, centroids and areas from masks [s, n, h, w]; fewer than ``least_px`` pixels are not seen.

    Pixel (row r, column c) spans [c, c + 1] × [r, r + 1]; a centroid is the mean of pixel centres.
    """
    area = masks.sum(axis=(2, 3)).astype(np.float32)
    detected = area >= max(least_px, 1)
    x0, x1 = _extent(np.asarray(masks.any(axis=2)))
    y0, y1 = _extent(np.asarray(masks.any(axis=3)))
    height, width = masks.shape[2:]
    with np.errstate(invalid="ignore", divide="ignore"):
        x = masks.sum(axis=2) @ (np.arange(width) + 0.5) / area
        y = masks.sum(axis=3) @ (np.arange(height) + 0.5) / area
    boxes = np.stack([x0, y0, x1, y1], axis=-1).astype(np.float32)
    centroids = np.stack([x, y], axis=-1).astype(np.float32)
    boxes[~detected] = np.nan
    centroids[~detected] = np.nan
    return Observed(
        detected=detected,
        boxes_px=boxes,
        centroids_px=centroids,
        area_px=np.where(detected, area, 0).astype(np.float32),
        masks=masks & detected[..., None, None],
    )


def _extent(occupied: NDArray[np.bool_]) -> tuple[NDArray[np.intp], NDArray[np.intp]]:
    """Give the first occupied place and the one after the last, of [..., places]."""
    first = occupied.argmax(axis=-1)
    after = occupied.shape[-1] - occupied[..., ::-1].argmax(axis=-1)
    return first, after
