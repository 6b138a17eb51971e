"""Threads that share a network take turns: diffusers keeps per-call state on modules, and so do hooks of ours."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import wraps
from operator import attrgetter
from threading import Lock, RLock
from typing import Any, ParamSpec, TypeVar
from weakref import WeakKeyDictionary

_LOCKS: "WeakKeyDictionary[object, Any]" = WeakKeyDictionary()
_MAKING = Lock()

P = ParamSpec("P")
R = TypeVar("R")


@contextmanager
def in_turn(network: object) -> Iterator[None]:
    """Use a network, or a tokenizer, alone; other threads wait. A thread that uses it may come in again."""
    with _MAKING:
        lock = _LOCKS.setdefault(network, RLock())
    with lock:
        yield


def takes_turns(part: str) -> Callable[[Callable[P, R]], Callable[P, R]]:
    """Let a method use the network that is its object's attribute ``part`` (dots lead further) alone."""

    def decorate(method: Callable[P, R]) -> Callable[P, R]:
        @wraps(method)
        def alone(*args: P.args, **kwargs: P.kwargs) -> R:
            with in_turn(attrgetter(part)(args[0])):
                return method(*args, **kwargs)

        return alone

    return decorate
