"""Where the frames go: the last stage for each kind of output, and whether it can be had here."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterable, Iterator
from dataclasses import replace
from fractions import Fraction
from functools import partial

from rich.console import Console

from tpc_stream.errors import SinkError
from tpc_stream.frame import AnimatedFrame
from tpc_stream.outputs import OutputOptions
from tpc_stream.progress import show_progress
from tpc_stream.sink import SinkConfig, write_video
from tpc_stream.source import SourceInfo
from tpc_stream.writing.destination import camera_device, is_terminal
from tpc_stream.writing.pictures import write_pictures
from tpc_stream.writing.preview import check_preview, preview_terminal, preview_window
from tpc_stream.writing.raw_pipe import write_raw
from tpc_stream.writing.sound import SoundSource
from tpc_stream.writing.steady import DeliveryReport
from tpc_stream.writing.stream_output import StreamConfig, write_stream
from tpc_stream.writing.virtual_camera import check_virtual_camera, show_on_camera

SinkStage = Callable[[Iterable[AnimatedFrame]], Iterator[AnimatedFrame]]

DEFAULT_RATE = Fraction(25)
"""Frames a second where the source does not say."""


def check_sink(outputs: OutputOptions, info: SourceInfo) -> None:
    """Raises SinkError for what can be known to fail before anything runs."""
    kind = outputs.destination
    if outputs.preview is not None:
        check_preview(outputs.preview)
    if kind == "virtualcam":
        check_virtual_camera()
    elif kind == "pipe" and is_terminal(_stdout()):
        raise SinkError("the standard output is a terminal: pipe it on, as in tpc-stream ... --out - | ffplay -")
    elif kind in ("file", "stream"):
        sink_stage(outputs, info, sound=None, delivery=DeliveryReport())(())  # checks when called, and runs nothing


def sink_stage(
    outputs: OutputOptions, info: SourceInfo, *, sound: SoundSource | None, delivery: DeliveryReport
) -> SinkStage:
    """The stage that writes, sends or shows each frame and passes it on; `delivery` is filled in while it runs."""
    kind, rate = outputs.destination, info.rate or DEFAULT_RATE
    if kind == "pictures":
        return partial(write_pictures, path=outputs.path)
    if kind == "stream":
        config = StreamConfig(frame_rate=rate, hwaccel=outputs.hwaccel)
        config = config if outputs.crf is None else replace(config, crf=outputs.crf)
        return partial(write_stream, url=outputs.path, config=config, sound=sound)
    if kind == "pipe":
        return partial(write_raw, descriptor=_stdout(), format=outputs.raw, rate=rate, report=delivery)
    if kind == "virtualcam":
        return partial(show_on_camera, device=camera_device(outputs.path), rate=float(rate))
    if kind == "none":
        return iter
    file = SinkConfig(
        codec=outputs.settled_codec, crf=outputs.crf, frame_rate=rate, faststart=outputs.faststart,
        hwaccel=outputs.hwaccel,
    )  # fmt: skip
    return partial(write_video, path=outputs.path, config=file, sound=sound)


def preview_stage(outputs: OutputOptions) -> SinkStage | None:
    """The stage that shows each frame in a window, if that was asked for; the terminal's is drawn by the progress."""
    return preview_window if outputs.preview == "window" else None


def watched(
    frames: Iterable[AnimatedFrame], outputs: OutputOptions, *, total: int | None, console: Console
) -> Iterator[AnimatedFrame]:
    """The frames, and how far the work is: as a picture in the terminal if that was asked for, else as a bar."""
    if outputs.preview == "terminal":
        write = console.file.write
        return preview_terminal(frames, write=lambda text: (write(text), console.file.flush()), columns=console.width)
    return show_progress(frames, total=total, console=console)


def _stdout() -> int:
    if sys.__stdout__ is None or sys.__stdout__.closed:
        raise SinkError("there is no standard output to write frames to: give another --out")
    return sys.__stdout__.fileno()
