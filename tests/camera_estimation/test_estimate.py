"""Videos of a room that we film, from pixels to cameras; and what is refused."""

import numpy as np
import pytest

from outofsight.camera_estimation.estimate import estimate_cameras
from outofsight.camera_estimation.verdict import disagreement
from outofsight.cli.cases import Shape, find_cases, read_case
from outofsight.data.video import write_video
from outofsight.errors import CameraError
from outofsight.geometry.path_expressions import make_path
from outofsight.geometry.pose_files import read_poses
from outofsight.types import Intrinsics
from textured_room import film

pytest.importorskip("pycolmap")
LENS = Intrinsics.from_fov(width_px=240, height_px=160, fov_x_rad=np.radians(65))


def test_a_camera_that_turns():
    path = make_path("pan:left:24", 9, intrinsics=LENS)
    found = estimate_cameras(film(path), height_m=1.6)
    assert found.verdict.problems() == []
    assert found.verdict.motion == "turns"
    assert disagreement(path.world_from_camera, found.cameras.world_from_camera)[0] < 0.3
    assert np.degrees(found.cameras.intrinsics.fov_x_rad) == pytest.approx(65, abs=1.5)
    assert found.cameras.world_from_camera[:, :, 3] == pytest.approx(np.tile([0, 0, 1.6], (9, 1)))


@pytest.mark.slow
def test_a_camera_that_moves():
    path = make_path("truck:left:1.2+pan:right:12", 33, intrinsics=LENS)
    found = estimate_cameras(film(path), fov_x_deg=65)
    assert found.verdict.problems() == []
    assert found.verdict.motion == "moves"
    turned, shifted = disagreement(path.world_from_camera, found.cameras.world_from_camera)
    assert (turned < 0.7, shifted < 0.05) == (True, True)
    assert not found.scale_is_known


@pytest.mark.parametrize(("way_m", "motion"), [(0.2, "nearly turns"), (0.6, None)])
def test_a_camera_that_nearly_turns_where_structure_fails(way_m, motion, monkeypatch):
    """Walls are 4 m away. Shifted by 15% of that, turns and lens would be off by 2.4° and 6°."""
    monkeypatch.setattr("outofsight.camera_estimation.estimate.estimate_structure", lambda *_, **__: None)
    path = make_path(f"pan:left:24+truck:left:{way_m}", 9, intrinsics=LENS)
    if motion is None:
        with pytest.raises(CameraError, match="the camera moves"):
            estimate_cameras(film(path))
        return
    found = estimate_cameras(film(path))
    assert (found.verdict.motion, found.verdict.problems()) == (motion, [])
    assert disagreement(path.world_from_camera, found.cameras.world_from_camera)[0] < 1.2
    assert np.ptp(found.cameras.world_from_camera[:, :, 3], axis=0) == pytest.approx(0)


def test_grey_frames_have_no_cameras():
    with pytest.raises(CameraError, match="no two frames show the same"):
        estimate_cameras(np.full((8, 128, 128, 3), 90, np.uint8))
    with pytest.raises(CameraError, match="8 frames or more"):
        estimate_cameras(np.full((3, 128, 128, 3), 90, np.uint8))


def test_a_context_that_generate_is_to_estimate(tmp_path):
    path = make_path("pan:left:20", 9, intrinsics=LENS)
    write_video(tmp_path / "pan.mp4", film(path), 15)
    (case,) = find_cases(tmp_path / "pan.mp4", "pan:right:10", "estimate", "A room.", tmp_path / "a.mp4")
    read = read_case(case, Shape(frames=(9, 5), size=(80, 120), repairs=()))
    assert read.video.shape == (9, 80, 120, 3)
    assert disagreement(path.world_from_camera, read.context.world_from_camera)[0] < 0.5
    assert np.degrees(read.lens.intrinsics.fov_x_rad) == pytest.approx(65, abs=1.5)
    assert (read.lens.source, read.lens.intrinsics.width_px) == ("estimate", 120)
    assert read.notes[0].startswith("cameras estimated: the camera turns: 9 of 9 frames")
    ahead = [read.context.world_from_camera[-1, :, 2], read.target.world_from_camera[-1, :, 2]]
    assert np.degrees(np.arccos(ahead[0] @ ahead[1])) == pytest.approx(
        10, abs=0.01
    )  # goes on from its last pose


def test_the_verb(outofsight, tmp_path):
    write_video(tmp_path / "pan.mp4", film(make_path("pan:left:20", 8, intrinsics=LENS)), 15)
    code, said, error = outofsight("cameras", "estimate", "pan.mp4", "--out", "cameras.json", "--fov", 65)
    assert code == 0, error
    assert "the camera turns: 8 of 8 frames" in said
    assert len(read_poses(tmp_path / "cameras.json")) == 8
    assert {path.name for path in tmp_path.iterdir()} == {
        "pan.mp4", "cameras.json", "cameras.png", "cameras.verdict.json",
    }  # fmt: skip
    write_video(tmp_path / "grey.mp4", np.full((9, 128, 128, 3), 90, np.uint8), 15)
    code, _, said = outofsight("cameras", "estimate", "grey.mp4", "--out", "grey.json")
    assert code == 2
    assert said.splitlines()[-1].startswith("outofsight: its cameras cannot be estimated")
    assert not (tmp_path / "grey.json").exists()
