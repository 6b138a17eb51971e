"""The shape between all benchmarks: a case to continue, and where its result belongs."""

from abc import ABC, abstractmethod
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray
from PIL import Image, UnidentifiedImageError
from scipy.spatial.transform import Rotation, Slerp

from outofsight.data.video import fit_video, read_video, write_video
from outofsight.errors import CameraError, DatasetError, VideoError
from outofsight.types import CameraPath

Frames = NDArray[np.uint8]
PICTURES = (".png", ".jpg", ".jpeg", ".webp")
RECORD = "outofsight.json"
"""Beside a system's results: the settings that made them, by which the same command goes on."""


@dataclass(frozen=True, kw_only=True)
class BenchmarkCase:
    """One thing to continue.

    ``context``: a video, a folder of frames, or one picture, which is repeated; of it ``context_frames`` (first, end)
    are given to a model, or its last ones; ``None``: all. ``context_cameras``, ``cameras``: of context and target;
    ``None``: it stands still. ``truth``: a video or frames, from frame ``truth_from`` on; ``None``: there is none.
    ``facts``: what the benchmark's own files say, for its lists.
    """

    name: str
    prompt: str
    context: Path
    context_frames: tuple[int, int] | None = None
    context_cameras: CameraPath | None = None
    cameras: CameraPath | None = None
    truth: Path | None = None
    truth_from: int = 0
    fps: float = 15.0
    facts: Mapping[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if not self.name or self.name in (".", "..") or set(self.name) & set("/\\\0"):
            raise DatasetError(f"case {self.name!r}: its name cannot name a file")
        if not self.prompt.strip():
            raise DatasetError(f"case {self.name}: has no prompt")


@dataclass(frozen=True, kw_only=True)
class Ask:
    """Which cases: ``camera`` paths of benchmarks that leave them open; ``sources``: where lies what is apart from the
    cases (source videos, prompts); ``limit``: the first so many."""

    cameras: tuple[str, ...] = ()
    sources: Path | None = None
    limit: int | None = None


class Benchmark(ABC):
    """A benchmark's cases, and its results' layout. ``with_context``: its results begin with the context."""

    name: ClassVar[str]
    with_context: ClassVar[bool] = False

    @abstractmethod
    def read_cases(self, folder: Path, ask: Ask) -> list[BenchmarkCase]:
        """Read the cases. Raises ``DatasetError`` or ``CameraError`` naming what is not as documented."""

    @abstractmethod
    def result_path(self, root: Path, system: str, case: BenchmarkCase) -> Path:
        """Say where a case's result lies."""

    def record_path(self, root: Path, system: str) -> Path:
        """Say where the settings lie that made a system's results."""
        return root / system / RECORD

    def write(self, root: Path, system: str, case: BenchmarkCase, video: Frames, fps: float) -> None:
        """Put one result in its place, all or nothing."""
        path = self.result_path(root, system, case)
        path.parent.mkdir(parents=True, exist_ok=True)
        write_video(path, video, fps)

    def finish(self, root: Path, system: str, cases: Sequence[BenchmarkCase]) -> None:  # noqa: B027 - most list nothing
        """Write what lists the results, where anything does."""

    def written(self, root: Path, system: str, cases: Sequence[BenchmarkCase]) -> dict[str, Path]:
        """Find the results that are there, whether or not they are listed yet."""
        paths = {case.name: self.result_path(root, system, case) for case in cases}
        return {name: path for name, path in paths.items() if path.is_file()}

    def results(self, root: Path, system: str, cases: Sequence[BenchmarkCase]) -> dict[str, Path]:
        """Find a finished system's results, as the benchmark's own evaluation does."""
        return self.written(root, system, cases)

    def context_in(self, path: Path) -> int:
        """Tell how many frames of context a result begins with."""
        return 0


def frames_of(path: Path, *, size: tuple[int, int] | None = None, most: int | None = None) -> Frames:
    """Read a video, a folder of numbered pictures or one picture: uint8 [n, height, width, 3].

    Raises:
        VideoError: it is missing or damaged.
    """
    if not path.is_dir() and path.suffix.lower() not in PICTURES:
        return read_video(path, size=size).frames[:most]
    files = (
        sorted(one for one in path.iterdir() if one.suffix.lower() in PICTURES) if path.is_dir() else [path]
    )
    if not files:
        raise VideoError(f"{path}: expected numbered pictures, found none")
    pictures = [_picture(file) for file in files[:most]]
    if len({picture.shape for picture in pictures}) > 1:
        raise VideoError(f"{path}: its pictures are of different sizes; expected one size")
    frames = np.stack(pictures)
    return frames if size is None else fit_video(frames, *size)


def _picture(path: Path) -> Frames:
    try:
        with Image.open(path) as picture:
            return np.asarray(picture.convert("RGB"))
    except (OSError, UnidentifiedImageError) as error:
        raise VideoError(f"{path}: missing, damaged or no picture ({error})") from error


def context_of(
    case: BenchmarkCase, num_frames: int, size: tuple[int, int] | None
) -> tuple[Frames, CameraPath | None]:
    """Give a model's context: so many frames, the last of those that it may see; one picture stands for all.

    Raises:
        VideoError: there are fewer.
    """
    first, end = case.context_frames or (0, None)
    frames = frames_of(case.context, size=size, most=end)[first:]
    if len(frames) == 1:
        return np.repeat(frames, num_frames, axis=0), None
    if len(frames) < num_frames:
        raise VideoError(
            f"{case.context}: has {len(frames)} frames of context, {num_frames} are asked for (--frames)"
        )
    cameras = case.context_cameras
    if cameras is not None and len(cameras) != len(frames):
        raise CameraError(f"case {case.name}: {len(cameras)} cameras for {len(frames)} frames of context")
    return frames[-num_frames:], None if cameras is None else cameras[len(frames) - num_frames :]


def resampled(cameras: CameraPath, num_frames: int) -> CameraPath:
    """Follow a path in another number of frames, first and last kept."""
    poses = cameras.world_from_camera
    if len(cameras) == num_frames:
        return cameras
    if len(cameras) == 1:
        return CameraPath(
            world_from_camera=np.repeat(poses, num_frames, axis=0), intrinsics=cameras.intrinsics
        )
    given, wanted = np.arange(len(cameras)), np.linspace(0, len(cameras) - 1, num_frames)
    turns = Slerp(given, Rotation.from_matrix(poses[:, :, :3]))(wanted).as_matrix()
    places = np.column_stack([np.interp(wanted, given, poses[:, row, 3]) for row in range(3)])
    followed = np.concatenate([turns, places[:, :, None]], axis=2)
    return CameraPath(world_from_camera=followed, intrinsics=cameras.intrinsics)


def matrices_in(path: Path) -> NDArray[np.float64]:
    """Read an .npy of poses [n, 4, 4] or [n, 3, 4] as [n, 3, 4].

    Raises:
        CameraError: it is missing, damaged, or something else.
    """
    try:
        with path.open("rb") as file:
            poses = np.load(file, allow_pickle=False)
    except (OSError, ValueError, EOFError) as error:
        raise CameraError(f"{path}: expected an array of poses, could not read it ({error})") from error
    if poses.ndim != 3 or poses.shape[1:] not in ((4, 4), (3, 4)) or not len(poses):
        raise CameraError(f"{path}: expected poses [n, 4, 4], got {list(poses.shape)}")
    try:
        checked = CameraPath(world_from_camera=poses[:, :3].astype(np.float64))  # rotations, and no NaN
    except CameraError as error:
        raise CameraError(f"{path}: {error}") from error
    return checked.world_from_camera


def limited(cases: list[BenchmarkCase], ask: Ask, folder: Path) -> list[BenchmarkCase]:
    """Cut to the cases asked for. Raises ``DatasetError`` if there is none, or two of one name."""
    if not cases:
        raise DatasetError(f"{folder}: no case of this benchmark was found; name its folder of cases")
    if twice := [name for name, count in Counter(case.name for case in cases).items() if count > 1]:
        raise DatasetError(f"{folder}: two cases are called {twice[0]}")
    return cases[: ask.limit]
