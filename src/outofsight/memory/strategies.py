"""Memory strategies: named ways to remember, as data over one transformer.

A strategy is a name, the transformer's settings that make it, and what it is compared with. The settings are all that
a trained model's folder keeps: it needs no registry to be loaded again.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any

from outofsight.errors import InputError, in_words
from outofsight.memory.context_choice import ContextSettings
from outofsight.memory.settings import (
    MemorySettings,
    RivalSettings,
    check_memory,
    flattened,
    read_bank_settings,
    read_group,
)
from outofsight.plugins import own_name

MEMORY_FIELDS: Mapping[str, Any] = MappingProxyType(
    {
        **flattened(memory=MemorySettings(), context=ContextSettings(), rivals=RivalSettings()),
        "banks": None,
        "rendering": None,
    }
)
"""The transformer's settings that are its memory, with their defaults (HyDRA's, as published)."""

TRAINED_FIELDS = (
    "memory_kernel", "state_grid", "state_width", "state_space_every", "identity_grid", "subject_mask", "frame_noise",
    "banks", "rendering",
)  # fmt: skip
"""Settings that weights are made for: another value needs training."""

BANK_SIZES_OF_WEIGHTS = ("kernel", "identity_width", "reader_width")
"""Settings of the banks that weights are made for; the others may be changed without training."""

FULL_ATTENTION: Mapping[str, Any] = MappingProxyType({
    "memory_top_k": 0, "local_window": None, "memory_affinity": "mean_pooled", "context_rule": "all", "banks": None,
})  # fmt: skip
HYDRA: Mapping[str, Any] = MappingProxyType({
    "memory_top_k": 10, "local_window": 5, "memory_affinity": "mean_pooled", "memory_source": "all",
    "context_rule": "all", "banks": None,
})  # fmt: skip
_RECENT: Mapping[str, Any] = MappingProxyType({**FULL_ATTENTION, "context_rule": "ends", "context_recent": 5})
_REBUILT = {
    **FULL_ATTENTION, "context_rule": "views", "context_first": 1, "context_recent": 2, "context_clips": 1,
    "context_clip_frames": 2, "context_times": "contiguous",
}  # fmt: skip
_HISTORY = {"rendered": "scenery", "shown": "history", "top_k": 0}


@dataclass(frozen=True, kw_only=True)
class Strategy:
    """One way to remember.

    ``settings``: of the transformer; what is not named stays as the model has it. ``base``: the strategy that this one
    is, but for its own addition. ``source``: where it comes from.
    """

    name: str
    what: str
    settings: Mapping[str, Any] = field(default_factory=dict)
    base: str | None = None
    source: str = ""

    def __post_init__(self) -> None:
        unknown = sorted(set(self.settings) - set(MEMORY_FIELDS))
        if unknown:
            raise InputError(
                f"strategy {self.name!r}: {unknown[0]!r} is no setting of the memory; they are "
                f"{', '.join(MEMORY_FIELDS)}"
            )
        try:
            check_memory(self.settings)
        except InputError as error:
            raise InputError(f"strategy {self.name!r}: {error}") from error

    def whole(self, otherwise: Mapping[str, Any] = MEMORY_FIELDS) -> dict[str, Any]:
        """Return every memory setting: the strategy's own, else those of ``otherwise``."""
        return {**{name: otherwise[name] for name in MEMORY_FIELDS}, **self.settings}


def _strategies(*given: Strategy) -> dict[str, Strategy]:
    return {each.name: each for each in given}


def _variant(name: str, what: str, **settings: Any) -> Strategy:
    """Make a strategy that is HyDRA but for a few settings."""
    return Strategy(name=name, what=f"hydra, {what}", settings={**HYDRA, **settings}, base="hydra")


