"""LoRAs of Wan as six programs write them: read, merged into a transformer, written under the original names.

::

    diffusers         transformer.blocks.0.attn1.to_q.lora_A.weight
    ComfyUI, original diffusion_model.blocks.0.self_attn.q.lora_A.weight (or lora_down), .alpha where given
    kohya, musubi     lora_unet_blocks_0_self_attn_q.lora_down.weight, .alpha
    VideoX-Fun        lora_unet__blocks_0_self_attn_q.lora_down.weight, .alpha
    DiffSynth         pipe.dit.blocks.0.self_attn.q.lora_A.default.weight (or without pipe.dit.)
    distillation      original names, and whole differences: .diff (weights), .diff_b (biases), .diff_m (modulation)
"""

import re
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from diffusers.utils.peft_utils import scale_lora_layers, unscale_lora_layers
from torch import Tensor

from outofsight.backbone.official_names import official_name
from outofsight.codec.checkpoint_files import load_state_dict, quote_names, require_finite, save_state_dict
from outofsight.errors import CheckpointError, InputError

PREFIXES = ("pipe.dit.", "base_model.model.", "diffusion_model.", "transformer.", "dit.", "model.", "module.")
KOHYA = re.compile(r"lora_unet__?(.+)")
LEAF = re.compile(
    r"(?P<stem>.+?)\.(?:lora_(?P<side>A|B|down|up)(?:\.default)?\.weight|(?P<other>alpha|diff|diff_b|diff_m))"
)
UNREADABLE = ("hada_w", "lokr_w", "dora_scale", "reshape_weight", "set_weight")


@dataclass
class LoraPart:
    """What is added to one linear layer: scale · up @ down, where scale = alpha / rank (1 without alpha)."""

    down: Tensor
    up: Tensor
    alpha: float | None = None

    @property
    def rank(self) -> int:
        return self.down.shape[0]

    @property
    def scale(self) -> float:
        return 1.0 if self.alpha is None else self.alpha / self.rank

    def scaled_up(self) -> Tensor:
        return (self.up.float() * self.scale).to(self.up.dtype)

    def delta(self) -> Tensor:
        """Multiply it out in float32, in the shape of the layer's weight (of a convolution too)."""
        product = self.up.float().flatten(1) @ self.down.float().flatten(1)
        return self.scale * product.reshape(self.up.shape[0], *self.down.shape[1:])


@dataclass
class Lora:
    """``parts`` by the layer's parameter name here (``blocks.0.attn1.to_q.weight``), ``diffs`` by parameter name."""

    parts: dict[str, LoraPart] = field(default_factory=dict)
    diffs: dict[str, Tensor] = field(default_factory=dict)


def read_lora(path: str | Path, names: Iterable[str]) -> Lora:
    """Read a LoRA file for a transformer whose parameters have these names. Raises ``CheckpointError`` in one line."""
    try:
        state = load_state_dict(path)
        require_finite(state.items(), str(path))
        return parse_lora(state, names)
    except CheckpointError as error:
        raise error if str(error).startswith(str(path)) else CheckpointError(f"{path}: {error}") from error


def parse_lora(state: Mapping[str, Tensor], names: Iterable[str]) -> Lora:
    """Understand a LoRA of any of the six layouts.

    Raises:
        CheckpointError: a name belongs to no layer here, a half is missing, or it is no LoRA.
    """
    layers = _layers_by_any_name(names)
    sides: dict[str, dict[str, Tensor]] = {}
    lora = Lora()
    strangers = []
    for name, tensor in state.items():
        matched = LEAF.fullmatch(name)
        layer = layers.get(_bare(matched["stem"], matched["other"])) if matched else None
        if matched is None or layer is None:
            strangers.append(name)
        elif matched["other"] in ("diff", "diff_m"):
            lora.diffs[layer if matched["other"] == "diff_m" else f"{layer}.weight"] = tensor
        elif matched["other"] == "diff_b":
            lora.diffs[f"{layer}.bias"] = tensor
        else:
            side = {"A": "down", "B": "up"}.get(matched["side"], matched["side"] or "alpha")
            sides.setdefault(f"{layer}.weight", {})[side] = tensor
    _check_strangers(strangers, state)
    for weight, halves in sides.items():
        if "down" not in halves or "up" not in halves:
            raise CheckpointError(f"the LoRA has only {' and '.join(halves)} of {weight}; it is not whole")
        alpha = float(halves["alpha"]) if "alpha" in halves else None
        lora.parts[weight] = LoraPart(halves["down"], halves["up"], alpha)
    return lora


def merge_lora(transformer: Any, lora: Lora, strength: float = 1.0) -> None:
    """Add a LoRA to a transformer's weights, in float32 and rounded once.

    Raises:
        CheckpointError: a part has another width than its layer; then nothing was added.
    """
    weights = dict(transformer.named_parameters())
    check_widths(lora, {name: tuple(weight.shape) for name, weight in weights.items()})
    with torch.no_grad():
        for name in lora.parts.keys() | lora.diffs.keys():
            added = torch.zeros(weights[name].shape)
            if name in lora.parts:
                added += lora.parts[name].delta().reshape(added.shape)
            if name in lora.diffs:
                added += lora.diffs[name].float().reshape(added.shape)
            weights[name].copy_(weights[name].float() + strength * added.to(weights[name].device))


def to_original(lora: Lora) -> dict[str, Tensor]:
    """Name a LoRA as ComfyUI and LightX2V read it: ``diffusion_model.`` and original names, alpha folded in."""
    state = {}
    for weight, part in lora.parts.items():
        stem = f"diffusion_model.{official_name(weight).removesuffix('.weight')}"
        state[f"{stem}.lora_A.weight"] = part.down
        state[f"{stem}.lora_B.weight"] = part.scaled_up()
    for name, tensor in lora.diffs.items():
        official = f"diffusion_model.{official_name(name)}"
        if official.endswith("modulation"):
            block = official.removesuffix(".modulation")
            state[f"{block}.diff_m"] = tensor
        else:
            leaf = ".diff_b" if official.endswith(".bias") else ".diff"
            state[official.rpartition(".")[0] + leaf] = tensor
    return state


