"""The command line: `tpc-stream animate | calibrate | plan | resume | status | demo | inspect | doctor | build ...`."""

from __future__ import annotations

import sys
from importlib.metadata import version
from typing import Annotated, NoReturn

import typer

from tpc_stream.commands.animate import ANIMATE_EXAMPLES, animate, demo
from tpc_stream.commands.build import build
from tpc_stream.commands.calibrate import CALIBRATE_EXAMPLES, calibrate
from tpc_stream.commands.devices import devices
from tpc_stream.commands.job import resume, status
from tpc_stream.commands.look import doctor, inspect
from tpc_stream.commands.plan import plan
from tpc_stream.commands.shell import EXIT_BAD_INPUT, console, forget_verbosity, set_verbosity, wants_traceback
from tpc_stream.errors import TpcStreamError

app = typer.Typer(
    no_args_is_help=True,
    add_completion=True,
    rich_markup_mode="rich",
    context_settings={"help_option_names": ["-h", "--help"]},
    help="Animate the person of one picture with the motion of a video, frame by frame, with "
    "Test-time Procrustes Calibration.",
    pretty_exceptions_enable=False,
)


def _show_version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"tpc-stream {version('tpc-stream')}")
        raise typer.Exit


@app.callback()
def _options(
    verbose: Annotated[int, typer.Option("-v", "--verbose", count=True, help="Say more; twice: everything.")] = 0,
    show_version: Annotated[
        bool, typer.Option("--version", callback=_show_version, is_eager=True, help="Print the version and stop.")
    ] = False,
) -> None:
    set_verbosity(verbose)


app.command(help=ANIMATE_EXAMPLES)(animate)
app.command(help=CALIBRATE_EXAMPLES)(calibrate)
app.command()(resume)
app.command()(status)
app.command()(plan)
app.command()(demo)
app.command()(inspect)
app.command()(doctor)
app.command()(build)
app.command()(devices)


def main(arguments: list[str] | None = None) -> None:
    """The entry point: bad input is one line and exit code 2; with -v a traceback as well.

    Args:
        arguments: what follows the program's name; None: the command line's own.
    """
    forget_verbosity()
    if not (sys.argv[1:] if arguments is None else arguments):
        arguments = ["--help"]
    try:
        code = app(arguments, standalone_mode=False)
    except TpcStreamError as error:
        if wants_traceback():
            console().print_exception()
        _fail(str(error))
    except Exception as error:
        # the parser's own errors share no base class between versions, but all can say themselves in one line
        if not hasattr(error, "format_message"):
            raise
        said = error.format_message().rstrip(".").replace("Value error, ", "")
        _fail(f"{said}; see tpc-stream --help, or tpc-stream COMMAND --help")
    else:
        sys.exit(code if isinstance(code, int) else 0)


def _fail(message: str) -> NoReturn:
    print(f"error: {' '.join(message.split())}", file=sys.stderr)
    sys.exit(EXIT_BAD_INPUT)
