"""``outofsight convert``: published checkpoint files → a model folder, and back; LoRAs of any layout."""

import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from math import isfinite, nan
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from outofsight.cli.options import DryRun, group
from outofsight.cli.values import parse_settings
from outofsight.data.outputs import claimed, refuse_existing
from outofsight.errors import CheckpointError, InputError, first_line
from outofsight.files import folder_in_one_piece

if TYPE_CHECKING:
    from outofsight.backbone.transformer import HydraTransformer3DModel
    from outofsight.sampling.world import WorldModel

PUBLISHED_SHIFT = 5.0
OFFICIAL_NAMES = {
    "transformer": "hydra.safetensors",
    "vae": "Wan2.1_VAE.safetensors",
    "text_encoder": "models_t5_umt5-xxl-enc.safetensors",
}


def build_convert() -> typer.Typer:
    """Gather the two directions, and LoRAs."""
    about = "Convert published checkpoints to a model folder, and back."
    return group(about, to_diffusers, to_official, lora, merge_lora=merge)


def to_diffusers(
    transformer: Annotated[
        Path,
        typer.Option(
            help="HyDRA's .ckpt, or Wan's transformer (original, diffusers, ComfyUI): a file, an index, a folder"
        ),
    ],
    vae: Annotated[Path, typer.Option(help="Wan2.1_VAE.pth, or a diffusers VAE folder")],
    text_encoder: Annotated[
        Path, typer.Option(help="models_t5_umt5-xxl-enc-bf16.pth, or a transformers folder")
    ],
    tokenizer: Annotated[str, typer.Option(help="tokenizer folder or hub id (google/umt5-xxl)")],
    out: Annotated[Path, typer.Option(help="the model folder to make")],
    untrained_memory: Annotated[
        bool, typer.Option(help="accept a plain Wan transformer and give it a memory yet to be trained")
    ] = False,
    settings: Annotated[
        list[str] | None, typer.Option("--set", help="what weights do not tell, e.g. num_attention_heads=12")
    ] = None,
    dry_run: DryRun = False,
) -> None:
    """Make a model folder of published checkpoint files."""
    from diffusers import FlowMatchEulerDiscreteScheduler

    from outofsight.cli.loading import quiet_libraries
    from outofsight.sampling.world import WorldModel

    refuse_existing(out, [transformer, vae, text_encoder, tokenizer])
    quiet_libraries()
    world = WorldModel(
        transformer=_load_transformer(transformer, untrained_memory, parse_settings(settings or [])),
        vae=_load_vae(vae),
        text_encoder=_load_text_encoder(text_encoder),
        tokenizer=_load_tokenizer(tokenizer),
        scheduler=FlowMatchEulerDiscreteScheduler(shift=PUBLISHED_SHIFT),
    )
    _write_model(world, out, dry_run)


def _write_model(world: "WorldModel", out: Path, dry_run: bool) -> None:
    if dry_run:
        typer.echo(f"would write {out}")
        return
    with claimed(out), folder_in_one_piece(out) as folder:
        world.save_pretrained(folder)
    typer.echo(f"wrote {out}")


def to_official(
    model: Annotated[str, typer.Option(help="model folder or hub id")],
    out: Annotated[Path, typer.Option(help="the folder for the checkpoint files")],
    dry_run: DryRun = False,
) -> None:
    """Write a model's weights as checkpoint files under their published names."""
    from outofsight.backbone.official import transformer_to_official
    from outofsight.cli.loading import quiet_libraries
    from outofsight.codec.checkpoint_files import save_state_dict
    from outofsight.codec.official import text_encoder_to_official, vae_to_official
    from outofsight.sampling.world import WorldModel

    refuse_existing(out, [model])
    quiet_libraries()
    world = WorldModel.from_pretrained(model)
    states = {
        "transformer": transformer_to_official(world.transformer),
        "vae": vae_to_official(world.vae),
        "text_encoder": text_encoder_to_official(world.text_encoder),
    }
    if dry_run:
        typer.echo(f"would write {', '.join(OFFICIAL_NAMES.values())} to {out}")
        return
    with claimed(out), folder_in_one_piece(out) as folder:
        for part, state in states.items():
            save_state_dict(folder / OFFICIAL_NAMES[part], state)
    typer.echo(f"wrote {', '.join(OFFICIAL_NAMES.values())} to {out}")


def _load_transformer(
    path: Path, untrained_memory: bool, config: dict[str, Any]
) -> "HydraTransformer3DModel":
    from outofsight.backbone.official import from_official
    from outofsight.codec.checkpoint_files import identify, require_finite
    from outofsight.codec.checkpoint_parts import read_weights

    state = read_weights(path)
    require_finite(state.items(), str(path))
    config = {**_num_heads_of(path), **config}
    # The published HyDRA was trained with rounded time steps; a plain Wan was not.
    fixed = {"round_timestep_to_bf16": identify(state) == "hydra"}
    try:
        with _naming(path):
            return from_official(state, untrained_memory=untrained_memory, **{**fixed, **config})
    except (TypeError, ValueError) as error:
        raise InputError(f"--set: {error}") from error


def _num_heads_of(path: Path) -> dict[str, Any]:
    """Read from a diffusers folder what its weights do not tell."""
    config = path / "config.json"
    if not path.is_dir() or not config.is_file():
        return {}
    try:
        return {"num_attention_heads": int(json.loads(config.read_bytes())["num_attention_heads"])}
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise CheckpointError(
            f"{config}: expected num_attention_heads, could not read it ({first_line(error)})"
        ) from error


