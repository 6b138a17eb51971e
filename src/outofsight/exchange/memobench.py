"""MemoBench: a first frame and a prompt, and cameras of its synthetic part; results as folders of frames.

Synthetic_processed/<Scene>/<Scene>_<NNN>/RGB<n>/*.jpg, <n>/intrinsics.npy (N, 4), <n>/poses.npy (N, 4, 4)
Real_Raw/<NNN>/<NNN>.mp4, FRAMES/
<out>/<model>/Synthetic/<Scene>/<Scene>_<NNN>/frames/00000.png, <out>/<model>/Real/<NNN>/frames/00000.png

Prompts lie apart: a CSV or a text of ``name<tab>caption`` in ``--sources``. Poses are taken for OpenCV's with y down,
which was not seen. Source: MemoBench (arXiv 2606.27537), docs/step1-details.md, io/metadata.py, io/frames.py.
"""

import csv
import re
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from PIL import Image

from outofsight.data.dataset import natural_order
from outofsight.errors import CameraError, DatasetError, first_line
from outofsight.exchange.case import PICTURES, Ask, Benchmark, BenchmarkCase, Frames, limited, matrices_in
from outofsight.files import folder_in_one_piece, read_text
from outofsight.geometry.conventions import z_up_world
from outofsight.types import CameraPath, Intrinsics

NAME_COLUMNS, PROMPT_COLUMNS = ("clip", "clip_id", "name", "id"), ("prompt", "caption", "text")
FPS = 30.0


def _folders(folder: Path, pattern: str) -> list[Path]:
    found = (path for path in folder.glob(pattern) if path.is_dir())
    return sorted(found, key=lambda path: natural_order(path.name))


def _prompts(path: Path) -> dict[str, str]:
    lines = read_text(path).splitlines()
    if path.suffix.lower() != ".csv":
        return {
            name.strip(): text.strip() for name, tab, text in (line.partition("\t") for line in lines) if tab
        }
    rows = list(csv.DictReader(lines))
    heads = {head.strip().lower(): head for head in (rows[0] if rows else {}) if head}
    name, prompt = (
        next((heads[one] for one in known if one in heads), None) for known in (NAME_COLUMNS, PROMPT_COLUMNS)
    )
    if name is None or prompt is None:
        raise DatasetError(f"{path}: expected columns clip and prompt, got {', '.join(heads) or 'none'}")
    return {row[name].strip(): (row[prompt] or "").strip() for row in rows}


def _case(clip: Path, prompts: dict[str, str]) -> BenchmarkCase:
    if clip.name not in prompts:
        raise DatasetError(f"{clip.name}: has no prompt in --sources")
    frames = _frames(clip)
    synthetic = clip.parent.parent.name == "Synthetic_processed"
    cameras = _cameras(clip, frames) if synthetic else None
    inner = ("Synthetic", clip.parent.name, clip.name) if synthetic else ("Real", clip.name)
    return BenchmarkCase(
        name=clip.name, prompt=prompts[clip.name], context=frames, context_frames=(0, 1), cameras=cameras, truth=frames,
        truth_from=1, fps=FPS, facts={"place": "/".join(inner)},
    )  # fmt: skip


def _frames(clip: Path) -> Path:
    found = sorted(
        path for path in clip.iterdir() if path.is_dir() and re.fullmatch(r"RGB\d*|FRAMES", path.name)
    )
    if found:
        return found[0]
    if (clip / f"{clip.name}.mp4").is_file():
        return clip / f"{clip.name}.mp4"
    raise DatasetError(f"{clip}: expected RGB*/, FRAMES/ or {clip.name}.mp4, found none; get this clip anew")


def _cameras(clip: Path, frames: Path) -> CameraPath:
    folder = clip / frames.name.removeprefix("RGB")
    poses = matrices_in(folder / "poses.npy")
    first = next(path for path in sorted(frames.iterdir()) if path.suffix.lower() in PICTURES)
    with Image.open(first) as picture:
        width, height = picture.size
    try:
        with (folder / "intrinsics.npy").open("rb") as file:
            row = np.load(file, allow_pickle=False).reshape(-1, 4)[0].tolist()
    except (OSError, ValueError, EOFError, IndexError) as error:
        raise CameraError(
            f"{folder / 'intrinsics.npy'}: expected rows of fx, fy, cx, cy ({first_line(error)})"
        ) from error
    lens = Intrinsics(
        width_px=width, height_px=height, fx_px=row[0], fy_px=row[1], cx_px=row[2], cy_px=row[3]
    )
    return CameraPath(world_from_camera=z_up_world(poses, "-y")[1:], intrinsics=lens)


class MemoBenchmark(Benchmark):
    """MemoBench's cases and results; nothing lists these but their folders."""

    name = "memobench"

    def read_cases(self, folder: Path, ask: Ask) -> list[BenchmarkCase]:
        """Read both parts. Raises ``DatasetError`` or ``CameraError`` naming what is missing or not as documented."""
        if ask.sources is None:
            raise DatasetError(
                f"{folder}: MemoBench's prompts lie apart; give a CSV (clip, prompt), or lines of name<tab>caption, "
                "as --sources"
            )
        prompts = _prompts(ask.sources)
        clips = _folders(folder / "Synthetic_processed", "*/*") + _folders(folder / "Real_Raw", "*")
        return limited([_case(clip, prompts) for clip in clips], ask, folder)

    def result_path(self, root: Path, system: str, case: BenchmarkCase) -> Path:
        return root / system / case.facts["place"] / "frames"

    def write(self, root: Path, system: str, case: BenchmarkCase, video: Frames, fps: float) -> None:
        """Write the frames as one folder, all or nothing."""
        path = self.result_path(root, system, case)
        path.parent.mkdir(parents=True, exist_ok=True)
        with folder_in_one_piece(path) as temporary:
            for number, frame in enumerate(video):
                Image.fromarray(frame).save(temporary / f"{number:05d}.png")

    def written(self, root: Path, system: str, cases: Sequence[BenchmarkCase]) -> dict[str, Path]:
        found = {}
        for case in cases:
            frames = self.result_path(root, system, case)
            if places := [frames] if frames.is_dir() else sorted(frames.parent.glob("*.mp4")):
                found[case.name] = places[0]
        return found
