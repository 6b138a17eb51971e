"""Which lens a case is seen through: its clip, a camera file or ``--fov`` tells it, or else the model's default is."""

from dataclasses import dataclass, replace
from math import degrees, radians
from typing import TYPE_CHECKING, Any

import numpy as np

from outofsight.cli.cases import Case, CaseInputs, Shape, is_file
from outofsight.data.annotation import read_cameras_of
from outofsight.data.files import read_json
from outofsight.data.video import fit_intrinsics, read_video
from outofsight.errors import CameraError
from outofsight.geometry.conditioning import LENS_TOLERANCE, CameraConditioning
from outofsight.types import CameraPath, Intrinsics

if TYPE_CHECKING:
    from outofsight.sampling.world import WorldModel

CLIP, CAMERA_FILE, FOV, DEFAULT = "clip", "camera file", "--fov", "default"
"""What can tell a lens, as it is written beside the video."""

FOV_TOLERANCE_DEG = 0.1
"""A field of view that is typed by hand agrees with a file's if it is no further off."""


@dataclass(frozen=True, kw_only=True)
class ToldLens:
    """A lens, and what told it."""

    intrinsics: Intrinsics
    source: str


def find_lens(case: Case, shape: Shape, of_file: Intrinsics | None) -> ToldLens | None:
    """Return the lens of a case's video, fitted as the video is; ``None``: nobody tells it.

    ``of_file``: what the camera file says.

    Raises:
        CameraError: two of clip, file and ``--fov`` contradict each other, or one is of a picture of another shape.
    """
    told = [ToldLens(intrinsics=of_file, source=CAMERA_FILE)] if of_file is not None else []
    of_clip = None if case.clip is None else _lens_of_clip(case)
    if of_clip is not None:
        told.insert(0, ToldLens(intrinsics=of_clip, source=CLIP))
    if not told and shape.fov_x_deg is None:
        return None
    height, width = read_video(case.video, num_frames=1).frames.shape[1:3]
    told = [replace(lens, intrinsics=_of_video(lens, case, height, width)) for lens in told]
    _check_agreement(told, case)
    lens = told[0] if told else _of_fov(shape.fov_x_deg, height, width)
    if shape.fov_x_deg is not None:
        _check_fov_agrees(lens, shape.fov_x_deg)
    if shape.size is None:
        return lens
    return replace(lens, intrinsics=fit_intrinsics(lens.intrinsics, *shape.size))


def seen_through(inputs: CaseInputs, lens: ToldLens) -> CaseInputs:
    """Give all cameras of a case the lens of its video."""
    context, target = inputs.context, inputs.target
    if context is not None:
        context = CameraPath(world_from_camera=context.world_from_camera, intrinsics=lens.intrinsics)
    if isinstance(target, CameraConditioning):
        target = replace(target, intrinsics=lens.intrinsics.normalized)
    else:
        target = CameraPath(world_from_camera=target.world_from_camera, intrinsics=lens.intrinsics)
    return replace(inputs, context=context, target=target, lens=lens)


def lens_record(world: "WorldModel", inputs: CaseInputs) -> dict[str, Any]:
    """Say for the record which lens the model was told: in shares of the picture, in degrees across, and by what."""
    height, width = inputs.video.shape[1:3]
    if inputs.lens is None:
        fov_x_rad = radians(world.transformer.config["camera_fov_x_deg"])
        lens = Intrinsics.from_fov(width_px=width, height_px=height, fov_x_rad=fov_x_rad)
        source = DEFAULT
    else:
        lens, source = inputs.lens.intrinsics, inputs.lens.source
    shares = {
        name: round(float(share), 6)
        for name, share in zip(("fx", "fy", "cx", "cy"), lens.normalized, strict=True)
    }
    return {**shares, "fov_x_deg": round(degrees(lens.fov_x_rad), 3), "source": source}


def _lens_of_clip(case: Case) -> Intrinsics | None:
    """Read a clip's own lens; data of others has no annotation, and does not know it."""
    assert case.clip is not None
    annotation = case.clip / "annotation.json"
    if not annotation.is_file():
        return None
    return read_cameras_of(read_json(annotation), str(annotation)).intrinsics


def _of_video(lens: ToldLens, case: Case, height: int, width: int) -> Intrinsics:
    try:
        return lens.intrinsics.scaled_to(width_px=width, height_px=height)
    except CameraError as error:
        raise CameraError(f"{_named(lens, case)}: {error}") from error


def _of_fov(fov_x_deg: float | None, height: int, width: int) -> ToldLens:
    assert fov_x_deg is not None
    lens = Intrinsics.from_fov(width_px=width, height_px=height, fov_x_rad=radians(fov_x_deg))
    return ToldLens(intrinsics=lens, source=FOV)


def _check_agreement(told: list[ToldLens], case: Case) -> None:
    if len(told) < 2:
        return
    ours, theirs = (lens.intrinsics.normalized for lens in told)
    if np.abs(ours - theirs).max() > LENS_TOLERANCE:
        raise CameraError(
            f"{_named(told[1], case)}: its lens ({theirs.tolist()}: fx, fy, cx, cy in shares of the picture) is not "
            f"that of {case.clip} ({ours.tolist()}); give cameras of this clip, or leave its intrinsics out"
        )


def _check_fov_agrees(lens: ToldLens, fov_x_deg: float) -> None:
    known = degrees(lens.intrinsics.fov_x_rad)
    if abs(known - fov_x_deg) > FOV_TOLERANCE_DEG:
        raise CameraError(
            f"--fov {fov_x_deg:g}: the {lens.source} says that its lens is {known:.4g}° across; leave --fov out"
        )


def _named(lens: ToldLens, case: Case) -> str:
    """Name the file that tells a lens."""
    if lens.source == CLIP:
        return str(case.clip)
    return case.camera if is_file(case.camera) else str(case.context_camera)
