"""``outofsight bundle``: a finished run as a folder to hand on."""

from pathlib import Path
from typing import Annotated

import typer

from outofsight.cli.options import DryRun
from outofsight.data.outputs import check_outputs, claimed

Run = Annotated[Path, typer.Option(help="folder of a finished run of a world model")]
Clips = Annotated[Path, typer.Option(help="folder of the clips it learned from")]
Out = Annotated[Path, typer.Option(help="folder to make")]
Hardware = Annotated[str, typer.Option(help="what it was trained on, in words, for the card")]
BestSteps = Annotated[int, typer.Option(min=1, help="denoising steps that it is best used with")]
BestGuidance = Annotated[
    float, typer.Option(min=0, max=1000, help="guidance scale that it is best used with")
]
Strength = Annotated[
    float,
    typer.Option(help="noise level, 0 to 1, at which sampling begins from rendered memory (1: from noise)"),
]
Name = Annotated[str, typer.Option(help="the model's name in its card")]
Before = Annotated[
    list[Path] | None,
    typer.Option(help="folder of a run that it began from, oldest first, for the card; may be repeated"),
]
BeganFrom = Annotated[
    Path | None,
    typer.Option(help="bundle that the first of these runs began from; its runs are listed too"),
]
VaeRun = Annotated[
    Path | None, typer.Option(help="folder of its VAE's run (default: where the VAE's export lies)")
]
MeasuredResults = Annotated[
    Path | None, typer.Option(help="results.json of `outofsight evaluate`, for the card")
]
MostMb = Annotated[float, typer.Option(min=0.001, max=1e9, help="most megabytes of weights")]
Overwrite = Annotated[bool, typer.Option("--overwrite", help="replace a bundle that is there")]


def bundle(
    run: Run,
    data: Clips,
    out: Out,
    hardware: Hardware,
    steps: BestSteps,
    guidance: BestGuidance,
    strength: Strength = 1.0,
    name: Name = "mini",
    before: Before = None,
    began_from: BeganFrom = None,
    vae_run: VaeRun = None,
    results: MeasuredResults = None,
    most_mb: MostMb = 20,
    overwrite: Overwrite = False,
    dry_run: DryRun = False,
) -> None:
    """Copy a run's export, check its size and precision, and write its card: settings, curves, measured results."""
    from outofsight.bundling.bundle import BundleConfig, check_bundle, is_bundle, make_bundle, weight_bytes
    from outofsight.cli.loading import quiet_libraries

    quiet_libraries()
    check_outputs([out], [run, data, vae_run, results, began_from, *(before or ())], ours=is_bundle(out))
    config = BundleConfig(
        run=run,
        data=data,
        out=out,
        hardware=hardware,
        num_inference_steps=steps,
        guidance_scale=guidance,
        strength=strength,
        began_from=began_from,
        name=name,
        before=tuple(before or ()),
        vae_run=vae_run,
        results=results,
        most_bytes=round(most_mb * 1e6),
        overwrite=overwrite,
    )
    if dry_run:
        facts, _ = check_bundle(config)
        print(f"would write {out}: {weight_bytes(facts) / 1e6:.2f} MB of weights")
        return
    with claimed(out):
        report = make_bundle(config)
    print(
        f"{report.folder}: {report.weight_bytes / 1e6:.2f} MB of weights, {report.total_bytes / 1e6:.2f} MB in all; "
        "see README.md"
    )
