"""Options that several verbs share, each with one meaning; and verbs that take theirs as one record."""

import inspect
from collections.abc import Callable
from functools import wraps
from pathlib import Path
from typing import Annotated, TypeVar

import typer

from outofsight.cli.values import check_fov
from outofsight.model_folders import ModelSource

Asked = TypeVar("Asked")


def takes(kind: type[Asked]) -> Callable[[Callable[[Asked], None]], Callable[..., None]]:
    """Give a verb the fields of a record as its options: those that say of what kind (``Annotated``); the others keep
    their defaults. Required ones come first, and how a model is run last."""
    signature = inspect.signature(kind)
    options = [one for one in signature.parameters.values() if hasattr(one.annotation, "__metadata__")]
    options.sort(key=lambda one: (one.default is not one.empty, one.name in ModelSource.__dataclass_fields__))

    def made(verb: Callable[[Asked], None]) -> Callable[..., None]:
        @wraps(verb)
        def command(**given: object) -> None:
            verb(kind(**given))

        command.__annotations__ = {one.name: one.annotation for one in options}
        command.__signature__ = signature.replace(parameters=options, return_annotation=None)  # type: ignore[attr-defined]
        return command

    return made


def group(help_text: str, *verbs: Callable[..., None], **named: Callable[..., None]) -> typer.Typer:
    """Gather verbs under one word: by their functions' names, or by others."""
    app = typer.Typer(help=help_text, no_args_is_help=True, rich_markup_mode=None)
    for name, verb in {**{verb.__name__: verb for verb in verbs}, **named}.items():
        app.command(name.replace("_", "-"))(verb)
    return app


Model = Annotated[str, typer.Option("--model", help="mini (bundled), model folder or hub id")]
Camera = Annotated[
    str | None, typer.Option(help="camera file, or the path to come, such as pan:left:60,pan:right:60")
]
Prompt = Annotated[str | None, typer.Option(help="caption, or a text file that holds it")]
Fov = Annotated[
    float | None,
    typer.Option(
        callback=check_fov, help="the video's lens, in degrees across, where no camera file or clip says it"
    ),
]
StrategyName = Annotated[
    str | None,
    typer.Option(help="remember by another strategy with the same weights (see `outofsight strategies`)"),
]
Resample = Annotated[bool, typer.Option("--resample", help="take the video's frames at the model's rate")]
Vae = Annotated[
    Path | None, typer.Option(help="decode by this tiny decoder (as taew2_1.pth): faster, softer")
]
TileVae = Annotated[bool, typer.Option(help="encode and decode in tiles: less memory, slower")]
AttentionChunk = Annotated[int | None, typer.Option(min=1, help="query frames at a time: less memory")]
Device = Annotated[str, typer.Option(help="auto, cpu, cuda, cuda:1, ...")]
Dtype = Annotated[str | None, typer.Option(help="default: bfloat16 on a GPU, float32 on a CPU")]
Offload = Annotated[str, typer.Option(help="keep weights off the GPU: none, model or sequential")]
Quantize = Annotated[
    str, typer.Option(help="weights in none, int8 (torchao) or nf4 (bitsandbytes, on a GPU): less memory")
]
SkipBroken = Annotated[
    bool, typer.Option("--skip-broken", help="leave out clips that cannot be read, and list them")
]
DryRun = Annotated[
    bool, typer.Option("--dry-run", help="check everything, say what would be done, and make nothing")
]
ContextCamera = Annotated[
    str | None,
    typer.Option(help="how the camera moved in the context, if --camera is a path: file, path, or estimate"),
]
Size = Annotated[
    str | None,
    typer.Option(help="HEIGHTxWIDTH: scale to cover and crop (default: the model's, or as it is)"),
]
Frames = Annotated[
    str | None, typer.Option(help="CONTEXT+TARGET frames, each 4k+1 (default: the model's, or 77+77)")
]
Steps = Annotated[int | None, typer.Option(help="denoising steps (default: the model's, or 50)")]
Guidance = Annotated[
    float | None, typer.Option(help="guidance scale; 1 is twice as fast (default: the model's, or 5)")
]
Seed = Annotated[int, typer.Option(help="seed of the starting noise")]
SeedOfEach = Annotated[int, typer.Option(help="each clip's noise is drawn from this and its name")]
Settings = Annotated[
    list[str] | None,
    typer.Option("--set", help="other sampling settings: shift=3, negative_prompt=blurry"),
]
RolloutSettings = Annotated[
    list[str] | None, typer.Option("--set", help="sampling settings: num_inference_steps=8, guidance_scale=1")
]
Limit = Annotated[int | None, typer.Option(min=1, help="only the first N")]
WithContext = Annotated[bool, typer.Option(help="put the context in front of the continuation")]
