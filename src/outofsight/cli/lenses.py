"""Which lens a case is seen through: its clip, a camera file or ``--fov`` tells it, or else the model's default is."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from math import degrees, radians
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from outofsight.data.annotation import read_cameras_of
from outofsight.data.video import fit_intrinsics, read_video
from outofsight.errors import CameraError
from outofsight.files import read_json
from outofsight.geometry.conditioning import LENS_TOLERANCE
from outofsight.types import Intrinsics

if TYPE_CHECKING:
    from outofsight.sampling.world import WorldModel

CLIP, CAMERA_FILE, FOV, DEFAULT = "clip", "camera file", "--fov", "default"
ESTIMATED_LENS = "estimate"
"""What can tell a lens, as it is written beside the video."""

FOV_TOLERANCE_DEG = 0.1
"""A field of view that is typed by hand agrees with a file's if it is no further off."""


@dataclass(frozen=True, kw_only=True)
class VideoLens:
    """A lens, and where it comes from. ``name``: of the file or folder, for errors."""

    intrinsics: Intrinsics
    source: str
    name: str


def lens_of_clip(folder: Path) -> VideoLens | None:
    """Read a clip's own lens; ``None``: data of others has no annotation, and does not know it."""
    annotation = folder / "annotation.json"
    if not annotation.is_file():
        return None
    lens = read_cameras_of(read_json(annotation), str(annotation)).intrinsics
    return None if lens is None else VideoLens(intrinsics=lens, source=CLIP, name=str(folder))


def video_lens(
    video: Path, given: Sequence[VideoLens], fov_x_deg: float | None, size: tuple[int, int] | None
) -> VideoLens | None:
    """Return the lens of a video fitted to ``size`` (height, width; ``None``: as it is); ``None``: it is unknown.

    ``given``: by files; the first counts. ``fov_x_deg``: by ``--fov``, of the video as it is.

    Raises:
        CameraError: they contradict each other, or one is of a picture of another shape.
    """
    if not given and fov_x_deg is None:
        return None
    height, width = read_video(video, num_frames=1).frames.shape[1:3]
    known = [replace(lens, intrinsics=_of_size(lens, height, width)) for lens in given]
    for other in known[1:]:
        _check_agreement(known[0], other)
    if fov_x_deg is not None:
        by_hand = Intrinsics.from_fov(width_px=width, height_px=height, fov_x_rad=radians(fov_x_deg))
        known.append(VideoLens(intrinsics=by_hand, source=FOV, name=FOV))
        _check_fov(known[0], fov_x_deg)
    return (
        known[0] if size is None else replace(known[0], intrinsics=fit_intrinsics(known[0].intrinsics, *size))
    )


def lens_record(world: "WorldModel", lens: VideoLens | None, height: int, width: int) -> dict[str, Any]:
    """Say for the record which lens the model was given: in shares of the picture, in degrees across, and by what."""
    if lens is None:
        fov_x_rad = radians(world.transformer.config["camera_fov_x_deg"])
        default = Intrinsics.from_fov(width_px=width, height_px=height, fov_x_rad=fov_x_rad)
        lens = VideoLens(intrinsics=default, source=DEFAULT, name="")
    numbers = zip(("fx", "fy", "cx", "cy"), lens.intrinsics.normalized, strict=True)
    shares = {name: round(float(share), 6) for name, share in numbers}
    return {**shares, "fov_x_deg": round(degrees(lens.intrinsics.fov_x_rad), 3), "source": lens.source}


def _of_size(lens: VideoLens, height: int, width: int) -> Intrinsics:
    try:
        return lens.intrinsics.scaled_to(width_px=width, height_px=height)
    except CameraError as error:
        raise CameraError(f"{lens.name}: {error}") from error


def _check_agreement(ours: VideoLens, theirs: VideoLens) -> None:
    one, other = ours.intrinsics.normalized, theirs.intrinsics.normalized
    if np.abs(one - other).max() > LENS_TOLERANCE:
        raise CameraError(
            f"{theirs.name}: its lens ({other.tolist()}: fx, fy, cx, cy in shares of the picture) is not that of "
            f"{ours.name} ({one.tolist()}); give cameras of this clip, or leave its intrinsics out"
        )


def _check_fov(lens: VideoLens, fov_x_deg: float) -> None:
    known = degrees(lens.intrinsics.fov_x_rad)
    if abs(known - fov_x_deg) > FOV_TOLERANCE_DEG:
        raise CameraError(
            f"--fov {fov_x_deg:g}: the {lens.source} says that its lens is {known:.4g}° across ({lens.name}); leave "
            "--fov out"
        )
