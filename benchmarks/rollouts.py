"""Do memory and time of a step stay flat however long one walks? Step by step, for each strategy.

    python benchmarks/rollouts.py --model mini --steps 200 --denoising-steps 2 \
        --out benchmarks/results/rollouts.json --figure benchmarks/results/rollouts.svg

``--model`` may be trained for any strategy: weights that another strategy needs begin untrained, since only time and
memory are asked for. A model is rolled as it is by the strategy it was trained for.

All strategies walk at once, a step each in turn. While they walk their last fifth of steps, a second rollout of each
walks its first fifth beside them, so that a machine that is busier at the end than it was at the beginning is so for
both::

    first   ...............................########   last fifth ┐ step by step in turn: the ratio of each pair
    second                              ...########   first fifth┘
                                        └ the first steps warm up caches and fill windows: not compared
"""

import argparse
import time
from collections.abc import Callable, Mapping
from contextlib import ExitStack
from functools import partial
from pathlib import Path
from statistics import median
from typing import Any

import matplotlib.pyplot as plt
import numpy as np
import torch

from outofsight.sampling.rollout import Rollout
from outofsight.sampling.world import WorldModel
from outofsight.types import Clip
from record import add_out, finish
from rolled_worlds import (
    begun,
    clip_for,
    forth_and_back,
    remembering,
    resident_bytes,
    state_bytes,
    swinging,
)
from study_figures import figures_of, shown

STRATEGIES = ("window", "hydra", "concat", "hybrid", "hybrid+hydra")
WARM_UP = 4
"""First steps that are not compared."""


class Walked:
    """A rollout that walks on by one step at a time: ``seconds`` of each and ``held``, bytes of the state after it."""

    def __init__(self, rollout: Rollout, latent_frames: int) -> None:
        self.rollout, self.path = rollout, swinging(rollout.last_pose, latent_frames)
        self.seconds: list[float] = []
        self.held: list[int] = []

    def step(self) -> None:
        cameras = next(self.path)
        start = time.perf_counter()
        self.rollout.step(cameras)
        self.seconds.append(time.perf_counter() - start)
        self.held.append(state_bytes(self.rollout.state))


