"""What the rooms hand to each other: plain frozen records of numpy arrays, checked when they are made.

Conventions: metres, seconds, radians; world z up, right-handed; camera axes OpenCV (x right, y down, z forward);
a matrix is named for what it maps (``world_from_camera``).
"""

from dataclasses import dataclass, field
from enum import IntEnum
from math import atan, degrees, pi, tan
from typing import Any

import numpy as np
from numpy.typing import NDArray

from outofsight.errors import CameraError, InputError

ROTATION_TOLERANCE = 1e-3
"""Largest accepted entry of |R Rᵀ − 1|: published files carry float32 or six printed decimals."""


SHAPE_TOLERANCE = 5e-3
"""Two sizes are of one shape if their aspect ratios differ by no more than this part: sizes are whole pixels."""


class Visibility(IntEnum):
    """How a subject stands to the picture in one frame."""

    VISIBLE = 0
    CUT = 1  # partly outside the frame
    OCCLUDED = 2  # inside the frame, hidden by something
    OUT_OF_VIEW = 3


def is_seen(visibility: NDArray[np.int8]) -> NDArray[np.bool_]:
    """Tell where something of a subject is seen: wholly, or cut by the frame."""
    seen: NDArray[np.bool_] = (visibility == Visibility.VISIBLE) | (visibility == Visibility.CUT)
    return seen


@dataclass(frozen=True, kw_only=True)
class Intrinsics:
    """A pinhole camera. The picture spans [0, width] × [0, height]; x right, y down; pixel centres at .5."""

    width_px: int
    height_px: int
    fx_px: float
    fy_px: float
    cx_px: float
    cy_px: float

    def __post_init__(self) -> None:
        numbers = self.lens_px
        if min(self.width_px, self.height_px) < 1 or not np.isfinite(numbers).all() or min(numbers[:2]) <= 0:
            raise CameraError(
                f"intrinsics: expected a picture of ≥ 1 pixel and finite fx, fy > 0, got {self.width_px}×"
                f"{self.height_px} and fx, fy, cx, cy = {', '.join(f'{number:g}' for number in numbers)}"
            )

    @property
    def lens_px(self) -> NDArray[np.float64]:
        """fx, fy, cx, cy in pixels: float64 [4]."""
        return np.array((self.fx_px, self.fy_px, self.cx_px, self.cy_px), dtype=np.float64)

    @classmethod
    def from_fov(cls, *, width_px: int, height_px: int, fov_x_rad: float) -> "Intrinsics":
        """Make a camera with square pixels and its axis through the middle, from its horizontal field of view.

        Raises:
            CameraError: a field of view that is not between 0° and 180°.
        """
        if not 0 < fov_x_rad < pi:
            raise CameraError(f"a field of view lies between 0° and 180°, got {degrees(fov_x_rad):g}°")
        focal_px = width_px / (2 * tan(fov_x_rad / 2))
        return cls(
            width_px=width_px,
            height_px=height_px,
            fx_px=focal_px,
            fy_px=focal_px,
            cx_px=width_px / 2,
            cy_px=height_px / 2,
        )

    @property
    def normalized(self) -> NDArray[np.float32]:
        """fx and cx in shares of the width, fy and cy of the height: float32 [4], fx, fy, cx, cy."""
        return (self.lens_px / (2 * (self.width_px, self.height_px))).astype(np.float32)

    def scaled_to(self, *, width_px: int, height_px: int) -> "Intrinsics":
        """Return the lens of the same picture at another size; nothing in shares of the picture changes.

        Raises:
            CameraError: a picture of another shape, in which nobody can tell what was cut off.
        """
        if abs(self.width_px / self.height_px * height_px / width_px - 1) > SHAPE_TOLERANCE:
            raise CameraError(
                f"intrinsics of a picture of {self.height_px}×{self.width_px}, but the video has {height_px}×"
                f"{width_px}, which is another shape; give those of the video itself"
            )
        across, down = width_px / self.width_px, height_px / self.height_px
        return Intrinsics(
            width_px=width_px, height_px=height_px, fx_px=self.fx_px * across, fy_px=self.fy_px * down,
            cx_px=self.cx_px * across, cy_px=self.cy_px * down,
        )  # fmt: skip

    @property
    def fov_x_rad(self) -> float:
        return 2 * atan(self.width_px / (2 * self.fx_px))

    @property
    def fov_y_rad(self) -> float:
        return 2 * atan(self.height_px / (2 * self.fy_px))


