"""A session: a walk that a page drives. It paces steps to the world's own time, and tells the page what happens."""

import asyncio
import logging
import time
from collections import deque
from collections.abc import Awaitable, Callable
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np

from outofsight.errors import InputError, OutOfSightError
from outofsight.web import protocol
from outofsight.web.engine import Engine, give_back_memory
from outofsight.web.mind import Mind
from outofsight.web.outbox import Outbox
from outofsight.web.pane import Pane, Shown
from outofsight.web.protocol import Look, Message, frame_message, to_text, with_picture
from outofsight.web.scene import Scene, scene_of_clip
from outofsight.web.store import WalkStore
from outofsight.web.studio import Studio
from outofsight.web.telling import pictures_of, saves_of, status_of, timeline_of
from outofsight.web.truth import TruthView
from outofsight.web.walk import Plan, Walk
from outofsight.worlds.plan_config import PlanConfig

MOST_COMMANDS = 32
WRITE_EVERY_S = 10.0
HANDS_OFF_S = 180.0
"""A walk that nobody steers for so long is paused."""

LEAST_LEAD_S = 0.06
FIRST_STEP_S = 0.5
"""What a step is taken to need before one was made."""

HURRY_S = 0.6
"""Input is heeded at once, ahead of the pace, no more often than this."""

log = logging.getLogger("outofsight.explorer")


class Abandoned(Exception):
    """A step was given up before it was done, because the keys have changed."""


@dataclass(frozen=True, kw_only=True)
class House:
    """What all sessions share. ``plan``: worlds that can be begun; ``None``: the engine is not installed.
    ``latent_frames``: of a step; one that answers a change of keys is of one. ``first``: what a new session begins
    with."""

    mind: Mind
    engine: Engine
    studio: Studio
    store: WalkStore
    plan: PlanConfig | None
    latent_frames: int
    first: Callable[[Walk], None]


