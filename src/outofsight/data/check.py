"""Look through a data set, ours or HM-World's, and name everything that is wrong with it."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from outofsight.data.dataset import Dataset, SampleEntry, open_dataset
from outofsight.data.hm_world import FOREGROUND_LEVEL
from outofsight.data.sample import HALVES, REQUIRED_FILES, characters, checks
from outofsight.data.video import read_video
from outofsight.errors import OutOfSightError
from outofsight.files import TEMPORARY_PREFIX, read_json, read_text
from outofsight.geometry.camera_files import read_cameras
from outofsight.types import Clip, SubjectTrack, Visibility

BOX_SLACK_PX = 2.0  # boxes come from points on the body, masks from pixels
BOX_SLACK_SHARE = 0.06  # of the box's own size
CAMERA_TOLERANCE_M = 1e-4


@dataclass(frozen=True, kw_only=True)
class Finding:
    """Something wrong: in which sample (or the folder itself), and what."""

    sample: str
    message: str


@dataclass(frozen=True, kw_only=True)
class CheckReport:
    """What a check saw. ``box_ious``: projected box against mask box, for subjects wholly in the picture."""

    num_samples: int
    num_boxes: int
    mean_box_iou: float
    findings: tuple[Finding, ...]


def check_dataset(folder: Path) -> CheckReport:
    """Read every sample in full and compare its parts. Raises ``DatasetError`` if there is nothing to check."""
    dataset = open_dataset(folder)
    findings = list(_folder_findings(dataset))
    ious: list[float] = []
    for entry in dataset.entries:
        findings += [Finding(sample=entry.name, message=message) for message in check_sample(entry, ious)]
    return CheckReport(
        num_samples=len(dataset),
        num_boxes=len(ious),
        mean_box_iou=float(np.mean(ious)) if ious else float("nan"),
        findings=tuple(findings),
    )


def _folder_findings(dataset: Dataset) -> Iterator[Finding]:
    for path in sorted(dataset.folder.rglob(f"{TEMPORARY_PREFIX}*")):
        sample = str(path.relative_to(dataset.folder))
        yield Finding(sample=sample, message="left over from a build that was stopped")
    for entry in dataset.entries:
        if entry.split in ("train", "validation") and entry.is_ours:
            try:
                held = read_json(entry.folder / "annotation.json").get("extra", {}).get("held_out", {})
            except OutOfSightError:
                continue  # named by the sample's own check
            if held.get("scene") or held.get("subjects"):
                message = f"held-out scene or subject in the {entry.split} part: {held}"
                yield Finding(sample=entry.name, message=message)


def check_sample(entry: SampleEntry, ious: list[float] | None = None) -> Iterator[str]:
    """Name what is wrong with one sample; add the box IoU of each comparable frame to ``ious``."""
    if entry.is_ours:
        missing = [name for name in REQUIRED_FILES if not (entry.folder / name).is_file()]
        if missing:
            yield f"missing {', '.join(missing)}"
            return
    try:
        clip = entry.read()
        if entry.is_ours:
            yield from _own_findings(entry.folder, clip, [] if ious is None else ious)
        elif not clip.subjects:
            yield "check.json names no subject"
    except OutOfSightError as error:
        yield str(error)


def _own_findings(folder: Path, clip: Clip, ious: list[float]) -> Iterator[str]:
    ids = clip.masks
    assert ids is not None  # read_sample reads them
    if unknown := sorted(
        {*np.unique(ids).tolist()} - {0, *(subject.subject_id for subject in clip.subjects)}
    ):
        yield f"instances.npz holds ids {unknown} of no subject"
    yield from _mask_findings(folder, ids, clip.num_context_frames)
    yield from _camera_findings(folder, clip)
    for name, expected in (("check.json", checks(clip)), ("character.json", characters(clip))):
        if read_json(folder / name) != expected:
            yield f"{name} does not agree with annotation.json"
    if read_text(folder / "caption.txt").strip() != clip.caption.strip() or not clip.caption.strip():
        yield "caption.txt is empty or does not agree with annotation.json"
    for subject in clip.subjects:
        yield from _subject_findings(subject, ids, ious)


def _mask_findings(folder: Path, ids: NDArray[np.uint8], split: int) -> Iterator[str]:
    for half, part in zip(HALVES, (ids[:split], ids[split:]), strict=True):
        path = folder / f"{half}_mask.mp4"
        white = read_video(path).frames[..., 0] >= FOREGROUND_LEVEL
        if white.shape != part.shape or (white != (part > 0)).any():
            yield f"{path.name} does not agree with instances.npz"


def _camera_findings(folder: Path, clip: Clip) -> Iterator[str]:
    cameras = read_cameras(folder / "camera.json", num_context_frames=clip.num_context_frames)
    poses = np.concatenate([half.world_from_camera for half in cameras.paths()])
    if poses.shape != clip.cameras.world_from_camera.shape:
        yield f"camera.json has {len(poses)} poses for {len(clip.video)} frames"
    elif np.abs(poses - clip.cameras.world_from_camera).max() > CAMERA_TOLERANCE_M:
        yield "camera.json does not agree with annotation.json"


def _subject_findings(subject: SubjectTrack, ids: NDArray[np.uint8], ious: list[float]) -> Iterator[str]:
    mine = ids == subject.subject_id
    area = mine.sum(axis=(1, 2))
    unseen = (subject.visibility == Visibility.OUT_OF_VIEW) & (area > max(2, 0.0002 * ids[0].size))
    if unseen.any():
        yield f"subject {subject.name!r} is out of view in frame {int(unseen.argmax())}, but its mask is there"
    if subject.box_px is None:
        return
    for frame in np.flatnonzero(area):
        box, mask_box = subject.box_px[frame], mask_box_px(mine[frame])
        if np.isnan(box).any():
            yield f"subject {subject.name!r} has a mask but no box in frame {frame}"
            return
        slack = BOX_SLACK_PX + BOX_SLACK_SHARE * max(box[2] - box[0], box[3] - box[1])
        if (mask_box[:2] < box[:2] - slack).any() or (mask_box[2:] > box[2:] + slack).any():
            yield f"subject {subject.name!r} reaches out of its box in frame {frame}: mask {mask_box}, box {box}"
            return
        if subject.visibility[frame] == Visibility.VISIBLE and area[frame] > 60:
            ious.append(box_iou(box, mask_box))


def mask_box_px(mask: NDArray[np.bool_]) -> NDArray[np.float64]:
    """Give the box x0, y0, x1, y1 of a mask with at least one pixel, in pixel edges."""
    rows, columns = np.flatnonzero(mask.any(axis=1)), np.flatnonzero(mask.any(axis=0))
    return np.array([columns[0], rows[0], columns[-1] + 1, rows[-1] + 1], dtype=np.float64)


def box_iou(a: NDArray[np.floating], b: NDArray[np.floating]) -> float:
    """Give intersection over union of two boxes x0, y0, x1, y1."""
    overlap = np.maximum(np.minimum(a[2:], b[2:]) - np.maximum(a[:2], b[:2]), 0).prod()
    return float(overlap / ((a[2:] - a[:2]).prod() + (b[2:] - b[:2]).prod() - overlap))
