"""``outofsight data``: clips to latents, latents to and from the published samples, HM-World from its archive."""

from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import nullcontext, suppress
from dataclasses import asdict
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.console import Console

from outofsight.cli.options import Device, DryRun, SkipBroken, group
from outofsight.cli.progress import shown_progress
from outofsight.cli.values import tell_broken
from outofsight.data.outputs import check_outputs, claimed
from outofsight.errors import DatasetError, InputError
from outofsight.files import read_json, read_text, write_json
from outofsight.model_folders import find_model

if TYPE_CHECKING:
    import torch

    from outofsight.camera_estimation.matches import Video
    from outofsight.training.encoding import Encoder, EncodeReport
    from outofsight.types import CameraPath


def build_data() -> typer.Typer:
    """Gather the verbs of ``outofsight data``."""
    return group("Encode clips for training.", encode, to_samples, from_samples, import_hm_world, lens)


Dtype = Annotated[str, typer.Option(help="of the latents: float16 or float32")]
PerShard = Annotated[int, typer.Option(min=1, max=100_000, help="samples in a file")]


def encode(
    data: Annotated[Path, typer.Option(help="folder of clips, ours or HM-World's")],
    model: Annotated[str, typer.Option(help="folder of a VAE, or of a world model")],
    out: Annotated[
        Path, typer.Option(help="folder for the latent cache; a part of it that is there is kept")
    ],
    text: Annotated[
        str, typer.Option(help="captions: keep the text; states: run the model's text encoder")
    ] = "captions",
    dtype: Dtype = "float16",
    per_shard: PerShard = 64,
    mirror: Annotated[
        bool,
        typer.Option("--mirror", help="encode every training clip a second time, left and right exchanged"),
    ] = False,
    rendered: Annotated[
        int | None,
        typer.Option(
            help="also encode the target as memory renders it, so many draws of the subjects' places (default: 1 for a "
            "model that is shown it)"
        ),
    ] = None,
    device: Device = "auto",
    tile: Annotated[
        bool, typer.Option("--tile", help="encode in overlapping tiles, for less memory")
    ] = False,
    skip_broken: SkipBroken = False,
    dry_run: DryRun = False,
) -> None:
    """Encode every clip once. Stop it when you like; run it again to go on."""
    from outofsight.cli.loading import choose_device, quiet_libraries
    from outofsight.training.encoding import dataset_parts, encode_dataset

    if text not in ("captions", "states"):
        raise InputError(f"--text: expected captions or states, got {text!r}")
    if rendered is not None and rendered < 0:
        raise InputError(f"--rendered: expected ≥ 0 draws, got {rendered}")
    _check_cache(out, [data, model], dtype)
    parts, place = dataset_parts(data), choose_device(device)
    quiet_libraries()
    draws = int(_is_shown_rendered(model)) if rendered is None else rendered
    encoder = _encoder(model, place, states=text == "states", draws=draws, tile=tile)
    encoded = partial(
        encode_dataset, encoder, parts, out, dtype=dtype, samples_per_shard=per_shard, mirror=mirror,
        skip_broken=skip_broken,
    )  # fmt: skip
    if dry_run:
        reports = encoded(dry_run=True)
    else:
        with claimed(out, filled=True), shown_progress(Console(stderr=True), "clips") as show:
            reports = encoded(progress=show)
    _tell(reports, dry_run=dry_run)


def _is_shown_rendered(model: str) -> bool:
    """Whether a model folder's transformer takes rendered memory in, without which it could not be trained on."""
    config = Path(find_model(model)) / "transformer" / "config.json"
    return config.is_file() and read_json(config).get("rendering") is not None


def _encoder(model: str, place: "torch.device", *, states: bool, draws: int, tile: bool) -> "Encoder":
    """Load what encodes: a VAE alone, or also a world model's text encoder and its reader of masks."""
    from outofsight.codec.video_vae import LatentTiling
    from outofsight.training.encoding import Encoder, Rendering
    from outofsight.training.models import load_vae
    from outofsight.world_model import WorldModelBase

    tiling = LatentTiling() if tile else None
    if not states and not draws:
        return Encoder(vae=load_vae(model).to(place), tiling=tiling)
    world = WorldModelBase.from_pretrained(model)
    memory = world.transformer.rendered_memory
    reader = None if memory is None or memory.masks is None else memory.masks.float().eval()
    return Encoder(
        vae=world.vae.to(place),
        text_encoder=world.text_encoder.to(place).eval() if states else None,
        tokenizer=world.tokenizer if states else None,
        tiling=tiling,
        rendering=Rendering(draws=draws, reader=reader) if draws else None,
    )


def to_samples(
    cache: Annotated[Path, typer.Option(help="one part of a latent cache, encoded with --text states")],
    out: Annotated[Path, typer.Option(help="folder for one file a sample")],
    form: Annotated[str, typer.Option(help="safetensors or pth")] = "pth",
    dry_run: DryRun = False,
) -> None:
    """Write the published training script's files: latents, context, context_camera, video_camera."""
    from outofsight.data.latent_cache import open_latent_cache
    from outofsight.data.published_samples import (
        SUFFIXES,
        is_published_sample,
        published_arrays,
        write_published_sample,
    )

    samples = open_latent_cache(cache)
    if f".{form}" not in SUFFIXES:
        raise InputError(f"--form: expected safetensors or pth, got {form!r}")
    writes = [out / f"{name}.{form}" for name in samples.names]
    check_outputs(writes, [cache], ours=all(is_published_sample(path) for path in writes if path.exists()))
    if dry_run:
        for sample in samples:
            published_arrays(sample)
        print(f"would write {out}: {len(samples)} samples")
        return
    with claimed(out, filled=True), shown_progress(Console(stderr=True), "samples") as show:
        for done, sample in enumerate(samples, start=1):
            write_published_sample(out / f"{sample.name}.{form}", sample)
            show(done, len(samples), sample.name)
    print(f"{out}: {len(samples)} samples")


