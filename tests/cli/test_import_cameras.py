"""``outofsight cameras import``: a pose file that can be read, and one line for what cannot."""

import numpy as np
import pytest

from outofsight.geometry.path_expressions import make_path
from outofsight.geometry.pose_files import read_poses

POSES = make_path("truck:right:1", 5).world_from_camera


def test_import(outofsight, tmp_path):
    np.savez(tmp_path / "vipe.npz", data=POSES, inds=np.arange(5))
    code, said, _ = outofsight(
        "cameras", "import", "vipe.npz", "--out", "cameras.json", "--metres-per-unit", 2
    )
    assert code == 0
    assert "5 frames, no lens" in said
    assert read_poses(tmp_path / "cameras.json").world_from_camera[-1, :, 3] == pytest.approx(
        2 * POSES[-1, :, 3]
    )
    code, _, said = outofsight("cameras", "import", "vipe.npz", "--out", "cameras.json")
    assert (code, "exists already" in said) == (2, True)
    code, _, said = outofsight("cameras", "import", "nowhere.npz", "--out", "other.json")
    assert (code, said.count("\n")) == (2, 1)
    assert not (tmp_path / "other.json").exists()
