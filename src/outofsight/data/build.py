"""Make a data set: many clips, many processes or machines, each clip all or nothing, any part of it resumable.

What a clip shows is none of this room's business: a *maker* turns a ``ClipJob`` into a ``Clip``. The maker is called
with nothing but the job, so the result cannot depend on who makes which clip, or when.
"""

import os
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

from outofsight.data.card import write_dataset_card
from outofsight.data.dataset import SPLITS, ClipJob, SplitShares, clip_job
from outofsight.data.outputs import check_outputs
from outofsight.data.sample import write_sample
from outofsight.data.workers import run_tasks
from outofsight.errors import DatasetError
from outofsight.files import explained, read_json, read_text, remove_unfinished, write_json, write_text
from outofsight.types import Clip

DATASET_VERSION = 1

GPUS = Path("/proc/driver/nvidia/gpus")
"""A folder for each GPU; looked at without the libraries that would take hold of one."""

Maker = Callable[[ClipJob], Clip]
Progress = Callable[[int, int, str], None]
"""Called with (clips done, clips in all, name of the latest)."""


@dataclass(frozen=True, kw_only=True)
class BuildConfig:
    """What to build. ``recipe``: all that the maker was made from, recorded and compared when a build is resumed.

    ``cluster``: run on the Ray cluster at hand instead of in processes of this machine.
    """

    num_clips: int
    seed: int
    recipe: dict[str, Any]
    shares: SplitShares = field(default_factory=SplitShares)
    workers: int = 1
    cluster: bool = False

    def __post_init__(self) -> None:
        if self.num_clips < 1:
            raise DatasetError(f"expected ≥ 1 clip, got {self.num_clips}")
        if self.workers < 1:
            raise DatasetError(f"expected ≥ 1 worker, got {self.workers}")

    @property
    def identity(self) -> dict[str, Any]:
        """What must be equal for clips to belong to one data set. Their number may grow."""
        shares = {"validation": self.shares.validation, "test": self.shares.test}
        return {"version": DATASET_VERSION, "seed": self.seed, "shares": shares, "recipe": self.recipe}


class BuildReport(NamedTuple):
    """What a build did. ``num_found``: clips that were finished before it began.

    ``num_drawn``, ``num_rendered``: candidates that all the clips took, where the maker tells (0 where it does not).
    """

    num_clips: int
    num_found: int
    num_drawn: int
    num_rendered: int


def build_dataset(
    folder: Path, make: Maker, config: BuildConfig, progress: Progress | None = None
) -> BuildReport:
    """Make every clip that is not there yet, then the card and the caption lists.

    Raises ``DatasetError`` if the folder holds another data set, ``OutputError`` if it cannot be written, and the
    maker's own error; what was finished stays finished.
    """
    _claim(folder, config)
    jobs = [clip_job(index, config.seed, config.shares) for index in range(config.num_clips)]
    waiting = [job for job in jobs if not (folder / job.split / job.name).is_dir()]
    num_found = len(jobs) - len(waiting)
    names = run_tasks(
        make_sample, [(make, job, folder / job.split / job.name) for job in waiting],
        workers=config.workers, cluster=config.cluster, begin=take_gpu, on_gpus=True,
    )  # fmt: skip
    for done, name in enumerate(names, start=num_found + 1):
        if progress is not None:
            progress(done, len(jobs), name)
    for split in SPLITS:
        _write_captions(folder / split, [job for job in jobs if job.split == split])
    num_drawn, num_rendered = write_dataset_card(folder, config.identity)
    return BuildReport(len(jobs), num_found, num_drawn, num_rendered)


def check_dataset_place(folder: Path, config: BuildConfig) -> bool:
    """Refuse a folder that holds something else; tell whether this data set lies there already.

    Raises:
        DatasetError: it holds another data set, or other things.
        OutputError: it cannot be written.
    """
    marker = folder / "dataset.json"
    ours = [folder / name for name in ("dataset.json", "README.md", *SPLITS)]
    check_outputs(ours, [], ours=marker.is_file())
    if marker.exists():
        there, wanted = read_json(marker), config.identity
        if different := sorted(key for key in {*there, *wanted} if there.get(key) != wanted.get(key)):
            raise DatasetError(
                f"{folder}: holds a data set made with another {', '.join(different)}; "
                f"choose another folder, or the same settings to go on with it"
            )
        return True
    if folder.is_dir() and any(not path.name.startswith(".") for path in folder.iterdir()):
        raise DatasetError(f"{folder}: is not empty and holds no dataset.json; choose an empty folder")
    return False


def _claim(folder: Path, config: BuildConfig) -> None:
    """Write dataset.json, or see that the one there is the same; clear what killed builds left, and nobody's work."""
    with explained(folder):
        folder.mkdir(parents=True, exist_ok=True)
    if not check_dataset_place(folder, config):
        write_json(folder / "dataset.json", config.identity, indent=2)
    for part in (folder, *(folder / split for split in SPLITS)):
        remove_unfinished(part)


def take_gpu(worker: int, workers: int) -> None:
    """Let a worker see one of several GPUs, in turn: what renders takes the first that it sees."""
    visible = os.environ.get("CUDA_VISIBLE_DEVICES")
    gpus = visible.split(",") if visible else [str(number) for number, _ in enumerate(GPUS.glob("*"))]
    if workers > 1 and len(gpus) > 1:
        os.environ["CUDA_VISIBLE_DEVICES"] = gpus[worker % len(gpus)]


def make_sample(task: tuple[Maker, ClipJob, Path]) -> str:
    """Make one clip and write it. Gives its name."""
    make, job, folder = task
    if not folder.is_dir():  # another build of the same data set may have made it meanwhile
        write_sample(folder, make(job))
    return job.name


def _write_captions(folder: Path, jobs: list[ClipJob]) -> None:
    """Write the part's caption.txt: name, tab, caption."""
    if jobs:
        lines = [f"{job.name}\t{read_text(folder / job.name / 'caption.txt').strip()}" for job in jobs]
        write_text(folder / "caption.txt", "\n".join(lines) + "\n")
