"""A clip as a mirror would show it: twice the clips for training, where left and right mean nothing to a world.

A mirrored world is no rotated one, so poses change on both sides: world y and the camera's x turn about, and a camera
stays a rotation. Subjects' own left and right turn about with them.
"""

import re
from dataclasses import replace
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

from outofsight.types import CameraPath, Clip, SubjectTrack

Number = TypeVar("Number", bound=np.generic)

WORLD = np.diag([1.0, -1.0, 1.0])
CAMERA = np.diag([-1.0, 1.0, 1.0])
SUBJECT = np.diag([1.0, -1.0, 1.0])
SUFFIX = "-mirrored"
OPPOSITE = {"left": "right", "right": "left", "leftward": "rightward", "rightward": "leftward",
            "leftwards": "rightwards", "rightwards": "leftwards", "clockwise": "anticlockwise",
            "anticlockwise": "clockwise", "counterclockwise": "clockwise"}  # fmt: skip
WORDS = re.compile(r"\b(" + "|".join(sorted(OPPOSITE, key=len, reverse=True)) + r")\b", re.IGNORECASE)


def mirrored(clip: Clip) -> Clip:
    """Return the clip with left and right exchanged, its name ending in ``-mirrored``.

    Pictures, masks, depth, boxes, cameras, subjects' poses and velocities, and the words for sides in the caption
    agree with each other again. ``extra``, the source's own annotation, is left out: it would contradict them.
    Mirroring twice gives the same clip back, but for name, ``extra``, and "counterclockwise", now "anticlockwise".
    """
    width = clip.video.shape[2]
    return replace(
        clip,
        name=clip.name + SUFFIX,
        video=_flipped(clip.video),
        masks=None if clip.masks is None else _flipped(clip.masks),
        depth_m=None if clip.depth_m is None else _flipped(clip.depth_m),
        cameras=_mirrored_path(clip.cameras),
        caption=mirrored_words(clip.caption),
        subjects=tuple(_mirrored_track(track, width) for track in clip.subjects),
        extra={},
    )


def mirrored_words(caption: str) -> str:
    """Exchange the words for sides: left and right, clockwise and anticlockwise."""
    return WORDS.sub(_opposite, caption)


def _opposite(match: re.Match[str]) -> str:
    word = match.group()
    other = OPPOSITE[word.lower()]
    return other.capitalize() if word[0].isupper() else other


def _flipped(pictures: NDArray[Number]) -> NDArray[Number]:
    """Reverse the columns of [n, height, width, ...]."""
    return np.ascontiguousarray(pictures[:, :, ::-1])


def _mirrored_path(path: CameraPath) -> CameraPath:
    lens = path.intrinsics
    if lens is not None:
        lens = replace(lens, cx_px=lens.width_px - lens.cx_px)
    return CameraPath(world_from_camera=_mirrored_poses(path.world_from_camera, CAMERA), intrinsics=lens)


def _mirrored_poses(poses: NDArray[np.float64], local: NDArray[np.float64]) -> NDArray[np.float64]:
    """Mirror poses [n, 3, 4] in the world and in their own axes."""
    return np.concatenate((WORLD @ poses[:, :, :3] @ local, WORLD @ poses[:, :, 3:]), axis=2)


def _mirrored_track(track: SubjectTrack, width: int) -> SubjectTrack:
    poses, velocity, boxes = track.world_from_subject, track.velocity_m_s, track.box_px
    return replace(
        track,
        world_from_subject=None if poses is None else _mirrored_poses(poses, SUBJECT),
        velocity_m_s=None if velocity is None else velocity @ WORLD,
        box_px=None if boxes is None else _mirrored_boxes(boxes, width),
    )


def _mirrored_boxes(boxes: NDArray[np.float32], width: int) -> NDArray[np.float32]:
    """Mirror boxes [n, 4] = x0, y0, x1, y1."""
    turned = boxes.copy()
    turned[:, 0], turned[:, 2] = width - boxes[:, 2], width - boxes[:, 0]
    return turned