def from_samples(
    samples: Annotated[Path, typer.Option(help="folder of the published script's samples")],
    model: Annotated[str, typer.Option(help="world model folder whose VAE and text encoder made them")],
    out: Annotated[Path, typer.Option(help="folder for the latent cache")],
    dtype: Dtype = "float16",
    per_shard: PerShard = 64,
    dry_run: DryRun = False,
) -> None:
    """Make a latent cache of the published script's samples. They do not say which VAE made them: you do."""
    from outofsight.cli.loading import quiet_libraries
    from outofsight.training.encoding import Encoder, gather_published
    from outofsight.world_model import WorldModelBase

    _check_cache(out, [samples, model], dtype)
    quiet_libraries()
    world = WorldModelBase.from_pretrained(model)
    encoder = Encoder(vae=world.vae, text_encoder=world.text_encoder.eval(), tokenizer=world.tokenizer)
    gather = partial(
        gather_published, encoder, samples, out / "train", dtype=dtype, samples_per_shard=per_shard
    )
    if dry_run:
        report = gather(dry_run=True)
    else:
        with claimed(out, filled=True), shown_progress(Console(stderr=True), "samples") as show:
            report = gather(progress=show)
    _tell([report], dry_run=dry_run)


def _check_cache(out: Path, reads: list[str | Path], dtype: str) -> None:
    """See that a cache may be written; its own index tells later whether it is the same one."""
    if dtype not in ("float16", "float32"):
        raise InputError(f"--dtype: expected float16 or float32, got {dtype!r}")
    parts = [out / name for name in ("train", "validation", "test")]
    ours = all((part / "cache.json").is_file() for part in parts if part.is_dir() and any(part.iterdir()))
    check_outputs(parts, reads, ours=ours)


def _tell(reports: "Sequence[EncodeReport]", *, dry_run: bool) -> None:
    for report in reports:
        first, last = ("would write ", "are there") if dry_run else ("", "were there already")
        print(f"{first}{report.folder}: {report.num_samples} samples, {report.num_found} of them {last}")
    tell_broken([broken for report in reports for broken in report.broken])


def import_hm_world(
    parts: Annotated[Path, typer.Argument(help="folder of HM-World_* parts, or one of them")],
    out: Annotated[Path, typer.Option(help="folder for train/NAME samples and a card; goes on where it was")],
    captions: Annotated[
        Path | None, typer.Option(help="captions, name<tab>caption lines, if they lie beside the archive")
    ] = None,
    limit: Annotated[int | None, typer.Option(min=1, help="only the first N samples")] = None,
    dry_run: DryRun = False,
) -> None:
    """Unpack the published archive's parts as one stream, sample by sample, without joining them first."""
    from outofsight.data.split_archive import (
        find_parts,
        import_archive,
        named_captions,
        wanted_samples,
        write_import_card,
    )

    found = find_parts(parts)
    check_outputs([out], [*found, captions], ours=(out / "train").is_dir())
    by_name = named_captions(read_text(captions).encode()) if captions else None
    if dry_run:
        outcomes = Counter(outcome for _, outcome, _ in wanted_samples(found, out / "train", {}, limit))
        print(f"would write {out}: {outcomes['new']} new, {outcomes['there']} are there already")
        return
    with claimed(out, filled=True):
        (out / "train").mkdir(exist_ok=True)
        outcomes = Counter()
        try:
            with shown_progress(Console(stderr=True), "samples") as show:
                for name, outcome in import_archive(found, out / "train", by_name, limit):
                    outcomes[outcome] += 1
                    done = outcomes["new"] + outcomes["there"]
                    show(done, limit or done, name)
        except DatasetError:
            with suppress(OSError):  # not empty: samples were read before
                (out / "train").rmdir()
            raise
        summary = write_import_card(out, outcomes["incomplete"])
    print(f"{out}: {outcomes['new']} new, {outcomes['there']} were there already; {summary}")


def lens(
    data: Annotated[
        Path, typer.Argument(help="folder of a data set whose poses are known and whose lens is not")
    ],
    enough: Annotated[int, typer.Option(min=1, help="clips that must tell it")] = 20,
    dry_run: DryRun = False,
) -> None:
    """Estimate a set's lens once, from clips whose camera only turns, and write it beside them (lens.json)."""
    from outofsight.camera_estimation.known_turns import set_lens
    from outofsight.data.dataset import open_dataset
    from outofsight.data.hm_world import read_hm_world_sample
    from outofsight.data.split_archive import LENS, write_import_card

    clips = open_dataset(data)
    check_outputs([data / LENS], [], ours=(data / LENS).is_file())

    def read() -> "Iterator[tuple[Video, CameraPath]]":
        with shown_progress(Console(stderr=True), "clips") as show:
            for number, entry in enumerate(clips.entries, start=1):
                show(number, len(clips), entry.name)
                clip = (
                    entry.read() if entry.is_ours else read_hm_world_sample(entry.folder, entry.caption or "")
                )
                yield clip.video, clip.cameras

    with nullcontext() if dry_run else claimed(data, filled=True):
        found = set_lens(read(), enough)
        if not dry_run:
            write_json(data / LENS, asdict(found))
            if (data / "train").is_dir() and (data / "README.md").is_file():
                write_import_card(data, 0)
    measured = f"{found.fov_x_deg:.2f}° across, from {found.clips} clips (± {found.spread_deg:.2f}°)"
    print(f"{'would write ' if dry_run else ''}{data / LENS}: {measured}")
