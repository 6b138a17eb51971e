"""``outofsight push``: a model folder or a data set → a hub, or a folder that holds what would be sent."""

import tempfile
from pathlib import Path
from typing import Annotated

import typer

from outofsight.cli.folders import refuse_existing
from outofsight.data.outputs import claimed
from outofsight.files import folder_in_one_piece


def push(
    folder: Annotated[Path, typer.Argument(help="a model folder, or a data set of clips")],
    repo: Annotated[str, typer.Option(help="the hub's repository, OWNER/NAME")],
    dry_run: Annotated[
        Path | None, typer.Option(help="send nothing; lay out in this folder what would be sent")
    ] = None,
    license_name: Annotated[str, typer.Option("--license", help="for a card that names none")] = "apache-2.0",
    private: Annotated[bool, typer.Option("--private", help="a repository that only its owner sees")] = False,
) -> None:
    """Send a model or a data set to the hub, with a card that the hub accepts."""
    from outofsight.bundling.hub import check_repo, stage, upload

    check_repo(repo)
    if dry_run is not None:
        refuse_existing(dry_run, [folder])
        with claimed(dry_run), folder_in_one_piece(dry_run) as staged:
            kind = stage(folder, staged, license_name)
        typer.echo(f"{dry_run} holds the {kind} as {repo} would get it")
        return
    with tempfile.TemporaryDirectory() as temporary:
        kind = stage(folder, Path(temporary), license_name)
        address = upload(Path(temporary), kind, repo, private=private)
    typer.echo(f"sent to {address}")
