"""What retrieval and writing cost, as shares of a rollout's step, against the size of the banks.

The weights do not matter for time: a model's own are taken, and its memory is changed to ``hybrid`` with banks of each
size. ``retrieve``, ``observe`` reading and writing, ``keys`` the retrieved tokens' way through the blocks.
All rollouts live at once and step in turn, forth and back, so that a busy machine is so for all of them; a step is
compared with that of ``window``, which has no banks, in the same round.
"""

import argparse
from collections.abc import Mapping
from contextlib import ExitStack
from typing import Any

from outofsight.sampling.rollout import Rollout
from outofsight.sampling.world import WorldModel
from outofsight.types import Clip
from rolled_worlds import begun, clip_for, forth_and_back, remembering, state_bytes, swinging
from study_figures import Row, summarised, table

ARCHIVES = (8, 24, 72, 216)
TOP_KS = (4, 8, 16)
WARM_UP = 2
"""Rounds that are not timed."""

STAGES = ("retrieve", "keys", "observe", "denoise", "decode")
SHOWN = ("archive_slots", "subject_slots", "top_k", "step_ms", "over_window", "retrieve_ms", "observe_ms", "keys_ms",
         "denoise_ms", "retrieve_share", "observe_share", "state_kilobytes")  # fmt: skip


def add_options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--denoising-steps", type=int, default=8, help="in each step of a rollout")
    parser.add_argument("--latent-frames", type=int, default=3, help="of a step")
    parser.add_argument("--timed", type=int, default=24, help="rounds that are timed")


def study(options: argparse.Namespace) -> list[Row]:
    """Time banks of every size."""
    sizes = [None, *bank_sizes()]
    worlds = [remembering(options.model, "window" if banks is None else "hybrid", banks) for banks in sizes]
    measured = timed(worlds, clip_for(options.model), options)
    rows = summarised(
        [{**size_of(banks), **reported} for banks, reported in zip(sizes, measured, strict=True)]
    )
    table(rows, SHOWN, SHOWN)
    return rows


def bank_sizes() -> list[dict[str, int]]:
    """List the banks to time: archives of each size with 8 slots retrieved, then the usual archive with other top-k."""
    sizes = [{"archive_slots": slots, "subject_slots": 4, "top_k": 8} for slots in ARCHIVES]
    sizes += [{"archive_slots": 24, "subject_slots": 4, "top_k": k} for k in TOP_KS if k != 8]
    return [*sizes, {"archive_slots": 24, "subject_slots": 16, "top_k": 8}]


def size_of(banks: Mapping[str, int] | None) -> dict[str, int]:
    names = ("archive_slots", "subject_slots", "top_k")
    return {name: 0 if banks is None else banks[name] for name in names}


def timed(worlds: list[WorldModel], clip: Clip, options: argparse.Namespace) -> list[dict[str, Any]]:
    """Roll all worlds in turn. Values are lists over rounds; ``over_window``: over the first world's in that round."""
    with ExitStack() as stack:
        rollouts = [stack.enter_context(begun(world, clip, options.denoising_steps)) for world in worlds]
        paths = [swinging(rollout.last_pose, options.latent_frames) for rollout in rollouts]
        for turn in range(WARM_UP + options.timed):
            for index in forth_and_back(len(rollouts), turn):
                rollouts[index].step(next(paths[index]))
        window = [sum(record.seconds.values()) for record in rollouts[0].records][WARM_UP:]
        return [stage_figures(rollout, window) for rollout in rollouts]


def stage_figures(rollout: Rollout, window_s: list[float]) -> dict[str, Any]:
    """Give milliseconds of every stage and shares of the step, by round."""
    records = [dict(record.seconds) for record in rollout.records][WARM_UP:]
    steps = [sum(one.values()) for one in records]
    spent = {name: [one.get(name, 0.0) for one in records] for name in STAGES}
    return {
        "step_ms": [1000 * step for step in steps],
        "over_window": [step / other for step, other in zip(steps, window_s, strict=True)],
        **{f"{name}_ms": [1000 * value for value in values] for name, values in spent.items()},
        **{
            f"{name}_share": [value / step for value, step in zip(spent[name], steps, strict=True)]
            for name in ("retrieve", "observe")
        },
        "state_kilobytes": round(state_bytes(rollout.state) / 1024, 1),
    }
