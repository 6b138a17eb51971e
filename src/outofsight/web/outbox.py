"""What waits to be sent to one page: words in order, and the newest pictures."""

import asyncio
from collections import deque

MOST_WORDS, MOST_FRAMES = 1024, 48
"""Words are never left out: a page that lets so many wait is let go. Of frames the oldest are left out."""


class Outbox:
    """A bounded queue for one page. ``late``: it reads too slowly to be told all; ``dropped``: frames left out."""

    def __init__(self) -> None:
        self._words: deque[str | bytes] = deque()
        self._frames: deque[bytes] = deque()
        self._there = asyncio.Event()
        self.late, self.dropped = False, 0

    def put(self, message: str | bytes) -> None:
        """Add a message that must arrive."""
        if len(self._words) >= MOST_WORDS:
            self.late = True
        else:
            self._words.append(message)
        self._there.set()

    def put_frame(self, message: bytes) -> None:
        """Add a frame, which may be left out."""
        self._frames.append(message)
        while len(self._frames) > MOST_FRAMES:
            self._frames.popleft()
            self.dropped += 1
        self._there.set()

    def forget_frames(self) -> None:
        """Leave out the frames that wait: they are of a past that is no more."""
        self._frames.clear()

    async def get(self) -> str | bytes | None:
        """Wait for the next message; ``None``: the page is too late to go on."""
        while not self._words and not self._frames and not self.late:
            self._there.clear()
            await self._there.wait()
        if self.late:
            return None
        return self._words.popleft() if self._words else self._frames.popleft()
