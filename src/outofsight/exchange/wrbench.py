"""WRBench: variants × cameras, from source clips or first frames; results named ``<variant_id>__<camera>.mp4``.

variants.jsonl                        one row a variant: variant_id, world_state_prompt, ti2v_prompt, oov_gap, ...
SOURCES/<variant_id>.mp4 or .png      source clips, else first frames (also named by family_id)
<out>/<model>/videos/NAME.mp4         NAME: <variant>__<camera>; beside it, for the generated frames alone,
                     NAME.mp4.target_c2w.npy [n, 4, 4], NAME.mp4.camera.json, NAME.mp4.camera_trajectory.json
<out>/<model>/manifest.shard00.jsonl, eval_manifest.json
<cache>/pose/NAME/poses.npy           what a pose estimator made of a result

Paths in these files are relative to ``<out>/<model>``, from where its evaluation must be run.
Source: WRBench (arXiv 2606.20545), data/natural25, runner.py, trajectory.py, eval/d1 (Apache-2.0).
"""

import json
from collections.abc import Sequence
from math import radians
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from outofsight.data.video import write_video
from outofsight.errors import DatasetError, InputError
from outofsight.exchange.case import Ask, Benchmark, BenchmarkCase, Frames, limited, matrices_in, resampled
from outofsight.exchange.wrbench_cameras import PRESETS, as_camera_path, camera_scores, worded_poses
from outofsight.files import file_in_one_piece, read_json, read_text, write_json, write_text
from outofsight.geometry.poses import Poses
from outofsight.types import CameraPath, Intrinsics

DEFAULT_CAMERAS = ("yaw_LR_60", "yaw_RL_60")
SOURCE_SUFFIXES = (".mp4", ".png", ".jpg")
CONTEXT_FRAMES = 77
"""Models that see a video see a source clip's first frames; what follows is the truth of a camera that stands still."""
FOV_X_DEG = 60.0
FAMILIES = {"yaw_LR": "rotation", "yaw_RL": "rotation", "static": "static"}
TARGET, CAMERA, TRAJECTORY = ".target_c2w.npy", ".camera.json", ".camera_trajectory.json"


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
        for key in ("variant_id", "world_state_prompt"):
            if not isinstance(row, dict) or not row.get(key):
                raise DatasetError(f"{path}, line {number}: lacks {key}; is this WRBench's variants.jsonl?")
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
        return text, worded_poses(text)
    return "".join(mark if mark.isalnum() or mark in "-." else "_" for mark in text), worded_poses(text)


def _camera_type(name: str) -> str:
    """Take the angle off a preset's name, as its evaluation knows cameras."""
    return name.removesuffix("_60").removesuffix("_30") if name in PRESETS else name


def _lens(size: tuple[int, int]) -> list[list[float]]:
    lens = Intrinsics.from_fov(width_px=size[0], height_px=size[1], fov_x_rad=radians(FOV_X_DEG))
    return [[lens.fx_px, 0.0, lens.cx_px], [0.0, lens.fy_px, lens.cy_px], [0.0, 0.0, 1.0]]


def _yaw_peak_deg(poses: NDArray[np.float64]) -> float:
    turned = poses[0, :3, :3].T @ poses[:, :3, :3]
    return round(float(np.abs(np.degrees(np.arctan2(turned[:, 0, 2], turned[:, 0, 0]))).max()), 6)


def _profile(kind: str, peak_deg: float) -> str:
    if FAMILIES.get(kind) != "rotation":
        return "canonical_static" if kind == "static" else "unknown"
    return "canonical_60deg" if peak_deg == 60 else f"diagnostic_{peak_deg:g}deg"


def score_system(folder: Path, cache: Path) -> dict[str, Any]:
    """Score how a system's results (``<out>/<model>``) follow their cameras, by poses estimated of each.

    Gives the means by camera type, and which results have no poses.

    Raises:
        DatasetError: no results, or none of them has poses. CameraError, InputError: poses that cannot be compared.
    """
    videos = sorted((folder / "videos").glob("*.mp4"))
    if not videos:
        raise DatasetError(f"{folder}: expected WRBench results, videos/NAME.mp4, found none")
    scores: dict[str, list[dict[str, float]]] = {}
    missing = []
    for video in videos:
        estimated = cache / "pose" / video.stem / "poses.npy"
        if not estimated.is_file():
            missing.append(video.stem)
            continue
        target = matrices_in(video.with_name(video.name + TARGET))
        camera = read_json(video.with_name(video.name + CAMERA))
        kind = camera.get("camera_type") if isinstance(camera, dict) else None
        try:
            found = camera_scores(target, matrices_in(estimated)[-len(target) :])
        except InputError as error:
            raise type(error)(f"{estimated}: {error}") from error
        scores.setdefault(str(kind), []).append(found)
    if not scores:
        raise DatasetError(
            f"{cache}: expected poses of results as pose/{videos[0].stem}/poses.npy, found none"
        )
    return {
        "cameras": {
            kind: {
                "videos": len(rows),
                **{name: float(np.mean([row[name] for row in rows])) for name in ("cam_prec", "cam_align")},
            }
            for kind, rows in sorted(scores.items())
        },
        "missing": missing,
    }


