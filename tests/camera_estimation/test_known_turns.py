"""A set's lens from clips whose poses are known."""

import numpy as np
import pytest

from outofsight.camera_estimation.known_turns import set_lens, turning_stretch
from outofsight.errors import CameraError
from outofsight.geometry.path_expressions import make_path
from outofsight.types import Intrinsics
from textured_room import film

LENS = Intrinsics.from_fov(width_px=200, height_px=144, fov_x_rad=np.radians(72))


def test_the_stretch_in_which_a_camera_only_turns():
    assert turning_stretch(make_path("truck:left:2:10,pan:left:20:15,dolly:in:1:8", 34)) == slice(10, 26)
    assert turning_stretch(make_path("truck:left:2", 20)) is None
    assert turning_stretch(make_path("pan:left:3", 20)) is None


def test_the_lens_of_a_set():
    pytest.importorskip("pycolmap")
    path = make_path("pan:right:18", 8, intrinsics=LENS)
    found = set_lens([(film(path), path)])
    assert found.clips == 1
    assert found.fov_x_deg == pytest.approx(72, abs=0.7)


def test_a_set_that_does_not_tell_it():
    path = make_path("truck:left:2", 8, intrinsics=LENS)
    with pytest.raises(CameraError, match="no clip turns"):
        set_lens([(np.zeros((8, 144, 200, 3), np.uint8), path)])
