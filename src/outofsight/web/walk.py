"""A walk and its commands, without a network: one or two panes, steered by keys."""

import shutil
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from outofsight.errors import CheckpointError, InputError
from outofsight.files import explained, write_json
from outofsight.types import CameraPath
from outofsight.web.film import Film, Mark
from outofsight.web.mind import Mind, Watch
from outofsight.web.pane import Pane, Shown
from outofsight.web.pictures import jpeg
from outofsight.web.protocol import Edit, Forget, Look, Pin
from outofsight.web.scene import Scene, scene_from_notes, scene_notes
from outofsight.web.steering import CameraMotion, go_on
from outofsight.web.store import ABOUT, STATE, WalkStore, film_names, read_about, state_name, states_of


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
        self._written: list[str] = []  # the states that the description on the disk names
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

    def begin(self, scene: Scene) -> None:
        """Stand at the end of a scene's context. If it cannot be begun, the walk is as it was."""
        rollout = self.mind.start(scene, self.mind.strategy, self.watch)
        self._stand([self._pane(0, rollout, self.mind.strategy, scene)], scene)

    def plan(self, look: Look, num_latent: int) -> Plan:
        """Say where the camera goes in the coming step. ``look``: keys, and all that a drag has asked for since."""
        pane = self.panes[self.focus]
        rollout = pane.rollout
        count = self.mind.clock.num_frames(num_latent, goes_on=rollout.num_steps > 0)
        cameras, motion = go_on(
            rollout.last_pose, look, self.motion.dragged(look), count, self.main.scene.fps
        )
        cameras = CameraPath(world_from_camera=cameras.world_from_camera, intrinsics=self.main.scene.lens)
        return Plan(cameras=cameras, motion=motion, first_frame=rollout.num_frames, heeds=look.number)

    def here(self) -> Plan:
        """Give the moment that the pane in focus stands at, as the plan of a single frame."""
        rollout = self.panes[self.focus].rollout
        cameras = CameraPath(world_from_camera=rollout.last_pose[None], intrinsics=self.main.scene.lens)
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
        self._open_second(rollout, self.main.strategy, linked=False)

    def rival(self, name: str | None) -> None:
        """Let another strategy walk along from here; ``None`` closes the second pane."""
        if name is None:
            self.close_second()
        else:
            self._open_second(self.mind.rival(self.main.rollout, name), name, linked=True)

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
        elif isinstance(message, Pin):
            memory.pin(slot=message.slot, subject=message.subject, on=message.on)
        else:
            memory.forget(slot=message.slot, subject=message.subject)

    def about(self) -> dict[str, Any]:
        """Tell what walk it is, as JSON can hold it."""
        return {
            "date": datetime.now(UTC).isoformat(timespec="seconds"),
            "model": self.mind.name,
            "strategy": " and ".join(pane.strategy for pane in self.panes),
            "world": self.main.rollout.prompt,
            "num_frames": self.main.rollout.num_frames,
            "fps": self.main.scene.fps,
            "scene": scene_notes(self.main.scene),
        }

    def write(self) -> None:
        """Write down where the walk stands, to go on with after a kill. What can be rewound to is left out.

        The description comes last, and names states that lie beside the ones that it named before: a kill at any time
        leaves one of the two whole.
        """
        turn = int(state_name(0) in self._written)
        states = [state_name(pane.number, turn) for pane in self.panes]
        for pane, state in zip(self.panes, states, strict=True):
            pane.rollout.save(self.folder / state, with_past=False)
        write_json(self.folder / ABOUT, {**self.about(), **self._going_on(states)})
        for old in self.folder.glob("state*"):
            if STATE.fullmatch(old.name) and old.name not in (*states, *self._written):
                shutil.rmtree(old, ignore_errors=True)
        self._written = states

    def save(self, store: WalkStore, name: str) -> str:
        """Save the walk under a name, with the moments that can be rewound to; return its id."""
        states = [state_name(pane.number) for pane in self.panes]
        about = {"name": name, **self.about(), **self._going_on(states)}
        return store.keep(self.folder, [pane.rollout.save for pane in self.panes], about)

    def resume(self, source: Path) -> None:
        """Stand where a walk stood that the explorer has written to ``source``, which is left as it is.

        Raises:
            CheckpointError: it is damaged, or another model's. The walk is as it was.
        """
        about, states = read_about(source), states_of(source)
        scene = scene_from_notes(about.get("scene", {}), str(source))
        notes = about.get("panes", [about])  # earlier versions kept one pane
        if len(notes) != len(states):
            raise CheckpointError(
                f"{source}: tells of {len(notes)} panes and {len(states)} states; it is damaged"
            )
        resumed = [self.mind.resume(state, self.watch) for state in states]
        marks = [
            _marks_of(one, source, number, rollout.num_steps)
            for number, (one, (rollout, _)) in enumerate(zip(notes, resumed, strict=True))
        ]
        names = [name for number in range(len(notes)) for name in film_names(number)]
        if source != self.folder:
            with explained(self.folder):
                for name in names:
                    shutil.copyfile(source / name, self.folder / name)
        panes = []
        for number, (rollout, strategy) in enumerate(resumed):
            linked = number > 0 and bool(notes[number].get("linked"))
            panes.append(self._pane(number, rollout, strategy, scene, marks[number], linked=linked))
            panes[-1].go_on_from(notes[number])
        self._stand(panes, scene)
        self.focus = int(about.get("focus") == 1 and len(panes) > 1)
        if source == self.folder:
            self._written = [state.name for state in states]

    def resume_state(self, state: Path, fps: float) -> None:
        """Stand where a rollout stood that ``outofsight roll`` or a program has saved; its scene is not known."""
        rollout, strategy = self.mind.resume(state, self.watch)
        scene = Scene(caption=rollout.prompt, fps=fps, name=state.name)
        self._stand([self._pane(0, rollout, strategy, scene, {rollout.num_steps: Mark()})], scene)
        self.main.stills[rollout.num_steps] = jpeg(self.mind.last_frame(rollout))

    def close(self) -> None:
        """Let go of everything in memory."""
        for pane in self.panes:
            pane.rollout.close()
        self.panes = []

    def _going_on(self, states: Sequence[str]) -> dict[str, Any]:
        return {"states": states, "focus": self.focus, "panes": [pane.notes() for pane in self.panes]}

    def _stand(self, panes: list[Pane], scene: Scene) -> None:
        self.panes, self.focus, self.motion, self.scene = panes, 0, CameraMotion(), scene

    def _pane(
        self, number: int, rollout: Any, strategy: str, scene: Scene, marks: Mapping[int, Mark] | None = None,
        *, linked: bool = False,
    ) -> Pane:  # fmt: skip
        film = Film(self.folder / film_names(number)[0], scene.fps, self.mind.keep_steps, marks)
        return Pane(number, rollout, strategy, scene, film, self.mind.fov_deg, linked=linked)

    def _open_second(self, rollout: Any, strategy: str, *, linked: bool) -> None:
        """Show a rollout beside the first, with what was shown until the step that it stands at."""
        self.close_second()
        marks = self.main.film.copy_to(self.folder / film_names(1)[0], rollout.num_steps)
        pane = self._pane(1, rollout, strategy, self.main.scene, marks, linked=linked)
        pane.take_pictures_from(self.main)
        self.panes.append(pane)


def _marks_of(notes: Mapping[str, Any], source: Path, number: int, step: int) -> dict[int, Mark]:
    """Read how long a pane's film is after each step. Raises ``CheckpointError`` where it is not so long."""
    try:
        marks = {int(step): Mark(*map(int, mark)) for step, mark in notes["film"].items()}
        sizes = [(source / name).stat().st_size for name in film_names(number)]
    except (OSError, KeyError, TypeError, ValueError, AttributeError) as error:
        raise CheckpointError(f"{source}: does not say how long its film is; it is damaged") from error
    mark = marks.get(step)
    if mark is None or sizes[0] < mark.num_bytes or sizes[1] < mark.log_bytes:
        raise CheckpointError(f"{source}: its film is not of its state; it is damaged")
    return marks
