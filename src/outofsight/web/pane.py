"""One pane of a walk: a rollout, what it has shown, and what the page is told of its memory."""

from base64 import b64decode, b64encode
from collections import OrderedDict, deque
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from math import cos, pi, radians
from typing import Any

import numpy as np
from numpy.typing import NDArray

from outofsight.errors import InputError
from outofsight.types import CameraPath
from outofsight.web.film import Film
from outofsight.web.pictures import Pixels, jpeg, subject_crop, thumbnail
from outofsight.web.protocol import Camera, Memory, Moment, Subject, TrueSubject, View
from outofsight.web.scene import Scene
from outofsight.web.steering import heading_of

MOST_PICTURES = 300
"""Thumbnails that a pane holds: those of its archive, of its steps, and some that a rewind brings back."""

SEEN_FRAMES = 0.5


@dataclass(frozen=True, kw_only=True, eq=False)
class Shown:
    """What a step has shown in one pane. ``frames``, ``rendered``: JPEGs; ``poses`` [n, 3, 4]."""

    pane: int
    step: int
    first_frame: int
    frames: list[bytes]
    rendered: list[bytes] | None
    poses: NDArray[np.float64]
    memory: Memory
    moment: Moment


class Pane:
    """A rollout and its film. ``linked``: it walks along with the other pane."""

    def __init__(
        self,
        number: int,
        rollout: Any,
        strategy: str,
        scene: Scene,
        film: Film,
        fov_deg: float,
        *,
        linked: bool,
    ) -> None:
        self.number, self.rollout, self.strategy, self.linked = number, rollout, strategy, linked
        self.scene, self.film = scene, film
        self.fov_x_rad = radians(fov_deg) if scene.lens is None else scene.lens.fov_x_rad
        self.pictures: OrderedDict[str, bytes] = OrderedDict()
        self.moments: deque[Moment] = deque(maxlen=film.keep + 1)
        self.shown_prompt: str = rollout.prompt
        self.has_rendered = False
        self.cuts: dict[int, str] = {}
        self.stills: dict[int, bytes] = {}
        self._retrieved_before: set[int] = set()  # for the step that a resumed walk stands at
        if scene.video is not None:
            self.stills[rollout.num_steps] = jpeg(scene.video[-1])
            self._picture_views(scene.video, 0)
            self._cut_context(scene)

    @property
    def still(self) -> bytes | None:
        """The last frame shown, where the walk stands."""
        return self.stills.get(self.rollout.num_steps)

    @property
    def note(self) -> str:
        """Say what is remembered where there are no banks to look at."""
        if self._memory() is not None:
            return ""
        kept = self.rollout.state.latents.shape[2] if hasattr(self.rollout, "state") else 0
        return f"{self.strategy} has no banks: it knows its last {kept} latent frames alone"

    def step(self, cameras: CameraPath) -> Shown:
        """Show what the coming cameras see."""
        first = self.rollout.num_frames
        frames = self.rollout.step(cameras)
        record = self.rollout.records[-1]
        poses = cameras.world_from_camera
        number = self.rollout.num_steps
        self.film.append(number, frames, _line(record, poses))
        self._picture_views(frames, self._num_context + first)
        self._cut_subjects(frames, poses)
        moment = self._moment(frames, poses)
        self.moments.append(moment)
        jpegs = [jpeg(frame) for frame in frames]
        self.stills = {n: still for n, still in self.stills.items() if n in self.film.marks}
        self.stills[number] = jpegs[-1]
        rendered = getattr(record, "rendered", None)
        self.has_rendered = rendered is not None
        return Shown(
            pane=self.number, step=number, first_frame=first, frames=jpegs,
            rendered=None if rendered is None else [jpeg(frame) for frame in rendered], poses=poses,
            memory=self.memory(poses[-1]), moment=moment,
        )  # fmt: skip

    def rewind(self, step: int) -> None:
        """Go back. Raises ``InputError`` where that moment is not kept."""
        if step not in self.film.marks:
            kept = f"{min(self.film.marks)} to {max(self.film.marks)}"
            raise InputError(f"cannot rewind to step {step}: moments {kept} are kept")
        self.rollout.rewind(step)
        self.film.cut_back(step)
        self._keep_moments(self.moments, step)
        self.shown_prompt, self._retrieved_before = self.rollout.prompt, set()

    @property
    def first_kept(self) -> int:
        """The earliest step that can be gone back to."""
        return max(self.rollout.first_kept, min(self.film.marks))

    def memory(self, pose: NDArray[np.float64] | None = None) -> Memory:
        """Tell what is remembered now."""
        pose = np.asarray(self.rollout.last_pose) if pose is None else pose
        frame, retrieved = self.rollout.num_frames - 1, self._retrieved()
        heading, pitch = heading_of(pose)
        x, y, z = (_short(value) for value in pose[:, 3])
        return Memory(
            pane=self.number, step=self.rollout.num_steps, frame=frame,
            camera=Camera(x_m=x, y_m=y, z_m=z, heading=_short(heading), pitch=_short(pitch)),
            subjects=[self._subject(subject, retrieved) for subject in self._subjects],
            views=[self._view(view, frame, retrieved) for view in self._views],
            truth=[
                TrueSubject(name=name, x_m=_short(place[0]), y_m=_short(place[1]), in_view=self._in_view(place, pose))
                for name, place in self.scene.true_places(frame)
            ],
        )  # fmt: skip

    def take_pictures_from(self, other: "Pane") -> None:
        """Show the same thumbnails as another pane with the same past."""
        self.pictures = OrderedDict(other.pictures)
        self.cuts, self.stills = dict(other.cuts), dict(other.stills)
        self._keep_moments(other.moments, self.rollout.num_steps)

    def notes(self) -> dict[str, Any]:
        """Tell of the pane, as JSON can hold it: with its state and its film enough to go on."""
        return {
            "strategy": self.strategy,
            "linked": self.linked,
            "film": {str(step): list(mark) for step, mark in self.film.marks.items()},
            "pictures": {name: _as_text(picture) for name, picture in self.pictures.items()},
            "moments": [moment.model_dump() for moment in self.moments],
            "stills": {str(step): _as_text(still) for step, still in self.stills.items()},
            "cuts": {str(number): name for number, name in self.cuts.items()},
            "retrieved": sorted(self._retrieved()),
        }

    def go_on_from(self, notes: Mapping[str, Any]) -> None:
        """Show the pictures and the timeline that ``notes`` told of."""
        self.cuts = {int(number): str(name) for number, name in notes.get("cuts", {}).items()}
        self._retrieved_before = {int(slot) for slot in notes.get("retrieved", ())}
        self.moments.extend(Moment(**moment) for moment in notes.get("moments", ()))
        # earlier versions kept one
        stills = notes.get("stills") or {self.rollout.num_steps: notes.get("still")}
        self.stills = {int(step): b64decode(text) for step, text in stills.items() if text}
        self.pictures.update((str(name), b64decode(text)) for name, text in notes.get("pictures", {}).items())

    def _keep_moments(self, moments: Iterable[Moment], until: int) -> None:
        kept = (moment for moment in moments if moment.step <= until)
        self.moments = deque(kept, maxlen=self.moments.maxlen)

    def _memory(self) -> Any:
        try:
            return self.rollout.memory
        except InputError:
            return None

    @property
    def _subjects(self) -> list[Any]:
        memory = self._memory()
        return [] if memory is None else memory.subjects

    @property
    def _views(self) -> list[Any]:
        memory = self._memory()
        return [] if memory is None else memory.views

    @property
    def _num_context(self) -> int:
        return int(self.rollout.num_context_frames)

    def _retrieved(self) -> set[int]:
        return set(self.rollout.records[-1].slots) if self.rollout.records else self._retrieved_before

    def _subject(self, subject: Any, retrieved: set[int]) -> Subject:
        fps = self.scene.fps
        return Subject(
            number=subject.number, x_m=_short(subject.position_m[0]), y_m=_short(subject.position_m[1]),
            vx_m_s=_short(subject.velocity_m[0] * fps), vy_m_s=_short(subject.velocity_m[1] * fps),
            spread_m=_short(subject.spread_m), confidence=_short(subject.confidence),
            unseen_s=_short(max(subject.unseen_frames, 0) / fps), seen=subject.unseen_frames < SEEN_FRAMES,
            pinned=subject.pinned, retrieved=subject.slot in retrieved, picture=self.cuts.get(subject.number),
        )  # fmt: skip

    def _view(self, view: Any, frame: int, retrieved: set[int]) -> View:
        name = _view_name(view)
        pose, heading = view.world_from_camera, heading_of(view.world_from_camera)[0]
        return View(
            slot=view.slot, x_m=_short(pose[0, 3]), y_m=_short(pose[1, 3]), heading=_short(heading),
            age_s=_short((self._num_context + frame - view.frame) / self.scene.fps), use=_short(view.use),
            pinned=view.pinned, retrieved=view.slot in retrieved, picture=name if name in self.pictures else None,
        )  # fmt: skip

    def _moment(self, frames: NDArray[np.uint8], poses: NDArray[np.float64]) -> Moment:
        name = f"p{self.number}-{self.rollout.num_steps}-{self.rollout.num_frames}"
        self._keep(name, thumbnail(frames[-1]))
        caption = self.rollout.prompt if self.rollout.prompt != self.shown_prompt else None
        self.shown_prompt = self.rollout.prompt
        return Moment(
            step=self.rollout.num_steps, frame=self.rollout.num_frames - 1, picture=name,
            caption=caption, x_m=_short(poses[-1][0, 3]), y_m=_short(poses[-1][1, 3]),
        )  # fmt: skip

    def _picture_views(self, frames: NDArray[np.uint8], first: int) -> None:
        """Keep a thumbnail of every view that the archive has filed from these frames."""
        for view in self._views:
            name, index = _view_name(view), round(view.frame) - first
            if name in self.pictures:
                self.pictures.move_to_end(name)
            elif 0 <= index < len(frames):
                self._keep(name, thumbnail(frames[index]))

    def _cut_subjects(self, frames: NDArray[np.uint8], poses: NDArray[np.float64]) -> None:
        """Keep a cut-out of every subject that the newest frame shows."""
        for subject in self._subjects:
            if subject.unseen_frames < SEEN_FRAMES and subject.visibility >= 0.3:
                self._cut(subject, frames[-1], poses[-1], subject.position_m)

    def _cut_context(self, scene: Scene) -> None:
        """Cut out those who left the picture before the context's end, about where they were last seen."""
        if scene.video is None or scene.cameras is None:
            return
        for subject in self._subjects:
            frame = len(scene.video) - 1 - round(subject.unseen_frames)
            if 0 <= frame < len(scene.video):
                place = subject.position_m - subject.unseen_frames * subject.velocity_m
                self._cut(subject, scene.video[frame], scene.cameras.world_from_camera[frame], place)

    def _cut(
        self, subject: Any, picture: Pixels, pose: NDArray[np.float64], place: NDArray[np.float64]
    ) -> None:
        cut = subject_crop(picture, pose, place, subject.box_m, self.fov_x_rad)
        if cut is not None:
            name = f"s{subject.number}-{self.rollout.num_frames}"
            self.pictures.pop(self.cuts.get(subject.number, ""), None)
            self._keep(name, cut)
            self.cuts[subject.number] = name

    def _keep(self, name: str, picture: bytes) -> None:
        self.pictures[name] = picture
        while len(self.pictures) > MOST_PICTURES:
            self.pictures.popitem(last=False)

    def _in_view(self, place: NDArray[np.float64], pose: NDArray[np.float64]) -> bool:
        heading = heading_of(pose)[0]
        across = np.arctan2(place[1] - pose[1, 3], place[0] - pose[0, 3]) - heading
        return bool(cos((across + pi) % (2 * pi) - pi) >= cos(self.fov_x_rad / 2))


def _as_text(picture: bytes) -> str:
    return b64encode(picture).decode("ascii")


def _view_name(view: Any) -> str:
    return f"v{round(view.frame)}"


def _line(record: Any, poses: NDArray[np.float64]) -> dict[str, Any]:
    return {
        "step": record.step,
        "prompt": record.prompt,
        "first_frame": record.first_frame,
        "num_frames": record.num_frames,
        "seconds": {stage: round(value, 4) for stage, value in record.seconds.items()},
        "world_from_camera": poses.reshape(-1, 12).round(5).tolist(),
    }


def _short(value: Any) -> float:
    number = float(value)
    return round(number, 4) if np.isfinite(number) else 0.0
