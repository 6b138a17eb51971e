"""Lenses: which there can be, at which size of picture, and that a video is seen through one."""

from math import nan, pi, radians

import numpy as np
import pytest

from outofsight.errors import CameraError, InputError
from outofsight.geometry.camera_files import read_cameras, write_cameras, write_conditioning
from outofsight.geometry.conditioning import CameraConditioning, camera_conditioning
from outofsight.geometry.path_expressions import make_path
from outofsight.geometry.pose_files import write_poses
from outofsight.types import CameraPath, Clip, Intrinsics

LENS = Intrinsics(width_px=200, height_px=100, fx_px=100, fy_px=110, cx_px=90, cy_px=60)


def seen(path: CameraPath, lens: Intrinsics | None) -> CameraPath:
    return CameraPath(world_from_camera=path.world_from_camera, intrinsics=lens)


CONTEXT, TARGET = make_path("pan:left:20", 5), make_path("pan:right:20", 5)


@pytest.mark.parametrize("fov", [0.0, 180.0, -10.0, 270.0, nan])
def test_a_field_of_view_lies_between_0_and_180(fov):
    with pytest.raises(CameraError, match="between 0° and 180°, got"):
        Intrinsics.from_fov(width_px=8, height_px=4, fov_x_rad=radians(fov))


@pytest.mark.parametrize(
    "bad",
    [
        {"fx_px": nan},
        {"fx_px": -6.0},
        {"fy_px": 0.0},
        {"cx_px": nan},
        {"cy_px": float("inf")},
        {"width_px": 0},
    ],
)
def test_lenses_that_cannot_be(bad):
    good = {"width_px": 8, "height_px": 4, "fx_px": 6.0, "fy_px": 6.0, "cx_px": 4.0, "cy_px": 2.0}
    Intrinsics(**good)
    with pytest.raises(CameraError, match="expected a picture of ≥ 1 pixel and finite fx, fy > 0"):
        Intrinsics(**{**good, **bad})


@pytest.mark.parametrize(
    "bad", [[0.5, nan, 0.5, 0.5], [-0.5, 1, 0.5, 0.5], [0.5, 0, 0.5, 0.5], [0.5, 1, 0.5]]
)
def test_a_conditioning_of_such_a_lens(bad):
    rows = np.eye(3, 4).reshape(1, 12)
    with pytest.raises(CameraError, match="expected intrinsics of four finite numbers"):
        CameraConditioning(context=rows, target=rows, intrinsics=bad)


def test_shares_of_the_picture():
    np.testing.assert_allclose(LENS.normalized, [0.5, 1.1, 0.45, 0.6])
    assert LENS.normalized.dtype == np.float32
    assert Intrinsics.from_fov(width_px=200, height_px=100, fov_x_rad=pi / 2).normalized.tolist() == [
        0.5,
        1,
        0.5,
        0.5,
    ]


def test_the_same_picture_at_another_size():
    assert LENS.scaled_to(width_px=50, height_px=25) == Intrinsics(
        width_px=50, height_px=25, fx_px=25, fy_px=27.5, cx_px=22.5, cy_px=15
    )
    full = Intrinsics.from_fov(width_px=1366, height_px=768, fov_x_rad=1)
    full.scaled_to(width_px=1920, height_px=1080)  # 16:9 in whole pixels


def test_a_picture_of_another_shape_names_both_sizes():
    with pytest.raises(CameraError, match="intrinsics of a picture of 100×200, but the video has 100×100"):
        LENS.scaled_to(width_px=100, height_px=100)


def test_a_clip_has_a_lens_of_its_own_shape():
    video = np.zeros((5, 10, 10, 3), np.uint8)
    with pytest.raises(
        InputError, match="clip 'a': intrinsics of a picture of 100×200, but the video has 10×10"
    ):
        Clip(name="a", video=video, num_context_frames=1, fps=1, cameras=seen(CONTEXT, LENS), caption="")


def test_one_lens_for_context_and_target():
    half = LENS.scaled_to(width_px=100, height_px=50)
    for context, target in ((LENS, None), (None, LENS), (LENS, LENS), (LENS, half)):
        reported = camera_conditioning(seen(CONTEXT, context), seen(TARGET, target)).intrinsics
        np.testing.assert_allclose(reported, LENS.normalized)
    assert camera_conditioning(CONTEXT, TARGET).intrinsics is None
    other = Intrinsics.from_fov(width_px=200, height_px=100, fov_x_rad=1.0)
    with pytest.raises(CameraError, match="the context and the target have two lenses"):
        camera_conditioning(seen(CONTEXT, LENS), seen(TARGET, other))


def test_published_forms_hold_no_lens_and_it_stays_unknown(tmp_path):
    path, halves = tmp_path / "c.json", (seen(CONTEXT, LENS), seen(TARGET, LENS))
    write_cameras(path, *halves)
    assert read_cameras(path).conditioning().intrinsics is None
    write_cameras(path, *halves, form="strings")
    assert read_cameras(path, num_context_frames=5).conditioning().intrinsics is None
    write_conditioning(path, camera_conditioning(*halves))
    assert read_cameras(path).conditioning().intrinsics is None
    whole = np.concatenate([half.world_from_camera for half in halves])
    write_poses(path, CameraPath(world_from_camera=whole, intrinsics=LENS), num_context_frames=5)
    np.testing.assert_allclose(read_cameras(path).conditioning().intrinsics, LENS.normalized)
