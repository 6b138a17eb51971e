"""``outofsight evaluate``: measure models, or anybody's videos, against what truly follows."""

import io
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.console import Console

from outofsight.cli import options as opt
from outofsight.cli.methods import choose_methods, named
from outofsight.cli.progress import shown_progress
from outofsight.cli.provenance import provenance
from outofsight.cli.values import tell_broken
from outofsight.data.outputs import check_outputs, claimed
from outofsight.errors import InputError
from outofsight.files import write_text
from outofsight.model_folders import ModelSource

if TYPE_CHECKING:
    from outofsight.evaluation.clips import EvalClip
    from outofsight.evaluation.metrics import InstrumentNames
    from outofsight.evaluation.run import EvalConfig, Evaluation
    from outofsight.sampling.world import WorldModel

WRITTEN = ("records", "results.json", "table.txt", "plots", "sheet.png", "report.html")
TABLE_COLUMNS = 160
"""Width of table.txt, in characters."""


@dataclass(frozen=True, kw_only=True)
class Evaluate:
    """What ``evaluate`` is asked for."""

    out: Annotated[Path, typer.Option(help="folder for records, results.json, plots and report.html")]
    data: Annotated[Path | None, typer.Option(help="clips: a data set, or one part of it")] = None
    split: Annotated[str | None, typer.Option(help="part of the data set (default: test)")] = None
    limit: opt.Limit = None
    model: Annotated[
        list[str] | None, typer.Option(help="[NAME=]MODEL: folder, hub id or mini; may be repeated")
    ] = None
    videos: Annotated[
        list[str] | None,
        typer.Option(help="NAME=FOLDER of another system's videos, one a clip by its name; may be repeated"),
    ] = None
    truth: Annotated[
        Path | None, typer.Option(help="in place of --data: a folder of true videos, without annotation")
    ] = None
    contexts: Annotated[
        Path | None,
        typer.Option(
            help="in place of --data: contexts and cameras of which no truth is known (exchange read)"
        ),
    ] = None
    context_frames: Annotated[
        int, typer.Option(min=0, help="with --truth: how many frames of each true video are context")
    ] = 0
    with_context: Annotated[bool, typer.Option(help="the videos of --videos begin with the context")] = False
    baselines: Annotated[bool, typer.Option(help="also judge baselines and upper bounds")] = True
    steps: Annotated[
        str | None,
        typer.Option(help="denoising steps (default: the model's own); 4,8,16,32 makes a row of each"),
    ] = None
    strategy: Annotated[
        str | None,
        typer.Option(help="remember by this strategy with the weights as they are; hydra,fov: a row of each"),
    ] = None
    guidance: opt.Guidance = None
    seed: opt.SeedOfEach = 42
    settings: opt.Settings = None
    roll: Annotated[
        int | None,
        typer.Option(
            min=1, max=1000, help="models continue by a rollout, so many latent frames a step (default: all at once)"
        ),
    ] = None  # fmt: skip
    metrics: Annotated[
        str | None, typer.Option(help="only these, such as psnr,ssim or MODULE:NAME of your own (default: all)")
    ] = None  # fmt: skip
    detector: Annotated[
        str | None,
        typer.Option(
            help="what finds subjects: mini, a name, a folder, a file, or none (default: the bundled one)"
        ),
    ] = None
    features: Annotated[
        str | None, typer.Option(help="what likeness is measured by: mini, clip, dinov2, a folder, or none")
    ] = None
    lpips: Annotated[str, typer.Option(help="network of LPIPS: alex, vgg, squeeze, or none")] = "none"
    baseline: Annotated[
        str | None,
        typer.Option(help="row that the others are compared with, clip by clip (default: frozen)"),
    ] = None
    workers: Annotated[int, typer.Option(min=1, max=1024, help="processes")] = 1
    ray: Annotated[bool, typer.Option("--ray", help="run on a Ray cluster")] = False
    device: opt.Device = "auto"
    dtype: opt.Dtype = None
    offload: opt.Offload = "none"
    quantize: opt.Quantize = "none"
    attention_chunk: opt.AttentionChunk = None
    tile_vae: opt.TileVae = False
    report_clips: Annotated[
        int, typer.Option(min=0, max=100_000, help="clips whose videos the report shows")
    ] = 24
    sheet: Annotated[
        bool, typer.Option("--sheet", help="also draw sheet.png: best, median and worst clips")
    ] = False
    skip_broken: opt.SkipBroken = False
    overwrite: Annotated[bool, typer.Option(help="make answers again that were made with other settings")] = (
        False
    )
    dry_run: opt.DryRun = False

    @property
    def noted(self) -> dict[str, Any]:
        """What results.json tells of this."""
        return {
            "data": str(self.data or self.truth or self.contexts), "split": self.split, "limit": self.limit,
            "seed": self.seed, "metrics": self.metrics, **({} if self.roll is None else {"roll": self.roll}),
        }  # fmt: skip


