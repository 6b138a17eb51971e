"""A clip with everybody's answers side by side, for reports and sheets."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from outofsight.data.video import read_video
from outofsight.evaluation.case import ClipCase, Video, phases_of
from outofsight.evaluation.clips import EvalClip, Sample
from outofsight.evaluation.methods import Method
from outofsight.evaluation.run import Evaluation


@dataclass(frozen=True, kw_only=True, eq=False)
class View:
    """One clip. ``answers``: the target frames of every method that answered, in the methods' order.

    ``phases`` int8 [c + t] of ``Phase``, of the whole frames; ``None``: visibility is not annotated.
    """

    clip: EvalClip
    case: ClipCase
    caption: str | None
    answers: dict[str, Video]
    phases: NDArray[np.int8] | None

    @property
    def has_context(self) -> bool:
        """Whether the context's frames are frames before the target, or only stand for missing ones."""
        return self.clip.entry is not None or self.clip.num_context_frames > 0

    @property
    def target_phases(self) -> list[int]:
        """Phases of the target frames; empty where they are not known."""
        return [] if self.phases is None else self.phases[self.case.num_context_frames :].tolist()


def view_of(evaluation: Evaluation, clip: EvalClip) -> View:
    """Gather a clip and all answers to it."""
    sample = clip.read()
    case = sample.case
    answers = {}
    for method in evaluation.methods:
        video = None if method.name == "truth" else _answer_again(evaluation, method, clip, sample)
        if video is not None:
            answers[method.name] = video
    phases = None if case.visibility is None else phases_of(case.visibility, case.num_context_frames).frames
    return View(clip=clip, case=case, caption=sample.caption, answers=answers, phases=phases)


def _answer_again(evaluation: Evaluation, method: Method, clip: EvalClip, sample: Sample) -> Video | None:
    """Give the video that was judged: as written down, or made again where that costs nothing; ``None``: refused."""
    store = evaluation.config.store
    record = store.read(method.name, clip.name)
    if record is None or record.refused is not None:
        return None
    if method.is_kept:
        return read_video(store.video(method.name, clip.name)).frames
    return method.answer(clip, sample, None).video
