"""What a metric is made from, what it answers, and why it sometimes cannot.

Feature networks and detectors come from elsewhere; here is only what is asked of them. Whatever has these methods
will do.
"""

from collections.abc import Callable, Sequence, Set
from dataclasses import dataclass
from functools import cached_property
from math import isfinite
from typing import Any, Literal, NoReturn, Protocol

import numpy as np
from numpy.typing import NDArray

from outofsight.errors import InputError
from outofsight.evaluation.case import ClipCase, Masks, Phases, Video, phases_of
from outofsight.evaluation.tracked_positions import PositionErrors, Tracked, errors_at_return
from outofsight.perception.seeing import Found, PictureFeatures


class Detector(Protocol):
    """Finds subjects in frames."""

    def detect(self, frames: Video) -> Sequence[Sequence[Found]]:
        """Give what is found in each frame, in any order; frames in which nothing is found have an empty list."""


class FeatureNetwork(Protocol):
    """Describes frames by vectors whose cosine is likeness."""

    def features(self, frames: Video) -> PictureFeatures:
        """Describe frames [n, h, w, 3]."""


class PerceptualNetwork(Protocol):
    """Tells how far apart two pictures look: LPIPS."""

    def distances(self, a: Video, b: Video) -> NDArray[np.floating]:
        """Give one distance a frame [n], 0 where they look the same."""