@opt.takes(Evaluate)
def evaluate(asked: Evaluate) -> None:
    """Judge models and videos on clips. Stop it when you like; run it again to go on."""
    from outofsight.evaluation.run import Evaluation

    console = Console(stderr=True)
    steps, strategies = _numbers(asked.steps), _words(asked.strategy, "--strategy")
    clips, broken = _clips(asked)
    instruments = _instruments(asked, console)
    _check_place(asked)
    evaluation = Evaluation(
        config=_config(asked, instruments), clips=clips, methods=choose_methods(clips, asked, strategies, steps),
        workers=asked.workers, cluster=asked.ray, overwrite=asked.overwrite,
    )  # fmt: skip
    _check_evaluation(evaluation, asked)
    if asked.dry_run:
        _tell(evaluation, console)
    else:
        with claimed(asked.out, filled=True):
            _judge(evaluation, asked, console)
    tell_broken(broken)


def _clips(asked: Evaluate) -> "tuple[tuple[EvalClip, ...], tuple[str, ...]]":
    """Find the clips to judge on: a data set's, true videos by themselves, or contexts without a truth; and what is
    wrong with those that are left out.

    Raises:
        InputError: not exactly one is given, or options of the one with the other.
    """
    from outofsight.data.dataset import whole_entries
    from outofsight.evaluation.clips import context_clips, dataset_clips, video_clips

    if sum(one is not None for one in (asked.data, asked.truth, asked.contexts)) != 1:
        raise InputError(
            "name the clips to judge on: by --data, by --truth for videos without annotation, or by --contexts where "
            "there is no truth"
        )
    if asked.data is None and asked.split is not None:
        raise InputError("--split: goes with --data; a folder of videos has no parts")
    if asked.truth is None and asked.context_frames:
        raise InputError("--context-frames: goes with --truth; other clips say it themselves")
    if asked.contexts is not None:
        clips = context_clips(asked.contexts, asked.limit)
    elif asked.truth is not None:
        clips = video_clips(asked.truth, asked.context_frames, asked.limit)
    elif asked.data is not None:
        clips = dataset_clips(asked.data, asked.split, asked.limit)
    return whole_entries(clips) if asked.skip_broken else (clips, ())


def _check_place(asked: Evaluate) -> None:
    """Refuse to write over what is read, and over what is not ours."""
    reads: list[str | Path | None] = [asked.data, asked.truth, asked.contexts]
    reads += [named(given, "--model")[1] for given in asked.model or ()]
    reads += [named(given, "--videos")[1] for given in asked.videos or ()]
    check_outputs([asked.out / name for name in WRITTEN], reads, ours=(asked.out / "records").is_dir())


