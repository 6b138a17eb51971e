"""A rollout without a model: a coloured world in which one subject walks to and fro, seen or not, and is remembered."""

import json
import time
from dataclasses import dataclass, field, replace
from math import sin
from pathlib import Path
from types import SimpleNamespace

import numpy as np

from outofsight.errors import CheckpointError, InputError
from outofsight.geometry.path_expressions import make_path
from outofsight.geometry.poses import level_pose
from outofsight.types import WAN_CLOCK, Intrinsics
from outofsight.web.scene import Scene
from outofsight.web.steering import heading_of
from small_world import square_clip

HEIGHT, WIDTH, CONTEXT, FPS, FOV_DEG = 32, 48, 9, 10.0, 80.0
AHEAD_M = 6.0
COLOUR = (230, 80, 40)


def scene(caption="A red robot walks in a meadow.", spec=None):
    lens = Intrinsics.from_fov(width_px=WIDTH, height_px=HEIGHT, fov_x_rad=np.radians(FOV_DEG))
    cameras = make_path("still", CONTEXT, intrinsics=lens)
    video = np.stack([picture(pose, frame) for frame, pose in enumerate(cameras.world_from_camera)])
    return Scene(caption=caption, fps=FPS, video=video, cameras=cameras, lens=lens, spec=spec, name="meadow")


def subject_at(frame):
    return np.array([AHEAD_M, 1.2 * sin(frame / 15), 0.0])


def picture(pose, frame, shown=True):
    """Stripes that turn with the camera, and a square where the subject is."""
    heading, pitch = heading_of(pose)
    columns = heading - (np.arange(WIDTH) / WIDTH - 0.5) * np.radians(FOV_DEG)
    sky = 0.5 + 0.5 * np.sin(9 * columns)
    image = np.zeros((HEIGHT, WIDTH, 3))
    image[:] = np.stack([60 + 40 * sky, 110 + 60 * sky, 160 + 40 * sky], axis=-1)
    horizon = int(np.clip(HEIGHT / 2 + pitch * HEIGHT, 2, HEIGHT - 2))
    image[horizon:] = np.stack([90 + 30 * sky, 120 + 30 * sky, 70 + 0 * sky], axis=-1)
    offset = angle_to(pose, frame)
    if shown and abs(offset) < np.radians(FOV_DEG) / 2:
        x = int(WIDTH / 2 - offset / np.radians(FOV_DEG) * WIDTH)
        image[horizon - 6 : horizon + 4, max(0, x - 3) : x + 4] = COLOUR
    return image.astype(np.uint8)


def angle_to(pose, frame):
    way = subject_at(frame)[:2] - pose[:2, 3]
    return (np.arctan2(way[1], way[0]) - heading_of(pose)[0] + np.pi) % (2 * np.pi) - np.pi


@dataclass
class Bank:
    """What the stand-in remembers. ``moved``: where a subject was put by hand."""

    filled: dict = field(default_factory=lambda: {slot: slot * 2.0 for slot in range(4)})
    pinned: set = field(default_factory=set)
    subjects: dict = field(default_factory=lambda: {0: {"pinned": False, "moved": None, "seen": 8.0}})

    def copy(self):
        return Bank(dict(self.filled), set(self.pinned), {n: dict(s) for n, s in self.subjects.items()})


class StandInMemory:
    def __init__(self, rollout):
        self._rollout = rollout

    @property
    def subjects(self):
        now, found = self._rollout.now, []
        for number, told in self._rollout.bank.subjects.items():
            place = subject_at(now) if told["moved"] is None else np.array(told["moved"])
            unseen = now - told["seen"]
            found.append(
                SimpleNamespace(
                    number=number, slot=4 + number, position_m=place, velocity_m=np.zeros(3),
                    spread_m=0.1 + 0.02 * unseen, visibility=1.0 if unseen < 0.5 else 0.0, confidence=0.9,
                    unseen_frames=unseen, box_m=np.array([0, -0.8, 0.5, 0.8]), pinned=told["pinned"],
                )
            )  # fmt: skip
        return found

    @property
    def views(self):
        bank = self._rollout.bank
        return [
            SimpleNamespace(
                slot=slot, world_from_camera=level_pose([0.2 * slot, 0, 1.6], 0.4 * slot - 0.6), frame=frame,
                use=0.2 * slot, pinned=slot in bank.pinned,
            )
            for slot, frame in bank.filled.items()
        ]  # fmt: skip

    def pin(self, *, slot=None, subject=None, on=True):
        self._check(slot, subject)
        if slot is not None:
            (self._rollout.bank.pinned.add if on else self._rollout.bank.pinned.discard)(slot)
        else:
            self._rollout.bank.subjects[subject]["pinned"] = on

    def forget(self, *, slot=None, subject=None):
        self._check(slot, subject)
        if slot is not None:
            del self._rollout.bank.filled[slot]
        else:
            del self._rollout.bank.subjects[subject]

    def edit(self, subject, *, position_m, velocity_m):
        self._check(None, subject)
        self._rollout.bank.subjects[subject]["moved"] = list(position_m)

    def _check(self, slot, subject):
        if slot is not None and slot not in self._rollout.bank.filled:
            raise InputError(f"the archive holds nothing in slot {slot}")
        if subject is not None and subject not in self._rollout.bank.subjects:
            raise InputError(f"no subject {subject} is followed")


