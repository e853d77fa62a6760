"""The command line: `tpc-stream animate | demo | inspect | doctor`."""

from __future__ import annotations

import logging
import sys
from importlib import resources
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, NoReturn

import typer
from rich.console import Console
from rich.logging import RichHandler

from tpc_stream import cli_options as opt
from tpc_stream.errors import InputError, SinkError, TpcStreamError
from tpc_stream.options import AnimateOptions

if TYPE_CHECKING:
    from tpc_stream.outputs import OutputOptions

app = typer.Typer(
    no_args_is_help=True,
    add_completion=True,
    rich_markup_mode="rich",
    context_settings={"help_option_names": ["-h", "--help"]},
    help="Animate the person of one picture with the motion of a video, frame by frame, with "
    "Test-time Procrustes Calibration.",
    pretty_exceptions_enable=False,
)

EXIT_BAD_INPUT = 2
EXIT_INTERRUPTED = 130

_verbose = False


def _console() -> Console:
    return Console(stderr=True)


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


def set_verbosity(verbose: int) -> None:
    """0: warnings; 1: information, and a traceback with an error; 2: everything."""
    global _verbose
    _verbose = _verbose or verbose > 0
    level = {0: logging.WARNING, 1: logging.INFO}.get(verbose, logging.DEBUG)
    handler = RichHandler(console=_console(), show_time=verbose > 0, show_path=verbose > 0)
    logging.basicConfig(level=level, format="%(message)s", handlers=[handler], force=True)
    logging.getLogger("numba").setLevel(logging.WARNING)


Verbose = Annotated[int, typer.Option("-v", "--verbose", count=True, help="Say more, with a traceback on errors.")]
Overwrite = Annotated[bool, typer.Option("--overwrite", help="Replace files that exist.")]

ANIMATE_EXAMPLES = """Animate the person of a picture with the motion of a video.

[bold]Examples[/bold]

  tpc-stream animate --reference me.png --motion dance.mp4 --out me_dancing.mp4

  tpc-stream animate --reference me.png --motion dance.mp4 --out a.mp4 --start 3 --end 8 --side-by-side

  tpc-stream animate --reference me.jpg --motion frames/%05d.png --out a.webm --codec vp9 --size 512x512

  tpc-stream animate --reference me.png --motion dance.mp4 --out plain.mp4 --no-tpc

Beside the video it writes NAME.png (a contact sheet), NAME.json (the profile) and NAME.trace.json (for Perfetto).
Ctrl-C closes the video, which then holds the frames so far.
"""


@app.command(help=ANIMATE_EXAMPLES)
def animate(
    reference: opt.Reference,
    motion: opt.Motion,
    out: opt.Out,
    reference_mask: opt.ReferenceMask = None,
    bundle: opt.Bundle = "mannequin",
    backend: opt.Backend = "onnxrt",
    threads: opt.Threads = 0,
    steps: opt.Steps = None,
    guidance: opt.Guidance = None,
    seed: opt.Seed = 0,
    tpc: opt.Tpc = True,
    group_size: opt.GroupSize = None,
    groups: opt.Groups = None,
    hold_seconds: opt.HoldSeconds = 0.5,
    min_visibility: opt.MinVisibility = 0.5,
    window: opt.Window = None,
    overlap: opt.Overlap = None,
    start: opt.Start = 0.0,
    end: opt.End = None,
    max_frames: opt.MaxFrames = None,
    fit: opt.Fit = "pad",
    size: opt.Size = None,
    side_by_side: opt.SideBySide = False,
    codec: opt.Codec = None,
    crf: opt.Crf = None,
    faststart: opt.Faststart = False,
    sound: opt.Sound = True,
    audio_track: opt.AudioTrack = 0,
    sheet: opt.Sheet = True,
    report: opt.Report = True,
    overwrite: Overwrite = False,
    verbose: Verbose = 0,
) -> None:
    from tpc_stream.outputs import OutputOptions

    if verbose:
        set_verbosity(verbose)
    options = AnimateOptions(
        bundle=bundle,
        backend=backend,
        threads=threads,
        seed=seed,
        steps=steps,
        guidance_scale=guidance,
        tpc=tpc,
        group_size=group_size,
        groups=groups,
        window=window,
        overlap=overlap,
        fit=fit,
        size=_size(size),
        start_seconds=start,
        end_seconds=end,
        max_frames=max_frames,
        reference_mask=reference_mask,
        hold_seconds=hold_seconds,
        min_visibility=min_visibility,
    )
    outputs = OutputOptions(
        path=out,
        codec=codec,
        crf=crf,
        faststart=faststart,
        sound=sound,
        audio_track=audio_track,
        side_by_side=side_by_side,
        overwrite=overwrite,
        sheet=sheet,
        report=report,
    )
    _run(reference, motion, outputs, options)


