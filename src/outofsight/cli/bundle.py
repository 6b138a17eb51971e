"""``outofsight bundle``: a finished run as a folder to hand on."""

from dataclasses import dataclass, fields
from pathlib import Path
from typing import Annotated

import typer

from outofsight.cli.options import DryRun, takes
from outofsight.data.outputs import check_outputs, claimed


@dataclass(frozen=True, kw_only=True)
class Bundle:
    """What ``bundle`` is asked for: the fields of ``BundleConfig``, and whether it is to be done."""

    run: Annotated[Path, typer.Option(help="folder of a finished run of a world model")]
    data: Annotated[Path, typer.Option(help="folder of the clips it learned from")]
    out: Annotated[Path, typer.Option(help="folder to make")]
    hardware: Annotated[str, typer.Option(help="what it was trained on, in words, for the card")]
    num_inference_steps: Annotated[
        int, typer.Option("--steps", min=1, help="denoising steps that it is best used with")
    ]
    guidance_scale: Annotated[
        float, typer.Option("--guidance", min=0, max=1000, help="guidance scale that it is best used with")
    ]
    strength: Annotated[
        float,
        typer.Option(
            help="noise level, 0 to 1, at which sampling begins from rendered memory (1: from noise)"
        ),
    ] = 1.0
    name: Annotated[str, typer.Option(help="the model's name in its card")] = "mini"
    before: Annotated[
        list[Path] | None,
        typer.Option(help="folder of a run that it began from, oldest first, for the card; may be repeated"),
    ] = None
    began_from: Annotated[
        Path | None,
        typer.Option(help="bundle that the first of these runs began from; its runs are listed too"),
    ] = None
    vae_run: Annotated[
        Path | None, typer.Option(help="folder of its VAE's run (default: where the VAE's export lies)")
    ] = None
    results: Annotated[
        Path | None, typer.Option(help="results.json of `outofsight evaluate`, for the card")
    ] = None
    most_mb: Annotated[float, typer.Option(min=0.001, max=1e9, help="most megabytes of weights")] = 20
    overwrite: Annotated[bool, typer.Option("--overwrite", help="replace a bundle that is there")] = False
    dry_run: DryRun = False


@takes(Bundle)
def bundle(asked: Bundle) -> None:
    """Copy a run's export, check its size and precision, and write its card: settings, curves, measured results."""
    from outofsight.bundling.bundle import BundleConfig, check_bundle, is_bundle, make_bundle, weight_bytes
    from outofsight.cli.loading import quiet_libraries

    quiet_libraries()
    reads = [asked.run, asked.data, asked.vae_run, asked.results, asked.began_from, *(asked.before or ())]
    check_outputs([asked.out], reads, ours=is_bundle(asked.out))
    config = BundleConfig(**{each.name: getattr(asked, each.name) for each in fields(BundleConfig)})
    if asked.dry_run:
        facts, _ = check_bundle(config)
        print(f"would write {asked.out}: {weight_bytes(facts) / 1e6:.2f} MB of weights")
        return
    with claimed(asked.out):
        report = make_bundle(config)
    print(
        f"{report.folder}: {report.weight_bytes / 1e6:.2f} MB of weights, {report.total_bytes / 1e6:.2f} MB in all; "
        "see README.md"
    )
