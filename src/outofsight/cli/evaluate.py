"""``outofsight evaluate``: measure models, or anybody's videos, against what truly follows."""

import io
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, NamedTuple

import typer
from rich.console import Console

from outofsight.cli import options as opt
from outofsight.cli.methods import ModelChoice, VideoChoice, choose_methods, named
from outofsight.cli.progress import shown_progress
from outofsight.cli.provenance import provenance
from outofsight.cli.values import parse_settings, tell_broken
from outofsight.data.outputs import check_outputs, claimed
from outofsight.errors import InputError
from outofsight.files import write_text

if TYPE_CHECKING:
    from outofsight.evaluation.clips import EvalClip
    from outofsight.evaluation.methods import Method, ModelSource
    from outofsight.evaluation.metrics import InstrumentNames
    from outofsight.evaluation.results import Results
    from outofsight.evaluation.run import EvalConfig, Evaluation
    from outofsight.sampling.plan import VideoSize
    from outofsight.sampling.world import WorldModel

WRITTEN = ("records", "results.json", "table.txt", "plots", "sheet.png", "report.html")
TABLE_COLUMNS = 160
"""Width of table.txt, in characters."""


Out = Annotated[Path, typer.Option(help="folder for records, results.json, plots and report.html")]
Data = Annotated[Path | None, typer.Option(help="clips: a data set, or one part of it")]
Split = Annotated[str | None, typer.Option(help="part of the data set (default: test)")]
Models = Annotated[
    list[str] | None, typer.Option(help="[NAME=]MODEL: folder, hub id or mini; may be repeated")
]
Videos = Annotated[
    list[str] | None,
    typer.Option(help="NAME=FOLDER of another system's videos, one a clip by its name; may be repeated"),
]
Truth = Annotated[
    Path | None, typer.Option(help="in place of --data: a folder of true videos, without annotation")
]
Contexts = Annotated[
    Path | None,
    typer.Option(help="in place of --data: contexts and cameras of which no truth is known (exchange read)"),
]
ContextFrames = Annotated[
    int, typer.Option(min=0, help="with --truth: how many frames of each true video are context")
]
WithContext = Annotated[bool, typer.Option(help="the videos of --videos begin with the context")]
Baselines = Annotated[bool, typer.Option(help="also judge baselines and upper bounds")]
Steps = Annotated[
    str | None,
    typer.Option(help="denoising steps (default: the model's own); 4,8,16,32 makes a row of each"),
]
Strategies = Annotated[
    str | None,
    typer.Option(help="remember by this strategy with the weights as they are; hydra,fov: a row of each"),
]
Roll = Annotated[
    int | None,
    typer.Option(
        min=1,
        max=1000,
        help="models continue by a rollout, so many latent frames a step (default: all at once)",
    ),
]
Metrics = Annotated[
    str | None, typer.Option(help="only these, such as psnr,ssim or MODULE:NAME of your own (default: all)")
]
Detector = Annotated[
    str | None,
    typer.Option(
        help="what finds subjects: mini, a name, a folder, a file, or none (default: the bundled one)"
    ),
]
Features = Annotated[
    str | None, typer.Option(help="what likeness is measured by: mini, clip, dinov2, a folder, or none")
]
Lpips = Annotated[str, typer.Option(help="network of LPIPS: alex, vgg, squeeze, or none")]
Baseline = Annotated[
    str | None, typer.Option(help="row that the others are compared with, clip by clip (default: frozen)")
]
Workers = Annotated[int, typer.Option(min=1, max=1024, help="processes")]
Ray = Annotated[bool, typer.Option("--ray", help="run on a Ray cluster")]
ReportClips = Annotated[int, typer.Option(min=0, max=100_000, help="clips whose videos the report shows")]
Sheet = Annotated[bool, typer.Option("--sheet", help="also draw sheet.png: best, median and worst clips")]
Overwrite = Annotated[bool, typer.Option(help="make answers again that were made with other settings")]