def walk(worlds: Mapping[str, WorldModel], clip: Clip, options: argparse.Namespace) -> dict[str, Any]:
    """Walk with all strategies at once, the last fifth of the steps beside the first fifth of another walk."""
    fifth = (options.steps - WARM_UP) // 5
    with ExitStack() as stack:

        def begin(world: WorldModel) -> Walked:
            return Walked(
                stack.enter_context(begun(world, clip, options.denoising_steps)), options.latent_frames
            )

        first, resident = {name: begin(world) for name, world in worlds.items()}, []
        for turn in range(options.steps - fifth):
            _one_round([walked.step for walked in first.values()], turn)
            resident.append(resident_bytes())
        second = {name: begin(world) for name, world in worlds.items()}
        for walked in second.values():
            for _ in range(WARM_UP):
                walked.step()
        for turn in range(fifth):
            _one_round(
                [partial(_both, first[name], second[name], swap=turn // 2 % 2 == 1) for name in worlds], turn
            )
            resident.append(resident_bytes())
        figures = {name: strategy_figures(first[name], second[name], fifth) for name in worlds}
    return {"strategies": figures, "process": process_figures(resident, options.steps - fifth)}


def _one_round(steps: list[Callable[[], None]], turn: int) -> None:
    for index in forth_and_back(len(steps), turn):
        steps[index]()


def _both(one: Walked, other: Walked, *, swap: bool) -> None:
    for walked in (other, one) if swap else (one, other):
        walked.step()


def strategy_figures(first: Walked, second: Walked, fifth: int) -> dict[str, Any]:
    """Compare the last fifth of one walk's steps with the first fifth of another's, and with its own.

    ``last_over_first``: of seconds, step by step beside each other; 1 is flat. ``last_over_own_first``: medians of
    one walk's fifths, between which the machine's load may have changed.
    """
    last, beside = first.seconds[-fifth:], second.seconds[WARM_UP:]
    own = first.seconds[WARM_UP : WARM_UP + fifth]
    early = first.held[WARM_UP : WARM_UP + fifth]
    return {
        "step_ms": figures_of([1000 * value for value in first.seconds[WARM_UP:]]),
        "last_over_first": figures_of([a / b for a, b in zip(last, beside, strict=True)]),
        "last_over_own_first": round(median(last) / median(own), 4),
        "state_last_over_first": round(median(first.held[-fifth:]) / median(early), 4),
        "seconds": [round(value, 4) for value in first.seconds],
        "seconds_beside": [round(value, 4) for value in second.seconds],
        "state_bytes": first.held,
    }


def process_figures(resident: list[int], alone: int) -> dict[str, Any]:
    """Tell how the process grew while one rollout of each strategy lived (``alone`` steps)."""
    part = resident[WARM_UP:alone]
    fifth = max(len(part) // 5, 1)
    grown = median(part[-fifth:]) / median(part[:fifth])
    return {"resident_bytes": resident, "last_over_first": round(grown, 4)}


def draw(figures: Mapping[str, Any], path: Path) -> None:
    """Draw seconds (medians of 5 steps) and the state's bytes of every step, a line for each strategy, as SVG."""
    figure, (seconds, state) = plt.subplots(1, 2, figsize=(9, 3), layout="constrained")
    for strategy, values in figures.items():
        spent = np.array(values["seconds"])
        whole = len(spent) // 5 * 5
        smooth = np.median(spent[:whole].reshape(-1, 5), axis=1)
        seconds.plot(np.arange(len(smooth)) * 5 + 3, smooth, label=strategy, linewidth=0.9)
        held = [value / 1024 for value in values["state_bytes"]]
        state.plot(range(1, len(held) + 1), held, label=strategy, linewidth=0.9)
    seconds.set(xlabel="step", ylabel="seconds a step, medians of 5", ylim=(0, None))
    state.set(xlabel="step", ylabel="state, KiB", ylim=(0, None))
    seconds.legend(fontsize="small")
    figure.savefig(path, format="svg")
    plt.close(figure)


def print_table(reported: Mapping[str, Any]) -> None:
    print("| strategy | step, ms | last fifth over first | the same, one walk | state | state, KiB |")
    print("|---|---|---|---|---|---|")
    for name, values in reported["strategies"].items():
        step, ratio = (shown(values[key], as_median=True) for key in ("step_ms", "last_over_first"))
        print(
            f"| {name} | {step} | {ratio} | {values['last_over_own_first']} | {values['state_last_over_first']} "
            f"| {values['state_bytes'][-1] / 1024:.0f} |"
        )
    print(f"process, all together, last fifth over first: {reported['process']['last_over_first']}")


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--model", default="mini", help="any model: its name or folder")
    parser.add_argument("--strategies", nargs="+", default=STRATEGIES)
    parser.add_argument("--steps", type=int, default=200)
    parser.add_argument("--latent-frames", type=int, default=3, help="latent frames a step")
    parser.add_argument("--denoising-steps", type=int, default=4)
    parser.add_argument("--figure", type=Path, help="also draw the steps to this SVG file")
    add_out(parser)
    options = parser.parse_args()
    if options.steps < 5 + WARM_UP:
        parser.error(
            f"--steps: expected at least {5 + WARM_UP}, so that a fifth is a step, got {options.steps}"
        )
    torch.set_num_threads(1)
    worlds = {name: remembering(options.model, name) for name in options.strategies}
    reported = walk(worlds, clip_for(options.model), options)
    print_table(reported)
    if options.figure is not None:
        draw(reported["strategies"], options.figure)
    config = {name: value for name, value in vars(options).items() if name not in ("out", "figure")}
    finish("rollouts", "Do memory and time of a rollout's step stay flat?", config, reported, options.out)


if __name__ == "__main__":
    main()