def _check_evaluation(evaluation: "Evaluation", asked: Evaluate) -> None:
    """Find whatever is wrong before anything long begins.

    Raises:
        InputError: a model that cannot take the clips, or needs more than its GPU has free; or a baseline that is no
            row.
        OutputError: the folder holds other answers.
    """
    from outofsight.cli.loading import check_loading, check_room, empty_model
    from outofsight.evaluation.methods import ModelMethod
    from outofsight.evaluation.results import check_baseline
    from outofsight.evaluation.run import check_claims, check_models

    for source in {one.source for one in evaluation.methods if one.source is not None}:
        check_loading(source)
        empty_model(source, whole=asked.dry_run)
    size = check_models(evaluation.methods, evaluation.clips[0])
    for method in evaluation.methods:
        if isinstance(method, ModelMethod):  # workers beside it are not counted
            check_room(
                method.source, size, guidance_scale=method.sampling.guidance_scale, latent_frames=method.roll,
                text_stays=method.source.offload == "none",
            )  # fmt: skip
    check_baseline(evaluation, asked.baseline)
    check_claims(evaluation)
    config = evaluation.config
    config.load_instruments(replace(config.instruments, device="cpu"))  # one that is not there is said now


def load_source(source: ModelSource) -> "WorldModel":
    """Load a model as the options say. A worker process calls this too."""
    from outofsight.cli.loading import load_world

    world = load_world(source)
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


def _config(asked: Evaluate, instruments: "InstrumentNames") -> "EvalConfig":
    from outofsight.evaluation.metrics import chosen_metrics
    from outofsight.evaluation.run import EvalConfig

    names = _words(asked.metrics, "--metrics") or None
    chosen_metrics(names)
    return EvalConfig(out=asked.out, load_world=load_source, instruments=instruments, metrics=names)


def _instruments(asked: Evaluate, console: Console) -> "InstrumentNames":
    """Name the networks to measure with; what is not named is the bundled one, and where there is none it is said."""
    from outofsight.cli.loading import choose_device
    from outofsight.evaluation.metrics import bundled_instrument, instrument_names

    bundled = bundled_instrument()
    if bundled is None and None in (asked.detector, asked.features):
        console.print(
            "this installation has no bundled recogniser: metrics that need a detector or features are left out; "
            "name networks by --detector and --features",
            soft_wrap=True,
        )
    finder, likeness = (
        bundled if name is None else None if name == "none" else name
        for name in (asked.detector, asked.features)
    )
    perceptual = None if asked.lpips == "none" else asked.lpips
    return instrument_names(finder, likeness, perceptual, device=str(choose_device(asked.device)))


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


def _judge(evaluation: "Evaluation", asked: Evaluate, console: Console) -> None:
    """Run an evaluation, write what came out, for programs and for people, and print the tables."""
    from outofsight.evaluation.plots import all_plots, write_plots
    from outofsight.evaluation.report import write_report
    from outofsight.evaluation.results import gather, print_tables, results_as_json
    from outofsight.evaluation.run import evaluate as run
    from outofsight.evaluation.sheet import write_sheet
    from outofsight.files import write_json

    with shown_progress(console, "answers") as report:
        run(evaluation, report)
    results, out = gather(evaluation, asked.baseline), asked.out
    made = {"settings": {**asked.noted, **evaluation.config.instruments.identity}, **provenance()}
    write_json(out / "results.json", results_as_json(results, made), indent=1)
    written = io.StringIO()
    print_tables(results, Console(width=TABLE_COLUMNS, file=written))
    write_text(out / "table.txt", written.getvalue())
    plots = all_plots(results)
    write_plots(out / "plots", plots)
    if asked.sheet:
        write_sheet(out / "sheet.png", results)
    write_report(out / "report.html", results, made, plots, num_shown=asked.report_clips)
    shown = Console()
    print_tables(results, shown if shown.is_terminal else Console(width=TABLE_COLUMNS))
    console.print(f"wrote {out / 'report.html'} and {out / 'results.json'}", soft_wrap=True)