def evaluate(
    out: Out,
    data: Data = None,
    split: Split = None,
    limit: opt.Limit = None,
    model: Models = None,
    videos: Videos = None,
    truth: Truth = None,
    contexts: Contexts = None,
    context_frames: ContextFrames = 0,
    with_context: WithContext = False,
    baselines: Baselines = True,
    steps: Steps = None,
    strategy: Strategies = None,
    guidance: opt.Guidance = None,
    seed: opt.SeedOfEach = 42,
    settings: opt.Settings = None,
    roll: Roll = None,
    metrics: Metrics = None,
    detector: Detector = None,
    features: Features = None,
    lpips: Lpips = "none",
    baseline: Baseline = None,
    workers: Workers = 1,
    ray: Ray = False,
    device: opt.Device = "auto",
    dtype: opt.Dtype = None,
    offload: opt.Offload = "none",
    quantize: opt.Quantize = "none",
    attention_chunk: opt.AttentionChunk = None,
    tile_vae: opt.TileVae = False,
    report_clips: ReportClips = 24,
    sheet: Sheet = False,
    skip_broken: opt.SkipBroken = False,
    overwrite: Overwrite = False,
    dry_run: opt.DryRun = False,
) -> None:
    """Judge models and videos on clips. Stop it when you like; run it again to go on."""
    from outofsight.evaluation.methods import ModelSource
    from outofsight.evaluation.run import Evaluation

    console = Console(stderr=True)
    source = ModelSource(
        path="", device=device, dtype=dtype, offload=offload, quantize=quantize, attention_chunk=attention_chunk,
        tile_vae=tile_vae,
    )  # fmt: skip
    chosen = ModelChoice(
        given=tuple(model or ()), steps=_numbers(steps), strategies=_words(strategy, "--strategy"),
        guidance=guidance, seed=seed, others=parse_settings(settings or []), source=source, roll=roll,
    )  # fmt: skip
    clips, broken = _clips(
        data, truth, contexts, split=split, limit=limit, context_frames=context_frames, skip_broken=skip_broken
    )  # fmt: skip
    others = VideoChoice(given=tuple(videos or ()), with_context=with_context)
    instruments = _instruments(detector, features, lpips, device, console)
    _check_place(out, [data, truth, contexts], chosen, others)
    evaluation = Evaluation(
        config=_config(out, instruments, metrics), clips=clips,
        methods=choose_methods(clips, chosen, others, baselines=baselines),
        workers=workers, cluster=ray, overwrite=overwrite,
    )  # fmt: skip
    asked = {
        "data": str(data or truth or contexts), "split": split, "limit": limit, "seed": seed, "metrics": metrics,
        **({} if roll is None else {"roll": roll}),
    }  # fmt: skip
    judge(evaluation, Wanted(baseline, report_clips, sheet), asked, console, dry_run=dry_run)
    tell_broken(broken)


def _clips(
    data: Path | None,
    truth: Path | None,
    contexts: Path | None,
    *,
    split: str | None,
    limit: int | None,
    context_frames: int,
    skip_broken: bool,
) -> "tuple[tuple[EvalClip, ...], tuple[str, ...]]":
    """Find the clips to judge on: a data set's, true videos by themselves, or contexts without a truth; and what is
    wrong with those that are left out.

    Raises:
        InputError: not exactly one is given, or options of the one with the other.
    """
    from outofsight.data.dataset import whole_entries
    from outofsight.evaluation.clips import context_clips, dataset_clips, video_clips

    if (data is not None) + (truth is not None) + (contexts is not None) != 1:
        raise InputError(
            "name the clips to judge on: by --data, by --truth for videos without annotation, or by --contexts where "
            "there is no truth"
        )
    if data is None and split is not None:
        raise InputError("--split: goes with --data; a folder of videos has no parts")
    if truth is None and context_frames:
        raise InputError("--context-frames: goes with --truth; other clips say it themselves")
    if contexts is not None:
        clips = context_clips(contexts, limit)
    elif truth is not None:
        clips = video_clips(truth, context_frames, limit)
    elif data is not None:
        clips = dataset_clips(data, split, limit)
    return whole_entries(clips) if skip_broken else (clips, ())


