"""Make a data set: many clips, many processes or machines, each clip all or nothing, any part of it resumable.

What a clip shows is none of this room's business: a *maker* turns a ``ClipJob`` into a ``Clip``. The maker is called
with nothing but the job, so the result cannot depend on who makes which clip, or when.
"""

import multiprocessing
import os
import threading
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path
from typing import Any

from outofsight.data.card import write_card
from outofsight.data.dataset import SPLITS, ClipJob, SplitShares, clip_job
from outofsight.data.files import explained, read_json, remove_unfinished, write_json, write_text
from outofsight.data.outputs import check_outputs
from outofsight.data.sample import write_sample
from outofsight.errors import DatasetError, OutOfSightError, OutputError
from outofsight.types import Clip

DATASET_VERSION = 1
JOBS_AHEAD = 2  # jobs waiting for each worker

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


@dataclass(frozen=True, kw_only=True)
class BuildReport:
    """What a build did. ``num_found``: clips that were finished before it began.

    ``num_drawn``, ``num_rendered``: candidates that all the clips took, where the maker tells (0 where it does not).
    """

    folder: Path
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
    tasks = [(make, job, folder / job.split / job.name) for job in waiting]
    for done, name in enumerate(_run(tasks, config), start=num_found + 1):
        if progress is not None:
            progress(done, len(jobs), name)
    for split in SPLITS:
        _write_captions(folder / split, [job for job in jobs if job.split == split])
    num_drawn, num_rendered = write_card(folder, config.identity)
    return BuildReport(
        folder=folder,
        num_clips=len(jobs),
        num_found=num_found,
        num_drawn=num_drawn,
        num_rendered=num_rendered,
    )


def check_dataset_place(folder: Path, config: BuildConfig) -> bool:
    """Refuse a folder that holds something else; tell whether this data set lies there already.

    Raises:
        DatasetError: it holds another data set, or other things.
        OutputError: it cannot be written.
    """
    marker = folder / "dataset.json"
    check_outputs(
        [folder / name for name in ("dataset.json", "README.md", *SPLITS)], [], ours=marker.is_file()
    )
    if marker.exists():
        if (there := read_json(marker)) != config.identity:
            different = sorted(
                key for key in {*there, *config.identity} if there.get(key) != config.identity.get(key)
            )
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


Task = tuple[Maker, ClipJob, Path]


def make_sample(task: Task) -> str:
    """Make one clip and write it. Gives its name."""
    make, job, folder = task
    if not folder.is_dir():  # another build of the same data set may have made it meanwhile
        write_sample(folder, make(job))
    return job.name


def _run(tasks: list[Task], config: BuildConfig) -> Iterator[str]:
    if config.cluster:
        return _run_on_cluster(tasks)
    if config.workers == 1 or len(tasks) <= 1:
        return map(make_sample, tasks)
    return _run_in_processes(tasks, config.workers)


def _die_with_parent() -> None:
    """In a worker: end when the parent ends, however it ended, so that a killed build leaves nobody working."""
    parent = multiprocessing.parent_process()

    def watch() -> None:
        if parent is not None:
            parent.join()
            os._exit(1)

    threading.Thread(target=watch, daemon=True).start()


def _run_in_processes(tasks: list[Task], workers: int) -> Iterator[str]:
    context = multiprocessing.get_context("spawn")
    pool = ProcessPoolExecutor(min(workers, len(tasks)), mp_context=context, initializer=_die_with_parent)
    try:
        yield from _as_completed(pool, iter(tasks), JOBS_AHEAD * workers)
    except BrokenProcessPool as error:
        raise OutputError(
            "a worker process ended unexpectedly (out of memory?); run again, finished clips are kept"
        ) from error
    finally:
        pool.shutdown(wait=True, cancel_futures=True)


def _as_completed(pool: ProcessPoolExecutor, tasks: Iterator[Task], most: int) -> Iterator[str]:
    """Keep at most so many tasks under way; one that fails ends it all once those under way have come to rest."""
    pending: set[Future[str]] = {pool.submit(make_sample, task) for task in islice(tasks, most)}
    while pending:
        done, pending = wait(pending, return_when=FIRST_COMPLETED)
        for future in done:
            name = future.result()
            for task in islice(tasks, 1):
                pending.add(pool.submit(make_sample, task))
            yield name


def _run_on_cluster(tasks: list[Task]) -> Iterator[str]:
    """Hand the tasks to Ray; every machine must see the output folder under the same path."""
    try:
        import ray  # noqa: PLC0415
    except ImportError as error:
        raise DatasetError(
            "building on a cluster needs Ray; install it: pip install 'outofsight[cluster]'"
        ) from error
    if not ray.is_initialized():
        ray.init(log_to_driver=False)
    remote = ray.remote(num_cpus=1)(make_sample)
    pending = [remote.remote(task) for task in tasks]
    while pending:
        done, pending = ray.wait(pending, num_returns=1)
        try:
            yield str(ray.get(done[0]))
        except ray.exceptions.RayTaskError as error:
            _cancel(ray, pending)
            cause = error.cause
            raise (
                cause
                if isinstance(cause, OutOfSightError)
                else DatasetError(f"a clip failed on the cluster: {cause}")
            ) from error


def _cancel(ray: Any, pending: Iterable[Any]) -> None:
    for reference in pending:
        ray.cancel(reference)


def _write_captions(folder: Path, jobs: list[ClipJob]) -> None:
    """Write the part's caption.txt: name, tab, caption."""
    if jobs:
        lines = [
            f"{job.name}\t{(folder / job.name / 'caption.txt').read_text(encoding='utf-8').strip()}"
            for job in jobs
        ]
        write_text(folder / "caption.txt", "\n".join(lines) + "\n")
