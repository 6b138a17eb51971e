"""Reading the released HM-World: its folder form, as published, without an annotation of ours."""

from dataclasses import replace
from math import radians
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from outofsight.data.sample import HALVES, WHITE, read_frames
from outofsight.data.video import read_video
from outofsight.errors import CameraError, DatasetError, first_line
from outofsight.files import read_json
from outofsight.geometry.camera_files import read_cameras
from outofsight.types import CameraPath, Clip, Intrinsics, SubjectTrack, Visibility

HM_WORLD_FILES = ("cond.mp4", "tgt.mp4", "camera.json")
FOREGROUND_LEVEL = 128  # of 255: mask videos are compressed, their black and white are not exact


def is_hm_world_sample(folder: Path) -> bool:
    """Tell whether a folder has what an HM-World sample cannot do without."""
    return all((folder / name).is_file() for name in HM_WORLD_FILES)


def read_hm_world_sample(folder: Path, caption: str) -> Clip:
    """Read one released sample as a ``Clip``. What is not there (masks, events, positions) stays ``None`` or empty.

    ``check.json`` tells who is in the frame, not who is occluded: visibility is VISIBLE or OUT_OF_VIEW.
    Raises ``DatasetError``, ``VideoError`` or ``CameraError`` naming the damaged file.
    """
    halves = [read_video(folder / f"{half}.mp4") for half in HALVES]
    sizes = [half.frames.shape[1:3] for half in halves]
    if sizes[0] != sizes[1]:
        raise DatasetError(f"{folder}: cond.mp4 is {sizes[0]}, tgt.mp4 {sizes[1]}; they must have one size")
    counts, places = [len(half.frames) for half in halves], folder / "character.json"
    return Clip(
        name=folder.name,
        video=np.concatenate([half.frames for half in halves]),
        num_context_frames=counts[0],
        fps=halves[0].fps,
        cameras=_seen_through(_cameras(folder / "camera.json", counts), folder, sizes[0]),
        caption=caption,
        masks=_masks(folder, counts),
        subjects=_subjects(folder, counts),
        extra={"character": read_json(places)} if places.exists() else {},
    )


def _cameras(path: Path, counts: list[int]) -> CameraPath:
    paths, poses = read_cameras(path, num_context_frames=counts[0]).paths(), []
    for half, part, count in zip(HALVES, paths, counts, strict=True):
        if len(part) < count:
            raise CameraError(f"{path}: {half}_cam has {len(part)} poses, {half}.mp4 has {count} frames")
        poses.append(part.world_from_camera[:count])
    return CameraPath(world_from_camera=np.concatenate(poses))


def _seen_through(cameras: CameraPath, folder: Path, size: tuple[int, ...]) -> CameraPath:
    """Give cameras the lens that was estimated for the set, lens.json above the sample; without one it is unknown."""
    for place in (folder.parent, folder.parent.parent):
        if (place / "lens.json").is_file():
            content = read_json(place / "lens.json")
            try:
                fov = radians(float(content["fov_x_deg"]))
            except (KeyError, TypeError, ValueError) as error:
                raise DatasetError(f"{place}/lens.json: expected fov_x_deg ({first_line(error)})") from error
            lens = Intrinsics.from_fov(width_px=size[1], height_px=size[0], fov_x_rad=fov)
            return replace(cameras, intrinsics=lens)
    return cameras


def _masks(folder: Path, counts: list[int]) -> NDArray[np.uint8] | None:
    paths = [folder / f"{half}_mask.mp4" for half in HALVES]
    if not any(path.exists() for path in paths):
        return None
    frames = [read_frames(path, count) for path, count in zip(paths, counts, strict=True)]
    return np.where(np.concatenate(frames)[..., 0] >= FOREGROUND_LEVEL, WHITE, 0).astype(np.uint8)


def _subjects(folder: Path, counts: list[int]) -> tuple[SubjectTrack, ...]:
    path = folder / "check.json"
    if not path.exists():
        return ()
    content = read_json(path)
    first, second = (
        _half_events(content, f"{half}_check", count, path)
        for half, count in zip(HALVES, counts, strict=True)
    )
    tracks = []
    for number, name in enumerate(dict.fromkeys([*first, *second]), start=1):
        context = _fill(first.get(name, {}), counts[0], None)
        target = _fill(second.get(name, {}), counts[1], bool(context[-1]))
        seen = np.concatenate([context, target])
        visibility = np.where(seen, Visibility.VISIBLE, Visibility.OUT_OF_VIEW).astype(np.int8)
        tracks.append(SubjectTrack(subject_id=number, name=name, category="unknown", visibility=visibility))
    return tuple(tracks)


def _half_events(content: Any, key: str, num_frames: int, path: Path) -> dict[str, dict[int, bool]]:
    """Read {actor: {character: [{"frame", "inFrame"}]}} as {character: {frame: in frame}}."""
    try:
        events: dict[str, dict[int, bool]] = {}
        for characters in content[key].values():
            for name, listed in characters.items():
                events[str(name)] = {int(event["frame"]): bool(event["inFrame"]) for event in listed}
    except (KeyError, TypeError, AttributeError, ValueError) as error:
        raise DatasetError(
            f"{path}: expected {key} as {{actor: {{character: [events]}}}} ({first_line(error)})"
        ) from error
    late = [(name, frame) for name, known in events.items() for frame in known if not 0 <= frame < num_frames]
    if late:
        name, frame = late[0]
        raise DatasetError(f"{path}: {name} has an event at frame {frame} of {num_frames} in {key}")
    return events


def _fill(events: dict[int, bool], num_frames: int, before: bool | None) -> NDArray[np.bool_]:
    """Spread events over frames. Before the first: as the half before ended, else the opposite of the first event.

    A character without any event never crosses the edge; it is taken to be in the frame, where the release films it.
    """
    state = before if before is not None else (not events[min(events)] if events else True)
    filled = np.empty(num_frames, dtype=bool)
    for frame in range(num_frames):
        state = events.get(frame, state)
        filled[frame] = state
    return filled
