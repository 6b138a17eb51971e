"""Which ways of running a model fit a card: the table of ``outofsight info --vram``."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from rich.table import Table

    from outofsight.sampling.plan import VideoSize

RESERVE_GIB = 1.0
"""Left free for CUDA's own context, kernels' workspaces beyond attention's, and gaps between tensors: a guess, as no
GPU has been measured yet."""
LATENT_FRAMES = 2
"""Of a rollout's step."""
COMMANDS = {"generation": "generate", "rollout": "roll", "training": "train --recipe finetune_hydra"}


@dataclass(frozen=True, kw_only=True)
class Way:
    """``gib``: the most that is held on a card at once. ``cards``: of training that is sharded over several."""

    use: str
    flags: str
    gib: float
    cards: int = 1

    @property
    def command(self) -> str:
        over = f"  on {self.cards} cards" if self.cards > 1 else ""
        return f"{COMMANDS[self.use]} {self.flags}".strip() + over

    def fits(self, vram_gib: float) -> bool:
        return self.gib + RESERVE_GIB <= vram_gib


def ways(
    networks: Mapping[str, Any], size: "VideoSize", *, guided: bool, cards: tuple[int, ...] = (1,)
) -> list[Way]:
    """Count every way to generate, roll out and fine-tune with these networks, which lie on meta, in bfloat16."""
    from copy import deepcopy

    from outofsight.sampling.card_fit import generation_ways, rollout_ways
    from outofsight.sampling.plan import token_grid
    from outofsight.training.memory_plan import training_ways

    given = dict(networks)
    grid = token_grid(networks["transformer"], networks["vae"], size)
    trained = training_ways(lambda: deepcopy(networks["transformer"]), grid)
    counted = {
        "generation": generation_ways(given, size, guided=guided),
        "rollout": rollout_ways(given, size, LATENT_FRAMES, guided=guided),
    }
    found = [
        Way(use=use, flags=flags, gib=count / 2**30)
        for use, by_flags in counted.items()
        for flags, count in by_flags.items()
    ]
    return found + [
        Way(use="training", flags=flags, gib=memory.bytes(number) / 2**30, cards=number)
        for number in cards
        for flags, memory in trained.items()
    ]


def cards_table(found: list[Way], vram_gib: float) -> "Table":
    """Say of each way whether it fits, the fastest first."""
    from rich.table import Table

    table = Table(
        "outofsight", "needs", "fits", title=f"a card of {vram_gib:g} GiB, {RESERVE_GIB:g} of it left free"
    )
    for way in found:
        table.add_row(way.command, f"{way.gib:,.1f} GiB", "yes" if way.fits(vram_gib) else "no")
    return table
