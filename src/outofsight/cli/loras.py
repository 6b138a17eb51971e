"""``outofsight convert lora`` and ``merge-lora``: LoRAs of any layout → the original names, or into a model."""

from pathlib import Path
from typing import Annotated

import typer

from outofsight.cli.folders import refuse_existing
from outofsight.cli.values import DryRun
from outofsight.data.outputs import check_outputs, claimed
from outofsight.errors import InputError, OutputError
from outofsight.files import folder_in_one_piece


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

    if out.exists():
        raise OutputError(f"{out} exists already; choose a new --out, so that nothing is overwritten")
    check_outputs([out], [file, model])
    quiet_libraries()
    weights = dict(WorldModel.from_pretrained(model).transformer.named_parameters())
    found = read_lora(file, weights)
    check_widths(found, {name: tuple(weight.shape) for name, weight in weights.items()})
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
    from outofsight.backbone.loras import merge_lora, read_lora
    from outofsight.cli.loading import quiet_libraries
    from outofsight.sampling.world import WorldModel

    asked = [_strength(text) for text in files]
    refuse_existing(out, [model, *(path for path, _ in asked)])
    quiet_libraries()
    world = WorldModel.from_pretrained(model)
    names = list(world.transformer.state_dict())
    for path, strength in asked:
        merge_lora(world.transformer, read_lora(path, names), strength)
    if dry_run:
        typer.echo(f"would write {out}")
        return
    with claimed(out), folder_in_one_piece(out) as folder:
        world.save_pretrained(folder)
    typer.echo(f"wrote {out}")


def _strength(text: str) -> tuple[Path, float]:
    """Read FILE or FILE:STRENGTH."""
    path, colon, strength = text.rpartition(":")
    if not colon or Path(text).is_file():
        return Path(text), 1.0
    try:
        return Path(path), float(strength)
    except ValueError as error:
        raise InputError(
            f"--lora: expected FILE or FILE:STRENGTH, as style.safetensors:0.8, got {text!r}"
        ) from error
