"""One sample on disk: HM-World's own layout, and beside it the annotation of what it cannot hold.

cond.mp4 tgt.mp4              context and target video
cond_mask.mp4 tgt_mask.mp4    white where a subject is, black elsewhere
camera.json                   Unreal axes, centimetres (cond_cam / tgt_cam)
character.json                every subject's position in every frame, the same axes and unit
check.json                    the frames at which a subject leaves or enters the picture
caption.txt                   one caption
annotation.json               everything more (see ``annotation.FIELDS``)
instances.npz                 ids: uint8 [n, height, width], which subject each pixel shows
depth.npz                     depth_m: float16 [n, height, width], metres along the axis; only on request
"""

from pathlib import Path
from typing import Any
from zipfile import BadZipFile

import numpy as np
from numpy.typing import NDArray

from outofsight.data.annotation import annotate, read_annotation, read_cameras_of, read_subjects_of
from outofsight.data.video import read_video, write_video
from outofsight.errors import DatasetError, first_line
from outofsight.files import explained, folder_in_one_piece, write_json, write_text
from outofsight.geometry.camera_files import write_cameras
from outofsight.geometry.conventions import to_unreal
from outofsight.types import Clip, SubjectTrack, Visibility

HALVES = ("cond", "tgt")
REQUIRED_FILES = (
    "cond.mp4", "tgt.mp4", "cond_mask.mp4", "tgt_mask.mp4", "camera.json", "character.json", "check.json",
    "caption.txt", "annotation.json", "instances.npz",
)  # fmt: skip
WHITE = 255


def write_sample(folder: Path, clip: Clip) -> None:
    """Write a clip with instance masks, all or nothing. Raises ``OutputError``, ``DatasetError`` for missing masks."""
    if clip.masks is None or not clip.masks_are_instances:
        raise DatasetError(f"clip {clip.name!r}: instance masks are needed to write a sample, it has none")
    with folder_in_one_piece(folder, others_too=True) as temporary:
        split = clip.num_context_frames
        foreground = np.repeat(np.where(clip.masks > 0, WHITE, 0).astype(np.uint8)[..., None], 3, axis=-1)
        for half, frames in zip(HALVES, (slice(0, split), slice(split, None)), strict=True):
            write_video(temporary / f"{half}.mp4", clip.video[frames], fps=clip.fps)
            write_video(temporary / f"{half}_mask.mp4", foreground[frames], fps=clip.fps, quality="lossless")
        write_cameras(temporary / "camera.json", clip.cameras[:split], clip.cameras[split:])
        write_json(temporary / "character.json", characters(clip))
        write_json(temporary / "check.json", checks(clip))
        write_text(temporary / "caption.txt", clip.caption + "\n")
        write_json(temporary / "annotation.json", annotate(clip))
        with explained(folder):
            np.savez_compressed(temporary / "instances.npz", ids=clip.masks)
            if clip.depth_m is not None:
                np.savez_compressed(temporary / "depth.npz", depth_m=clip.depth_m.astype(np.float16))


def read_sample(folder: Path, *, with_masks: bool = True, with_depth: bool = True) -> Clip:
    """Read a sample that ``write_sample`` wrote. Raises ``DatasetError`` or ``VideoError`` naming the damaged file."""
    source = str(folder / "annotation.json")
    record = read_annotation(folder / "annotation.json")
    counts = _counts(record, source)
    halves = [read_frames(folder / f"{half}.mp4", count) for half, count in zip(HALVES, counts, strict=True)]
    video = np.concatenate(halves)
    depth = folder / "depth.npz"
    return Clip(
        name=str(record.get("name", folder.name)),
        video=video,
        num_context_frames=counts[0],
        fps=float(record["fps"]),
        cameras=read_cameras_of(record, source),
        caption=str(record["caption"]),
        masks=read_array(folder / "instances.npz", "ids", video.shape[:3]) if with_masks else None,
        masks_are_instances=with_masks,
        depth_m=read_array(depth, "depth_m", video.shape[:3]).astype(np.float32)
        if with_depth and depth.exists()
        else None,
        subjects=read_subjects_of(record, source),
        extra=record.get("extra", {}),
    )


def _counts(record: dict[str, Any], source: str) -> tuple[int, int]:
    try:
        return int(record["num_context_frames"]), int(record["num_target_frames"])
    except (KeyError, TypeError, ValueError) as error:
        raise DatasetError(
            f"{source}: expected num_context_frames and num_target_frames ({first_line(error)})"
        ) from error


def read_frames(path: Path, num_frames: int) -> NDArray[np.uint8]:
    """Read a video that must have so many frames. Raises ``DatasetError``, ``VideoError``."""
    frames = read_video(path).frames
    if len(frames) != num_frames:
        raise DatasetError(f"{path}: expected {num_frames} frames, got {len(frames)}; the sample is damaged")
    return frames


def read_array(path: Path, key: str, shape: tuple[int, ...]) -> NDArray[Any]:
    """Read one array of an npz file. Raises ``DatasetError`` naming it if missing, damaged or of another shape."""
    try:
        with path.open("rb") as file, np.load(file, allow_pickle=False) as stored:
            value: NDArray[Any] = stored[key]
    except (OSError, ValueError, KeyError, BadZipFile, EOFError) as error:
        raise DatasetError(
            f"{path}: expected an npz file with {key!r} ({first_line(error)}); the sample is damaged"
        ) from error
    if value.shape != shape:
        raise DatasetError(f"{path}: expected {key} of shape {list(shape)}, got {list(value.shape)}")
    return value


def subject_key(subject: SubjectTrack) -> str:
    """Name a subject in character.json and check.json: its id and kind."""
    return f"{subject.subject_id}_{subject.name.replace(' ', '_')}"


def characters(clip: Clip) -> dict[str, Any]:
    """Give the content of character.json: position [x, y, z] in Unreal's world (cm) for every subject and frame."""
    split = clip.num_context_frames
    content: dict[str, Any] = {"cond_character": {}, "tgt_character": {}}
    for subject in clip.subjects:
        if subject.world_from_subject is None:
            continue
        places = to_unreal(subject.world_from_subject)[:, :3, 3].tolist()
        for half, part in zip(HALVES, (places[:split], places[split:]), strict=True):
            by_frame = {str(frame): place for frame, place in enumerate(part)}
            content[f"{half}_character"][subject_key(subject)] = by_frame
    return content


def checks(clip: Clip) -> dict[str, Any]:
    """Give the content of check.json: where each subject leaves (false) or enters (true), frames within the half.

    The first frame of each half is an event too, so that a half can be read by itself.
    """
    split = clip.num_context_frames
    content: dict[str, Any] = {"cond_check": {}, "tgt_check": {}}
    for subject in clip.subjects:
        in_frame = subject.visibility != Visibility.OUT_OF_VIEW
        for half, part in zip(HALVES, (in_frame[:split], in_frame[split:]), strict=True):
            frames = [0, *(np.flatnonzero(part[1:] != part[:-1]) + 1).tolist()]
            events = [{"frame": int(frame), "inFrame": bool(part[frame])} for frame in frames]
            content[f"{half}_check"][f"actor_{subject.subject_id}"] = {subject_key(subject): events}
    return content