class StandInRollout:
    """Has what a walk asks of a rollout."""

    num_context_frames = CONTEXT

    def __init__(self, mind, strategy, prompt, watch):
        self.mind, self.strategy, self.watch = mind, strategy, watch
        self.prompt = prompt
        self.num_steps = self.num_frames = 0
        self.last_pose = level_pose([0.0, 0.0, 1.6])
        self.bank = Bank()
        self.past, self.records = {}, []

    @property
    def now(self):
        return CONTEXT + self.num_frames - 1

    @property
    def memory(self):
        if self.strategy == "window":
            raise InputError("no banks")
        return StandInMemory(self)

    def step(self, cameras):
        for done in range(self.mind.stages):
            self.watch("denoise", done, self.mind.stages)
            time.sleep(self.mind.step_s / self.mind.stages)
        if self.mind.fails:
            raise InputError("the stand-in fails as it was told to")
        self.past[self.num_steps] = self._moment()
        self.past.pop(self.num_steps - self.mind.keep_steps, None)
        poses, first = cameras.world_from_camera, self.num_frames
        self.bank = self.bank.copy()
        self.num_steps += 1
        self.num_frames += len(poses)
        self.last_pose = poses[-1]
        for told in self.bank.subjects.values():
            if abs(angle_to(poses[-1], self.now)) < np.radians(FOV_DEG) / 2:
                told["seen"], told["moved"] = float(self.now), None
        forgets = self.strategy == "window"
        frames = np.stack([picture(pose, CONTEXT + first + i, not forgets) for i, pose in enumerate(poses)])
        rendered = frames // 2 if self.mind.renders else None
        self.records.append(
            SimpleNamespace(
                step=self.num_steps, prompt=self.prompt, first_frame=first, num_frames=len(frames),
                seconds={"denoise": self.mind.step_s}, slots=(1, 4), rendered=rendered,
            )
        )  # fmt: skip
        return frames

    @property
    def first_kept(self):
        return min(self.past, default=self.num_steps)

    def rewind(self, step):
        if step == self.num_steps:
            return
        if step not in self.past:
            raise InputError(f"cannot rewind to step {step}")
        self._stand(self.past[step])
        self.past = {number: past for number, past in self.past.items() if number < step}

    def fork(self):
        other = StandInRollout(self.mind, self.strategy, self.prompt, self.watch)
        other._stand(self._moment())
        other.past, other.records = dict(self.past), list(self.records)
        return other

    def save(self, path, *, with_past=True):
        path = Path(path)
        path.mkdir(exist_ok=True)
        told = {
            "strategy": self.strategy, "prompt": self.prompt, "steps": self.num_steps, "frames": self.num_frames,
            "pose": self.last_pose.tolist(), "pinned": sorted(self.bank.pinned),
            "filled": list(self.bank.filled.items()), "subjects": list(self.bank.subjects.items()),
        }  # fmt: skip
        (path / "stand_in.json").write_text(json.dumps(told))

    def close(self):
        self.past = {}

    def _moment(self):
        return (self.num_steps, self.num_frames, self.last_pose, self.bank, self.prompt)

    def _stand(self, moment):
        self.num_steps, self.num_frames, self.last_pose, bank, self.prompt = moment
        self.bank = bank.copy()


class StandInMind:
    name, strategy, clock, fov_deg = "a stand-in", "hybrid", WAN_CLOCK, FOV_DEG
    strategies = {"hybrid": "it remembers", "window": "it forgets"}  # noqa: RUF012

    def __init__(self, step_s=0.02, keep_steps=10, stages=4):
        self.step_s, self.keep_steps, self.stages = step_s, keep_steps, stages
        self.fails = self.renders = False

    def start(self, scene, strategy, watch):
        return StandInRollout(self, strategy, scene.caption, watch)

    def resume(self, folder, watch):
        try:
            told = json.loads((folder / "stand_in.json").read_text())
        except (OSError, ValueError) as error:
            raise CheckpointError(f"{folder}: no state ({error})") from error
        rollout = StandInRollout(self, told["strategy"], told["prompt"], watch)
        rollout.num_steps, rollout.num_frames = told["steps"], told["frames"]
        rollout.last_pose = np.array(told["pose"])
        rollout.bank = Bank(
            {int(a): b for a, b in told["filled"]},
            set(told["pinned"]),
            {int(a): b for a, b in told["subjects"]},
        )
        return rollout, told["strategy"]

    def last_frame(self, rollout):
        return picture(rollout.last_pose, rollout.now)

    def rival(self, rollout, strategy):
        if strategy not in self.strategies:
            raise InputError(f"unknown strategy {strategy!r}")
        other = rollout.fork()
        other.strategy, other.past = strategy, {}
        return other


class StandInStudio:
    """Renders and plans without an engine."""

    def ask(self, job, *arguments, seconds=0.0):
        if job == "view":
            _, frames, poses = arguments
            return np.stack([picture(pose, frame) for frame, pose in zip(frames, poses, strict=True)])
        _, request = self.asked = arguments
        clip = square_clip(f"seed {request['seed']}")
        return replace(clip, caption=f"A world of seed {request['seed']}.")

    def close(self):
        pass
