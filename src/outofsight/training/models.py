"""The networks that a run trains: from a folder, or with first weights from sizes, random or begun by likeness."""

import re
from collections.abc import Iterable, Mapping
from fnmatch import fnmatchcase
from math import prod
from pathlib import Path
from typing import Any

import torch
from diffusers import AutoencoderKLWan, FlowMatchEulerDiscreteScheduler
from safetensors import SafetensorError
from torch import Tensor, nn
from transformers import ByT5Tokenizer, UMT5Config, UMT5EncoderModel

from outofsight.backbone.transformer import MEMORY_MODULES, HydraTransformer3DModel
from outofsight.codec.checkpoint_files import require_finite
from outofsight.codec.patch_autoencoder import PatchVideoAutoencoder
from outofsight.codec.video_vae import VideoAutoencoder, autoencoder_class
from outofsight.errors import CheckpointError, InputError, first_line
from outofsight.files import replaced_folder
from outofsight.memory.settings import check_banks_are_used
from outofsight.model_folders import USE_FILE, ModelUse, find_model, use_as_json
from outofsight.training.randomness import first_weights
from outofsight.training.tasks import LoraSize, VaeTask, WorldSize, WorldTask
from outofsight.whole_models import check_part
from outofsight.world_model import WorldModelBase

BYTE_VOCABULARY = 384  # ByT5's: 256 bytes, 3 special tokens, 125 that are never used


def load_vae(folder: str | Path) -> VideoAutoencoder:
    """Load a VAE folder, or the VAE of a world model folder, in float32.

    Raises:
        CheckpointError: there is none.
    """
    folder = Path(find_model(folder))
    own = folder / "vae" if (folder / "vae" / "config.json").is_file() else folder
    if not (own / "config.json").is_file():
        raise CheckpointError(
            f"{folder}: expected a VAE folder or a world model folder, found no config.json"
        )
    try:
        config = PatchVideoAutoencoder.load_config(own)
        kind = autoencoder_class(config)
        with torch.device("meta"):
            check_part(own, kind.from_config(config))
        vae = kind.from_pretrained(own, dtype=torch.float32).eval()
        require_finite(vae.named_parameters(), str(own))
        return vae
    except CheckpointError:
        raise
    except (OSError, ValueError, RuntimeError, TypeError, SafetensorError) as error:
        raise CheckpointError(f"{own}: could not be loaded as a video VAE: {first_line(error)}") from error


def make_vae(task: VaeTask, seed: int) -> VideoAutoencoder:
    """Load the VAE to go on from, or make one with random weights."""
    if task.initial is not None:
        return load_vae(task.initial)
    with first_weights(seed, "vae"):
        if task.patch is not None:
            return PatchVideoAutoencoder(**task.patch.arguments()).eval()
        return AutoencoderKLWan(**task.size.arguments()).eval()


def make_world(task: WorldTask, seed: int) -> WorldModelBase:
    """Load the world model to go on from, or make one with random weights; add low-rank parts if asked for. All is in
    float32, on the CPU.

    Raises:
        InputError: no VAE is named, or low-rank parts are asked for without a trained model.
        CheckpointError: a folder is not what it must be.
    """
    if task.initial is not None:
        world = load_world_to_train(task.initial)
        if task.vae is not None:
            world.vae = load_vae(task.vae)
    elif task.lora.rank:
        raise InputError("task.lora adds to a trained model; name its folder: --set task.initial=FOLDER")
    elif task.vae is None:
        raise InputError("name the folder of the VAE that made the cache: --set task.vae=FOLDER")
    else:
        world = new_world(task.size, load_vae(task.vae), seed)
    if task.memory or task.strategy is not None:
        world.transformer = with_memory(world.transformer, task.strategy, task.memory, seed)
    memory = world.transformer.rendered_memory
    if task.gate_strength and memory is not None and memory.gate is not None and not memory.gate.strength:
        memory.gate.strength.data.fill_(task.gate_strength)
    if task.banks is not None:
        take_banks(world.transformer, task.banks)
    if task.lora.rank:
        _add_lora(world.transformer, task.lora, seed)
    return world


def load_world_to_train(folder: str) -> WorldModelBase:
    """Load a world model to train on: of its scheduler the shift alone, and it forgets where it was loaded from.

    Raises:
        CheckpointError: the folder is none.
    """
    own = WorldModelBase.from_pretrained(folder, dtype=torch.float32)
    return WorldModelBase(own.transformer, own.vae, own.text_encoder, own.tokenizer, _scheduler(own.shift))


