"""``outofsight demo``: see a subject leave and come back, as a small model remembers it."""

import textwrap
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.console import Console

from outofsight.cli.options import Device, DryRun, Guidance, Seed, Steps
from outofsight.cli.values import sampling_settings
from outofsight.data.outputs import check_outputs, claimed
from outofsight.errors import InputError
from outofsight.model_folders import ModelSource

if TYPE_CHECKING:
    from outofsight.demo.run import DemoReport

SEED = 2
WIDTH = 96
"""Columns of what is printed."""
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
    steps: Steps = None,
    guidance: Guidance = None,
    noise: Seed = 42,
    device: Device = "auto",
    dry_run: DryRun = False,
) -> None:
    """Render a clip of the mini's world that training never saw, continue it, measure it, and draw it."""
    missing = [name for name in RENDERING if find_spec(name) is None]
    if missing:
        raise InputError(
            f"the demo renders a world and needs {', '.join(missing)}; install: pip install 'outofsight[worlds]'"
        )
    from outofsight.cli.loading import choose_device, empty_model, load_world
    from outofsight.demo.run import DemoConfig, is_demo, run_demo
    from outofsight.demo.unseen_clip import UnseenRequest, check_unseen, unseen_size
    from outofsight.sampling.plan import token_grid

    source, console = ModelSource(path=model, device=device), Console(stderr=True)
    config = DemoConfig(
        out=out,
        request=UnseenRequest(seed=seed, casting=casting),
        sampling=sampling_settings(
            source.use, {"num_inference_steps": steps, "guidance_scale": guidance, "seed": noise}
        ),
        maker="the mini" if model == "mini" else Path(model).name,
    )
    choose_device(device)
    check_outputs([out / name for name in FILES], [model], ours=is_demo(out))
    check_unseen(config.request)
    if dry_run:
        networks = empty_model(source, whole=True)
        token_grid(networks["transformer"], networks["vae"], unseen_size())
        print(f"would write {', '.join(FILES)} to {out}")
        return
    with claimed(out, filled=True):
        report = run_demo(
            config,
            lambda: load_world(source),
            lambda words: console.print(f"{words} ...", style="dim", soft_wrap=True),
        )
    _print(report)


def report_lines(report: "DemoReport") -> list[str]:
    """Say what came of a demo, in the lines that are printed; the README shows them."""
    lines = textwrap.wrap(report.caption, WIDTH)
    lines.append(f"{'dB against the truth':<43}{'PSNR':>8}{'subject':>9}{'returned':>9}")
    reasons = set()
    for row in report.rows:
        values = list(row.measured.values())
        cells = ["–" if one.value is None else f"{one.value:.2f}" for one in values]
        reasons |= {one.reason for one in values if one.reason is not None}
        lines.append(f"{row.name:<43}{cells[0]:>8}{cells[1]:>9}{cells[2]:>9}")
    lines += [f"–: {reason}" for reason in sorted(reasons)]
    lines.append(f"{sum(report.seconds.values()):.0f} seconds in all")
    return lines


def _print(report: "DemoReport") -> None:
    for line in report_lines(report):
        print(line)
    print("seconds: " + ", ".join(f"{name} {seconds:.1f}" for name, seconds in report.seconds.items()))
    if report.memory is not None:
        print(
            "first choice of the frames where the subject is back: a memory that shows it in "
            f"{report.memory.first_choice:.0%} of steps and layers ({report.memory.of_all:.0%} of all memory does)"
        )
    for words, path in report.files.items():
        print(f"{path}: {words}")