@dataclass(frozen=True, kw_only=True, eq=False)
class Detections:
    """Where each of s subjects is seen in n frames.

    ``boxes_px`` float32 [s, n, 4] x0, y0, x1, y1; ``centroids_px`` float32 [s, n, 2] x, y; ``area_px`` float32 [s, n];
    ``masks`` bool [s, n, h, w]; ``identities`` float32 [s, n, d], length 1; ``kinds`` str [s, n]. Where a subject is
    not ``detected`` [s, n], boxes, centroids and identities are NaN, area 0, kind empty. ``mistakes`` float32
    [n, m, d]: identities of what a detector found where the annotation knows of none, NaN beyond their number.
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
            ("masks", lead),
            ("identities", lead),
            ("kinds", lead),
            ("mistakes", lead[1:]),
        ):
            value = getattr(self, part)
            if value is not None and value.shape[: len(shape)] != shape:
                raise InputError(f"what is observed: expected {part} {shape}, got {value.shape}")

    def __getitem__(self, frames: slice) -> "Detections":
        """Take a stretch of frames."""
        parts: dict[str, Any] = {
            name: None if part is None else part[frames] if name == "mistakes" else part[:, frames]
            for name, part in vars(self).items()
        }
        return Detections(**parts)

    @property
    def num_subjects(self) -> int:
        return len(self.detected)


def observed_from_masks(masks: Masks) -> Detections:
    """Read boxes, centroids and areas from masks [s, n, h, w].

    Pixel (row r, column c) spans [c, c + 1] × [r, r + 1]; a centroid is the mean of pixel centres.
    """
    area = masks.sum(axis=(2, 3)).astype(np.float32)
    detected = area >= 1
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
    return Detections(detected=detected, boxes_px=boxes, centroids_px=centroids, area_px=area, masks=masks)


def _extent(occupied: NDArray[np.bool_]) -> tuple[NDArray[np.intp], NDArray[np.intp]]:
    """Give the first occupied place and the one after the last, of [..., places]."""
    first = occupied.argmax(axis=-1)
    after = occupied.shape[-1] - occupied[..., ::-1].argmax(axis=-1)
    return first, after


def box_areas(boxes_px: NDArray[np.float32]) -> NDArray[np.float32]:
    """Give the areas of boxes [..., 4]; 0 for NaN."""
    return np.nan_to_num(np.prod(boxes_px[..., 2:] - boxes_px[..., :2], axis=-1)).astype(np.float32)


def wholly_inside(boxes: NDArray[np.float32], height: int, width: int) -> NDArray[np.bool_]:
    """Tell which boxes [..., 4] keep a pixel's distance from the picture's edge."""
    with np.errstate(invalid="ignore"):
        return np.asarray(
            (boxes[..., :2] >= 1).all(axis=-1) & (boxes[..., 2] <= width - 1) & (boxes[..., 3] <= height - 1)
        )


@dataclass(frozen=True)
class Measured:
    """A number, or the reason why there is none."""

    value: float | None
    reason: str | None = None

    def __post_init__(self) -> None:
        if (self.value is None) == (self.reason is None):
            raise InputError(f"a metric gives a value or a reason, got {self.value!r} and {self.reason!r}")
        if self.value is not None and not isfinite(self.value):
            raise InputError(f"a metric must be finite, got {self.value}; give the reason why it is not")


class _UndefinedError(Exception):
    """Why a metric cannot be computed."""


def undefined(reason: str) -> NoReturn:
    """Stop computing a metric, and say why: ``Metric`` gives the reason in place of a number."""
    raise _UndefinedError(reason)


def mean_or_undefined(values: NDArray[np.floating], reason: str) -> Measured:
    """Give the mean of the values that are known (not NaN), or the reason if none is."""
    known = values[~np.isnan(values)]
    return Measured(float(known.mean()) if known.size else undefined(reason))


@dataclass(frozen=True, kw_only=True)
class Networks:
    """The feature networks, by what they are for. ``None``: the metrics that need it are undefined.

    ``appearance``: DSC (published: CLIP ViT-B/16); ``subjects``: VBench's subject consistency and the decay curve
    (DINO); ``backgrounds``: VBench's background consistency (CLIP); ``perceptual``: LPIPS.
    """

    appearance: FeatureNetwork | None = None
    subjects: FeatureNetwork | None = None
    backgrounds: FeatureNetwork | None = None
    perceptual: PerceptualNetwork | None = None

    def of(self, purpose: Literal["appearance", "subjects", "backgrounds"]) -> FeatureNetwork:
        """Give a network to a metric that needs it."""
        network: FeatureNetwork | None = getattr(self, purpose)
        assert network is not None
        return network

    @classmethod
    def all(cls, network: FeatureNetwork | None, perceptual: PerceptualNetwork | None = None) -> "Networks":
        """Use one network for everything; subject and background consistency are then the same number."""
        return cls(appearance=network, subjects=network, backgrounds=network, perceptual=perceptual)


@dataclass(frozen=True, kw_only=True, eq=False)
class Gallery:
    """Individuals to tell apart: ``identities`` float32 [g, d] of length 1, and whose each is (clip name, subject)."""

    identities: NDArray[np.float32]
    owners: tuple[tuple[str, int], ...]

    def __post_init__(self) -> None:
        if self.identities.ndim != 2 or len(self.identities) != len(self.owners):
            raise InputError(
                f"a gallery needs one identity for each of {len(self.owners)} individuals, "
                f"got {self.identities.shape}"
            )


@dataclass(frozen=True, kw_only=True, eq=False)
class Evidence:
    """All that is at hand to judge one generated video. Frames of ``observed``: the target's, t in all.

    ``truth_observed``: subjects over context and truth, c + t frames; ``None``: none is annotated. ``tracked``: what
    the tracker of whoever made the video held; ``None``: it has none.
    """

    case: ClipCase
    generated: Video
    observed: Detections | None = None
    truth_observed: Detections | None = None
    networks: Networks = Networks()
    gallery: Gallery | None = None
    tracked: Tracked | None = None

    @cached_property
    def errors_at_return(self) -> PositionErrors:
        """Where the tracker takes subjects to be when they come back; it must be there, and the truth annotated."""
        assert self.tracked is not None
        case = self.case
        places = errors_at_return(self.tracked, case.subjects, case.num_context_frames, case.fps)
        assert places is not None
        return places

    @cached_property
    def phases(self) -> Phases:
        """Phases of every subject and frame; the annotation of visibility must be there."""
        assert self.case.visibility is not None
        return phases_of(self.case.visibility, self.case.num_context_frames)

    @property
    def found(self) -> Detections:
        """``observed``, to metrics that need it."""
        assert self.observed is not None
        return self.observed

    @property
    def true(self) -> Detections:
        """``truth_observed``, to metrics that need it."""
        assert self.truth_observed is not None
        return self.truth_observed

    @property
    def foreground(self) -> Masks:
        """Where subjects truly are, to metrics that need it: context and truth [c + t, h, w]."""
        assert self.case.foreground is not None
        return self.case.foreground

    @cached_property
    def context_observed(self) -> Detections:
        return self.true[: self.case.num_context_frames]

    @cached_property
    def target_observed(self) -> Detections:
        """What is truly seen in the target frames."""
        return self.true[self.case.num_context_frames :]

    @property
    def diagonal_px(self) -> float:
        height, width = self.case.truth.shape[1:3]
        return float(np.hypot(height, width))

    @property
    def picture_px(self) -> int:
        return int(np.prod(self.case.truth.shape[1:3]))


Compute = Callable[[Evidence], Measured]


@dataclass(frozen=True, kw_only=True)
class Metric:
    """One metric: what it is, what it needs, and how it is computed; ``metric`` makes one of a function.

    ``higher_is_better``: ``None`` where neither direction is. ``needs``: names of ``NEEDS``.
    """

    name: str
    tier: int
    unit: str
    higher_is_better: bool | None
    needs: frozenset[str]
    what: str
    source: str
    compute: Compute

    def __post_init__(self) -> None:
        unknown = self.needs - NEEDS.keys()
        if unknown:
            raise InputError(f"metric {self.name!r} needs {sorted(unknown)}; known needs: {', '.join(NEEDS)}")

    def __call__(self, evidence: Evidence) -> Measured:
        """Measure, or say what is missing."""
        for need in sorted(self.needs):
            is_there, reason = NEEDS[need]
            if not is_there(evidence):
                return Measured(None, reason)
        try:
            return self.compute(evidence)
        except _UndefinedError as error:
            return Measured(None, str(error))


def metric(
    name: str,
    what: str,
    source: str,
    needs: Set[str],
    *,
    tier: int = 0,
    unit: str = "",
    higher_is_better: bool | None = True,
) -> Callable[[Compute], Metric]:
    """Make a metric of the function that stands below."""

    def made(compute: Compute) -> Metric:
        return Metric(
            name=name, tier=tier, unit=unit, higher_is_better=higher_is_better,
            needs=frozenset(needs), what=what, source=source, compute=compute,
        )  # fmt: skip

    return made


def annotated(case: ClipCase) -> Detections | None:
    """Read from the annotation what is truly seen over context and truth; ``None`` without any masks.

    Where masks hold all subjects together (the released HM-World), they are observed as if they were one: it is in view
    while anyone is, its box holds all of them, and it comes back when the first one does.
    """
    masks = case.subject_masks
    if masks is None and case.foreground is not None:
        masks = case.foreground[None]
    return None if masks is None else observed_from_masks(masks)


NEEDS: dict[str, tuple[Callable[[Evidence], bool], str]] = {
    "truth": (lambda e: e.case.has_truth, "it is not known what truly follows"),
    "masks": (lambda e: e.case.foreground is not None, "no subject masks are annotated"),
    "visibility": (lambda e: e.case.visibility is not None, "it is not annotated when subjects are seen"),
    "cameras": (lambda e: e.case.cameras is not None, "the camera path is not known"),
    "subjects": (lambda e: e.truth_observed is not None, "no subject masks are annotated"),
    "detector": (lambda e: e.observed is not None, "no detector looked at the generated video"),
    "identities": (
        lambda e: e.observed is not None and e.observed.identities is not None,
        "the detector tells no identities",
    ),
    "kinds": (
        lambda e: e.observed is not None and e.observed.kinds is not None and bool(e.case.subject_names),
        "the detector or the annotation tells no kinds",
    ),
    "features": (lambda e: e.networks.appearance is not None, "no feature network is given"),
    "subject_features": (lambda e: e.networks.subjects is not None, "no feature network is given"),
    "background_features": (lambda e: e.networks.backgrounds is not None, "no feature network is given"),
    "perceptual": (lambda e: e.networks.perceptual is not None, "no perceptual network (LPIPS) is given"),
    "places": (
        lambda e: bool(e.case.subjects) and all(s.world_from_subject is not None for s in e.case.subjects),
        "it is not annotated where subjects are",
    ),
    "tracker": (lambda e: e.tracked is not None, "what made this video has no tracker"),
    "gallery": (lambda e: e.gallery is not None, "no gallery of other subjects is given"),
}
"""What a metric may need: whether it is there, and what is said where it is not."""
