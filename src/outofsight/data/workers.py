"""Run many tasks: in this process, in several of this machine, or on a Ray cluster."""

import multiprocessing
import os
import signal
import threading
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager
from itertools import islice
from typing import Any, TypeVar

from outofsight.errors import InputError, OutOfSightError, OutputError

TASKS_AHEAD = 2
"""Tasks waiting for each worker."""

Task = TypeVar("Task")
Result = TypeVar("Result")
Begin = Callable[[int, int], None]
"""Called in a worker process before its first task, with (its number, how many there are)."""


def run_tasks(
    work: Callable[[Task], Result],
    tasks: Sequence[Task],
    *,
    workers: int = 1,
    cluster: bool = False,
    begin: Begin | None = None,
    on_gpus: bool = False,
) -> Iterator[Result]:
    """Give the result of every task as it comes, in any order. One that fails ends it all; what is done stays done.

    ``begin``: called in each worker process before its tasks. ``on_gpus``: each task of a cluster gets a GPU, if it has
    any.

    Raises:
        InputError: fewer than one worker, or a cluster is asked for and Ray is not installed.
        OutputError: a worker ended unexpectedly.
    """
    if workers < 1:
        raise InputError(f"expected ≥ 1 worker, got {workers}")
    if cluster:
        return _on_cluster(_ray(), work, tasks, on_gpus)
    if workers == 1 or len(tasks) <= 1:
        return map(work, tasks)
    return _in_processes(work, tasks, min(workers, len(tasks)), begin)


def _in_processes(
    work: Callable[[Task], Result], tasks: Sequence[Task], workers: int, begin: Begin | None
) -> Iterator[Result]:
    context = multiprocessing.get_context("spawn")
    numbers = context.SimpleQueue()
    for number in range(workers):
        numbers.put(number)
    pool = ProcessPoolExecutor(
        workers, mp_context=context, initializer=_begin_worker, initargs=(begin, numbers, workers)
    )
    try:
        yield from _as_completed(pool, work, iter(tasks), TASKS_AHEAD * workers)
    except BrokenProcessPool as error:
        raise OutputError(
            "a worker process ended unexpectedly (out of memory?); run again, finished clips are kept"
        ) from error
    finally:
        pool.shutdown(wait=True, cancel_futures=True)


def _as_completed(
    pool: ProcessPoolExecutor, work: Callable[[Task], Result], tasks: Iterator[Task], most: int
) -> Iterator[Result]:
    """Keep at most so many tasks under way; one that fails ends it all once those under way have come to rest."""
    with _deaf_to_interrupts():  # the first submit starts the workers
        pending: set[Future[Result]] = {pool.submit(work, task) for task in islice(tasks, most)}
    while pending:
        done, pending = wait(pending, return_when=FIRST_COMPLETED)
        for future in done:
            result = future.result()
            for task in islice(tasks, 1):
                pending.add(pool.submit(work, task))
            yield result


@contextmanager
def _deaf_to_interrupts() -> Iterator[None]:
    """Start processes that never see Ctrl-C, which a terminal sends to all: it is for the one that waits for them."""
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def _begin_worker(begin: Begin | None, numbers: Any, workers: int) -> None:
    """In a worker: end when the parent ends, however it ended, so that a kill leaves nobody working."""
    parent = multiprocessing.parent_process()

    def watch() -> None:
        if parent is not None:
            parent.join()
            os._exit(1)

    threading.Thread(target=watch, daemon=True).start()
    if begin is not None:
        begin(numbers.get(), workers)


def _ray() -> Any:
    try:
        import ray  # noqa: PLC0415
    except ImportError as error:
        raise InputError("a cluster needs Ray; install it: pip install 'outofsight[cluster]'") from error
    return ray


def _on_cluster(
    ray: Any, work: Callable[[Task], Result], tasks: Sequence[Task], on_gpus: bool
) -> Iterator[Result]:
    """Hand the tasks to Ray; every machine must see data and output under the same paths."""
    if not ray.is_initialized():
        ray.init(log_to_driver=False)
    has_gpus = on_gpus and ray.cluster_resources().get("GPU", 0) >= 1
    remote = ray.remote(num_cpus=1, num_gpus=1 if has_gpus else 0)(work)
    pending = [remote.remote(task) for task in tasks]
    while pending:
        done, pending = ray.wait(pending, num_returns=1)
        yield _fetched(ray, done[0], pending)


def _fetched(ray: Any, reference: Any, pending: Sequence[Any]) -> Any:
    try:
        return ray.get(reference)
    except ray.exceptions.RayTaskError as error:
        for other in pending:
            ray.cancel(other)
        cause = error.cause
        if isinstance(cause, OutOfSightError):
            raise cause from error
        raise OutputError(
            f"a clip failed on the cluster: {cause}; run again, finished clips are kept"
        ) from error