@dataclass(frozen=True, kw_only=True, eq=False)
class CameraPath:
    """A camera's pose in every video frame.

    ``world_from_camera``: float64 [n, 3, 4], OpenCV camera axes, metres. ``intrinsics`` may be unknown.
    Raises ``CameraError`` naming the frame if a pose is not finite or not a rotation.
    """

    world_from_camera: NDArray[np.float64]
    intrinsics: Intrinsics | None = None

    def __post_init__(self) -> None:
        try:
            poses = np.array(self.world_from_camera, dtype=np.float64)  # a copy: the caller keeps theirs
        except (TypeError, ValueError) as error:
            raise CameraError(
                "camera path: expected poses of shape [n, 3, 4], got no array of numbers"
            ) from error
        if poses.ndim != 3 or poses.shape[1:] != (3, 4) or len(poses) == 0:
            raise CameraError(f"camera path: expected poses of shape [n, 3, 4] with n ≥ 1, got {poses.shape}")
        check_rotations(poses[:, :, :3], poses[:, :, 3], "camera path")
        poses.setflags(write=False)
        object.__setattr__(self, "world_from_camera", poses)

    def __len__(self) -> int:
        return len(self.world_from_camera)

    def __getitem__(self, frames: slice) -> "CameraPath":
        return CameraPath(world_from_camera=self.world_from_camera[frames], intrinsics=self.intrinsics)


def check_rotations(rotations: NDArray[np.float64], translations: NDArray[np.float64], source: str) -> None:
    """Raise ``CameraError`` naming the first frame whose pose is not a finite rigid motion."""
    for frame, (rotation, translation) in enumerate(zip(rotations, translations, strict=True)):
        if not (np.isfinite(rotation).all() and np.isfinite(translation).all()):
            raise CameraError(f"{source}, frame {frame}: the pose holds NaN or infinity; give finite numbers")
        error = float(np.abs(rotation @ rotation.T - np.eye(3)).max())
        determinant = float(np.linalg.det(rotation))
        if error > ROTATION_TOLERANCE or determinant < 0:
            raise CameraError(
                f"{source}, frame {frame}: expected a rotation, got a 3×3 part with |R Rᵀ − 1| = {error:.2g} and "
                f"determinant {determinant:.3g}; check axes, order of rows and columns, and scale"
            )


@dataclass(frozen=True, kw_only=True, eq=False)
class SubjectTrack:
    """What one subject does in every frame of a clip, seen or unseen.

    ``world_from_subject`` float64 [n, 3, 4] (origin on the ground, x forward, z up); ``velocity_m_s`` float64 [n, 3];
    ``visibility`` int8 [n] of ``Visibility``; ``box_px`` float32 [n, 4] = x0, y0, x1, y1 of the projected body,
    NaN where it is wholly behind the camera or out of view. Unknown fields of foreign data are ``None``.
    """

    subject_id: int  # value in the clip's instance masks; 0 is background
    name: str
    category: str
    visibility: NDArray[np.int8]
    world_from_subject: NDArray[np.float64] | None = None
    velocity_m_s: NDArray[np.float64] | None = None
    box_px: NDArray[np.float32] | None = None

    def __post_init__(self) -> None:
        n = len(self.visibility)
        for field_name in ("world_from_subject", "velocity_m_s", "box_px"):
            value = getattr(self, field_name)
            if value is not None and len(value) != n:
                raise InputError(
                    f"subject {self.name!r}: {field_name} has {len(value)} frames, visibility has {n}; they must agree"
                )


