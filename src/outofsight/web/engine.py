"""The one thread that all models run in, and the queue before it."""

import asyncio
import ctypes
import sys
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

T = TypeVar("T")


class Engine:
    """Runs what walks ask of the model, one after another. Each session asks for one thing at a time, so that the queue
    is no longer than there are sessions."""

    def __init__(self, prepare: Callable[[], None] | None = None) -> None:
        self._thread = ThreadPoolExecutor(1, "outofsight-model", initializer=prepare)
        self.waiting = 0

    async def run(self, work: Callable[[], T]) -> T:
        """Run something in the model's thread."""
        self.waiting += 1
        try:
            return await asyncio.get_running_loop().run_in_executor(self._thread, work)
        finally:
            self.waiting -= 1

    def close(self) -> None:
        """Take no more work, and wait for what runs."""
        self._thread.shutdown(wait=True, cancel_futures=True)


def give_back_memory() -> None:
    """Give memory that is free back to the system.

    The C library keeps it where small pieces that stay lie between large ones that go, as they do after each step: a
    walk of ten minutes grew by a third of a gigabyte. Nothing happens where the library is not glibc.
    """
    if sys.platform != "linux":
        return
    trim = getattr(ctypes.CDLL(None), "malloc_trim", None)
    if trim is not None:
        trim(0)
