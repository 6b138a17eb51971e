"""``annotation.json``: everything that is known of a clip and that video files cannot hold."""

from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from outofsight.errors import DatasetError, InputError, first_line
from outofsight.files import read_json
from outofsight.types import CameraPath, Clip, Intrinsics, SubjectTrack, Visibility

ANNOTATION_VERSION = 1

FIELDS = {
    "version": "version of this file's form",
    "name": "the sample's name",
    "fps": "frames a second",
    "num_context_frames, num_target_frames": "frames of cond.mp4 and of tgt.mp4; frames are counted from 0 over both",
    "height_px, width_px": "size of the pictures",
    "caption": "the caption that caption.txt holds",
    "intrinsics": "pinhole camera in px: fx, fy, cx, cy for pictures spanning [0, width] × [0, height]",
    "world_from_camera": "[n][12] rows of the 3×4 pose of the camera in every frame; OpenCV axes, metres, world z up",
    "subjects[].id": "value of the subject's pixels in instances.npz (0 is scenery)",
    "subjects[].name, category": "kind of subject",
    "subjects[].visibility": "[n] 0 visible, 1 cut by the frame, 2 hidden by something, 3 out of view",
    "subjects[].world_from_subject": "[n][12] pose on the ground in every frame, seen or unseen; x forward, z up",
    "subjects[].velocity_m_s": "[n][3] velocity in world axes",
    "subjects[].box_px": "[n][4] x0, y0, x1, y1 of the projected body within the picture; null where it is not in it",
    "extra": "what the source knows more: the world's spec, captions, absences and re-entries, changes of appearance",
}


def annotate(clip: Clip) -> dict[str, Any]:
    """Turn what is known of a clip into plain data. The cameras' intrinsics may be unknown (null)."""
    intrinsics = clip.cameras.intrinsics
    return {
        "version": ANNOTATION_VERSION,
        "name": clip.name,
        "fps": clip.fps,
        "num_context_frames": clip.num_context_frames,
        "num_target_frames": clip.num_target_frames,
        "height_px": clip.video.shape[1],
        "width_px": clip.video.shape[2],
        "caption": clip.caption,
        "intrinsics": None if intrinsics is None else asdict(intrinsics),
        "world_from_camera": _rows(clip.cameras.world_from_camera),
        "subjects": [_subject_to_dict(subject) for subject in clip.subjects],
        "extra": clip.extra,
    }


def _rows(poses: NDArray[np.float64] | None) -> list[list[float]] | None:
    return None if poses is None else poses.reshape(len(poses), -1).tolist()


def _subject_to_dict(subject: SubjectTrack) -> dict[str, Any]:
    boxes = subject.box_px
    sides = None if boxes is None else [None if np.isnan(box).any() else box.tolist() for box in boxes]
    return {
        "id": subject.subject_id,
        "name": subject.name,
        "category": subject.category,
        "visibility": subject.visibility.tolist(),
        "world_from_subject": _rows(subject.world_from_subject),
        "velocity_m_s": _rows(subject.velocity_m_s),
        "box_px": sides,
    }


def read_cameras_of(record: dict[str, Any], source: str) -> CameraPath:
    """Read the camera path of an annotation. Raises ``DatasetError`` or ``CameraError`` naming ``source``."""
    fields = record.get("intrinsics")
    try:
        intrinsics = None if fields is None else Intrinsics(**fields)
        poses = np.array(record["world_from_camera"], dtype=np.float64).reshape(-1, 3, 4)
        return CameraPath(world_from_camera=poses, intrinsics=intrinsics)
    except (KeyError, TypeError, ValueError, InputError) as error:
        raise DatasetError(f"{source}: the cameras are malformed ({first_line(error)})") from error


def read_subjects_of(record: dict[str, Any], source: str) -> tuple[SubjectTrack, ...]:
    """Read the subjects of an annotation. Raises ``DatasetError`` naming ``source``."""
    try:
        return tuple(_subject_from_dict(item) for item in record["subjects"])
    except (KeyError, TypeError, ValueError, InputError) as error:
        raise DatasetError(f"{source}: the subjects are malformed ({first_line(error)})") from error


def _subject_from_dict(item: dict[str, Any]) -> SubjectTrack:
    visibility = np.array(item["visibility"], dtype=np.int8)
    if not np.isin(visibility, list(Visibility)).all():
        raise InputError(f"visibility holds values beside {', '.join(str(int(v)) for v in Visibility)}")
    boxes = item["box_px"] and [box or [float("nan")] * 4 for box in item["box_px"]]
    return SubjectTrack(
        subject_id=int(item["id"]),
        name=str(item["name"]),
        category=str(item["category"]),
        visibility=visibility,
        world_from_subject=_array(item["world_from_subject"], np.float64, 3, 4),
        velocity_m_s=_array(item["velocity_m_s"], np.float64, 3),
        box_px=_array(boxes, np.float32, 4),
    )


def _array(values: list[Any] | None, dtype: type[np.generic], *row: int) -> NDArray[Any] | None:
    return None if values is None else np.array(values, dtype=dtype).reshape(-1, *row)


def read_annotation(path: Path) -> dict[str, Any]:
    """Read an annotation.json. Raises ``DatasetError`` if it is missing, damaged, or of another version."""
    record = read_json(path)
    version = record.get("version") if isinstance(record, dict) else None
    if version != ANNOTATION_VERSION:
        raise DatasetError(
            f"{path}: expected an annotation of version {ANNOTATION_VERSION}, got {version!r}; "
            f"rebuild the data or read it with the release that wrote it"
        )
    return dict(record)