STRATEGIES: dict[str, Strategy] = _strategies(
    Strategy(
        name="concat",
        what="the whole context on the frame axis, full attention",
        settings=FULL_ATTENTION,
        source="HyDRA's baseline",
    ),
    Strategy(
        name="window",
        what="the last 5 context frames, full attention; everything older is gone",
        settings=_RECENT,
        base="concat",
        source="temporal attention with a limited window",
    ),
    Strategy(
        name="recurrent",
        what="window, and the state of a ConvGRU that read the whole context, as 16 more keys",
        settings={**_RECENT, "state_grid": (4, 4)},
        base="window",
        source="recurrent memory (LSTM or GRU state)",
    ),
    Strategy(
        name="ssm",
        what="window, and in every 4th block a state for each place, which has read the whole context",
        settings={**_RECENT, "state_space_every": 4},
        base="window",
        source="block-wise state space, Echo-Memory, arXiv 2606.09803",
    ),
    Strategy(
        name="identity",
        what="window, and each subject's last visible crop in an extra cross-attention",
        settings={**_RECENT, "identity_grid": (4, 4)},
        base="window",
        source="image-level identity consistency",
    ),
    Strategy(
        name="segmentation",
        what="concat, and a channel of subjects' masks, carried on along their last visible motion",
        settings={**FULL_ATTENTION, "subject_mask": "extrapolated"},
        base="concat",
        source="segmentation-guided generation",
    ),
    Strategy(
        name="oracle",
        what="segmentation with the true masks of the target: a bound, not a rival",
        settings={**FULL_ATTENTION, "subject_mask": "true"},
        base="segmentation",
        source="segmentation-guided generation",
    ),
    Strategy(
        name="fov",
        what="the last context frame and the 4 whose cameras see most of the target's views, full attention",
        settings={**FULL_ATTENTION, "context_rule": "views", "context_recent": 1, "context_clips": 4},
        base="concat",
        source="Context-as-Memory, arXiv 2506.03141",
    ),
    Strategy(
        name="dfot",
        what="concat, trained with a noise level for each frame, sampled with history guidance 1.5",
        settings={**FULL_ATTENTION, "frame_noise": "independent", "history_guidance": 1.5},
        base="concat",
        source="History-Guided Video Diffusion, arXiv 2502.06764",
    ),
    Strategy(
        name="worldplay",
        what="the first context frame, the last 2, and the run of 2 that sees most; times renumbered without gaps",
        settings=_REBUILT,
        base="concat",
        source="WorldPlay's reconstituted context memory",
    ),
    Strategy(
        name="hydra",
        what="a window of 5 frames, and the 10 best memory slices by affinity",
        settings=HYDRA,
        source="HyDRA, arXiv 2603.25716",
    ),
    _variant("hydra-2x2x2", "tokenizer 2×2×2 latent pixels (published: 2×4×4)", memory_kernel=(2, 1, 1)),
    _variant("hydra-2x8x8", "tokenizer 2×8×8 latent pixels", memory_kernel=(2, 4, 4)),
    _variant("hydra-1x4x4", "tokenizer 1×4×4 latent pixels: no mixing over time", memory_kernel=(1, 2, 2)),
    _variant("hydra-k5", "5 slices", memory_top_k=5),
    _variant("hydra-k15", "15 slices", memory_top_k=15),
    _variant("hydra-w3", "window of 3", local_window=3),
    _variant("hydra-w7", "window of 7", local_window=7),
    _variant("hydra-paper", "affinity of the paper's eq. 4", memory_affinity="position_paired"),
    _variant("hydra-fov", "slices chosen by overlap of views", memory_affinity="fov_overlap"),
    _variant("hydra-context", "memory of the context alone", memory_source="context"),
    Strategy(
        name="warp",
        what="window, and the archivist's views rendered into the coming frames: scenery alone, no subject, no tokens",
        settings={**_RECENT, "banks": {"rendered": "scenery", "top_k": 0}},
        base="window",
        source="a geometry cache (Gen3C, Mirage, Spatia)",
    ),
    Strategy(
        name="history",
        what="window, and the scenery that the context showed, rendered into the coming frames as history tokens",
        settings={**_RECENT, "banks": _HISTORY},
        base="window",
        source="Warp-as-History",
    ),
    Strategy(
        name="hydra+history",
        what="hydra, and the scenery that the context showed, rendered into the coming frames as history tokens",
        settings={**HYDRA, "banks": _HISTORY},
        base="hydra",
        source="HyDRA and Warp-as-History",
    ),
    Strategy(
        name="hybrid",
        what="window, and two banks that saw the whole context: an archivist's views, a tracker's subjects",
        settings={**_RECENT, "banks": {}},
        base="window",
        source="the two-bank memory (archivist and tracker)",
    ),
    Strategy(
        name="hybrid+hydra",
        what="hydra, and the two banks beside it",
        settings={**HYDRA, "banks": {}},
        base="hydra",
        source="HyDRA and the two-bank memory",
    ),
)


def register_strategy(new: Strategy) -> None:
    """Make a strategy of one's own known by name. Raises ``InputError`` if the name is another's."""
    if STRATEGIES.get(new.name, new) != new:
        raise InputError(f"strategy {new.name!r} is there already; choose another name")
    STRATEGIES[new.name] = new


def strategy(name: str) -> Strategy:
    """Return a strategy by its name. ``MODULE:NAME`` first imports the module that registers it.

    Raises:
        InputError: there is no such strategy, with those that there are; or no such module.
    """
    if not isinstance(name, str):
        raise InputError(f"expected a strategy's name, got {in_words(type(name))}")
    own = own_name(name, "--strategy")
    if own not in STRATEGIES:
        raise InputError(f"unknown strategy {own!r}; known are {', '.join(STRATEGIES)}")
    return STRATEGIES[own]


def check_without_training(chosen: Strategy, trained: Mapping[str, Any]) -> None:
    """See that a model trained with some memory settings can be sampled with another strategy as it is.

    Raises:
        InputError: the strategy needs weights that this model has not learned.
    """
    wanted = chosen.whole(trained)
    idle = {
        "state_width": wanted["state_grid"] is None,
        "memory_kernel": not _retrieves(wanted),
        "banks": _needs_no_banks(wanted, trained),
    }
    for name in TRAINED_FIELDS:
        if not idle.get(name) and _weights_for(name, wanted[name]) != _weights_for(name, trained[name]):
            raise InputError(
                f"strategy {chosen.name!r} needs {name}={wanted[name]!r}, this model was trained with "
                f"{trained[name]!r}; train one with it: outofsight train --strategy {chosen.name}"
            )
    if _retrieves(wanted) and not _retrieves(trained):
        raise InputError(
            f"strategy {chosen.name!r} reads memory slices, whose tokenizer this model never trained; train one with "
            f"it: outofsight train --strategy {chosen.name}"
        )


def _retrieves(settings: Mapping[str, Any]) -> bool:
    retrieves: bool = read_group("memory", settings).retrieves
    return retrieves


def _needs_no_banks(wanted: Mapping[str, Any], trained: Mapping[str, Any]) -> bool:
    """Tell whether no trained banks are asked for: none are used, or there are none and new ones will do."""
    banks = read_bank_settings(wanted)
    return banks is None or (trained["banks"] is None and banks.asks_no_weights)


def _weights_for(name: str, value: Any) -> Any:
    """Return the part of a setting that weights depend on."""
    sizes = read_bank_settings({"banks": value}) if name == "banks" else None
    if sizes is not None:
        return tuple(getattr(sizes, size) for size in BANK_SIZES_OF_WEIGHTS)
    return tuple(value) if isinstance(value, list) else value
