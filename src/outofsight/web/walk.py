"""A walk and its commands, without a network: one or two panes, steered by keys."""

import base64
import shutil
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from outofsight.errors import CheckpointError, InputError
from outofsight.files import explained, write_json
from outofsight.types import CameraPath
from outofsight.web.film import Film, Mark
from outofsight.web.mind import Mind, Watch
from outofsight.web.pane import Pane, Shown, film_in
from outofsight.web.protocol import Edit, Forget, Look, Moment, Pin
from outofsight.web.scene import Scene, scene_from_notes, scene_notes
from outofsight.web.steering import CameraMotion, go_on
from outofsight.web.store import ABOUT, STATE, Store, read_about


@dataclass(frozen=True, kw_only=True, eq=False)
class Plan:
    """A step to come: its cameras, how the camera moves after it, and the ``look`` that it heeds."""

    cameras: CameraPath
    motion: CameraMotion
    first_frame: int
    heeds: int


class Walk:
    """All that a session walks through. Not for two threads at a time."""

    def __init__(self, mind: Mind, folder: Path, watch: Watch) -> None:
        self.mind, self.folder, self.watch = mind, folder, watch
        self.panes: list[Pane] = []
        self.focus = 0
        self.motion = CameraMotion()
        self.scene: Scene | None = None
        self.underway = False
        with explained(folder):
            folder.mkdir(parents=True, exist_ok=True)

    @property
    def main(self) -> Pane:
        return self.panes[0]

    @property
    def moving(self) -> list[Pane]:
        """The panes that the keys move: the one in focus, and one that walks along."""
        return self.panes if any(pane.linked for pane in self.panes) else [self.panes[self.focus]]

    def pane(self, number: int) -> Pane:
        """Return an open pane. Raises ``InputError``."""
        if not 0 <= number < len(self.panes):
            raise InputError("there is no second pane; open one with a strategy or a fork")
        return self.panes[number]

    def begin(self, scene: Scene, strategy: str | None = None) -> None:
        """Stand at the end of a scene's context. If it cannot be begun, the walk is as it was."""
        name = strategy or self.mind.strategy
        rollout = self.mind.start(scene, name, self.watch)
        self._stand(rollout, name, scene, film_in(self.folder, 0, scene.fps, self.mind.keep_steps))

    def plan(self, look: Look, num_latent: int) -> Plan:
        """Say where the camera goes in the coming step. ``look``: keys, and all that a drag has asked for since."""
        pane = self.panes[self.focus]
        rollout = pane.rollout
        count = self.mind.clock.num_frames(num_latent, goes_on=rollout.num_steps > 0)
        assert self.scene is not None
        cameras, motion = go_on(rollout.last_pose, look, self.motion.dragged(look), count, self.scene.fps)
        cameras = CameraPath(world_from_camera=cameras.world_from_camera, intrinsics=self.scene.lens)
        return Plan(cameras=cameras, motion=motion, first_frame=rollout.num_frames, heeds=look.number)

    def here(self) -> Plan:
        """Give the moment that the pane in focus stands at, as the plan of a single frame."""
        rollout = self.panes[self.focus].rollout
        assert self.scene is not None
        cameras = CameraPath(world_from_camera=rollout.last_pose[None], intrinsics=self.scene.lens)
        return Plan(cameras=cameras, motion=self.motion, first_frame=rollout.num_frames - 1, heeds=0)

    def step(self, plan: Plan) -> list[Shown]:
        """Show what the planned cameras see, in every pane that moves. If the first fails, nothing has happened; a
        second that fails is closed."""
        first, *others = self.moving
        shown = [first.step(plan.cameras)]
        self.motion = plan.motion
        self.underway = True  # the first pane has moved: a second that stopped now would be left behind
        try:
            shown += [pane.step(plan.cameras) for pane in others]
        except BaseException:
            self.close_second()
            raise
        finally:
            self.underway = False
        return shown

    def rewind(self, number: int, step: int) -> None:
        """Take steps back; a pane that walks along goes back with the other, or is closed where it cannot."""
        pane = self.pane(number)
        pane.rewind(step)
        self.motion = CameraMotion()
        for other in self.panes[1:]:
            if other.linked and other is not pane:
                try:
                    other.rewind(step)
                except InputError:
                    self.close_second()
                    return
        if pane.linked and number == 1:
            pane.linked = False  # it stands elsewhere than the other now

    def fork(self, step: int) -> None:
        """Open a second pane, at the moment after some steps of the first."""
        if step not in self.main.film.marks:
            raise InputError(f"cannot fork at step {step}: it is not kept, or has not come yet")
        rollout = self.main.rollout.fork()
        rollout.rewind(step)
        self.close_second()
        film = self.main.film.copy_to(self.folder / "pane1.mp4", step)
        assert self.scene is not None
        self._second(Pane(1, rollout, self.main.strategy, self.scene, film, self.mind.fov_deg, linked=False))
        moments = [moment for moment in self.panes[1].moments if moment.step <= step]
        self.panes[1].moments.clear()
        self.panes[1].moments.extend(moments)

    def rival(self, name: str | None) -> None:
        """Let another strategy walk along from here; ``None`` closes the second pane."""
        if name is None:
            self.close_second()
            return
        rollout = self.mind.rival(self.main.rollout, name)
        self.close_second()
        step = self.main.rollout.num_steps
        film = self.main.film.copy_to(self.folder / "pane1.mp4", step)
        assert self.scene is not None
        self._second(Pane(1, rollout, name, self.scene, film, self.mind.fov_deg, linked=True))

    def close_second(self) -> None:
        """Let go of the second pane, if there is one. It is not closed: another thread may be reading it."""
        self.panes, self.focus = self.panes[:1], 0

    def set_focus(self, number: int) -> None:
        """Say which pane the keys move."""
        self.pane(number)
        self.focus, self.motion = number, CameraMotion()

    def touch(self, message: Pin | Forget | Edit) -> None:
        """Pin, forget or move what a pane remembers. Raises ``InputError`` where it is not there."""
        memory = self.pane(message.pane).rollout.memory
        if isinstance(message, Edit):
            where = {subject.number: subject.position_m for subject in memory.subjects}.get(message.subject)
            height = 0.0 if where is None else float(where[2])
            place = [message.x_m, message.y_m, height]
            memory.edit(message.subject, position_m=place, velocity_m=[0.0, 0.0, 0.0])
            return
        chosen: dict[str, int] = {}
        if message.slot is not None:
            chosen["slot"] = message.slot
        if message.subject is not None:
            chosen["subject"] = message.subject
        if isinstance(message, Pin):
            memory.pin(on=message.on, **chosen)
        else:
            memory.forget(**chosen)

    def about(self, name: str = "") -> dict[str, Any]:
        """Tell of the walk, as JSON can hold it: enough to go on with its state."""
        assert self.scene is not None
        pane = self.main
        return {
            "name": name,
            "date": datetime.now(UTC).isoformat(timespec="seconds"),
            "model": self.mind.name,
            "strategy": pane.strategy,
            "world": pane.rollout.prompt,
            "num_frames": pane.rollout.num_frames,
            "fps": self.scene.fps,
            "scene": scene_notes(self.scene),
            "film": {str(step): list(mark) for step, mark in pane.film.marks.items()},
            "pictures": {
                name: base64.b64encode(jpeg).decode("ascii") for name, jpeg in pane.pictures.items()
            },
            "moments": [moment.model_dump() for moment in pane.moments],
            "stills": {
                str(step): base64.b64encode(jpeg).decode("ascii") for step, jpeg in pane.stills.items()
            },
            "cuts": {str(number): name for number, name in pane.cuts.items()},
        }

    def write(self) -> None:
        """Write down where the walk stands, to go on with after a kill. What can be rewound to is left out."""
        self.main.rollout.save(self.folder / STATE, with_past=False)
        write_json(self.folder / ABOUT, self.about())

    def save(self, store: Store, name: str) -> str:
        """Save the walk under a name, with the moments that can be rewound to; return its id."""
        return store.keep(self.folder, self.main.rollout.save, self.about(name))

    def resume(self, source: Path) -> None:
        """Stand where a walk stood that the explorer has written to ``source``, which is left as it is.

        Raises:
            CheckpointError: it is damaged, or another model's. The walk is as it was.
        """
        about = read_about(source)
        scene = scene_from_notes(about.get("scene", {}), str(source))
        rollout, strategy = self.mind.resume(source / STATE, self.watch)
        marks = _marks_of(about, source)
        if rollout.num_steps not in marks:
            raise CheckpointError(f"{source}: its film is not of its state; it is damaged")
        if source != self.folder:
            with explained(self.folder):
                for name in ("pane0.mp4", "pane0.jsonl"):
                    shutil.copyfile(source / name, self.folder / name)
        film = Film(self.folder / "pane0.mp4", scene.fps, self.mind.keep_steps, marks)
        self._stand(rollout, strategy, scene, film)
        self.main.cuts = {int(number): str(name) for number, name in about.get("cuts", {}).items()}
        self.main.moments.extend(Moment(**moment) for moment in about.get("moments", ()))
        stills = about.get("stills") or {rollout.num_steps: about.get("still")}  # earlier versions kept one
        self.main.stills = {int(step): base64.b64decode(text) for step, text in stills.items() if text}
        for name, text in about.get("pictures", {}).items():
            self.main.pictures[str(name)] = base64.b64decode(text)

    def resume_state(self, state: Path, fps: float) -> None:
        """Stand where a rollout stood that ``outofsight roll`` or a program has saved; its scene is not known."""
        rollout, strategy = self.mind.resume(state, self.watch)
        scene = Scene(caption=rollout.prompt, fps=fps, name=state.name)
        film = Film(self.folder / "pane0.mp4", fps, self.mind.keep_steps, {rollout.num_steps: Mark()})
        self._stand(rollout, strategy, scene, film)

    def close(self) -> None:
        """Let go of everything in memory."""
        for pane in self.panes:
            pane.rollout.close()
        self.panes = []

    def _stand(self, rollout: Any, strategy: str, scene: Scene, film: Film) -> None:
        pane = Pane(0, rollout, strategy, scene, film, self.mind.fov_deg, linked=False)
        pane.told_prompt = rollout.prompt
        self.panes, self.focus, self.motion, self.scene = [pane], 0, CameraMotion(), scene

    def _second(self, pane: Pane) -> None:
        pane.take_pictures_from(self.main)
        pane.told_prompt = pane.rollout.prompt
        self.panes.append(pane)


def _marks_of(about: Mapping[str, Any], source: Path) -> dict[int, Mark]:
    try:
        return {int(step): Mark(*map(int, mark)) for step, mark in about["film"].items()}
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise CheckpointError(f"{source}: does not say how long its film is; it is damaged") from error
