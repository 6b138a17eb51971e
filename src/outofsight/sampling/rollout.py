"""Rollouts: a world shown a few latent frames at a time, for as long as one goes on."""

from collections import deque
from collections.abc import Mapping
from copy import copy
from dataclasses import replace
from math import atan
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from outofsight.codec.text import clean_prompt
from outofsight.errors import InputError
from outofsight.memory.banks.state import Banks
from outofsight.nn.turns import takes_turns
from outofsight.sampling.continuation import SamplingSettings
from outofsight.sampling.inputs import check_cameras, check_prompt
from outofsight.sampling.model_digest import world_digest
from outofsight.sampling.moments import on_device, put_aside
from outofsight.sampling.piece_files import Known
from outofsight.sampling.rollout_files import Saved, save_rollout
from outofsight.sampling.rollout_memory import RolloutMemory
from outofsight.sampling.rollout_state import RolloutLimits, RolloutState, coming_latents
from outofsight.sampling.rollout_step import Sampler, StepRecord, Texts, take_step
from outofsight.types import CameraPath
from outofsight.world_model import WorldModelBase

NUM_RECORDS = 64
"""Records of steps that are kept; older ones are let go, so that an endless rollout stays bounded. Their many small
tensors keep half a megabyte a step from going back to the system."""

NUM_RENDERED = 8
"""Of so many steps also what memory rendered, whose frames are nearly all that a record weighs."""