def _scheduler(shift: float) -> FlowMatchEulerDiscreteScheduler:
    return FlowMatchEulerDiscreteScheduler(shift=shift)


def save_world(world: WorldModelBase, folder: Path, dtype: torch.dtype, use: ModelUse | None) -> None:
    """Write a world model's folder, its weights cast to ``dtype``, and what it is used with where that is known."""
    for network in (world.transformer, world.text_encoder, world.vae):
        cast_for_export(network, dtype)
    with replaced_folder(folder) as temporary:
        world.save_pretrained(temporary)
        if use is not None:
            (temporary / USE_FILE).write_text(use_as_json(use), encoding="utf-8")


def transformer_arguments(size: WorldSize, channels: int) -> dict[str, Any]:
    """Give the arguments of a transformer of these sizes, for latents of so many channels."""
    return {
        "num_attention_heads": size.num_heads, "attention_head_dim": size.head_dim, "num_layers": size.num_layers,
        "ffn_dim": size.ffn_dim, "freq_dim": size.freq_dim, "text_dim": size.text_width, "in_channels": channels,
        "out_channels": channels, "memory_kernel": size.memory_kernel, "memory_top_k": size.memory_top_k,
        "local_window": size.local_window, "memory_affinity": size.memory_affinity,
        "memory_source": size.memory_source, "camera_ray_octaves": size.camera_ray_octaves,
        "camera_fov_x_deg": size.camera_fov_x_deg,
    }  # fmt: skip


def new_world(size: WorldSize, vae: VideoAutoencoder, seed: int) -> WorldModelBase:
    with first_weights(seed, "world"):
        transformer = HydraTransformer3DModel.from_config(transformer_arguments(size, vae.config["z_dim"]))
        if size.start_by_likeness:
            start_by_likeness(transformer)
        text = UMT5Config(
            vocab_size=BYTE_VOCABULARY, d_model=size.text_width, d_kv=size.text_width // size.text_heads,
            d_ff=2 * size.text_width, num_layers=size.text_layers, num_heads=size.text_heads, dropout_rate=0.0,
            feed_forward_proj="gated-gelu",
        )  # fmt: skip
        tokenizer = ByT5Tokenizer(model_max_length=size.text_tokens)
        return WorldModelBase(transformer, vae, UMT5EncoderModel(text), tokenizer, _scheduler(size.shift))


def with_memory(
    transformer: HydraTransformer3DModel, name: str | None, memory: Mapping[str, Any], seed: int
) -> HydraTransformer3DModel:
    """Give a transformer another memory. All weights that both have are kept; a part that is new, or of another
    shape, begins at random by the seed. So strategies made from one transformer begin with the same weights.

    Raises:
        InputError: impossible settings, or banks of which the model would see nothing.
    """
    config = {key: value for key, value in transformer.config.items() if not key.startswith("_")}
    named = {"memory_strategy": name} if name is not None else {}
    check_banks_are_used(name or config["memory_strategy"], {**config, **memory})
    with first_weights(seed, "memory"):
        made = HydraTransformer3DModel.from_config({**config, **memory, **named})
    places = made.state_dict()
    shared = transformer.state_dict().items()
    fitting = {key: value for key, value in shared if key in places and places[key].shape == value.shape}
    made.load_state_dict(fitting, strict=False)
    return made.to(transformer.dtype)


def take_banks(transformer: HydraTransformer3DModel, folder: str) -> None:
    """Put the two banks' weights of another world model into a transformer that has banks.

    Raises:
        InputError: the transformer has no banks.
        CheckpointError: the other has none, or they are of another size.
    """
    own = transformer.two_banks
    if own is None:
        raise InputError(
            "task.banks gives weights to two banks, and this model has none; use --strategy hybrid"
        )
    other = WorldModelBase.from_pretrained(folder, dtype=torch.float32).transformer
    if other.two_banks is None:
        raise CheckpointError(
            f"task.banks: {folder} is a model without banks; name an export of laptop_banks"
        )
    given = other.two_banks.state_dict()
    shapes, theirs = (
        {key: value.shape for key, value in state.items()} for state in (own.state_dict(), given)
    )
    if wrong := sorted(key for key in shapes | theirs if shapes.get(key) != theirs.get(key)):
        raise CheckpointError(
            f"task.banks: {folder} has banks of other settings than this model ({wrong[0]} and {len(wrong) - 1} more "
            "differ); train both with the same task.memory.banks"
        )
    own.load_state_dict(given)


