"""What does each way of running the published model need, and which cards does it fit?

    python benchmarks/card_fit.py --out benchmarks/results/card_fit.json     # then paste the table into docs/memory.md

480×832, 77 + 77 frames, bfloat16, guidance; walks of ``hybrid`` by 2 latent frames; training of one sample a card.
Counted on torch's meta device; nothing is computed.
"""

import argparse
from collections.abc import Iterable, Mapping
from typing import Any

import torch

from gpu_parts import FULL, published_on_meta
from outofsight.cli.info import LATENT_FRAMES, Way, ways
from outofsight.memory.strategies import strategy
from outofsight.sampling.card_fit import rollout_ways
from outofsight.sampling.plan import VideoSize
from record import add_out, finish

CARDS = (12, 16, 24, 48, 80)
OVER = (1, 4, 8)


def measure() -> list[Way]:
    size = VideoSize(
        height=FULL.height, width=FULL.width, context_frames=FULL.frames, target_frames=FULL.frames
    )
    found = ways(published_on_meta(torch.bfloat16, strategy("hydra")), size, guided=True, cards=OVER)
    walks = ways_of_walks(size)
    return [way for way in found if way.use != "rollout"] + walks


def ways_of_walks(size: VideoSize) -> list[Way]:
    networks = published_on_meta(torch.bfloat16, strategy("hybrid"))
    reported = rollout_ways(networks, size, LATENT_FRAMES, guided=True)
    return [Way(use="rollout", flags=flags, gib=count / 2**30) for flags, count in reported.items()]


def table(figures: Iterable[Mapping[str, Any]]) -> str:
    """Say of each way what it needs, and whether it fits each card, in Markdown."""
    lines = [
        f"| `outofsight ...` | GiB | {' | '.join(f'{card} GB' for card in CARDS)} |",
        f"|---|---|{'---|' * len(CARDS)}",
    ]
    for figure in figures:
        way = Way(**figure)
        fits = " | ".join("yes" if way.fits(card) else "" for card in CARDS)
        command, _, over = way.command.partition("  ")
        lines.append(f"| `{command}`{over and ', ' + over} | {way.gib:.1f} | {fits} |")
    return "\n".join(lines)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    add_out(parser)
    options = parser.parse_args()
    figures = [
        {"use": way.use, "flags": way.flags, "gib": round(way.gib, 2), "cards": way.cards}
        for way in measure()
    ]
    print(table(figures))
    finish(
        "card_fit", __doc__.splitlines()[0], {"cards": CARDS, "size": "480x832, 77+77"}, figures, options.out
    )


if __name__ == "__main__":
    main()
