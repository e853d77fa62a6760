"""The command line: `tpc-stream animate | demo | inspect | doctor`."""

from __future__ import annotations

import logging
import sys
from importlib import resources
from importlib.metadata import version
from pathlib import Path
from typing import Annotated, Literal

import typer
from rich.console import Console
from rich.logging import RichHandler

from tpc_stream.errors import InputError, TpcStreamError
from tpc_stream.options import AnimateOptions

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
    logging.basicConfig(
        level=level, format="%(message)s", handlers=[RichHandler(console=_console(), show_time=verbose > 0)], force=True
    )
    logging.getLogger("numba").setLevel(logging.WARNING)


Verbose = Annotated[int, typer.Option("-v", "--verbose", count=True, help="Say more, with a traceback on errors.")]
Overwrite = Annotated[bool, typer.Option("--overwrite", help="Replace files that exist.")]
Bundle = Annotated[str, typer.Option(help="Engine bundle: a name or a folder.", rich_help_panel="Model")]
Backend = Annotated[str, typer.Option(help="What runs the graphs: onnxrt.", rich_help_panel="Model")]
Threads = Annotated[int, typer.Option(min=0, help="CPU threads of an engine; 0: all cores.", rich_help_panel="Model")]

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
    reference: Annotated[str, typer.Option("--reference", "-r", help="The picture of the person.")],
    motion: Annotated[
        str, typer.Option("--motion", "-m", help="Video, URL, folder or pattern of pictures, picture, or webcam[:N].")
    ],
    out: Annotated[Path, typer.Option("--out", "-o", help="The video to write: .mp4, .mkv, .webm or .mov.")],
    reference_mask: Annotated[
        str | None, typer.Option(help="A picture whose bright pixels are the person. Default: alpha, else estimated.")
    ] = None,
    bundle: Bundle = "mannequin",
    backend: Backend = "onnxrt",
    threads: Threads = 0,
    steps: Annotated[
        int | None, typer.Option(min=1, help="Denoising steps. Default: the bundle's.", rich_help_panel="Model")
    ] = None,
    guidance: Annotated[
        float | None, typer.Option(help="Guidance scale; 1 is none. Default: the bundle's.", rich_help_panel="Model")
    ] = None,
    seed: Annotated[int, typer.Option(min=0, help="Noise and draws.", rich_help_panel="Model")] = 0,
    tpc: Annotated[
        bool, typer.Option("--tpc/--no-tpc", help="Calibrate the reference.", rich_help_panel="Calibration")
    ] = True,
    group_size: Annotated[
        int | None,
        typer.Option(
            min=1, help="Frames sharing a calibrated feature (m); 1: none. Default 4.", rich_help_panel="Calibration"
        ),
    ] = None,
    groups: Annotated[
        int | None, typer.Option(min=1, help="Groups in a window (M) instead.", rich_help_panel="Calibration")
    ] = None,
    hold_seconds: Annotated[
        float, typer.Option(min=0, help="How long the last calibration is held.", rich_help_panel="Calibration")
    ] = 0.5,
    min_visibility: Annotated[
        float,
        typer.Option(
            min=0, max=1, help="Keypoints below it are left out of the search.", rich_help_panel="Calibration"
        ),
    ] = 0.5,
    window: Annotated[
        int | None, typer.Option(min=1, help="Frames denoised together (L).", rich_help_panel="Window")
    ] = None,
    overlap: Annotated[
        int | None, typer.Option(min=0, help="Frames shared with the window before.", rich_help_panel="Window")
    ] = None,
    start: Annotated[float, typer.Option(min=0, help="Begin here, seconds.", rich_help_panel="Range")] = 0.0,
    end: Annotated[float | None, typer.Option(min=0, help="Stop here, seconds.", rich_help_panel="Range")] = None,
    max_frames: Annotated[
        int | None, typer.Option(min=1, help="Stop after so many frames.", rich_help_panel="Range")
    ] = None,
    fit: Annotated[
        Literal["crop", "pad"],
        typer.Option(help="pad keeps the whole picture, crop fills the frame.", rich_help_panel="Picture"),
    ] = "pad",
    size: Annotated[
        str | None, typer.Option(help="Output WxH in pixels. Default: the bundle's.", rich_help_panel="Picture")
    ] = None,
    side_by_side: Annotated[
        bool,
        typer.Option(
            "--side-by-side", help="Reference, driving, calibrated and output in one.", rich_help_panel="Picture"
        ),
    ] = False,
    codec: Annotated[
        Literal["h264", "hevc", "vp9", "av1", "ffv1"], typer.Option(help="Video codec.", rich_help_panel="File")
    ] = "h264",
    crf: Annotated[int | None, typer.Option(min=0, help="Quality; lower is better.", rich_help_panel="File")] = None,
    faststart: Annotated[
        bool, typer.Option("--faststart", help="Put an MP4's index at the front.", rich_help_panel="File")
    ] = False,
    sound: Annotated[bool, typer.Option("--sound/--no-sound", help="Copy the sound.", rich_help_panel="File")] = True,
    audio_track: Annotated[
        int, typer.Option(min=0, help="Which of the driving video's sound tracks.", rich_help_panel="File")
    ] = 0,
    sheet: Annotated[
        bool, typer.Option("--sheet/--no-sheet", help="Write the contact sheet.", rich_help_panel="File")
    ] = True,
    report: Annotated[
        bool, typer.Option("--report/--no-report", help="Write profile and trace.", rich_help_panel="File")
    ] = True,
    overwrite: Overwrite = False,
    verbose: Verbose = 0,
) -> None:
    from tpc_stream.run import OutputOptions, run

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
    result = run(reference, motion, outputs, options=options, console=_console())
    if result.interrupted:
        raise typer.Exit(EXIT_INTERRUPTED)


@app.command()
def demo(
    out: Annotated[Path, typer.Option("--out", "-o", help="The video to write.")] = Path("out/demo.mp4"),
    overwrite: Overwrite = True,
    verbose: Verbose = 0,
) -> None:
    """Animate the rendered person that comes with the package: no file of yours is needed."""
    from tpc_stream.run import OutputOptions, run

    if verbose:
        set_verbosity(verbose)
    out.parent.mkdir(parents=True, exist_ok=True)
    with resources.as_file(resources.files("tpc_stream") / "assets") as assets:
        result = run(
            assets / "demo_reference.png",
            assets / "demo_motion.mp4",
            OutputOptions(path=out, overwrite=overwrite),
            options=AnimateOptions(),
            console=_console(),
        )
    if result.interrupted:
        raise typer.Exit(EXIT_INTERRUPTED)


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


def main(arguments: list[str] | None = None) -> None:
    """The entry point: bad input is one line and exit code 2; with -v a traceback as well.

    Args:
        arguments: what follows the program's name; None: the command line's own.
    """
    global _verbose
    _verbose = False
    try:
        app(arguments)
    except TpcStreamError as error:
        if _verbose:
            _console().print_exception()
        print(f"error: {error}", file=sys.stderr)
        sys.exit(EXIT_BAD_INPUT)
    except KeyboardInterrupt:
        print("interrupted before the first frame; nothing was written", file=sys.stderr)
        sys.exit(EXIT_INTERRUPTED)
