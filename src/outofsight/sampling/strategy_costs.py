"""What each memory strategy costs at one size: found from the configuration, on torch's meta device."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import torch

from outofsight.backbone.cost import forward_cost
from outofsight.backbone.transformer import HydraTransformer3DModel
from outofsight.errors import InputError
from outofsight.memory.strategies import Strategy
from outofsight.sampling.plan import forward_peak_bytes, forwards_per_step, shape_of
from outofsight.types import LatentGrid


@dataclass(frozen=True, kw_only=True)
class StrategyCost:
    """One strategy at one size; FLOPs are of one forward of one clip, a multiply-add counts as two.

    ``tokens``: in the sequence. ``once_flops``: what is done once for all denoising steps (the two banks' work).
    ``forwards_per_step``: without guidance by text. ``num_parameters``: those that are used. ``activation_bytes``: the
    most that inputs and activations of a forward hold at once. ``problem``: why the strategy does not fit the size; the
    figures are then ``None``.
    """

    name: str
    what: str
    source: str
    tokens: int | None = None
    keys_per_query: int | None = None
    attention_flops: int | None = None
    flops: int | None = None
    once_flops: int | None = None
    forwards_per_step: int | None = None
    num_parameters: int | None = None
    activation_bytes: int | None = None
    problem: str | None = None


def strategy_costs(
    strategies: Iterable[Strategy],
    config: Mapping[str, Any],
    grid: LatentGrid,
    *,
    text_tokens: int = 512,
    dtype: torch.dtype = torch.bfloat16,
) -> tuple[StrategyCost, ...]:
    """Count every strategy on a transformer's configuration. ``grid``: its token grid, the whole context included."""
    return tuple(_cost(each, config, grid, text_tokens, dtype) for each in strategies)


def _cost(
    chosen: Strategy, config: Mapping[str, Any], grid: LatentGrid, text_tokens: int, dtype: torch.dtype
) -> StrategyCost:
    arguments = {key: value for key, value in config.items() if not key.startswith("_")}
    try:
        with torch.device("meta"):
            model = HydraTransformer3DModel(**{**arguments, **chosen.settings})
        cost = forward_cost(model.config, grid, text_tokens)
        shape_of(model, dtype)
        peak = forward_peak_bytes(model, grid, text_tokens)
    except InputError as error:
        return StrategyCost(name=chosen.name, what=chosen.what, source=chosen.source, problem=str(error))
    return StrategyCost(
        name=chosen.name,
        what=chosen.what,
        source=chosen.source,
        tokens=cost.tokens,
        keys_per_query=cost.keys_per_query,
        attention_flops=cost.attention_flops,
        flops=cost.flops,
        once_flops=cost.observe_flops + cost.keys_flops,
        forwards_per_step=forwards_per_step(model.config, guided=False),
        num_parameters=_used_parameters(model),
        activation_bytes=peak,
    )


def _used_parameters(model: HydraTransformer3DModel) -> int:
    """Count parameters; a tokenizer that makes no slices is carried along, but not used."""
    idle = () if model.memory_settings.retrieves else (".tokenizer.",)
    return sum(
        value.numel() for name, value in model.named_parameters() if not any(part in name for part in idle)
    )
