"""MIND: a long video up to mark_time is the context, what follows is the truth, cameras in Unreal's axes.

{1st_data,3rd_data}/test/{mem_test,action_space_test}/<name>/action.json, video.mp4
<out>/<model>/{1st_data,3rd_data}/{mem_test,action_space_test}/<name>/video.mp4

action.json: mark_time (the first frame to predict), total_time, caption, data: one row a frame with time, actor_pos,
actor_rpy (x roll, y pitch, z yaw), and for the third person camera_pos, camera_rpy. Degrees and centimetres are taken
for granted. Of the first person only the actor's pose is given, and taken for the camera's. Source: MIND (arXiv
2602.08025), README.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from outofsight.data.dataset import natural_order
from outofsight.errors import CameraError, DatasetError, first_line
from outofsight.exchange.case import Ask, Benchmark, BenchmarkCase, limited
from outofsight.files import read_json
from outofsight.geometry.conventions import from_unreal
from outofsight.types import CameraPath

PERSPECTIVES, KINDS = ("1st_data", "3rd_data"), ("mem_test", "action_space_test")
FPS = 24.0


def _case(folder: Path, perspective: str, kind: str) -> BenchmarkCase:
    path = folder / "action.json"
    content = read_json(path)
    try:
        mark, rows, caption = int(content["mark_time"]), content["data"], str(content["caption"])
        poses = np.stack([_pose(row) for row in rows])
    except (KeyError, TypeError, ValueError) as error:
        raise DatasetError(
            f"{path}: expected mark_time, caption and data with actor_pos and actor_rpy ({first_line(error)})"
        ) from error
    if not 0 < mark < len(rows):
        raise DatasetError(f"{path}: mark_time {mark} leaves no context or no target of {len(rows)} frames")
    if not (folder / "video.mp4").is_file():
        raise DatasetError(f"{folder}: lacks video.mp4; get this case anew")
    try:
        cameras = CameraPath(world_from_camera=from_unreal(poses))
    except CameraError as error:
        raise CameraError(f"{path}: {error}") from error
    return BenchmarkCase(
        name=f"{perspective}__{kind}__{folder.name}", prompt=caption, context=folder / "video.mp4",
        context_frames=(0, mark), context_cameras=cameras[:mark], cameras=cameras[mark:],
        truth=folder / "video.mp4", truth_from=mark, fps=FPS,
        facts={"perspective": perspective, "kind": kind, "folder": folder.name},
    )  # fmt: skip


def _pose(row: Mapping[str, Any]) -> NDArray[np.float64]:
    whose = "camera" if "camera_pos" in row else "actor"
    place, turn = (
        np.array([float(row[f"{whose}_{what}"][axis]) for axis in "xyz"]) for what in ("pos", "rpy")
    )
    matrix = np.eye(4)
    matrix[:3, :3], matrix[:3, 3] = unreal_rotation(*turn), place
    return matrix


def unreal_rotation(roll_deg: float, pitch_deg: float, yaw_deg: float) -> NDArray[np.float64]:
    """Make Unreal's rotation matrix: columns are forward, right and up. Source: FRotationMatrix of Unreal Engine."""
    (sr, sp, sy), (cr, cp, cy) = (f(np.radians([roll_deg, pitch_deg, yaw_deg])) for f in (np.sin, np.cos))
    return np.array(
        [
            [cp * cy, sr * sp * cy - cr * sy, -(cr * sp * cy + sr * sy)],
            [cp * sy, sr * sp * sy + cr * cy, cy * sr - cr * sp * sy],
            [sp, -sr * cp, cr * cp],
        ]
    )


class MindBenchmark(Benchmark):
    """MIND's cases and results; nothing lists these but their folders."""

    name = "mind"

    def read_cases(self, folder: Path, ask: Ask) -> list[BenchmarkCase]:
        """Read the test cases. Raises ``DatasetError`` or ``CameraError`` naming the file that is not as documented."""
        cases = []
        for perspective in PERSPECTIVES:
            for kind in KINDS:
                found = (path for path in (folder / perspective / "test" / kind).glob("*") if path.is_dir())
                paths = sorted(found, key=lambda path: natural_order(path.name))
                cases += [_case(path, perspective, kind) for path in paths]
        return limited(cases, ask, folder)

    def result_path(self, root: Path, system: str, case: BenchmarkCase) -> Path:
        facts = case.facts
        return root / system / facts["perspective"] / facts["kind"] / facts["folder"] / "video.mp4"
