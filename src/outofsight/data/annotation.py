"""``annotation.json``: everything that is known of a clip and that video files cannot hold."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from outofsight.errors import DatasetError, InputError, first_line
from outofsight.types import CameraPath, Clip, Intrinsics, SubjectTrack, Visibility

ANNOTATION_VERSION = 1
INTRINSIC_FIELDS = ("width_px", "height_px", "fx_px", "fy_px", "cx_px", "cy_px")

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
        "intrinsics": None
        if intrinsics is None
        else {key: getattr(intrinsics, key) for key in INTRINSIC_FIELDS},
        "world_from_camera": _rows(clip.cameras.world_from_camera),
        "subjects": [_subject_to_dict(subject) for subject in clip.subjects],
        "extra": clip.extra,
    }


def _rows(poses: NDArray[np.float64] | None) -> list[list[float]] | None:
    return None if poses is None else poses.reshape(len(poses), -1).tolist()


def _subject_to_dict(subject: SubjectTrack) -> dict[str, Any]:
    boxes = subject.box_px
    return {
        "id": subject.subject_id,
        "name": subject.name,
        "category": subject.category,
        "visibility": subject.visibility.tolist(),
        "world_from_subject": _rows(subject.world_from_subject),
        "velocity_m_s": _rows(subject.velocity_m_s),
        "box_px": None
        if boxes is None
        else [None if np.isnan(box).any() else [float(side) for side in box] for box in boxes],
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
    poses, velocity, boxes = item["world_from_subject"], item["velocity_m_s"], item["box_px"]
    nowhere = [float("nan")] * 4
    return SubjectTrack(
        subject_id=int(item["id"]),
        name=str(item["name"]),
        category=str(item["category"]),
        visibility=visibility,
        world_from_subject=None if poses is None else np.array(poses, dtype=np.float64).reshape(-1, 3, 4),
        velocity_m_s=None if velocity is None else np.array(velocity, dtype=np.float64).reshape(-1, 3),
        box_px=None
        if boxes is None
        else np.array([b or nowhere for b in boxes], dtype=np.float32).reshape(-1, 4),
    )


def check_version(record: Any, source: str) -> None:
    """Raise ``DatasetError`` if an annotation is not of the version that this package reads."""
    version = record.get("version") if isinstance(record, dict) else None
    if version != ANNOTATION_VERSION:
        raise DatasetError(
            f"{source}: expected an annotation of version {ANNOTATION_VERSION}, got {version!r}; "
            f"rebuild the data or read it with the release that wrote it"
        )
