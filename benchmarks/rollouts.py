"""Do memory and time of a step stay flat however long one walks? Step by step, for each strategy.

    python benchmarks/rollouts.py --model mini --strategies window hydra concat hybrid hybrid+hydra --steps 200 \
        --out benchmarks/results/rollouts.json --figure benchmarks/results/rollouts.svg

``--model`` may be trained for any strategy: weights that another strategy needs begin untrained, since only time and
memory are asked for. A trained hybrid is rolled as it is.
"""

import argparse
import time
from pathlib import Path
from statistics import median
from typing import Any

import matplotlib.pyplot as plt
import torch

from record import add_out, finish
from rolled_worlds import begun, clip_of_seed, remembering, resident_bytes, state_bytes, swinging

FIRST_STEP = 5
"""Earlier steps warm up caches and fill windows."""


def rolled(model: str, name: str, options: argparse.Namespace) -> dict[str, Any]:
    """Roll so many steps; seconds, bytes of the state and of the process after each."""
    world = remembering(model, name)
    seconds, states, resident = [], [], []
    with begun(world, clip_of_seed(7), options.denoising_steps) as rollout:
        path = swinging(rollout.last_pose, options.latent_frames)
        for _ in range(options.steps):
            cameras = next(path)
            start = time.perf_counter()
            rollout.step(cameras)
            seconds.append(round(time.perf_counter() - start, 4))
            states.append(state_bytes(rollout.state))
            resident.append(resident_bytes())
    return {"seconds": seconds, "state_bytes": states, "resident_bytes": resident}


def flatness(figures: dict[str, Any]) -> dict[str, float]:
    """Compare the last fifth of the steps with the first after ``FIRST_STEP``: 1 is flat."""
    told = {}
    for name, values in figures.items():
        part = values[FIRST_STEP - 1 :]
        fifth = max(len(part) // 5, 1)
        told[name] = round(median(part[-fifth:]) / median(part[:fifth]), 4)
    return told


def draw(figures: dict[str, Any], path: Path) -> None:
    """Draw seconds and the state's bytes of every step, a line for each strategy, as SVG."""
    figure, panels = plt.subplots(1, 2, figsize=(9, 3), layout="constrained")
    told = {"seconds": ("seconds a step", 1.0), "state_bytes": ("state, KiB", 1024.0)}
    for panel, (name, (label, unit)) in zip(panels, told.items(), strict=True):
        for strategy, values in figures.items():
            steps = range(1, len(values[name]) + 1)
            panel.plot(steps, [value / unit for value in values[name]], label=strategy, linewidth=0.8)
        panel.set(xlabel="step", ylabel=label, ylim=(0, None))
    panels[0].legend()
    figure.savefig(path, format="svg")
    plt.close(figure)


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--model", default="mini")
    parser.add_argument(
        "--strategies", nargs="+", default=("window", "hydra", "concat", "hybrid", "hybrid+hydra")
    )
    parser.add_argument("--steps", type=int, default=200)
    parser.add_argument("--latent-frames", type=int, default=3, help="latent frames a step")
    parser.add_argument("--denoising-steps", type=int, default=4)
    parser.add_argument("--figure", type=Path, help="also draw the steps to this SVG file")
    add_out(parser)
    options = parser.parse_args()
    if options.steps < FIRST_STEP + 1:
        parser.error(f"--steps: expected more than {FIRST_STEP}, got {options.steps}")
    torch.set_num_threads(1)
    figures: dict[str, Any] = {}
    print(
        "| strategy | step, ms (median) | last fifth over first: time | state | process |\n|---|---|---|---|---|"
    )
    for name in options.strategies:
        figures[name] = rolled(options.model, name, options)
        flat = flatness(figures[name])
        figures[name]["last_over_first"] = flat
        step = 1000 * median(figures[name]["seconds"][FIRST_STEP - 1 :])
        print(
            f"| {name} | {step:.0f} | {flat['seconds']} | {flat['state_bytes']} | {flat['resident_bytes']} |"
        )
    if options.figure is not None:
        draw(figures, options.figure)
    config = {name: value for name, value in vars(options).items() if name not in ("out", "figure")}
    finish("rollouts", "Do memory and time of a rollout's step stay flat?", config, figures, options.out)


if __name__ == "__main__":
    main()
