"""The command line: a file for each verb. Errors are one line on stderr and exit code 2."""

import os
import sys

import typer

from outofsight.errors import OutOfSightError


def build_app() -> typer.Typer:
    """Gather the verbs."""
    from outofsight.cli.bundle import bundle
    from outofsight.cli.cameras import build as build_cameras
    from outofsight.cli.convert import build as build_convert
    from outofsight.cli.data import build as build_data
    from outofsight.cli.demo import demo
    from outofsight.cli.evaluate import evaluate
    from outofsight.cli.generate import generate
    from outofsight.cli.info import info
    from outofsight.cli.roll import roll
    from outofsight.cli.strategies import strategies
    from outofsight.cli.train import train
    from outofsight.cli.world import build as build_world

    app = typer.Typer(
        name="outofsight",
        help="Video world models that remember what is out of sight.",
        no_args_is_help=True,
        add_completion=False,
        pretty_exceptions_enable=False,
    )
    app.command("demo")(demo)
    app.command("generate")(generate)
    app.command("roll")(roll)
    app.command("evaluate")(evaluate)
    app.command("info")(info)
    app.command("train")(train)
    app.command("strategies")(strategies)
    app.command("bundle")(bundle)
    app.add_typer(build_cameras(), name="cameras")
    app.add_typer(build_convert(), name="convert")
    app.add_typer(build_world(), name="world")
    app.add_typer(build_data(), name="data")
    return app


def main() -> None:
    """Run the command line. ``OUTOFSIGHT_DEBUG=1`` shows tracebacks."""
    try:
        build_app()()
    except OutOfSightError as error:
        if os.environ.get("OUTOFSIGHT_DEBUG") == "1":
            raise
        print(f"outofsight: {' '.join(str(error).split())}", file=sys.stderr)
        sys.exit(2)
