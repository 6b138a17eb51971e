"""How well are a video's cameras estimated, and are bad estimates caught? 12 clips of our engine, and four published.

A bad estimate turns by more than 3°, misses the path by more than 15% of its size (where it is longer than 0.3 m), or
takes the lens for more than 5° wider or narrower than it is, or leaves frames out. The published examples say no lens.
"""

import argparse
import time
from pathlib import Path
from typing import Any

import numpy as np

from outofsight.camera_estimation.estimate import Estimate, estimate_cameras
from outofsight.camera_estimation.verdict import disagreement
from outofsight.data.video import read_video
from outofsight.errors import CameraError
from outofsight.files import read_json, write_json
from outofsight.geometry.camera_files import read_cameras
from outofsight.geometry.pose_files import read_poses
from outofsight.types import CameraPath
from phone_clips import FPS, NUM_FRAMES, TRAJECTORIES, phone_clips
from record import add_out, finish

BAD_TURN_DEG, BAD_SHIFT_SHARE, BAD_FOV_DEG, LEAST_WAY_M = 3.0, 0.15, 5.0, 0.3


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--clips", type=Path, required=True, help="folder for the rendered clips; kept")
    parser.add_argument("--examples", type=Path, help="folder of the published examples: N.mp4 and camN.json")
    parser.add_argument("--seed", type=int, default=4000)
    parser.add_argument(
        "--kept", action="store_true", help="report what earlier runs measured, measure nothing"
    )
    add_out(parser)
    asked = parser.parse_args()
    figures = _kept(asked.clips) if asked.kept else _all(asked)
    published = [one for one in figures if one["video"].startswith("published")]
    ours = figures[: len(figures) - len(published)]
    totals = {name: _counts(rows) for name, rows in (("engine", ours), ("published", published)) if rows}
    print(totals)
    config = {
        "clips": len(TRAJECTORIES),
        "frames": NUM_FRAMES,
        "fps": FPS,
        "size": "480x832",
        "seed": asked.seed,
    }
    question = "cameras estimated from pixels alone against the true ones; bad ones caught, good ones refused"
    finish("estimated_cameras", question, config, {"totals": totals, "videos": figures}, asked.out)


def _all(asked: argparse.Namespace) -> list[dict[str, Any]]:
    figures = []
    for clip in phone_clips(asked.clips, asked.seed):
        figures.append(_measured(clip.folder / "estimate.json", clip.name, clip.folder / "video.mp4", None))
    for path in sorted(asked.examples.glob("*.mp4")) if asked.examples else []:
        cameras = read_cameras(path.parent / f"cam{path.stem}.json").context
        kept = asked.clips / f"published_{path.stem}.json"
        figures.append(_measured(kept, f"published {path.stem}", path, cameras))
    return figures


def _kept(folder: Path) -> list[dict[str, Any]]:
    """Read what earlier runs measured, the engine's clips first."""
    return [
        read_json(path)
        for path in (*sorted(folder.glob("*/estimate.json")), *sorted(folder.glob("published_*.json")))
    ]


def _measured(kept: Path, name: str, path: Path, truth: CameraPath | None) -> dict[str, Any]:
    """Measure one video, or read what an earlier run measured; delete ``kept`` to measure it again."""
    if not kept.is_file():
        truth = truth or read_poses(path.parent / "cameras.json")
        video = read_video(path, num_frames=len(truth)).frames
        write_json(kept, _judged(name, video, truth))
    reported: dict[str, Any] = read_json(kept)
    print(reported, flush=True)
    return reported


def _judged(name: str, video: Any, truth: CameraPath) -> dict[str, Any]:
    """Estimate from pixels alone: the lens unknown, movers unmasked."""
    begin = time.process_time()
    reported: dict[str, Any] = {"video": name, "way_m": round(_size_m(truth), 3)}
    try:
        found = estimate_cameras(video)
    except CameraError as error:
        return {
            **reported,
            "refused": True,
            "bad": None,
            "said": str(error),
            "cpu_s": round(time.process_time() - begin),
        }
    reported |= {"refused": bool(found.verdict.problems()), "cpu_s": round(time.process_time() - begin)}
    reported |= {
        "motion": found.verdict.motion,
        "said": str(found.verdict),
        "problems": found.verdict.problems(),
    }
    return reported | _errors(found, truth)


def _errors(found: Estimate, truth: CameraPath) -> dict[str, Any]:
    if found.verdict.placed < len(truth) and len(found.cameras) < len(truth):
        return {"bad": True}
    turn, shift = disagreement(truth.world_from_camera, found.cameras.world_from_camera)
    assert found.cameras.intrinsics is not None
    fov = float(np.degrees(found.cameras.intrinsics.fov_x_rad))
    errors: dict[str, Any] = {"turn_deg": round(turn, 2), "fov_deg": round(fov, 2)}
    bad = turn > BAD_TURN_DEG
    if _size_m(truth) > LEAST_WAY_M:
        errors["shift_share"] = round(shift, 3)
        bad |= shift > BAD_SHIFT_SHARE
    if truth.intrinsics is not None:
        errors["true_fov_deg"] = round(float(np.degrees(truth.intrinsics.fov_x_rad)), 2)
        bad |= abs(fov - errors["true_fov_deg"]) > BAD_FOV_DEG
    return {**errors, "bad": bool(bad)}


def _size_m(path: CameraPath) -> float:
    return float(np.linalg.norm(np.ptp(path.world_from_camera[:, :, 3], axis=0)))


def _counts(rows: list[dict[str, Any]]) -> dict[str, int]:
    """Count what came out. An estimate that could not be made at all counts as bad and caught."""
    bad = [row for row in rows if row["bad"] is not False]
    good = [row for row in rows if row["bad"] is False]
    return {
        "videos": len(rows),
        "good": len(good),
        "good_refused": sum(row["refused"] for row in good),
        "bad": len(bad),
        "bad_caught": sum(row["refused"] for row in bad),
    }


if __name__ == "__main__":
    main()
