"""How a model remembers, as data: groups of a transformer's settings, and their flat names in its saved folder."""

from collections.abc import Mapping
from dataclasses import dataclass as plain_dataclass
from dataclasses import fields
from types import MappingProxyType
from typing import Any, Literal, get_args

from pydantic import ConfigDict, ValidationError, field_validator, model_validator
from pydantic.dataclasses import dataclass

from outofsight.errors import InputError
from outofsight.memory.banks.state import BankSettings
from outofsight.memory.context_choice import ContextSettings
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


@plain_dataclass(frozen=True, kw_only=True)
class CameraSettings:
    """What tokens know of cameras beside their frame's pose.

    ``fov_x_deg``: the field of view of clips whose lens is not told. ``ray_octaves``: above 0, every token also knows
    the ray it looks along (``nn.rope``; published models: 0).
    """

    fov_x_deg: float = 90.0
    ray_octaves: int = 0

    def __post_init__(self) -> None:
        if not 0 < self.fov_x_deg < 180:
            raise InputError(f"camera_fov_x_deg must lie between 0 and 180, got {self.fov_x_deg}")


@plain_dataclass(frozen=True, kw_only=True)
class RivalSettings:
    """What HyDRA's rivals remember by (``memory.rivals``); all of it idle in HyDRA.

    ``state_grid``: rows × columns of a recurrent state's tokens, ``state_width`` its channels.
    ``state_space_every``: of so many blocks the first carries a state for each place. ``identity_grid``: tokens of each
    subject's last crop. ``subject_mask``: a channel of subjects' masks, in the target ``extrapolated`` or ``true``.
    ``frame_noise``: one noise level for the video (``shared``) or for each frame (``independent``).
    ``history_guidance``: how far sampling moves away from what a model without context predicts (1: not at all).
    """

    state_grid: tuple[int, int] | None = None
    state_width: int = 64
    state_space_every: int | None = None
    identity_grid: tuple[int, int] | None = None
    subject_mask: str = "none"
    frame_noise: str = "shared"
    history_guidance: float = 1.0

    def __post_init__(self) -> None:
        known = {"subject_mask": ("none", "extrapolated", "true"), "frame_noise": ("shared", "independent")}
        for name, values in known.items():
            if getattr(self, name) not in values:
                raise InputError(f"{name}: expected one of {', '.join(values)}, got {getattr(self, name)!r}")


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
        InputError: impossible settings.
    """
    kind, names = GROUPS[group]
    given = {ours: config[flat] for flat, ours in names.items() if flat in config}
    try:
        return kind(
            **{name: tuple(value) if isinstance(value, list) else value for name, value in given.items()}
        )
    except ValidationError as error:
        raise InputError(f"{group} settings: {reasons(error)}") from error


def flattened(**groups: Any) -> dict[str, Any]:
    """Return groups of settings by their flat names, as they are saved."""
    return {
        flat: getattr(group, ours) for name, group in groups.items() for flat, ours in GROUPS[name][1].items()
    }


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
        raise InputError(f"banks={dict(config['banks'])}: {reasons(error)}") from error


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


def reasons(error: Exception) -> str:
    """Put what is wrong with settings in one line: each setting that pydantic refuses, why, and what it was given."""
    if not isinstance(error, ValidationError):
        return str(error)
    each = []
    for found in error.errors():
        name = ".".join(map(str, found["loc"]))
        said = found["msg"].removeprefix("Value error, ")
        each.append(f"{name}: {said}, got {found['input']!r}" if name else said)
    return "; ".join(each)


AFFINITIES: tuple[str, ...] = get_args(Affinity)
