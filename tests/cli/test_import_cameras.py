"""``outofsight cameras import``: a pose file that can be read, and one line for what cannot."""

import json

import numpy as np
import pytest

from outofsight.errors import CameraError
from outofsight.geometry.camera_files import read_cameras, write_cameras
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


def test_one_camera_of_a_recammaster_file(cli, tmp_path):
    path = make_path("pan:left:30", 6)
    write_cameras(tmp_path / "strings.json", path[:3], path[3:], form="strings")
    strings = json.loads((tmp_path / "strings.json").read_text())
    many = {f"frame{frame}": {"cam02": text, "cam01": strings["0"]} for frame, text in strings.items()}
    (tmp_path / "recam.json").write_text(json.dumps(many))
    with pytest.raises(
        CameraError, match=r"2 cameras \(cam01, cam02\).*cameras import .* --camera cam01 --out"
    ):
        read_cameras(tmp_path / "recam.json", num_context_frames=3)
    take = ("cameras", "import", tmp_path / "recam.json", f"--out={tmp_path / 'poses.json'}")
    code, said = cli(*take)
    assert (code, "has the cameras cam01, cam02; name one by --camera" in said) == (2, True), said
    assert cli(*take, "--camera=cam02")[0] == 0
    taken = read_poses(tmp_path / "poses.json").world_from_camera
    assert np.allclose(taken, path.world_from_camera, atol=1e-6)
    del many["frame3"]["cam02"]
    (tmp_path / "recam.json").write_text(json.dumps(many))
    code, said = cli(*take[:3], f"--out={tmp_path / 'other.json'}", "--camera=cam02")
    assert (code, "frame 3" in said) == (2, True), said
