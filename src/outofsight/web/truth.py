"""The engine's own view of a walk, rendered beside the model's: as much of it as there is time for."""

import asyncio
import time
from collections.abc import Callable
from contextlib import suppress

import numpy as np
from numpy.typing import NDArray

from outofsight.errors import OutOfSightError
from outofsight.web.pictures import jpeg
from outofsight.web.protocol import frame_message
from outofsight.web.scene import Scene
from outofsight.web.studio import Studio
from outofsight.web.walk import Plan
from outofsight.worlds.spec import WorldSpec, spec_to_json

SHARE = 0.8
"""Of the time that a step is shown, which rendering it may take."""


class TruthView:
    """Renders the steps of one session, one at a time; a step that comes while it is busy is left out. ``show`` is
    given each frame, as a message; ``fail`` is told what goes wrong.

    The walk stands still where there is nothing to wait for; what it then looks at is rendered in any case."""

    def __init__(
        self, studio: Studio, show: Callable[[bytes], None], fail: Callable[[OutOfSightError], None]
    ) -> None:
        self._studio, self._show, self._fail = studio, show, fail
        self._task: asyncio.Task[None] | None = None
        self._frame_s = 0.0

    def look(self, scene: Scene, plan: Plan, pane: int, *, wait: bool = False) -> None:
        """Render a step's frames, if the engine made the scene. ``wait``: one that comes while it is busy waits for its
        turn."""
        before = None if self._task is None or self._task.done() else self._task
        if scene.spec is not None and (before is None or wait):
            self._task = asyncio.create_task(self._render(scene, scene.spec, plan, pane, before))

    async def close(self) -> None:
        """Show no more."""
        if self._task is not None:
            self._task.cancel()
            with suppress(asyncio.CancelledError):
                await self._task

    async def _render(
        self, scene: Scene, spec: WorldSpec, plan: Plan, pane: int, before: asyncio.Task[None] | None
    ) -> None:
        if before is not None:
            await asyncio.wait([before])
        poses = plan.cameras.world_from_camera
        chosen = affordable(len(poses), scene.fps, self._frame_s)
        moments, start = plan.first_frame + scene.first_frame + chosen, time.monotonic()
        try:
            frames = await asyncio.to_thread(
                self._studio.ask, "view", spec_to_json(spec), moments, np.asarray(poses[chosen])
            )
        except OutOfSightError as error:
            self._fail(error)
            return
        self._frame_s = (time.monotonic() - start) / len(chosen)
        for index, frame in zip(chosen.tolist(), frames, strict=True):
            message = frame_message(
                jpeg(frame), poses[index], pane=pane, view="truth", step=0, frame=plan.first_frame + index,
                heeds=plan.heeds, last=index == len(poses) - 1,
            )  # fmt: skip
            self._show(message)


def affordable(num_frames: int, fps: float, frame_s: float) -> NDArray[np.int64]:
    """Choose as many frames of a step as can be rendered while it is shown, evenly; the last is one of them.

    ``frame_s``: seconds that one frame took; 0: not known yet.
    """
    count = num_frames if frame_s == 0 else int(SHARE * num_frames / fps / frame_s)
    every = -(-num_frames // max(1, min(count, num_frames)))
    return np.arange(num_frames - 1, -1, -every)[::-1]
