"""Whose rules a study measures: untrained banks with stated dynamics, or those of a trained model."""

from collections.abc import Callable, Sequence

import torch

from outofsight.backbone.bank_memory import two_bank_memory
from outofsight.errors import InputError
from outofsight.memory.banks.dynamics import FASTEST_STOP, NOISE_OCTAVES
from outofsight.memory.banks.state import BankSettings
from outofsight.memory.banks.two_banks import TwoBankMemory
from outofsight.sampling.world import WorldModel

DIM = 64
"""Width of an untrained memory's tokens, which are made up."""

HABITS = {"as it begins": (0.0, 0.0), "steadier": (0.0, -4.0), "steadier, stopping": (0.03, -4.0)}
"""Dynamics within what can be learned: rate at which the unseen stop (1/frame), log of the wander of velocity."""

TRAINED = "as trained"

MakeMemory = Callable[..., TwoBankMemory]
"""Makes a memory; keywords change its ``BankSettings``."""


def trackers(model: str | None, habits: Sequence[str]) -> dict[str, MakeMemory]:
    """Name the memories to measure: untrained ones of these habits, and a model's, where one is named.

    Raises:
        InputError: the model has no banks.
    """
    made = {habit: _untrained(habit) for habit in habits}
    return made if model is None else {**made, TRAINED: trained_memory(banked_world(model))}


def banked_world(model: str) -> WorldModel:
    """Load a model that has banks, in float32. Raises ``InputError`` if it has none."""
    world = WorldModel.from_pretrained(model, dtype=torch.float32)
    if world.transformer.two_banks is None or not world.transformer.has_banks:
        raise InputError(
            f"{model}: remembers by {world.transformer.config['memory_strategy']}, which has no banks to study; "
            "name a model that was trained as hybrid or hybrid+hydra"
        )
    return world


def trained_memory(world: WorldModel) -> MakeMemory:
    """Give a model's own weights to banks of any number of slots."""
    config, weights = dict(world.transformer.config), world.transformer.two_banks
    assert weights is not None

    def make(**changes: object) -> TwoBankMemory:
        banks = {**config["banks"], **changes}
        memory = two_bank_memory({**config, "banks": banks})
        assert memory is not None
        memory.load_state_dict(weights.state_dict())
        return memory.eval()

    return make


def _untrained(habit: str) -> MakeMemory:
    def make(**changes: object) -> TwoBankMemory:
        settings = BankSettings(**changes)  # type: ignore[arg-type]
        with torch.random.fork_rng():
            torch.manual_seed(0)
            memory = TwoBankMemory(settings, DIM, 16, (2, 2)).eval()
        _set_habit(memory, *HABITS[habit])
        return memory

    return make


def _set_habit(memory: TwoBankMemory, stop: float, log_noise: float) -> None:
    """Let every subject stop and wander as said, as a trained network could."""
    reached = torch.tensor([stop / FASTEST_STOP, 0.0, log_noise / NOISE_OCTAVES]).clamp(-0.9999, 0.9999)
    with torch.no_grad():
        memory.tracker.dynamics.outer.bias.copy_(reached.atanh())
