"""A world small enough to be known exactly: a turning camera, striped scenery, a coloured square that goes its way.

Everything is a function of direction (azimuth to the left, elevation up, in degrees), so cameras, masks and motion are
exact, and whoever looks for saturated colours finds the square and nothing else.
"""

from dataclasses import dataclass

import numpy as np

from outofsight.evaluation.case import ClipCase
from outofsight.geometry.frustum import project
from outofsight.geometry.poses import level_pose
from outofsight.types import CameraPath, Intrinsics, Visibility

HEIGHT, WIDTH, FPS = 32, 48, 10.0
LENS = Intrinsics.from_fov(width_px=WIDTH, height_px=HEIGHT, fov_x_rad=np.deg2rad(50))
RED, BLUE = (230, 20, 20), (20, 20, 230)
HALF_SIZE_DEG = 4.0

AWAY_AND_BACK = np.concatenate([np.arange(16) * 4.0, np.arange(15, -1, -1) * 4.0])
"""16 + 16 frames: the camera turns 60° to the left, and back."""

GENTLE = np.linspace(0, 8, 16)
"""8 + 8 frames: the camera turns a little, and the square is always seen."""

DRIFT = np.arange(32) * -0.4
"""The square's azimuth in each frame: it walks to the right, unseen too."""


def directions(yaw_deg: float) -> tuple[np.ndarray, np.ndarray]:
    """Azimuth and elevation in degrees of every pixel's ray [h, w]."""
    x = (np.arange(WIDTH) + 0.5 - LENS.cx_px) / LENS.fx_px
    y = (np.arange(HEIGHT) + 0.5 - LENS.cy_px) / LENS.fy_px
    right, down = np.meshgrid(x, y)
    azimuth = yaw_deg - np.rad2deg(np.arctan2(right, 1.0))
    elevation = -np.rad2deg(np.arctan2(down, np.hypot(right, 1.0)))
    return azimuth, elevation


def picture(yaw_deg: float, square_deg: float, colour: tuple[int, int, int]) -> tuple[np.ndarray, np.ndarray]:
    """Render one frame: uint8 [h, w, 3] and the square's mask [h, w]."""
    azimuth, elevation = directions(yaw_deg)
    stripes = np.sin(azimuth / 2.1) + np.sin(azimuth / 5.3 + 1) + np.sin(elevation / 3.0 + azimuth / 9.0)
    grey = 120 + 22 * stripes
    mask = (abs(azimuth - square_deg) < HALF_SIZE_DEG) & (abs(elevation) < HALF_SIZE_DEG)
    frame = np.where(mask[..., None], np.array(colour), np.stack([grey, grey + 8, grey - 8], axis=-1))
    return np.clip(np.rint(frame), 0, 255).astype(np.uint8), mask


def square_case(
    yaw_deg=AWAY_AND_BACK, square_deg=None, colour=RED, name="squares", kind="red square", num_context=None
) -> ClipCase:
    """Make a case of the camera's yaw and the square's azimuth in every frame, the first half being the context."""
    square_deg = DRIFT[: len(yaw_deg)] if square_deg is None else square_deg
    frames = [picture(yaw, square, colour) for yaw, square in zip(yaw_deg, square_deg, strict=True)]
    video, masks = (np.stack(part) for part in zip(*frames, strict=True))
    poses = np.stack([level_pose([0, 0, 1.6], yaw_rad=np.deg2rad(yaw)) for yaw in yaw_deg])
    split = len(yaw_deg) // 2 if num_context is None else num_context
    visibility = np.where(masks.any(axis=(1, 2)), Visibility.VISIBLE, Visibility.OUT_OF_VIEW)
    return ClipCase(
        name=name, context=video[:split], truth=video[split:], fps=FPS, foreground=masks, subject_masks=masks[None],
        visibility=visibility[None].astype(np.int8), cameras=CameraPath(world_from_camera=poses, intrinsics=LENS),
        subject_names=(kind,),
    )  # fmt: skip


def seen_at(azimuth_deg: float, yaw_deg: float) -> float:
    """Where (x in px) a camera sees a far direction, by the package's own projection: checks this file."""
    far = 1000 * np.array([np.cos(np.deg2rad(azimuth_deg)), np.sin(np.deg2rad(azimuth_deg)), 0.0])
    pixels, _ = project([far], level_pose([0, 0, 0], yaw_rad=np.deg2rad(yaw_deg)), LENS)
    return float(pixels[0, 0])


@dataclass(frozen=True)
class Sighting:
    """What the detector of colours gives."""

    box_px: np.ndarray
    score: float
    mask: np.ndarray | None
    kind: str | None
    identity: np.ndarray | None


class ColourDetector:
    """Find saturated red and saturated blue; who it is, is the mean colour. ``with_masks`` false: boxes alone."""

    def __init__(self, with_masks=True, with_identity=True):
        self.with_masks, self.with_identity = with_masks, with_identity

    def detect(self, frames):
        return [self._found(frame.astype(int)) for frame in frames]

    def _found(self, frame):
        sightings = []
        for kind, channel in (("red square", 0), ("blue square", 2)):
            others = [c for c in range(3) if c != channel]
            mask = frame[..., channel] - frame[..., others].max(axis=-1) > 100
            if mask.sum() < 4:
                continue
            rows, columns = np.nonzero(mask)
            box = np.array([columns.min(), rows.min(), columns.max() + 1, rows.max() + 1], dtype=np.float32)
            mean = frame[mask].mean(axis=0) - 128
            identity = (mean / np.linalg.norm(mean)).astype(np.float32) if self.with_identity else None
            sightings.append(Sighting(box, 1.0, mask if self.with_masks else None, kind, identity))
        return sightings


@dataclass(frozen=True)
class BlockFeatures:
    patches: np.ndarray
    pictures: np.ndarray


class BlockMeans:
    """A feature network one can work out: a patch is the mean colour of 4×4 pixels less grey, a picture all of them."""

    def __init__(self):
        self.num_frames = 0

    def features(self, frames):
        self.num_frames += len(frames)
        number, height, width, _ = frames.shape
        blocks = frames.reshape(number, height // 4, 4, width // 4, 4, 3)
        patches = (blocks.mean(axis=(2, 4)) - 128).astype(np.float32)
        return BlockFeatures(patches, patches.reshape(number, -1))
