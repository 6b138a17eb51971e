"""STEVO-Bench: tasks as YAML with a first frame beside each; results as one folder with one JSON map.

<level>/<id>/<id>.yaml, <id>_init_frame.png
<out>/<model>/<id>.mp4, output_map.json {id: file}

The camera is given as HY-WorldPlay's keys, ``s-3, right-20, left-20``: a key and for how many latent frames. A key's
3° and 0.08 scene units a latent frame were not seen in this benchmark. Source: STEVO-Bench
(arXiv 2603.13215), README and tasks.
"""

import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import yaml

from outofsight.data.dataset import natural_order
from outofsight.errors import CameraError, DatasetError, first_line
from outofsight.exchange.case import RECORD, Ask, Benchmark, BenchmarkCase, limited
from outofsight.files import read_json, read_text, write_json
from outofsight.geometry.path_expressions import make_path
from outofsight.types import CameraPath

DEGREES_A_LATENT, METRES_A_LATENT = 3.0, 0.08
KEYS = {
    "left": "pan:left:{turn:g}", "right": "pan:right:{turn:g}", "up": "tilt:up:{turn:g}", "down": "tilt:down:{turn:g}",
    "w": "dolly:in:{way:g}", "s": "dolly:out:{way:g}", "a": "truck:left:{way:g}", "d": "truck:right:{way:g}",
}  # fmt: skip
PLAYER = "HY-WorldPlay"
FPS = 16.0


def _case(path: Path, sources: Path | None) -> BenchmarkCase:
    try:
        task = yaml.safe_load(read_text(path))
        name, prompt = str(task["id"]), str(task["prompts"]["camera_WM"])
        control = (task.get("camera_control") or {}).get(PLAYER)
    except (yaml.YAMLError, KeyError, TypeError, AttributeError) as error:
        raise DatasetError(
            f"{path}: expected a task with id and prompts.camera_WM ({first_line(error)})"
        ) from error
    return BenchmarkCase(
        name=name, prompt=prompt, context=_first_frame(path, name, task, sources),
        cameras=None if control is None else keyed_path(str(control), str(path)), fps=FPS,
        facts={"category": task.get("category")},
    )  # fmt: skip


def _first_frame(path: Path, name: str, task: dict[str, Any], sources: Path | None) -> Path:
    family = str(task.get("variant_of") or name)
    for folder in (path.parent, *([sources] if sources else [])):
        for stem in (f"{name}_init_frame", name, f"{family}_init_frame", family):
            if (folder / f"{stem}.png").is_file():
                return folder / f"{stem}.png"
    raise DatasetError(
        f"{path}: has no first frame ({name}_init_frame.png); say where first frames lie with --sources"
    )


def keyed_path(control: str, source: str) -> CameraPath:
    """Follow keys, ``right-20, left-20``, four video frames a latent frame.

    Raises:
        CameraError: a key that is not known.
    """
    steps, total = [], 0
    for part in (piece.strip() for piece in control.split(",")):
        match = re.fullmatch(r"([a-z]+)-(\d{1,4})", part)
        if match is None or match[1] not in KEYS or int(match[2]) < 1:
            raise CameraError(f"{source}: camera_control {part!r}: expected KEY-FRAMES of {', '.join(KEYS)}")
        count = int(match[2])
        words = KEYS[match[1]].format(turn=DEGREES_A_LATENT * count, way=METRES_A_LATENT * count)
        steps.append(f"{words}:{4 * count}")
        total += 4 * count
    return make_path(",".join(steps), total + 1)


class StevoBenchmark(Benchmark):
    """STEVO-Bench's tasks and results."""

    name = "stevo"

    def read_cases(self, folder: Path, ask: Ask) -> list[BenchmarkCase]:
        """Read the tasks. Raises ``DatasetError`` or ``CameraError`` naming the file that is not as documented."""
        paths = sorted(folder.rglob("*.yaml"), key=lambda path: natural_order(path.name))
        return limited([_case(path, ask.sources) for path in paths[: ask.limit]], ask, folder)

    def result_path(self, root: Path, system: str, case: BenchmarkCase) -> Path:
        return root / system / f"{case.name}.mp4"

    def record_path(self, root: Path, system: str) -> Path:
        return root / f"{system}.{RECORD}"  # the results' own folder may hold one JSON alone

    def finish(self, root: Path, system: str, cases: Sequence[BenchmarkCase]) -> None:
        """Write the map of the results that are there: exactly one JSON file is expected."""
        found = self.written(root, system, cases)
        write_json(
            root / system / "output_map.json", {name: path.name for name, path in found.items()}, indent=1
        )

    def results(self, root: Path, system: str, cases: Sequence[BenchmarkCase]) -> dict[str, Path]:
        """Find the results by the folder's map. Raises ``DatasetError`` unless there is exactly one, of names in it."""
        maps = sorted((root / system).glob("*.json"))
        if len(maps) != 1:
            raise DatasetError(
                f"{root / system}: expected exactly one .json, the map of results, found {len(maps)}"
            )
        by_name = read_json(maps[0])
        if not isinstance(by_name, dict) or not all(isinstance(name, str) for name in by_name.values()):
            raise DatasetError(f"{maps[0]}: expected an object of task id → file name")
        names = {case.name for case in cases}
        found = {name: (root / system / file) for name, file in by_name.items() if name in names}
        for name, path in found.items():
            if not (path.is_file() and path.resolve().is_relative_to((root / system).resolve())):
                raise DatasetError(f"{maps[0]}: names {by_name[name]}, which is not in the folder")
        return found