class WRBenchmark(Benchmark):
    """WRBench's variants and results."""

    name = "wrbench"
    with_context = True

    def read_cases(self, folder: Path, ask: Ask) -> list[BenchmarkCase]:
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
                video = source.suffix.lower() == ".mp4"
                known = video and name == "static"
                prompt = (
                    row["world_state_prompt"]
                    if video
                    else row.get("ti2v_prompt") or row["world_state_prompt"]
                )
                cases.append(
                    BenchmarkCase(
                        name=f"{row['variant_id']}__{name}", prompt=str(prompt), context=source,
                        context_frames=(0, CONTEXT_FRAMES) if video else None, cameras=as_camera_path(poses),
                        truth=source if known else None, truth_from=CONTEXT_FRAMES, fps=15.0,
                        facts={**row, "camera_type": _camera_type(name), "target_c2w": poses.tolist()},
                    )
                )  # fmt: skip
        return limited(cases, ask, folder)

    def result_path(self, root: Path, system: str, case: BenchmarkCase) -> Path:
        return root / system / "videos" / f"{case.name}.mp4"

    def write(self, root: Path, system: str, case: BenchmarkCase, video: Frames, fps: float) -> None:
        """Write a result and its sidecars, the video last: where it is, the result is whole.

        ``case.facts["condition_frame_count"]``: frames of context that the video begins with (0 if it is not given).
        """
        path = self.result_path(root, system, case)
        path.parent.mkdir(parents=True, exist_ok=True)
        context = int(case.facts.get("condition_frame_count", 0))
        target = resampled(
            CameraPath(world_from_camera=np.array(case.facts["target_c2w"])), len(video) - context
        )
        poses = np.tile(np.eye(4), (len(target), 1, 1))
        poses[:, :3] = target.world_from_camera
        beside = path.with_name(path.name + TARGET)
        with file_in_one_piece(beside) as temporary, temporary.open("wb") as file:
            np.save(file, poses.astype(np.float32))
        size = (video.shape[2], video.shape[1])
        kind, written = case.facts["camera_type"], f"videos/{path.name}"
        facts = {"camera_type": kind, "fps": float(fps), "conversion_mode": "direct_pose"}
        write_json(
            path.with_name(path.name + TRAJECTORY),
            {
                **facts, "coordinate_convention": "opencv_c2w", "source": "camera_trajectory",
                "frame_count": len(poses), "c2w": poses.tolist(),
                "intrinsics": np.tile(_lens(size), (len(poses), 1, 1)).tolist(),
            },
        )  # fmt: skip
        peak = _yaw_peak_deg(np.array(case.facts["target_c2w"]))  # as intended: fewer frames may not meet it
        write_json(
            path.with_name(path.name + CAMERA),
            {
                **facts, "target_coordinate_convention": "opencv_c2w", "target_role": "benchmark_intended_control",
                "target_pose_path": written + TARGET, "camera_trajectory_path": written + TRAJECTORY,
                "control_direction": kind, "control_family": FAMILIES.get(kind, "unknown"),
                "control_profile": _profile(kind, peak),
                "yaw_peak_deg": peak, "evidence_level": "benchmark_intent",
                "adapter_provenance": "deterministic_adapter",
                "num_frames": len(poses), "image_size": list(size), "fov": FOV_X_DEG,
                "trajectory_sampling_rule": "resampled to the generated frames, ends kept",
                "condition_frame_count": context, "generated_frame_count": len(poses),
            },
        )  # fmt: skip
        write_video(path, video, fps)

    def finish(self, root: Path, system: str, cases: Sequence[BenchmarkCase]) -> None:
        """Write both manifests of the results that are there."""
        found = self.written(root, system, cases)
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

    def context_in(self, path: Path) -> int:
        """Tell how many frames of context a result begins with, by what lies beside it.

        Raises:
            DatasetError: nothing there says so.
        """
        beside = path.with_name(path.name + CAMERA)
        camera = read_json(beside) if beside.is_file() else None
        keys = ("condition_frame_count", "source_frame_count", "num_frames")
        said = camera if isinstance(camera, dict) else {}
        count = next((said[key] for key in keys if key in said), None)
        if not isinstance(count, int) or isinstance(count, bool) or count < 0:
            raise DatasetError(
                f"{beside}: expected condition_frame_count, the frames of context that the video begins with; "
                "found none"
            )
        return count
