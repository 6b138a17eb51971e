"""Which detection is which subject: against the annotation in the true video, by likeness in a generated one."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from outofsight.errors import InputError
from outofsight.evaluation.case import ClipCase, Masks, Video
from outofsight.evaluation.evidence import (
    Detections,
    Detector,
    Gallery,
    annotated,
    box_areas,
    observed_from_masks,
)
from outofsight.perception.seeing import Found

LEAST_OVERLAP = 0.3
"""Intersection over union from which a detection in the true video is taken for an annotated subject."""

LEAST_MISTAKEN = 0.7
"""Cosine from which a detection is taken for one of the detector's own mistakes, if no subject is more like it."""

MOST_FRAMES_AGO = 2
"""A box seen at most so many frames before still says where its subject is."""


@dataclass(frozen=True, kw_only=True, eq=False)
class References:
    """How each of s subjects was last known.

    ``identities`` float32 [s, d] of length 1 (NaN: never found), or ``None`` from a detector that tells none;
    ``kinds``: the kind of each, empty where none is annotated; ``boxes_px`` float32 [s, 4] in the last context
    frame, NaN where not seen there. ``mistakes`` float32 [m, d]: identities of the scenery in the context that the
    detector takes for a subject. ``are_one``: the annotation knows all subjects together, so they are observed as one
    that holds all that is found.
    """

    identities: NDArray[np.float32] | None
    kinds: tuple[str, ...]
    boxes_px: NDArray[np.float32]
    mistakes: NDArray[np.float32] | None = None
    are_one: bool = False


def observe_truth(detector: Detector, case: ClipCase) -> Detections:
    """Observe the true clip, c + t frames: places from the annotation, identities and kinds from the detector.

    A subject has an identity in the frames where a detection overlaps its annotated box. Subjects whose masks are not
    told apart have none.

    Raises ``InputError`` if the clip has no subject masks.
    """
    known = annotated(case)
    if known is None:
        raise InputError(f"clip {case.name!r}: expected subject masks to observe the truth by, got none")
    if case.subject_masks is None:
        return known
    found = [*detector.detect(case.context), *detector.detect(case.truth)]
    taken = [
        _assigned(_overlaps(known.boxes_px[:, frame], detections), LEAST_OVERLAP)
        for frame, detections in enumerate(found)
    ]
    identities, kinds = _identities_and_kinds(found, taken, known.detected.shape)
    return replace(known, identities=identities, kinds=kinds, mistakes=_mistakes(found, known.boxes_px))


def _mistakes(found: Sequence[Sequence[Found]], boxes: NDArray[np.float32]) -> NDArray[np.float32] | None:
    """Gather the identities [n, m, d] of detections that touch no known box [s, n, 4]; ``None``: there are none."""
    strays = [
        [
            detection.identity
            for detection, overlap in zip(detections, _overlaps(boxes[:, frame], detections).T, strict=True)
            if detection.identity is not None and not overlap.any()
        ]
        for frame, detections in enumerate(found)
    ]
    most = max(len(stray) for stray in strays)
    if most == 0:
        return None
    dimensions = next(len(stray[0]) for stray in strays if stray)
    gathered = np.full((len(strays), most, dimensions), np.nan, dtype=np.float32)
    for frame, stray in enumerate(strays):
        for place, identity in enumerate(stray):
            gathered[frame, place] = identity
    return gathered


def references_of(case: ClipCase, truth_observed: Detections) -> References:
    """Learn from the context how each subject looks, where it was last, and what is mistaken for one."""
    context = truth_observed[: case.num_context_frames]
    mistakes = context.mistakes
    return References(
        identities=None if context.identities is None else mean_identities(context.identities),
        kinds=case.subject_names,
        boxes_px=context.boxes_px[:, -1],
        mistakes=None if mistakes is None else mistakes[~np.isnan(mistakes).any(axis=-1)],
        are_one=case.subject_masks is None,
    )