class Session:
    """One walk, its commands, and at most one page that sees it."""

    def __init__(self, name: str, house: House) -> None:
        self.id, self.house = name, house
        self.walk = Walk(house.mind, house.store.session(name), self._watch)
        self.outbox: Outbox | None = None
        self.look = Look(kind="look", number=0)
        self.walking = self.stepping = self.closed = False
        self.doing = ""
        self.views = protocol.ShowViews(kind="views", truth=False, rendered=False)
        self.left_at = self.touched_at = time.monotonic()
        self.step_s: dict[int, float] = {}
        self.frames_a_second = 0.0
        self._drag = np.zeros(2)
        self._commands: deque[Any] = deque()
        self._wake = asyncio.Event()
        self._due = self._hurried_at = 0.0
        self._abandon = self._may_abandon = self._hurry = False
        self._written_at = time.monotonic()
        self._truth = TruthView(house.studio, self._put_frame, self._no_truth)
        self._sent: dict[tuple[int, str], bytes] = {}
        self._driver: asyncio.Task[None] | None = None

    # ---- the page ------------------------------------------------------------------------------------------------

    def attach(self, outbox: Outbox) -> None:
        """Show the walk to a page from now on; another that saw it until now is told so, and let go."""
        if self.outbox is not None:
            self.outbox.put(to_text(protocol.Error(line="this walk goes on in another tab")))
            self.outbox.put("")
        self.outbox, self._sent = outbox, {}
        self.touched_at = time.monotonic()
        if self._driver is not None:
            self.tell_all()
        self._wake.set()

    def detach(self, outbox: Outbox) -> None:
        """The page is gone; the walk waits for it."""
        if self.outbox is outbox:
            self.outbox, self.walking, self.left_at = None, False, time.monotonic()
            self._commands.append("write")
            self._wake.set()

    def tell(self, message: Message) -> None:
        """Send a message to the page, if there is one."""
        self._put(to_text(message))

    def _put(self, message: str | bytes) -> None:
        if self.outbox is not None:
            self.outbox.put(message)

    def _put_frame(self, frame: bytes) -> None:
        if self.outbox is not None:
            self.outbox.put_frame(frame)

    def _complain(self, line: str) -> None:
        self.tell(protocol.in_one_line(line))

    def tell_all(self) -> None:
        """Tell a page everything that it needs to show the walk as it stands."""
        self.tell(saves_of(self.house.store))
        self.tell(status_of(self))
        for number in (0, 1):
            self.tell_pane(number)

    def tell_pane(self, number: int) -> None:
        """Tell all of one pane: that it shows another past now, its pictures, timeline, last frame, and memory."""
        there = number < len(self.walk.panes)
        if self.outbox is not None:
            self.outbox.forget_frames()
        frame = self.walk.panes[number].rollout.num_frames - 1 if there else -1
        self.tell(protocol.Cleared(pane=number, open=there, frame=frame))
        if not there:
            return
        pane = self.walk.panes[number]
        self._tell_pictures(pane)
        self.tell(timeline_of(pane))
        if pane.still is not None:
            self._put(
                frame_message(
                    pane.still, pane.rollout.last_pose, pane=number, view="model", step=pane.rollout.num_steps,
                    frame=frame, heeds=0, last=True,
                )
            )  # fmt: skip
        self.tell(pane.memory())

    def take(self, message: Any) -> None:
        """Take a command from the page. Keys and pause count at once; the rest in order, between steps.

        Raises:
            InputError: too many wait.
        """
        self.touched_at = time.monotonic()
        if isinstance(message, Look):
            self._steer(message)
        elif isinstance(message, protocol.Pause):
            self.walking = not message.on
            if message.on:
                self._commands.append("write")
            self.tell(status_of(self))
        elif len(self._commands) >= MOST_COMMANDS:
            raise InputError(f"{MOST_COMMANDS} commands wait already; this one is left out")
        else:
            self._commands.append(message)
        self._wake.set()

    def state(self) -> dict[str, Any]:
        """Tell where the session stands, as JSON can hold it: what tests and programs ask for."""
        return {
            "session": self.id,
            "status": status_of(self).model_dump(),
            "panes": [
                {"memory": pane.memory().model_dump(), "timeline": timeline_of(pane).model_dump()}
                for pane in self.walk.panes
            ],
            "looked": self.look.number,
            "stepping": self.stepping,
        }

    # ---- its life ------------------------------------------------------------------------------------------------

    async def open(self, begin: Callable[[Walk], None]) -> None:
        """Begin, or go on with what was written of this session. Raises ``OutOfSightError`` where that cannot be."""
        self.doing = "the model gets ready"
        await self.house.engine.run(partial(begin, self.walk))
        self.doing = ""
        await self.house.engine.run(self.walk.write)
        self._driver = asyncio.create_task(self._drive(), name=f"walk {self.id[:6]}")
        self.tell_all()

    async def close(self) -> None:
        """Write the walk down and let go of it."""
        self.closed = True
        self._wake.set()
        await self._truth.close()
        if self._driver is not None:
            self._driver.cancel()
            with suppress(asyncio.CancelledError):
                await self._driver
        if self.walk.panes:
            with suppress(OutOfSightError):
                await self.house.engine.run(self.walk.write)
        self.walk.close()

    async def _drive(self) -> None:
        while not self.closed:
            self._wake.clear()
            try:
                if self._commands:
                    await self._do(self._commands.popleft())
                elif not self.walking or self.outbox is None:
                    await self._wake.wait()
                elif time.monotonic() - self.touched_at > HANDS_OFF_S and not any(_keys(self.look)):
                    self.walking = False
                    self._complain("paused: nobody has steered for 3 minutes; any key goes on")
                    self.tell(status_of(self))
                elif (wait := self._wait_s()) > 0:
                    with suppress(TimeoutError):
                        await asyncio.wait_for(self._wake.wait(), wait)
                else:
                    await self._step()
            except Abandoned:
                continue
            except OutOfSightError as error:
                self._complain(str(error))
                self.doing = ""
            except asyncio.CancelledError:
                raise
            except Exception:
                log.exception("session %s", self.id[:6])
                self.walking, self.doing = False, ""
                self._complain("something went wrong in the explorer itself; its log says what")
                self.tell(status_of(self))

    # ---- steps ---------------------------------------------------------------------------------------------------

    def _steer(self, look: Look) -> None:
        before, self.look = self.look, look
        self._drag = np.clip(self._drag + np.array([look.yaw_deg, look.pitch_deg]), -90, 90)
        changed = _keys(before) != _keys(look)
        dragged = bool(look.yaw_deg or look.pitch_deg)
        now = time.monotonic()
        if (changed or dragged) and now - self._hurried_at > HURRY_S:
            self._hurried_at, self._hurry, self._abandon = now, True, True

    def _wait_s(self) -> float:
        """Say how long the next step may wait: it should be done when the last frame has been shown."""
        if self._hurry:
            return 0.0
        step_s = self.step_s.get(self.house.latent_frames, FIRST_STEP_S)
        return self._due - time.monotonic() - max(1.15 * step_s, LEAST_LEAD_S) - LEAST_LEAD_S

    async def _step(self) -> None:
        drag, self._drag = self._drag, np.zeros(2)
        look = self.look.model_copy(update={"yaw_deg": float(drag[0]), "pitch_deg": float(drag[1])})
        hurried, self._hurry, self._abandon, self._may_abandon = self._hurry, False, False, True
        # A short step is soon done. A walk's first latent frame is a single video frame: that step is always whole.
        count = (
            1 if hurried and self.walk.panes[self.walk.focus].rollout.num_steps else self.house.latent_frames
        )
        plan = self.walk.plan(look, count)
        self._look_at_truth(plan)
        start = time.perf_counter()
        self.stepping = True
        try:
            shown = await self.house.engine.run(partial(self.walk.step, plan))
        except Abandoned:
            self._drag, self._hurry = np.clip(self._drag + drag, -90, 90), True
            raise
        except OutOfSightError:
            self.walking = False
            raise
        finally:
            self.stepping = False
        spent = time.perf_counter() - start
        self.step_s[count] = (2 * self.step_s.get(count, spent) + spent) / 3
        num_frames = len(shown[0].frames)
        self.frames_a_second = num_frames / spent
        now = time.monotonic()
        fps = self.walk.scene.fps if self.walk.scene is not None else 10.0
        self._due = (now if hurried else max(now, self._due)) + num_frames / fps
        for one in shown:
            self._show(one, plan)
        self.tell(status_of(self))
        if now - self._written_at > WRITE_EVERY_S:
            await self._write()

    def _show(self, shown: Shown, plan: Plan) -> None:
        pane = self.walk.panes[shown.pane] if shown.pane < len(self.walk.panes) else None
        if self.outbox is None or pane is None:
            return
        self._tell_pictures(pane)
        self.tell(protocol.Timeline(pane=shown.pane, moments=[shown.moment], first_kept=pane.first_kept))
        self.tell(shown.memory)
        self._show_frames("model", shown, shown.frames, plan.heeds)
        if shown.rendered is not None and self.views.rendered and shown.pane == self.walk.focus:
            self._show_frames("rendered", shown, shown.rendered, plan.heeds)

    def _show_frames(self, view: Any, shown: Shown, frames: list[bytes], heeds: int) -> None:
        for index, frame in enumerate(frames):
            message = frame_message(
                frame, shown.poses[index], pane=shown.pane, view=view, step=shown.step,
                frame=shown.first_frame + index, heeds=heeds, last=index == len(frames) - 1,
            )  # fmt: skip
            self._put_frame(message)

    def _look_at_truth(self, plan: Plan | None = None) -> None:
        """Let the engine render the step's frames beside the model's; without a step, the moment where it stands."""
        scene, pane = self.walk.scene, self.walk.focus
        if self.views.truth and scene is not None and self.outbox is not None:
            self._truth.look(scene, plan or self.walk.here(), pane, wait=plan is None)

    def _no_truth(self, error: OutOfSightError) -> None:
        self.views = self.views.model_copy(update={"truth": False})
        self._complain(str(error))

    def _watch(self, stage: str, done: int, total: int) -> None:
        """Called in the model's thread: give a step up whose keys have changed, unless half of it is denoised."""
        if self.closed:
            raise Abandoned
        late = stage in ("decode", "observe") or (stage == "denoise" and 2 * done > total)
        if late or self.walk.underway:
            self._may_abandon = False
        if self._abandon and self._may_abandon:
            raise Abandoned

    # ---- commands ------------------------------------------------------------------------------------------------

    async def _do(self, command: Any) -> None:
        self._may_abandon = False
        if command == "write":
            await self._write()
            return
        await _COMMANDS[type(command)](self, command)

    async def _run(self, work: Callable[[], Any], words: str = "") -> Any:
        if words:
            self.doing = words
            self.tell(status_of(self))
        try:
            return await self.house.engine.run(work)
        finally:
            self.doing = ""

    async def _write(self) -> None:
        self._written_at = time.monotonic()
        await self.house.engine.run(self.walk.write)
        await self.house.engine.run(give_back_memory)

    async def _prompt(self, command: protocol.Prompt) -> None:
        def change() -> None:
            for pane in self.walk.panes:
                pane.rollout.prompt = command.text

        await self._run(change, "the caption is read")
        self.tell(status_of(self))

    async def _touch(self, command: Any) -> None:
        await self._run(partial(self.walk.touch, command))
        self.tell(self.walk.pane(command.pane).memory())

    async def _rewind(self, command: protocol.Rewind) -> None:
        await self._run(partial(self.walk.rewind, command.pane, command.step))
        await self._changed()

    async def _fork(self, command: protocol.Fork) -> None:
        await self._run(partial(self.walk.fork, command.step))
        self.walk.set_focus(1)
        await self._changed()

    async def _strategy(self, command: protocol.CompareStrategy) -> None:
        await self._run(partial(self.walk.rival, command.name), "another memory gets ready")
        await self._changed()

    async def _focus(self, command: protocol.Focus) -> None:
        self.walk.set_focus(command.pane)
        self.tell(status_of(self))

    async def _views(self, command: protocol.ShowViews) -> None:
        self.views = command
        self.tell(status_of(self))
        self._look_at_truth()

    async def _save(self, command: protocol.Save) -> None:
        await self._run(partial(self.walk.save, self.house.store, command.name), "the walk is saved")
        self.tell(saves_of(self.house.store))
        self.tell(status_of(self))

    async def _load(self, command: protocol.Load) -> None:
        self.walking = False
        await self._run(partial(self.walk.resume, self.house.store.save(command.saved)), "the walk is read")
        for number in (0, 1):  # the map of another world is forgotten
            self.tell(protocol.Cleared(pane=number, open=not number, frame=-1))
        await self._changed()

    async def _begin(self, command: protocol.Begin) -> None:
        if self.house.plan is None:
            raise InputError("worlds are not installed here: pip install 'outofsight[worlds]'")
        self.walking, self.doing = False, "a world is planned and rendered"
        self.tell(status_of(self))
        request = command.model_dump(exclude={"kind"})
        try:
            clip = await asyncio.to_thread(self.house.studio.ask, "clip", self.house.plan, request)
        finally:
            self.doing = ""
        scene = scene_of_clip(clip, self.house.plan.num_context_frames, command.seed)
        await self.begin_anew(scene)

    async def begin_anew(self, scene: Scene) -> None:
        """Begin the walk anew in another scene."""
        self.walking = False
        await self._run(partial(self.walk.begin, scene), "the model gets ready")
        await self._changed()

    async def _changed(self) -> None:
        """The walk shows another past now: write it down, and tell the page."""
        self._due = 0.0
        await self._write()
        self.tell(status_of(self))
        for number in (0, 1):
            self.tell_pane(number)
        self._look_at_truth()

    def _tell_pictures(self, pane: Pane) -> None:
        if self.outbox is None:
            return
        number = pane.number
        for name in sorted(pictures_of(pane)):
            jpeg = pane.pictures[name]
            if self._sent.get((number, name)) is not jpeg:  # another past gives other pictures the same names
                self._put(with_picture(protocol.PictureHeader(pane=number, id=name), jpeg))
                self._sent[number, name] = jpeg
        self._sent = {
            (of, name): jpeg
            for (of, name), jpeg in self._sent.items()
            if of < len(self.walk.panes) and name in self.walk.panes[of].pictures
        }


def _keys(look: Look) -> tuple[float, ...]:
    return look.yaw, look.pitch, look.forward, look.right, look.up


_COMMANDS: dict[type, Callable[[Session, Any], Awaitable[None]]] = {
    protocol.Prompt: Session._prompt,
    protocol.Pin: Session._touch,
    protocol.Forget: Session._touch,
    protocol.Edit: Session._touch,
    protocol.Rewind: Session._rewind,
    protocol.Fork: Session._fork,
    protocol.CompareStrategy: Session._strategy,
    protocol.Focus: Session._focus,
    protocol.ShowViews: Session._views,
    protocol.Save: Session._save,
    protocol.Load: Session._load,
    protocol.Begin: Session._begin,
}