class Rollout:
    """A world that goes on, one step at a time. Made by ``WorldModel.start`` and ``WorldModel.resume``.

    ::

        with world.start(video, context_cameras, "A bus drives by.", seed=7) as rollout:
            frames = rollout.step(cameras)  # 4·(k − 1) + 1 cameras the first time, 4·k every later time
            rollout.prompt = "Snow begins to fall."
            rollout.save("harbour")

    ``records``: of the last steps (``StepRecord``; with ``rendered`` the last 8 alone). ``notes``: JSON values of one's
    own, saved with the state.
    """

    def __init__(
        self,
        sampler: Sampler,
        limits: RolloutLimits,
        state: RolloutState,
        past: Mapping[int, RolloutState] | None = None,
        texts: Mapping[str, Texts] | None = None,
    ) -> None:
        self._sampler, self.limits = sampler, limits
        self._state: RolloutState | None = state
        self._past = dict(past or {})
        self._texts = dict(texts or {})
        self._digest: str | None = None
        self._layouts = Known()
        self._strategy: str = sampler.world.transformer.config["memory_strategy"]
        self.records: deque[StepRecord] = deque(maxlen=NUM_RECORDS)
        self.notes: dict[str, Any] = {}

    @property
    def state(self) -> RolloutState:
        """Where the rollout stands. Raises ``InputError`` after ``close``."""
        if self._state is None:
            raise InputError("this rollout is closed; resume it from a saved state, or start another")
        return self._state

    @property
    def world(self) -> WorldModelBase:
        """The model that shows it."""
        return self._sampler.world

    @property
    def settings(self) -> SamplingSettings:
        """How its frames are sampled."""
        return self._sampler.settings

    @property
    def num_steps(self) -> int:
        """Steps made so far."""
        return self.state.step

    @property
    def num_frames(self) -> int:
        """Video frames shown so far, without the context's."""
        return self.state.num_frames

    @property
    def num_context_frames(self) -> int:
        """Video frames of the context."""
        return self.state.num_context_frames

    @property
    def last_pose(self) -> NDArray[np.float64]:
        """The camera of the last frame, ``world_from_camera`` [3, 4]: where the path goes on."""
        return self.state.last_pose.numpy().copy()

    @property
    def anchor(self) -> NDArray[np.float64]:
        """``world_from_anchor`` [3, 4]: the frame of reference of what the banks hold."""
        return self.state.anchor.numpy().copy()

    @property
    def fov_x_rad(self) -> float:
        """The camera's horizontal field of view: the context's, or the model's default."""
        return 2 * atan(0.5 / float(self.state.intrinsics[0]))

    @property
    def memory(self) -> RolloutMemory:
        """The two banks, to look at and to touch. Raises ``InputError`` where the model has none."""
        self._banks()  # refuses a model without
        return RolloutMemory(self._banks, self.replace_banks, self.anchor)

    @property
    def prompt(self) -> str:
        """The caption in force; a new one counts from the next step on."""
        return self.state.prompt

    @prompt.setter
    def prompt(self, prompt: str) -> None:
        check_prompt(prompt)
        state = self.state
        self._encoded(prompt)  # refuses an empty one
        self._state = replace(state, prompt=prompt)

    @takes_turns("world.transformer")
    def step(self, cameras: CameraPath) -> NDArray[np.uint8]:
        """Show what the coming cameras see: uint8 [n, height, width, 3], a frame for each.

        ``cameras``: of every coming video frame, in the world of the context's cameras; 4·(k − 1) + 1 of them in the
        first step, 4·k in every later one (for a VAE that makes 4 frames one). k latent frames are made at once.

        Raises:
            CameraError: another number of cameras, or one that does not go on with the path.
            InputError: the rollout is closed, or the model remembers in another way by now.
        """
        check_cameras(cameras, "the coming cameras")
        state = self.state
        self._check_strategy()
        num_latent = coming_latents(state, cameras, self.limits, self.world.clock)
        after, frames, record = take_step(
            self._sampler, state, cameras, num_latent, self._encoded(state.prompt)
        )
        if self.limits.keep_steps:
            self._past[state.step] = put_aside(state, self.limits.keep_in)
            self._past.pop(after.step - self.limits.keep_steps - 1, None)
        self._state = after
        self.records.append(record)
        if len(self.records) > NUM_RENDERED:
            old = self.records[-1 - NUM_RENDERED]
            self.records[-1 - NUM_RENDERED] = replace(old, rendered=None)
        return frames

    def rewind(self, step: int) -> None:
        """Go back to the moment after ``step`` steps; the last ``limits.keep_steps`` steps can be taken back.

        The caption, the banks and the random generator are again what they were.

        Raises:
            InputError: that moment is not kept, or has not come yet.
        """
        state = self.state
        if step == state.step:
            return
        if step not in self._past:
            kept = sorted(self._past)
            reach = f"{kept[0]} to {state.step}" if kept else f"{state.step} alone"
            raise InputError(
                f"cannot rewind to step {step}: moments {reach} are kept (limits.keep_steps is "
                f"{self.limits.keep_steps}); save a state, or keep more steps"
            )
        self._state = on_device(self._past[step], self.world.work_device)
        self._past = {number: past for number, past in self._past.items() if number < step}
        while self.records and self.records[-1].step > step:
            self.records.pop()

    @property
    def first_kept(self) -> int:
        """The earliest step whose end can be gone back to."""
        return min(self._past, default=self.num_steps)

    def fork(self) -> "Rollout":
        """Return another rollout that stands at the same moment; the two then go their own ways."""
        other = copy(self)
        other._state, other._past, other._texts = self.state, dict(self._past), dict(self._texts)
        other.records, other.notes = self.records.copy(), dict(self.notes)
        return other

    def save(self, path: str | Path, *, with_past: bool = True) -> None:
        """Write the complete state into the folder ``path``: tensors as safetensors, the rest as JSON.

        An older state there is replaced at once or not at all; a crash leaves one of the two whole. Moments that can
        be rewound to are saved too, if ``with_past``. Records are not.

        Raises:
            OutputError: the folder holds other things, or cannot be written.
            InputError: ``notes`` are no JSON, the rollout is closed, or the model remembers in another way by now.
        """
        state = self.state
        self._check_strategy()
        if self._digest is None:
            self._digest = world_digest(self.world)
        moments = {**(self._past if with_past else {}), state.step: state}
        texts = {moment.prompt: self._encoded(moment.prompt) for moment in moments.values()}
        saved = Saved(
            moments=moments,
            texts={prompt: text.caption for prompt, text in texts.items()},
            negative=texts[state.prompt].negative,
            settings=self.settings,
            limits=self.limits,
            tiling=self._sampler.tiling,
            notes=self.notes,
        )
        save_rollout(Path(path), saved, self.world, self._digest, self._layouts)

    def close(self) -> None:
        """Let go of everything; every later call is refused in one line."""
        self._state, self._past, self._texts = None, {}, {}
        self.records.clear()

    def __enter__(self) -> "Rollout":
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _banks(self) -> Banks:
        banks = self.state.banks
        if banks is None:
            name = self.world.transformer.config["memory_strategy"]
            raise InputError(
                f"this model ({name}) has no banks to look at; the strategies hybrid and hybrid+hydra have"
            )
        return banks

    def replace_banks(self, banks: Banks) -> None:
        """Go on with other banks; ``memory`` makes them."""
        self._state = replace(self.state, banks=banks)

    def _check_strategy(self) -> None:
        """Refuse a state that was kept for another memory: it has other banks, or too short a history."""
        now = self.world.transformer.config["memory_strategy"]
        if now != self._strategy:
            raise InputError(
                f"this rollout remembers by {self._strategy}, its model by {now} since; call "
                f"world.set_memory({self._strategy!r}), or start another rollout"
            )

    def _encoded(self, prompt: str) -> Texts:
        """Encode a caption once; those of moments that cannot be come back to are forgotten."""
        if prompt not in self._texts:
            in_force = {moment.prompt for moment in (*self._past.values(), self.state)}
            self._texts = {kept: text for kept, text in self._texts.items() if kept in in_force}
            negative = next((text.negative for text in self._texts.values()), None)
            self._texts[prompt] = encode_texts(self._sampler, prompt, negative)
        return self._texts[prompt]


def encode_texts(sampler: Sampler, prompt: str, negative: Tensor | None = None) -> Texts:
    """Encode a caption, and what guidance leads away from where it is not given and needed.

    Raises:
        InputError: the caption is empty.
    """
    if not clean_prompt(prompt):
        raise InputError("the prompt is empty; describe the scene and who is in it")
    world, settings = sampler.world, sampler.settings
    if settings.guidance_scale == 1 or negative is not None:
        return Texts(world.encode_text([prompt]), negative)
    both = world.encode_text([prompt, settings.negative_prompt], allow_empty=True)  # one visit to the GPU
    return Texts(both[:1], both[1:])