@dataclass(frozen=True, kw_only=True, eq=False)
class Clip:
    """A context video, the video that truly follows, and all that is known about both.

    ``video`` uint8 [n, height, width, 3], context frames first. ``masks`` uint8 [n, height, width]: instance ids
    (0 background), or 0/255 foreground where a data set has no ids (``masks_are_instances`` false).
    ``depth_m`` float32 [n, height, width]. The target half starts at frame ``num_context_frames``.
    """

    name: str
    video: NDArray[np.uint8]
    num_context_frames: int
    fps: float
    cameras: CameraPath
    caption: str
    masks: NDArray[np.uint8] | None = None
    masks_are_instances: bool = False
    depth_m: NDArray[np.float32] | None = None
    subjects: tuple[SubjectTrack, ...] = ()
    extra: dict[str, Any] = field(default_factory=dict)  # the source's own annotation, as read

    def __post_init__(self) -> None:
        if self.video.ndim != 4 or self.video.shape[-1] != 3:
            raise InputError(
                f"clip {self.name!r}: expected video [n, height, width, 3], got {self.video.shape}"
            )
        n = len(self.video)
        if not 0 < self.num_context_frames <= n:
            raise InputError(
                f"clip {self.name!r}: {self.num_context_frames} context frames of {n} frames in all"
            )
        for part, length in (
            ("cameras", len(self.cameras)),
            *((s.name, len(s.visibility)) for s in self.subjects),
        ):
            if length != n:
                raise InputError(
                    f"clip {self.name!r}: {part} has {length} frames, the video has {n}; they must agree"
                )
        for part in ("masks", "depth_m"):
            value = getattr(self, part)
            if value is not None and value.shape != self.video.shape[:3]:
                raise InputError(
                    f"clip {self.name!r}: {part} {value.shape} does not match video {self.video.shape[:3]}"
                )

        if self.cameras.intrinsics is not None:
            try:
                self.cameras.intrinsics.scaled_to(width_px=self.video.shape[2], height_px=self.video.shape[1])
            except CameraError as error:
                raise InputError(f"clip {self.name!r}: {error}") from error

    @property
    def num_target_frames(self) -> int:
        return len(self.video) - self.num_context_frames


@dataclass(frozen=True)
class LatentClock:
    """How video frames and latent frames go together: the first latent frame is one video frame, every later one
    ``stride``.

    ::

        video frame    0 │ 1 2 3 4 │ 5 6 7 8 │ ...     4·k + 1 in all; what ``goes_on`` after other frames has
        latent frame   0 │ └──1──┘ │ └──2──┘ │         no frame that stands alone, and 4·k

    A latent frame lies at the last of its video frames: 0, 4, 8, ...; where it goes on, at 3, 7, ...
    """

    stride: int = 4

    def __post_init__(self) -> None:
        if self.stride < 1:
            raise InputError(f"a temporal stride must be ≥ 1, got {self.stride}")

    def num_frames(self, num_latent: int, *, goes_on: bool = False) -> int:
        """Count the video frames of latent frames."""
        return self.stride * num_latent - (0 if goes_on else self.stride - 1)

    def num_latent(self, num_frames: int, *, goes_on: bool = False) -> int:
        """Count the latent frames of video frames.

        Raises:
            InputError: a number that makes no whole latent frames, with the nearest that do.
        """
        alone = 0 if goes_on else 1
        groups, rest = divmod(num_frames - alone, self.stride)
        if num_frames < 1 or rest:
            near = [self.num_frames(max(groups + alone, 1), goes_on=goes_on)]
            near += [self.num_frames(groups + alone + 1, goes_on=goes_on)] if groups + alone > 0 else []
            raise InputError(
                f"expected {self.stride}·k{'' if goes_on else ' + 1'} video frames, got {num_frames}; the nearest such "
                f"number: {' or '.join(map(str, near))}"
            )
        return groups + alone

    def whole(self, num_frames: int) -> int:
        """Give the most video frames, at most so many, that make whole latent frames."""
        return (num_frames - 1) // self.stride * self.stride + 1

    def frames(self, num_frames: int, *, goes_on: bool = False) -> NDArray[np.int64]:
        """Give the video frame that each latent frame lies at. Raises ``InputError`` as ``num_latent``."""
        self.num_latent(num_frames, goes_on=goes_on)
        return np.arange(self.stride - 1 if goes_on else 0, num_frames, self.stride)

    def spans(self, num_frames: int) -> list[slice]:
        """Give the video frames of each latent frame. Raises ``InputError`` as ``num_latent``."""
        return [slice(max(last - self.stride + 1, 0), last + 1) for last in self.frames(num_frames).tolist()]


WAN_CLOCK = LatentClock()
"""Of Wan's VAE, and of all that train here."""


@dataclass(frozen=True, kw_only=True)
class LatentGrid:
    """The token grid of a sequence: latent frames (context first) of ``height`` × ``width`` tokens."""

    frames: int
    height: int
    width: int
    context_frames: int = 0

    def __post_init__(self) -> None:
        if min(self.frames, self.height, self.width) < 1 or not 0 <= self.context_frames <= self.frames:
            raise InputError(f"a token grid needs ≥ 1 frame, row and column and context ≤ frames, got {self}")

    @property
    def tokens_per_frame(self) -> int:
        return self.height * self.width

    @property
    def num_tokens(self) -> int:
        return self.frames * self.tokens_per_frame
