"""`tpc-stream inspect` and `tpc-stream doctor`: what a file is, and whether all is here."""

from __future__ import annotations

from typing import Annotated

import typer

from tpc_stream.commands.shell import Verbose, console, set_verbosity


def inspect(
    path: Annotated[str, typer.Argument(help="A bundle, a profile (.json), a video or a picture.")],
    verbose: Verbose = 0,
) -> None:
    """Say what a bundle, a profile, a video or a picture is."""
    from tpc_stream.describe import describe

    if verbose:
        set_verbosity(verbose)
    console(stderr=False).print(describe(path))


def doctor(verbose: Verbose = 0) -> None:
    """Check that everything the default path needs is here. Exit code 0 if it is."""
    from tpc_stream.doctor import examine

    if verbose:
        set_verbosity(verbose)
    healthy = examine(console(stderr=False))
    raise typer.Exit(0 if healthy else 1)
