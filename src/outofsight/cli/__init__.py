"""The command line: a file for each verb. Errors are one line on stderr and exit code 2."""

import os
import sys
import warnings
from io import TextIOWrapper
from typing import Annotated

import typer

from outofsight.cli.failures import STOPPED, exit_line
from outofsight.cli.values import refuse_empty_values


def build_app() -> typer.Typer:
    """Gather the verbs."""
    from outofsight.cli.bundle import bundle
    from outofsight.cli.cameras import build_cameras
    from outofsight.cli.convert import build_convert
    from outofsight.cli.data import build_data
    from outofsight.cli.demo import demo
    from outofsight.cli.evaluate import evaluate
    from outofsight.cli.exchange import build_exchange
    from outofsight.cli.explore import explore
    from outofsight.cli.generate import generate
    from outofsight.cli.info import info
    from outofsight.cli.push import push
    from outofsight.cli.roll import roll
    from outofsight.cli.strategies import strategies
    from outofsight.cli.train import train
    from outofsight.cli.world import build_world

    app = typer.Typer(
        name="outofsight",
        help="Video world models that remember what is out of sight.",
        add_completion=False,
        pretty_exceptions_enable=False,
        rich_markup_mode=None,  # whose tables cut option names on a narrow terminal
    )
    app.callback(invoke_without_command=True)(_version_option)
    for verb in (demo, explore, generate, roll, evaluate, info, train, strategies, bundle, push):
        app.command(verb.__name__)(verb)
    app.add_typer(build_cameras(), name="cameras")
    app.add_typer(build_convert(), name="convert")
    app.add_typer(build_world(), name="world")
    app.add_typer(build_data(), name="data")
    app.add_typer(build_exchange(), name="exchange")
    return app


def _version_option(
    context: typer.Context,
    version: Annotated[
        bool, typer.Option("--version", is_eager=True, help="say which version this is, and end")
    ] = False,
) -> None:
    """Video world models that remember what is out of sight."""
    if version:
        from importlib.metadata import version as installed

        print(f"outofsight {installed('outofsight')}")
        raise typer.Exit
    if context.invoked_subcommand is None:
        print(context.get_help())
        raise typer.Exit(2)


def main() -> None:
    """Run the command line. ``OUTOFSIGHT_DEBUG=1`` shows tracebacks."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")  # names of files may be no text
    os.environ.setdefault("HF_HUB_VERBOSITY", "error")  # of a hub out of reach it tells at each of five tries
    warnings.formatwarning = lambda message, *_, **__: f"outofsight: note: {message}\n"
    try:
        command = typer.main.get_command(build_app())
        refuse_empty_values(command)
        code = command(standalone_mode=False) or 0
        if code == STOPPED:  # typer makes a code of Ctrl-C, and says nothing
            raise KeyboardInterrupt
        sys.exit(code)
    except BaseException as error:
        if isinstance(error, SystemExit) or os.environ.get("OUTOFSIGHT_DEBUG") == "1":
            raise
        if type(error).__name__ == "NoArgsIsHelpError":  # of typer's own copy of click
            print(error)
            sys.exit(2)
        code, message = exit_line(error)
        print(f"outofsight: {' '.join(message.split())}", file=sys.stderr)
        sys.exit(code)
