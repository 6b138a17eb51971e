"""How well a recogniser sees: masks, detections, kinds, and whether who comes back is known again."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from outofsight.perception.recogniser import Recogniser
from outofsight.perception.seeing import Found
from outofsight.training.recogniser_batches import annotation_of
from outofsight.training.recogniser_task import RecogniserTask
from outofsight.types import Clip, Visibility

LEAST_OVERLAP = 0.5
"""Intersection over union from which a detection is the subject's."""

FALSE_ALARM_OVERLAP = 0.1
"""A detection that overlaps no subject by as much is a false alarm."""


@dataclass(frozen=True, kw_only=True, eq=False)
class Sighting:
    """A subject as it was found in one frame. ``after``: after it was out of sight once."""

    subject: tuple[str, int]  # clip and place
    kind: str
    identity: NDArray[np.float32]
    after: bool


@dataclass(frozen=True, kw_only=True, eq=False)
class ClipFigures:
    """What was counted on one clip. ``overlap_px``, ``union_px``: of all subjects' pixels, over all frames."""

    overlap_px: int
    union_px: int
    num_shown: int
    num_found: int
    num_right_kind: int
    num_false: int
    num_frames: int
    sightings: tuple[Sighting, ...]


def look_at(
    recogniser: Recogniser, clip: Clip, task: RecogniserTask, video: NDArray[np.uint8] | None = None
) -> ClipFigures:
    """Count on one clip. ``video``: the clip's frames, spoiled in some way; ``None``: as they are.

    A subject counts as shown where it has at least ``task.least_px`` pixels.
    """
    frames = clip.video if video is None else video
    annotation = annotation_of(clip, task)
    ids = np.stack([annotation.ids(clip, frame) for frame in range(len(frames))])
    likely = recogniser.probabilities(frames) >= recogniser.rule.least_probability
    found = recogniser.detect(frames)
    shown = right = matched = 0
    sightings = []
    for place in range(len(clip.subjects)):
        kind, gone = task.kinds[annotation.kinds[place]], False
        for frame in range(len(ids)):
            own = ids[frame] == place + 1
            gone = gone or hidden(clip, place, frame)
            if own.sum() < task.least_px:
                continue
            shown += 1
            best = best_match(found[frame], own)
            if best is not None and best.identity is not None:
                matched += 1
                right += best.kind == kind
                sightings.append(
                    Sighting(subject=(clip.name, place), kind=kind, identity=best.identity, after=gone)
                )
    return ClipFigures(
        overlap_px=int((likely & (ids > 0)).sum()),
        union_px=int((likely | (ids > 0)).sum()),
        num_shown=shown,
        num_found=matched,
        num_right_kind=right,
        num_false=sum(is_false(one, ids[frame] > 0) for frame in range(len(ids)) for one in found[frame]),
        num_frames=len(ids),
        sightings=tuple(sightings),
    )


def hidden(clip: Clip, place: int, frame: int) -> bool:
    return clip.subjects[place].visibility[frame] in (Visibility.OCCLUDED, Visibility.OUT_OF_VIEW)


def best_match(found: Sequence[Found], own: NDArray[np.bool_]) -> Found | None:
    """Choose the detection whose mask overlaps a subject's most; ``None`` if none does so well enough."""
    scores = [overlap(one.mask, own) for one in found if one.mask is not None]
    best = int(np.argmax(scores)) if scores else 0
    return found[best] if scores and scores[best] >= LEAST_OVERLAP else None


def is_false(found: Found, anyone: NDArray[np.bool_]) -> bool:
    """Tell whether hardly any of a detection lies on a subject."""
    assert found.mask is not None
    return float((found.mask & anyone).sum()) < FALSE_ALARM_OVERLAP * float(found.mask.sum())


def overlap(a: NDArray[np.bool_], b: NDArray[np.bool_]) -> float:
    """Return intersection over union of two masks that are not both empty."""
    return float((a & b).sum() / max(1, (a | b).sum()))


def figures_of(clips: Sequence[ClipFigures]) -> dict[str, float]:
    """Put clips together: ``iou`` is the mean over clips, of those with a subject to be seen or wrongly seen;
    rates are over all sightings.

    ``found``: share of sightings with a detection; ``kind_accuracy``: of those found, the share whose kind is right;
    ``false_per_frame``: detections on nobody. ``identity_accuracy``: see ``retrieval``; among subjects of the same
    kind alone ``identity_accuracy_in_kind``. NaN where nothing could be counted.
    """
    overlaps = [clip.overlap_px / clip.union_px for clip in clips if clip.union_px]
    shown, matched = sum(clip.num_shown for clip in clips), sum(clip.num_found for clip in clips)
    sightings = [sighting for clip in clips for sighting in clip.sightings]
    return {
        "iou": float(np.mean(overlaps)) if overlaps else float("nan"),
        "found": _share(matched, shown),
        "kind_accuracy": _share(sum(clip.num_right_kind for clip in clips), matched),
        "false_per_frame": _share(
            sum(clip.num_false for clip in clips), sum(clip.num_frames for clip in clips)
        ),
        **retrieval(sightings),
        "num_clips": float(len(clips)),
        "num_sightings": float(shown),
    }


def retrieval(sightings: Sequence[Sighting]) -> dict[str, float]:
    """Know again who comes back: the share of sightings after a subject was hidden whose nearest first look is its own.

    A subject's first look is the mean identity over the frames before it is first hidden. Subjects without one are in
    no gallery, and are not asked for.
    """
    first: dict[tuple[str, int], list[NDArray[np.float32]]] = {}
    kinds: dict[tuple[str, int], str] = {}
    for sighting in sightings:
        kinds[sighting.subject] = sighting.kind
        if not sighting.after:
            first.setdefault(sighting.subject, []).append(sighting.identity)
    asked = [sighting for sighting in sightings if sighting.after and sighting.subject in first]
    gallery = {subject: _unit(np.mean(looks, axis=0)) for subject, looks in first.items()}
    right = sum(_nearest(sighting, gallery) == sighting.subject for sighting in asked)
    in_kind = {
        kind: {subject: look for subject, look in gallery.items() if kinds[subject] == kind}
        for kind in set(kinds.values())
    }
    rivalled = [sighting for sighting in asked if len(in_kind[sighting.kind]) > 1]
    right_in_kind = sum(
        _nearest(sighting, in_kind[sighting.kind]) == sighting.subject for sighting in rivalled
    )
    return {
        "identity_accuracy": _share(right, len(asked)),
        "identity_accuracy_in_kind": _share(right_in_kind, len(rivalled)),
        "num_subjects": float(len(gallery)),
    }


def _nearest(sighting: Sighting, gallery: Mapping[tuple[str, int], NDArray[np.float32]]) -> tuple[str, int]:
    return max(gallery, key=lambda subject: float(gallery[subject] @ sighting.identity))


def _unit(vector: NDArray[np.float32]) -> NDArray[np.float32]:
    return np.asarray(vector / max(float(np.linalg.norm(vector)), 1e-9), dtype=np.float32)


def _share(count: int, total: int) -> float:
    return count / total if total else float("nan")
