"""How a memory is trained beside the flow: the weights of its losses, and how a target is unrolled in chunks."""

from pydantic import ConfigDict, Field, model_validator
from pydantic.dataclasses import dataclass

STRICT = ConfigDict(extra="forbid")


@dataclass(frozen=True, kw_only=True, config=STRICT)
class MemoryLosses:
    """Weights of the two banks' losses (``training.memory_losses``); 0 leaves one out.

    ``split``: which tokens show a subject. ``reading``: where and who the scene reader says it is, token by token.
    ``state``: where the tracker has every annotated subject and how it moves, hidden or not, and where it foresees it.
    ``identity``: a subject's slot before it left knows it after its return, among the others of the batch.
    ``background``: what the archivist holds rebuilds the static tokens of the target's views.
    """

    split: float = Field(default=0.0, ge=0)
    reading: float = Field(default=0.0, ge=0)
    state: float = Field(default=0.0, ge=0)
    identity: float = Field(default=0.0, ge=0)
    background: float = Field(default=0.0, ge=0)

    def weights(self) -> dict[str, float]:
        """The losses that are on, by name."""
        named = {name: getattr(self, name) for name in LOSS_NAMES}
        return {name: weight for name, weight in named.items() if weight > 0}


LOSS_NAMES = ("split", "reading", "state", "identity", "background")


@dataclass(frozen=True, kw_only=True, config=STRICT)
class Chunks:
    """How the target is unrolled: generated a few latent frames at a time, each chunk after what came before it.

    ``sizes``: ways to cut it, one of which is drawn for each step; each must sum to the target's latent frames. None:
    the target is one chunk after the clean context. ``own_share``: of samples and chunks whose later history is the
    model's own estimate of the chunk, where that chunk's noise level is at most ``own_max_sigma``; all others see
    the truth at a noise level drawn uniformly from 0 to ``history_noise``.
    """

    sizes: tuple[tuple[int, ...], ...] = ()
    own_share: float = Field(default=0.5, ge=0, le=1)
    own_max_sigma: float = Field(default=0.7, ge=0, le=1)
    history_noise: float = Field(default=0.1, ge=0, lt=1)

    @model_validator(mode="after")
    def _check(self) -> "Chunks":
        totals = {sum(sizes) for sizes in self.sizes}
        if len(totals) > 1 or any(size < 1 for sizes in self.sizes for size in sizes) or 0 in totals:
            raise ValueError(
                "chunks.sizes: expected lists of sizes ≥ 1 that all sum to the target's latent frames, got "
                f"{[list(sizes) for sizes in self.sizes]}"
            )
        return self