def _check_place(out: Path, reads: list[str | Path | None], models: ModelChoice, videos: VideoChoice) -> None:
    """Refuse to write over what is read, and over what is not ours."""
    reads += [named(given, "--model")[1] for given in models.given]
    reads += [named(given, "--videos")[1] for given in videos.given]
    check_outputs([out / name for name in WRITTEN], reads, ours=(out / "records").is_dir())


class Wanted(NamedTuple):
    """What is made of the records. ``baseline``: the row that others are compared with, ``None``: frozen;
    ``report_clips``: clips whose videos the report shows; ``sheet``: whether sheet.png is drawn."""

    baseline: str | None
    report_clips: int
    sheet: bool


def judge(
    evaluation: "Evaluation", wanted: Wanted, asked: dict[str, Any], console: Console, *, dry_run: bool
) -> None:
    """Run an evaluation and write what came out; in a dry run only say what would be done.

    ``asked``: options that results.json tells of.

    Raises:
        InputError: a model that cannot take the clips, or a baseline that is no row.
        OutputError: the folder cannot be written, or holds other answers.
    """
    from outofsight.cli.loading import check_loading, empty_model
    from outofsight.evaluation.results import check_baseline
    from outofsight.evaluation.run import check_claims, check_models

    for source in {one.source for one in evaluation.methods if one.source is not None}:
        check_loading(source.device, source.dtype, source.offload, source.quantize)
        empty_model(source.path, source.strategy, whole=dry_run)
    size = check_models(evaluation.methods, evaluation.clips[0])
    for method in evaluation.methods:
        _check_room(method, size)
    check_baseline(evaluation, wanted.baseline)
    check_claims(evaluation)
    config = evaluation.config
    config.load_instruments(replace(config.instruments, device="cpu"))  # one that is not there is said now
    if dry_run:
        _tell(evaluation, console)
        return
    with claimed(evaluation.config.out, filled=True):
        results = _run(evaluation, wanted.baseline, console)
        made = {"settings": {**asked, **evaluation.config.instruments.identity}, **provenance()}
        _write(results, evaluation, made, wanted, console)


def _check_room(method: "Method", size: "VideoSize") -> None:
    """Refuse a model that needs more than its GPU has free to answer a clip. Workers beside it are not counted."""
    from outofsight.cli.loading import check_loading, check_room
    from outofsight.evaluation.methods import ModelMethod
    from outofsight.sampling.card_fit import GpuRun, generation_bytes, rollout_bytes

    if not isinstance(method, ModelMethod):
        return
    source, roll = method.source, method.roll
    run = GpuRun(
        guided=method.sampling.guidance_scale != 1, offload=source.offload, tile_vae=source.tile_vae,
        attention_chunk=source.attention_chunk, quantize=source.quantize, text_stays=source.offload == "none",
    )  # fmt: skip

    def needs(networks: dict[str, Any]) -> int:
        return (
            generation_bytes(networks, size, run)
            if roll is None
            else rollout_bytes(networks, size, roll, run)
        )

    device, dtype = check_loading(source.device, source.dtype, source.offload, source.quantize)
    check_room(source.path, dtype, device, run, needs, source.strategy)


def load_source(source: "ModelSource") -> "WorldModel":
    """Load a model as the options say. A worker process calls this too."""
    from outofsight.cli.loading import load_world

    world = load_world(source.path, source.device, source.dtype, source.offload, quantize=source.quantize)
    if source.strategy is not None:
        world.set_memory(source.strategy)
    world.transformer.attention_frames_per_chunk = source.attention_chunk
    world.keep_text_encoder_on_device = source.offload == "none"  # many clips follow
    return world