def write_lora(path: str | Path, lora: Lora) -> None:
    """Write a LoRA under the original names, whole or not at all."""
    save_state_dict(path, to_original(lora))


def to_peft(lora: Lora) -> dict[str, Tensor]:
    """Name a LoRA as peft does, alpha folded in, all ranks brought to the largest by zeros: no scale is left.

    Raises:
        CheckpointError: it holds whole differences, which an adapter cannot; merge it instead.
    """
    if lora.diffs:
        raise CheckpointError(
            f"this LoRA also changes {quote_names(lora.diffs)}, which an adapter cannot; merge it "
            "(`outofsight convert merge-lora`)"
        )
    state, rank = {}, max(part.rank for part in lora.parts.values())
    for weight, part in lora.parts.items():
        stem, more = weight.removesuffix(".weight"), rank - part.rank
        no_down = part.down.new_zeros(more, *part.down.shape[1:])
        no_up = part.up.new_zeros(part.up.shape[0], more, *part.up.shape[2:])
        state[f"{stem}.lora_A.weight"] = torch.cat([part.down, no_down])
        state[f"{stem}.lora_B.weight"] = torch.cat([part.scaled_up(), no_up], dim=1)
    return state


def check_widths(lora: Lora, shapes: Mapping[str, tuple[int, ...]], what: str = "the LoRA") -> None:
    """Raise ``CheckpointError`` unless every part fits the parameter that it adds to, by name and shape."""
    adds = {name: (part.up.shape[0], *part.down.shape[1:]) for name, part in lora.parts.items()}
    adds |= {name: tuple(tensor.shape) for name, tensor in lora.diffs.items()}
    for name, shape in adds.items():
        if name not in shapes:
            raise CheckpointError(f"{what} adds to {name}, which this transformer lacks")
        if shape != shapes[name]:
            raise CheckpointError(
                f"{what} adds {list(shape)} to {name}, which is {list(shapes[name])} here; it is of a model of "
                "another width"
            )


def _bare(stem: str, other: str | None) -> str:
    """Take prefixes off a layer's name; ``blocks.0.diff_m`` is the block's own modulation."""
    while prefix := next((p for p in PREFIXES if stem.startswith(p)), ""):
        stem = stem.removeprefix(prefix)
    kohya = KOHYA.fullmatch(stem)
    if kohya:
        stem = f"_{kohya[1]}"
    return f"{stem}.modulation" if other == "diff_m" else stem


def _layers_by_any_name(names: Iterable[str]) -> dict[str, str]:
    """Map every name that a layer goes by (ours, the original, kohya's with "_" for ".") to ours."""
    known = {}
    for name in names:
        try:
            official = official_name(name)
        except CheckpointError:
            official = name  # a part that Wan does not have goes by our name alone
        layer, official_layer = (n.removesuffix(".weight").removesuffix(".bias") for n in (name, official))
        for alias in (layer, official_layer):
            known[alias] = layer
            known["_" + alias.replace(".", "_")] = layer
    return known


def _check_strangers(strangers: list[str], state: Mapping[str, Tensor]) -> None:
    if not strangers:
        return
    kind = next((mark for mark in UNREADABLE if any(mark in name for name in strangers)), None)
    if kind or not any(LEAF.fullmatch(name) for name in state):
        what = f"an adapter of another kind ({kind})" if kind else "no LoRA that is known here"
        raise CheckpointError(f"expected a LoRA of a Wan transformer, got {what}: {quote_names(strangers)}")
    raise CheckpointError(
        f"{len(strangers)} of {len(state)} entries belong to no layer of this transformer: {quote_names(strangers)}; "
        "it is a LoRA of another model"
    )


@contextmanager
def scaled_loras(transformer: Any, attention_kwargs: Mapping[str, Any]) -> Iterator[None]:
    """Multiply a transformer's adapters by ``attention_kwargs["scale"]`` for a while, as diffusers' pipelines ask."""
    scale = attention_kwargs.get("scale", 1.0)
    if scale == 1.0:
        yield
        return
    scale_lora_layers(transformer, scale)
    try:
        yield
    finally:
        unscale_lora_layers(transformer, scale)


class LoraLoading:
    """A mixin before diffusers' own adapters, which say nothing of names that they do not know."""

    def load_lora_adapter(
        self, source: str | Mapping[str, Tensor], prefix: str | None = None, **options: Any
    ) -> None:
        """Add a LoRA file, or its tensors by name, as an adapter; ``options`` are diffusers' own.

        ``prefix`` is not asked for: every layout is known by its names.

        Raises:
            CheckpointError: it is no LoRA of this transformer, or also changes what no adapter can.
        """
        del prefix
        try:
            import peft  # noqa: F401, PLC0415
        except ImportError as error:
            raise InputError("LoRA adapters need peft; install it: pip install 'outofsight[lora]'") from error
        own: Any = self
        # Adapters that are there already put their own parts beside the weights, and those below ``base_layer``.
        shapes = {
            name.replace(".base_layer.", "."): tuple(weight.shape)
            for name, weight in own.named_parameters()
            if ".lora_" not in name
        }
        lora = parse_lora(source, shapes) if isinstance(source, Mapping) else read_lora(source, shapes)
        check_widths(lora, shapes)
        super().load_lora_adapter(to_peft(lora), prefix=None, **options)  # type: ignore[misc]
