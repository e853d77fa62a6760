"""What every command shares: the console, how much is said, and options that all of them take."""

from __future__ import annotations

import logging
import os
from typing import Annotated

import typer
from rich.console import Console
from rich.logging import RichHandler

from tpc_stream.errors import InputError

EXIT_BAD_INPUT = 2
EXIT_INTERRUPTED = 130
EXIT_TERMINATED = 143

Verbose = Annotated[int, typer.Option("-v", "--verbose", count=True, help="Say more, with a traceback on errors.")]
Overwrite = Annotated[bool, typer.Option("--overwrite", help="Replace files that exist.")]

_PIPED_COLUMNS = 160
_said_verbose = False


def console(*, stderr: bool = True) -> Console:
    """Messages go to stderr, so that stdout stays free; in a pipe or a file no line is broken that need not be."""
    made = Console(stderr=stderr)
    if not made.is_terminal and "COLUMNS" not in os.environ:
        made.width = _PIPED_COLUMNS
    return made


def set_verbosity(verbose: int) -> None:
    """0: warnings; 1: information, and a traceback with an error; 2: everything."""
    global _said_verbose
    _said_verbose = _said_verbose or verbose > 0
    level = {0: logging.WARNING, 1: logging.INFO}.get(verbose, logging.DEBUG)
    handler = RichHandler(console=console(), show_time=verbose > 0, show_path=verbose > 0)
    logging.basicConfig(level=level, format="%(message)s", handlers=[handler], force=True)
    logging.getLogger("numba").setLevel(logging.WARNING)


def forget_verbosity() -> None:
    """A new call of the program begins."""
    global _said_verbose
    _said_verbose = False


def wants_traceback() -> bool:
    """Whether this call was asked to say more."""
    return _said_verbose


def read_size(text: str | None, *, option: str = "--size") -> tuple[int, int] | None:
    """(width, height) from such as "512x512". Raises InputError."""
    if text is None:
        return None
    parts = text.lower().split("x")
    if len(parts) != 2 or not all(part.isdecimal() for part in parts):
        raise InputError(f"{option} is WIDTHxHEIGHT in pixels, such as 512x512, got {text!r}")
    return int(parts[0]), int(parts[1])
