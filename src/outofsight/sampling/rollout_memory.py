"""The two banks of a rollout, to look at and to touch."""

from typing import TYPE_CHECKING

from outofsight.errors import InputError
from outofsight.memory.banks.state import Archive, Banks, Tracks

if TYPE_CHECKING:
    from outofsight.sampling.rollout import Rollout


class RolloutMemory:
    """What a rollout remembers now; what is changed counts from the next step on."""

    def __init__(self, rollout: "Rollout") -> None:
        if rollout.state.banks is None:
            name = rollout.world.transformer.config["memory_strategy"]
            raise InputError(
                f"this model ({name}) has no banks to look at; the strategies hybrid and hybrid+hydra have"
            )
        self._rollout = rollout

    @property
    def banks(self) -> Banks:
        """Both banks, as plain tensors with a batch of one, in the frame of ``rollout.anchor``."""
        banks = self._rollout.state.banks
        assert banks is not None
        return banks

    @property
    def archive(self) -> Archive:
        """The places that are filed."""
        return self.banks.archive

    @property
    def tracks(self) -> Tracks:
        """The subjects that are followed, seen or not."""
        return self.banks.tracks
