"""WRBench: variants × cameras, from source clips or first frames; results named ``<variant_id>__<camera>.mp4``.

variants.jsonl                        one row a variant: variant_id, world_state_prompt, ti2v_prompt, oov_gap, ...
SOURCES/<variant_id>.mp4 or .png      source clips, else first frames (also named by family_id)
<out>/<model>/videos/<variant>__<camera>.mp4 .target_c2w.npy .camera.json
<out>/<model>/manifest.shard00.jsonl, eval_manifest.json

Source: WRBench (arXiv 2606.20545), data/natural25, runner.py. What its sidecars hold beyond this was not seen.
"""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from outofsight.data.video import write_video
from outofsight.errors import DatasetError
from outofsight.exchange.case import Ask, Benchmark, Case, Frames, limited, matrices_in
from outofsight.exchange.wrbench_cameras import PRESETS, as_camera_path, camera_poses
from outofsight.files import file_in_one_piece, read_text, write_json, write_text
from outofsight.geometry.poses import Poses

DEFAULT_CAMERAS = ("yaw_LR_60", "yaw_RL_60")
SOURCE_SUFFIXES = (".mp4", ".png", ".jpg")


def read_cases(folder: Path, ask: Ask) -> list[Case]:
    """Read variants and pair each with its source and every camera. ``ask.cameras``: presets, paths in words, or
    files ``NAME.target_c2w.npy``; ``ask.sources``: where source clips lie (default: beside the variants).

    Raises:
        DatasetError: no variants, a row without a field, or a variant without a source.
        CameraError: a camera that cannot be understood.
    """
    path = folder / "variants.jsonl" if folder.is_dir() else folder
    rows = _rows(path)
    sources = ask.sources or path.parent
    cameras = dict(_camera(text) for text in ask.cameras or DEFAULT_CAMERAS)
    cases = []
    for row in rows:
        if row.get("oov_gap", "none") != "none":
            continue  # the benchmark is of these rows
        source = _source(sources, row)
        for name, poses in cameras.items():
            video = source.suffix == ".mp4"
            prompt = (
                row["world_state_prompt"] if video else row.get("ti2v_prompt") or row["world_state_prompt"]
            )
            cases.append(
                Case(
                    name=f"{row['variant_id']}__{name}", prompt=str(prompt), context=source,
                    cameras=as_camera_path(poses), fps=15.0,
                    facts={**row, "camera_type": name, "target_c2w": poses.tolist()},
                )
            )  # fmt: skip
    return limited(cases, ask, folder)


def _rows(path: Path) -> list[dict[str, Any]]:
    rows = []
    for number, line in enumerate(read_text(path).splitlines(), start=1):
        if not line.strip():
            continue
        try:
            row = json.loads(line)
        except ValueError as error:
            raise DatasetError(
                f"{path}, line {number}: expected JSON, got something damaged ({error})"
            ) from error
        missing = [
            key
            for key in ("variant_id", "world_state_prompt")
            if not isinstance(row, dict) or not row.get(key)
        ]
        if missing:
            raise DatasetError(
                f"{path}, line {number}: lacks {missing[0]}; is this WRBench's variants.jsonl?"
            )
        rows.append(row)
    return rows


def _source(folder: Path, row: dict[str, Any]) -> Path:
    names = [row["variant_id"], row.get("family_id")]
    for suffix in SOURCE_SUFFIXES:
        for name in names:
            if name and (folder / f"{name}{suffix}").is_file():
                return folder / f"{name}{suffix}"
    raise DatasetError(
        f"{folder}: expected {row['variant_id']}.mp4 (a source clip) or .png (a first frame), found neither; say where "
        "they lie with --sources"
    )


def _camera(text: str) -> tuple[str, Poses]:
    """Name a camera and give its poses."""
    if text.endswith(".npy"):
        return Path(text).name.removesuffix(".npy").removesuffix(".target_c2w"), matrices_in(Path(text))
    if text in PRESETS:
        return text, camera_poses(text)
    return "".join(mark if mark.isalnum() or mark in "-." else "_" for mark in text), camera_poses(text)


def write(root: Path, system: str, case: Case, video: Frames, fps: float) -> None:
    """Write a result and its sidecars, the video last: where it is, the result is whole."""
    folder = root / system / "videos"
    folder.mkdir(parents=True, exist_ok=True)
    poses = np.tile(np.eye(4), (len(case.facts["target_c2w"]), 1, 1))
    poses[:, :3] = case.facts["target_c2w"]
    beside = folder / f"{case.name}.target_c2w.npy"
    with file_in_one_piece(beside) as temporary, temporary.open("wb") as file:
        np.save(file, poses)
    write_json(
        folder / f"{case.name}.camera.json",
        {"camera_type": case.facts["camera_type"], "convention": "opencv_c2w", "frames": len(poses)},
    )
    write_video(folder / f"{case.name}.mp4", video, fps)


def finish(root: Path, system: str, cases: Sequence[Case]) -> None:
    """Write both manifests of the results that are there."""
    found = results(root, system, cases)
    rows = [
        {
            "video_id": case.name, "path": str(found[case.name].relative_to(root / system)),
            "world_state_prompt": case.facts["world_state_prompt"], "camera_type": case.facts["camera_type"],
            "model": system, "variant_id": case.facts["variant_id"],
        }
        for case in cases if case.name in found
    ]  # fmt: skip
    lines = "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows)
    write_text(root / system / "manifest.shard00.jsonl", lines)
    write_json(root / system / "eval_manifest.json", rows, indent=1)


def results(root: Path, system: str, cases: Sequence[Case]) -> dict[str, Path]:
    """Find the results of a system by the cases' names."""
    paths = {case.name: root / system / "videos" / f"{case.name}.mp4" for case in cases}
    return {name: path for name, path in paths.items() if path.is_file()}


WRBENCH = Benchmark(
    name="wrbench", read_cases=read_cases, write=write, finish=finish, results=results, with_context=True
)
