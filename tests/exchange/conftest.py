"""Small sets that we make in each benchmark's format."""

import json

import numpy as np
import pytest
import yaml
from PIL import Image

from outofsight.data.video import write_video
from outofsight.geometry.conventions import to_unreal
from outofsight.geometry.path_expressions import make_path
from small_films import film


@pytest.fixture
def wrbench(tmp_path):
    folder = tmp_path / "natural25"
    folder.mkdir()
    rows = [
        {
            "variant_id": f"cup__{tier}__none",
            "family_id": "cup",
            "oov_gap": gap,
            "world_state_prompt": "A cup falls.",
        }
        for tier, gap in (("T0", "none"), ("T1", "none"), ("T1_gap", "gap"))
    ]
    (folder / "variants.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    write_video(folder / "cup__T0__none.mp4", film(9), 30)
    Image.fromarray(film(1)[0]).save(folder / "cup.png")
    return folder


@pytest.fixture
def mind(tmp_path):
    path = make_path("pan:left:20,truck:right:1", 12)
    for perspective, kind in (("1st_data", "mem_test"), ("3rd_data", "action_space_test")):
        folder = tmp_path / "MIND-Data" / perspective / "test" / kind / "data-7"
        folder.mkdir(parents=True)
        write_video(folder / "video.mp4", film(12), 24)
        rows = [
            _row(time, matrix, perspective) for time, matrix in enumerate(to_unreal(path.world_from_camera))
        ]
        reported = {"mark_time": 6, "total_time": 12, "caption": "A street.", "data": rows}
        (folder / "action.json").write_text(json.dumps(reported))
    return tmp_path / "MIND-Data"


def _row(time, matrix, perspective):
    pitch = np.degrees(np.arcsin(matrix[2, 0]))
    yaw = np.degrees(np.arctan2(matrix[1, 0], matrix[0, 0]))
    own = {
        "pos": dict(zip("xyz", matrix[:3, 3], strict=True)),
        "rpy": {"x": 0.0, "y": float(pitch), "z": float(yaw)},
    }
    row = {"time": time, "actor_pos": own["pos"], "actor_rpy": own["rpy"]}
    if perspective == "3rd_data":
        row |= {"camera_pos": own["pos"], "camera_rpy": own["rpy"], "actor_pos": {"x": 0, "y": 0, "z": 0}}
    return row


@pytest.fixture
def memobench(tmp_path):
    folder = tmp_path / "memo"
    clip = folder / "Synthetic_processed" / "Barnyard" / "Barnyard_001"
    (clip / "RGB0").mkdir(parents=True)
    (clip / "0").mkdir()
    for number, frame in enumerate(film(7)):
        Image.fromarray(frame).save(clip / "RGB0" / f"{number:05d}.jpg")
    poses = np.tile(np.eye(4), (7, 1, 1))
    poses[:, 0, 3] = np.arange(7) * 0.1
    np.save(clip / "0" / "poses.npy", poses)
    np.save(clip / "0" / "intrinsics.npy", np.tile([60.0, 60, 32, 24], (7, 1)))
    (folder / "Real_Raw" / "012").mkdir(parents=True)
    write_video(folder / "Real_Raw" / "012" / "012.mp4", film(7, 1), 30)
    (folder / "prompts.csv").write_text("clip,prompt\nBarnyard_001,A barn.\n012,A kitchen.\n")
    return folder


@pytest.fixture
def stevo(tmp_path):
    folder = tmp_path / "tasks" / "level1" / "fizz_05"
    folder.mkdir(parents=True)
    task = {
        "id": "fizz_05", "category": "scalar_state", "variant_of": "fizz",
        "prompts": {"video_WM": "Fizz. The camera turns.", "camera_WM": "Fizz."},
        "camera_control": {"HY-WorldPlay": "s-1, right-2, left-2", "Genie": None},
    }  # fmt: skip
    (folder / "fizz_05.yaml").write_text(yaml.safe_dump(task))
    Image.fromarray(film(1)[0]).save(folder / "fizz_05_init_frame.png")
    return tmp_path / "tasks"