def mean_identities(identities: NDArray[np.float32]) -> NDArray[np.float32]:
    """Average identities [s, n, d] over frames and bring them back to length 1: [s, d], NaN where there is none."""
    known = ~np.isnan(identities).any(axis=-1, keepdims=True)
    total = np.where(known, identities, 0).sum(axis=1)
    length = np.linalg.norm(total, axis=-1, keepdims=True)
    with np.errstate(invalid="ignore", divide="ignore"):
        mean: NDArray[np.float32] = np.where(length > 0, total / length, np.nan).astype(np.float32)
    return mean


def gallery_of(contexts: Mapping[str, Detections]) -> Gallery | None:
    """Gather the subjects of many clips, as they look in their contexts; ``None`` if no identity is known at all.

    ``contexts``: what is observed in each clip's context, by the clip's name.
    """
    known = {
        (name, subject): identity
        for name, observed in contexts.items() if observed.identities is not None
        for subject, identity in enumerate(mean_identities(observed.identities)) if not np.isnan(identity).any()
    }  # fmt: skip
    return Gallery(identities=np.stack(list(known.values())), owners=tuple(known)) if known else None


def observe(detector: Detector, frames: Video, references: References) -> Detections:
    """Find the context's subjects in the frames [n, h, w, 3] that follow.

    In every frame the detections are given to subjects, the likeliest pair first: by the cosine of identities, or by
    kind where none is known, plus the overlap with the subject's box of the frames just before. Who is found is not
    refused for looking otherwise: whether it is the right one is what identity measures, and must be seen by them.
    Only what looks like scenery that the detector mistook for a subject in the context already is left out.
    """
    found = [
        [detection for detection in detections if not _is_mistaken(detection, references)]
        for detections in detector.detect(frames)
    ]
    if references.are_one:
        return _as_one(found, frames.shape[1:3])
    boxes, ages = references.boxes_px.copy(), np.zeros(len(references.boxes_px), dtype=int)
    taken = []
    for detections in found:
        recent = np.where((ages <= MOST_FRAMES_AGO)[:, None], boxes, np.nan)
        scores = _likeness(references, detections) + _overlaps(recent, detections)
        chosen = _assigned(scores, -np.inf)
        taken.append(chosen)
        ages += 1
        for subject, index in chosen.items():
            boxes[subject], ages[subject] = detections[index].box_px, 0
    return _gathered(found, taken, len(boxes), frames.shape[1:3])


def _is_mistaken(detection: Found, references: References) -> bool:
    """Tell whether a detection is more like a known mistake than like any subject."""
    if references.mistakes is None or detection.identity is None or not len(references.mistakes):
        return False
    mistaken = float((references.mistakes @ detection.identity).max())
    own = references.identities
    known = -1.0 if own is None else float(np.nan_to_num(own @ detection.identity, nan=-1.0).max())
    return mistaken >= LEAST_MISTAKEN and mistaken > known


def _as_one(found: Sequence[Sequence[Found]], size: tuple[int, ...]) -> Detections:
    """Take all that is found in a frame for one subject, which has neither identity nor kind."""
    ones: list[list[Found]] = []
    for detections in found:
        if not detections:
            ones.append([])
            continue
        boxes = np.stack([detection.box_px for detection in detections])
        masks = [detection.mask for detection in detections if detection.mask is not None]
        box = np.concatenate([boxes[:, :2].min(axis=0), boxes[:, 2:].max(axis=0)])
        all_masks = np.logical_or.reduce(masks) if len(masks) == len(detections) else None
        ones.append([Found(box_px=box, score=1.0, mask=all_masks)])
    return _gathered(ones, [{0: 0} if one else {} for one in ones], 1, size)


