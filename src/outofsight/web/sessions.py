"""All sessions of a server: bounded in number, kept for some minutes without a page, and brought back from the disk."""

import asyncio
import time
from collections.abc import Callable
from contextlib import suppress

from outofsight.errors import InputError, OutOfSightError
from outofsight.web.session import House, Session
from outofsight.web.store import new_id
from outofsight.web.walk import Walk

MOST_SESSIONS = 8
GRACE_S = 300.0
"""A session whose page is gone stays in memory so long; then it is on the disk alone."""


class Sessions:
    """Sessions by their ids."""

    def __init__(self, house: House, most: int = MOST_SESSIONS, grace_s: float = GRACE_S) -> None:
        self.house, self.most, self.grace_s = house, most, grace_s
        self._open: dict[str, Session] = {}
        self._opening = asyncio.Lock()
        self.entering = 0
        self._sweeper: asyncio.Task[None] | None = None

    def __len__(self) -> int:
        return len(self._open)

    def get(self, name: str) -> Session | None:
        """Return an open session."""
        return self._open.get(name)

    async def enter(self, name: str | None) -> Session:
        """Return the session of that id, from memory or from the disk; a new one where there is none such.

        Raises:
            OutOfSightError: there are too many, or a walk cannot be begun.
        """
        self.entering += 1
        try:
            async with self._opening:
                return await self._entered(name)
        finally:
            self.entering -= 1

    async def _entered(self, name: str | None) -> Session:
        if name is not None and name in self._open:
            return self._open[name]
        await self._make_room()
        if name is not None and self.house.store.has_session(name):
            source = self.house.store.session(name)
            with suppress(OutOfSightError):  # what is damaged, or another model's, is begun anew
                return await self._opened(name, lambda walk: walk.resume(source))
        return await self._opened(new_id(), self.house.first)

    def start(self) -> None:
        """Begin to let go of sessions that nobody looks at."""
        self._sweeper = asyncio.create_task(self._sweep(), name="sessions")

    async def close(self) -> None:
        """Write every walk down and let go of all."""
        if self._sweeper is not None:
            self._sweeper.cancel()
        for name in list(self._open):
            await self._drop(name)

    async def _opened(self, name: str, begin: Callable[[Walk], None]) -> Session:
        session = Session(name, self.house)
        try:
            await session.open(begin)
        except BaseException:
            await session.close()
            raise
        self._open[name] = session
        return session

    async def _make_room(self) -> None:
        if len(self._open) < self.most:
            return
        alone = [session for session in self._open.values() if session.outbox is None]
        if not alone:
            raise InputError(f"the explorer is full: {self.most} walks are open; close one of their tabs")
        await self._drop(min(alone, key=lambda session: session.left_at).id)

    async def _drop(self, name: str) -> None:
        session = self._open.pop(name)
        await session.close()

    async def _sweep(self) -> None:
        while True:
            await asyncio.sleep(min(self.grace_s / 3, 20.0))
            for name, session in list(self._open.items()):
                if session.outbox is None and time.monotonic() - session.left_at > self.grace_s:
                    async with self._opening:
                        if session.outbox is None and name in self._open:
                            await self._drop(name)