def _add_lora(transformer: HydraTransformer3DModel, size: LoraSize, seed: int) -> None:
    linear = [name for name, module in transformer.named_modules() if isinstance(module, nn.Linear)]
    unknown = [target for target in size.targets if not any(name.endswith(target) for name in linear)]
    if unknown or not size.targets:
        raise InputError(
            f"task.lora.targets: no linear layer's name ends in {', '.join(unknown) or 'nothing'}"
        )
    pattern = "|".join(rf"(.*\.)?{re.escape(target)}" for target in size.targets)
    try:
        from peft import LoraConfig  # noqa: PLC0415
    except ImportError as error:
        raise InputError("task.lora needs peft; install it: pip install 'outofsight[lora]'") from error
    config = LoraConfig(r=size.rank, lora_alpha=size.alpha, target_modules=pattern, lora_dropout=0.0)
    with first_weights(seed, "lora"):
        transformer.add_adapter(config)


def added_parts(transformer: HydraTransformer3DModel) -> tuple[str, ...]:
    """Give patterns for the parameters that a strategy has added beside the attention layers, to learn in any case."""
    names = [name for name, _ in transformer.named_parameters()]
    in_blocks = ("blocks.*.identity_attention.", "blocks.*.state_space.")
    patterns = [f"{part}*" for part in (*MEMORY_MODULES, *in_blocks)]
    return tuple(f"transformer.{pattern}" for pattern in patterns if _matches(names, pattern))


def _matches(names: Iterable[str], pattern: str) -> bool:
    return any(fnmatchcase(name, pattern) for name in names)


def choose_trainable(
    module: nn.Module, patterns: tuple[str, ...], frozen: tuple[str, ...] = ()
) -> dict[str, nn.Parameter]:
    """Freeze every parameter but those whose names match a pattern, and low-rank ones; return those by name.

    ``frozen``: patterns of those that are frozen all the same.

    Raises:
        InputError: a pattern that matches nothing.
    """
    named = dict(module.named_parameters())
    for pattern in patterns:
        if not _matches(named, pattern):
            raise InputError(
                f"task.trainable: no parameter's name matches {pattern!r}; names are such as {next(iter(named))}"
            )
    for name, parameter in named.items():
        learns = ".lora_" in name or any(fnmatchcase(name, pattern) for pattern in patterns)
        parameter.requires_grad_(learns and not any(fnmatchcase(name, pattern) for pattern in frozen))
    chosen = {name: parameter for name, parameter in named.items() if parameter.requires_grad}
    if not chosen:
        raise InputError("task.trainable is empty and task.lora.rank is 0; nothing would be learned")
    return chosen


def cast_for_export(network: nn.Module, dtype: torch.dtype) -> None:
    """Cast weights, but for the parts that the network's own class keeps in float32 (norms, time embedding)."""
    kept = set(getattr(network, "_keep_in_fp32_modules", None) or ())
    for name, parameter in network.named_parameters():
        if not kept.intersection(name.split(".")):
            parameter.data = parameter.data.to(dtype)


def load_weights(module: nn.Module, weights: Mapping[str, Tensor]) -> None:
    """Put the weights that learned into a module made anew. Raises ``CheckpointError`` for those of another."""
    named: dict[str, Any] = dict(module.named_parameters())
    with torch.no_grad():
        for name, value in weights.items():
            if name not in named or named[name].shape != value.shape:
                raise CheckpointError(
                    f"the state holds {name} {list(value.shape)}, which the model does not have"
                )
            named[name].copy_(value)


@torch.no_grad()
def start_by_likeness(transformer: HydraTransformer3DModel) -> None:
    """Let keys begin as queries do, memory tokens as the mean of their video tokens, rays count as much as content.

    A query is then most like the keys of tokens that hold the same and look along the same ray, in whatever frame:
    what a camera that turns back needs to find. Random weights begin with no such preference and must find it by
    chance. Nothing is frozen; training goes on from there.

    Source: mimetic initialisation (Trockman and Kolter, 2023), here with rays in the place of positions.
    """
    for block in transformer.blocks:
        attention = block.attn1
        attention.to_k.load_state_dict(attention.to_q.state_dict())
        tokenizer = attention.tokenizer.conv
        nn.init.dirac_(tokenizer.weight)
        tokenizer.weight.copy_(tokenizer.weight.sum(dim=(2, 3, 4), keepdim=True).expand_as(tokenizer.weight))
        tokenizer.weight.div_(prod(tokenizer.kernel_size))
        nn.init.zeros_(tokenizer.bias)
        if attention.ray_encoder is not None:
            # A ray's numbers have a mean square of about 1/2: this gives an embedding of about unit variance.
            nn.init.normal_(attention.ray_encoder.weight, std=(2 / attention.ray_encoder.in_features) ** 0.5)
