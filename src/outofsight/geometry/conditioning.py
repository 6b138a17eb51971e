"""What the model reads of the cameras: one relative pose for each latent frame, as twelve numbers."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from outofsight.errors import CameraError, InputError
from outofsight.geometry.poses import relative_poses
from outofsight.types import CameraPath, LatentClock


@dataclass(frozen=True, kw_only=True, eq=False)
class CameraConditioning:
    """Poses relative to the first target frame, one for each latent frame, rows of the 3×4 flattened.

    ``context`` float32 [c, 12], ``target`` float32 [t, 12]; the translation, in metres, is at 3, 7 and 11.
    ``intrinsics`` float32 [4]: fx, fy, cx, cy in shares of width and height; ``None``: unknown.

    Source: HyDRA, eq. 2 and the published loader.
    """

    context: NDArray[np.float32]
    target: NDArray[np.float32]
    intrinsics: NDArray[np.float32] | None = None

    def __post_init__(self) -> None:
        for name in ("context", "target"):
            rows = np.array(getattr(self, name), dtype=np.float32)
            if rows.ndim != 2 or rows.shape[1] != 12 or len(rows) == 0:
                raise CameraError(
                    f"{name} cameras: expected [latent frames, 12] numbers, got {list(rows.shape)}"
                )
            if not np.isfinite(rows).all():
                frame = int(np.flatnonzero(~np.isfinite(rows).all(axis=1))[0])
                raise CameraError(f"{name} cameras, latent frame {frame}: NaN or infinity; give finite ones")
            object.__setattr__(self, name, rows)
        if self.intrinsics is not None:
            object.__setattr__(self, "intrinsics", checked_lens(self.intrinsics))


def camera_conditioning(
    context: CameraPath, target: CameraPath, temporal_stride: int = 4
) -> CameraConditioning:
    """Make the model's camera input from the poses of every context and every target frame.

    Raises:
        InputError: a number of frames that is not temporal_stride · k + 1.
        CameraError: two lenses.
    """
    reference = target.world_from_camera[0]
    rows = []
    for name, path in (("context", context), ("target", target)):
        try:
            frames = LatentClock(temporal_stride).frames(len(path))
        except InputError as error:
            raise InputError(f"{name} camera path: {error}") from error
        rows.append(flatten_poses(relative_poses(path.world_from_camera[frames], reference)))
    return CameraConditioning(context=rows[0], target=rows[1], intrinsics=common_intrinsics(context, target))


def checked_lens(intrinsics: ArrayLike) -> NDArray[np.float32]:
    """Return normalised intrinsics as float32 [4]. Raises ``CameraError`` if no camera has them."""
    lens = np.array(intrinsics, dtype=np.float32)
    if lens.shape != (4,) or not np.isfinite(lens).all() or min(lens[:2]) <= 0:
        raise CameraError(
            "expected intrinsics of four finite numbers, fx, fy, cx, cy in shares of width and height, the focal "
            f"lengths above 0; got {lens.tolist()}"
        )
    return lens


LENS_TOLERANCE = 1e-3
"""Two lenses are one if their numbers, in shares of the picture, differ by no more than this."""


def common_intrinsics(context: CameraPath, target: CameraPath) -> NDArray[np.float32] | None:
    """Return the normalised intrinsics of a video and its continuation; ``None`` where neither knows them.

    Raises:
        CameraError: they are two lenses: a model reads a video through one.
    """
    known = [path.intrinsics.normalized for path in (context, target) if path.intrinsics is not None]
    if len(known) == 2 and np.abs(known[0] - known[1]).max() > LENS_TOLERANCE:
        raise CameraError(
            f"the context and the target have two lenses ({known[0].tolist()} and {known[1].tolist()}: fx, fy, cx, cy "
            "in shares of the picture); give both the lens of the video"
        )
    return known[0] if known else None


def flatten_poses(poses: ArrayLike) -> NDArray[np.float32]:
    """Flatten poses [..., 3, 4] to float32 [..., 12], row by row."""
    poses = np.asarray(poses)
    return poses.reshape(*poses.shape[:-2], 12).astype(np.float32)