@contextmanager
def _naming(path: Path) -> Iterator[None]:
    """Name the file in what is said about its contents."""
    try:
        yield
    except CheckpointError as error:
        raise CheckpointError(f"{path}: {error}") from error


def _load_vae(path: Path) -> Any:
    from diffusers import AutoencoderKLWan

    from outofsight.codec.official import vae_from_official

    if path.is_dir():
        return _from_folder("--vae", path, AutoencoderKLWan, "Wan's VAE")
    return _from_file(path, vae_from_official)


def _load_text_encoder(path: Path) -> Any:
    from transformers import UMT5EncoderModel

    from outofsight.codec.official import text_encoder_from_official

    if path.is_dir():
        return _from_folder("--text-encoder", path, UMT5EncoderModel, "umT5's encoder")
    return _from_file(path, text_encoder_from_official)


def _from_file(path: Path, from_official: Callable[[Any], Any]) -> Any:
    from outofsight.codec.checkpoint_files import load_state_dict, require_finite

    state = load_state_dict(path)
    require_finite(state.items(), str(path))
    with _naming(path):
        return from_official(state)


def _from_folder(option: str, folder: Path, kind: Any, what: str) -> Any:
    """Load a network from its folder, if it is this kind's and whole."""
    import torch

    from outofsight.codec.checkpoint_files import require_finite
    from outofsight.whole_models import check_part

    try:
        with torch.device("meta"):
            if hasattr(kind, "load_config"):
                config = kind.load_config(folder)
                if (found := config.get("_class_name")) != kind.__name__:
                    raise CheckpointError(
                        f"{option} {folder}: expected {what}, its config.json tells of {found}"
                    )
                check_part(folder, kind.from_config(config))
            else:
                check_part(folder, kind(kind.config_class.from_pretrained(folder)))
        network = kind.from_pretrained(folder)
    except (OSError, ValueError, TypeError, RuntimeError, KeyError) as error:
        raise CheckpointError(
            f"{option} {folder}: expected a folder of {what}, could not load it "
            f"({first_line(error).removeprefix('Error ')})"
        ) from error
    require_finite(network.named_parameters(), str(folder))
    return network


def _load_tokenizer(name_or_path: str) -> Any:
    from transformers import AutoTokenizer

    try:
        return AutoTokenizer.from_pretrained(name_or_path)
    except (OSError, ValueError) as error:
        raise CheckpointError(
            f"--tokenizer {name_or_path}: no tokenizer there ({first_line(error)})"
        ) from error


def lora(
    file: Annotated[Path, typer.Option("--lora", help="a LoRA of Wan, in any of the six layouts")],
    model: Annotated[str, typer.Option(help="the model it is for: model folder or hub id")],
    out: Annotated[
        Path, typer.Option(help="the .safetensors to write, under diffusion_model. + original names")
    ],
    dry_run: DryRun = False,
) -> None:
    """Write a LoRA under the names that ComfyUI and LightX2V read."""
    from outofsight.backbone.loras import check_widths, read_lora, write_lora
    from outofsight.cli.loading import quiet_libraries
    from outofsight.sampling.world import WorldModel

    refuse_existing(out, [file, model], is_file=True)
    quiet_libraries()
    weights = dict(WorldModel.from_pretrained(model).transformer.named_parameters())
    found = read_lora(file, weights)
    check_widths(found, {name: tuple(weight.shape) for name, weight in weights.items()}, str(file))
    if dry_run:
        typer.echo(f"would write {out}: {len(found.parts)} layers")
        return
    with claimed(out, new=True):
        write_lora(out, found)
    typer.echo(f"wrote {out}: {len(found.parts)} layers")


def merge(
    files: Annotated[list[str], typer.Option("--lora", help="FILE or FILE:STRENGTH; may be given again")],
    model: Annotated[str, typer.Option(help="mini (bundled), model folder or hub id")],
    out: Annotated[Path, typer.Option(help="the model folder to make")],
    dry_run: DryRun = False,
) -> None:
    """Add LoRAs to a model's weights for good, and write the model."""
    from outofsight.backbone.loras import check_widths, merge_lora, read_lora
    from outofsight.cli.loading import quiet_libraries
    from outofsight.sampling.world import WorldModel

    asked = [_strength(text) for text in files]
    refuse_existing(out, [model, *(path for path, _ in asked)])
    quiet_libraries()
    world = WorldModel.from_pretrained(model)
    shapes = {name: tuple(weight.shape) for name, weight in world.transformer.named_parameters()}
    names = list(world.transformer.state_dict())
    for path, strength in asked:
        lora = read_lora(path, names)
        check_widths(lora, shapes, str(path))
        merge_lora(world.transformer, lora, strength)
    _write_model(world, out, dry_run)


def _strength(text: str) -> tuple[Path, float]:
    """Read FILE or FILE:STRENGTH."""
    path, colon, strength = text.rpartition(":")
    if not colon or Path(text).is_file():
        return Path(text), 1.0
    try:
        number = float(strength)
    except ValueError:
        number = nan
    if not path or not isfinite(number):
        raise InputError(
            f"--lora: expected FILE or FILE:STRENGTH, as style.safetensors:0.8, got {text[:200]!r}"
        )
    return Path(path), number
