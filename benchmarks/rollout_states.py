"""How many bytes does a rollout's state have at published size, and how many does a save write a step?

    python benchmarks/rollout_states.py --out benchmarks/results/rollout_states.json

Shapes come from torch's meta device: a model of published size, 77 context frames of 480×832, steps of 2 latent frames,
bfloat16. ``saved_before``: all that can be gone back to, as every save wrote it until version 3 of the state.
``saved_now``: what a step changes: new history, the decoder's state, the tracks, and of the other banks as many slots
as latent frames came (the worst case: each changes a slot of its own).
"""

import argparse

import torch
from rich.console import Console
from rich.table import Table

from gpu_parts import FULL, published_on_meta
from outofsight.memory.strategies import strategy
from outofsight.sampling.card_fit import rollout_size
from outofsight.sampling.plan import VideoSize
from outofsight.sampling.rollout_state import RolloutLimits
from record import add_out, finish

LATENT_FRAMES = 2
STRATEGIES = ("window", "hydra", "hybrid", "hybrid+hydra")


def measure(name: str) -> dict[str, float]:
    networks = published_on_meta(torch.bfloat16, strategy(name))
    size = VideoSize(height=FULL.height, width=FULL.width, context_frames=FULL.frames, target_frames=5)
    reported = rollout_size(networks, size, LATENT_FRAMES)
    moments = 1 + RolloutLimits().keep_steps
    return {
        "history": reported.history,
        "decoder": reported.decoder,
        "banks": reported.banks,
        "state": reported.state,
        "saved_before": moments * reported.state,
        "saved_now": reported.history_of_step + reported.decoder + reported.banks_of_step,
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    add_out(parser)
    options = parser.parse_args()
    figures = {name: measure(name) for name in STRATEGIES}
    table = Table("strategy", *next(iter(figures.values())), title="MB, 480×832, steps of 2 latent frames")
    for name, reported in figures.items():
        table.add_row(name, *(f"{value / 1e6:,.1f}" for value in reported.values()))
    Console(width=110).print(table)
    config = {"size": [FULL.height, FULL.width], "context": FULL.frames, "latent_frames": LATENT_FRAMES}
    finish("rollout_states", __doc__.splitlines()[0], config, figures, options.out)


if __name__ == "__main__":
    main()
