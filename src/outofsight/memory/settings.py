"""How a model remembers, as data."""

from collections.abc import Mapping
from typing import Any, Literal, get_args

from pydantic import ConfigDict, field_validator, model_validator
from pydantic.dataclasses import dataclass

from outofsight.errors import InputError
from outofsight.memory.banks.state import BankSettings
from outofsight.memory.selectors import Affinity, Kernel

MemorySource = Literal["all", "context"]
"""Slices of all frames, the noisy target included (as the code does), or of the context alone (as the paper says)."""


@dataclass(frozen=True, kw_only=True, config=ConfigDict(extra="forbid"))
class MemorySettings:
    """HyDRA's memory: what is kept, and what each frame looks at.

    ``kernel``: video tokens in one memory token (frames, rows, columns). ``top_k``: slices each frame retrieves
    (0: none, so that a window as wide as the video is plain full attention).
    ``local_window``: full-resolution latent frames around the query frame; ``None``: all of them.
    """

    kernel: Kernel = (2, 2, 2)
    top_k: int = 10
    local_window: int | None = 5
    affinity: Affinity = "mean_pooled"
    source: MemorySource = "all"

    @field_validator("kernel")
    @classmethod
    def _positive_kernel(cls, kernel: Kernel) -> Kernel:
        if min(kernel) < 1:
            raise ValueError(f"a kernel needs sizes ≥ 1, got {kernel}")
        return kernel

    @model_validator(mode="after")
    def _sizes(self) -> "MemorySettings":
        if self.top_k < 0 or (self.local_window is not None and self.local_window < 1):
            raise ValueError(
                "expected top_k ≥ 0 and local_window ≥ 1 (or none: the whole video), got "
                f"{self.top_k} and {self.local_window}"
            )
        return self

    @property
    def retrieves(self) -> bool:
        """Whether memory slices are made at all."""
        return self.top_k > 0 or self.affinity == "all"


def read_memory_settings(config: Mapping[str, Any]) -> MemorySettings:
    """Take the settings from a transformer's configuration."""
    return MemorySettings(
        kernel=tuple(config["memory_kernel"]),
        top_k=config["memory_top_k"],
        local_window=config["local_window"],
        affinity=config["memory_affinity"],
        source=config["memory_source"],
    )


def read_bank_settings(config: Mapping[str, Any]) -> BankSettings | None:
    """Take the settings from a transformer's configuration; ``None``: no banks.

    Raises:
        InputError: unknown or impossible settings.
    """
    if config["banks"] is None:
        return None
    try:
        return BankSettings(**config["banks"])
    except (TypeError, ValueError) as error:
        reasons = [
            line.strip() for line in str(error).splitlines()[1:] if line.strip() and "http" not in line
        ]
        raise InputError(f"banks={dict(config['banks'])}: {'; '.join(reasons) or error}") from error


AFFINITIES: tuple[str, ...] = get_args(Affinity)
