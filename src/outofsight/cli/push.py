"""``outofsight push``: a model folder or a data set → a hub, or a folder that holds what would be sent."""

import tempfile
from pathlib import Path
from typing import Annotated

import typer

from outofsight.cli.options import DryRun
from outofsight.data.outputs import claimed, refuse_existing
from outofsight.files import folder_in_one_piece


def push(
    folder: Annotated[Path, typer.Argument(help="a model folder, or a data set of clips")],
    repo: Annotated[str, typer.Option(help="the hub's repository, OWNER/NAME")],
    out: Annotated[
        Path | None, typer.Option(help="send nothing; lay out in this folder what would be sent")
    ] = None,
    license_name: Annotated[str, typer.Option("--license", help="for a card that names none")] = "apache-2.0",
    private: Annotated[bool, typer.Option("--private", help="a repository that only its owner sees")] = False,
    dry_run: DryRun = False,
) -> None:
    """Send a model or a data set to the hub, with a card that the hub accepts."""
    from outofsight.bundling.hub import card_of, check_repo, kind_of, stage, upload

    check_repo(repo)
    if out is not None:
        refuse_existing(out, [folder])
    if dry_run:
        kind = kind_of(folder)
        card_of(folder, kind, license_name)
        typer.echo(f"would {'send' if out is None else f'write {out}:'} the {kind} as {repo} would get it")
        return
    if out is not None:
        with claimed(out), folder_in_one_piece(out) as staged:
            kind = stage(folder, staged, license_name)
        typer.echo(f"{out} holds the {kind} as {repo} would get it")
        return
    with tempfile.TemporaryDirectory() as temporary:
        kind = stage(folder, Path(temporary), license_name)
        address = upload(Path(temporary), kind, repo, private=private)
    typer.echo(f"sent to {address}")