def _likeness(references: References, detections: Sequence[Found]) -> NDArray[np.float64]:
    """Score subjects against detections [s, number]: cosine of identities, else 1 or 0 by kind."""
    scores = np.zeros((len(references.boxes_px), len(detections)))
    for column, detection in enumerate(detections):
        for subject in range(len(scores)):
            own = None if references.identities is None else references.identities[subject]
            if own is not None and detection.identity is not None and not np.isnan(own).any():
                scores[subject, column] = float(own @ detection.identity)
            elif references.kinds and detection.kind is not None:
                scores[subject, column] = float(references.kinds[subject] == detection.kind)
    return scores


def _overlaps(boxes: NDArray[np.float32], detections: Sequence[Found]) -> NDArray[np.float64]:
    """Give the intersection over union of boxes [s, 4] (0 for NaN) with detections: [s, number]."""
    if not detections:
        return np.zeros((len(boxes), 0))
    others = np.stack([detection.box_px for detection in detections]).astype(np.float64)
    low = np.maximum(boxes[:, None, :2], others[None, :, :2])
    high = np.minimum(boxes[:, None, 2:], others[None, :, 2:])
    shared = np.prod(np.maximum(high - low, 0), axis=-1)
    total = np.prod(boxes[:, 2:] - boxes[:, :2], axis=-1)[:, None] + np.prod(
        others[:, 2:] - others[:, :2], axis=-1
    )
    return np.nan_to_num(shared / np.maximum(total - shared, 1e-9))


def _assigned(scores: NDArray[np.float64], least: float) -> dict[int, int]:
    """Pair rows with columns, the highest score first, each once, none below ``least``: row → column."""
    pairs: dict[int, int] = {}
    for flat in np.argsort(-scores, axis=None, kind="stable"):
        row, column = (int(place) for place in np.unravel_index(flat, scores.shape))
        if scores[row, column] < least:
            break
        if row not in pairs and column not in pairs.values():
            pairs[row] = column
    return pairs


def _identities_and_kinds(
    found: Sequence[Sequence[Found]], taken: Sequence[Mapping[int, int]], shape: tuple[int, ...]
) -> tuple[NDArray[np.float32] | None, NDArray[np.str_] | None]:
    """Gather identities [s, n, d] and kinds [s, n] of the detections taken; ``None`` where none tells any."""
    kinds = np.full(shape, "", dtype=object)
    identities: NDArray[np.float32] | None = None
    for frame, chosen in enumerate(taken):
        for subject, index in chosen.items():
            detection = found[frame][index]
            kinds[subject, frame] = detection.kind or ""
            if detection.identity is not None:
                if identities is None:
                    identities = np.full((*shape, len(detection.identity)), np.nan, dtype=np.float32)
                identities[subject, frame] = detection.identity
    return identities, kinds.astype(np.str_) if (kinds != "").any() else None


def _gathered(
    found: Sequence[Sequence[Found]],
    taken: Sequence[Mapping[int, int]],
    num_subjects: int,
    size: tuple[int, ...],
) -> Detections:
    shape = (num_subjects, len(found))
    identities, kinds = _identities_and_kinds(found, taken, shape)
    with_masks = all(detection.mask is not None for detections in found for detection in detections)
    masks: Masks = np.zeros((*shape, *size), dtype=bool)
    boxes = np.full((*shape, 4), np.nan, dtype=np.float32)
    for frame, chosen in enumerate(taken):
        for subject, index in chosen.items():
            boxes[subject, frame] = found[frame][index].box_px
            if with_masks:
                masks[subject, frame] = found[frame][index].mask
    centroids: NDArray[np.float32] = (boxes[..., :2] + boxes[..., 2:]) / np.float32(2)
    area = box_areas(boxes)
    if with_masks:
        seen = observed_from_masks(masks)
        centroids, area = seen.centroids_px, seen.area_px
    return Detections(
        detected=~np.isnan(boxes[..., 0]), boxes_px=boxes, centroids_px=centroids, area_px=area,
        masks=masks if with_masks else None, identities=identities, kinds=kinds,
    )  # fmt: skip
