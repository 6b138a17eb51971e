"""How a model remembers, as data: groups of a transformer's settings, and their flat names in its saved folder."""

from collections.abc import Mapping
from dataclasses import fields
from types import MappingProxyType
from typing import Any, Literal, TypeVar

from pydantic import ConfigDict, Field, ValidationError
from pydantic.dataclasses import dataclass

from outofsight.errors import InputError, fault
from outofsight.memory.banks.state import BankSettings
from outofsight.memory.context_choice import MOST_LATENT_FRAMES, ContextSettings
from outofsight.memory.selectors import Affinity, Kernel, Side

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
    top_k: int = Field(default=10, ge=0, le=100_000)
    local_window: int | None = Field(default=5, ge=1, le=MOST_LATENT_FRAMES)
    affinity: Affinity = "mean_pooled"
    source: MemorySource = "all"

    @property
    def retrieves(self) -> bool:
        """Whether memory slices are made at all."""
        return self.top_k > 0 or self.affinity == "all"


@dataclass(frozen=True, kw_only=True, config=ConfigDict(extra="forbid"))
class CameraSettings:
    """What tokens know of cameras beside their frame's pose.

    ``fov_x_deg``: the field of view of clips whose lens is unknown. ``ray_octaves``: above 0, every token also knows
    the ray it looks along (``nn.rope``; published models: 0).
    """

    fov_x_deg: float = Field(default=90.0, gt=0, lt=180)
    ray_octaves: int = Field(default=0, ge=0, le=16)


@dataclass(frozen=True, kw_only=True, config=ConfigDict(extra="forbid"))
class RivalSettings:
    """What HyDRA's rivals remember by (``memory.rivals``); all of it idle in HyDRA.

    ``state_grid``: rows × columns of a recurrent state's tokens, ``state_width`` its channels.
    ``state_space_every``: of so many blocks the first carries a state for each place. ``identity_grid``: tokens of each
    subject's last crop. ``subject_mask``: a channel of subjects' masks, in the target ``extrapolated`` or ``true``.
    ``frame_noise``: one noise level for the video (``shared``) or for each frame (``independent``).
    ``history_guidance``: how far sampling moves away from what a model without context predicts (1: not at all).
    """

    state_grid: tuple[Side, Side] | None = None
    state_width: int = Field(default=64, ge=1, le=10_000)
    state_space_every: int | None = Field(default=None, ge=1, le=1000)
    identity_grid: tuple[Side, Side] | None = None
    subject_mask: Literal["none", "extrapolated", "true"] = "none"
    frame_noise: Literal["shared", "independent"] = "shared"
    history_guidance: float = Field(default=1.0, ge=0, le=1000)


@dataclass(frozen=True, kw_only=True, config=ConfigDict(extra="forbid"))
class RenderingSettings:
    """``gate_width``: channels of the gate towards the render (0: no gate). ``mask_width``: channels of the network
    that reads who is a subject (0: none; then masks must be given)."""

    gate_width: int = Field(default=32, ge=0, le=10_000)
    mask_width: int = Field(default=32, ge=0, le=10_000)


def _fields(prefix: str, kind: type, **otherwise: str) -> Mapping[str, str]:
    names = (each.name for each in fields(kind))
    return MappingProxyType({otherwise.get(name, prefix + name): name for name in names})


GROUPS: Mapping[str, tuple[type, Mapping[str, str]]] = MappingProxyType(
    {
        "memory": (MemorySettings, _fields("memory_", MemorySettings, local_window="local_window")),
        "context": (ContextSettings, _fields("context_", ContextSettings)),
        "cameras": (CameraSettings, _fields("camera_", CameraSettings)),
        "rivals": (RivalSettings, _fields("", RivalSettings)),
    }
)
"""Groups of a transformer's settings, and the flat names that they have in its saved configuration."""

FLAT_NAMES = frozenset(name for _, names in GROUPS.values() for name in names)


def read_group(group: str, config: Mapping[str, Any]) -> Any:
    """Take a group of settings from a transformer's configuration; what is missing has its default.

    Raises:
        InputError: unknown or impossible settings.
    """
    kind, names = GROUPS[group]
    given = {ours: config[flat] for flat, ours in names.items() if flat in config}
    try:
        return kind(**given)
    except ValidationError as error:
        raise InputError(reasons(error, {ours: flat for flat, ours in names.items()})) from error


def flattened(**groups: Any) -> dict[str, Any]:
    """Return groups of settings by their flat names, as they are saved."""
    return {
        flat: getattr(group, ours) for name, group in groups.items() for flat, ours in GROUPS[name][1].items()
    }


def read_bank_settings(config: Mapping[str, Any]) -> BankSettings | None:
    """Take a transformer's banks from its configuration; ``None``: it has none. Raises as ``read_group``."""
    return _read("banks", BankSettings, config)


def read_rendering_settings(config: Mapping[str, Any]) -> RenderingSettings | None:
    """Take how rendered memory is taken in; ``None``: a model is not shown it. Raises as ``read_group``."""
    return _read("rendering", RenderingSettings, config)


_Settings = TypeVar("_Settings")


def _read(name: str, kind: type[_Settings], config: Mapping[str, Any]) -> _Settings | None:
    given = config.get(name)
    if given is None:
        return None
    if not isinstance(given, Mapping):
        raise InputError(f"{name}: expected settings by their names ({{}}: the defaults), got {given!r}")
    try:
        return kind(**given)
    except ValidationError as error:
        raise InputError(f"{name}: {reasons(error)}") from error


def check_memory(config: Mapping[str, Any]) -> None:
    """Check whatever settings of a transformer's memory there are, by their flat names.

    Raises:
        InputError: an impossible one, with its name, its value and what it may be.
    """
    for group in GROUPS:
        read_group(group, config)
    read_bank_settings(config)
    read_rendering_settings(config)


def check_banks_are_used(name: str, config: Mapping[str, Any]) -> None:
    """Refuse banks of which a model would see nothing: it would remember as if it had none.

    Raises:
        InputError: their tokens are not retrieved, and what they render is not shown.
    """
    banks = read_bank_settings(config)
    if banks is None or banks.top_k or banks.rendered == "none":
        return  # they are read; or they are switched off by name
    if banks.shown == "channels" and config["rendering"] is None:
        raise InputError(
            f"strategy {name!r} shows memory as rendered pictures alone, which this model does not take in; train one "
            f"that does: outofsight train --strategy {name} --set task.memory.rendering={{}}"
        )


def reasons(error: Exception, names: Mapping[str, str] = MappingProxyType({})) -> str:
    """Put what is wrong with settings in one line: each that is refused, why, and what it was given.

    ``names``: of settings, where they are known by another.
    """
    if not isinstance(error, ValidationError):
        return str(error)
    each = []
    for found in error.errors():
        first, *further = map(str, found["loc"]) if found["loc"] else ("",)
        each.append(fault(found, ".".join((names.get(first, first), *further))))
    return "; ".join(each)