def _numbers(text: str | None) -> tuple[int, ...]:
    """Read "4,8,16" as numbers, each once."""
    if text is None:
        return ()
    try:
        numbers = tuple(int(part) for part in text.split(","))
    except ValueError as error:
        raise InputError(f"--steps: expected numbers such as 50 or 4,8,16,32, got {text!r}") from error
    if len(set(numbers)) < len(numbers) or min(numbers) < 1:
        raise InputError(f"--steps: expected different numbers of at least 1, got {text!r}")
    return numbers


def _words(text: str | None, option: str) -> tuple[str, ...]:
    """Read "a,b" as names, each once; nothing as none."""
    names = () if text is None else tuple(part.strip() for part in text.split(","))
    if len(set(names)) < len(names) or "" in names:
        raise InputError(f"{option}: expected different names, parted by commas, got {text!r}")
    return names


def _config(out: Path, instruments: "InstrumentNames", metrics: str | None) -> "EvalConfig":
    from outofsight.evaluation.metrics import chosen_metrics
    from outofsight.evaluation.run import EvalConfig

    names = _words(metrics, "--metrics") or None
    chosen_metrics(names)
    return EvalConfig(out=out, load_world=load_source, instruments=instruments, metrics=names)


def _instruments(
    detector: str | None, features: str | None, lpips: str, device: str, console: Console
) -> "InstrumentNames":
    """Name the networks to measure with; what is not named is the bundled one, and where there is none it is said."""
    from outofsight.cli.loading import choose_device
    from outofsight.evaluation.metrics import bundled_instrument, instrument_names

    bundled = bundled_instrument()
    if bundled is None and None in (detector, features):
        console.print(
            "this installation has no bundled recogniser: metrics that need a detector or features are left out; "
            "name networks by --detector and --features",
            soft_wrap=True,
        )
    finder, likeness = (
        bundled if name is None else None if name == "none" else name for name in (detector, features)
    )
    perceptual = None if lpips == "none" else lpips
    return instrument_names(finder, likeness, perceptual, device=str(choose_device(device)))


def _tell(evaluation: "Evaluation", console: Console) -> None:
    """Say what would be done."""
    from outofsight.evaluation.run import pending_tasks

    waiting = pending_tasks(evaluation)
    for method in evaluation.methods:
        number = sum(method in task.methods for task in waiting)
        console.print(
            f"{method.name} ({method.kind}): {number} of {len(evaluation.clips)} clips to do",
            soft_wrap=True,
        )
    console.print(f"would write results.json and report.html to {evaluation.config.out}", soft_wrap=True)


def _run(evaluation: "Evaluation", baseline: str | None, console: Console) -> "Results":
    from outofsight.evaluation.results import gather
    from outofsight.evaluation.run import evaluate as run

    with shown_progress(console, "answers") as report:
        run(evaluation, report)
    return gather(evaluation, baseline)


def _write(
    results: "Results",
    evaluation: "Evaluation",
    made: dict[str, Any],
    wanted: Wanted,
    console: Console,
) -> None:
    """Write what came out, for programs and for people, and print the tables."""
    from outofsight.evaluation.plots import all_plots, write_plots
    from outofsight.evaluation.report import write_report
    from outofsight.evaluation.results import print_tables, results_as_json
    from outofsight.evaluation.sheet import write_sheet
    from outofsight.files import write_json

    out = evaluation.config.out
    write_json(out / "results.json", results_as_json(results, made), indent=1)
    written = io.StringIO()
    print_tables(results, Console(width=TABLE_COLUMNS, file=written))
    write_text(out / "table.txt", written.getvalue())
    plots = all_plots(results, evaluation.config.store)
    write_plots(out / "plots", plots)
    if wanted.sheet:
        write_sheet(out / "sheet.png", results, evaluation)
    write_report(out / "report.html", results, evaluation, made, plots, num_shown=wanted.report_clips)
    shown = Console()
    print_tables(results, shown if shown.is_terminal else Console(width=TABLE_COLUMNS))
    console.print(f"wrote {out / 'report.html'} and {out / 'results.json'}", soft_wrap=True)
