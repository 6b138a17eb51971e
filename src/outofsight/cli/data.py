"""``outofsight data``: clips to latents, and latents to and from the published script's samples."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from outofsight.cli.values import require_writable
from outofsight.errors import InputError

Show = Callable[[int, int, str], None]


def build() -> typer.Typer:
    """Gather the verbs of ``outofsight data``."""
    app = typer.Typer(help="Encode clips for training.", no_args_is_help=True)
    app.command("encode")(encode)
    app.command("to-samples")(to_samples)
    app.command("from-samples")(from_samples)
    return app


def encode(
    data: Annotated[Path, typer.Option(help="folder of clips, ours or HM-World's")],
    model: Annotated[str, typer.Option(help="folder of a VAE, or of a world model")],
    out: Annotated[
        Path, typer.Option(help="folder for the latent cache; a part of it that is there is kept")
    ],
    text: Annotated[
        str, typer.Option(help="captions: keep the text; states: run the model's text encoder")
    ] = "captions",
    dtype: Annotated[str, typer.Option(help="of the latents: float16 or float32")] = "float16",
    per_shard: Annotated[int, typer.Option(help="samples in a file")] = 64,
    mirror: Annotated[
        bool,
        typer.Option("--mirror", help="encode every training clip a second time, left and right exchanged"),
    ] = False,
    rendered: Annotated[
        int,
        typer.Option(
            help="also encode the target as memory renders it, so many draws of the subjects' places"
        ),
    ] = 0,
    device: Annotated[str, typer.Option(help="auto, cpu, cuda, cuda:1, ...")] = "auto",
    tile: Annotated[
        bool, typer.Option("--tile", help="encode in overlapping tiles, for less memory")
    ] = False,
) -> None:
    """Encode every clip once. Stop it when you like; run it again to go on."""
    from outofsight.cli.loading import choose_device, quiet_libraries
    from outofsight.codec.video_vae import LatentTiling
    from outofsight.training.encoding import Encoder, encode_dataset
    from outofsight.training.models import load_vae

    if text not in ("captions", "states"):
        raise InputError(f"--text: expected captions or states, got {text!r}")
    require_writable(out)
    quiet_libraries()
    place, tiling = choose_device(device), LatentTiling() if tile else None
    if rendered < 0:
        raise InputError(f"--rendered: expected ≥ 0 draws, got {rendered}")
    if text == "captions" and not rendered:
        encoder = Encoder(vae=load_vae(model).to(place), tiling=tiling)
    else:
        from outofsight.training.encoding import Rendering
        from outofsight.world_model import WorldModelBase

        world = WorldModelBase.from_pretrained(model)
        memory = world.transformer.rendered_memory
        reader = None if memory is None or memory.masks is None else memory.masks.float().eval()
        encoder = Encoder(
            vae=world.vae.to(place),
            text_encoder=None if text == "captions" else world.text_encoder.to(place).eval(),
            tokenizer=None if text == "captions" else world.tokenizer,
            tiling=tiling,
            rendering=Rendering(draws=rendered, reader=reader) if rendered else None,
        )
    with _progress("clips") as show:
        reports = encode_dataset(
            encoder, data, out, dtype=dtype, samples_per_shard=per_shard, mirror=mirror, progress=show
        )
    for report in reports:
        print(f"{report.folder}: {report.num_samples} samples, {report.num_found} of them were there already")


def to_samples(
    cache: Annotated[Path, typer.Option(help="one part of a latent cache, encoded with --text states")],
    out: Annotated[Path, typer.Option(help="folder for one file a sample")],
    form: Annotated[str, typer.Option(help="safetensors or pth")] = "pth",
) -> None:
    """Write the published training script's files: latents, context, context_camera, video_camera."""
    from outofsight.data.latent_cache import open_latent_cache
    from outofsight.data.published_samples import write_published_sample

    samples = open_latent_cache(cache)
    require_writable(out)
    with _progress("samples") as show:
        for done, sample in enumerate(samples, start=1):
            write_published_sample(out / f"{sample.name}.{form}", sample)
            show(done, len(samples), sample.name)
    print(f"{out}: {len(samples)} samples")


def from_samples(
    samples: Annotated[Path, typer.Option(help="folder of the published script's samples")],
    model: Annotated[str, typer.Option(help="world model folder whose VAE and text encoder made them")],
    out: Annotated[Path, typer.Option(help="folder for the latent cache")],
    dtype: Annotated[str, typer.Option(help="of the latents: float16 or float32")] = "float16",
    per_shard: Annotated[int, typer.Option(help="samples in a file")] = 64,
) -> None:
    """Make a latent cache of the published script's samples. They do not say which VAE made them: you do."""
    from outofsight.cli.loading import quiet_libraries
    from outofsight.training.encoding import Encoder, gather_published
    from outofsight.world_model import WorldModelBase

    require_writable(out)
    quiet_libraries()
    world = WorldModelBase.from_pretrained(model)
    encoder = Encoder(vae=world.vae, text_encoder=world.text_encoder.eval(), tokenizer=world.tokenizer)
    with _progress("samples") as show:
        report = gather_published(
            encoder, samples, out / "train", dtype=dtype, samples_per_shard=per_shard, progress=show
        )
    print(f"{report.folder}: {report.num_samples} samples, {report.num_found} of them were there already")


@contextmanager
def _progress(what: str) -> Iterator[Show]:
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    with Progress(*columns, console=Console(stderr=True)) as bar:
        task = bar.add_task(what, total=None)
        yield lambda done, total, name: bar.update(task, completed=done, total=total, description=name)