@app.command()
def demo(
    out: Annotated[Path, typer.Option("--out", "-o", help="The video to write.")] = Path("out/demo.mp4"),
    overwrite: Overwrite = True,
    verbose: Verbose = 0,
) -> None:
    """Animate the rendered person that comes with the package: no file of yours is needed."""
    from tpc_stream.outputs import OutputOptions

    if verbose:
        set_verbosity(verbose)
    try:
        out.parent.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise SinkError(f"cannot make the folder {out.parent}: {error.strerror}; give another --out") from error
    outputs = OutputOptions(path=str(out), overwrite=overwrite)
    with resources.as_file(resources.files("tpc_stream") / "assets") as assets:
        _run(str(assets / "demo_reference.png"), str(assets / "demo_motion.mp4"), outputs, AnimateOptions())


@app.command()
def inspect(
    path: Annotated[str, typer.Argument(help="A bundle, a profile (.json), a video or a picture.")],
    verbose: Verbose = 0,
) -> None:
    """Say what a bundle, a profile, a video or a picture is."""
    from tpc_stream.describe import describe

    if verbose:
        set_verbosity(verbose)
    Console().print(describe(path))


@app.command()
def doctor(verbose: Verbose = 0) -> None:
    """Check that everything the default path needs is here. Exit code 0 if it is."""
    from tpc_stream.doctor import examine

    if verbose:
        set_verbosity(verbose)
    healthy = examine(Console())
    raise typer.Exit(0 if healthy else 1)


def _size(text: str | None) -> tuple[int, int] | None:
    if text is None:
        return None
    parts = text.lower().split("x")
    if len(parts) != 2 or not all(part.isdecimal() for part in parts):
        raise InputError(f"--size is WIDTHxHEIGHT in pixels, such as 512x512, got {text!r}")
    return int(parts[0]), int(parts[1])


def _run(reference: str, motion: str, outputs: OutputOptions, options: AnimateOptions) -> None:
    from tpc_stream.run import run

    try:
        result = run(reference, motion, outputs, options=options, console=_console())
    except KeyboardInterrupt:
        print("interrupted before the first frame; nothing was written", file=sys.stderr)
        raise typer.Exit(EXIT_INTERRUPTED) from None
    if result.interrupted:
        raise typer.Exit(EXIT_INTERRUPTED)


def main(arguments: list[str] | None = None) -> None:
    """The entry point: bad input is one line and exit code 2; with -v a traceback as well.

    Args:
        arguments: what follows the program's name; None: the command line's own.
    """
    global _verbose
    _verbose = False
    if not (sys.argv[1:] if arguments is None else arguments):
        arguments = ["--help"]
    try:
        code = app(arguments, standalone_mode=False)
    except TpcStreamError as error:
        if _verbose:
            _console().print_exception()
        _fail(str(error))
    except Exception as error:
        # the parser's own errors share no base class between versions, but all can say themselves in one line
        if not hasattr(error, "format_message"):
            raise
        _fail(f"{error.format_message().rstrip('.')}; see tpc-stream --help, or tpc-stream animate --help")
    else:
        sys.exit(code if isinstance(code, int) else 0)


def _fail(message: str) -> NoReturn:
    print(f"error: {' '.join(message.split())}", file=sys.stderr)
    sys.exit(EXIT_BAD_INPUT)
