"""``outofsight demo``: see a subject leave and come back, as a small model remembers it."""

from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.console import Console
from rich.table import Table

from outofsight.data.outputs import check_outputs, claimed
from outofsight.errors import InputError
from outofsight.model_folders import find_model, read_use

if TYPE_CHECKING:
    from outofsight.demo.run import DemoReport

SEED = 5
FILES = ("demo.json", "demo.mp4", "demo.webp", "generated.mp4", "memory.png", "retrieval.safetensors")
RENDERING = ("mujoco", "mujoco_warp", "warp", "matplotlib")


def demo(
    out: Annotated[Path, typer.Option(help="folder for the pictures")] = Path("demo"),
    seed: Annotated[int, typer.Option(help="seed of the world; training saw none of these")] = SEED,
    casting: Annotated[
        str,
        typer.Option(
            help="known; or held_out_scene, held_out_subjects: a place or subject unseen in training"
        ),
    ] = "known",
    model: Annotated[str, typer.Option(help="mini, or a folder of a model of the mini's world")] = "mini",
    steps: Annotated[int | None, typer.Option(help="denoising steps (default: the model's)")] = None,
    guidance: Annotated[
        float | None, typer.Option(help="guidance scale; 1 is twice as fast (default: the model's)")
    ] = None,
    noise: Annotated[int, typer.Option(help="seed of the starting noise")] = 42,
    device: Annotated[str, typer.Option(help="auto, cpu, cuda, cuda:1, ...")] = "auto",
) -> None:
    """Render a clip of the mini's world that training never saw, continue it, measure it, and draw it."""
    missing = [name for name in RENDERING if find_spec(name) is None]
    if missing:
        raise InputError(
            f"the demo renders a world and needs {', '.join(missing)}; install: pip install 'outofsight[worlds]'"
        )
    find_model(model)  # say now if it is not there, before anything is rendered
    from outofsight.cli.loading import choose_device, load_world
    from outofsight.demo.run import DemoConfig, is_demo, run_demo
    from outofsight.demo.unseen_clip import UnseenRequest
    from outofsight.sampling.continuation import check_settings

    use, console = read_use(model), Console(stderr=True)
    config = DemoConfig(
        out=out,
        request=UnseenRequest(seed=seed, casting=casting),
        sampling=check_settings(
            num_steps=use.num_steps if steps is None else steps,
            guidance_scale=use.guidance_scale if guidance is None else guidance,
            seed=noise,
        ),
        maker="the mini" if model == "mini" else Path(model).name,
    )
    choose_device(device)
    check_outputs([out / name for name in FILES], [model], ours=is_demo(out))
    with claimed(out, filled=True):
        report = run_demo(
            config,
            lambda: load_world(model, device, None, "none"),
            lambda words: console.print(f"{words} ...", style="dim", soft_wrap=True),
        )
    _print(report, Console(width=100))


def _print(report: "DemoReport", console: Console) -> None:
    console.print(report.caption)
    table = Table(
        "dB, more is better",
        "PSNR",
        "subject",
        "subject after its return",
        title="target frames against the truth",
    )
    reasons = set()
    for row in report.rows:
        cells = ["–" if one.value is None else f"{one.value:.2f}" for one in row.measured.values()]
        reasons |= {one.reason for one in row.measured.values() if one.reason is not None}
        table.add_row(row.name, *cells)
    console.print(table)
    for reason in sorted(reasons):
        console.print(f"–: {reason}")
    if report.memory is not None:
        console.print(
            f"first choice of the frames where the subject is back: a memory that shows it in "
            f"{report.memory.first_choice:.0%} of steps and layers ({report.memory.of_all:.0%} of all memory does)"
        )
    times = ", ".join(f"{name} {seconds:.1f}" for name, seconds in report.seconds.items())
    console.print(f"seconds: {times}; {sum(report.seconds.values()):.0f} in all")
    for words, path in report.files.items():
        console.print(f"{path}: {words}", soft_wrap=True)
